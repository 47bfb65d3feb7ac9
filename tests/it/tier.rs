//! A tier: what is neither here nor in a layer comes from there, proved, and what is built here goes there.

use std::{
    collections::HashMap,
    io::Write as _,
    path::Path,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use plugcache::{
    __sim, Added, Artifact, Claim, Config, Event, Exec, FetchError, Fetched, How, Mode, NO_OPTIONS,
    ObjectDigest, Outputs, Parcel, Sink, Sources, Store, Tier, TierError, TierKey, Toolchain,
};

use super::damage::{Place, bytes, found, get, sources};

/// What a tier does wrong.
#[derive(Clone, Debug)]
enum Lie {
    No,
    Silent,
    FlippedBit,
    Short,
    TooLong,
    Nothing,
    FailsHalfway,
}

/// A tier in memory, shared by all its clones.
#[derive(Clone)]
struct Memory(Arc<Inside>);

struct Inside {
    parcels: Mutex<HashMap<TierKey, Parcel>>,
    objects: Mutex<HashMap<ObjectDigest, Vec<u8>>>,
    lie: Mutex<Lie>,
    asked: AtomicUsize,
    sent: AtomicUsize,
    offered: AtomicUsize,
    used: AtomicUsize,
    pause: Mutex<Duration>,
}

impl Memory {
    fn new() -> Memory {
        Memory(Arc::new(Inside {
            parcels: Mutex::default(),
            objects: Mutex::default(),
            lie: Mutex::new(Lie::No),
            asked: AtomicUsize::new(0),
            sent: AtomicUsize::new(0),
            offered: AtomicUsize::new(0),
            used: AtomicUsize::new(0),
            pause: Mutex::default(),
        }))
    }

    /// One that has the plugins below `count`.
    fn with(count: usize) -> Memory {
        let (tier, place) = (Memory::new(), Place::new());
        let store = open(&place, &tier);
        (0..count).for_each(|number| drop(get(&store, number)));
        tier.0.asked.store(0, SeqCst);
        tier.0.offered.store(0, SeqCst);
        tier
    }

    fn lies(&self, lie: Lie) -> &Memory {
        *self.0.lie.lock().unwrap() = lie;
        self
    }

    fn asked(&self) -> usize {
        self.0.asked.load(SeqCst)
    }

    fn sent(&self) -> usize {
        self.0.sent.load(SeqCst)
    }

    fn offered(&self) -> usize {
        self.0.offered.load(SeqCst)
    }

    fn take(&self, key: &TierKey, parcel: &Parcel, artifact: &Artifact) {
        let mut objects = self.0.objects.lock().unwrap();
        for object in &parcel.objects {
            let output = artifact.outputs().find(|output| output.digest() == object.digest).unwrap();
            let read = output.read_verified().unwrap();
            assert_eq!(read.len() as u64, object.len);
            objects.insert(object.digest, read);
        }
        self.0.parcels.lock().unwrap().insert(*key, parcel.clone());
    }

    fn change(&self, number: usize, change: impl FnOnce(&mut Parcel)) {
        change(self.0.parcels.lock().unwrap().get_mut(&key(number)).unwrap());
    }

    fn parcel(&self, number: usize) -> Parcel {
        self.0.parcels.lock().unwrap()[&key(number)].clone()
    }
}

impl Tier for Memory {
    fn entry(&self, key: &TierKey) -> Result<Option<Parcel>, TierError> {
        self.0.asked.fetch_add(1, SeqCst);
        let pause = *self.0.pause.lock().unwrap();
        thread::sleep(pause);
        if matches!(*self.0.lie.lock().unwrap(), Lie::Silent) {
            return Err(TierError::Unreachable("no route".into()));
        }
        Ok(self.0.parcels.lock().unwrap().get(key).cloned())
    }

    fn objects(&self, _: &TierKey, wanted: &mut [Sink<'_>]) -> Result<(), TierError> {
        let lie = self.0.lie.lock().unwrap().clone();
        for sink in wanted {
            self.0.sent.fetch_add(1, SeqCst);
            let mut bytes = self.0.objects.lock().unwrap()[&sink.object().digest].clone();
            match lie {
                Lie::FlippedBit => bytes[3] ^= 1,
                Lie::Short => drop(bytes.pop()),
                Lie::TooLong => bytes.push(0),
                Lie::Nothing => bytes.clear(),
                Lie::FailsHalfway => bytes.truncate(3),
                Lie::No | Lie::Silent => {}
            }
            for piece in bytes.chunks(7) {
                // What is too much is refused: the store has seen it.
                let _ = sink.write_all(piece);
            }
            if matches!(lie, Lie::FailsHalfway) {
                return Err(TierError::Unreachable("it went away".into()));
            }
        }
        Ok(())
    }

    fn offer(&self, key: &TierKey, parcel: &Parcel, artifact: &Artifact) {
        self.0.offered.fetch_add(1, SeqCst);
        self.take(key, parcel, artifact);
    }

    fn used(&self, key: &TierKey, parcel: &Parcel, artifact: &Artifact) {
        self.0.used.fetch_add(1, SeqCst);
        self.take(key, parcel, artifact);
    }
}

fn open(place: &Place, tier: &Memory) -> Store {
    Store::open_with_tier(place.config().build(), tier.clone()).unwrap()
}

fn key(number: usize) -> TierKey {
    let place = Place::with(0);
    let store = place.open();
    assert_eq!(store.add(&sources(number), Outputs::packed("x", "x")), Ok(Added::Stored));
    store.lookup(&sources(number)).unwrap().tier_key()
}

fn never(sources: &Sources, store: &Store) -> plugcache::Got {
    let built = store.get_or_build(sources, |_| Err::<(), _>("it was built"));
    built.unwrap_or_else(|error| panic!("{error}"))
}

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
