//! Killed after every verb, torn in every write, the power cut after every verb; then recovered, and cut again.
//!
//! Bounds: every moment of every workload is a kill; every write is torn at every length of
//! [`torn_lengths`]; of each moment at most [`cuts_max`] power cuts, the standard ones first; every so many of
//! the states the recovery itself is crashed at every verb.

use super::{
    States, bound,
    check::{self, FRESH, check},
    model::{After, Model},
    workload::{LAZY, Op, Setup, World, record},
    workloads::{SETUPS, WORKLOADS, Workload},
};
use plugcache::__sim::{Disk, torn_lengths};
use std::{collections::HashSet, sync::Mutex, thread, time::Instant};

/// Power cuts per moment.
fn cuts_max() -> usize {
    bound(14, 1500)
}

/// Of how many states one has its recovery crashed too.
fn recovery_stride() -> usize {
    bound(150, 400)
}

/// What one run over everything has seen.
#[derive(Default)]
struct Tally {
    states: States,
    judged: Mutex<HashSet<(u64, u64, After)>>,
    kills: Mutex<[usize; 4]>,
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    fn count(&self, kind: usize) -> usize {
        let mut counts = self.kills.lock().unwrap();
        counts[kind] += 1;
        counts.iter().sum()
    }

    fn wrong(&self, what: String) {
        let mut wrong = self.wrong.lock().unwrap();
        if wrong.len() < 40 {
            wrong.push(what);
        }
    }

    /// Judges a state after a crash, unless an equal one was judged.
    fn judge(
        &self,
        disk: &Disk,
        model: &Model,
        after: After,
        kind: usize,
        label: &dyn Fn() -> String,
    ) -> usize {
        let number = self.count(kind);
        let print = disk.fingerprint();
        self.states.note(print);
        // After a kill stamps decide what is hashed again, and a fingerprint leaves them out.
        let key = (print, model.print(after), after);
        if after == After::Cut && !self.judged.lock().unwrap().insert(key) {
            return number;
        }
        if let Err(why) = check(&disk.snapshot(), model, after) {
            self.wrong(format!("{}: {why}\n{}", label(), disk.story()));
        }
        number
    }
}

/// Crashes one workload everywhere.
fn crash(tally: &Tally, workload: &Workload, (kind, setup): (&str, Setup)) -> Result<(), String> {
    let (disk, model, ops) = workload.start(setup);
    let past = record(&disk, &model, &ops)?;
    let many = past.instants.len() > 400;
    for (at, instant) in past.instants.iter().enumerate() {
        let step = &instant.moment.step;
        let label =
            |what: &str| format!("{} ({kind}), {what} after {:?}: {step}", workload.name, ops[instant.op]);
        tally.judge(&instant.moment.disk, &instant.model, After::Kill, 0, &|| label("killed"));
        // Making 256 equal directories is cut at every sixteenth of them.
        let is_sample = !many || step.verb != plugcache::__sim::Verb::MakeDir || at % 16 == 0;
        if is_sample {
            cuts(tally, &instant.moment.disk, &instant.model, setup, &|| label("cut"));
        }
    }
    cuts(tally, &past.end.disk, &past.end.model, setup, &|| {
        format!("{} ({kind}), cut at the end", workload.name)
    });
    tear(tally, workload, kind, &past.writes().collect::<Vec<_>>(), (&disk, &model, &ops))
}

/// Cuts the power in this state.
fn cuts(tally: &Tally, disk: &Disk, model: &Model, setup: Setup, label: &dyn Fn() -> String) {
    for cut in disk.power_cuts(cuts_max()) {
        let number = tally.judge(&cut, model, After::Cut, 1, label);
        if number.is_multiple_of(recovery_stride()) {
            recover(tally, &cut, model, setup, &|| format!("{}\n{}", label(), cut.story()));
        }
    }
}

/// Crashes the recovery from a power cut at every verb of it: open, find all, add.
fn recover(tally: &Tally, cut: &Disk, model: &Model, setup: Setup, label: &dyn Fn() -> String) {
    let disk = cut.snapshot();
    let Ok(found) = check(&cut.snapshot(), model, After::Cut) else { return };
    let mut model = model.clone();
    model.found_after_cut(&found);
    model.unsure(FRESH.0, Some(FRESH.1));
    disk.record();
    let mut world = World::on(disk.clone(), model.clone());
    let finds = model.keys().map(Op::Find).collect::<Vec<_>>();
    let ops = [Op::Open(setup)].into_iter().chain(finds).chain([Op::Add(FRESH.0, FRESH.1)]);
    world.is_strict = false;
    for op in ops {
        if let Err(why) = world.run(op) {
            tally.wrong(format!("{}, recovering: {why}", label()));
        }
    }
    for cut in world.disk.power_cuts(bound(3, 12)) {
        tally.judge(&cut, &world.model, After::Cut, 3, &|| label() + ", recovered and cut");
    }
    for moment in disk.recorded() {
        let label = || format!("{}, recovering, after {}", label(), moment.step);
        tally.judge(&moment.disk, &model, After::Kill, 3, &|| label() + ", killed");
        for again in moment.disk.power_cuts(bound(3, 12)) {
            tally.judge(&again, &model, After::Cut, 3, &|| label() + ", cut");
        }
    }
}

/// Tears every write at every length worth it, then kills, then cuts.
fn tear(
    tally: &Tally,
    workload: &Workload,
    kind: &str,
    writes: &[(usize, usize)],
    (disk, model, ops): (&Disk, &Model, &[Op]),
) -> Result<(), String> {
    for (verb, len) in writes {
        for keep in torn_lengths(*len) {
            let verb = *verb;
            let plan = Box::new(move |process: &plugcache::__sim::Process, before: usize| {
                if verb > before {
                    process.tear(verb - before, keep);
                }
            });
            let mut world = World::on(disk.snapshot(), model.clone()).with_plan(plan);
            for op in ops {
                world.run(*op)?;
                if !world.process.is_alive() {
                    break;
                }
            }
            let label =
                || format!("{} ({kind}), write {verb} torn after {keep} bytes of {len}", workload.name);
            let Some(last) = world.process.last_disk() else { return Err(label() + ": it did not die") };
            tally.judge(&last, &world.model, After::Kill, 2, &label);
            for cut in last.power_cuts(bound(2, 40)) {
                tally.judge(&cut, &world.model, After::Cut, 2, &|| label() + ", then cut");
            }
        }
    }
    Ok(())
}

#[test]
fn killed_torn_or_cut_at_any_verb_nothing_acknowledged_is_lost_and_nothing_wrong_is_found() {
    let tally = Tally::default();
    let started = Instant::now();
    let jobs: Vec<_> = WORKLOADS.iter().flat_map(|workload| SETUPS.map(|setup| (workload, setup))).collect();
    let next = Mutex::new(jobs.into_iter());
    let threads = thread::available_parallelism().map_or(1, usize::from).min(4);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some((workload, setup)) = next.lock().unwrap().next() else { break };
                    if let Err(why) = crash(&tally, workload, setup) {
                        tally.wrong(format!("{} ({}): {why}", workload.name, setup.0));
                    }
                }
            });
        }
    });
    let [kills, cuts, torn, recoveries] = *tally.kills.lock().unwrap();
    println!(
        "crash: {} distinct states; {kills} kills, {cuts} power cuts, {torn} torn writes, {recoveries} crashes of \
         a recovery; {:.0} s",
        tally.states.count(),
        started.elapsed().as_secs_f64(),
    );
    let wrong = tally.wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(tally.states.count() >= bound(10_000, 1_000_000), "{} states", tally.states.count());
}

#[test]
fn a_store_that_was_never_crashed_passes_its_own_check() {
    for workload in &WORKLOADS {
        let (disk, model, ops) = workload.start(LAZY);
        let past = record(&disk, &model, &ops).unwrap();
        check::canaries(&past.end.disk).unwrap();
    }
}
