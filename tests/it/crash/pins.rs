//! How much each test must have looked at: a harness that silently explores nothing is red.
//!
//! The counts repeat exactly as long as the library makes the same calls. The pins lie a little below them, so that
//! a call less is no alarm, and a kind of state less is one.

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

pub(super) const STATES: Pin = pin("distinct states", 34_000, 1_000_000);
pub(super) const KILLS: Pin = pin("kills", 1_300, 1_300);
pub(super) const CUTS: Pin = pin("power cuts", 52_000, 1_000_000);
pub(super) const TORN: Pin = pin("torn writes", 2_500, 2_500);
pub(super) const RECOVERIES: Pin = pin("crashes of a recovery", 33_000, 33_000);
pub(super) const FAULTS: Pin = pin("runs with a failing call", 24_000, 100_000);
pub(super) const SCHEDULES: Pin = pin("schedules", 14_000, 100_000);
pub(super) const INTERRUPTIONS: Pin = pin("runs with one process interrupted", 4_300, 4_300);
pub(super) const STOPS: Pin = pin("runs with a stopped process", 600, 2_000);
pub(super) const MEETING_STATES: Pin = pin("distinct states of processes that meet", 4_900, 10_000);
pub(super) const OVERTAKEN: Pin = pin("finds overtaken by two compactions", 2_200, 2_200);
pub(super) const HISTORIES: Pin = pin("random histories", 5_000, 100_000);

impl Pin {
    pub(super) fn check(&self, count: usize) {
        let least = if is_full() { self.full } else { self.daily };
        assert!(count >= least, "{}: {count}, and not the {least} that they were", self.what);
    }
}
