//! What a store may answer, key by key: a small model that a history is held to.

use std::collections::BTreeSet;

/// What a find may give: the version, or nothing.
pub(crate) type State = Option<u8>;

/// One key of one executable.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    /// What a find may give now.
    possible: BTreeSet<State>,
    /// What it could have given when everything was last acknowledged as durable.
    durable: BTreeSet<State>,
    /// What it may have given since.
    since: BTreeSet<State>,
    /// Everything it ever may have given.
    ever: BTreeSet<State>,
}

impl Slot {
    pub(crate) fn new() -> Slot {
        let nothing = BTreeSet::from([None]);
        Slot { possible: nothing.clone(), durable: nothing.clone(), since: BTreeSet::new(), ever: nothing }
    }

    /// What is certain from now on.
    pub(crate) fn is_now(&mut self, states: impl IntoIterator<Item = State>) {
        self.possible = states.into_iter().collect();
        self.since.extend(&self.possible);
        self.ever.extend(&self.possible);
    }

    /// What may have happened besides.
    pub(crate) fn may_be(&mut self, state: State) {
        self.possible.insert(state);
        self.since.insert(state);
        self.ever.insert(state);
    }

    /// Everything up to now was acknowledged as durable.
    pub(crate) fn is_durable(&mut self) {
        self.durable = self.possible.clone();
        self.since.clear();
    }

    /// The power was cut. What replaced a durable entry may have lost its object: then nothing is there (I8).
    pub(crate) fn cut(&mut self, is_lossy: bool) {
        self.possible = if is_lossy { self.ever.clone() } else { &self.durable | &self.since };
        if !self.since.is_empty() || is_lossy {
            self.possible.insert(None);
        }
        self.is_durable();
    }

    pub(crate) fn allows(&self, state: State) -> bool {
        self.possible.contains(&state)
    }

    pub(crate) fn possible(&self) -> &BTreeSet<State> {
        &self.possible
    }
}
