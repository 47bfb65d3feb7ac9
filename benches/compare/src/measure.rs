//! Many sides in turns: medians of rounds that took place one after the other, side by side.

use std::time::{Duration, Instant};

/// How long a round should take where the operation is short.
const ROUND: Duration = Duration::from_micros(500);
const ROUNDS_MIN: usize = 5;

/// Times of one operation, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(mut times: Vec<f64>) -> Spread {
        times.sort_by(f64::total_cmp);
        Spread { median: times[times.len() / 2], min: times[0], max: times[times.len() - 1] }
    }
}

/// Performs an operation so many times, and says how long that took.
pub type Side<'a> = Box<dyn FnMut(u64) -> Duration + 'a>;

/// At most so many rounds of each side, and about as long for each.
pub fn in_turns(sides: &mut [Side<'_>], rounds: usize, time: Duration) -> Vec<Spread> {
    let counts: Vec<u64> = sides.iter_mut().map(|side| operations_per_round(side)).collect();
    let mut times = vec![Vec::new(); sides.len()];
    let begin = Instant::now();
    for round in 0..rounds {
        if round >= ROUNDS_MIN && begin.elapsed() > time * sides.len() as u32 {
            break;
        }
        // Whoever begins is another one each time.
        for turn in 0..sides.len() {
            let at = (turn + round) % sides.len();
            times[at].push(sides[at](counts[at]).as_secs_f64() / counts[at] as f64);
        }
    }
    times.into_iter().map(Spread::of).collect()
}

fn operations_per_round(side: &mut Side<'_>) -> u64 {
    let mut count = 1;
    loop {
        let took = side(count);
        if took >= ROUND || count > 1 << 16 {
            return count;
        }
        let factor = (ROUND.as_secs_f64() / took.as_secs_f64().max(1e-9)).clamp(1.2, 10.0);
        count = (count as f64 * factor).ceil() as u64;
    }
}

/// With three digits, in a unit that fits.
pub fn seconds(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 1e-6 => (s * 1e9, "ns"),
        s if s < 1e-3 => (s * 1e6, "µs"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}
