//! What a store may say: per key, all that was ever put or dropped, and how sure each of it is.
//!
//! Keys are a number of sources and a number of an executable; contents are numbers too. The model knows no
//! file: it is told what was asked for and answered, and says which answers of a find are right.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
};

/// Sources and executable.
pub(super) type Key = (u8, u8);

/// What a find gives: a content, or a miss.
pub(super) type State = Option<u8>;

/// What the disk went through after the last thing that the model was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum After {
    /// Every process was killed, or none: all that was acknowledged is there (I7).
    Kill,
    /// The power was cut: what sync() or `Sync` acknowledged is there, and of the rest anything (I8).
    Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Event {
    state: State,
    /// It was acknowledged; else it may have happened or not.
    sure: bool,
    /// .. and what came before it cannot come back, even in a power cut.
    durable: bool,
}

/// What one key went through, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct History(Vec<Event>);

impl History {
    fn last(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.0.iter().rposition(wanted).map_or(0, |at| at + 1)
    }

    /// The states that a find may show.
    fn allowed(&self, after: After) -> BTreeSet<State> {
        let (start, more) = match after {
            After::Kill => (self.last(|event| event.sure), None),
            After::Cut => {
                let start = self.last(|event| event.durable);
                // An entry that survives and whose object does not is a miss, and may hide the one before it.
                (start, (start < self.0.len()).then_some(None))
            }
        };
        let base = start.checked_sub(1).and_then(|at| self.0.get(at)?.state);
        let later = self.0.get(start..).unwrap_or_default().iter().map(|event| event.state);
        later.chain([base]).chain(more).collect()
    }
}

/// All keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model(BTreeMap<Key, History>);

impl Model {
    fn push(&mut self, key: Key, event: Event) {
        self.0.entry(key).or_default().0.push(event);
    }

    /// It was acknowledged that this key now has this content (or none).
    pub(super) fn sure(&mut self, key: Key, state: State, durable: bool) {
        self.push(key, Event { state, sure: true, durable });
    }

    /// One of these it is, and nobody knows which.
    pub(super) fn any(&mut self, key: Key, states: &BTreeSet<State>) {
        self.one_of(key, states, false);
    }

    /// As [`any`](Model::any); `durable`: none that was before can come back.
    pub(super) fn one_of(&mut self, key: Key, states: &BTreeSet<State>, durable: bool) {
        for (place, state) in states.iter().enumerate() {
            self.push(key, Event { state: *state, sure: place == 0, durable: durable && place == 0 });
        }
    }

    /// This was begun, and nobody knows how far it came.
    pub(super) fn unsure(&mut self, key: Key, state: State) {
        self.push(key, Event { state, sure: false, durable: false });
    }

    /// A sync was acknowledged.
    pub(super) fn synced(&mut self) {
        for history in self.0.values_mut() {
            if let Some(event) = history.0.iter_mut().rfind(|event| event.sure) {
                event.durable = true;
            }
        }
    }

    /// The power was cut, and this is what was found: what was lost does not come back by itself, but what was
    /// merely hidden (an entry whose object may still come) may.
    pub(super) fn found_after_cut(&mut self, found: &BTreeMap<Key, State>) {
        for (key, history) in &mut self.0 {
            let allowed = history.allowed(After::Cut);
            let now = found.get(key).copied().flatten();
            let others = allowed.into_iter().filter(|state| *state != now);
            let event = |state, sure| Event { state, sure, durable: sure };
            history.0 =
                [event(now, true)].into_iter().chain(others.map(|state| event(state, false))).collect();
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.0.keys().copied()
    }

    /// The states that a find of this key may show.
    pub(super) fn allowed(&self, key: Key, after: After) -> BTreeSet<State> {
        self.0.get(&key).map_or_else(|| [None].into(), |history| history.allowed(after))
    }

    /// The contents that a find without any crash must show.
    pub(super) fn live(&self) -> Vec<Key> {
        let has = |key: &Key| self.allowed(*key, After::Kill).iter().any(Option::is_some);
        self.keys().filter(has).collect()
    }

    /// Equal for models that allow the same.
    pub(super) fn print(&self, after: After) -> u64 {
        let mut hasher = DefaultHasher::new();
        for key in self.keys() {
            (key, self.allowed(key, after)).hash(&mut hasher);
        }
        hasher.finish()
    }
}

#[test]
fn a_model_lets_a_begun_put_show_the_old_or_the_new_and_never_a_miss() {
    let mut model = Model::default();
    model.sure((1, 0), Some(1), false);
    model.unsure((1, 0), Some(2));
    assert_eq!(model.allowed((1, 0), After::Kill), [Some(1), Some(2)].into());
    assert_eq!(model.allowed((1, 0), After::Cut), [None, Some(1), Some(2)].into());
}

#[test]
fn a_model_lets_nothing_synced_be_lost_and_nothing_dropped_come_back_after_a_sync() {
    let mut model = Model::default();
    model.sure((1, 0), Some(1), false);
    model.synced();
    assert_eq!(model.allowed((1, 0), After::Cut), [Some(1)].into());
    model.sure((1, 0), None, false);
    assert_eq!(model.allowed((1, 0), After::Kill), [None].into());
    assert_eq!(model.allowed((1, 0), After::Cut), [None, Some(1)].into());
    model.synced();
    assert_eq!(model.allowed((1, 0), After::Cut), [None].into());
}
