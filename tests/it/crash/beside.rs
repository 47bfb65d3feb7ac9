//! What may lie beside a store, and the handles that ask it: a layer below, another store to import, a tier beyond.

use super::{
    add, config, disk_with_store, empty_disk,
    model::{Key, Model},
    outputs, sources_of,
    workload::Setup,
};
use plugcache::{
    __sim::{self, Disk, Process},
    Added, Artifact, Config, Durability, ObjectDigest, OpenError, Outputs, Parcel, Sink, Store, Tier,
    TierError, TierKey,
};
use std::{
    collections::HashMap,
    io::Write as _,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

pub(super) const LAYER: &str = "/srv/layer";
pub(super) const OTHER: &str = "/srv/other";

/// What the layer has, the other store, and the tier: keys with their contents. One content of each is the same, so that
/// those who copy it here meet at one object.
pub(super) const BELOW: [(Key, u8); 2] = [((40, 0), 2), ((41, 0), 5)];
pub(super) const ELSEWHERE: [(Key, u8); 2] = [((50, 0), 2), ((51, 0), 9)];
pub(super) const BEYOND: [(Key, u8); 1] = [((60, 0), 2)];

/// What a handle asks beside its own store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    Nothing,
    /// A layer.
    Layer,
    /// A layer, from which is copied what is found there.
    Promoted,
    Tier,
}

impl Beside {
    /// What is found with it in an empty store: nothing can lose it. A tier is not looked at when a disk is judged.
    pub(super) fn model(self) -> Model {
        let mut model = Model::default();
        if matches!(self, Beside::Layer | Beside::Promoted) {
            BELOW.iter().for_each(|(key, number)| model.sure(*key, Some(*number), true));
        }
        model
    }

    /// Whether this key is found whatever happens to the store, as long as nobody forgets it.
    pub(super) fn keeps(self, key: Key) -> bool {
        self.model().keys().any(|other| other == key)
    }
}

/// A handle of executable `exec`.
pub(super) fn open_as(process: &Process, exec: u8, setup: Setup) -> Result<Store, OpenError> {
    open_from(
        process,
        config(exec, setup.durability).max_files(setup.max_files).memo(setup.memo),
        setup.beside,
    )
}

/// A handle that asks this beside its store.
pub(super) fn open_from(
    process: &Process,
    config: plugcache::ConfigBuilder,
    beside: Beside,
) -> Result<Store, OpenError> {
    match beside {
        Beside::Nothing => __sim::open(process.clone(), config.build()),
        Beside::Layer => __sim::open(process.clone(), config.layer(LAYER).build()),
        Beside::Promoted => __sim::open(process.clone(), config.layer(LAYER).promote(true).build()),
        Beside::Tier => {
            static SHELF: OnceLock<Shelf> = OnceLock::new();
            let shelf =
                SHELF.get_or_init(|| Shelf::of(BEYOND.map(|((key, _), number)| (key, outputs(number)))));
            __sim::open_with_tier(process.clone(), config.build(), shelf.clone())
        }
    }
}

/// A handle of another store on the same disk, for the same executable.
pub(super) fn store_at(disk: &Disk, dir: &str) -> Store {
    let exec = config(0, Durability::Lazy).build().exec().clone();
    __sim::open(disk.process(), Config::builder(dir).exec(exec).memo(false).build()).unwrap()
}

/// A disk with an empty store, with the layer and the other store beside it, all of it durable: made once, then copied.
pub(super) fn disk_with_neighbours() -> Disk {
    static MADE: Mutex<Option<Disk>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let made = made.get_or_insert_with(|| {
        let disk = disk_with_store();
        disk.plant_dir("/srv");
        let fill = |dir: &str, entries: [(Key, u8); 2]| {
            let store = store_at(&disk, dir);
            entries.iter().for_each(|(key, number)| assert_eq!(add(&store, *key, *number), Some(true)));
            store
        };
        fill("/srv/below", BELOW).export(LAYER.as_ref(), |_| true).unwrap();
        // Who opens a layer that others may enter looks at each of 256 directories, which is nobody's business here.
        disk.chmod(format!("{LAYER}/v1"), 0o700);
        fill(OTHER, ELSEWHERE);
        disk.advance_clock(std::time::Duration::from_secs(3600));
        disk.settle();
        disk
    });
    made.snapshot()
}

/// A tier in memory that lends what it was filled with, and takes nothing more.
#[derive(Clone, Default)]
pub(super) struct Shelf(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    entries: HashMap<TierKey, Parcel>,
    objects: HashMap<ObjectDigest, Vec<u8>>,
    is_closed: bool,
}

impl Shelf {
    /// With these outputs under these sources, for executable 0.
    pub(super) fn of(entries: impl IntoIterator<Item = (u8, Outputs)>) -> Shelf {
        let (shelf, disk) = (Shelf::default(), empty_disk(8));
        let config = config(0, Durability::Lazy).build();
        let store = __sim::open_with_tier(disk.process(), config, shelf.clone()).unwrap();
        for (number, outputs) in entries {
            assert_eq!(store.add(&sources_of(number), outputs), Ok(Added::Stored));
        }
        shelf.held().is_closed = true;
        shelf
    }

    /// The key under which it has something of these sources.
    pub(super) fn key_of(&self, number: u8) -> TierKey {
        let source = sources_of(number).digest();
        *self.held().entries.keys().find(|key| key.source == source).unwrap()
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tier for Shelf {
    fn entry(&self, key: &TierKey) -> Result<Option<Parcel>, TierError> {
        Ok(self.held().entries.get(key).cloned())
    }

    fn objects(&self, _: &TierKey, wanted: &mut [Sink<'_>]) -> Result<(), TierError> {
        for sink in wanted {
            // Not held while it is written: another process may have its turn there.
            let bytes = self.held().objects[&sink.object().digest].clone();
            // A disk that refuses is the store's to tell of.
            drop(sink.write_all(&bytes));
        }
        Ok(())
    }

    fn offer(&self, key: &TierKey, parcel: &Parcel, artifact: &Artifact) {
        if self.held().is_closed {
            return;
        }
        for output in artifact.outputs() {
            let bytes = output.read_verified().unwrap();
            self.held().objects.insert(output.digest(), bytes);
        }
        self.held().entries.insert(*key, parcel.clone());
    }
}
