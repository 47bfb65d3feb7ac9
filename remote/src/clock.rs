//! Time as the client sees it: a clock that a test can turn.

use std::{
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// Since some moment in the past; never goes back.
    fn now(&self) -> Duration;

    /// The wall clock.
    fn wall(&self) -> SystemTime;

    /// Waits.
    fn pause(&self, time: Duration);
}

/// The clock of the system.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn pause(&self, time: Duration) {
        thread::sleep(time);
    }
}

/// Seconds since 1970; `None` before.
pub(crate) fn to_seconds(time: SystemTime) -> Option<u64> {
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// The other way; `None` for what no clock shows.
pub(crate) fn from_seconds(seconds: u64) -> Option<SystemTime> {
    // About the year 10000: beyond it lies nothing but overflow.
    (seconds < 253_402_300_800).then(|| UNIX_EPOCH + Duration::from_secs(seconds))
}

/// What is left of a time in an encoding.
pub(crate) fn whole_seconds(time: SystemTime) -> SystemTime {
    to_seconds(time).and_then(from_seconds).unwrap_or(UNIX_EPOCH)
}

/// `time`, more or less by up to a quarter: so that a fleet that was stopped by one event does not come back as one.
pub(crate) fn jittered(time: Duration) -> Duration {
    let mut byte = [128];
    // Without random numbers it goes without jitter.
    let _ = getrandom::fill(&mut byte);
    let percent = 75 + u32::from(byte[0]) * 50 / 255;
    time * percent / 100
}

/// A clock that stands still until somebody waits.
#[derive(Debug)]
pub struct ManualClock(std::sync::Mutex<(Duration, SystemTime)>);

impl ManualClock {
    /// Stands at this time of the wall clock.
    pub fn at(wall: SystemTime) -> ManualClock {
        ManualClock(std::sync::Mutex::new((Duration::ZERO, wall)))
    }

    /// Turns it.
    pub fn advance(&self, time: Duration) {
        let mut at = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        at.0 += time;
        at.1 += time;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0
    }

    fn wall(&self) -> SystemTime {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).1
    }

    fn pause(&self, time: Duration) {
        self.advance(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_clients_that_were_stopped_at_once_do_not_come_back_at_once() {
        let second = Duration::from_secs(1);
        let times: Vec<_> = (0..1000).map(|_| jittered(30 * second)).collect();
        let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
        assert!((22 * second..25 * second).contains(first) && (35 * second..38 * second).contains(last));
    }
}
