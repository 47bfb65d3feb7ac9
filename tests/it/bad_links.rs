//! Hard links and symlinks between a store and what lies outside: the store neither writes to a file that has
//! another name too, nor makes, moves or removes anything behind a symlink (I20).

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use plugcache::{Added, How, Outputs};

use super::damage::{Place, bytes, chmod, found, get, remove, sources, state_of};

/// A file of somebody's, with these bytes, as no object would be.
fn own_file(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    chmod(path, 0o640);
    let written = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options().write(true).open(path).unwrap().set_modified(written).unwrap();
}

/// Bytes, mode and time; the count of links does not matter.
fn look(path: &Path) -> (Vec<u8>, u32, std::time::SystemTime) {
    let meta = fs::metadata(path).unwrap();
    (fs::read(path).unwrap(), meta.permissions().mode(), meta.modified().unwrap())
}

#[test]
fn a_file_that_was_linked_into_the_store_keeps_its_mode_and_time() {
    for right in [true, false] {
        let place = Place::with(2);
        let own = place.beside("own");
        own_file(&own, if right { b"artifact 0 ".as_slice() } else { b"something else" });
        assert_eq!(right, fs::read(&own).unwrap() == bytes(0));
        let before = look(&own);
        remove(&place.object(0));
        fs::hard_link(&own, place.object(0)).unwrap();
        let expected: &[usize] = if right { &[0, 1] } else { &[1] };
        assert_eq!(found(&place.open(), 2), expected, "right: {right}");
        assert_eq!(look(&own), before, "found, right: {right}");
        place.must_work(2, "linked");
        assert_eq!(look(&own), before, "worked with, right: {right}");
    }
}

#[test]
fn an_executable_whose_bytes_are_there_as_somebodys_file_is_stored_beside_it() {
    let place = Place::with(1);
    let (own, program) = (place.beside("own"), place.beside("program"));
    own_file(&own, &bytes(0));
    fs::write(&program, bytes(0)).unwrap();
    chmod(&program, 0o755);
    let before = look(&own);
    remove(&place.object(0));
    fs::hard_link(&own, place.object(0)).unwrap();
    assert_eq!(place.open().add(&sources(1), Outputs::file("out.so", &program)).unwrap(), Added::Stored);
    assert_eq!(look(&own), before);
    let stored = place.open().find(&sources(1)).unwrap();
    assert_eq!(fs::metadata(stored.path()).unwrap().permissions().mode() & 0o777, 0o555);
    // Without the other name the file is the store's own, and becomes executable where it lies.
    let place = Place::with(1);
    assert_eq!(place.open().add(&sources(1), Outputs::file("out.so", &program)).unwrap(), Added::Stored);
    assert_eq!(fs::metadata(place.object(0)).unwrap().permissions().mode() & 0o777, 0o555);
}

#[test]
fn a_symlink_in_the_place_of_a_directory_leads_no_call_outside() {
    for name in ["objects", "the shard", "staging", "quarantine", "inflight"] {
        // Behind the link lies an empty directory, or one with a wrong file under the object's name.
        for filled in [false, true] {
            let (place, case) = (Place::with(1), format!("{name}, filled: {filled}"));
            let path = match name {
                "the shard" => place.object(0).parent().unwrap().to_path_buf(),
                name => place.v1(name),
            };
            let outside = place.beside("outside");
            let below = place.object(0).strip_prefix(&path).map(Path::to_owned).unwrap_or("file".into());
            fs::create_dir_all(outside.join(&below).parent().unwrap()).unwrap();
            if filled {
                own_file(&outside.join(&below), b"somebody's");
            }
            let before = state_of(&outside);
            remove(&path);
            symlink(&outside, &path).unwrap();
            for number in 0..2 {
                let store = place.open();
                let how = get(&store, number).how;
                assert!(matches!(how, How::Built | How::Uncached(_) | How::Hit), "{case}: {how}");
                // Known to have no room for its object: an add by another way.
                drop(store.add(&sources(number), Outputs::bytes("out.so", bytes(number))).unwrap());
                drop(store.forget(&sources(number).digest()));
            }
            assert_eq!(state_of(&outside), before, "{case}");
            remove(&path);
            place.must_work(2, &case);
        }
    }
}
