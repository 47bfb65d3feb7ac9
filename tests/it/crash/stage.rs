//! How a scene is played: its processes on one disk, by whatever schedule, with all that they did and were told.

use super::{
    ROOT, V1,
    beside::{BEYOND, ELSEWHERE, OTHER, disk_with_neighbours, open_from},
    config, content_of, disk_with_store, find,
    model::{Key, Model, State},
    outputs,
    scenes::Scene,
    sources_of,
    workload::{Op, Setup, prepare_from},
};
use plugcache::{
    __sim::{self, Body, Controller, Disk, Process, Report, Step, Verb},
    Added, ScrubOptions, Store,
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// A builder that waits for a stopped one waits this long.
const BUILD_WAIT: Duration = Duration::from_millis(60);

/// One operation as it went, in steps of the whole.
#[derive(Clone, Debug)]
pub(super) struct Went {
    pub(super) op: Op,
    pub(super) begun: usize,
    /// When it was acknowledged.
    pub(super) acked: Option<usize>,
    pub(super) found: Result<State, String>,
}

/// All that happened, in the order in which it did: only one process runs at a time.
#[derive(Default)]
struct Log {
    clock: usize,
    went: Vec<Went>,
}

impl Log {
    fn begin(&mut self, op: Op) -> usize {
        self.clock += 1;
        self.went.push(Went { op, begun: self.clock, acked: None, found: Ok(None) });
        self.went.len() - 1
    }

    fn end(&mut self, at: usize, acked: bool, found: Result<State, String>) {
        self.clock += 1;
        self.went[at].acked = acked.then_some(self.clock);
        self.went[at].found = found;
    }
}

/// What each operation sets its keys to, if it sets any.
pub(super) fn writes(op: Op) -> Vec<(Key, State)> {
    match op {
        Op::Add(key, number) | Op::Get(key, number) => vec![(key, Some(number))],
        Op::Fetch => BEYOND.map(|(key, number)| (key, Some(number))).to_vec(),
        Op::Import => ELSEWHERE.map(|(key, number)| (key, Some(number))).to_vec(),
        Op::Forget(key) => vec![(key, None)],
        _ => Vec::new(),
    }
}

fn act(disk: &Disk, store: &Store, op: Op) -> (bool, Result<State, String>) {
    match op {
        Op::Add(key, number) => {
            (store.add(&sources_of(key.0), outputs(number)) == Ok(Added::Stored), Ok(None))
        }
        Op::Get(key, number) => {
            let build = |build: &mut plugcache::Build| {
                let mut outputs = super::content(number).into_iter();
                outputs.try_for_each(|(name, bytes)| build.write(name, bytes))
            };
            let got = store.get_or_build(&sources_of(key.0), build);
            (got.is_ok_and(|got| got.artifact.is_stored()), Ok(None))
        }
        Op::Find(key) => {
            let Some(artifact) = store.find(&sources_of(key.0)) else { return (true, Ok(None)) };
            // Nothing that is leased loses its name (I12).
            let path = artifact.path();
            let is_there = disk.exists(path);
            (true, if is_there { content_of(&artifact) } else { Err(format!("{} is gone", path.display())) })
        }
        Op::Fetch => {
            let found = find(store, BEYOND[0].0.0);
            (found.as_ref().is_ok_and(Option::is_some), found)
        }
        Op::Import => (store.import(OTHER.as_ref()).is_ok(), Ok(None)),
        Op::Forget(key) => (store.forget(&sources_of(key.0).digest()).is_ok(), Ok(None)),
        Op::Compact => (__sim::compact(store), Ok(None)),
        Op::Rebuild => (store.rebuild().is_ok(), Ok(None)),
        Op::Scrub => match store.scrub(ScrubOptions::new().threads(1)) {
            Ok(report) if report.is_clean() => (true, Ok(None)),
            Ok(report) => (true, Err(format!("not clean: {report:?}"))),
            Err(_) => (false, Ok(None)),
        },
        Op::Sweep => {
            __sim::sweep(store);
            (true, Ok(None))
        }
        _ => (true, Ok(None)),
    }
}

/// One performance of a scene.
pub(super) struct Played {
    pub(super) disk: Disk,
    pub(super) report: Report,
    pub(super) before: Model,
    pub(super) went: Vec<Went>,
}

impl Scene {
    /// A sweep and a scrub list 256 directories: too many verbs for every order of them.
    pub(super) fn is_long(&self) -> bool {
        self.roles.iter().any(|role| role.contains(&Op::Sweep) || role.contains(&Op::Scrub))
    }

    pub(super) fn start(&self) -> (Disk, Model) {
        let disk = if self.has_neighbours { disk_with_neighbours() } else { disk_with_store() };
        let (disk, model) = prepare_from(&disk, self.setup.beside.model(), self.before);
        self.sizes.iter().for_each(|(name, bytes)| disk.set_size(name, *bytes));
        disk.set_listings(self.listings);
        (disk, model)
    }

    /// How this process opens the store, and what it does then.
    fn role(&self, number: usize) -> (Setup, &'static [Op]) {
        match self.roles[number] {
            [Op::Open(own), ops @ ..] => (Setup { durability: self.setup.durability, ..*own }, ops),
            ops => (self.setup, ops),
        }
    }

    /// Plays it on a copy of `disk`. `plan` is told each process when it starts, `choose` says whose turn it is.
    pub(super) fn play(
        &self,
        start: &(Disk, Model),
        plan: impl Fn(usize, &Process) + Sync,
        mut choose: impl FnMut(&Disk, &[usize]) -> usize,
    ) -> Played {
        self.play_watched(start, plan, |disk, _, can| choose(disk, can))
    }

    /// The same, with all that happened so far shown to `choose` before each turn.
    pub(super) fn play_watched(
        &self,
        (disk, before): &(Disk, Model),
        plan: impl Fn(usize, &Process) + Sync,
        mut choose: impl FnMut(&Disk, &[Went], &[usize]) -> usize,
    ) -> Played {
        let disk = disk.snapshot();
        let log = Arc::new(Mutex::new(Log::default()));
        let bodies = (0..self.roles.len()).map(|number| {
            let (log, plan, (setup, ops)) = (log.clone(), &plan, self.role(number));
            let body = move |process: Process| {
                plan(number, &process);
                let config =
                    config(0, setup.durability).max_files(setup.max_files).build_wait_max(BUILD_WAIT);
                let Ok(store) = open_from(&process, config, setup.beside) else { return };
                for op in ops {
                    let at = log.lock().unwrap().begin(*op);
                    let (acked, found) = act(process.disk(), &store, *op);
                    if !process.is_alive() {
                        // What a dead process found out nobody hears.
                        return;
                    }
                    log.lock().unwrap().end(at, acked, found);
                }
            };
            Box::new(body) as Body<'_>
        });
        let bodies = bodies.collect();
        let report = Controller::new(&disk)
            .steps_max(20_000)
            .run(bodies, |can| choose(&disk, &log.lock().unwrap().went, can));
        let went = std::mem::take(&mut log.lock().unwrap().went);
        Played { disk, report, before: before.clone(), went }
    }

    /// What a process does that goes first, and comes to its end.
    pub(super) fn trace(&self, start: &(Disk, Model), first: usize) -> Vec<Step> {
        let process = Mutex::new(None);
        let plan = |number, started: &Process| {
            if number == first {
                *process.lock().unwrap() = Some(started.clone());
            }
        };
        self.play(start, plan, |_, can| can.iter().position(|number| *number == first).unwrap_or(0));
        process.into_inner().unwrap().map_or_else(Vec::new, |process| process.trace())
    }

    /// After which of its verbs a process is worth interrupting: after each on the store, for nothing else changes here; but
    /// of a walk through 256 directories that hold nothing only in every sixteenth.
    pub(super) fn moments(&self, start: &(Disk, Model), first: usize) -> Vec<usize> {
        let is_worth = |step: &Step| {
            let path = step.path.to_string_lossy();
            let shard = path.split_once("/objects/").map(|(_, shard)| shard.get(..2).unwrap_or_default());
            let is_walk =
                matches!(step.verb, Verb::OpenDir | Verb::MakeDir | Verb::List | Verb::SyncDir | Verb::Close);
            let is_passed_over = |shard: &str| {
                !shard.ends_with('0') && start.0.list(format!("{V1}/objects/{shard}")).is_empty()
            };
            path.starts_with(ROOT) && !(is_walk && shard.is_some_and(is_passed_over))
        };
        let trace = self.trace(start, first);
        (1..).zip(&trace).filter(|(_, step)| is_worth(step)).map(|(number, _)| number).collect()
    }
}

/// Whose turn it is where one process is interrupted after so many of its verbs, all the others run to their ends,
/// one after the other, and it goes on.
pub(super) struct Interruption {
    pub(super) first: usize,
    pub(super) after: usize,
    /// The others go in the reverse order.
    pub(super) reverse: bool,
    /// How many verbs the first one took before it was interrupted.
    pub(super) steps: usize,
}

impl Interruption {
    pub(super) fn choose(&mut self, can: &[usize]) -> usize {
        let own = can.iter().position(|number| *number == self.first);
        let is_other = |number: &usize| *number != self.first;
        let other = if self.reverse { can.iter().rposition(is_other) } else { can.iter().position(is_other) };
        match (own, other) {
            (Some(own), _) if self.steps < self.after => {
                self.steps += 1;
                own
            }
            (_, Some(other)) => other,
            (own, None) => own.unwrap_or(0),
        }
    }

    /// Whether the first one has come to its end before it was to be interrupted.
    pub(super) fn is_too_late(&self) -> bool {
        self.steps < self.after
    }
}
