//! The poisoning drill: somebody with every right on the bucket, and no key that anybody trusts, wants one byte of theirs
//! to be taken by a host.

use plugcache::{ObjectDigest, Parcel, ParcelObject, Tier as _, TierError, TierKey};
use plugcache_remote::{Entry, Form, Mode, Publisher, SecretKey, Trust};

use crate::common::*;

/// The attacker's own artifact for a key, published with the attacker's own key, and where its entry lies.
fn attack(fleet: &Fleet, key: &TierKey, into: &str) -> String {
    let mut evil = fleet.built("evil");
    evil.key = *key;
    let mut config = fleet.config(Mode::WriteThrough);
    let stranger = SecretKey::random().unwrap();
    config.publisher = Some(Publisher { namespace: name(into), key: stranger, builder: "ci-7".into() });
    fleet.remote_of(config).offer(&evil.key, &evil.parcel, &evil.artifact);
    let paths = fleet.bucket.memory.paths();
    paths.into_iter().find(|path| path.contains(&format!("/{into}/ac/"))).unwrap()
}

#[test]
fn a_writer_without_a_trusted_key_gets_not_one_byte_accepted() {
    let fleet = Fleet::new();
    let victim = fleet.built("victim");
    // An entry of their own, in the trusted namespace.
    attack(&fleet, &victim.key, "main");
    let reader = fleet.reader();
    assert_eq!(fetch(&reader, &victim.key), Ok(None));
    assert_eq!(reader.status().counts.refused_unknown_key, 1);
    assert_eq!(reader.status().counts.bytes_received, 0);
}

#[test]
fn the_signature_of_a_trusted_key_cannot_be_put_under_another_statement() {
    let fleet = Fleet::new();
    let victim = fleet.published("victim");
    let path = fleet.entry_path();
    let right = fleet.bucket.memory.file(&path).unwrap().to_vec();
    attack(&fleet, &victim.key, "main");
    let evil = fleet.bucket.memory.file(&path).unwrap().to_vec();
    assert_ne!(right, evil);
    // The tail is the scheme, the key id and the signature: whole, and its parts.
    for tail in [81, 80, 64] {
        let mut spliced = evil.clone();
        spliced.truncate(evil.len() - tail);
        spliced.extend(&right[right.len() - tail..]);
        fleet.bucket.memory.plant(&path, spliced);
        let reader = fleet.reader();
        assert_eq!(fetch(&reader, &victim.key), Ok(None), "{tail}");
        let counts = reader.status().counts;
        assert_eq!(counts.refused_wrong_signature + counts.refused_unknown_key, 1, "{tail}");
    }
}

#[test]
fn a_signed_entry_is_not_believed_under_another_key_or_in_another_namespace() {
    let fleet = Fleet::new();
    let (first, second) = (fleet.published("a"), fleet.published("b"));
    let entry_of = |built: &Built| {
        let source = built.key.source.to_string();
        fleet.bucket.memory.paths().into_iter().find(|path| path.contains(&source)).unwrap()
    };
    let (from, to) = (entry_of(&first), entry_of(&second));
    let bytes = fleet.bucket.memory.file(&from).unwrap();
    fleet.bucket.memory.plant(&to, bytes.clone());
    let reader = fleet.reader();
    assert_eq!(fetch(&reader, &second.key), Ok(None));
    assert_eq!(reader.status().counts.refused_other_key, 1);
    fleet.bucket.memory.plant(&from.replace("/main/", "/release/"), bytes);
    let mut config = fleet.config(Mode::ReadOnly);
    config.namespaces = vec![name("release")];
    config.trust = config.trust.and(&name("release"), fleet.signer.public());
    let reader = fleet.remote_of(config);
    assert_eq!(fetch(&reader, &first.key), Ok(None));
    assert_eq!(reader.status().counts.refused_other_namespace, 1);
}

#[test]
fn objects_exchanged_below_a_right_entry_are_refused() {
    let fleet = Fleet::new();
    let victim = fleet.published("victim");
    attack(&fleet, &fleet.built("x").key, "evil");
    let before = fleet.object_paths();
    let evil = fleet.bucket.memory.file(&before[0]).unwrap();
    for path in &before {
        let right = fleet.bucket.memory.file(path).unwrap();
        let bomb = zstd_of_nothing(1 << 24);
        for wrong in [&evil[..], &bomb, b"", b"\x7fELF"] {
            if wrong == &right[..] {
                continue;
            }
            fleet.bucket.memory.plant(path, wrong.to_vec());
            let ours = victim.parcel.objects.iter().any(|object| path.contains(&object.digest.to_string()));
            let answer = fetch(&fleet.reader(), &victim.key);
            assert_eq!(matches!(answer, Err(TierError::Wrong(_))), ours, "{path}: {answer:?}");
        }
        fleet.bucket.memory.plant(path, right);
    }
}

fn zstd_of_nothing(len: usize) -> Vec<u8> {
    zstd::bulk::compress(&vec![0; len], 3).unwrap()
}

#[test]
fn what_was_right_once_is_not_right_for_ever() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    let (path, old) = (fleet.entry_path(), fleet.bucket.memory.file(&fleet.entry_path()).unwrap());
    fleet.clock.advance(22 * DAY);
    fleet.bucket.memory.plant(&path, old.clone());
    let reader = fleet.reader();
    assert_eq!(fetch(&reader, &built.key), Ok(None));
    assert_eq!(reader.status().counts.refused_expired, 1);
}

#[test]
fn a_revoked_key_and_a_clock_that_is_ahead_are_told_apart() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    let mut config = fleet.config(Mode::ReadOnly);
    config.trust = config.trust.but_not(fleet.signer.id());
    let reader = fleet.remote_of(config);
    assert_eq!(fetch(&reader, &built.key), Ok(None));
    assert_eq!(reader.status().counts.refused_revoked_key, 1);
    fleet.clock.advance(DAY);
    let later = fleet.published("b");
    let behind = std::sync::Arc::new(plugcache_remote::ManualClock::at(wall()));
    let config = fleet.config(Mode::ReadOnly);
    let reader = plugcache_remote::Remote::with_clock(fleet.bucket.memory.clone(), config, behind).unwrap();
    assert_eq!(fetch(&reader, &later.key), Ok(None));
    assert_eq!(reader.status().counts.refused_future, 1);
}

/// A signer who is trusted states lengths; nobody else's bytes get past them.
#[test]
fn more_bytes_than_the_signed_length_never_reach_a_sink() {
    let fleet = Fleet::new();
    let key = fleet.built("a").key;
    let object = ParcelObject { digest: ObjectDigest::of_bytes(b"x"), len: 70_000 };
    let parcel = Parcel { entry: vec![], objects: vec![object], cost: SECOND, label: String::new() };
    let entry = Entry::of_parcel(&name("main"), &key, &parcel, &[Form::Zstd], "", wall());
    let source = key.source.to_string();
    let exec: String = key.exec.iter().map(|byte| format!("{byte:02x}")).collect();
    let place = format!("fleet/v1/main/ac/{}/{source}{exec}", &source[..2]);
    fleet.bucket.memory.plant(&place, entry.sign(&fleet.signer).unwrap());
    let digest = object.digest.to_string();
    let bomb = format!("fleet/v1/cas/{}/{digest}.zst", &digest[..2]);
    fleet.bucket.memory.plant(&bomb, zstd_of_nothing(1 << 28));
    let reader = fleet.reader();
    reader.entry(&key).unwrap().unwrap();
    let mut bytes = Vec::new();
    let mut sinks = [plugcache::Sink::new(object, &mut bytes)];
    assert!(matches!(reader.objects(&key, &mut sinks), Err(TierError::Wrong(_))));
    drop(sinks);
    assert!(bytes.len() <= 70_000, "{}", bytes.len());
}

#[test]
fn who_trusts_nobody_takes_nothing() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    let mut config = fleet.config(Mode::ReadOnly);
    config.trust = Trust::nobody();
    assert_eq!(fetch(&fleet.remote_of(config), &built.key), Ok(None));
}

/// Else somebody who may write to a namespace that comes first could take away what the next one has.
#[test]
fn a_refused_entry_does_not_hide_what_the_next_namespace_has() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    let place = attack(&fleet, &built.key, "first");
    for wrong in [None, Some(vec![7; 300 << 10]), Some(Vec::new())] {
        if let Some(wrong) = wrong {
            fleet.bucket.memory.plant(&place, wrong);
        }
        let mut config = fleet.config(Mode::ReadOnly);
        config.namespaces = vec![name("first"), name("main")];
        let reader = fleet.remote_of(config);
        assert_fetched(&reader, &built);
        let counts = reader.status().counts;
        assert_eq!(counts.refused_unknown_key + counts.refused_malformed, 1);
    }
}

/// A window of 128 MiB: right bytes, and sixteen at once would take the memory of a small host.
#[test]
fn a_stream_that_asks_for_more_memory_than_any_right_one_is_refused() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    let path = fleet.object_paths().into_iter().find(|path| path.ends_with(".zst")).unwrap();
    for (window_log, is_taken) in [(23, true), (24, false), (27, false)] {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(window_log).unwrap();
        std::io::Write::write_all(&mut encoder, &built.bytes[0]).unwrap();
        fleet.bucket.memory.plant(&path, encoder.finish().unwrap());
        let answer = fetch(&fleet.reader(), &built.key);
        assert_eq!(answer.is_ok(), is_taken, "{window_log}: {answer:?}");
    }
}

#[test]
fn fewer_bytes_than_the_signed_length_are_not_the_object() {
    let fleet = Fleet::new();
    let key = fleet.built("a").key;
    let object = ParcelObject { digest: ObjectDigest::of_bytes(b"x"), len: 2 };
    let parcel = Parcel { entry: vec![], objects: vec![object], cost: SECOND, label: String::new() };
    let entry = Entry::of_parcel(&name("main"), &key, &parcel, &[Form::Raw], "", wall());
    let (source, digest) = (key.source.to_string(), object.digest.to_string());
    let exec: String = key.exec.iter().map(|byte| format!("{byte:02x}")).collect();
    let place = format!("fleet/v1/main/ac/{}/{source}{exec}", &source[..2]);
    fleet.bucket.memory.plant(&place, entry.sign(&fleet.signer).unwrap());
    fleet.bucket.memory.plant(&format!("fleet/v1/cas/{}/{digest}.raw", &digest[..2]), "x");
    let (reader, mut bytes) = (fleet.reader(), Vec::new());
    reader.entry(&key).unwrap().unwrap();
    let mut sinks = [plugcache::Sink::new(object, &mut bytes)];
    assert!(matches!(reader.objects(&key, &mut sinks), Err(TierError::Wrong(_))));
}

#[test]
fn an_entry_that_expires_is_not_remembered_any_longer() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    let reader = fleet.reader();
    fleet.clock.advance(21 * DAY - 300 * SECOND);
    assert_fetched(&reader, &built);
    fleet.clock.advance(299 * SECOND);
    assert_fetched(&reader, &built);
    fleet.clock.advance(2 * SECOND);
    assert_eq!(fetch(&reader, &built.key), Ok(None));
}

#[test]
fn what_a_stranger_has_put_into_the_own_namespace_is_not_renewed() {
    let fleet = Fleet::new();
    let built = fleet.built("a");
    let mut config = fleet.config(Mode::WriteThrough);
    let stranger = SecretKey::random().unwrap();
    config.publisher = Some(Publisher { namespace: name("main"), key: stranger, builder: "ci-7".into() });
    fleet.remote_of(config).offer(&built.key, &built.parcel, &built.artifact);
    fleet.clock.advance(8 * DAY);
    let remote = fleet.remote(Mode::WriteThrough);
    remote.used(&built.key, &built.parcel, &built.artifact);
    assert_eq!((remote.status().counts.renewed, remote.status().counts.published), (0, 0));
    assert_eq!(fetch(&fleet.reader(), &built.key), Ok(None));
}

/// A disk that has lost a bit, or somebody who may write to the store: the publisher's name does not stand for that.
#[test]
fn nothing_is_signed_that_is_not_what_was_built() {
    let fleet = Fleet::new();
    let built = fleet.built("a");
    damage(&built);
    let remote = fleet.remote(Mode::WriteThrough);
    remote.offer(&built.key, &built.parcel, &built.artifact);
    assert_eq!((remote.status().counts.published, remote.status().counts.not_published), (0, 1));
    assert!(!fleet.bucket.memory.paths().iter().any(|path| path.contains("/ac/")));
}
