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
