//! Measuring: two sides in turns, and the table of what came out.

use crate::page;
use criterion::Criterion;
use std::{
    fmt,
    time::{Duration, Instant},
};

/// What a run is for.
pub(crate) enum Task {
    Measure {
        ratios: bool,
        criterion: bool,
        filter: String,
    },
    /// One operation of one side, between two marks that `strace` shows.
    Trace {
        ours: bool,
        row: String,
    },
    /// Each operation once: it works.
    Once,
}

/// How long a round should take: much more than reading the clock, and so much less than a time slice that the
/// median round is not interrupted where a core has other work too.
const ROUND: Duration = Duration::from_micros(500);
/// Rounds of each side. Dear operations get fewer.
const ROUNDS: usize = 401;
/// How long a row may take.
const ROW_TIME: Duration = Duration::from_secs(8);
const ROUNDS_MIN: usize = 7;

/// Performs an operation so many times, and says how long that took. What must be made ready is made before the
/// clock starts.
pub(crate) type Side<'a> = dyn FnMut(u64) -> Duration + 'a;

/// `operation` so many times, with nothing to be made ready.
pub(crate) fn timed(mut operation: impl FnMut()) -> impl FnMut(u64) -> Duration {
    move |count| {
        let start = Instant::now();
        for _ in 0..count {
            operation();
        }
        start.elapsed()
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// For comparison: nothing is demanded.
    None,
}

impl Target {
    pub(crate) fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Target::AtMost(most) => Some(value <= most),
            Target::AtLeast(least) => Some(value >= least),
            Target::None => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::AtMost(most) => write!(f, "at most {most}"),
            Target::AtLeast(least) => write!(f, "at least {least}"),
            Target::None => f.write_str("none"),
        }
    }
}

pub(crate) struct Row<'a> {
    /// Begins with the name of its operation, by which it is chosen.
    pub(crate) name: &'a str,
    pub(crate) target: Target,
    /// What the twin does.
    pub(crate) against: &'a str,
    /// An operation that takes place once in a round, however short it is.
    pub(crate) once: bool,
    pub(crate) rounds: usize,
}

impl<'a> Row<'a> {
    pub(crate) fn new(name: &'a str, target: Target, against: &'a str) -> Row<'a> {
        Row { name, target, against, once: false, rounds: ROUNDS }
    }

    pub(crate) fn once(self, rounds: usize) -> Row<'a> {
        Row { once: true, rounds, ..self }
    }
}

pub(crate) struct Bench {
    task: Task,
    lines: Vec<Line>,
    load_before: String,
}

/// A row as it came out.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) target: Target,
    /// As Markdown.
    pub(crate) text: String,
}

impl Bench {
    pub(crate) fn new(task: Task) -> Bench {
        Bench { task, lines: Vec::new(), load_before: page::load() }
    }

    /// Whether a row of one of these names would be measured: if not, nothing needs to be made ready for it.
    pub(crate) fn wants(&self, names: &[&str]) -> bool {
        match &self.task {
            Task::Measure { filter, .. } => names.iter().any(|name| name.contains(filter.as_str())),
            Task::Trace { row, .. } => names.contains(&row.as_str()),
            Task::Once => true,
        }
    }

    /// Whether what takes minutes should be left out.
    pub(crate) fn is_quick(&self) -> bool {
        !matches!(self.task, Task::Measure { .. }) || std::env::var_os("PLUGCACHE_BENCH_QUICK").is_some()
    }

    pub(crate) fn row(&mut self, row: Row<'_>, ours: &mut Side<'_>, twin: &mut Side<'_>) {
        if !self.wants(&[row.name]) {
            return;
        }
        match &self.task {
            Task::Trace { ours: is_ours, .. } => trace(if *is_ours { ours } else { twin }),
            Task::Once => {
                ours(1);
                twin(1);
            }
            Task::Measure { ratios, criterion, .. } => {
                let (ratios, criterion) = (*ratios, *criterion);
                if criterion && !row.once {
                    absolute(row.name, ours, twin);
                }
                if ratios {
                    self.ratio(&row, ours, twin);
                }
            }
        }
    }

    /// Rounds of both sides in turns; which one begins alternates too.
    fn ratio(&mut self, row: &Row<'_>, ours: &mut Side<'_>, twin: &mut Side<'_>) {
        let count = if row.once { 1 } else { operations_per_round(ours, twin) };
        let begin = Instant::now();
        let (mut of_ours, mut of_twin) = (Vec::new(), Vec::new());
        for round in 0..row.rounds {
            let late = begin.elapsed() > ROW_TIME && round >= ROUNDS_MIN;
            if late && !row.once {
                break;
            }
            let measure = |side: &mut Side<'_>, times: &mut Vec<f64>| {
                times.push(side(count).as_secs_f64() / count as f64);
            };
            if round % 2 == 0 {
                measure(ours, &mut of_ours);
                measure(twin, &mut of_twin);
            } else {
                measure(twin, &mut of_twin);
                measure(ours, &mut of_ours);
            }
        }
        let (ours, twin) = (Spread::of(of_ours), Spread::of(of_twin));
        let value = ours.median / twin.median;
        self.line(row.name, &ours.to_string(), &twin.to_string(), value, row.target, row.against);
    }

    /// A line of the table; also for rows that measure something else than time.
    pub(crate) fn line(
        &mut self,
        name: &str,
        ours: &str,
        twin: &str,
        value: f64,
        target: Target,
        against: &str,
    ) {
        let met = match target.is_met(value) {
            Some(true) => "met",
            Some(false) => "missed",
            None => "",
        };
        let text = format!("| {name} | {ours} | {twin} | {value:.2} | {target} | {met} | {against} |");
        eprintln!("{text}");
        self.lines.push(Line { name: name.to_owned(), value, target, text });
    }

    /// Says why a row is missing.
    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        if self.wants(&[name]) {
            let text = format!("| {name} | | | | | skipped | {why} |");
            self.lines.push(Line { name: name.to_owned(), value: f64::NAN, target: Target::None, text });
        }
    }

    pub(crate) fn finish(self) {
        if self.lines.is_empty() {
            return;
        }
        let missed = self.lines.iter().filter(|line| line.target.is_met(line.value) == Some(false)).count();
        let mut table =
            String::from("| operation | ours, median [min .. max] | twin | ratio | target | | against |\n");
        table += "|---|---|---|---|---|---|---|\n";
        self.lines.iter().for_each(|line| table += &format!("{}\n", line.text));
        let (machine, load, rows) = (page::machine(), page::load(), self.lines.len());
        let before = self.load_before;
        table += &format!(
            "\n{rows} rows, {missed} targets missed. {machine}; load {before} before, {load} after.\n"
        );
        println!("\n{table}");
        if std::env::var_os("PLUGCACHE_BENCH_WRITE").is_some() {
            page::write("floor", &table);
            page::draw(&self.lines);
        }
    }
}

fn operations_per_round(ours: &mut Side<'_>, twin: &mut Side<'_>) -> u64 {
    let mut count = 1;
    loop {
        let slower = ours(count).max(twin(count));
        if slower >= ROUND {
            return count;
        }
        let factor = (ROUND.as_secs_f64() / slower.as_secs_f64().max(1e-9)).clamp(1.2, 10.0);
        count = (count as f64 * factor).ceil() as u64;
    }
}

fn absolute(name: &str, ours: &mut Side<'_>, twin: &mut Side<'_>) {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .without_plots();
    let mut group = criterion.benchmark_group(name);
    group.bench_function("ours", |bencher| bencher.iter_custom(&mut *ours));
    group.bench_function("twin", |bencher| bencher.iter_custom(&mut *twin));
    group.finish();
}

/// What happens between two marks is shown; the first operations have filled the caches.
fn trace(side: &mut Side<'_>) {
    side(1);
    side(1);
    mark();
    side(1);
    mark();
}

/// A system call that nobody else makes.
pub(crate) fn mark() {
    let _ = rustix::process::getppid();
}

/// Another one, for what a child measures.
pub(crate) fn mark_of_child() {
    // A process always has a session; what is asked is not of interest.
    let _ = rustix::process::getsid(None);
}

/// Times of rounds in seconds.
pub(crate) struct Spread {
    pub(crate) median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    pub(crate) fn of(mut times: Vec<f64>) -> Spread {
        times.sort_by(f64::total_cmp);
        Spread { median: times[times.len() / 2], min: times[0], max: times[times.len() - 1] }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { median, min, max } = *self;
        write!(f, "{} [{} .. {}]", Seconds(median), Seconds(min), Seconds(max))
    }
}

/// With three digits, in a unit that fits.
pub(crate) struct Seconds(pub(crate) f64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            seconds if seconds < 1e-6 => (seconds * 1e9, "ns"),
            seconds if seconds < 1e-3 => (seconds * 1e6, "µs"),
            seconds if seconds < 1.0 => (seconds * 1e3, "ms"),
            seconds => (seconds, "s"),
        };
        let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        write!(f, "{value:.digits$} {unit}")
    }
}
