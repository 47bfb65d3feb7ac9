//! Bundles: one lookup for a release, and no more belief than its entries have.

use plugcache::{Tier as _, TierKey};
use plugcache_remote::{BundleError, Mode, Pulled, Refusal};

use crate::common::*;

fn release(fleet: &Fleet, count: usize) -> Vec<Built> {
    let builds: Vec<_> = (0..count).map(|number| fleet.published(&format!("plugin {number}"))).collect();
    let keys: Vec<TierKey> = builds.iter().map(|built| built.key).collect();
    fleet.remote(Mode::WriteThrough).publish_bundle(&name("v1"), &keys).unwrap();
    fleet.bucket.calls();
    builds
}

#[test]
fn one_lookup_brings_the_entries_of_fifty_plugins() {
    let fleet = Fleet::new();
    let builds = release(&fleet, 50);
    let reader = fleet.reader();
    let pulled =
        reader.pull(&name("v1"), |key| fetch(&reader, key).is_ok_and(|found| found.is_some())).unwrap();
    assert_eq!(pulled, Pulled { keys: 50, here: 50 });
    let calls = fleet.bucket.calls();
    let entries = calls.iter().filter(|call| call.contains("/ac/")).count();
    let bundles = calls.iter().filter(|call| call.contains("/bundle/")).count();
    assert_eq!((bundles, entries), (1, 0));
    builds.iter().for_each(|built| assert_fetched(&reader, built));
}

#[test]
fn no_flipped_bit_and_no_cut_of_a_bundle_is_believed() {
    let fleet = Fleet::new();
    release(&fleet, 2);
    let path = "fleet/v1/main/bundle/v1";
    let right = fleet.bucket.memory.file(path).unwrap();
    for at in 0..right.len() {
        let mut wrong = right.to_vec();
        wrong[at] ^= 1 << (at % 8);
        fleet.bucket.memory.plant(path, wrong);
        assert!(matches!(fleet.reader().load_bundle(&name("v1")), Err(BundleError::Refused(_))), "byte {at}");
        fleet.bucket.memory.plant(path, right[..at].to_vec());
        assert!(
            matches!(fleet.reader().load_bundle(&name("v1")), Err(BundleError::Refused(_))),
            "cut at {at}"
        );
    }
}

#[test]
fn a_bundle_is_believed_under_its_name_in_its_namespace_and_in_its_time() {
    let fleet = Fleet::new();
    release(&fleet, 1);
    let bytes = fleet.bucket.memory.file("fleet/v1/main/bundle/v1").unwrap();
    fleet.bucket.memory.plant("fleet/v1/main/bundle/v2", bytes.clone());
    fleet.bucket.memory.plant("fleet/v1/other/bundle/v1", bytes);
    let refused = |remote: &plugcache_remote::Remote, bundle: &str| match remote.load_bundle(&name(bundle)) {
        Err(BundleError::Refused(why)) => Some(why),
        _ => None,
    };
    assert_eq!(refused(&fleet.reader(), "v2"), Some(Refusal::OtherKey));
    let mut config = fleet.config(Mode::ReadOnly);
    config.namespaces = vec![name("other")];
    config.trust = config.trust.and(&name("other"), fleet.signer.public());
    assert_eq!(refused(&fleet.remote_of(config), "v1"), Some(Refusal::OtherNamespace));
    assert!(matches!(fleet.reader().load_bundle(&name("v3")), Err(BundleError::Absent)));
    fleet.clock.advance(22 * DAY);
    assert_eq!(refused(&fleet.reader(), "v1"), Some(Refusal::Expired));
}

#[test]
fn a_bundle_names_only_what_was_published() {
    let fleet = Fleet::new();
    let built = fleet.built("a");
    let publisher = fleet.remote(Mode::WriteThrough);
    let answer = publisher.publish_bundle(&name("v1"), &[built.key]);
    assert!(matches!(answer, Err(BundleError::NoEntry { .. })), "{answer:?}");
    assert!(fleet.bucket.memory.paths().is_empty());
    assert!(matches!(fleet.reader().publish_bundle(&name("v1"), &[]), Err(BundleError::NoPublisher)));
}

#[test]
fn a_revoked_signer_of_an_entry_is_not_believed_because_its_bundle_is() {
    let fleet = Fleet::new();
    let built = fleet.published("a");
    let second = plugcache_remote::SecretKey::random().unwrap();
    let mut config = fleet.config(Mode::WriteThrough);
    config.trust = config.trust.and(&name("main"), second.public());
    let trust = config.trust.clone().but_not(fleet.signer.id());
    config.publisher =
        Some(plugcache_remote::Publisher { namespace: name("main"), key: second, builder: "ci-8".into() });
    fleet.remote_of(config).publish_bundle(&name("v1"), &[built.key]).unwrap();
    let mut config = fleet.config(Mode::ReadOnly);
    config.trust = trust;
    let reader = fleet.remote_of(config);
    assert_eq!(reader.load_bundle(&name("v1")).unwrap(), []);
    assert_eq!(reader.entry(&built.key), Ok(None));
    assert_eq!(reader.status().counts.refused_revoked_key, 2);
}
