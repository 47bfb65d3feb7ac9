//! Export and import: layers that are the same for the same entries, and stores that take in what others have.

use std::{collections::BTreeMap, fs, io, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use plugcache::{__sim, Added, How, Outputs, ScrubOptions, Store, StoreError};

use super::damage::{self, Place, bytes, found, get, sources};

const COUNT: usize = 5;

fn all(_: &plugcache::Entry) -> bool {
    true
}

/// Every file below a directory: bytes, mode, and time of change.
fn files(dir: &Path) -> BTreeMap<String, (Vec<u8>, u32, i64)> {
    let mut files = BTreeMap::new();
    let mut rest = vec![dir.to_owned()];
    while let Some(path) = rest.pop() {
        let meta = fs::metadata(&path).unwrap();
        let name = path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
        if meta.is_dir() {
            files.insert(name, (Vec::new(), meta.mode(), 0));
            rest.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            files.insert(name, (fs::read(&path).unwrap(), meta.mode(), meta.mtime()));
        }
    }
    files
}

fn read_only(place: &Place, dir: &Path) -> Store {
    let config = plugcache::Config::builder(dir).exec(place.config().build().exec().clone()).readonly(true);
    Store::open(config.build()).unwrap()
}

#[test]
fn a_layer_holds_what_was_picked_in_one_segment_without_a_log_and_is_a_store_by_itself() {
    let place = Place::with(COUNT);
    let layer = place.beside("layer");
    let picked = [sources(1).digest(), sources(3).digest()];
    let written = place.open().export(&layer, |entry| picked.contains(&entry.source_digest())).unwrap();
    assert_eq!(written, 2);
    let files = files(&layer);
    let names: Vec<_> = files.keys().filter(|name| !name.contains("objects")).cloned().collect();
    assert_eq!(names, ["", "v1", "v1/seg.1-1"]);
    let objects = files
        .iter()
        .filter(|(name, (_, mode, _))| name.contains("objects/") && mode & 0o170_000 == 0o100_000);
    assert_eq!(objects.count(), 2);
    for (name, (_, mode, mtime)) in &files {
        let is_dir = mode & 0o170_000 == 0o040_000;
        assert_eq!((mode & 0o777, *mtime), if is_dir { (0o755, 0) } else { (0o444, 1) }, "{name}");
    }
    let store = read_only(&place, &layer);
    assert_eq!(found(&store, COUNT), [1, 3]);
    // As the description has it too.
    let described = super::format::reader::entries_of(&layer.join("v1"));
    assert_eq!(described.len(), 2);
    assert!(described.windows(2).all(|pair| pair[0].source < pair[1].source));
    assert!(described.iter().all(|put| (put.day, put.made_ms, put.cost_ms) == (0, 0, 0)));
    assert_eq!(store.entries().count(), 2);
    assert!(store.scrub(ScrubOptions::new()).unwrap().is_clean());
    // And one that may be written to goes on from there.
    let store = Store::open(place.config().build().to_builder().build()).unwrap();
    drop(store);
    damage::copy("-rp", &layer, &place.beside("copy"));
    let config = plugcache::Config::builder(place.beside("copy")).exec(plugcache::Exec::Independent).build();
    let store = Store::open(config).unwrap();
    assert_eq!(get(&store, 4).how, How::Built);
    assert_eq!(found(&store, COUNT), [1, 3, 4]);
}

#[test]
fn the_same_entries_give_the_same_bytes_whenever_and_in_whatever_order_they_were_made() {
    let (one, two) = (Place::with(COUNT), Place::new());
    let store = two.open();
    for number in (0..COUNT).rev() {
        // Forgotten, built anew, slower, compacted: nothing of that shows.
        get(&store, number);
        store.forget(&sources(number).digest()).unwrap();
        let outputs = Outputs::bytes("out.so", bytes(number)).cost(Duration::from_secs(9));
        assert_eq!(store.add(&sources(number), outputs), Ok(Added::Stored));
        __sim::compact(&store);
    }
    let (a, b) = (one.beside("layer"), two.beside("deep/er/layer"));
    assert_eq!(one.open().export(&a, all).unwrap(), COUNT as u64);
    assert_eq!(store.export(&b, all).unwrap(), COUNT as u64);
    assert_eq!(files(&a), files(&b));
    // Nor does it matter that it has been through a layer.
    let three = Place::new();
    assert_eq!(three.open().import(&a).unwrap(), COUNT as u64);
    three.open().export(&three.beside("layer"), all).unwrap();
    assert_eq!(files(&a), files(&three.beside("layer")));
}

#[test]
fn packed_outputs_several_outputs_and_spilled_details_go_through_a_layer() {
    let (place, other) = (Place::new(), Place::new());
    let store = place.open();
    let long =
        plugcache::Sources::new("long/1", &plugcache::Toolchain::of_value("cc", "1"), plugcache::NO_OPTIONS);
    let long = (0..2000).fold(long, |long, n| long.bytes(format!("{n:064}"), [1])).digest().unwrap();
    let outputs = || Outputs::packed("p", "packed").and_bytes("b", vec![3; 9000]);
    assert_eq!(store.add(&sources(0), outputs()), Ok(Added::Stored));
    assert_eq!(store.add(&long, outputs()), Ok(Added::Stored));
    let layer = place.beside("layer");
    assert_eq!(store.export(&layer, all).unwrap(), 2);
    assert_eq!(other.open().import(&layer).unwrap(), 2);
    for sources in [&sources(0), &long] {
        let artifact = other.open().find(sources).unwrap();
        assert_eq!(artifact.output("p").unwrap().read_verified().unwrap(), b"packed");
        assert_eq!(artifact.output("b").unwrap().read_verified().unwrap(), vec![3; 9000]);
        assert_eq!(artifact.sources().parts().len(), sources.parts().len());
    }
}

#[test]
fn only_what_is_picked_is_imported_and_only_what_is_new_is_asked_about() {
    let (from, to) = (Place::with(COUNT), Place::with(2));
    let mut asked = Vec::new();
    let taken = to.open().import_picked(&from.dir, |entry| {
        asked.push(entry.source_digest());
        entry.source_digest() != sources(3).digest()
    });
    assert_eq!((taken.unwrap(), asked.len()), (COUNT as u64 - 3, COUNT - 2));
    let expected: Vec<_> = (0..COUNT).filter(|number| *number != 3).collect();
    assert_eq!(found(&to.open(), COUNT), expected);
}

#[test]
fn two_copies_of_one_store_that_both_went_on_become_one() {
    let (one, two) = (Place::with(3), Place::new());
    damage::copy("-rp", &one.dir, &two.dir);
    get(&one.open(), 3);
    get(&two.open(), 4);
    two.open().forget(&sources(0).digest()).unwrap();
    // Both made number 5, and not the same of it.
    let add = |place: &Place, text: &str| place.open().add(&sources(5), Outputs::bytes("out.so", text));
    assert_eq!((add(&one, "one's"), add(&two, "two's")), (Ok(Added::Stored), Ok(Added::Stored)));
    assert_eq!(one.open().import(&two.dir).unwrap(), 1);
    assert_eq!(found(&one.open(), COUNT), [0, 1, 2, 3, 4]);
    assert_eq!(one.open().find(&sources(5)).unwrap().primary().read().unwrap(), b"one's");
    assert_eq!(one.open().import(&two.dir).unwrap(), 0);
    assert_eq!(two.open().import(&one.dir).unwrap(), 2);
    assert_eq!(found(&two.open(), COUNT), [0, 1, 2, 3, 4]);
    // What came from the other is one's own: dropped here it stays there, and can come again.
    assert_eq!(one.open().forget(&sources(4).digest()).unwrap(), 1);
    assert_eq!(found(&two.open(), COUNT), [0, 1, 2, 3, 4]);
    assert_eq!(one.open().import(&two.dir).unwrap(), 1);
    assert_eq!(found(&one.open(), COUNT), [0, 1, 2, 3, 4]);
}

#[test]
fn entries_with_a_damaged_or_missing_object_are_left_out_in_both_directions() {
    let (place, other) = (Place::with(COUNT), Place::new());
    damage::chmod(&place.object(0), 0o644);
    fs::write(place.object(0), "rotten").unwrap();
    fs::remove_file(place.object(1)).unwrap();
    let before = place.state();
    assert_eq!(other.open().import(&place.dir).unwrap(), 3);
    place.must_be_as(&before, "what was imported from");
    assert_eq!(found(&other.open(), COUNT), [2, 3, 4]);
    assert_eq!(place.open().export(&place.beside("layer"), all).unwrap(), 3);
    assert_eq!(found(&read_only(&place, &place.beside("layer")), COUNT), [2, 3, 4]);
}

#[test]
fn the_limits_hold_when_more_is_taken_in_than_there_is_room_for() {
    let (place, other) = (Place::with(COUNT), Place::new());
    let small = Store::open(other.config().max_files(2).build()).unwrap();
    assert_eq!(small.import(&place.dir).unwrap(), COUNT as u64);
    assert_eq!(small.entries().count(), 2);
    assert_eq!(found(&other.open(), COUNT).len(), 2);
    let none = Store::open(other.config().max_files(0).build()).unwrap();
    assert!(none.import(&place.dir).is_err());
}

#[test]
fn what_is_no_store_or_no_empty_directory_is_an_error_that_says_so() {
    let place = Place::with(1);
    let store = place.open();
    let kind = |done: Result<u64, StoreError>| match done.unwrap_err() {
        StoreError::Io { path, source, .. } => (path, source.kind()),
        other => panic!("{other}"),
    };
    let nothing = place.beside("nothing");
    assert_eq!(kind(store.import(&nothing)), (nothing.clone(), io::ErrorKind::NotFound));
    assert!(!nothing.exists());
    let before = place.state();
    assert_eq!(kind(store.export(&place.dir, all)), (place.dir.clone(), io::ErrorKind::AlreadyExists));
    place.must_be_as(&before, "an export into a store");
    let file = place.beside("file");
    fs::write(&file, "mine").unwrap();
    assert_eq!(kind(store.export(&file, all)).0, file);
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    let read_only = Store::open(place.config().readonly(true).build()).unwrap();
    assert!(matches!(read_only.import(&place.dir), Err(StoreError::ReadOnly)));
    // A store that is not there has nothing to export, and may take in.
    let fresh = Place::new();
    assert_eq!(fresh.open().export(&fresh.beside("empty"), all).unwrap(), 0);
    assert_eq!(fresh.open().import(&fresh.beside("empty")).unwrap(), 0);
    assert_eq!(fresh.open().import(&place.dir).unwrap(), 1);
    assert_eq!(found(&fresh.open(), 1), [0]);
}
