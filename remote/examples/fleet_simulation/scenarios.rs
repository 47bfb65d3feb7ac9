//! The fleets of docs/fleet.md.

use crate::{model::Writers, traffic::Scenario};

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// A week of ten thousand machines, or two days of a million: fifty plugins each, twenty starts a day, a hundredth of the
/// disks replaced each day. A release comes at ten in the morning, five a week, with five new plugins, and every machine
/// starts once within five minutes.
pub(crate) fn fleet(machines: u32, name: &str) -> Scenario {
    let days = if machines > 100_000 { 2 } else { 7 };
    Scenario {
        name: name.into(),
        seed: 1,
        days,
        machines,
        sites: 1,
        plugins: 50,
        writers: Writers::Publishers,
        bundle: false,
        poll_seconds: None,
        room: 1000,
        starts_per_day: 20.0,
        swing: 0.6,
        releases: (0..days.min(5)).map(|day| (day * DAY + 10 * HOUR, 5)).collect(),
        restart_within: 5 * MINUTE,
        publish_after: 0,
        disks_per_day: 0.01,
        empty_starts: 0.0,
        build_seconds: 3,
        bytes_median: 256.0 * 1024.0,
        bytes_sigma: 1.0,
        ratio: 3.3,
        lifecycle: true,
    }
}

/// The rows of the table.
pub(crate) fn table(machines: u32) -> Vec<Scenario> {
    let of = |name: &str| fleet(machines, name);
    let bundle = |name: &str| Scenario { bundle: true, ..of(name) };
    let wide = |name: &str| Scenario { restart_within: 2 * HOUR, ..bundle(name) };
    let late = |name: &str| Scenario { publish_after: MINUTE, ..of(name) };
    let everybody = |name: &str| Scenario { writers: Writers::Everybody, ..of(name) };
    let mut all = vec![
        Scenario { writers: Writers::Nobody, ..of("no bucket") },
        of("publishers"),
        bundle("publishers, bundle"),
        wide("publishers, bundle, restarts within 2 h"),
        Scenario { sites: 20, ..wide("the same, 20 sites: each") },
        late("publishers begin 1 min late, hosts compile"),
        Scenario { poll_seconds: Some(5), ..late("publishers begin 1 min late, hosts wait") },
        everybody("everybody writes"),
        Scenario { restart_within: 0, ..everybody("everybody writes, release at the next start") },
        Scenario { empty_starts: 0.1, ..bundle("publishers, bundle, 10 % of starts on empty disks") },
    ];
    if machines <= 100_000 {
        // Of a million it would only be a hundred times as much, and take a hundred times as long.
        all.push(Scenario { room: 40, ..bundle("publishers, bundle, stores hold 40 of 50") });
    }
    all
}

/// A day with a release: with and without bundle, with and without time to restart.
pub(crate) fn day(machines: u32) -> Vec<Scenario> {
    let one = |name: &str, bundle: bool, within: u64| Scenario {
        days: 1,
        releases: vec![(10 * HOUR, 5)],
        bundle,
        restart_within: within,
        ..fleet(machines, name)
    };
    vec![
        one("within 5 min, no bundle", false, 5 * MINUTE),
        one("within 5 min, bundle", true, 5 * MINUTE),
        one("within 2 h, no bundle", false, 2 * HOUR),
        one("within 2 h, bundle", true, 2 * HOUR),
    ]
}

/// For each share of starts on empty disks: no bucket, publishers, everybody.
pub(crate) fn empty_disks(share: f64) -> Vec<Scenario> {
    [Writers::Nobody, Writers::Publishers, Writers::Everybody]
        .map(|writers| Scenario {
            days: 3,
            releases: vec![(34 * HOUR, 5)],
            writers,
            empty_starts: share,
            disks_per_day: 0.0,
            ..fleet(1000, "")
        })
        .into()
}

/// Sixty days with five releases a week: what lies in the bucket.
pub(crate) fn storage() -> Vec<Scenario> {
    let releases = (0..60).filter(|day| day % 7 < 5).map(|day| (day * DAY + 10 * HOUR, 5));
    let releases: Vec<_> = releases.collect();
    let one = |name: &str, lifecycle: bool, ratio: f64| Scenario {
        days: 60,
        releases: releases.clone(),
        lifecycle,
        ratio,
        bundle: true,
        starts_per_day: 2.0,
        ..fleet(1000, name)
    };
    vec![
        one("nothing is removed", false, 3.3),
        one("removed when old", true, 3.3),
        one("the same, not packed", true, 1.0),
    ]
}
