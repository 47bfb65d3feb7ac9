//! Killed after every verb, torn in every write, the power cut after every verb; then recovered, and cut again.
//!
//! Bounds: every moment of every workload is a kill; every write is torn at every length of
//! [`torn_lengths`]; of each moment at most [`cuts_max`] power cuts, the standard ones first; of every so many of
//! these the recovery itself is crashed at every verb. Of 256 equal directories in the making, every sixteenth
//! counts as a moment.

use super::{
    States, V1, bound,
    check::{self, FRESH, check},
    in_parallel,
    model::{After, Model},
    pins::{CUTS, KILLS, RECOVERIES, STATES, TORN},
    workload::{LAZY, Op, Setup, World, record},
    workloads::{WORKLOADS, Workload, jobs},
};
use plugcache::__sim::{Disk, Moment, Process, Verb, torn_lengths};
use std::{collections::HashSet, sync::Mutex, time::Instant};

/// Power cuts per moment.
fn cuts_max() -> usize {
    bound(80, 2200)
}

/// Of how many power cuts one has its recovery crashed too.
fn recovery_stride() -> usize {
    bound(120, 400)
}

/// Whether this moment stands for others that are like it.
fn is_one_of_many(at: usize, moment: &Moment) -> bool {
    moment.step.verb == Verb::MakeDir && !at.is_multiple_of(16)
}

/// What one run over everything has seen.
#[derive(Default)]
struct Tally {
    states: States,
    judged: Mutex<HashSet<(u64, u64, After)>>,
    counts: Mutex<[usize; 4]>,
    /// Those in which the power was cut, and those of them in which it was in every legal way.
    moments: Mutex<[usize; 2]>,
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    fn wrong(&self, what: String) {
        let mut wrong = self.wrong.lock().unwrap();
        if wrong.len() < 40 {
            wrong.push(what);
        }
    }
}

/// One workload with handles of one kind. What it looks at does not depend on any other.
struct Job<'a> {
    tally: &'a Tally,
    workload: &'a Workload,
    kind: &'static str,
    setup: Setup,
}

/// The kinds of crashes, as they are counted.
#[derive(Clone, Copy)]
enum Kind {
    Kill,
    Cut,
    Torn,
    Recovery,
}

impl Job<'_> {
    /// Judges a state after a crash, unless an equal one was judged.
    fn judge(&self, disk: &Disk, model: &Model, after: After, kind: Kind, label: &dyn Fn() -> String) {
        self.tally.counts.lock().unwrap()[kind as usize] += 1;
        let print = disk.fingerprint();
        self.tally.states.note(print);
        // After a kill stamps decide what is hashed again, and a fingerprint leaves them out.
        let key = (print, model.print(after), after);
        let is_new = after == After::Kill || self.tally.judged.lock().unwrap().insert(key);
        let judged = if is_new { check(&disk.snapshot(), model, after).map(drop) } else { Ok(()) };
        if let Err(why) = judged {
            self.tally.wrong(format!("{}: {why}\n{}", label(), disk.story()));
        }
    }

    fn name(&self) -> String {
        format!("{} ({})", self.workload.name, self.kind)
    }
}

impl Job<'_> {
    /// Crashes the workload everywhere.
    fn crash(&self) -> Result<(), String> {
        let (disk, model, ops) = self.workload.start(self.setup);
        let past = record(&disk, &model, &ops)?;
        for (at, instant) in past.instants.iter().enumerate() {
            let step = &instant.moment.step;
            let label = |what: &str| format!("{}, {what} after {:?}: {step}", self.name(), ops[instant.op]);
            let disk = &instant.moment.disk;
            self.judge(disk, &instant.model, After::Kill, Kind::Kill, &|| label("killed"));
            if !is_one_of_many(at, &instant.moment) {
                self.cuts(at, disk, &instant.model, &|| label("cut"));
            }
        }
        let end = past.instants.len();
        self.cuts(end, &past.end.disk, &past.end.model, &|| format!("{}, cut at the end", self.name()));
        self.tear(&past.writes().collect::<Vec<_>>(), (&disk, &model, &ops))
    }

    /// Cuts the power in the state of moment number `at`.
    fn cuts(&self, at: usize, disk: &Disk, model: &Model, label: &dyn Fn() -> String) {
        let mut cuts = disk.power_cuts(cuts_max());
        for (number, cut) in cuts.by_ref().enumerate() {
            self.judge(&cut, model, After::Cut, Kind::Cut, label);
            // Another cut of each moment, so that all kinds of both have their turn.
            if (7 * at + number).is_multiple_of(recovery_stride()) {
                self.recover(&cut, model, &|| format!("{}\n{}", label(), cut.story()));
            }
        }
        let mut moments = self.tally.moments.lock().unwrap();
        moments[0] += 1;
        moments[1] += usize::from(cuts.is_exhaustive());
    }

    /// Crashes the recovery from a power cut at every verb of it: open, find all, add.
    fn recover(&self, cut: &Disk, model: &Model, label: &dyn Fn() -> String) {
        let disk = cut.snapshot();
        let Ok(found) = check(&cut.snapshot(), model, After::Cut) else { return };
        let mut model = model.clone();
        model.found_after_cut(&found);
        model.unsure(FRESH.0, Some(FRESH.1));
        disk.record();
        let mut world = World::on(disk.clone(), model.clone());
        let finds = model.keys().map(Op::Find).collect::<Vec<_>>();
        let ops = [Op::Open(self.setup)].into_iter().chain(finds).chain([Op::Add(FRESH.0, FRESH.1)]);
        world.is_strict = false;
        for op in ops {
            if let Err(why) = world.run(op) {
                self.tally.wrong(format!("{}, recovering: {why}", label()));
            }
        }
        let judge = |disk: &Disk, model: &Model, after: After, what: &str| {
            self.judge(disk, model, after, Kind::Recovery, &|| format!("{}, {what}", label()));
        };
        for cut in world.disk.power_cuts(bound(3, 12)) {
            judge(&cut, &world.model, After::Cut, "recovered and cut");
        }
        let moments = disk.recorded().into_iter().enumerate();
        for (_, moment) in moments.filter(|(at, moment)| !is_one_of_many(*at, moment)) {
            let what = format!("recovering, after {}", moment.step);
            judge(&moment.disk, &model, After::Kill, &format!("{what}, killed"));
            for again in moment.disk.power_cuts(bound(3, 12)) {
                judge(&again, &model, After::Cut, &format!("{what}, cut"));
            }
        }
    }

    /// Tears every write at every length worth it, then kills, then cuts.
    fn tear(
        &self,
        writes: &[(usize, usize)],
        (disk, model, ops): (&Disk, &Model, &[Op]),
    ) -> Result<(), String> {
        for (verb, len) in writes {
            for keep in torn_lengths(*len) {
                let verb = *verb;
                let plan = Box::new(move |process: &Process, before: usize| {
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
                let label = || format!("{}, write {verb} torn after {keep} bytes of {len}", self.name());
                let Some(last) = world.process.last_disk() else { return Err(label() + ": it did not die") };
                self.judge(&last, &world.model, After::Kill, Kind::Torn, &label);
                for cut in last.power_cuts(bound(2, 40)) {
                    self.judge(&cut, &world.model, After::Cut, Kind::Torn, &|| label() + ", then cut");
                }
            }
        }
        Ok(())
    }
}

#[test]
fn killed_torn_or_cut_at_any_verb_nothing_acknowledged_is_lost_and_nothing_wrong_is_found() {
    let tally = Tally::default();
    let started = Instant::now();
    in_parallel(jobs(), |(workload, (kind, setup))| {
        let job = Job { tally: &tally, workload, kind, setup };
        if let Err(why) = job.crash() {
            tally.wrong(format!("{}: {why}", job.name()));
        }
    });
    let [kills, cuts, torn, recoveries] = *tally.counts.lock().unwrap();
    let [moments, exhausted] = *tally.moments.lock().unwrap();
    println!(
        "crash: {} distinct states; {kills} kills, {cuts} power cuts ({exhausted} of {moments} moments in every \
         legal way), {torn} torn writes, {recoveries} crashes of a recovery; {:.0} s",
        tally.states.count(),
        started.elapsed().as_secs_f64(),
    );
    let wrong = tally.wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    STATES.check(tally.states.count());
    KILLS.check(kills);
    CUTS.check(cuts);
    TORN.check(torn);
    RECOVERIES.check(recoveries);
}

#[test]
fn a_store_that_was_never_crashed_passes_its_own_check() {
    let mut made = Vec::new();
    for workload in &WORKLOADS {
        let (disk, model, ops) = workload.start(LAZY);
        let past = record(&disk, &model, &ops).unwrap();
        check::canaries(&past.end.disk).unwrap();
        let highest = past.end.disk.list(V1).into_iter().filter_map(|name| name.into_string().ok());
        made.push((workload.name, highest.filter(|name| name.contains('.')).collect::<Vec<_>>()));
    }
    // The logs are as small as these workloads need them.
    let of = |name: &str| made.iter().find(|(workload, _)| *workload == name).unwrap().1.join(" ");
    assert_eq!(of("rotation"), "log.1 log.2 log.3");
    assert_eq!(of("rotations between compactions"), "log.4 log.5 seg.1-3");
    assert_eq!(of("compaction by an add"), "log.2 seg.1-1");
}
