//! Whether the engine is asked at all: a breaker, so that one silent engine costs a host seconds and not minutes.
//!
//! ```text
//! closed   3 failures more than half of what went well, or one "slow down"   -> open
//! open     after 30 s (5 s), doubling, with jitter   -> one caller tries: right = closed, wrong = open for longer
//! off      it is misconfigured: nothing but a new client asks again
//! ```

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{bucket::BucketError, clock::jittered};

/// What a failure weighs, and what an answer takes away again: an engine that gives entries and no objects fails too.
const FAILURE: u32 = 2;
const ANSWER: u32 = 1;
/// Three failures in a row, after which nobody asks for a while.
const WEIGHT_MAX: u32 = 3 * FAILURE;
const OPEN_FIRST: Duration = Duration::from_secs(30);
const OPEN_FIRST_SLOWED: Duration = Duration::from_secs(5);
const OPEN_MAX: Duration = Duration::from_secs(15 * 60);

/// What the gate is at, as a status shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// The engine is asked.
    Up,
    /// It failed, and is not asked for this long.
    Resting(Duration),
    /// It is misconfigured: it is not asked any more.
    Off(String),
}

#[derive(Debug, Default)]
struct State {
    weight: u32,
    /// Not asked before this time; `None`: closed.
    open_until: Option<Duration>,
    open_for: Duration,
    is_tried: bool,
    off: Option<String>,
    is_told: bool,
}

/// The breaker of one client.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<State>);

/// Why the engine was not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shut {
    Resting,
    Off,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks whether to ask; who was let in tells the outcome.
    pub(crate) fn enter(&self, now: Duration) -> Result<(), Shut> {
        let mut state = self.state();
        if state.off.is_some() {
            return Err(Shut::Off);
        }
        match state.open_until {
            None => Ok(()),
            Some(until) if now < until || state.is_tried => Err(Shut::Resting),
            Some(_) => {
                state.is_tried = true;
                Ok(())
            }
        }
    }

    /// It answered.
    pub(crate) fn passed(&self) {
        let mut state = self.state();
        // Of what was asked before it was opened: that says nothing of now.
        if state.open_until.is_some() && !state.is_tried {
            return;
        }
        if state.open_until.is_some() {
            let (off, is_told) = (state.off.take(), state.is_told);
            *state = State { off, is_told, ..State::default() };
        }
        state.weight = state.weight.saturating_sub(ANSWER);
    }

    /// It answered, and could not finish in its time: no failure of one call, but who tries it has tried in vain.
    pub(crate) fn late(&self, now: Duration) {
        let is_tried = self.state().is_tried;
        if is_tried {
            self.failed(&BucketError::OutOfTime, now);
        }
    }

    /// It did not.
    pub(crate) fn failed(&self, error: &BucketError, now: Duration) {
        let mut state = self.state();
        let is_slowed = matches!(error, BucketError::SlowDown(_));
        if let BucketError::Misconfigured(why) = error {
            state.off.get_or_insert_with(|| why.clone());
            return;
        }
        state.weight = state.weight.saturating_add(FAILURE);
        if state.is_tried || is_slowed || state.weight >= WEIGHT_MAX {
            let first = if is_slowed { OPEN_FIRST_SLOWED } else { OPEN_FIRST };
            // Several callers may fail at once: that is one event.
            if state.open_until.is_none_or(|until| now >= until) {
                state.open_for = (state.open_for * 2).clamp(first, OPEN_MAX);
                state.open_until = Some(now + jittered(state.open_for));
            }
            state.is_tried = false;
        }
    }

    /// Why the engine is not asked any more: to the first who asks.
    pub(crate) fn misconfigured_once(&self) -> Option<String> {
        let mut state = self.state();
        let why = state.off.clone()?;
        (!std::mem::replace(&mut state.is_told, true)).then_some(why)
    }

    pub(crate) fn health(&self, now: Duration) -> Health {
        let state = self.state();
        match (&state.off, state.open_until) {
            (Some(why), _) => Health::Off(why.clone()),
            (None, Some(until)) => Health::Resting(until.saturating_sub(now)),
            (None, None) => Health::Up,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn dead() -> BucketError {
        BucketError::Unreachable("dead".into())
    }

    #[test]
    fn after_three_failures_in_a_row_nobody_asks_for_a_while_and_then_one_does() {
        let gate = Gate::default();
        for failure in 0..3 {
            assert_eq!(gate.enter(Duration::ZERO), Ok(()), "{failure}");
            gate.failed(&dead(), Duration::ZERO);
        }
        assert_eq!(gate.enter(20 * SECOND), Err(Shut::Resting));
        assert_eq!(gate.enter(38 * SECOND), Ok(()), "30 s and a quarter have passed");
        assert_eq!(gate.enter(38 * SECOND), Err(Shut::Resting), "one tries");
        gate.failed(&dead(), 38 * SECOND);
        assert_eq!(gate.enter((38 + 44) * SECOND), Err(Shut::Resting), "it rests twice as long");
        assert_eq!(gate.enter((38 + 76) * SECOND), Ok(()));
        gate.passed();
        assert_eq!(gate.health(114 * SECOND), Health::Up);
        gate.failed(&dead(), 114 * SECOND);
        assert_eq!(gate.enter(114 * SECOND), Ok(()), "and begins to count anew");
    }

    #[test]
    fn few_failures_among_many_answers_keep_it_open_to_all_and_many_do_not() {
        let gate = Gate::default();
        for _ in 0..100 {
            gate.failed(&dead(), Duration::ZERO);
            gate.passed();
            gate.passed();
        }
        assert_eq!(gate.enter(Duration::ZERO), Ok(()));
        for _ in 0..10 {
            gate.failed(&dead(), Duration::ZERO);
            gate.passed();
        }
        assert_eq!(gate.enter(Duration::ZERO), Err(Shut::Resting));
    }

    #[test]
    fn one_plea_for_patience_is_enough() {
        let gate = Gate::default();
        gate.failed(&BucketError::SlowDown(503), Duration::ZERO);
        assert_eq!(gate.enter(3 * SECOND), Err(Shut::Resting));
        assert_eq!(gate.enter(7 * SECOND), Ok(()));
    }

    #[test]
    fn a_mistake_in_the_configuration_is_told_once_and_ends_it() {
        let gate = Gate::default();
        gate.failed(&BucketError::Misconfigured("no such bucket".into()), Duration::ZERO);
        assert_eq!(gate.misconfigured_once(), Some("no such bucket".into()));
        assert_eq!(gate.misconfigured_once(), None);
        gate.passed();
        assert_eq!(gate.enter(1000 * SECOND), Err(Shut::Off));
    }
}
