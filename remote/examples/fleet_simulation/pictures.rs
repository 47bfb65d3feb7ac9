//! The pictures of docs/fleet.md.

use crate::{
    picture::Picture,
    run, scenarios,
    traffic::{Outcome, STEP},
};

/// Steps of a point: the highest of five minutes.
const STEPS: usize = 30;

/// What the engine is asked over a day with a release.
pub(crate) fn requests(days: &[Outcome]) -> String {
    let line = |day: &Outcome| {
        let highest = |steps: &[crate::traffic::Step]| {
            let most = steps.iter().map(|step| step.gets).max().unwrap_or(0);
            f64::from(most) / (STEP as f64 / 1000.0)
        };
        let points = day.steps.chunks(STEPS).enumerate();
        let hours = (STEPS as u64 * STEP) as f64 / 3.6e6;
        let points = points.map(|(number, steps)| (number as f64 * hours, highest(steps)));
        (day.scenario.name.clone(), points.collect())
    };
    Picture {
        title: "GETs of a million machines on a day with a release at 10:00: the busiest ten seconds of each five minutes",
        x_axis: "hour",
        y_axis: "GET/s",
        x_ticks: (0..=24).step_by(4).map(|hour| (f64::from(hour), hour.to_string())).collect(),
        y_ticks: [(1.0, "1"), (10.0, "10"), (100.0, "100"), (1e3, "1,000"), (1e4, "10,000"), (1e5, "100,000")]
            .map(|(value, words)| (value, words.to_owned()))
            .into(),
        is_logarithmic: true,
        lines: days.iter().map(line).collect(),
    }
    .draw()
}

/// What share of plugins need not be compiled, by the share of starts on an empty disk.
pub(crate) fn hits() -> String {
    let shares = [0.0, 0.001, 0.01, 0.1, 0.5, 1.0];
    let names =
        ["no bucket: the own store", "publishers: the own store or the bucket", "everybody writes: likewise"];
    let mut lines: Vec<_> = names.map(|name| (name.to_owned(), Vec::new())).into();
    for (place, share) in shares.iter().enumerate() {
        for (outcome, line) in run(&scenarios::empty_disks(*share)).iter().zip(&mut lines) {
            let counts = &outcome.counts;
            let share = (counts.local + counts.fetched) as f64 / counts.uses().max(1) as f64;
            line.1.push((place as f64, share * 100.0));
        }
    }
    let words = |share: &f64| format!("{} %", share * 100.0);
    Picture {
        title: "Plugins that a start need not compile, by how many starts find an empty disk",
        x_axis: "starts on an empty disk",
        y_axis: "% of plugins",
        x_ticks: shares.iter().enumerate().map(|(place, share)| (place as f64, words(share))).collect(),
        y_ticks: (0..=100).step_by(20).map(|value| (f64::from(value), value.to_string())).collect(),
        is_logarithmic: false,
        lines,
    }
    .draw()
}

/// What lies in a bucket.
pub(crate) fn storage(outcomes: &[Outcome]) -> String {
    let line = |outcome: &Outcome| {
        let points = outcome.stored.iter().enumerate();
        let points = points.map(|(day, (_, bytes))| ((day + 1) as f64, *bytes as f64 / (1u64 << 20) as f64));
        (outcome.scenario.name.clone(), points.collect::<Vec<_>>())
    };
    let lines: Vec<_> = outcomes.iter().map(line).collect();
    let most = lines.iter().flat_map(|(_, points)| points).map(|(_, bytes)| *bytes).fold(1.0, f64::max);
    let step = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0].into_iter().find(|step| step * 6.0 >= most).unwrap_or(100.0);
    Picture {
        title: "What lies in the bucket of a fleet with 50 plugins, of which 5 are new in each of five releases a week",
        x_axis: "day",
        y_axis: "MiB",
        x_ticks: (0..=60).step_by(10).map(|day| (f64::from(day), day.to_string())).collect(),
        y_ticks: (0..=6).map(|number| (f64::from(number) * step, (f64::from(number) * step).to_string())).collect(),
        is_logarithmic: false,
        lines,
    }
    .draw()
}
