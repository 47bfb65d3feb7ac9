//! An engine of several nodes, some of which are gone: hosts ask the next one, and lose nothing.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use plugcache::{Tier as _, TierError};
use plugcache_remote::{Health, Mode, Remote, S3Bucket};

use crate::{
    common::*,
    engine::{Engine, KEY_ID, SECRET, client_at, config_at},
    proxy::{Proxy, Weather},
};

/// A bucket that three nodes serve, each behind a network of its own.
struct Nodes {
    fleet: Fleet,
    engine: Engine,
    proxies: [Proxy; 3],
}

impl Nodes {
    fn new() -> Nodes {
        let fleet = Fleet::new();
        let engine = Engine::start(fleet.dir.path());
        let proxies = [(); 3].map(|()| Proxy::before(engine.address));
        Nodes { fleet, engine, proxies }
    }

    fn remote(&self, mode: Mode) -> Remote {
        let mut at = config_at(self.engine.address);
        let endpoints = self.proxies.each_ref().map(|proxy| format!("http://{}", proxy.address));
        at.endpoint = Some(endpoints.join(", "));
        let mut config = self.fleet.config(mode);
        config.deadlines.first_byte = Duration::from_millis(400);
        config.deadlines.stall = Duration::from_millis(400);
        config.deadlines.lookup_min = Duration::from_secs(5);
        Remote::new(S3Bucket::open_with(&at, KEY_ID, SECRET).unwrap(), config).unwrap()
    }

    fn published(&self, what: &str) -> Built {
        let built = self.fleet.built(what);
        let writer = self.fleet.config(Mode::WriteThrough);
        let remote = Remote::new(client_at(self.engine.address), writer).unwrap();
        remote.offer(&built.key, &built.parcel, &built.artifact);
        assert_eq!(remote.status().counts.published, 1, "{:?}", remote.status());
        built
    }

    fn connections(&self) -> [usize; 3] {
        self.proxies.each_ref().map(|proxy| proxy.connections.load(Ordering::Relaxed))
    }
}

#[test]
fn a_host_whose_node_is_gone_asks_the_next_and_stays_with_it() {
    for weather in [Weather::Closed, Weather::Silent, Weather::Refuses(503, "ServiceUnavailable")] {
        let nodes = Nodes::new();
        let builds: Vec<_> = (0..3).map(|number| nodes.published(&format!("plugin {number}"))).collect();
        nodes.proxies[0].set(weather);
        let remote = nodes.remote(Mode::ReadOnly);
        let begun = Instant::now();
        for built in &builds {
            assert_fetched(&remote, built);
        }
        assert!(begun.elapsed() < Duration::from_secs(4), "{weather:?}: {:?}", begun.elapsed());
        let connections = nodes.connections();
        assert!(
            connections[0] == 1 && connections[1] > 0 && connections[2] == 0,
            "{weather:?}: {connections:?}"
        );
        let status = remote.status();
        assert_eq!((status.health, status.counts.failures), (Health::Up, 0), "{weather:?}");
    }
}

#[test]
fn a_publisher_whose_node_is_gone_brings_everything_to_the_next() {
    for weather in [Weather::Closed, Weather::Refuses(503, "ServiceUnavailable")] {
        let nodes = Nodes::new();
        nodes.proxies[0].set(weather);
        let (remote, built) = (nodes.remote(Mode::WriteThrough), nodes.fleet.built("a"));
        remote.offer(&built.key, &built.parcel, &built.artifact);
        let counts = remote.status().counts;
        assert_eq!((counts.published, counts.not_published, counts.failures), (1, 0, 0), "{weather:?}");
        assert_fetched(&nodes.remote(Mode::ReadOnly), &built);
    }
}

/// In the entry, or in an object that comes over the same connection.
#[test]
fn a_download_that_breaks_off_at_one_node_goes_on_at_the_next() {
    for at in [0, 200, 1600, 2500, 4000] {
        let nodes = Nodes::new();
        let built = nodes.published("a");
        nodes.proxies[0].set(Weather::Cut(at, false));
        assert_fetched(&nodes.remote(Mode::ReadOnly), &built);
        assert!(nodes.connections()[1] > 0, "{at}");
    }
}

#[test]
fn nodes_that_are_all_gone_are_an_engine_that_is_gone() {
    let nodes = Nodes::new();
    let built = nodes.published("a");
    nodes.proxies.iter().for_each(|proxy| proxy.set(Weather::Closed));
    let remote = nodes.remote(Mode::ReadOnly);
    for _ in 0..3 {
        assert!(matches!(fetch(&remote, &built.key), Err(TierError::Unreachable(_))));
    }
    assert!(matches!(remote.status().health, Health::Resting(_)));
    // Two calls, each asking all, and the third, after which nobody asks any more.
    assert_eq!(nodes.connections(), [3; 3]);
}
