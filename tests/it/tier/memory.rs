//! A tier in memory that can be made to lie.

use std::{
    collections::HashMap,
    io::Write as _,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use plugcache::{Artifact, ObjectDigest, Parcel, Sink, Sources, Store, Tier, TierError, TierKey};

use super::super::damage::{Place, get, sources};

/// What a tier does wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lie {
    No,
    Silent,
    /// It is none after all.
    Off,
    FlippedBit,
    Short,
    TooLong,
    Nothing,
    FailsHalfway,
}

/// A tier in memory, shared by all its clones.
#[derive(Clone)]
pub(crate) struct Memory(pub(crate) Arc<Inside>);

pub(crate) struct Inside {
    pub(crate) parcels: Mutex<HashMap<TierKey, Parcel>>,
    objects: Mutex<HashMap<ObjectDigest, Vec<u8>>>,
    lie: Mutex<Lie>,
    asked: AtomicUsize,
    sent: AtomicUsize,
    offered: AtomicUsize,
    pub(crate) used: AtomicUsize,
    pub(crate) pause: Mutex<Duration>,
}

impl Memory {
    pub(crate) fn new() -> Memory {
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
    pub(crate) fn with(count: usize) -> Memory {
        let (tier, place) = (Memory::new(), Place::new());
        let store = open(&place, &tier);
        (0..count).for_each(|number| drop(get(&store, number)));
        tier.0.asked.store(0, SeqCst);
        tier.0.offered.store(0, SeqCst);
        tier
    }

    pub(crate) fn lies(&self, lie: Lie) -> &Memory {
        *self.0.lie.lock().unwrap() = lie;
        self
    }

    pub(crate) fn asked(&self) -> usize {
        self.0.asked.load(SeqCst)
    }

    pub(crate) fn sent(&self) -> usize {
        self.0.sent.load(SeqCst)
    }

    pub(crate) fn offered(&self) -> usize {
        self.0.offered.load(SeqCst)
    }

    pub(crate) fn take(&self, key: &TierKey, parcel: &Parcel, artifact: &Artifact) {
        let mut objects = self.0.objects.lock().unwrap();
        for object in &parcel.objects {
            let output = artifact.outputs().find(|output| output.digest() == object.digest).unwrap();
            let read = output.read_verified().unwrap();
            assert_eq!(read.len() as u64, object.len);
            objects.insert(object.digest, read);
        }
        self.0.parcels.lock().unwrap().insert(*key, parcel.clone());
    }

    pub(crate) fn change(&self, number: usize, change: impl FnOnce(&mut Parcel)) {
        change(self.0.parcels.lock().unwrap().get_mut(&key(number)).unwrap());
    }

    pub(crate) fn parcel(&self, number: usize) -> Parcel {
        self.0.parcels.lock().unwrap()[&key(number)].clone()
    }
}

impl Tier for Memory {
    fn entry(&self, key: &TierKey) -> Result<Option<Parcel>, TierError> {
        self.0.asked.fetch_add(1, SeqCst);
        let pause = *self.0.pause.lock().unwrap();
        thread::sleep(pause);
        match *self.0.lie.lock().unwrap() {
            Lie::Silent => return Err(TierError::Unreachable("no route".into())),
            Lie::Off => return Err(TierError::Off),
            _ => {}
        }
        Ok(self.0.parcels.lock().unwrap().get(key).cloned())
    }

    fn objects(&self, _: &TierKey, wanted: &mut [Sink<'_>]) -> Result<(), TierError> {
        let lie = *self.0.lie.lock().unwrap();
        for sink in wanted {
            self.0.sent.fetch_add(1, SeqCst);
            let mut bytes = self.0.objects.lock().unwrap()[&sink.object().digest].clone();
            match lie {
                Lie::FlippedBit => bytes[3] ^= 1,
                Lie::Short => drop(bytes.pop()),
                Lie::TooLong => bytes.push(0),
                Lie::Nothing => bytes.clear(),
                Lie::FailsHalfway => bytes.truncate(3),
                Lie::No | Lie::Silent | Lie::Off => {}
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

pub(crate) fn open(place: &Place, tier: &Memory) -> Store {
    Store::open_with_tier(place.config().build(), tier.clone()).unwrap()
}

pub(crate) fn key(number: usize) -> TierKey {
    key_of(&sources(number))
}

pub(crate) fn key_of(sources: &Sources) -> TierKey {
    static EXEC: LazyLock<[u8; 32]> =
        LazyLock::new(|| Place::with(1).open().entries().next().unwrap().exec_id());
    TierKey::new(sources.digest(), *EXEC)
}

pub(crate) fn never(sources: &Sources, store: &Store) -> plugcache::Got {
    let built = store.get_or_build(sources, |_| Err::<(), _>("it was built"));
    built.unwrap_or_else(|error| panic!("{error}"))
}
