//! Several processes on one disk, interleaved at every verb by the controller.
//!
//! Bounds: all schedules of each scene with at most one preemption, and the first so many with two; random
//! schedules by seed, with a kill at a random verb in every second one; each process of each scene stopped for ever
//! after each of its verbs.

use super::{
    bound,
    check::{files, only_grown},
    pins::{INTERRUPTIONS, SCHEDULES, STOPS},
    scenes::{SCENES, Scene},
    stage::{Interruption, Played},
    workload::Op,
};
use plugcache::__sim::{Process, Random, Schedules};
use std::sync::Mutex;

/// All schedules with at most so many preemptions, up to a bound.
pub(super) fn explore(scene: &Scene, preemptions: usize, runs_max: usize) -> (usize, bool) {
    let start = scene.start();
    let mut schedules = Schedules::with_preemptions(preemptions);
    for run in 1..=runs_max {
        let played = scene.play(&start, |_, _| {}, |_, can| schedules.choose(can));
        if let Err(why) = played.judge(scene) {
            panic!("{}\n{why}\n{:?}", played.label(scene), played.went);
        }
        if !schedules.advance() {
            return (run, true);
        }
    }
    (runs_max, false)
}

#[test]
fn in_every_order_with_a_preemption_nothing_acknowledged_is_lost() {
    let mut count = 0;
    for scene in SCENES.iter().filter(|scene| !scene.is_long()) {
        let (one, _) = explore(scene, 1, usize::MAX);
        let (two, all) = explore(scene, 2, bound(60, 20_000));
        let all = if all { ", which are all" } else { "" };
        println!("crash: {}: {one} schedules with one preemption, {two} with two{all}", scene.name);
        count += one + two;
    }
    println!("crash: {count} schedules");
    SCHEDULES.check(count);
}

/// Each process is interrupted after each of its verbs; the others run to their ends, in both orders; it goes on.
#[test]
fn a_process_interrupted_at_any_verb_by_all_the_others_loses_nothing() {
    let mut count = 0;
    for scene in &SCENES {
        let start = scene.start();
        let is_sweep = |number: usize| matches!(scene.roles[number][0], Op::Sweep);
        let firsts = (0..scene.roles.len()).filter(|number| !is_sweep(*number));
        for (first, reverse) in firsts.flat_map(|first| [(first, false), (first, true)]) {
            for after in 1.. {
                let mut interruption = Interruption { first, after, reverse, steps: 0 };
                let played = scene.play(&start, |_, _| {}, |_, can| interruption.choose(can));
                count += 1;
                if let Err(why) = played.judge(scene).and_then(|()| played.all_stored(scene)) {
                    panic!("{}: {first} interrupted after {after}: {why}\n{:?}", scene.name, played.went);
                }
                if interruption.is_too_late() {
                    break;
                }
            }
        }
    }
    println!("crash: {count} runs with one process interrupted");
    INTERRUPTIONS.check(count);
}

#[test]
fn in_random_order_with_and_without_a_kill_nothing_acknowledged_is_lost() {
    for scene in &SCENES {
        at_random(scene, bound(24, 10_000));
    }
}

/// Plays a scene in random orders; in every second one a process is killed at a random verb.
pub(super) fn at_random(scene: &Scene, seeds: usize) {
    let start = scene.start();
    for seed in 0..seeds as u64 {
        let mut random = Random::new(seed);
        let victim = random.below(scene.roles.len());
        let at = 1 + random.below(90);
        let switch = 1 + random.below(12);
        let plan = |number, process: &Process| {
            if seed % 2 == 1 && number == victim {
                process.kill_after(at);
            }
        };
        let mut last = 0;
        let mut before = files(&start.0);
        let played = scene.play(&start, plan, |disk, can| {
            if seed % 8 == 0 {
                let now = files(disk);
                only_grown(&before, &now).unwrap();
                before = now;
            }
            match can.iter().position(|number| *number == last) {
                Some(stay) if random.below(switch) > 0 => stay,
                _ => {
                    let position = random.below(can.len());
                    last = can[position];
                    position
                }
            }
        });
        if let Err(why) = played.judge(scene) {
            panic!("seed {seed}, {}\n{why}\n{:?}", played.label(scene), played.went);
        }
    }
}

#[test]
fn a_process_stopped_at_any_verb_keeps_nobody_else_from_finishing() {
    let mut count = 0;
    for scene in SCENES.iter().filter(|scene| !scene.is_long()) {
        let start = scene.start();
        for victim in 0..scene.roles.len() {
            for at in (1..).step_by(if scene.name.contains("dropper") { 1 } else { bound(5, 1) }) {
                let stopped = Mutex::new(None);
                let plan = |number, process: &Process| {
                    if number == victim {
                        process.stop_after(at);
                        *stopped.lock().unwrap() = Some(process.clone());
                    }
                };
                // The victim goes as far as it can, then the others.
                let first = |can: &[usize]| can.iter().position(|number| *number == victim).unwrap_or(0);
                let played = scene.play(&start, plan, |_, can| first(can));
                count += 1;
                let verbs = stopped.into_inner().unwrap().map_or(0, |process| process.steps());
                let label = || format!("{}, {victim} stopped after {at}", scene.name);
                played.judge(scene).unwrap_or_else(|why| panic!("{}: {why}\n{:?}", label(), played.went));
                others_stored(scene, victim, &played).unwrap_or_else(|why| panic!("{}: {why}", label()));
                if verbs < at {
                    break;
                }
            }
        }
    }
    println!("crash: {count} runs with a stopped process");
    STOPS.check(count);
}

/// All that the others did was acknowledged; compaction alone, and an add of the very object that the stopped
/// process holds exclusively, may be refused.
fn others_stored(scene: &Scene, victim: usize, played: &Played) -> Result<(), String> {
    let others = scene.roles.iter().enumerate().filter(|(number, _)| *number != victim);
    for op in others.flat_map(|(_, role)| role.iter()) {
        let shares_objects = scene.name.contains("bytes");
        let may_be_refused = matches!(op, Op::Compact) || (shares_objects && matches!(op, Op::Add(..)));
        let stored = played
            .went
            .iter()
            .any(|went| format!("{:?}", went.op) == format!("{op:?}") && went.acked.is_some());
        if !stored && !may_be_refused {
            return Err(format!("{op:?} was not acknowledged: {:?}", played.went));
        }
    }
    Ok(())
}
