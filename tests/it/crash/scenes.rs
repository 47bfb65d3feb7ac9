//! Processes that meet on one disk: the table of scenes, how one is played, and how it is judged.

use super::{
    check::check,
    config, content_of, disk_with_store, find,
    model::{After, Key, Model, State},
    open, outputs, sources_of,
    workload::{LAZY, Op, Setup, prepare},
    workloads::ROTATES,
};
use plugcache::{
    __sim::{self, Body, Controller, Disk, Listings, Process, Report},
    Added, Store,
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

/// A builder that waits for a stopped one waits this long.
const BUILD_WAIT: Duration = Duration::from_millis(60);

/// What one process does, one after the other, each from its own handle.
type Role = &'static [Op];

/// Processes that meet on one disk.
#[derive(Clone, Copy)]
pub(super) struct Scene {
    pub(super) name: &'static str,
    pub(super) before: &'static [Op],
    pub(super) roles: &'static [Role],
    pub(super) setup: Setup,
    /// Sizes at which the manifest does something, made so small that the operations reach them.
    pub(super) sizes: &'static [(&'static str, u64)],
    /// What listings show of names that come and go meanwhile.
    pub(super) listings: Listings,
}

const A: Key = (1, 0);
const B: Key = (2, 0);
const C: Key = (13, 0);
const D: Key = (24, 0);

const TWO: Setup = Setup { max_files: 2, ..LAZY };

use Op::{Add, Compact, Damage, Find, Forget, Hours, Sweep};

/// What most scenes have in common.
const LAZY_SCENE: Scene =
    Scene { name: "", before: &[], roles: &[], setup: LAZY, sizes: &[], listings: Listings::AtOnce };

pub(super) const SCENES: [Scene; 16] = [
    Scene {
        name: "two writers and a compactor",
        before: &[Add(C, 6), Add(D, 8), Forget(D)],
        roles: &[&[Add(A, 2)], &[Add(B, 4)], &[Compact]],
        ..LAZY_SCENE
    },
    Scene {
        name: "two writers make the log after a compaction",
        before: &[Op::LoseLogs],
        roles: &[&[Add(A, 2)], &[Add(B, 4)], &[Compact]],
        ..LAZY_SCENE
    },
    Scene {
        name: "an adder, a builder and a sweep of litter",
        before: &[Add(C, 2), Hours(1), Forget(C)],
        roles: &[&[Add(A, 2), Find(A)], &[Op::Get(B, 4)], &[Sweep]],
        ..LAZY_SCENE
    },
    Scene {
        name: "two compactors and a writer",
        before: &[Add(C, 6), Compact, Add(C, 8)],
        roles: &[&[Compact], &[Compact], &[Add(A, 2), Find(C)]],
        ..LAZY_SCENE
    },
    Scene {
        name: "a finder, a writer and a compactor",
        before: &[Add(C, 6), Add(D, 8)],
        roles: &[&[Find(C), Find(A), Find(D), Find(C)], &[Add(A, 2), Add(A, 4)], &[Compact, Compact]],
        ..LAZY_SCENE
    },
    Scene {
        name: "the same key from two writers",
        before: &[Add(A, 6)],
        roles: &[&[Add(A, 2), Find(C)], &[Add(A, 4)], &[Compact]],
        ..LAZY_SCENE
    },
    Scene {
        name: "adders of the bytes that somebody drops",
        before: &[Add(C, 2), Hours(1)],
        roles: &[&[Add(A, 2), Find(A)], &[Add(B, 2)], &[Forget(C)]],
        ..LAZY_SCENE
    },
    Scene {
        name: "an adder of bytes and their dropper",
        before: &[Add(C, 2), Hours(1)],
        roles: &[&[Add(A, 2), Find(A)], &[Forget(C)]],
        ..LAZY_SCENE
    },
    Scene {
        name: "finders and a dropper of what they find",
        before: &[Add(C, 2), Add(D, 2), Hours(1)],
        roles: &[&[Find(C), Find(D)], &[Forget(C)], &[Find(D)]],
        ..LAZY_SCENE
    },
    Scene {
        name: "a finder and the dropper of the last entry",
        before: &[Add(C, 2), Hours(1)],
        roles: &[&[Find(C), Find(C)], &[Forget(C)]],
        ..LAZY_SCENE
    },
    Scene {
        name: "eviction by two at the cap",
        before: &[Add(C, 2), Hours(1)],
        roles: &[&[Add(A, 4)], &[Add(B, 6)]],
        setup: TWO,
        ..LAZY_SCENE
    },
    Scene {
        name: "a damaged object, an adder of its bytes and two finders",
        before: &[Add(C, 2), Damage(2)],
        roles: &[&[Add(A, 2), Find(A)], &[Find(C), Find(C)], &[Find(C)]],
        ..LAZY_SCENE
    },
    Scene {
        name: "builders of the same",
        before: &[Add(C, 6)],
        roles: &[&[Op::Get(A, 2)], &[Op::Get(A, 2)], &[Compact]],
        ..LAZY_SCENE
    },
    Scene {
        name: "two writers of full logs and a compactor",
        before: &[Add(C, 6), Add(D, 8)],
        roles: &[&[Add(A, 2), Find(C)], &[Add(B, 4)], &[Compact]],
        sizes: ROTATES,
        ..LAZY_SCENE
    },
    Scene {
        name: "two writers and a compactor, listings as on btrfs",
        before: &[Add(C, 6), Add(D, 8), Forget(D)],
        roles: &[&[Add(A, 2), Find(C)], &[Add(B, 4)], &[Compact]],
        listings: Listings::SinceOpening,
        ..LAZY_SCENE
    },
    Scene {
        name: "a finder, a writer and a compactor, listings torn",
        before: &[Add(C, 6), Add(D, 8)],
        roles: &[&[Find(C), Find(A), Find(D), Find(C)], &[Add(A, 2), Add(A, 4)], &[Compact, Compact]],
        sizes: ROTATES,
        listings: Listings::Torn,
        ..LAZY_SCENE
    },
];

/// One operation as it went, in steps of the whole.
#[derive(Clone, Debug)]
pub(super) struct Went {
    pub(super) op: Op,
    begun: usize,
    /// When it was acknowledged.
    pub(super) acked: Option<usize>,
    found: Result<State, String>,
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
        Op::Forget(key) => (store.forget(&sources_of(key.0).digest()).is_ok(), Ok(None)),
        Op::Compact => (__sim::compact(store), Ok(None)),
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
    before: Model,
    pub(super) went: Vec<Went>,
}

impl Scene {
    /// A sweep lists 256 directories: too many verbs for every order of them.
    pub(super) fn is_long(&self) -> bool {
        self.roles.iter().any(|role| role.contains(&Op::Sweep))
    }

    pub(super) fn start(&self) -> (Disk, Model) {
        let (disk, model) = prepare(&disk_with_store(), self.before);
        self.sizes.iter().for_each(|(name, bytes)| disk.set_size(name, *bytes));
        disk.set_listings(self.listings);
        (disk, model)
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
        let bodies = self.roles.iter().enumerate().map(|(number, role)| {
            let (log, plan) = (log.clone(), &plan);
            let setup = self.setup;
            let body = move |process: Process| {
                plan(number, &process);
                let config =
                    config(0, setup.durability).max_files(setup.max_files).build_wait_max(BUILD_WAIT);
                let Ok(store) = open(&process, config) else { return };
                for op in role.iter() {
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

pub(super) fn key_and_state(op: Op) -> Option<(Key, State)> {
    match op {
        Op::Add(key, number) | Op::Get(key, number) => Some((key, Some(number))),
        Op::Forget(key) => Some((key, None)),
        _ => None,
    }
}

impl Played {
    /// What may be found under a key in the end: whatever no later operation that was begun after its
    /// acknowledgement has overtaken.
    fn states(&self, key: Key) -> BTreeSet<State> {
        let of_key: Vec<_> = self
            .went
            .iter()
            .filter_map(|went| Some((went, key_and_state(went.op)?)))
            .filter(|(_, (k, _))| *k == key)
            .collect();
        let mut states = BTreeSet::new();
        for (went, (_, state)) in &of_key {
            let overtaken = went.acked.is_some_and(|acked| {
                of_key.iter().any(|(other, _)| other.acked.is_some() && other.begun > acked)
            });
            if !overtaken {
                states.insert(*state);
            }
        }
        if of_key.iter().all(|(went, _)| went.acked.is_none()) {
            states.extend(self.before.allowed(key, After::Kill));
        }
        states
    }

    /// Judges it: right answers on the way, and nothing acknowledged is lost in the end.
    pub(super) fn judge(&self, scene: &Scene) -> Result<(), String> {
        let mut model = self.before.clone();
        let keys: BTreeSet<Key> =
            model.keys().chain(self.went.iter().filter_map(|went| Some(key_and_state(went.op)?.0))).collect();
        let capped = scene.setup.max_files < 100;
        for key in keys {
            let mut states = self.states(key);
            if capped {
                states.insert(None);
            }
            model.any(key, &states);
        }
        for went in &self.went {
            let found = went.found.clone().map_err(|why| format!("{:?}: {why}", went.op))?;
            if let Op::Find(key) = went.op {
                let writes =
                    self.went.iter().any(|other| key_and_state(other.op).is_some_and(|(k, _)| k == key));
                let allowed = self.before.allowed(key, After::Kill);
                if went.acked.is_some() && !writes && !capped && !allowed.contains(&found) {
                    return Err(format!("{:?} was {found:?} on the way and may be {allowed:?}", went.op));
                }
                self.sees_own(went, found)?;
            }
        }
        if !self.report.is_complete {
            return Err("somebody did not come to an end".into());
        }
        check(&self.disk.snapshot(), &model, After::Kill)?;
        if capped && self.report.is_complete {
            self.keeps_the_cap()?;
        }
        Ok(())
    }

    /// A find after an add that was acknowledged is a hit, if nobody drops the key or evicts.
    fn sees_own(&self, find: &Went, found: State) -> Result<(), String> {
        let Op::Find(key) = find.op else { return Ok(()) };
        let dropped = self.went.iter().any(|went| matches!(went.op, Op::Forget(k) if k == key));
        let acked = self.went.iter().any(|went| {
            matches!(went.op, Op::Add(k, _) | Op::Get(k, _) if k == key)
                && went.acked.is_some_and(|at| at < find.begun)
        });
        let missed = acked && !dropped && find.acked.is_some() && found.is_none();
        if missed { Err(format!("{key:?} was acknowledged, and a later find missed")) } else { Ok(()) }
    }

    /// Of those that add at the cap one is left: no two drop each other's entry.
    fn keeps_the_cap(&self) -> Result<(), String> {
        let disk = self.disk.snapshot();
        let store = open(&disk.process(), config(0, LAZY.durability)).map_err(|error| error.to_string())?;
        let acked = self.went.iter().filter(|went| matches!(went.op, Op::Add(..)) && went.acked.is_some());
        let keys: Vec<Key> = acked.filter_map(|went| Some(key_and_state(went.op)?.0)).collect();
        let left = keys.iter().filter(|key| find(&store, key.0) != Ok(None)).count();
        if keys.len() < 2 || left > 0 { Ok(()) } else { Err(format!("of {keys:?} none is left")) }
    }

    /// Without a crash every add is acknowledged, and every build stored. But whoever holds an object exclusively
    /// may keep others from adding its bytes (I13). And a sweep may take the directory of a build before it is
    /// locked: the build then goes to the system's temporary directory, which is not simulated.
    pub(super) fn all_stored(&self, scene: &Scene) -> Result<(), String> {
        let is_refused = |went: &&Went| {
            let adds = matches!(went.op, Op::Add(..)) && !scene.name.contains("bytes");
            let builds = matches!(went.op, Op::Get(..)) && !scene.is_long();
            (adds || builds) && went.acked.is_none()
        };
        match self.went.iter().find(is_refused) {
            Some(went) => Err(format!("{:?} is not stored", went.op)),
            None => Ok(()),
        }
    }

    pub(super) fn label(&self, scene: &Scene) -> String {
        format!("{}: schedule {:?}", scene.name, self.report.turns)
    }
}
