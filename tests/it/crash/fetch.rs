//! Fetching from a tier, killed at every verb, every write torn, with every call failing, and the power cut: a whole entry
//! or none, right bytes always, and what was handed out is found from then on.

use super::{config, empty_disk, faults::ERRNOS, sources_of};
use plugcache::{
    __sim::{self, At, Disk, Failure, Fault, Process},
    Added, Artifact, Config, Durability, Fetched, How, ObjectDigest, Outputs, Parcel, Sink, Store, Tier,
    TierError, TierKey,
};
use std::{
    collections::HashMap,
    io::Write as _,
    sync::{Arc, Mutex},
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

#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<HashMap<TierKey, Parcel>>>, Arc<Mutex<HashMap<ObjectDigest, Vec<u8>>>>);

impl Tier for Shelf {
    fn entry(&self, key: &TierKey) -> Result<Option<Parcel>, TierError> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    fn objects(&self, _: &TierKey, wanted: &mut [Sink<'_>]) -> Result<(), TierError> {
        let objects = self.1.lock().unwrap();
        // A disk that refuses is the store's to tell of.
        wanted.iter_mut().for_each(|sink| drop(sink.write_all(&objects[&sink.object().digest])));
        Ok(())
    }

    fn offer(&self, key: &TierKey, parcel: &Parcel, artifact: &Artifact) {
        for output in artifact.outputs() {
            self.1.lock().unwrap().insert(output.digest(), output.read_verified().unwrap());
        }
        self.0.lock().unwrap().insert(*key, parcel.clone());
    }
}

fn shelf() -> Shelf {
    let (shelf, disk) = (Shelf::default(), empty_disk(8));
    let config = config(0, Durability::Lazy).build();
    let store = __sim::open_with_tier(disk.process(), config, shelf.clone()).unwrap();
    for number in NUMBERS {
        assert_eq!(store.add(&sources_of(number), outputs(number)), Ok(Added::Stored));
    }
    shelf
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
    let key = shelf.0.lock().unwrap().keys().find(|key| key.source == sources_of(3).digest()).copied();
    let found = store.find(&sources_of(1));
    done[0] = found.is_some_and(|artifact| is_right(&artifact, 1));
    let got = store.get_or_build(&sources_of(2), |_| Err::<(), _>("it came"));
    done[1] = got.is_ok_and(|got| {
        assert!(matches!(got.how, How::Fetched | How::Hit), "{}", got.how);
        is_right(&got.artifact, 2)
    });
    done[2] = store.fetch(&key.unwrap()).is_ok_and(|fetched| fetched != Fetched::Nothing);
    if config.durability() == Durability::Lazy && store.sync().is_err() {
        done = [false; 3];
    }
    done
}

/// `is_durable`: what was acknowledged survives this.
fn check(disk: &Disk, config: &Config, shelf: &Shelf, done: [bool; 3], is_durable: bool, case: &str) {
    let plain: Store =
        __sim::open(disk.process(), config.clone()).unwrap_or_else(|why| panic!("{case}: {why}"));
    for (number, done) in NUMBERS.into_iter().zip(done) {
        let found = plain.find(&sources_of(number)).map(|artifact| is_right(&artifact, number));
        assert!(found != Some(false), "{case}: {number} cannot be read");
        assert!(found.is_some() || !(done && is_durable), "{case}: {number} is not found");
    }
    // And everything goes on, from wherever it was left.
    let again = disk.process();
    assert_eq!(work(&again, config, shelf), [true; 3], "{case}: once more");
    assert!(plain.find(&sources_of(3)).is_some(), "{case}");
}

#[test]
fn a_fetch_crashed_at_any_verb_leaves_whole_entries_and_what_it_gave_is_found_from_then_on() {
    let shelf = shelf();
    for durability in [Durability::Lazy, Durability::Sync] {
        let config = config(0, durability).build();
        let start = empty_disk(9);
        let process = start.snapshot().process();
        assert_eq!(work(&process, &config, &shelf), [true; 3]);
        let trace = process.trace();
        assert!(trace.len() > 80, "{}", trace.len());
        for (verb, step) in (1..).zip(&trace) {
            let case = |what: &str| format!("{durability:?}, {what} at {verb}: {step}");
            let disk = start.snapshot();
            let process = disk.process();
            process.kill_after(verb);
            let done = work(&process, &config, &shelf);
            check(&disk.snapshot(), &config, &shelf, done, true, &case("killed"));
            // What a killed process was told durably stays: lazily nothing was, until its sync.
            let synced = durability == Durability::Sync;
            for cut in disk.power_cuts(super::bound(4, 60)) {
                check(&cut, &config, &shelf, done, synced, &case("cut"));
            }
            for keep in
                __sim::torn_lengths(step.bytes).into_iter().filter(|_| step.verb == __sim::Verb::Write)
            {
                let disk = start.snapshot();
                let process = disk.process();
                process.tear(verb, keep);
                let done = work(&process, &config, &shelf);
                check(&disk.snapshot(), &config, &shelf, done, true, &case("torn"));
            }
        }
    }
}

#[test]
fn any_call_that_fails_in_a_fetch_costs_that_fetch_alone() {
    let shelf = shelf();
    for durability in [Durability::Lazy, Durability::Sync] {
        let config = config(0, durability).build();
        let start = empty_disk(9);
        let process = start.snapshot().process();
        assert_eq!(work(&process, &config, &shelf), [true; 3]);
        for verb in 1..=process.steps() {
            for (number, (name, errno)) in ERRNOS.into_iter().enumerate() {
                if !(verb + number).is_multiple_of(super::bound(4, 1)) {
                    continue;
                }
                let disk = start.snapshot();
                let process = disk.process();
                process.fail(Fault { at: At::Verb(verb), failure: Failure::Errno(errno) });
                let done = work(&process, &config, &shelf);
                let case = format!("{durability:?}, {name} at {verb}");
                check(&disk.snapshot(), &config, &shelf, done, true, &case);
            }
        }
    }
}
