//! What a performance of a scene may have come to: in the end, on the way, and when all are killed in the midst of it.

use super::{
    check::check_with,
    config, find,
    model::{After, Key, Model, State},
    open,
    scenes::Scene,
    stage::{Played, Went, writes},
    workload::{LAZY, Op, Setup},
};
use std::collections::BTreeSet;

/// One write of one key.
#[derive(Clone, Copy)]
struct Wrote {
    op: Op,
    begun: usize,
    acked: Option<usize>,
    state: State,
}

impl Wrote {
    /// A fetch asks for what it has not found: it overtakes nothing that was acknowledged before it began, and what is
    /// forgotten stays so.
    fn is_void(&self, all: &[Wrote]) -> bool {
        let is_before =
            |other: &Wrote| other.acked.is_some_and(|acked| acked < self.begun || other.state.is_none());
        self.op == Op::Fetch && all.iter().any(|other| other.op != Op::Fetch && is_before(other))
    }

    /// Whether a later one, begun after its acknowledgement, stands in its place.
    fn is_overtaken(&self, all: &[Wrote]) -> bool {
        let overtakes = |other: &Wrote| self.acked.is_some_and(|acked| other.begun > acked);
        all.iter().any(|other| other.acked.is_some() && overtakes(other))
    }
}

/// All writes of a key that are worth anything, in the order in which they were begun.
fn of_key(went: &[Went], key: Key) -> Vec<Wrote> {
    let of = |went: &Went| {
        let state = writes(went.op).into_iter().find(|(k, _)| *k == key)?.1;
        // A fetch may come upon what another has added.
        let found = went.found.clone().ok().flatten().filter(|_| went.op == Op::Fetch);
        Some(Wrote { op: went.op, begun: went.begun, acked: went.acked, state: found.or(state) })
    };
    let all: Vec<Wrote> = went.iter().filter_map(of).collect();
    all.iter().filter(|wrote| !wrote.is_void(&all)).copied().collect()
}

/// What may be found under a key: whatever no later operation that was begun after its acknowledgement has overtaken.
fn states(before: &Model, all: &[Wrote], key: Key) -> BTreeSet<State> {
    let left = all.iter().filter(|wrote| !wrote.is_overtaken(all));
    let mut states: BTreeSet<State> = left.map(|wrote| wrote.state).collect();
    if all.iter().all(|wrote| wrote.acked.is_none()) {
        states.extend(before.allowed(key, After::Kill));
    }
    states
}

fn keys(before: &Model, went: &[Went]) -> BTreeSet<Key> {
    let written = went.iter().flat_map(|went| writes(went.op)).map(|(key, _)| key);
    before.keys().chain(written).collect()
}

/// Whether a key of a scene may be evicted.
fn may_be_evicted(setup: Setup, key: Key) -> bool {
    setup.max_files < 100 && !setup.beside.keeps(key)
}

/// What may be found if all are killed, or the power is cut, after all that has happened so far.
pub(super) fn so_far(before: &Model, went: &[Went], setup: Setup) -> Model {
    let is_durable = setup.durability != LAZY.durability;
    let mut model = before.clone();
    for key in keys(before, went) {
        let all = of_key(went, key);
        let is_in_order = all.windows(2).all(|pair| pair[0].acked.is_some_and(|acked| acked < pair[1].begun));
        if is_in_order {
            for wrote in &all {
                match wrote.acked {
                    Some(_) => model.sure(key, wrote.state, is_durable),
                    None => model.unsure(key, wrote.state),
                }
            }
        } else {
            // A fetch may have found what another has not yet brought onto the medium.
            let is_acked = all.iter().any(|wrote| wrote.acked.is_some() && wrote.op != Op::Fetch);
            model.one_of(key, &states(before, &all, key), is_durable && is_acked);
        }
        if may_be_evicted(setup, key) {
            let mut states = model.allowed(key, After::Kill);
            states.insert(None);
            model.any(key, &states);
        }
    }
    model
}

impl Played {
    /// What may be found under a key by who looks from the step `from` to the step `to`.
    fn states_between(&self, key: Key, from: usize, to: usize) -> BTreeSet<State> {
        let mut all = of_key(&self.went, key);
        all.retain(|wrote| wrote.begun < to);
        all.iter_mut().for_each(|wrote| wrote.acked = wrote.acked.filter(|acked| *acked < from));
        states(&self.before, &all, key)
    }

    /// Judges it: right answers on the way, and nothing acknowledged is lost in the end.
    pub(super) fn judge(&self, scene: &Scene) -> Result<(), String> {
        let setup = scene.setup;
        let mut model = self.before.clone();
        for key in keys(&self.before, &self.went) {
            let mut states = self.states_between(key, usize::MAX, usize::MAX);
            if may_be_evicted(setup, key) {
                states.insert(None);
            }
            model.any(key, &states);
        }
        for went in &self.went {
            self.is_right_answer(scene, went)?;
        }
        if !self.report.is_complete {
            return Err("somebody did not come to an end".into());
        }
        check_with(&self.disk.snapshot(), &model, After::Kill, setup.beside)?;
        if setup.max_files < 100 {
            self.keeps_the_cap()?;
        }
        Ok(())
    }

    /// A find shows what was there before it, or came while it looked.
    fn is_right_answer(&self, scene: &Scene, went: &Went) -> Result<(), String> {
        // A scrub of a damaged store has something to tell.
        let is_told = went.op == Op::Scrub && scene.before.iter().any(|op| matches!(op, Op::Damage(_)));
        if is_told {
            return Ok(());
        }
        let found = went.found.clone().map_err(|why| format!("{:?}: {why}", went.op))?;
        let (Op::Find(key), Some(acked)) = (went.op, went.acked) else { return Ok(()) };
        let mut allowed = self.states_between(key, went.begun, acked);
        if may_be_evicted(scene.setup, key) {
            allowed.insert(None);
        }
        if allowed.contains(&found) {
            Ok(())
        } else {
            Err(format!("{:?} was {found:?} on the way and may be {allowed:?}", went.op))
        }
    }

    /// Of those that add at the cap one is left: no two drop each other's entry. It may be that of one who was killed
    /// when it had come: what is imported was last used some time ago, and goes before it.
    fn keeps_the_cap(&self) -> Result<(), String> {
        let disk = self.disk.snapshot();
        let store = open(&disk.process(), config(0, LAZY.durability)).map_err(|error| error.to_string())?;
        let keys = |went: &Went| writes(went.op).into_iter().map(|(key, _)| key);
        let acked = self.went.iter().filter(|went| went.acked.is_some()).flat_map(keys).count();
        let is_left = self.went.iter().flat_map(keys).any(|key| find(&store, key.0) != Ok(None));
        if acked < 2 || is_left { Ok(()) } else { Err("nothing is left of what was added".into()) }
    }

    /// Without a crash every add is acknowledged, and every build stored. But whoever holds an object exclusively
    /// may keep others from adding its bytes (I13). And a sweep may take the directory of a build before it is
    /// locked: the build then goes to the system's temporary directory, which is not simulated.
    pub(super) fn all_stored(&self, scene: &Scene) -> Result<(), String> {
        let is_refused = |went: &&Went| {
            let adds = matches!(went.op, Op::Add(..) | Op::Import) && !scene.name.contains("bytes");
            let builds = matches!(went.op, Op::Get(..)) && !scene.is_long();
            let is_forgotten =
                scene.roles.iter().flat_map(|role| *role).any(|op| matches!(op, Op::Forget(_)));
            let others = matches!(went.op, Op::Forget(_) | Op::Scrub | Op::Rebuild)
                || (went.op == Op::Fetch && !is_forgotten);
            (adds || builds || others) && went.acked.is_none()
        };
        match self.went.iter().find(is_refused) {
            Some(went) => Err(format!("{:?} is not acknowledged", went.op)),
            None => Ok(()),
        }
    }

    pub(super) fn label(&self, scene: &Scene) -> String {
        format!("{}: schedule {:?}", scene.name, self.report.turns)
    }
}
