//! What came out, for people and for programs.

use std::fmt::Write as _;

use crate::traffic::{Outcome, STEP, Step};

/// The mean, the value that 99 of 100 steps do not exceed, and the highest: each in a second.
pub(crate) struct Rates {
    pub(crate) mean: f64,
    pub(crate) high: f64,
    pub(crate) peak: f64,
}

impl Rates {
    /// Of one site: machines are spread evenly.
    pub(crate) fn of(outcome: &Outcome, of: impl Fn(&Step) -> f64) -> Rates {
        let per_second = STEP as f64 / 1000.0 * f64::from(outcome.scenario.sites);
        let mut all: Vec<_> = outcome.steps.iter().map(|step| of(step) / per_second).collect();
        all.sort_by(f64::total_cmp);
        let at =
            |share: f64| all.get((share * all.len() as f64) as usize).or(all.last()).copied().unwrap_or(0.0);
        Rates { mean: all.iter().sum::<f64>() / all.len().max(1) as f64, high: at(0.99), peak: at(1.0) }
    }
}

/// With three digits at most that say something.
pub(crate) fn short(value: f64) -> String {
    match value {
        _ if value >= 9.95e5 => format!("{:.1} M", value / 1e6),
        _ if value >= 9999.5 => format!("{:.0} k", value / 1e3),
        _ if value >= 99.95 => format!("{value:.0}"),
        _ if value >= 0.995 => format!("{value:.1}"),
        _ if value >= 0.005 => format!("{value:.2}"),
        _ => "0".into(),
    }
}

/// A share in percent, with as many digits as tell it from 0 and from 1.
pub(crate) fn percent(share: f64) -> String {
    let places = if share == 0.0 || share == 1.0 { 0 } else { 2 };
    format!("{:.places$} %", share * 100.0)
}

fn megabits(step: &Step) -> f64 {
    (step.down * 8) as f64 / 1e6
}

/// A table in Markdown, a row for each fleet.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "| | GET/s mean | 99 % | peak | PUT/s peak | Mbit/s mean | peak | own store | bucket | compiled | compilations a day |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for outcome in outcomes {
        let gets = Rates::of(outcome, |step| f64::from(step.gets));
        let puts = Rates::of(outcome, |step| f64::from(step.puts));
        let down = Rates::of(outcome, megabits);
        let (counts, uses) = (&outcome.counts, outcome.counts.uses().max(1) as f64);
        let share = |part: u64| percent(part as f64 / uses);
        let cells = [
            outcome.scenario.name.clone(),
            short(gets.mean),
            short(gets.high),
            short(gets.peak),
            short(puts.peak),
            short(down.mean),
            short(down.peak),
            share(counts.local),
            share(counts.fetched),
            share(counts.built),
            short(counts.built as f64 / outcome.scenario.days as f64),
        ];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

/// Everything about these outcomes.
pub(crate) fn json(outcomes: &[Outcome]) -> String {
    let all: Vec<_> = outcomes.iter().map(json_of).collect();
    format!("[\n{}\n]\n", all.join(",\n"))
}

fn json_of(outcome: &Outcome) -> String {
    let scenario = &outcome.scenario;
    let mut text = format!(
        "{{\"name\": {:?}, \"machines\": {}, \"sites\": {}, \"days\": {}, \"seed\": {},\n \"counts\": {{",
        scenario.name, scenario.machines, scenario.sites, scenario.days, scenario.seed
    );
    let counts: Vec<_> =
        outcome.counts.rows().iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    let _ = writeln!(text, "{}}},", counts.join(", "));
    let hours: Vec<_> = outcome.steps.chunks(360).map(|steps| steps_json(&[sum(steps)])).collect();
    let _ = writeln!(text, " \"hours\": [{}],", hours.join(", "));
    let _ = writeln!(text, " \"storm\": [{}],", steps_json(storm(outcome)));
    let stored: Vec<_> = outcome.stored.iter().map(|(files, bytes)| format!("[{files}, {bytes}]")).collect();
    let _ = write!(text, " \"stored\": [{}]}}", stored.join(", "));
    text
}

/// The steps from a minute before the last release until all have restarted, and ten minutes more.
pub(crate) fn storm(outcome: &Outcome) -> &[Step] {
    let scenario = &outcome.scenario;
    let Some((at, _)) = scenario.releases.last() else { return &[] };
    let step = |seconds: u64| ((seconds * 1000 / STEP) as usize).min(outcome.steps.len());
    &outcome.steps[step(at.saturating_sub(60))..step(at + scenario.restart_within + 600)]
}

fn sum(steps: &[Step]) -> Step {
    steps.iter().fold(Step::default(), |sum, step| Step {
        starts: sum.starts + step.starts,
        gets: sum.gets + step.gets,
        heads: sum.heads + step.heads,
        puts: sum.puts + step.puts,
        built: sum.built + step.built,
        down: sum.down + step.down,
        up: sum.up + step.up,
    })
}

fn steps_json(steps: &[Step]) -> String {
    let one = |step: &Step| {
        let Step { starts, gets, heads, puts, built, down, up } = step;
        format!(
            "{{\"starts\": {starts}, \"gets\": {gets}, \"heads\": {heads}, \"puts\": {puts}, \"built\": {built}, \"bytes_down\": {down}, \"bytes_up\": {up}}}"
        )
    };
    steps.iter().map(one).collect::<Vec<_>>().join(", ")
}
