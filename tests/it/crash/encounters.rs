//! Two processes of which one imports, forgets what lies in a layer, promotes, fetches, scrubs or rebuilds, while the
//! other adds, evicts, forgets or compacts: interleaved, killed and cut like all other scenes.
//!
//! Bounds: each of the two is interrupted after each of its verbs by the whole of the other (of a scrub's walk through
//! 256 directories, in those that hold something and every sixteenth else); then the first so many schedules with two
//! preemptions, and random ones, with a kill of one of them in every second. From each interruption on, each verb that
//! has changed the disk is a kill of both and some power cuts, with lazy handles and with synced ones, as in
//! [`super::meetings`].

use super::{
    beside::{BELOW, BEYOND, Beside},
    bound,
    meetings::Tally,
    model::Key,
    pins::{ENCOUNTER_STATES, ENCOUNTERS, ENCOUNTERS_OTHERWISE},
    scenes::{A, C, D, LAZY_SCENE, Scene, TWO},
    workload::{
        LAZY,
        Op::{Add, Compact, Damage, DamageSegment, Fetch, Find, Forget, Hours, Import, Open, Rebuild, Scrub},
        Setup,
    },
    writers::{at_random, explore},
};

/// A key of the layer, and one of the tier.
const L: Key = BELOW[0].0;
const M: Key = BELOW[1].0;
const T: Key = BEYOND[0].0;

const LAYERED: Setup = Setup { beside: Beside::Layer, ..LAZY };
const PROMOTING: Setup = Setup { beside: Beside::Promoted, ..LAZY };
const TIERED: Setup = Setup { beside: Beside::Tier, ..LAZY };

const BESIDE: Scene = Scene { has_neighbours: true, ..LAZY_SCENE };
const ABOVE: Scene = Scene { setup: LAYERED, ..BESIDE };

const SCENES: [Scene; 18] = [
    Scene {
        name: "an import and an adder of bytes that it brings",
        before: &[Add(C, 6)],
        roles: &[&[Import], &[Add(A, 2), Find(A)]],
        ..BESIDE
    },
    Scene {
        name: "an import and a forget of bytes that it brings",
        before: &[Add(C, 2), Hours(1)],
        roles: &[&[Import], &[Forget(C)]],
        ..BESIDE
    },
    Scene {
        name: "an import and an eviction of bytes that it brings",
        before: &[Add(C, 2), Add(D, 8), Hours(1)],
        roles: &[&[Import], &[Add(A, 4)]],
        setup: TWO,
        ..BESIDE
    },
    Scene {
        name: "a forget above a layer and a compactor",
        before: &[Add(C, 6), Add(L, 4), Hours(1)],
        roles: &[&[Forget(L), Find(M), Find(L)], &[Compact]],
        ..ABOVE
    },
    Scene {
        name: "a forget above a layer and an adder of the same key",
        before: &[Add(C, 6)],
        roles: &[&[Forget(L)], &[Add(L, 4), Find(L)]],
        ..ABOVE
    },
    Scene {
        name: "two forgets above a layer of what was replaced there",
        before: &[Add(L, 4)],
        roles: &[&[Forget(L)], &[Forget(L), Find(L)]],
        ..ABOVE
    },
    Scene {
        name: "a promotion and an eviction of bytes that it brings",
        before: &[Add(C, 2), Add(D, 8), Hours(1)],
        roles: &[&[Open(Setup { max_files: 2, ..PROMOTING }), Find(L), Find(L)], &[Open(TWO), Add(A, 4)]],
        setup: Setup { max_files: 2, ..LAYERED },
        ..BESIDE
    },
    Scene {
        name: "a promotion and a forget of what it promotes",
        before: &[Add(C, 6)],
        roles: &[&[Open(PROMOTING), Find(L)], &[Forget(L), Find(L)]],
        ..ABOVE
    },
    Scene {
        name: "a promotion and a forget of what was promoted before",
        before: &[Open(PROMOTING), Find(L), Open(LAZY), Hours(1)],
        roles: &[&[Open(PROMOTING), Find(L)], &[Forget(L)]],
        ..ABOVE
    },
    Scene {
        name: "a fetch and an adder of the same key",
        before: &[Add(C, 6)],
        roles: &[&[Open(TIERED), Fetch], &[Add(T, 4), Find(T)]],
        ..BESIDE
    },
    Scene {
        name: "a fetch and a forget of what it fetches",
        before: &[Add(C, 6)],
        roles: &[&[Open(TIERED), Fetch], &[Open(TIERED), Forget(T), Find(T)]],
        ..BESIDE
    },
    Scene {
        name: "a fetch, and an adder of what was forgotten since it began",
        before: &[Add(C, 6)],
        roles: &[&[Open(TIERED), Fetch], &[Open(TIERED), Forget(T), Add(T, 4), Find(T)]],
        ..BESIDE
    },
    Scene {
        name: "two fetches of the same, of bytes that somebody drops",
        before: &[Add(C, 2), Hours(1)],
        roles: &[&[Open(TIERED), Fetch], &[Open(TIERED), Fetch], &[Forget(C)]],
        ..BESIDE
    },
    Scene {
        name: "a scrub and an adder",
        before: &[Add(C, 6)],
        roles: &[&[Scrub], &[Add(A, 4), Find(A)]],
        ..LAZY_SCENE
    },
    Scene {
        name: "a scrub and an adder of bytes that it sets aside",
        before: &[Add(C, 2), Damage(2)],
        roles: &[&[Scrub], &[Add(A, 2), Find(A)]],
        ..LAZY_SCENE
    },
    Scene {
        name: "a rebuild and an adder",
        before: &[Add(C, 6), Compact, Add(D, 8)],
        roles: &[&[Rebuild, Find(C)], &[Add(A, 2), Find(D)]],
        ..LAZY_SCENE
    },
    Scene {
        name: "a rebuild of what is damaged and an adder of what it may bring back",
        before: &[Add(C, 6), Compact, Add(D, 8), DamageSegment],
        roles: &[&[Rebuild], &[Add(C, 4), Find(C)]],
        ..LAZY_SCENE
    },
    Scene {
        name: "two rebuilds and an adder",
        before: &[Add(C, 6), Compact, Add(D, 8), DamageSegment],
        roles: &[&[Rebuild], &[Rebuild], &[Add(A, 2), Find(D)]],
        ..LAZY_SCENE
    },
];

#[test]
fn interrupted_killed_or_cut_at_any_point_two_that_meet_lose_nothing_and_bring_nothing_back() {
    let tally = Tally::default();
    tally.crash_all(SCENES.iter());
    let [kills, cuts, runs] = *tally.counts.lock().unwrap();
    let states = tally.states.count();
    println!(
        "crash: two that meet in {runs} schedules: {states} distinct states, {kills} kills, {cuts} power cuts"
    );
    ENCOUNTERS.check(runs);
    ENCOUNTER_STATES.check(states);
}

#[test]
fn in_other_orders_with_and_without_a_kill_two_that_meet_lose_nothing() {
    let mut count = 0;
    for scene in &SCENES {
        let seeds = if scene.is_long() { bound(4, 1_000) } else { bound(24, 10_000) };
        at_random(scene, seeds);
        count += seeds;
        if !scene.is_long() {
            count += explore(scene, 2, bound(20, 20_000)).0;
        }
    }
    println!("crash: two that meet in {count} other orders");
    ENCOUNTERS_OTHERWISE.check(count);
}
