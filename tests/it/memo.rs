//! The memo of unchanged files on a real disk: what it must see, and its bytes as docs/format.md tells them. What
//! happens to it in crashes is in `crash::memo`.

use crate::{
    common::{Place, key, named},
    format::reader,
};
use plugcache::{Added, ObjectDigest, Outputs, Store, Toolchain};
use std::{
    fs::{self, OpenOptions},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::Duration,
};

/// A store that exists, and sources that have come to rest.
fn place() -> (Place, Vec<PathBuf>) {
    let place = Place::new();
    assert_eq!(place.store().add(&named("first"), Outputs::bytes("a", "a")), Ok(Added::Stored));
    let paths: Vec<_> = (0..8).map(|number| place.write(format!("src/{number}.c"), [number; 100])).collect();
    std::thread::sleep(Duration::from_millis(2100));
    (place, paths)
}

/// The digest that a new handle has, and whether it is that of the bytes that are there.
fn digest(store: &Store, paths: &[PathBuf]) -> plugcache::SourceDigest {
    let sources = key(paths).digest_with(store).unwrap();
    assert_eq!(sources, key(paths).digest().unwrap());
    sources.digest()
}

#[test]
fn an_edit_that_restores_length_and_modification_time_is_seen_by_another_handle() {
    let (place, paths) = place();
    let before = digest(&place.store(), &paths);
    assert!(place.path("store/v1/memo").exists());
    let modified = fs::metadata(&paths[3]).unwrap().modified().unwrap();
    fs::write(&paths[3], [77; 100]).unwrap();
    OpenOptions::new().write(true).open(&paths[3]).unwrap().set_modified(modified).unwrap();
    assert_ne!(digest(&place.store(), &paths), before);
}

#[test]
fn the_memo_is_the_documented_bytes_and_says_of_each_file_what_is_true() {
    let (place, paths) = place();
    digest(&place.store(), &paths);
    let memo = place.path("store/v1/memo");
    assert_eq!(fs::metadata(&memo).unwrap().mode() & 0o7777, 0o600);
    let known = reader::memo(&fs::read(memo).unwrap()).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().replace('-', "");
    assert_eq!(known.boot, boot);
    let now = paths.iter().map(|path| {
        let stat = fs::metadata(path).unwrap();
        let times = [(stat.mtime(), stat.mtime_nsec() as u32), (stat.ctime(), stat.ctime_nsec() as u32)];
        let digest = ObjectDigest::of_bytes(&fs::read(path).unwrap());
        (stat.dev(), stat.ino(), stat.len(), times, 0, *digest.as_bytes())
    });
    let mut now: Vec<_> = now.collect();
    // A change time without a fraction is not believed: one file in 10^9, or on a file system without them.
    now.retain(|(.., [_, (_, nsec)], _, _)| *nsec != 0);
    now.sort_unstable();
    assert_eq!(known.records, now);
}

#[test]
fn a_compiler_is_the_same_toolchain_through_the_memo_as_without_it() {
    let (place, paths) = place();
    let read = Toolchain::of_program("cc").unwrap();
    let files = Toolchain::of_files("my", &paths).unwrap();
    for _ in 0..3 {
        let store = place.store();
        assert_eq!(Toolchain::of_program_with("cc", &store).unwrap(), read);
        assert_eq!(Toolchain::of_files_with("my", &paths, &store).unwrap(), files);
        // As sources the same files are digested by content, whatever was remembered of them as tools.
        let tools: Vec<_> = read.files().map(|(path, _)| path.to_owned()).collect();
        digest(&store, &tools);
    }
}
