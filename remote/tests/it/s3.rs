//! The client against a real engine, and a bad network between them.

use std::{
    fs,
    sync::atomic::Ordering,
    time::{Duration, Instant, SystemTime},
};

use plugcache::{SourceDigest, Tier as _, TierError, TierKey};
use plugcache_remote::{
    Ask, Bucket as _, BucketError, Bytes, CollectOptions, Examination, Health, Keeper as _, Limits, Mode,
    Outcome, Prefix, Remote, RemoteConfig, S3Bucket, collect, examine,
};

use crate::{
    common::*,
    engine::{Engine, KEY_ID, SECRET, client_at, config_at},
    proxy::{Proxy, Weather},
};

/// A fleet whose bucket is a real one.
struct Real {
    fleet: Fleet,
    engine: Engine,
    proxy: Proxy,
}

impl Real {
    fn new() -> Real {
        let fleet = Fleet::new();
        let engine = Engine::start(fleet.dir.path());
        let proxy = Proxy::before(engine.address);
        Real { fleet, engine, proxy }
    }

    /// A client through the proxy, on new connections, which waits less long than a host would.
    fn remote(&self, mode: Mode) -> Remote {
        let mut config = self.fleet.config(mode);
        config.deadlines.first_byte = Duration::from_millis(400);
        config.deadlines.stall = Duration::from_millis(400);
        Remote::new(client_at(self.proxy.address), config).unwrap()
    }

    fn published(&self, what: &str) -> Built {
        let built = self.fleet.built(what);
        let remote =
            Remote::new(client_at(self.engine.address), self.fleet.config(Mode::WriteThrough)).unwrap();
        remote.offer(&built.key, &built.parcel, &built.artifact);
        assert_eq!(remote.status().counts.published, 1, "{:?}", remote.status());
        built
    }
}

const LIMITS: Limits = Limits {
    first_byte: Duration::from_secs(5),
    stall: Duration::from_secs(5),
    total: Duration::from_secs(10),
};

fn read(bucket: &S3Bucket, path: &str, from: u64, len_max: u64) -> Result<Vec<u8>, BucketError> {
    let mut bytes = Vec::new();
    bucket.get(path, &Ask { from, len_max, limits: LIMITS }, &mut bytes).map(|_| bytes)
}

#[test]
fn files_are_put_looked_at_read_listed_and_removed() {
    let real = Real::new();
    let bucket = client_at(real.engine.address);
    let bytes = Bytes::from(noise("x").repeat(100));
    bucket.put("a/b/c", bytes.clone(), &LIMITS).unwrap();
    let head = bucket.head("a/b/c", &LIMITS).unwrap();
    assert_eq!(head.len, bytes.len() as u64);
    assert!(SystemTime::now().duration_since(head.modified).unwrap_or_default() < Duration::from_secs(60));
    assert_eq!(read(&bucket, "a/b/c", 0, head.len).unwrap(), bytes);
    assert_eq!(read(&bucket, "a/b/c", 1000, head.len - 1000).unwrap(), bytes[1000..]);
    assert!(matches!(read(&bucket, "a/b/c", 0, head.len - 1), Err(BucketError::TooLong)));
    assert!(matches!(read(&bucket, "a/b/d", 0, 1), Err(BucketError::NotFound)));
    assert!(matches!(bucket.head("a/b/d", &LIMITS), Err(BucketError::NotFound)));
    let mut listed = Vec::new();
    bucket.list("a", &mut |path, head| listed.push((path.to_owned(), head.len))).unwrap();
    assert_eq!(listed, [("a/b/c".into(), head.len)]);
    bucket.delete("a/b/c", &LIMITS).unwrap();
    assert!(matches!(bucket.head("a/b/c", &LIMITS), Err(BucketError::NotFound)));
}

#[test]
fn what_one_host_publishes_another_gets_over_the_wire() {
    let real = Real::new();
    let built = real.published("a");
    assert_fetched(&real.remote(Mode::ReadOnly), &built);
    let prefix = Prefix::new("fleet").unwrap();
    let bucket = client_at(real.engine.address);
    let report = collect(&bucket, &prefix, SystemTime::now(), CollectOptions::default()).unwrap();
    assert_eq!((report.kept, report.objects_kept, report.foreign), (1, 2, 0));
    let of = Examination {
        prefix: &prefix,
        namespaces: &[name("main")],
        writes_to: Some(&name("main")),
        number: 7,
        now: SystemTime::now(),
    };
    let checks = examine(&bucket, of);
    assert!(checks.len() == 5 && checks.iter().all(|check| check.outcome != Outcome::Wrong), "{checks:?}");
}

/// That the credentials are wrong the engine itself says; the rest is said as Amazon says it.
#[test]
fn wrong_credentials_and_no_bucket_are_told_once_and_print_no_secret() {
    let real = Real::new();
    let built = real.published("a");
    let answers = [None, Some((404, "NoSuchBucket")), Some((403, "AccessDenied")), Some((301, "301"))];
    for answer in answers {
        let (address, secret) = match answer {
            None => (real.engine.address, "another secret"),
            Some((status, code)) => {
                real.proxy.set(Weather::Refuses(status, code));
                (real.proxy.address, SECRET)
            }
        };
        let bucket = S3Bucket::open_with(&config_at(address), KEY_ID, secret).unwrap();
        let printed = format!("{bucket:?}");
        let remote = Remote::new(bucket, real.fleet.config(Mode::ReadOnly)).unwrap();
        let error = fetch(&remote, &built.key).unwrap_err();
        assert!(matches!(error, TierError::Misconfigured(_)), "{answer:?}: {error:?}");
        assert!(
            error.to_string().contains(answer.map_or("SignatureDoesNotMatch", |(_, code)| code)),
            "{error}"
        );
        let printed = format!("{printed} {error} {error:?} {:?} {remote:?}", remote.status());
        assert!(!printed.contains("secret") && !printed.contains(KEY_ID), "{printed}");
        assert_eq!(fetch(&remote, &built.key), Ok(None));
    }
}

#[test]
fn a_plea_for_patience_is_heard_over_the_wire() {
    let real = Real::new();
    let built = real.published("a");
    for status in [429, 503] {
        real.proxy.set(Weather::Refuses(status, "SlowDown"));
        let remote = real.remote(Mode::ReadOnly);
        assert!(matches!(fetch(&remote, &built.key), Err(TierError::Unreachable(_))));
        assert!(matches!(remote.status().health, Health::Resting(_)), "{status}");
    }
}

#[test]
fn a_silent_engine_costs_fifty_plugins_seconds_in_all() {
    let real = Real::new();
    real.proxy.set(Weather::Silent);
    let remote = real.remote(Mode::ReadOnly);
    let begun = Instant::now();
    for number in 0..50 {
        let key = TierKey::new(SourceDigest::from_bytes([number; 32]), [0; 32]);
        assert!(matches!(remote.entry(&key), Err(TierError::Unreachable(_))));
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(matches!(remote.status().health, Health::Resting(_)));
}

#[test]
fn nobody_who_listens_is_found_out_at_once() {
    let real = Real::new();
    real.proxy.set(Weather::Closed);
    let remote = real.remote(Mode::ReadOnly);
    let begun = Instant::now();
    let key = TierKey::new(SourceDigest::from_bytes([1; 32]), [0; 32]);
    assert!(matches!(remote.entry(&key), Err(TierError::Unreachable(_))));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_broke() {
    let real = Real::new();
    let built = real.published("a");
    for at in [0, 200, 2000, 3200] {
        real.proxy.set(Weather::Fair);
        let remote = real.remote(Mode::ReadOnly);
        // The entry comes over a connection that is fair and is kept: only one of the two downloads makes a new one.
        remote.entry(&built.key).unwrap().unwrap();
        real.proxy.set(Weather::Cut(at, true));
        assert_fetched(&remote, &built);
    }
    assert!(real.proxy.connections.load(Ordering::Relaxed) > 4);
}

#[test]
fn a_download_that_stops_is_given_up_before_the_time_of_its_lookup_is_over() {
    let real = Real::new();
    let built = real.published("a");
    // Beyond the entry.
    real.proxy.set(Weather::Stops(2500));
    let remote = real.remote(Mode::ReadOnly);
    let begun = Instant::now();
    let answer = fetch(&remote, &built.key);
    assert!(matches!(answer, Err(TierError::Unreachable(_))), "{answer:?}");
    // 5 s are there; twice 0.4 s are enough to know.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn delays_are_borne_and_a_trickle_is_not() {
    let real = Real::new();
    let built = real.published("a");
    real.proxy.set(Weather::Delayed(Duration::from_millis(50)));
    assert_fetched(&real.remote(Mode::ReadOnly), &built);
    real.proxy.set(Weather::Throttled(20));
    let remote = real.remote(Mode::ReadOnly);
    let begun = Instant::now();
    let answer = fetch(&remote, &built.key);
    assert!(matches!(answer, Err(TierError::Unreachable(_))), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
}

#[test]
fn an_attacker_with_all_rights_on_the_bucket_gets_not_one_byte_accepted() {
    let real = Real::new();
    let built = real.published("a");
    let mut files = Vec::new();
    client_at(real.engine.address).list("fleet", &mut |path, _| files.push(path.to_owned())).unwrap();
    assert_eq!(files.len(), 3);
    for path in &files {
        let place = real.engine.file(path);
        let right = fs::read(&place).unwrap();
        let mut flipped = right.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        for wrong in [flipped, right[..right.len() - 1].to_vec(), b"\x7fELF evil".to_vec(), Vec::new()] {
            fs::write(&place, wrong).unwrap();
            let answer = fetch(&real.remote(Mode::ReadOnly), &built.key);
            assert!(matches!(answer, Ok(None) | Err(TierError::Wrong(_))), "{path}: {answer:?}");
        }
        fs::write(&place, right).unwrap();
    }
    assert_fetched(&real.remote(Mode::ReadOnly), &built);
}

/// Where tokio's own blocking calls panic.
#[test]
fn a_host_with_a_runtime_of_its_own_may_call_and_drop_it_there() {
    let real = Real::new();
    let built = real.published("a");
    let remote = real.remote(Mode::ReadOnly);
    let host = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    host.block_on(async move {
        tokio::spawn(async move {
            assert_fetched(&remote, &built);
            drop(remote);
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_client_that_may_not_use_http_does_not() {
    let mut config = config_at("127.0.0.1:1".parse().unwrap());
    config.allow_http = false;
    let bucket = S3Bucket::open_with(&config, KEY_ID, SECRET);
    let refused = bucket.and_then(|bucket| bucket.head("x", &LIMITS));
    assert!(refused.is_err());
    let mut config = RemoteConfig::reader(vec![name("main")], plugcache_remote::Trust::nobody());
    config.mode = Mode::Off;
    assert!(Remote::new(client_at("127.0.0.1:1".parse().unwrap()), config).is_ok());
}
