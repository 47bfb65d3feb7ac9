//! What the tier gives and takes while all goes well.

use plugcache::Tier as _;
use plugcache_remote::{ConfigError, Mode, Remote};

use crate::common::*;

#[test]
fn what_one_host_publishes_another_gets_byte_by_byte() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    let reader = fleet.reader();
    assert_fetched(&reader, &built);
    let counts = reader.status().counts;
    assert_eq!((counts.lookups, counts.entries, counts.objects), (1, 1, 2));
    let paths = fleet.object_paths();
    let ends = |end: &str| paths.iter().filter(|path| path.ends_with(end)).count();
    assert_eq!((ends(".zst"), ends(".raw")), (1, 1), "{paths:?}");
    let received: usize = paths.iter().map(|path| fleet.bucket.memory.file(path).unwrap().len()).sum();
    assert_eq!(counts.bytes_received, received as u64);
    assert!(fleet.bucket.memory.file(&fleet.entry_path()).unwrap().len() < 2048);
}

#[test]
fn objects_are_there_before_the_entry_that_names_them() {
    let fleet = Fleet::new();
    let built = fleet.built("a");
    fleet.remote(Mode::WriteThrough).offer(&built.key, &built.parcel, &built.artifact);
    let puts: Vec<_> = fleet.bucket.calls().into_iter().filter(|call| call.starts_with("put")).collect();
    assert_eq!(puts.len(), 3);
    assert!(puts[0].contains("/cas/") && puts[1].contains("/cas/") && puts[2].contains("/ac/"), "{puts:?}");
    // An object that cannot be put: no entry names it.
    let other = fleet.built("b");
    fleet.bucket.set(Fault::Dead, "/cas/");
    let remote = fleet.remote(Mode::WriteThrough);
    remote.offer(&other.key, &other.parcel, &other.artifact);
    fleet.bucket.set(Fault::None, "");
    assert_eq!(fetch(&fleet.reader(), &other.key), Ok(None));
    assert_eq!(remote.status().counts.not_published, 1);
}

#[test]
fn an_object_that_is_there_is_not_put_again() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    let remote = fleet.remote(Mode::WriteThrough);
    remote.offer(&built.key, &built.parcel, &built.artifact);
    let counts = remote.status().counts;
    assert_eq!((counts.objects_present, counts.objects_published, counts.published), (2, 0, 1));
    // It would go before the new entry does.
    fleet.clock.advance(8 * DAY);
    remote.offer(&built.key, &built.parcel, &built.artifact);
    assert_eq!(remote.status().counts.objects_published, 2);
}

/// An upload that an engine has cut, or somebody else's file: its name alone says nothing.
#[test]
fn an_object_that_cannot_be_right_by_its_length_is_put_again() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    for path in fleet.object_paths() {
        let right = fleet.bucket.memory.file(&path).unwrap();
        // As long as the unpacked bytes: none that is packed is.
        let len = if path.ends_with(".raw") { right.len() - 1 } else { built.bytes[0].len() };
        fleet.bucket.memory.plant(&path, vec![0; len]);
        let remote = fleet.remote(Mode::WriteThrough);
        remote.offer(&built.key, &built.parcel, &built.artifact);
        assert_eq!(fleet.bucket.memory.file(&path), Some(right), "{path}");
    }
}

#[test]
fn namespaces_are_searched_in_their_order_and_no_others() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    let reader_of = |namespaces: &[&str]| {
        let mut config = fleet.config(Mode::ReadOnly);
        config.namespaces = namespaces.iter().map(|text| name(text)).collect();
        fleet.remote_of(config)
    };
    assert_eq!(fetch(&reader_of(&["other"]), &built.key), Ok(None));
    fleet.bucket.calls();
    assert_fetched(&reader_of(&["other", "main"]), &built);
    let calls = fleet.bucket.calls();
    assert!(calls[0].contains("/other/ac/") && calls[1].contains("/main/ac/"), "{calls:?}");
}

#[test]
fn off_asks_nothing_and_read_only_brings_nothing() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    let off = fleet.remote(Mode::Off);
    assert_eq!(fetch(&off, &built.key), Ok(None));
    let other = fleet.built("b");
    let mut with_a_key = fleet.config(Mode::ReadOnly);
    with_a_key.publisher = Some(fleet.publisher());
    for remote in [off, fleet.reader(), fleet.remote_of(with_a_key)] {
        remote.offer(&other.key, &other.parcel, &other.artifact);
        remote.used(&other.key, &other.parcel, &other.artifact);
    }
    assert_eq!(fleet.bucket.calls(), [""; 0]);
}

#[test]
fn that_there_is_nothing_is_believed_for_half_a_minute() {
    let fleet = Fleet::new();
    let built = fleet.built("a");
    let reader = fleet.reader();
    for _ in 0..50 {
        assert_eq!(fetch(&reader, &built.key), Ok(None));
    }
    assert_eq!(fleet.bucket.calls().len(), 1);
    fleet.published("a");
    assert_eq!(fetch(&reader, &built.key), Ok(None));
    fleet.clock.advance(31 * SECOND);
    assert_fetched(&reader, &built);
}

#[test]
fn an_entry_whose_object_is_gone_is_a_miss_and_is_mended_by_the_next_build() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    for path in fleet.object_paths() {
        let bytes = fleet.bucket.memory.file(&path).unwrap();
        fleet.bucket.memory.remove(&path);
        let host = fleet.remote(Mode::WriteThrough);
        fetch(&host, &built.key).unwrap_err();
        assert_eq!(fetch(&host, &built.key), Ok(None), "it is not asked for again");
        assert_eq!(host.status().counts.objects_missing, 1);
        host.offer(&built.key, &built.parcel, &built.artifact);
        assert_eq!(fleet.bucket.memory.file(&path), Some(bytes));
        assert_fetched(&fleet.reader(), &built);
    }
}

#[test]
fn an_object_that_is_wrong_is_put_afresh_by_the_next_build() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    for path in fleet.object_paths() {
        let bytes = fleet.bucket.memory.file(&path).unwrap();
        let mut wrong = bytes.to_vec();
        let middle = wrong.len() / 2;
        wrong[middle] ^= 1;
        fleet.bucket.memory.plant(&path, wrong);
        let host = fleet.remote(Mode::WriteThrough);
        fetch(&host, &built.key).unwrap_err();
        host.offer(&built.key, &built.parcel, &built.artifact);
        assert_eq!(fleet.bucket.memory.file(&path), Some(bytes));
    }
}

#[test]
fn what_is_used_and_grows_old_is_renewed_objects_first() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    let remote = fleet.remote(Mode::WriteThrough);
    let used = |remote: &Remote| remote.used(&built.key, &built.parcel, &built.artifact);
    fleet.clock.advance(6 * DAY);
    used(&remote);
    assert!(!fleet.bucket.calls().iter().any(|call| call.starts_with("put")));
    fleet.clock.advance(2 * DAY);
    used(&remote);
    let puts: Vec<_> = fleet.bucket.calls().into_iter().filter(|call| call.starts_with("put")).collect();
    assert!(puts.len() == 3 && puts[2].contains("/ac/"), "{puts:?}");
    assert_eq!(remote.status().counts.renewed, 1);
    fleet.clock.advance(20 * DAY);
    assert_fetched(&fleet.reader(), &built);
    fleet.clock.advance(2 * DAY);
    assert_eq!(fetch(&fleet.reader(), &built.key), Ok(None));
}

/// Else a host that reads a namespace which it trusts less would sign what it got there.
#[test]
fn only_what_the_own_namespace_has_already_is_renewed() {
    let fleet = Fleet::new();
    let built = fleet.built("a");
    let remote = fleet.remote(Mode::WriteThrough);
    remote.used(&built.key, &built.parcel, &built.artifact);
    assert!(fleet.bucket.memory.paths().is_empty());
    let published = fleet.published("a");
    fleet.clock.advance(8 * DAY);
    let mut other = published.parcel.clone();
    other.entry.push(0);
    remote.used(&published.key, &other, &published.artifact);
    assert_eq!(remote.status().counts.renewed, 0);
}

#[test]
fn a_configuration_that_cannot_write_is_refused_and_not_found_out_later() {
    let fleet = Fleet::new();
    let with = |mode, change: fn(&mut plugcache_remote::RemoteConfig)| {
        let mut config = fleet.config(mode);
        change(&mut config);
        Remote::new(fleet.bucket.clone(), config).err().map(|error| error.to_string())
    };
    let of = |error: ConfigError| Some(error.to_string());
    assert_eq!(with(Mode::WriteThrough, |config| config.publisher = None), of(ConfigError::NoPublisher));
    assert_eq!(with(Mode::ReadWrite, |config| config.queue = None), of(ConfigError::NoQueue));
    let cas = |config: &mut plugcache_remote::RemoteConfig| config.namespaces.push(name("cas"));
    assert_eq!(with(Mode::ReadOnly, cas), of(ConfigError::BadNamespace(name("cas"))));
}
