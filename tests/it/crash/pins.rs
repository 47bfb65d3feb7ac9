//! How much each test must have looked at: a harness that silently explores nothing is red.
//!
//! The counts repeat exactly as long as the library makes the same calls. The pins are what came up last, rounded down by
//! less than one in a hundred: a kind of state less is an alarm, and so is a library that makes fewer calls, until somebody
//! has looked at why.

use super::is_full;

/// What is counted, and how often it must have come up: in the daily run, and in the full one.
pub(super) struct Pin {
    what: &'static str,
    daily: usize,
    full: usize,
}

const fn pin(what: &'static str, daily: usize, full: usize) -> Pin {
    Pin { what, daily, full }
}

pub(super) const STATES: Pin = pin("distinct states", 47_500, 1_000_000);
pub(super) const KILLS: Pin = pin("kills", 1_640, 1_640);
pub(super) const CUTS: Pin = pin("power cuts", 76_000, 1_000_000);
pub(super) const TORN: Pin = pin("torn writes", 3_650, 3_650);
pub(super) const RECOVERIES: Pin = pin("crashes of a recovery", 48_000, 48_000);
pub(super) const FAULTS: Pin = pin("runs with a failing call", 32_500, 100_000);
pub(super) const SCHEDULES: Pin = pin("schedules", 14_700, 100_000);
pub(super) const INTERRUPTIONS: Pin = pin("runs with one process interrupted", 4_700, 4_700);
pub(super) const STOPS: Pin = pin("runs with a stopped process", 660, 2_000);
pub(super) const MEETING_STATES: Pin = pin("distinct states of processes that meet", 6_500, 10_000);
pub(super) const ENCOUNTERS: Pin = pin("schedules of two that meet", 5_000, 5_000);
pub(super) const ENCOUNTERS_OTHERWISE: Pin = pin("other orders of two that meet", 700, 5_000);
pub(super) const ENCOUNTER_STATES: Pin = pin("distinct states of two that meet", 8_000, 8_000);
pub(super) const FETCH_KILLS: Pin = pin("kills of a fetch", 1_140, 1_140);
pub(super) const FETCH_CUTS: Pin = pin("power cuts in a fetch", 4_470, 4_470);
pub(super) const FETCH_TORN: Pin = pin("torn writes of a fetch", 146, 146);
pub(super) const FETCH_FAULTS: Pin = pin("fetches with a failing call", 3_420, 3_420);
pub(super) const OVERTAKEN: Pin = pin("finds overtaken by two compactions", 2_230, 2_230);
pub(super) const HISTORIES: Pin = pin("random histories", 5_000, 100_000);

impl Pin {
    pub(super) fn check(&self, count: usize) {
        let least = if is_full() { self.full } else { self.daily };
        assert!(count >= least, "{}: {count}, and not the {least} that they were", self.what);
    }
}
