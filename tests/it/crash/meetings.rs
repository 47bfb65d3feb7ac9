//! Two writers and a compactor, interleaved at every verb, and at every point of that all are killed or the power is
//! cut.
//!
//! Bounds: the scenes in which no two processes write the same key, with lazy handles and with synced ones. Each
//! process is interrupted after each of its verbs by all the others, in both orders; in the long run also the first
//! so many schedules with two preemptions. From the interruption on, each verb that has changed the disk is a kill
//! and at most [`cuts_max`] power cuts, unless an equal state was.

use super::{
    States,
    beside::Beside,
    bound,
    check::check_with,
    in_parallel,
    model::{After, Model},
    pins::MEETING_STATES,
    scenes::{SCENES, Scene},
    stage::{Interruption, writes},
    verdict::so_far,
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
pub(super) struct Tally {
    pub(super) states: States,
    crashed: Mutex<HashSet<(u64, u64, u64)>>,
    judged: Mutex<HashSet<(u64, u64, After)>>,
    /// Kills, power cuts, and the schedules in which they were.
    pub(super) counts: Mutex<[usize; 3]>,
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    fn judge(&self, disk: &Disk, model: &Model, after: After, beside: Beside) -> Result<(), String> {
        self.counts.lock().unwrap()[usize::from(after == After::Cut)] += 1;
        let print = disk.fingerprint();
        self.states.note(print);
        if !self.judged.lock().unwrap().insert((print, model.print(after), after)) {
            return Ok(());
        }
        let story = disk.story();
        let checked = check_with(&disk.snapshot(), model, after, beside);
        checked.map(|_| ()).map_err(|why| format!("{why}\nafter {after:?}\n{story}"))
    }

    /// All are killed now; or the power goes.
    fn crash(&self, disk: &Disk, model: &Model, beside: Beside) -> Result<(), String> {
        let print = (disk.fingerprint_before_cut(), model.print(After::Kill), model.print(After::Cut));
        if !self.crashed.lock().unwrap().insert(print) {
            return Ok(());
        }
        self.judge(&disk.snapshot(), model, After::Kill, beside)?;
        let mut cuts = disk.snapshot().power_cuts(cuts_max());
        cuts.try_for_each(|cut| self.judge(&cut, model, After::Cut, beside))
    }

    /// Crashes these scenes everywhere, with lazy handles and with synced ones.
    pub(super) fn crash_all<'a>(&self, scenes: impl Iterator<Item = &'a Scene>) {
        // What walks through all directories syncs nothing on its way.
        let kinds = |scene: &Scene| if scene.is_long() { bound(1, 2) } else { 2 };
        let jobs = scenes.flat_map(|scene| {
            let setups = [LAZY, SYNC].map(|kind| Setup { durability: kind.durability, ..scene.setup });
            setups.into_iter().take(kinds(scene)).map(|setup| Scene { setup, ..*scene })
        });
        in_parallel(jobs.collect(), |scene| {
            if let Err(why) = explore(self, &scene) {
                self.wrong.lock().unwrap().push(why);
            }
        });
        let wrong = self.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    }
}

/// Whether each key is written by one process alone, so that its states have an order.
fn is_parted(scene: &Scene) -> bool {
    let keys =
        |role: &[Op]| -> HashSet<_> { role.iter().flat_map(|op| writes(*op)).map(|(key, _)| key).collect() };
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
                wrong = tally.crash(disk, &so_far(&start.1, went, scene.setup), scene.setup.beside);
            }
            changes = now;
            position
        },
    );
    let label = || format!("{:?}, {}\n{:?}", scene.setup, played.label(scene), played.went);
    tally.counts.lock().unwrap()[2] += 1;
    let judged = wrong.and_then(|()| played.judge(scene)).and_then(|()| played.all_stored(scene));
    judged.map_err(|why| format!("{why}\n{}", label()))
}

/// Every schedule of a scene.
fn explore(tally: &Tally, scene: &Scene) -> Result<(), String> {
    let start = scene.start();
    let orders = if scene.roles.len() > 2 { &[false, true][..] } else { &[false] };
    for first in 0..scene.roles.len() {
        for (after, reverse) in scene
            .moments(&start, first)
            .into_iter()
            .flat_map(|after| orders.iter().map(move |order| (after, *order)))
        {
            let mut interruption = Interruption { first, after, reverse, steps: 0 };
            play(tally, scene, &start, |can| {
                let position = interruption.choose(can);
                // What comes before the interruption comes before every later one too.
                (position, interruption.steps == after)
            })?;
        }
    }
    let mut schedules = Schedules::with_preemptions(2);
    for _ in 0..if scene.is_long() { 0 } else { schedules_max() } {
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
    tally.crash_all(scenes.into_iter());
    let [kills, cuts, runs] = *tally.counts.lock().unwrap();
    let states = tally.states.count();
    println!(
        "crash: {states} distinct states of processes that meet; {kills} kills, {cuts} power cuts in {runs} schedules"
    );
    MEETING_STATES.check(states);
}
