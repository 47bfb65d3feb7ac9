//! A fleet in one process: a developer's machine whose uploads wait in a queue, hosts that build nothing, and somebody with
//! every right on the bucket and no key that anybody trusts.
//!
//! Without arguments the bucket is in memory. `fleet_host BUCKET [ENDPOINT]` takes one that S3 reaches, with the usual
//! environment variables.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use plugcache::{Config, NO_OPTIONS, Sources, Store, Toolchain};
use plugcache_remote::{
    Ask, Bucket, BucketError, Bytes, Head, Limits, MemoryBucket, Mode, Name, Prefix, Publisher, Remote,
    RemoteConfig, S3Bucket, S3Config, SecretKey, SystemClock, Trust,
};

/// One bucket that all machines of this process use.
#[derive(Clone)]
struct Shared(Arc<dyn Bucket>);

impl Bucket for Shared {
    fn get(&self, path: &str, ask: &Ask, into: &mut dyn std::io::Write) -> Result<u64, BucketError> {
        self.0.get(path, ask, into)
    }
    fn put(&self, path: &str, bytes: Bytes, limits: &Limits) -> Result<(), BucketError> {
        self.0.put(path, bytes, limits)
    }
    fn head(&self, path: &str, limits: &Limits) -> Result<Head, BucketError> {
        self.0.head(path, limits)
    }
}

struct Fleet<'a> {
    bucket: Shared,
    namespace: Name,
    trust: Trust,
    prefix: Prefix,
    dir: &'a Path,
}

impl Fleet<'_> {
    fn remote(&self, machine: &str, mode: Mode, key: Option<SecretKey>) -> Result<Remote> {
        let mut config = RemoteConfig::reader(vec![self.namespace.clone()], self.trust.clone());
        config.mode = mode;
        config.prefix = self.prefix.clone();
        config.queue = Some(self.dir.join(machine).join("queue"));
        config.publisher =
            key.map(|key| Publisher { namespace: self.namespace.clone(), key, builder: machine.into() });
        Ok(Remote::new(self.bucket.clone(), config)?)
    }

    fn store(&self, machine: &str, remote: &Remote) -> Result<Store> {
        Ok(Store::open_with_tier(Config::new(self.dir.join(machine).join("store")), remote.clone())?)
    }
}

/// A plugin as a machine compiles it, if it has to.
fn plugin(machine: &str, store: &Store, name: &str) -> Result<()> {
    let compiler = Toolchain::of_value("compiler", "1");
    let sources = Sources::new("fleet_host/1", &compiler, NO_OPTIONS).bytes(name, name).digest()?;
    let got = store.get_or_build(&sources, |build| build.write("plugin", name.repeat(10_000)))?;
    println!("{machine:<10} {name}: {}", got.how);
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let bucket: Arc<dyn Bucket> = match arguments.first() {
        None => Arc::new(MemoryBucket::new(Arc::new(SystemClock::default()))),
        Some(bucket) => {
            let mut config = S3Config::new(bucket);
            config.endpoint = arguments.get(1).cloned();
            config.allow_http = arguments.get(1).is_some_and(|endpoint| endpoint.starts_with("http://"));
            Arc::new(S3Bucket::open(&config)?)
        }
    };
    let dir = tempfile::tempdir()?;
    let key = SecretKey::random()?;
    let namespace: Name = "main".parse()?;
    let trust = Trust::nobody().and(&namespace, key.public());
    // A new place each time: what an earlier run left was signed with a key that is gone.
    let prefix = Prefix::new(&format!("fleet-host/{}", key.id()))?;
    let fleet = Fleet { bucket: Shared(bucket), namespace, trust, prefix, dir: dir.path() };

    let attacker = fleet.remote("attacker", Mode::WriteThrough, Some(SecretKey::random()?))?;
    plugin("attacker", &fleet.store("attacker", &attacker)?, "left")?;

    let developer = fleet.remote("developer", Mode::ReadWrite, Some(key))?;
    let store = fleet.store("developer", &developer)?;
    for name in ["left", "right"] {
        plugin("developer", &store, name)?;
    }
    println!("waiting: {}", developer.flush(Duration::from_secs(60)));

    for machine in ["host 1", "host 2"] {
        let remote = fleet.remote(machine, Mode::ReadOnly, None)?;
        let store = fleet.store(machine, &remote)?;
        for name in ["left", "right", "left"] {
            plugin(machine, &store, name)?;
        }
    }
    let refused = developer.status().counts.refused_unknown_key;
    println!("entries of strangers refused: {refused}");
    Ok(())
}
