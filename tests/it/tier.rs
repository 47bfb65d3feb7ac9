//! A tier: what is neither here nor in a layer comes from there, proved, and what is built here goes there.

mod lies;
mod memory;
mod ways;

use std::{
    fs,
    sync::{
        Arc, Barrier, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use plugcache::{
    __sim, Added, Artifact, Claim, Config, Exec, How, LoadFailed, Mode, Outputs, Parcel, Sink, Store, Tier,
    TierError, TierKey,
};

use self::memory::{Lie, Memory, key, never, open};
use super::damage::{Place, bytes, found, get, sources};

#[test]
fn an_empty_store_starts_without_building_and_needs_the_tier_no_more() {
    let tier = Memory::with(5);
    let place = Place::new();
    let store = open(&place, &tier);
    for number in 0..5 {
        let got = never(&sources(number), &store);
        assert_eq!((got.how, got.artifact.primary().read().unwrap()), (How::Fetched, bytes(number)));
        assert!(got.artifact.path().starts_with(&place.dir));
    }
    assert_eq!((tier.asked(), tier.sent(), tier.offered()), (5, 5, 0));
    let counts = store.stats().handle;
    let sum = (0..5).map(|number| bytes(number).len() as u64).sum::<u64>();
    assert_eq!((counts.fetched, counts.fetched_bytes, counts.adds, counts.hits), (5, sum, 0, 5));
    assert_eq!((counts.tier_misses, counts.tier_errors), (0, 0));
    assert_eq!(never(&sources(1), &store).how, How::Hit);
    tier.lies(Lie::Silent);
    assert_eq!(found(&place.open(), 5), [0, 1, 2, 3, 4]);
    assert_eq!((found(&store, 5).len(), tier.asked()), (5, 5));
    assert!(store.scrub(plugcache::ScrubOptions::new()).unwrap().is_clean());
}

#[test]
fn what_is_built_is_offered_once_it_is_stored_and_what_came_is_not() {
    let (tier, place) = (Memory::new(), Place::new());
    let store = open(&place, &tier);
    assert_eq!(get(&store, 1).how, How::Built);
    assert_eq!(store.add(&sources(2), Outputs::bytes("out.so", bytes(2))), Ok(Added::Stored));
    assert_eq!(tier.offered(), 2);
    let counts = store.stats().handle;
    assert_eq!((counts.tier_misses, counts.fetched, tier.asked()), (1, 0, 1));
    let other = Place::new();
    let there = open(&other, &tier);
    assert_eq!(found(&there, 3), [1, 2]);
    assert_eq!(tier.offered(), 2);
    // Nor what was not stored, or was only compared.
    let full = Store::open_with_tier(place.config().max_files(0).build(), tier.clone()).unwrap();
    assert!(matches!(get(&full, 3).how, How::Uncached(_)));
    let comparing = place.config().mode(Mode::Compare).build();
    let comparing = Store::open_with_tier(comparing, tier.clone()).unwrap();
    let asked = tier.asked();
    get(&comparing, 1);
    get(&comparing, 5);
    let anew = Store::open_with_tier(other.config().mode(Mode::Refresh).build(), tier.clone()).unwrap();
    assert_eq!((tier.offered(), tier.asked()), (2, asked));
    assert_eq!(get(&anew, 1).how, How::Built);
    assert_eq!((tier.offered(), tier.asked()), (3, asked));
}

#[test]
fn a_store_that_may_not_be_written_to_or_keeps_nothing_never_asks() {
    let tier = Memory::with(2);
    let place = Place::with(1);
    let mut configs = vec![place.config().readonly(true), place.config().max_files(0)];
    configs.push(Config::builder(place.beside("none")).exec(Exec::Independent).readonly(true));
    configs.push(place.config().mode(Mode::Off));
    for config in configs {
        let store = Store::open_with_tier(config.build(), tier.clone()).unwrap();
        assert!(store.find(&sources(1)).is_none());
        get(&store, 1);
        assert!(store.fetch(&key(1)).is_err());
    }
    assert_eq!(tier.asked(), 0);
    let broken = place.beside("file");
    fs::write(&broken, "in the way").unwrap();
    let store = Store::open_or_disabled_with_tier(Config::new(&broken), tier.clone());
    assert!(matches!(get(&store, 1).how, How::Uncached(_)));
    assert_eq!(tier.asked(), 0);
}

#[test]
fn who_requires_a_hit_gets_it_from_the_tier_or_hears_what_the_tier_said() {
    let tier = Memory::with(2);
    let place = Place::new();
    let config = place.config().mode(Mode::RequireHit).build();
    let store = Store::open_with_tier(config.clone(), tier.clone()).unwrap();
    assert_eq!(never(&sources(0), &store).how, How::Fetched);
    assert!(matches!(store.claim(&sources(1)), Ok(Claim::Hit(_))));
    assert_eq!(never(&sources(1), &store).how, How::Hit);
    let why = |store: &Store, number| {
        let required = store.get_or_build(&sources(number), |_| Ok::<_, String>(())).unwrap_err();
        required.to_string()
    };
    assert!(
        why(&store, 7).contains("the tier was asked: it has nothing under this key"),
        "{}",
        why(&store, 7)
    );
    tier.lies(Lie::Silent);
    assert!(why(&store, 8).contains("the tier was asked: the tier gave no answer: no route"));
    let explanation = store.explain(&sources(8));
    assert_eq!(explanation.tier.as_deref(), Some("the tier gave no answer: no route"));
    // Who has never asked says nothing, and explaining asks nobody.
    let asked = tier.asked();
    let fresh = Store::open_with_tier(config, tier.clone()).unwrap();
    assert_eq!((fresh.explain(&sources(8)).tier, tier.asked()), (None, asked));
    assert_eq!(store.explain(&sources(1)).tier, None);
}

#[test]
fn threads_and_handles_that_want_the_same_at_once_ask_once() {
    let tier = Memory::with(2);
    *tier.0.pause.lock().unwrap() = Duration::from_millis(60);
    let place = Place::new();
    let stores: Vec<_> = (0..4).map(|_| open(&place, &tier)).collect();
    let all = |work: &(dyn Fn(usize) -> How + Sync)| -> Vec<How> {
        let (hows, barrier) = (Mutex::new(Vec::new()), Barrier::new(16));
        thread::scope(|scope| {
            for number in 0..16 {
                let (hows, barrier) = (&hows, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let how = work(number);
                    hows.lock().unwrap().push(how);
                });
            }
        });
        hows.into_inner().unwrap()
    };
    let hows = all(&|number| never(&sources(0), &stores[number % 4]).how);
    assert_eq!((tier.asked(), tier.sent()), (1, 1), "{hows:?}");
    assert_eq!(hows.iter().filter(|how| **how == How::Fetched).count(), 1, "{hows:?}");
    all(&|_| {
        assert_eq!(found(&stores[0], 2), [0, 1]);
        How::Hit
    });
    assert_eq!((tier.asked(), tier.sent()), (2, 2));
    // Those who waited for an answer take it, and do not ask one after the other.
    tier.lies(Lie::Silent);
    all(&|_| {
        assert!(stores[0].find(&sources(9)).is_none());
        How::Hit
    });
    assert!(tier.asked() <= 2 + 3, "{}", tier.asked());
}

#[test]
fn while_the_tier_keeps_one_thread_waiting_others_find_and_build_what_they_want() {
    let tier = Memory::with(2);
    let place = Place::with(1);
    let store = open(&place, &tier);
    let held = tier.0.parcels.lock().unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| never(&sources(1), &store).how);
        while tier.asked() == 0 {
            thread::yield_now();
        }
        assert_eq!(get(&store, 0).how, How::Hit);
        assert_eq!(get(&place.open(), 5).how, How::Built);
        assert!(store.find(&sources(5)).is_some());
        assert!(!waiting.is_finished());
        drop(held);
        assert_eq!(waiting.join().unwrap(), How::Fetched);
    });
}

/// Asks the store that it serves, and then panics.
struct Rude(Arc<OnceLock<Store>>, Arc<AtomicUsize>);

impl Tier for Rude {
    fn entry(&self, _: &TierKey) -> Result<Option<Parcel>, TierError> {
        assert!(self.1.fetch_add(1, SeqCst) < 3, "asked within asking");
        assert!(self.0.get().unwrap().find(&sources(1)).is_none());
        panic!("the tier is broken");
    }

    fn objects(&self, _: &TierKey, _: &mut [Sink<'_>]) -> Result<(), TierError> {
        Ok(())
    }

    fn offer(&self, _: &TierKey, _: &Parcel, _: &Artifact) {}
}

#[test]
fn a_tier_that_uses_its_store_waits_for_nobody_and_one_that_panics_shuts_no_key() {
    let (place, slot, asked) = (Place::new(), Arc::new(OnceLock::new()), Arc::new(AtomicUsize::new(0)));
    let rude = Rude(slot.clone(), asked.clone());
    let store = Store::open_with_tier(place.config().build(), rude).unwrap();
    slot.set(store.clone()).unwrap();
    for time in 1..=2 {
        let store = store.clone();
        assert!(thread::spawn(move || store.find(&sources(1)).is_some()).join().is_err());
        assert_eq!(asked.load(SeqCst), time);
    }
    assert_eq!(get(&place.open(), 1).how, How::Built);
}

#[test]
fn what_was_forgotten_or_did_not_load_is_not_fetched_again_and_what_was_cleared_is() {
    let tier = Memory::with(4);
    let place = Place::new();
    let store = open(&place, &tier);
    assert_eq!(found(&store, 4), [0, 1, 2, 3]);
    assert_eq!(store.clear().unwrap(), 4);
    assert_eq!(found(&store, 4), [0, 1, 2, 3]);
    assert_eq!(tier.asked(), 8);
    assert_eq!(store.forget(&sources(0).digest()).unwrap(), 1);
    assert!(store.reject(&store.find(&sources(1)).unwrap(), "it does not load"));
    // Before it was ever here, too.
    let elsewhere = Place::new();
    let other = open(&elsewhere, &tier);
    assert_eq!(other.forget(&sources(2).digest()).unwrap(), 0);
    for store in [&store, &open(&place, &tier)] {
        assert!(store.find(&sources(0)).is_none() && store.find(&sources(1)).is_none());
        assert_eq!(store.fetch(&key(0)).unwrap(), plugcache::Fetched::Nothing);
    }
    assert_eq!(found(&other, 4), [0, 1, 3]);
    assert_eq!(tier.asked(), 8 + 3);
    assert_eq!((get(&store, 0).how, get(&store, 1).how), (How::Built, How::Built));
    assert_eq!(found(&store, 4), [0, 1, 2, 3]);
}

#[test]
fn an_artifact_that_came_and_does_not_load_is_built_and_not_fetched_once_more() {
    let tier = Memory::with(1);
    let place = Place::new();
    let store = open(&place, &tier);
    let builds = AtomicUsize::new(0);
    let loaded = store.load_or_build(
        &sources(0),
        |build| {
            builds.fetch_add(1, SeqCst);
            build.write("out.so", "better")
        },
        |artifact| match artifact.primary().read().unwrap().as_slice() {
            b"better" => Ok(()),
            _ => Err(LoadFailed::Artifact("for another machine")),
        },
    );
    assert_eq!(loaded.unwrap().how, How::Built);
    assert_eq!((builds.load(SeqCst), tier.asked(), tier.offered()), (1, 1, 1));
}

#[test]
fn what_the_tier_did_not_have_it_is_not_asked_again_for_half_a_minute_and_a_days_first_use_is_told() {
    let (disk, tier) = (__sim::Disk::new(5), Memory::with(1));
    disk.plant_dir("/home/u");
    let config = || Config::builder("/home/u/store").exec(Exec::Independent).memo(false).build();
    let store = __sim::open_with_tier(disk.process(), config(), tier.clone()).unwrap();
    let mut times_asked = Vec::new();
    for seconds in [0, 0, 29, 2, 1] {
        disk.advance_clock(Duration::from_secs(seconds));
        assert!(store.find(&sources(3)).is_none());
        times_asked.push(tier.asked());
    }
    assert_eq!(times_asked, [1, 1, 1, 2, 2]);
    // An answer that failed for the time being is not remembered.
    tier.lies(Lie::Silent);
    assert!((0..2).all(|_| store.find(&sources(4)).is_none()));
    assert_eq!(tier.asked(), 4);
    tier.lies(Lie::No);
    let used = || tier.0.used.load(SeqCst);
    for (hours, uses) in [(0, 0), (0, 0), (25, 1), (0, 1), (24, 2)] {
        disk.advance_clock(Duration::from_secs(hours * 3600));
        assert!(store.find(&sources(0)).is_some());
        assert_eq!(used(), uses);
    }
    assert_eq!(tier.asked(), 5);
}
