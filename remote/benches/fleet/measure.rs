//! Rounds of several sides in turns, and what came out.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::is_quick;

/// How long a row may take, all its sides together.
const ROW_TIME: Duration = Duration::from_secs(25);
const ROUNDS_MIN: usize = 3;
const ROUNDS_MAX: usize = 21;

/// Seconds that rounds took.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    fn of(mut times: Vec<f64>) -> Spread {
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        Spread { median, min: times[0], max: times[times.len() - 1] }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{} .. {}]", seconds(self.median), seconds(self.min), seconds(self.max))
    }
}

/// With three digits, in a unit that fits.
pub fn seconds(value: f64) -> String {
    let (value, unit) = match value {
        _ if value < 1e-3 => (value * 1e6, "us"),
        _ if value < 1.0 => (value * 1e3, "ms"),
        _ => (value, "s"),
    };
    let places = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.places$} {unit}")
}

/// Something that is done and says how long it took, without what it made ready and put away.
pub type Side<'a> = Box<dyn FnMut() -> Duration + 'a>;

/// Rounds of all sides in turns; who begins alternates.
pub fn rounds(sides: &mut [Side<'_>]) -> Vec<Spread> {
    let mut times = vec![Vec::new(); sides.len()];
    let begun = Instant::now();
    for round in 0..ROUNDS_MAX {
        let is_enough = round >= ROUNDS_MIN && begun.elapsed() > ROW_TIME;
        if is_enough || is_quick() && round > 0 {
            break;
        }
        for turn in 0..sides.len() {
            let side = (turn + round) % sides.len();
            times[side].push(sides[side]().as_secs_f64());
        }
    }
    times.into_iter().map(Spread::of).collect()
}

/// Processor time that the threads of this process have had.
pub fn processor_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
