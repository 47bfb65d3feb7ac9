//! Target over an entry that comes from a tier.

use super::world::{ROOT, assert_canaries, base};
use plugcache::{
    __sim::{self, Disk},
    Artifact, Config, Exec, ObjectDigest, Outputs, Parcel, Sink, Sources, Store, Tier, TierError, TierKey,
    Toolchain,
};
use std::{
    collections::HashMap,
    io::Write as _,
    sync::{Arc, LazyLock, Mutex},
};

type Objects = HashMap<ObjectDigest, Vec<u8>>;

#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<(Option<Parcel>, Objects)>>);

impl Tier for Shelf {
    fn entry(&self, _: &TierKey) -> Result<Option<Parcel>, TierError> {
        Ok(self.0.lock().expect("nobody panics with it").0.clone())
    }

    fn objects(&self, _: &TierKey, wanted: &mut [Sink<'_>]) -> Result<(), TierError> {
        let shelf = self.0.lock().expect("nobody panics with it");
        for sink in wanted {
            let object = shelf.1.get(&sink.object().digest).expect("only what the parcel lists is wanted");
            sink.write_all(object).expect("the disk works, and no more comes than was said");
        }
        Ok(())
    }

    fn offer(&self, _: &TierKey, parcel: &Parcel, artifact: &Artifact) {
        let objects = artifact
            .outputs()
            .map(|output| (output.digest(), output.read_verified().expect("it was just stored")));
        *self.0.lock().expect("nobody panics with it") = (Some(parcel.clone()), objects.collect());
    }
}

fn sources() -> Sources {
    let sources = Sources::new("fuzz/1", &Toolchain::of_value("cc", "1"), ["-O2"]).bytes("a.c", "a");
    sources.digest().expect("bytes can be digested")
}

fn store(disk: &Disk, shelf: &Shelf) -> Store {
    let config = Config::builder(ROOT).exec(Exec::Independent).build();
    __sim::open_with_tier(disk.process(), config, shelf.clone()).expect("a tier keeps no store from opening")
}

fn contents() -> [Vec<u8>; 3] {
    [vec![7; 500], b"packed".to_vec(), Vec::new()]
}

/// An artifact as it is offered.
static OFFERED: LazyLock<Shelf> = LazyLock::new(|| {
    let shelf = Shelf::default();
    let [a, p, e] = contents();
    let outputs = Outputs::bytes("a.so", a).and_packed("p", p).and_bytes("e", e);
    assert!(store(&base(), &shelf).add(&sources(), outputs).is_ok());
    shelf
});

/// Whatever stands in an entry, it has one spelling, and a find gives right bytes or none.
///
/// Input: 0 and a whole entry; or else edits of a right one, each a place (two bytes, little-endian) and a byte.
pub fn parcel(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    let (parcel, objects) = OFFERED.0.lock().expect("nobody panics with it").clone();
    let mut parcel = parcel.expect("it was offered");
    let right = parcel.entry.clone();
    if kind == 0 {
        parcel.entry = rest.to_vec();
    } else {
        for [low, high, byte] in rest.as_chunks().0 {
            let at = usize::from(u16::from_le_bytes([*low, *high])) % right.len();
            parcel.entry[at] = *byte;
        }
    }
    let respelled = __sim::parcel_respelled(&parcel.entry);
    assert!(respelled.is_none_or(|bytes| bytes == parcel.entry), "an entry has two spellings");
    let is_right = parcel.entry == right;
    let disk = base();
    let found = store(&disk, &Shelf(Arc::new(Mutex::new((Some(parcel), objects))))).find(&sources());
    assert!(found.is_some() || !is_right, "a right entry is no miss");
    if let Some(found) = found {
        for output in found.outputs() {
            let read = output.read_verified().expect("what was just fetched can be read");
            assert!(contents().contains(&read), "bytes that nobody made");
        }
        // From here on it needs no tier.
        assert!(store(&disk, &Shelf::default()).find(&sources()).is_some());
    }
    assert_canaries(&disk);
}
