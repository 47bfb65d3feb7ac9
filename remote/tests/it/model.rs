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

/// What was counted after an event, and the files and bytes in each bucket.
type Seen = (Counts, Vec<(u64, u64)>);

fn real(settings: &Settings, events: &[(u64, Event)]) -> Vec<Seen> {
    let mut real = RealFleet::new(settings.clone());
    let sites = 0..settings.sites;
    let mut one = |(at, event): &(u64, Event)| {
        real.run_until(*at);
        match event {
            Event::Release(changed) => real.release(changed),
            Event::Start(machine) => real.start(*machine),
            Event::Publish => sites.clone().for_each(|site| real.start(settings.machines + site)),
            Event::Wipe(machine) => real.wipe(*machine),
            Event::Collect => real.collect(),
            Event::Pause => {}
        }
        (real.counts(), sites.clone().map(|site| real.stored(site)).collect())
    };
    events.iter().map(&mut one).collect()
}

fn modelled(settings: &Settings, entry: u64, events: &[(u64, Event)]) -> Vec<Seen> {
    let (mut world, mut release) = (World::new(settings.clone()), 0);
    let sites = 0..settings.sites;
    let mut one = |(at, event): &(u64, Event)| {
        world.run_until(*at);
        match event {
            Event::Release(changed) => {
                release += 1;
                world.release(changed.iter().map(|plugin| (*plugin, version_of(*plugin, release, entry))));
            }
            Event::Start(machine) => world.start(*machine, *at, 0),
            Event::Publish => sites.clone().for_each(|site| world.start(settings.machines + site, *at, 0)),
            Event::Wipe(machine) => world.wipe(*machine),
            Event::Collect => world.collect(*at),
            Event::Pause => {}
        }
        (world.counts(), sites.clone().map(|site| world.stored(site)).collect())
    };
    events.iter().map(&mut one).collect()
}

/// Both fleets, event by event; what came out of it.
#[track_caller]
fn check(settings: &Settings, events: &[(u64, Event)]) -> Counts {
    let (real, modelled) = (real(settings, events), modelled(settings, entry_bytes(settings), events));
    for (number, (real, modelled)) in real.iter().zip(&modelled).enumerate() {
        assert_eq!(real, modelled, "after event {number}, {:?}", events[number]);
    }
    modelled.last().unwrap().0
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

/// Sixty days: releases, a job that is on holiday for a month, and machines that start now and then.
fn sixty_days(settings: &Settings) -> Vec<(u64, Event)> {
    let mut events = vec![(0, Event::Release((0..10).collect()))];
    for day in 0..60 {
        let morning = day * DAY + 3 * 3600 * MS + 417;
        if [6, 25].contains(&day) {
            events.push((morning, Event::Release(vec![2, (day % 10) as u16])));
        }
        if settings.writers == Writers::Publishers && !(20..50).contains(&day) {
            events.push((morning + MS, Event::Publish));
        }
        for machine in (0..3).filter(|machine| day < 12 || day % 17 == u64::from(*machine) * 5) {
            let at = morning + 3600 * MS * u64::from(machine + 1);
            events.push((at, Event::Start(machine)));
            events.extend((day % 4 == 3).then_some((at, Event::Wipe(machine))));
        }
        events.push((morning + 12 * 3600 * MS, Event::Collect));
    }
    events
}

/// Renewals from the seventh day on, entries that end after 21 and objects that go after 30, bundles whose entries are
/// older than themselves.
#[test]
fn what_grows_old_in_a_bucket_grows_old_in_the_model() {
    for (writers, bundle) in
        [(Writers::Publishers, false), (Writers::Publishers, true), (Writers::Everybody, false)]
    {
        let settings = Settings { machines: 3, ..settings(writers, bundle) };
        let counts = check(&settings, &sixty_days(&settings));
        assert!(counts.renewed >= 10 && counts.get_object_absent == 0, "{counts:?}");
    }
}

/// Else these tests would hold nothing: a real fleet notices each number of the model that is a little wrong.
#[test]
fn a_wrong_number_in_the_model_is_found_by_a_real_fleet() {
    let right = Rules::default();
    let wrong = [
        ("entry lifetime", Rules { entry_lifetime: right.entry_lifetime + 2 * DAY, ..right }),
        ("object lifetime", Rules { object_lifetime: right.object_lifetime - 2 * DAY, ..right }),
        ("fresh", Rules { fresh: right.fresh + DAY, ..right }),
        ("bundle head", Rules { bundle_head: right.bundle_head + 1, ..right }),
    ];
    let settings = Settings { machines: 3, ..settings(Writers::Publishers, true) };
    let (events, entry) = (sixty_days(&settings), entry_bytes(&settings));
    let seen = real(&settings, &events);
    assert_eq!(modelled(&settings, entry, &events), seen);
    for (what, rules) in wrong {
        assert_ne!(modelled(&Settings { rules, ..settings.clone() }, entry, &events), seen, "{what}");
    }
    assert_ne!(modelled(&settings, entry + 1, &events), seen, "entry");
    let waits = waits();
    let wrong = Rules { absent_for: right.absent_for - 15 * MS, ..right };
    let wrong = modelled(&Settings { rules: wrong, ..waits.0.clone() }, entry, &waits.1);
    assert_ne!(wrong, real(&waits.0, &waits.1), "absent for");
}

/// The simulation takes 600 bytes, for entries with one object and some source files.
#[test]
fn an_entry_is_about_as_long_as_the_simulation_says() {
    let entry = entry_bytes(&settings(Writers::Everybody, false));
    assert!((500..700).contains(&entry), "{entry}");
}

#[test]
fn a_store_that_is_too_small_is_as_the_model_says() {
    let settings = Settings { machines: 2, room: 8, ..settings(Writers::Publishers, false) };
    let mut events = vec![(0, Event::Release((0..10).collect())), (MS, Event::Publish)];
    events.extend((1..7).map(|number| (number * 100 * MS, Event::Start(number as u32 % 2))));
    let counts = check(&settings, &events);
    assert_eq!((counts.local, counts.fetched), (0, 60), "each start pushes out what it needs next");
}

/// Hosts that cannot compile, and a job that is late.
fn waits() -> (Settings, Vec<(u64, Event)>) {
    let settings = Settings { lacking: Lacking::Waits(10 * MS), ..settings(Writers::Publishers, false) };
    let mut events = vec![(0, Event::Release((0..10).collect())), (MS, Event::Publish)];
    let starts = |events: &mut Vec<_>, from: u64| {
        events.extend((0..4).map(|machine| (from + u64::from(machine) * MS, Event::Start(machine))));
    };
    starts(&mut events, 2 * MS);
    events.push((1000 * MS, Event::Release(vec![0, 5])));
    starts(&mut events, 1001 * MS);
    events.extend([(1095 * MS, Event::Publish), (1300 * MS, Event::Pause)]);
    (settings, events)
}

#[test]
fn hosts_that_wait_ask_as_often_as_the_model_says() {
    let (settings, events) = waits();
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
