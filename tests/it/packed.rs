//! Outputs that are packed into their entry: the same promises without a file.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use plugcache::{__sim, Added, How, Outputs, Store};

use super::common::{Place, named};

/// Of any length, and no two lengths alike.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + len) as u8).collect()
}

fn add(store: &Store, name: &str, outputs: Outputs) {
    assert_eq!(store.add(&named(name), outputs).unwrap(), Added::Stored, "{name}");
}

/// Finds it by a handle that has just been opened.
fn read(place: &Place, name: &str) -> Option<Vec<u8>> {
    place.store().find(&named(name)).map(|artifact| artifact.primary().read().unwrap())
}

#[test]
fn a_packed_output_is_found_by_every_way_of_reading_and_has_no_file() {
    let place = Place::new();
    let store = place.store();
    for len in [0, 1, 63, 64, 4096, 8192] {
        add(&store, &format!("of {len}"), Outputs::packed("out", bytes(len)));
    }
    assert!(__sim::compact(&store));
    add(&store, "behind the segment", Outputs::packed("out", bytes(5)));
    assert_eq!(read(&place, "behind the segment"), Some(bytes(5)));
    for len in [0, 1, 63, 64, 4096, 8192] {
        let artifact = place.store().find(&named(&format!("of {len}"))).unwrap();
        let output = artifact.primary();
        assert_eq!((output.len(), output.is_executable()), (len as u64, false));
        assert_eq!(output.digest(), plugcache::ObjectDigest::of_bytes(&bytes(len)));
        assert_eq!(output.read().unwrap(), bytes(len));
        assert_eq!(output.read_verified().unwrap(), bytes(len));
        assert_eq!(output.sealed().unwrap().bytes(), bytes(len));
        let to = place.path("copy");
        output.copy_to(&to).unwrap();
        assert_eq!(fs::read(to).unwrap(), bytes(len));
        let mut file = Vec::new();
        std::io::Read::read_to_end(&mut output.file().unwrap(), &mut file).unwrap();
        assert_eq!(file, bytes(len));
    }
    assert!(place.objects().is_empty());
}

#[test]
fn what_is_too_long_to_be_packed_is_stored_as_a_file() {
    let place = Place::new();
    let store = place.store();
    add(&store, "long", Outputs::packed("out", bytes(8193)));
    assert_eq!(place.objects().len(), 1);
    let five = (0..5).fold(Outputs::packed("0", bytes(8000)), |outputs, number| {
        outputs.and_packed(format!("{}", number + 1), bytes(8100 + number))
    });
    add(&store, "many", five);
    // Four of them fill what one entry may hold.
    assert_eq!(place.objects().len(), 3);
    let found = place.store().find(&named("many")).unwrap();
    let lens: Vec<_> = found.outputs().map(|output| output.read().unwrap().len()).collect();
    assert_eq!(lens, [8000, 8100, 8101, 8102, 8103, 8104]);
}

#[test]
fn the_path_of_a_packed_output_leads_to_its_bytes_while_the_artifact_lives() {
    let place = Place::new();
    let store = place.store();
    add(&store, "a", Outputs::packed("out", "packed"));
    let artifact = store.find(&named("a")).unwrap();
    assert_eq!(fs::read(artifact.path()).unwrap(), b"packed");
    assert!(artifact.path().starts_with(place.store_dir()), "{}", artifact.path().display());
    // Sweeping takes nothing that is leased, nor what an entry names.
    __sim::sweep(&store);
    assert_eq!(fs::read(artifact.path()).unwrap(), b"packed");
    // The file is not needed, and believed no more than any other.
    fs::remove_file(artifact.path()).unwrap();
    drop(artifact);
    assert_eq!(read(&place, "a").as_deref(), Some(&b"packed"[..]));
    fs::create_dir_all(place.path("elsewhere")).unwrap();
    let again = store.find(&named("a")).unwrap();
    assert_eq!(fs::read(again.path()).unwrap(), b"packed");
}

#[test]
fn a_store_that_may_only_be_read_gives_a_path_outside_itself() {
    let place = Place::new();
    add(&place.store(), "a", Outputs::packed("out", "packed"));
    let before = place.below("");
    let store = Store::open(place.config().readonly(true).build()).unwrap();
    let artifact = store.find(&named("a")).unwrap();
    let path = artifact.path().to_owned();
    assert_eq!(fs::read(&path).unwrap(), b"packed");
    assert!(!path.starts_with(place.store_dir()));
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
    assert_eq!(place.below(""), before);
    drop(artifact);
    assert!(!path.exists());
}

#[test]
fn a_build_packs_what_it_says_and_an_artifact_that_is_not_stored_has_it_too() {
    let place = Place::new();
    let build = |build: &mut plugcache::Build| {
        build.write_packed("code", "jit code");
        build.write("listing", "text")
    };
    let readonly = Store::open(place.config().readonly(true).build()).unwrap();
    for (store, how) in [(place.store(), "built"), (place.store(), "hit"), (readonly, "hit")] {
        let got = store.get_or_build(&named("f"), build).unwrap();
        assert_eq!(got.how.to_string(), how);
        assert_eq!(got.artifact.output("code").unwrap().read().unwrap(), b"jit code");
        assert_eq!(got.artifact.output("listing").unwrap().read().unwrap(), b"text");
    }
    assert_eq!(place.objects().len(), 1);
    let got = Store::disabled("for this test").get_or_build(&named("f"), build).unwrap();
    assert!(matches!(got.how, How::Uncached(_)));
    assert_eq!(fs::read(got.artifact.output("code").unwrap().path()).unwrap(), b"jit code");
}

#[test]
fn limits_count_packed_bytes_and_eviction_takes_them_with_their_entries() {
    let place = Place::new();
    let store = Store::open(place.config().max_files(3).build()).unwrap();
    for number in 0..9 {
        add(&store, &format!("n{number}"), Outputs::packed("out", bytes(100 + number)));
    }
    assert_eq!((store.stats().entries, store.stats().bytes), (3, 106 + 107 + 108));
    let store = Store::open(place.config().max_bytes(250).build()).unwrap();
    add(&store, "last", Outputs::packed("out", bytes(50)));
    assert!(store.stats().bytes <= 250);
    assert_eq!(read(&place, "last"), Some(bytes(50)));
}

/// Bytes that are packed have no stamp: each find hashes them, so that a log written by somebody who knew its seed
/// gives no wrong ones.
#[test]
fn a_packed_output_under_another_digest_or_length_is_a_miss() {
    use super::damage::codec;
    let place = Place::new();
    add(&place.store(), "forged", Outputs::packed("out", "right"));
    let log = place.store_dir().join("v1/log.1");
    let right = fs::read(&log).unwrap();
    let forge = |change: &dyn Fn(&mut Vec<u8>)| {
        let (at, kind, payload) = codec::frames(&right)[1];
        let mut payload = payload.to_vec();
        change(&mut payload);
        let frame = codec::frame(kind, 0, &payload, codec::seed_of(&right));
        fs::write(&log, [&right[..at], &frame].concat()).unwrap();
        read(&place, "forged")
    };
    assert_eq!(forge(&|_| {}), Some(b"right".to_vec()));
    let packed_at = |payload: &[u8]| payload.windows(5).position(|bytes| bytes == b"right").unwrap();
    assert_eq!(
        forge(&|payload| {
            let at = packed_at(payload);
            payload[at] = b'w';
        }),
        None
    );
    // The length stands before the flags and the count.
    assert_eq!(
        forge(&|payload| {
            let at = packed_at(payload) - 3;
            payload[at] = 6;
        }),
        None
    );
}

#[test]
fn thousands_of_packed_values_make_no_file_each() {
    let place = Place::new();
    let store = place.store();
    for number in 0..3000usize {
        add(&store, &format!("f{number}"), Outputs::packed("code", bytes(200 + number % 100)));
    }
    let files = files_below(&place.store_dir());
    assert!(files < 300, "{files} files and directories");
    let store = place.store();
    for number in (0..3000usize).step_by(7) {
        let artifact = store.find(&named(&format!("f{number}"))).unwrap();
        assert_eq!(artifact.primary().read().unwrap(), bytes(200 + number % 100));
    }
}

fn files_below(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| 1 + if entry.path().is_dir() { files_below(&entry.path()) } else { 0 }).sum()
}
