//! Two writers and a compactor, interleaved at every verb, and at every point of that all are killed or the power is
//! cut.
//!
//! Bounds: the scenes in which no two processes write the same key, with lazy handles and with synced ones. Each
//! process is interrupted after each of its verbs by all the others, in both orders; in the long run also the first
//! so many schedules with two preemptions. From the interruption on, each verb that has changed the disk is a kill
//! and at most [`cuts_max`] power cuts, unless an equal state was.

use super::{
    States, bound,
    check::check,
    in_parallel,
    model::{After, Model},
    pins::MEETING_STATES,
    scenes::{Interruption, SCENES, Scene, Went, key_and_state},
    workload::{LAZY, Op, SYNC, Setup},
};
use plugcache::__sim::{Disk, Schedules};
use std::{collections::HashSet, sync::Mutex};

/// Power cuts at one point.
fn cuts_max() -> usize {
    bound(3, 40)
}

/// Schedules with two preemptions.
fn schedules_max() -> usize {
    bound(0, 3_000)
}

#[derive(Default)]
struct Tally {
    states: States,
    crashed: Mutex<HashSet<(u64, u64, u64)>>,
    judged: Mutex<HashSet<(u64, u64, After)>>,
    counts: Mutex<[usize; 2]>,
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    fn judge(&self, disk: &Disk, model: &Model, after: After) -> Result<(), String> {
        self.counts.lock().unwrap()[usize::from(after == After::Cut)] += 1;
        let print = disk.fingerprint();
        self.states.note(print);
        if !self.judged.lock().unwrap().insert((print, model.print(after), after)) {
            return Ok(());
        }
        let story = disk.story();
        check(&disk.snapshot(), model, after).map(|_| ()).map_err(|why| format!("{why}\n{story}"))
    }

    /// All are killed now; or the power goes.
    fn crash(&self, disk: &Disk, model: &Model) -> Result<(), String> {
        let print = (disk.fingerprint_before_cut(), model.print(After::Kill), model.print(After::Cut));
        if !self.crashed.lock().unwrap().insert(print) {
            return Ok(());
        }
        self.judge(&disk.snapshot(), model, After::Kill)?;
        disk.snapshot().power_cuts(cuts_max()).try_for_each(|cut| self.judge(&cut, model, After::Cut))
    }
}

/// What may be found after all that has happened so far.
fn so_far(before: &Model, went: &[Went], setup: Setup) -> Model {
    let durable = setup.durability == SYNC.durability;
    let mut model = before.clone();
    for went in went {
        match (key_and_state(went.op), went.acked) {
            (Some((key, state)), Some(_)) => model.sure(key, state, durable),
            (Some((key, state)), None) => model.unsure(key, state),
            (None, _) => {}
        }
    }
    model
}

/// Whether each key is written by one process alone, so that its states have an order.
fn is_parted(scene: &Scene) -> bool {
    let keys =
        |role: &[Op]| -> HashSet<_> { role.iter().filter_map(|op| Some(key_and_state(*op)?.0)).collect() };
    let all: Vec<_> = scene.roles.iter().flat_map(|role| keys(role)).collect();
    let writers = scene.roles.iter().filter(|role| !keys(role).is_empty()).count();
    writers == 2
        && all.iter().collect::<HashSet<_>>().len() == all.len()
        && scene.setup.max_files == LAZY.max_files
}

/// Plays a scene, and crashes it at each point from the turn on that `is_time` says.
fn play(
    tally: &Tally,
    scene: &Scene,
    start: &(Disk, Model),
    mut choose: impl FnMut(&[usize]) -> (usize, bool),
) -> Result<(), String> {
    let mut changes = start.0.changes();
    let mut wrong = Ok(());
    let played = scene.play_watched(
        start,
        |_, _| {},
        |disk, went, can| {
            let (position, is_time) = choose(can);
            let now = disk.changes();
            if wrong.is_ok() && is_time && now != changes {
                wrong = tally.crash(disk, &so_far(&start.1, went, scene.setup));
            }
            changes = now;
            position
        },
    );
    let label = || format!("{:?}, {}\n{:?}", scene.setup, played.label(scene), played.went);
    wrong.and_then(|()| played.judge(scene)).map_err(|why| format!("{why}\n{}", label()))
}

/// Every schedule of a scene.
fn explore(tally: &Tally, scene: &Scene) -> Result<(), String> {
    let start = scene.start();
    for (first, reverse) in (0..scene.roles.len()).flat_map(|first| [(first, false), (first, true)]) {
        for after in 1.. {
            let mut interruption = Interruption { first, after, reverse, steps: 0 };
            play(tally, scene, &start, |can| {
                let position = interruption.choose(can);
                // What comes before the interruption comes before every later one too.
                (position, interruption.steps == after)
            })?;
            if interruption.is_too_late() {
                break;
            }
        }
    }
    let mut schedules = Schedules::with_preemptions(2);
    for _ in 0..schedules_max() {
        play(tally, scene, &start, |can| (schedules.choose(can), true))?;
        if !schedules.advance() {
            break;
        }
    }
    Ok(())
}

#[test]
fn killed_or_cut_at_any_point_of_a_meeting_nothing_acknowledged_is_lost() {
    let tally = Tally::default();
    let scenes: Vec<_> = SCENES.iter().filter(|scene| is_parted(scene) && !scene.is_long()).collect();
    assert!(scenes.len() >= 4);
    let jobs = scenes.into_iter().flat_map(|scene| [LAZY, SYNC].map(|setup| Scene { setup, ..*scene }));
    in_parallel(jobs.collect(), |scene| {
        if let Err(why) = explore(&tally, &scene) {
            tally.wrong.lock().unwrap().push(why);
        }
    });
    let [kills, cuts] = *tally.counts.lock().unwrap();
    let states = tally.states.count();
    println!("crash: {states} distinct states of processes that meet; {kills} kills, {cuts} power cuts");
    let wrong = tally.wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    MEETING_STATES.check(states);
}
