//! Target over histories: processes that add, find, forget, compact and sweep, one after the other or verb by
//! verb in between; kills, faults, power cuts and clock jumps; held to the model of [`super::model`].

use super::{
    acts::{Act, Fails, KEYS, Outcome, run},
    model::{Slot, State},
    until_end,
    world::{add, config},
};
use arbitrary::{Arbitrary, Unstructured};
use plugcache::{
    __sim::{self, At, Body, Controller, Disk, Fault, Process},
    Added, Artifact, Config, Durability, Store,
};
use std::{
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

const EXECS: u8 = 2;
const PROCESSES: usize = 3;
const OPS_MAX: usize = 40;

#[derive(Arbitrary, Debug)]
struct Setting {
    is_sync: bool,
    /// Otherwise no more than three entries.
    is_unlimited: bool,
}

#[derive(Arbitrary, Debug)]
enum Op {
    Do { process: u8, act: Act },
    Together { plans: [Plan; 2], third: Option<Plan>, turns: [(u8, u8); 8] },
    Kill { process: u8, after: u8 },
    Tear { process: u8, verb: u8, keep: u8 },
    Fail { process: u8, verb: u8, from: bool, failure: Fails },
    Sync { process: u8 },
    Cut { seed: u8 },
    Clock { seconds: i32 },
    Full { bytes: Option<u16> },
    Reopen { process: u8 },
}

#[derive(Arbitrary, Debug)]
struct Plan {
    exec: u8,
    kill_after: Option<u8>,
    acts: [Option<Act>; 3],
}

struct Running {
    process: Process,
    store: Store,
    is_faulty: bool,
}

struct World {
    disk: Disk,
    config: [Config; EXECS as usize],
    is_sync: bool,
    is_unlimited: bool,
    /// A sync has failed: Linux forgets what it was to write.
    is_lossy: bool,
    slots: Vec<Slot>,
    running: [Option<Running>; PROCESSES],
    /// Open artifacts, and what they must hold whatever happens (I14).
    held: Vec<(usize, Artifact, Vec<u8>)>,
}

/// The directories of a store, durable, and nothing in it.
static EMPTY: LazyLock<Disk> = LazyLock::new(|| {
    let disk = Disk::new(5);
    let store = super::world::open(&disk).expect("an absent store opens");
    assert_eq!(add(&store, 9, 9, 9), Added::Stored);
    assert!(store.clear().is_ok());
    disk.settle();
    disk
});

/// Runs a history against the model (I1 to I16).
pub fn history(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(setting) = Setting::arbitrary(&mut input) else { return };
    let mut world = World::new(&setting);
    for op in until_end(&mut input, OPS_MAX) {
        world.step(&op);
        world.check_held();
    }
    world.disk.set_space_left(None);
    (0..PROCESSES).for_each(|place| world.close(place));
    for exec in 0..EXECS {
        let process = usize::from(exec);
        (0..KEYS).for_each(|key| world.act(process, &Act::Find { key }));
        world.act(process, &Act::Compact);
        world.act(process, &Act::Sweep);
        (0..KEYS).for_each(|key| world.act(process, &Act::Find { key }));
        world.act(process, &Act::Add { key: 0, version: 100 });
        (0..KEYS).for_each(|key| world.act(process, &Act::Find { key }));
    }
    world.check_held();
}

impl World {
    fn new(setting: &Setting) -> World {
        let durability = if setting.is_sync { Durability::Sync } else { Durability::Lazy };
        let files = if setting.is_unlimited { u64::MAX } else { 3 };
        let config = |exec| config(exec).durability(durability).max_files(files).max_bytes(u64::MAX).build();
        World {
            disk: EMPTY.snapshot(),
            config: [config(0), config(1)],
            is_sync: setting.is_sync,
            is_unlimited: setting.is_unlimited,
            is_lossy: false,
            slots: vec![Slot::new(); usize::from(KEYS * EXECS)],
            running: Default::default(),
            held: Vec::new(),
        }
    }

    fn slot(&mut self, exec: u8, key: u8) -> &mut Slot {
        &mut self.slots[usize::from(exec % EXECS * KEYS + key % KEYS)]
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Do { process, act } => self.act(place(*process), act),
            Op::Together { plans, third, turns } => {
                self.together(&plans.iter().chain(third).collect::<Vec<_>>(), turns);
            }
            Op::Kill { process, after } => {
                self.plan(*process, |process| process.kill_after(usize::from(*after)))
            }
            Op::Tear { process, verb, keep } => {
                self.plan(*process, |process| process.tear(usize::from(*verb) + 1, usize::from(*keep)));
            }
            Op::Fail { process, verb, from, failure } => {
                let verb = usize::from(*verb) + 1;
                let at = if *from { At::From(verb) } else { At::Verb(verb) };
                let fault = Fault { at, failure: failure.meant() };
                self.plan(*process, |process| process.fail(fault));
                if let Some(running) = &mut self.running[place(*process)] {
                    running.is_faulty = true;
                }
            }
            Op::Sync { process } => self.sync(place(*process)),
            Op::Cut { seed } => self.cut(*seed),
            Op::Clock { seconds } => {
                self.disk.set_clock(Duration::from_secs(
                    2_000_000_000_u64.saturating_add_signed((*seconds).into()),
                ));
            }
            Op::Full { bytes } => self.disk.set_space_left(bytes.map(u64::from)),
            Op::Reopen { process } => self.close(place(*process)),
        }
    }

    fn plan(&mut self, process: u8, plan: impl FnOnce(&Process)) {
        if let Some(running) = self.running(place(process)) {
            plan(&running.process);
        }
    }

    /// The process at this place, started now if there is none.
    fn running(&mut self, place: usize) -> Option<&Running> {
        self.bury(place);
        if self.running[place].is_none() {
            let process = self.disk.process();
            let store = __sim::open(process.clone(), self.config[place % 2].clone());
            // Nothing that a history does keeps a store from being opened.
            let store = store.unwrap_or_else(|error| panic!("{error:?}"));
            self.running[place] = Some(Running { process, store, is_faulty: false });
        }
        self.running[place].as_ref()
    }

    fn bury(&mut self, place: usize) {
        if self.running[place].as_ref().is_some_and(|running| !running.process.is_alive()) {
            self.close(place);
        }
    }

    fn close(&mut self, place: usize) {
        self.held.retain(|(owner, ..)| *owner != place);
        self.note_syncs(place);
        self.running[place] = None;
    }

    fn note_syncs(&mut self, place: usize) {
        if let Some(running) = &self.running[place] {
            let has_failed = running.process.trace().iter().any(|step| step.failed && step.verb.syncs());
            self.is_lossy |= has_failed;
        }
    }

    fn act(&mut self, place: usize, act: &Act) {
        let Some(running) = self.running(place) else { return };
        let (store, process) = (running.store.clone(), running.process.clone());
        let is_faulty = running.is_faulty;
        let exec = (place % 2) as u8;
        let (outcome, artifact) = run(&store, exec, act);
        let is_alive = process.is_alive();
        self.note_syncs(place);
        match outcome {
            Outcome::Added { key, version, is_stored } => {
                self.added(exec, key, version, is_stored && is_alive)
            }
            Outcome::Found { key, state } => self.found(exec, key, state, is_alive && !is_faulty),
            Outcome::Forgot { key, is_done } => self.forgot(key, is_done && is_alive),
            Outcome::Other => {}
        }
        if let Some((artifact, bytes)) = artifact.filter(|_| is_alive)
            && self.held.len() < 4
        {
            self.held.push((place, artifact, bytes));
        }
    }

    fn added(&mut self, exec: u8, key: u8, version: u8, is_stored: bool) {
        let is_sync = self.is_sync;
        let slot = self.slot(exec, key);
        if is_stored {
            slot.is_now([Some(version)]);
            if is_sync {
                slot.is_durable();
            }
        } else {
            slot.may_be(Some(version));
        }
        if !self.is_unlimited {
            let own = usize::from(exec % EXECS * KEYS + key % KEYS);
            let others = self.slots.iter_mut().enumerate().filter(|(number, _)| *number != own || !is_stored);
            others.for_each(|(_, slot)| slot.may_be(None));
        }
    }

    fn found(&mut self, exec: u8, key: u8, state: State, is_sound: bool) {
        let slot = self.slot(exec, key);
        if state.is_some() || is_sound {
            assert!(
                slot.allows(state),
                "key {key} of {exec} gave {state:?}, not one of {:?}",
                slot.possible()
            );
        }
        if is_sound {
            slot.is_now([state]);
        }
    }

    /// Forgetting drops the entries of every executable.
    fn forgot(&mut self, key: u8, is_done: bool) {
        let is_sync = self.is_sync;
        for exec in 0..EXECS {
            let slot = self.slot(exec, key);
            if is_done {
                slot.is_now([None]);
                if is_sync {
                    slot.is_durable();
                }
            } else {
                slot.may_be(None);
            }
        }
    }

    fn sync(&mut self, place: usize) {
        let Some(running) = self.running(place) else { return };
        let is_done = running.store.sync().is_ok() && running.process.is_alive();
        self.note_syncs(place);
        if is_done {
            self.slots.iter_mut().for_each(Slot::is_durable);
        }
    }

    fn cut(&mut self, seed: u8) {
        (0..PROCESSES).for_each(|place| self.close(place));
        self.held.clear();
        self.disk = self.disk.power_cut(seed.into());
        let is_lossy = self.is_lossy;
        self.slots.iter_mut().for_each(|slot| slot.cut(is_lossy));
    }

    /// Runs a few processes verb by verb. `turns`: whose verbs go, and how many of them; then each in turn.
    fn together(&mut self, plans: &[&Plan], turns: &[(u8, u8)]) {
        let outcomes: Vec<Mutex<Vec<(Outcome, bool)>>> = plans.iter().map(|_| Mutex::default()).collect();
        let bodies = plans.iter().zip(&outcomes).map(|(plan, outcomes)| -> Body<'_> {
            let config = self.config[usize::from(plan.exec % EXECS)].clone();
            Box::new(move |process| {
                if let Some(after) = plan.kill_after {
                    process.kill_after(usize::from(after) + 1);
                }
                let Ok(store) = __sim::open(process.clone(), config) else { return };
                for act in plan.acts.iter().flatten() {
                    let (outcome, _) = run(&store, plan.exec % EXECS, act);
                    let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                    outcomes.push((outcome, process.is_alive()));
                }
            })
        });
        let mut turns = turns.iter().flat_map(|(who, verbs)| std::iter::repeat_n(*who, (*verbs).into()));
        let mut turn = 0;
        let report = Controller::new(&self.disk).run(bodies.collect(), |_| {
            turn += 1;
            turns.next().map_or(turn, usize::from)
        });
        assert!(report.is_complete, "somebody waits for ever: {:?}", report.turns.len());
        let outcomes: Vec<(u8, Outcome, bool)> = plans
            .iter()
            .zip(outcomes)
            .flat_map(|(plan, outcomes)| {
                let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
                outcomes.into_iter().map(|(outcome, is_alive)| (plan.exec % EXECS, outcome, is_alive))
            })
            .collect();
        self.merge(&outcomes);
    }

    /// What may be there after concurrent acts, and whether their finds were right.
    fn merge(&mut self, outcomes: &[(u8, Outcome, bool)]) {
        let adds = outcomes.iter().any(|(_, outcome, _)| matches!(outcome, Outcome::Added { .. }));
        for exec in 0..EXECS {
            for key in 0..KEYS {
                let (mut attempted, mut is_replaced) = (Vec::new(), false);
                for (by, outcome, is_alive) in outcomes {
                    match outcome {
                        Outcome::Added { key: of, version, is_stored } if (by, of) == (&exec, &key) => {
                            attempted.push(Some(*version));
                            is_replaced |= *is_stored && *is_alive;
                        }
                        Outcome::Forgot { key: of, is_done } if *of == key => {
                            attempted.push(None);
                            is_replaced |= *is_done && *is_alive;
                        }
                        _ => {}
                    }
                }
                if adds && !self.is_unlimited {
                    attempted.push(None);
                }
                let slot = self.slot(exec, key);
                let before = slot.clone();
                attempted.iter().for_each(|state| slot.may_be(*state));
                for (_, outcome, is_alive) in outcomes.iter().filter(|(by, ..)| *by == exec) {
                    if let Outcome::Found { key: of, state } = outcome
                        && *of == key
                        && (state.is_some() || *is_alive)
                    {
                        let possible = slot.possible();
                        assert!(slot.allows(*state), "key {key} of {exec} gave {state:?} of {possible:?}");
                    }
                }
                if is_replaced {
                    *slot = before;
                    slot.is_now(attempted);
                }
            }
        }
    }

    fn check_held(&self) {
        for (place, artifact, bytes) in &self.held {
            let Some(running) = &self.running[*place] else { continue };
            let read = artifact.primary().read().ok();
            // Reading takes verbs: it may be what kills the process, or what fails.
            if running.process.is_alive() && !running.is_faulty {
                assert_eq!(read.as_ref(), Some(bytes), "an open artifact changed");
            }
        }
    }
}

fn place(process: u8) -> usize {
    usize::from(process) % PROCESSES
}
