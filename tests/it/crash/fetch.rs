//! Fetching from a tier, killed at every verb, every write torn, with every call failing, and the power cut: a whole entry
//! or none, right bytes always, and what was handed out is found from then on.

use super::{
    beside::Shelf,
    bound, config, empty_disk,
    faults::ERRNOS,
    pins::{FETCH_CUTS, FETCH_FAULTS, FETCH_KILLS, FETCH_TORN},
    sources_of,
};
use plugcache::{
    __sim::{self, At, Disk, Failure, Fault, Process, Step, Verb, torn_lengths},
    Artifact, Config, Durability, Fetched, How, Outputs, Store,
};

/// Three entries: with a packed output and an object that the second has too; executed never, long and short.
const NUMBERS: [u8; 3] = [1, 2, 3];
const SHARED: u8 = 200;

fn outputs(number: u8) -> Outputs {
    let outputs = Outputs::bytes("o", bytes(number)).and_packed("p", [number]);
    if number < 3 { outputs.and_bytes("shared", bytes(SHARED)) } else { outputs }
}

fn bytes(number: u8) -> Vec<u8> {
    vec![number; 300 + 4000 * usize::from(number % 2)]
}

fn is_right(artifact: &Artifact, number: u8) -> bool {
    let read = |name: &str| artifact.output(name).map(|output| output.read_verified());
    let expected = [("o", bytes(number)), ("p", vec![number]), ("shared", bytes(SHARED))];
    expected.into_iter().all(|(name, bytes)| match read(name) {
        None => name == "shared" && number == 3,
        // A read that fails is no wrong byte.
        Some(read) => read.is_ok_and(|read| {
            assert_eq!(read, bytes, "{number}: {name}");
            true
        }),
    })
}

/// How each was come by, as far as this got: by a find, by a build that is none, by its key.
fn work(process: &Process, config: &Config, shelf: &Shelf) -> [bool; 3] {
    let mut done = [false; 3];
    let Ok(store) = __sim::open_with_tier(process.clone(), config.clone(), shelf.clone()) else {
        return done;
    };
    let found = store.find(&sources_of(1));
    done[0] = found.is_some_and(|artifact| is_right(&artifact, 1));
    let got = store.get_or_build(&sources_of(2), |_| Err::<(), _>("it came"));
    done[1] = got.is_ok_and(|got| {
        assert!(matches!(got.how, How::Fetched | How::Hit), "{}", got.how);
        is_right(&got.artifact, 2)
    });
    done[2] = store.fetch(&shelf.key_of(3)).is_ok_and(|fetched| fetched != Fetched::Nothing);
    if config.durability() == Durability::Lazy && store.sync().is_err() {
        done = [false; 3];
    }
    done
}

/// A tier, a disk without a store, and what is done on it: once for each kind of handle.
struct Setup {
    shelf: Shelf,
    config: Config,
    start: Disk,
    /// What is done where nothing goes wrong.
    trace: Vec<Step>,
}

fn setups() -> [Setup; 2] {
    let shelf = Shelf::of(NUMBERS.map(|number| (number, outputs(number))));
    [Durability::Lazy, Durability::Sync].map(|durability| {
        let (config, start) = (config(0, durability).build(), empty_disk(9));
        let process = start.snapshot().process();
        assert_eq!(work(&process, &config, &shelf), [true; 3]);
        Setup { shelf: shelf.clone(), config, start, trace: process.trace() }
    })
}

impl Setup {
    /// All of it once more, with this done to the process: the disk after it, and what was acknowledged.
    fn run(&self, plan: impl FnOnce(&Process)) -> (Disk, [bool; 3]) {
        let disk = self.start.snapshot();
        let process = disk.process();
        plan(&process);
        let done = work(&process, &self.config, &self.shelf);
        (disk, done)
    }

    /// `is_durable`: what was acknowledged survives this.
    fn check(&self, disk: &Disk, done: [bool; 3], is_durable: bool, what: &str, verb: usize) {
        let case = format!("{:?}, {what} at {verb}: {}", self.config.durability(), self.trace[verb - 1]);
        let opened = __sim::open(disk.process(), self.config.clone());
        let plain: Store = opened.unwrap_or_else(|why| panic!("{case}: {why}"));
        for (number, done) in NUMBERS.into_iter().zip(done) {
            let found = plain.find(&sources_of(number)).map(|artifact| is_right(&artifact, number));
            assert!(found != Some(false), "{case}: {number} cannot be read");
            assert!(found.is_some() || !(done && is_durable), "{case}: {number} is not found");
        }
        // And everything goes on, from wherever it was left.
        let again = disk.process();
        assert_eq!(work(&again, &self.config, &self.shelf), [true; 3], "{case}: once more");
        assert!(plain.find(&sources_of(3)).is_some(), "{case}");
    }
}

#[test]
fn a_fetch_crashed_at_any_verb_leaves_whole_entries_and_what_it_gave_is_found_from_then_on() {
    let [mut kills, mut cuts, mut torn] = [0; 3];
    for setup in setups() {
        // What a killed process was told durably stays: lazily nothing was, until its sync.
        let is_durable = setup.config.durability() == Durability::Sync;
        for (verb, step) in (1..).zip(&setup.trace) {
            let (disk, done) = setup.run(|process| process.kill_after(verb));
            setup.check(&disk.snapshot(), done, true, "killed", verb);
            kills += 1;
            for cut in disk.power_cuts(bound(4, 60)) {
                setup.check(&cut, done, is_durable, "cut", verb);
                cuts += 1;
            }
            let lengths = if step.verb == Verb::Write { torn_lengths(step.bytes) } else { Vec::new() };
            for keep in lengths {
                let (disk, done) = setup.run(|process| process.tear(verb, keep));
                setup.check(&disk.snapshot(), done, true, "torn", verb);
                torn += 1;
            }
        }
    }
    println!("crash: fetches with {kills} kills, {cuts} power cuts, {torn} torn writes");
    FETCH_KILLS.check(kills);
    FETCH_CUTS.check(cuts);
    FETCH_TORN.check(torn);
}

#[test]
fn any_call_that_fails_in_a_fetch_costs_that_fetch_alone() {
    let mut count = 0;
    for setup in setups() {
        for verb in 1..=setup.trace.len() {
            for (number, (name, errno)) in ERRNOS.into_iter().enumerate() {
                if !(verb + number).is_multiple_of(bound(4, 1)) {
                    continue;
                }
                let fault = Fault { at: At::Verb(verb), failure: Failure::Errno(errno) };
                let (disk, done) = setup.run(|process| process.fail(fault));
                setup.check(&disk.snapshot(), done, true, name, verb);
                count += 1;
            }
        }
    }
    println!("crash: fetches with {count} failing calls");
    FETCH_FAULTS.check(count);
}
