//! The model of the simulation, beside a real small fleet: the same events, and after each of them the same counts, to the
//! last request and byte. There is no tolerance: what the model leaves out (time on the network, failures) does not happen
//! in a bucket in memory.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    common::SECOND,
    real_fleet::{RealFleet, build, entry_bytes, version_of},
    simulated::{Counts, DAY, Lacking, Rules, SECOND as MS, Settings, World, Writers},
};

#[derive(Clone, Debug)]
enum Event {
    /// These plugins are new.
    Release(Vec<u16>),
    Start(u32),
    Publish,
    Wipe(u32),
    Collect,
    /// Nothing but time.
    Pause,
}

fn settings(writers: Writers, bundle: bool) -> Settings {
    Settings {
        machines: 12,
        sites: 1,
        plugins: 10,
        writers,
        bundle,
        lacking: Lacking::Builds,
        room: 1000,
        rules: Rules::default(),
    }
}

/// Both fleets, event by event; what came out of it. The real one also loads what it gets.
#[track_caller]
fn check(settings: &Settings, events: &[(u64, Event)]) -> Counts {
    let (mut real, mut world) = (RealFleet::new(settings.clone()), World::new(settings.clone()));
    let (entry, mut release) = (entry_bytes(settings), 0);
    for (number, (at, event)) in events.iter().enumerate() {
        real.run_until(*at);
        world.run_until(*at);
        match event {
            Event::Release(changed) => {
                release += 1;
                real.release(changed);
                world.release(changed.iter().map(|plugin| (*plugin, version_of(*plugin, release, entry))));
            }
            Event::Start(machine) => {
                real.start(*machine);
                world.start(*machine, *at, 0);
            }
            Event::Publish => {
                for site in 0..settings.sites {
                    let publisher = world.publisher(site);
                    real.start(publisher);
                    world.start(publisher, *at, 0);
                }
            }
            Event::Wipe(machine) => {
                real.wipe(*machine);
                world.wipe(*machine);
            }
            Event::Collect => {
                real.collect();
                world.collect(*at);
            }
            Event::Pause => {}
        }
        assert_eq!(real.counts(), world.counts(), "after event {number}, {event:?} at {at}");
        for site in 0..settings.sites {
            assert_eq!(real.stored(site), world.stored(site), "site {site} after event {number}, {event:?}");
        }
    }
    world.counts()
}

/// Two days before a release and two after it: starts of all machines, disks that are replaced, a job that publishes and
/// renews.
fn ordinary(settings: &Settings) -> Vec<(u64, Event)> {
    let mut events = vec![(0, Event::Release((0..10).collect()))];
    let publishes = settings.writers == Writers::Publishers;
    let publish = |events: &mut Vec<_>, at| {
        if publishes {
            events.push((at, Event::Publish));
        }
    };
    publish(&mut events, MS);
    let starts = |events: &mut Vec<_>, from: u64| {
        events.extend((0..12).map(|machine| (from + 60 * MS * u64::from(machine), Event::Start(machine))));
    };
    starts(&mut events, 10 * MS);
    starts(&mut events, 5000 * MS);
    events.push((DAY, Event::Wipe(3)));
    starts(&mut events, DAY + MS);
    events.push((2 * DAY, Event::Release(vec![1, 4, 7])));
    // Two are faster than the job.
    events.extend([(2 * DAY + MS, Event::Start(5)), (2 * DAY + 2 * MS, Event::Start(6))]);
    publish(&mut events, 2 * DAY + 3 * MS);
    events.extend([5, 7].map(|machine| (2 * DAY + 4 * MS, Event::Wipe(machine))));
    starts(&mut events, 2 * DAY + 5 * MS);
    starts(&mut events, 3 * DAY);
    events
}

#[test]
fn a_fleet_with_publishers_is_as_the_model_says() {
    for bundle in [false, true] {
        let settings = settings(Writers::Publishers, bundle);
        let counts = check(&settings, &ordinary(&settings));
        assert_eq!(counts.get_bundle + counts.get_bundle_absent > 0, bundle);
        assert!(counts.built > 13 && counts.fetched > 100 && counts.local > 300, "{counts:?}");
    }
}

#[test]
fn a_fleet_in_which_everybody_writes_is_as_the_model_says() {
    let settings = settings(Writers::Everybody, false);
    let counts = check(&settings, &ordinary(&settings));
    assert_eq!(counts.built, 13, "each version once");
}

#[test]
fn a_fleet_without_a_bucket_is_as_the_model_says() {
    let settings = settings(Writers::Nobody, false);
    let counts = check(&settings, &ordinary(&settings));
    assert_eq!((counts.gets(), counts.heads(), counts.puts(), counts.fetched), (0, 0, 0, 0));
}

#[test]
fn sites_with_a_bucket_each_are_as_the_model_says() {
    for writers in [Writers::Publishers, Writers::Everybody] {
        let settings = Settings { sites: 3, ..settings(writers, writers == Writers::Publishers) };
        check(&settings, &ordinary(&settings));
    }
}

/// Sixty days: renewals from the seventh day on, entries that end after 21 and objects that go after 30, bundles whose
/// entries are older than themselves.
#[test]
fn what_grows_old_in_a_bucket_grows_old_in_the_model() {
    for (writers, bundle) in
        [(Writers::Publishers, false), (Writers::Publishers, true), (Writers::Everybody, false)]
    {
        let settings = Settings { machines: 3, ..settings(writers, bundle) };
        let mut events = vec![(0, Event::Release((0..10).collect()))];
        for day in 0..60 {
            let morning = day * DAY + 3 * 3600 * MS + 417;
            if [6, 25].contains(&day) {
                events.push((morning, Event::Release(vec![2, (day % 10) as u16])));
            }
            // The job is on holiday for a month; so are all machines but one, in turns.
            if writers == Writers::Publishers && !(20..50).contains(&day) {
                events.push((morning + MS, Event::Publish));
            }
            events.extend((0..3).filter(|machine| day < 12 || day % 17 == u64::from(*machine) * 5).flat_map(
                |machine| {
                    let at = morning + 3600 * MS * u64::from(machine + 1);
                    let wipe = (at, Event::Wipe(machine));
                    [Some((at, Event::Start(machine))), (day % 4 == 3).then_some(wipe)].into_iter().flatten()
                },
            ));
            events.push((morning + 12 * 3600 * MS, Event::Collect));
        }
        let counts = check(&settings, &events);
        assert!(counts.renewed >= 10 && counts.get_object_absent == 0, "{counts:?}");
    }
}

#[test]
fn a_store_that_is_too_small_is_as_the_model_says() {
    let settings = Settings { machines: 2, room: 8, ..settings(Writers::Publishers, false) };
    let mut events = vec![(0, Event::Release((0..10).collect())), (MS, Event::Publish)];
    events.extend((1..7).map(|number| (number * 100 * MS, Event::Start(number as u32 % 2))));
    let counts = check(&settings, &events);
    assert_eq!((counts.local, counts.fetched), (0, 60), "each start pushes out what it needs next");
}

#[test]
fn hosts_that_wait_ask_as_often_as_the_model_says() {
    let settings = Settings { lacking: Lacking::Waits(10 * MS), ..settings(Writers::Publishers, false) };
    let mut events = vec![(0, Event::Release((0..10).collect())), (MS, Event::Publish)];
    events.extend((0..4).map(|machine| (2 * MS + u64::from(machine) * MS, Event::Start(machine))));
    events.push((1000 * MS, Event::Release(vec![0, 5])));
    events.extend((0..4).map(|machine| (1001 * MS + u64::from(machine) * MS, Event::Start(machine))));
    events.push((1095 * MS, Event::Publish));
    events.push((1300 * MS, Event::Pause));
    let counts = check(&settings, &events);
    assert_eq!(counts.fetched, 4 * 12, "in the end all have it");
    // Each asks at once, and after 30, 60 and 90 s; the next time it is there.
    assert_eq!((counts.get_entry_absent - 12, counts.absent_remembered), (4 * 4, 4 * 8));
}

/// Two build the same at once: the second finds the objects there, and puts its entry over the first one's.
#[test]
fn builds_at_the_same_time_are_as_the_model_says() {
    let settings = Settings { machines: 2, plugins: 1, ..settings(Writers::Everybody, false) };
    let (mut real, mut world) = (RealFleet::new(settings.clone()), World::new(settings.clone()));
    real.release(&[0]);
    world.release([(0, version_of(0, 1, entry_bytes(&settings)))]);
    let (slow, fast) = (real.process(0), real.process(1));
    let (clock, what) = (real.clock(), real.what(0).to_owned());
    let is_first = Arc::new(AtomicBool::new(true));
    build(&slow.0, &what, || {
        if is_first.swap(false, Ordering::Relaxed) {
            clock.advance(SECOND);
            build(&fast.0, &what, || ());
            assert_eq!(fast.1.flush(60 * SECOND), 0);
            clock.advance(SECOND);
        }
    });
    assert_eq!(slow.1.flush(60 * SECOND), 0);
    world.start(0, 0, 2 * MS);
    world.start(1, MS, 0);
    world.run_until(2 * MS);
    let expected = Counts { starts: 2, built: 2, ..real.counts() };
    assert_eq!(world.counts(), expected);
    assert_eq!((expected.put_object, expected.put_entry, expected.get_entry_absent), (2, 2, 2));
    assert_eq!(real.stored(0), world.stored(0));
}
