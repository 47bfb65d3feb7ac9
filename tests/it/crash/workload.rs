//! Operations, run by processes on one disk and told to the model, with every moment of them kept.

use super::{
    V1,
    beside::{Beside, open_as},
    check,
    check::Files,
    config, find,
    memo::{digests_right, edit, rewrite},
    model::{After, Key, Model},
    open, outputs, sources_of,
};
use plugcache::{
    __sim::{self, Disk, Moment, Process, Step, Verb},
    Added, Durability, How, ScrubOptions, Store, SweepOptions,
};
use std::{collections::BTreeMap, time::Duration};

/// One thing that a process does, or that happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// The next operations are those of a new process, opened like this.
    Open(Setup),
    Add(Key, u8),
    Forget(Key),
    Find(Key),
    /// `get_or_build`, building this.
    Get(Key, u8),
    Compact,
    Sweep,
    Scrub,
    Rebuild,
    Sync,
    /// Takes in what the other store has, see [`super::beside`].
    Import,
    /// Finds what the tier has.
    Fetch,
    /// Somebody writes all sources anew, each as a version of this number.
    Edit(u8),
    /// All sources are digested.
    Digest,
    /// Somebody writes all sources anew within the tick of a coarse clock: nothing but their bytes shows it.
    Rewrite,
    /// The power was cut: the last bytes of all sources are lost, and their times stay.
    LoseSources,
    /// So many hours pass.
    Hours(u64),
    /// The kernel's boot id changes, as if the machine had been started anew with everything in place.
    NewBoot,
    /// A foreign process writes into the first object of this content.
    Damage(u8),
    /// The footer of the segment rots: what lies in it may be hidden.
    DamageSegment,
    /// The logs of a store without entries are gone, as on a store that was made and never used.
    LoseLogs,
    /// Everything so far reaches the medium, unknown to anybody: nothing is promised by it.
    Settle,
}

/// How a process opens the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Setup {
    pub(super) durability: Durability,
    pub(super) max_files: u64,
    pub(super) beside: Beside,
    /// Digests of unchanged files are written into the store.
    pub(super) memo: bool,
}

pub(super) const LAZY: Setup =
    Setup { durability: Durability::Lazy, max_files: 4096, beside: Beside::Nothing, memo: false };
pub(super) const SYNC: Setup = Setup { durability: Durability::Sync, ..LAZY };

/// What an operation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It was acknowledged, or there was nothing to acknowledge.
    Yes,
    /// It was refused, or its process died in it.
    No,
}

/// A moment of a workload: the disk as it was, and what may be on it.
pub(super) struct Instant {
    pub(super) moment: Moment,
    pub(super) model: Model,
    pub(super) op: usize,
}

/// A disk, the process that is at it now, and what the store on it may say.
pub(super) struct World {
    pub(super) disk: Disk,
    pub(super) process: Process,
    /// What is planned for each process when it starts.
    plan: Option<Plan>,
    /// Verbs of the processes before this one.
    trace_before: Vec<Step>,
    setup: Setup,
    stores: BTreeMap<u8, Store>,
    pub(super) model: Model,
    /// Without faults every operation must be acknowledged.
    pub(super) is_strict: bool,
    /// Whether the last `get_or_build` stored what it built.
    was_built: bool,
    was_at_the_cap: bool,
    /// Readings come back short for ever: a handle may be behind what others wrote, also when it drops it.
    pub(super) is_behind: bool,
    /// A sync of another process may have lost what this one takes for durable.
    pub(super) is_lossy: bool,
}

/// Something done to a process, given how many verbs went before it.
pub(super) type Plan = Box<dyn Fn(&Process, usize)>;

impl World {
    pub(super) fn on(disk: Disk, model: Model) -> World {
        let process = disk.process();
        World {
            disk,
            process,
            plan: None,
            trace_before: Vec::new(),
            setup: LAZY,
            stores: BTreeMap::new(),
            model,
            is_strict: true,
            was_built: false,
            was_at_the_cap: false,
            is_behind: false,
            is_lossy: false,
        }
    }

    /// From now on, `plan` decides how processes end and fail; operations may fail.
    pub(super) fn with_plan(mut self, plan: Plan) -> World {
        plan(&self.process, 0);
        self.plan = Some(plan);
        self.is_strict = false;
        self
    }

    pub(super) fn durability(&self) -> Durability {
        self.setup.durability
    }

    /// Verbs so far.
    pub(super) fn verbs(&self) -> usize {
        self.trace_before.len() + self.process.steps()
    }

    /// Lets go of all handles, which costs verbs.
    pub(super) fn close(&mut self) {
        self.stores.clear();
    }

    fn reopen(&mut self, setup: Setup) {
        self.close();
        // A handle that goes writes down what it has counted: killed there, it is not followed by another.
        if self.plan.is_some() && !self.process.is_alive() {
            return;
        }
        self.trace_before.extend(self.process.trace());
        self.process = self.disk.process();
        self.setup = setup;
        if let Some(plan) = &self.plan {
            plan(&self.process, self.trace_before.len());
        }
    }

    fn store(&mut self, exec: u8) -> Option<Store> {
        if !self.stores.contains_key(&exec) {
            match open_as(&self.process, exec, self.setup) {
                Ok(store) => self.stores.insert(exec, store),
                Err(error) if self.is_strict => panic!("open: {error:?}"),
                Err(_) => return None,
            };
        }
        self.stores.get(&exec).cloned()
    }

    /// What may be true while this operation runs.
    pub(super) fn begun(&self, op: Op) -> Model {
        let mut model = self.model.clone();
        match op {
            Op::Add(key, number) | Op::Get(key, number) => {
                // A build follows a miss alone, and a fault may be one.
                let may_hit = model.allowed(key, After::Kill);
                let goes_on = matches!(op, Op::Add(..)) || !self.is_strict || may_hit.contains(&None);
                if !goes_on {
                    return model;
                }
                model.unsure(key, Some(number));
                let over = self.is_at_the_cap();
                for other in model.live().into_iter().filter(|other| over && *other != key) {
                    model.unsure(other, None);
                }
            }
            // A source digest goes with the entries of every executable.
            Op::Forget(key) => {
                let keys: Vec<_> = model.keys().filter(|other| other.0 == key.0).collect();
                keys.into_iter().for_each(|key| model.unsure(key, None));
            }
            Op::Damage(number) => {
                let names = |key: &Key| model.allowed(*key, After::Kill).contains(&Some(number));
                let keys: Vec<_> = model.keys().filter(names).collect();
                for key in keys {
                    let mut states = model.allowed(key, After::Kill);
                    states.insert(None);
                    model.any(key, &states);
                }
            }
            Op::DamageSegment => {
                let keys: Vec<_> = model.keys().collect();
                for key in keys {
                    let mut states = model.allowed(key, After::Kill);
                    states.insert(None);
                    model.any(key, &states);
                }
            }
            _ => {}
        }
        model
    }

    /// Runs one operation and tells the model.
    pub(super) fn run(&mut self, op: Op) -> Result<Done, String> {
        let begun = self.begun(op);
        self.was_at_the_cap = matches!(op, Op::Add(..) | Op::Get(..)) && self.is_at_the_cap();
        let before = std::mem::replace(&mut self.model, begun);
        let done = self.act(op)?;
        if self.is_strict && done == Done::No {
            return Err(format!("{op:?} was not acknowledged"));
        }
        if done == Done::Yes {
            self.acknowledge(op, before)?;
        }
        Ok(done)
    }

    fn act(&mut self, op: Op) -> Result<Done, String> {
        let of = |ok: bool| if ok { Done::Yes } else { Done::No };
        match op {
            Op::Open(setup) => self.reopen(setup),
            Op::Hours(hours) => self.disk.advance_clock(Duration::from_secs(hours * 3600)),
            Op::NewBoot => self.disk.set_boot_id(Some([self.verbs() as u8; 16])),
            Op::Settle => self.disk.settle(),
            Op::LoseLogs => {
                self.close();
                let logs =
                    self.disk.list(V1).into_iter().filter(|name| name.to_string_lossy().starts_with("log."));
                logs.for_each(|name| self.disk.remove(format!("{V1}/{}", name.to_string_lossy())));
            }
            Op::Damage(number) => damage(&self.disk, number),
            Op::Edit(version) => edit(&self.disk, version),
            Op::Rewrite => rewrite(&self.disk, b"anew"),
            Op::LoseSources => {
                self.close();
                rewrite(&self.disk, &[0; 4]);
                self.disk.set_boot_id(Some([self.verbs() as u8; 16]));
            }
            Op::DamageSegment => {
                self.close();
                let names =
                    self.disk.list(V1).into_iter().map(|name| format!("{V1}/{}", name.to_string_lossy()));
                for path in names.filter(|path| path.contains("/seg.")) {
                    let len = self.disk.read_file(&path).map_or(0, |bytes| bytes.len());
                    self.disk.overwrite(path, len - 100, [0x5A; 8]);
                }
            }
            _ => {
                let Some(store) = self.store(key_of(op).map_or(0, |key| key.1)) else { return Ok(Done::No) };
                return self.act_on(&store, op).map(of);
            }
        }
        Ok(Done::Yes)
    }

    fn act_on(&mut self, store: &Store, op: Op) -> Result<bool, String> {
        Ok(match op {
            Op::Add(key, number) => match store.add(&sources_of(key.0), outputs(number)) {
                Ok(Added::Stored) => true,
                Ok(Added::Skipped(why)) if self.is_strict => return Err(format!("{op:?}: {why}")),
                _ => false,
            },
            Op::Forget(key) => store.forget(&sources_of(key.0).digest()).is_ok(),
            Op::Find(key) => {
                let found = find(store, key.0)?;
                let mut allowed = self.model.allowed(key, After::Kill);
                if !self.is_strict {
                    allowed.insert(None);
                }
                if !allowed.contains(&found) {
                    return Err(format!("{op:?} is {found:?} and may be {allowed:?}"));
                }
                true
            }
            Op::Get(key, number) => {
                let got = store.get_or_build(&sources_of(key.0), |build| {
                    let mut outputs = super::content(number).into_iter();
                    outputs.try_for_each(|(name, bytes)| build.write(name, bytes))
                });
                self.was_built = got.as_ref().is_ok_and(|got| got.how == How::Built);
                got.is_ok_and(|got| !matches!(got.how, How::Uncached(_)))
            }
            Op::Compact => __sim::compact(store),
            // Whatever the limits: what a model of them may show is the business of adds.
            Op::Sweep => store.sweep(SweepOptions::new().max_files(u64::MAX)).is_ok(),
            Op::Scrub => store.scrub(ScrubOptions::new().threads(1)).is_ok(),
            Op::Rebuild => store.rebuild().is_ok(),
            Op::Sync => store.sync().is_ok(),
            Op::Digest => digests_right(&self.disk, store)?,
            _ => true,
        })
    }

    /// Makes sure what was unsure.
    fn acknowledge(&mut self, op: Op, before: Model) -> Result<(), String> {
        let durable = self.setup.durability == Durability::Sync && !self.is_lossy;
        match op {
            Op::Get(..) if !self.was_built => self.model = before,
            Op::Add(key, number) | Op::Get(key, number) => {
                let others: Vec<_> = before.live().into_iter().filter(|other| *other != key).collect();
                let over = self.was_at_the_cap;
                if !over || self.is_strict {
                    self.model = before;
                }
                self.model.sure(key, Some(number), durable);
                self.hide(key, number);
                if over && self.is_strict {
                    self.evicted(&others)?;
                }
            }
            Op::Forget(_) if self.is_behind => {}
            Op::Forget(key) => {
                let keys: Vec<_> = self.model.keys().filter(|other| other.0 == key.0).collect();
                for key in keys {
                    // Where nothing was to be dropped nothing is written: what a lazy handle dropped stays lazy.
                    let was_there = !before.allowed(key, After::Kill).contains(&None);
                    self.model.sure(key, None, durable && was_there);
                }
            }
            Op::Sync if self.is_lossy => {}
            Op::Sync => self.model.synced(),
            _ => {}
        }
        Ok(())
    }

    /// New right bytes under an old name: entries whose object was damaged may hit again.
    fn hide(&mut self, key: Key, number: u8) {
        let others: Vec<_> = self.model.keys().filter(|other| *other != key).collect();
        for other in others {
            let allowed = self.model.allowed(other, After::Kill);
            if allowed.len() > 1 && allowed.contains(&Some(number)) {
                self.model.unsure(other, Some(number));
            }
        }
    }

    /// After an add over the limit: as many entries as may be, and what is gone is gone for good.
    fn evicted(&mut self, others: &[Key]) -> Result<(), String> {
        let copy = self.disk.snapshot();
        for key in others {
            let store = open(&copy.process(), config(key.1, Durability::Lazy)).map_err(|e| e.to_string())?;
            // What was a miss before may be an entry whose object is missing, and may come again.
            let was_there = !self.model.allowed(*key, After::Kill).contains(&None);
            if find(&store, key.0)?.is_none() && was_there {
                let durable = self.setup.durability == Durability::Sync && !self.is_lossy;
                self.model.sure(*key, None, durable);
            }
        }
        let (left, max) = (self.entries(), self.setup.max_files);
        let wrong = left > max || (self.plan.is_none() && left != max);
        if wrong { Err(format!("{left} entries after an add, not {max}")) } else { Ok(()) }
    }

    /// How many entries a process that came now would see.
    fn entries(&self) -> u64 {
        let copy = self.disk.snapshot();
        let store = open(&copy.process(), config(0, Durability::Lazy));
        store.map_or(0, |store| store.entries().count() as u64)
    }

    /// Whether the next add is over the limit. Counted as an add counts, which seals first: after a power cut a lost
    /// SEAL may hide DROPs.
    fn is_at_the_cap(&self) -> bool {
        if self.setup.max_files >= 100 {
            return false;
        }
        let copy = self.disk.snapshot();
        let store = open(&copy.process(), config(0, Durability::Lazy));
        store.is_ok_and(|store| {
            __sim::compact(&store);
            store.entries().count() as u64 >= self.setup.max_files
        })
    }
}

fn key_of(op: Op) -> Option<Key> {
    match op {
        Op::Add(key, _) | Op::Get(key, _) | Op::Find(key) | Op::Forget(key) => Some(key),
        _ => None,
    }
}

/// Writes into the file that holds the first output of this content, if there is one.
fn damage(disk: &Disk, number: u8) {
    let (_, bytes) = super::content(number).remove(0);
    let found = check::files(disk)
        .into_iter()
        .find(|(path, held)| path.starts_with(&format!("{V1}/objects")) && *held == bytes);
    if let Some((path, _)) = found {
        disk.overwrite(path, 1, [number.wrapping_add(1)]);
    }
}

/// What a workload went through without any crash.
pub(super) struct Past {
    pub(super) instants: Vec<Instant>,
    pub(super) verbs: usize,
    steps: Vec<Step>,
    pub(super) end: World,
}

/// Runs all operations, keeping every moment, and checks what holds at every moment.
pub(super) fn record(start: &Disk, model: &Model, ops: &[Op]) -> Result<Past, String> {
    let disk = start.snapshot();
    let mut world = World::on(disk.clone(), model.clone());
    let mut past =
        Past { instants: Vec::new(), verbs: 0, steps: Vec::new(), end: World::on(disk, model.clone()) };
    let mut before: Files = check::files(&world.disk);
    for (number, op) in ops.iter().enumerate() {
        let during = world.begun(*op);
        world.disk.record();
        world.run(*op).map_err(|why| format!("operation {number}, {op:?}: {why}"))?;
        for moment in world.disk.recorded() {
            let now = check::files(&moment.disk);
            check::only_grown(&before, &now).map_err(|why| format!("{op:?}, {}: {why}", moment.step))?;
            before = now;
            past.instants.push(Instant { moment, model: during.clone(), op: number });
        }
        before = check::files(&world.disk);
        check::check(&world.disk.snapshot(), &world.model, After::Kill)
            .map_err(|why| format!("after operation {number}, {op:?}: {why}"))?;
    }
    past.verbs = world.verbs();
    past.steps = std::mem::take(&mut world.trace_before);
    past.steps.extend(world.process.trace());
    past.end = world;
    Ok(past)
}

impl Past {
    /// Verb number `number`, from 1.
    pub(super) fn step(&self, number: usize) -> &Step {
        &self.steps[number - 1]
    }

    pub(super) fn verb(&self, number: usize) -> Verb {
        self.step(number).verb
    }

    /// Numbers (from 1) and lengths of all writes.
    pub(super) fn writes(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let writes = (1..).zip(&self.steps).filter(|(_, step)| step.verb == Verb::Write);
        writes.map(|(number, step)| (number, step.bytes))
    }
}

/// Sets a store up without crashes: its last state, with everything of it durable or not.
pub(super) fn prepare(start: &Disk, ops: &[Op]) -> (Disk, Model) {
    prepare_from(start, Model::default(), ops)
}

/// As [`prepare`], where this may be found before.
pub(super) fn prepare_from(start: &Disk, model: Model, ops: &[Op]) -> (Disk, Model) {
    let mut world = World::on(start.snapshot(), model);
    for op in ops {
        world.run(*op).unwrap();
    }
    world.close();
    (world.disk.snapshot(), world.model)
}
