//! A small fleet that is real: stores in directories, clients that sign and prove, a bucket for each site that counts what
//! it is asked. It takes the same events as the model in `examples/fleet_simulation`.

use std::{
    collections::HashSet,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use plugcache::{
    Artifact, Config, Fetched, Got, How, NO_OPTIONS, Parcel, Sink, Sources, Store, Tier, TierError, TierKey,
    Toolchain,
};
use plugcache_remote::{
    Ask, Bucket, BucketError, BundleError, Bytes, Clock as _, CollectOptions, Head, Limits, ManualClock,
    MemoryBucket, Mode, Remote, collect,
};

use crate::{
    common::*,
    simulated::{Counts, DAY as MODEL_DAY, Lacking, Object, Settings, Version, Writers},
};

/// A bucket in memory that counts as the model does.
#[derive(Clone)]
pub struct Counting {
    memory: MemoryBucket,
    counts: Arc<Mutex<Counts>>,
}

impl Counting {
    /// Counts a call by what its path leads to; `Ok` is how many bytes there were.
    fn count(&self, answer: Result<u64, ()>, of: [fn(&mut Counts) -> &mut u64; 2], is_down: bool) {
        let mut counts = self.counts.lock().unwrap();
        let [there, absent] = of;
        match answer {
            Ok(bytes) => {
                *there(&mut counts) += 1;
                *(if is_down { &mut counts.bytes_down } else { &mut counts.bytes_up }) += bytes;
            }
            Err(()) => *absent(&mut counts) += 1,
        }
    }
}

/// One of three, by the kind of a path.
fn by_kind<T>(path: &str, entry: T, object: T, bundle: T) -> T {
    match path {
        _ if path.contains("/cas/") => object,
        _ if path.contains("/ac/") => entry,
        _ if path.contains("/bundle/") => bundle,
        _ => panic!("nobody asks for {path}"),
    }
}

impl Bucket for Counting {
    fn get(&self, path: &str, ask: &Ask, into: &mut dyn Write) -> Result<u64, BucketError> {
        let answer = self.memory.get(path, ask, into);
        let of: [fn(&mut Counts) -> &mut u64; 2] = by_kind(
            path,
            [|counts| &mut counts.get_entry, |counts| &mut counts.get_entry_absent],
            [|counts| &mut counts.get_object, |counts| &mut counts.get_object_absent],
            [|counts| &mut counts.get_bundle, |counts| &mut counts.get_bundle_absent],
        );
        self.count(answer.as_ref().map(|len| *len).map_err(drop), of, true);
        answer
    }

    fn put(&self, path: &str, bytes: Bytes, limits: &Limits) -> Result<(), BucketError> {
        let of: fn(&mut Counts) -> &mut u64 = by_kind(
            path,
            |counts| &mut counts.put_entry,
            |counts| &mut counts.put_object,
            |counts| &mut counts.put_bundle,
        );
        self.count(Ok(bytes.len() as u64), [of, of], false);
        self.memory.put(path, bytes, limits)
    }

    fn head(&self, path: &str, limits: &Limits) -> Result<Head, BucketError> {
        assert!(path.contains("/cas/"), "nobody looks at {path}");
        let answer = self.memory.head(path, limits);
        let of: [fn(&mut Counts) -> &mut u64; 2] =
            [|counts| &mut counts.head_object, |counts| &mut counts.head_object_absent];
        self.count(answer.as_ref().map(|_| 0).map_err(drop), of, true);
        answer
    }
}

/// A tier whose store does not tell of uses: a store goes by the days of the system's clock, the fleet by its own.
struct ByOwnDays(Remote);

impl Tier for ByOwnDays {
    fn entry(&self, key: &TierKey) -> Result<Option<Parcel>, TierError> {
        self.0.entry(key)
    }
    fn objects(&self, key: &TierKey, wanted: &mut [Sink<'_>]) -> Result<(), TierError> {
        self.0.objects(key, wanted)
    }
    fn offer(&self, key: &TierKey, parcel: &Parcel, artifact: &Artifact) {
        self.0.offer(key, parcel, artifact);
    }
}

#[derive(Clone, Default)]
struct Machine {
    has: usize,
    day: u64,
}

/// A process of a host that waits for what nobody has built.
struct Waiting {
    at: u64,
    machine: u32,
    release: usize,
    next: usize,
    store: Store,
    remote: Remote,
}

/// The fleet.
pub struct RealFleet {
    settings: Settings,
    fleet: Fleet,
    buckets: Vec<Counting>,
    machines: Vec<Machine>,
    /// Of each release, from 1: what each plugin is.
    releases: Vec<Vec<String>>,
    waiting: Vec<Waiting>,
    own: Counts,
    /// Whom artifacts are for, once it is known.
    exec: Option<[u8; 32]>,
    /// Since the fleet began.
    now: u64,
}

impl RealFleet {
    pub fn new(settings: Settings) -> RealFleet {
        let fleet = Fleet::new();
        let bucket = |_| Counting { memory: MemoryBucket::new(fleet.clock.clone()), counts: Arc::default() };
        let buckets = (0..settings.sites).map(bucket).collect();
        let publishers = if settings.writers == Writers::Publishers { settings.sites } else { 0 };
        let machines = vec![Machine::default(); (settings.machines + publishers) as usize];
        let releases = vec![Vec::new()];
        let (own, waiting) = (Counts::default(), Vec::new());
        RealFleet { settings, fleet, buckets, machines, releases, waiting, own, exec: None, now: 0 }
    }

    pub fn counts(&self) -> Counts {
        let mut counts = self.own;
        self.buckets.iter().for_each(|bucket| counts += *bucket.counts.lock().unwrap());
        counts
    }

    pub fn stored(&self, site: u32) -> (u64, u64) {
        let memory = &self.buckets[site as usize].memory;
        let files: Vec<_> =
            memory.paths().iter().map(|path| memory.file(path).unwrap().len() as u64).collect();
        (files.len() as u64, files.iter().sum())
    }

    pub fn release(&mut self, changed: &[u16]) {
        let number = self.releases.len();
        let mut release = self.releases[number - 1].clone();
        release.resize(self.settings.plugins.into(), String::new());
        changed.iter().for_each(|plugin| release[usize::from(*plugin)] = what_of(*plugin, number));
        self.releases.push(release);
    }

    pub fn wipe(&mut self, machine: u32) {
        self.machines[machine as usize] = Machine::default();
        let _ = std::fs::remove_dir_all(self.dir(machine));
    }

    pub fn collect(&mut self) {
        for bucket in &self.buckets {
            let prefix = plugcache_remote::Prefix::new("fleet").unwrap();
            collect(&bucket.memory, &prefix, self.fleet.clock.wall(), CollectOptions::default()).unwrap();
        }
    }

    /// Time goes on, and with it what waits.
    pub fn run_until(&mut self, now: u64) {
        while let Some(first) = self.waiting.iter().map(|waiting| waiting.at).filter(|at| *at <= now).min() {
            self.advance_to(first);
            let at = self.waiting.iter().position(|waiting| waiting.at == first).unwrap();
            let waiting = self.waiting.remove(at);
            self.load_or_wait(waiting);
        }
        self.advance_to(now);
    }

    fn advance_to(&mut self, now: u64) {
        self.fleet.clock.advance(Duration::from_millis(now - self.now));
        self.now = now;
    }

    /// The clock, for builds that take time.
    pub fn clock(&self) -> Arc<ManualClock> {
        self.fleet.clock.clone()
    }

    fn dir(&self, machine: u32) -> PathBuf {
        self.fleet.dir.path().join(format!("machine{machine}"))
    }

    fn is_publisher(&self, machine: u32) -> bool {
        machine >= self.settings.machines
    }

    /// A process of this machine.
    pub fn process(&self, machine: u32) -> (Store, Remote) {
        let mode = match self.settings.writers {
            Writers::Nobody => Mode::Off,
            Writers::Publishers if self.is_publisher(machine) => Mode::WriteThrough,
            Writers::Publishers => Mode::ReadOnly,
            Writers::Everybody => Mode::ReadWrite,
        };
        let site = if self.is_publisher(machine) { machine - self.settings.machines } else { machine };
        let bucket = self.buckets[(site % self.settings.sites) as usize].clone();
        let mut config = self.fleet.config(mode);
        config.queue = Some(self.dir(machine).join("queue"));
        let remote = Remote::with_clock(bucket, config, self.fleet.clock.clone()).unwrap();
        let store = Config::builder(self.dir(machine).join("store")).max_files(self.settings.room.into());
        (Store::open_with_tier(store.build(), ByOwnDays(remote.clone())).unwrap(), remote)
    }

    /// A host starts, and needs every plugin of the newest release. Building takes no time.
    pub fn start(&mut self, machine: u32) {
        self.own.starts += 1;
        let release = self.releases.len() - 1;
        let (had, today) = (self.machines[machine as usize].has, self.now / MODEL_DAY + 1);
        let is_first_of_day = self.machines[machine as usize].day != today;
        self.machines[machine as usize].day = today;
        let (store, remote) = self.process(machine);
        if !self.is_publisher(machine) && self.settings.lacking != Lacking::Builds {
            let at = self.now;
            return self.load_or_wait(Waiting { at, machine, release, next: 0, store, remote });
        }
        let pulled = Mutex::new(HashSet::new());
        if self.settings.bundle && had != release && !self.is_publisher(machine) {
            let fetch = |key: &TierKey| {
                let fetched = matches!(store.fetch(key), Ok(Fetched::Now));
                fetched && pulled.lock().unwrap().insert(*key)
            };
            // That there is none is counted by the bucket.
            let _ = remote.pull(&bundle_name(release), fetch);
        }
        let pulled = pulled.into_inner().unwrap();
        let mut keys = Vec::new();
        for what in self.releases[release].clone() {
            let got = build(&store, &what, || ());
            let key = got.artifact.tier_key().unwrap();
            self.exec = Some(key.exec);
            keys.push(key);
            match got.how {
                How::Fetched => self.own.fetched += 1,
                How::Hit if pulled.contains(&key) => self.own.fetched += 1,
                How::Hit => {
                    self.own.local += 1;
                    if is_first_of_day {
                        used(&store, &remote, &key);
                    }
                }
                _ => self.own.built += 1,
            }
            drop(got.artifact);
            if self.settings.room < self.settings.plugins.into() {
                forget_what_was_dropped(&store, &self.dir(machine).join("store"));
            }
        }
        assert_eq!(remote.flush(Duration::from_secs(60)), 0);
        let counts = remote.status().counts;
        self.own.renewed += counts.renewed;
        self.own.absent_remembered += counts.absent_remembered;
        assert_eq!((counts.failures, counts.unanswered, counts.not_published), (0, 0, 0));
        self.machines[machine as usize].has = release;
        if self.is_publisher(machine) && self.settings.bundle && counts.published > 0 {
            match remote.publish_bundle(&bundle_name(release), &keys) {
                // What it has itself and lost in the bucket is not brought again.
                Ok(()) | Err(BundleError::NoEntry { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// What a host does that cannot build: asks for each plugin until it is there.
    fn load_or_wait(&mut self, mut waiting: Waiting) {
        let Lacking::Waits(pause) = self.settings.lacking else { panic!("it builds") };
        // Without a tier: whether it is here.
        let local = Store::open(Config::new(self.dir(waiting.machine).join("store"))).unwrap();
        while let Some(what) = self.releases[waiting.release].get(waiting.next) {
            let sources = sources_of(what);
            let key = TierKey::new(sources.digest(), self.exec.expect("a publisher has built before"));
            if local.find(&sources).is_some() {
                self.own.local += 1;
            } else {
                let before = waiting.remote.status().counts.absent_remembered;
                let fetched = waiting.store.fetch(&key).unwrap();
                self.own.absent_remembered += waiting.remote.status().counts.absent_remembered - before;
                if fetched == Fetched::Nothing {
                    return self.waiting.push(Waiting { at: self.now + pause, ..waiting });
                }
                self.own.fetched += 1;
            }
            waiting.next += 1;
        }
        self.machines[waiting.machine as usize].has = waiting.release;
    }

    /// The newest release's plugin of this number.
    pub fn what(&self, plugin: usize) -> &str {
        &self.releases.last().unwrap()[plugin]
    }
}

fn bundle_name(release: usize) -> plugcache_remote::Name {
    name(&format!("r{release:03}"))
}

fn what_of(plugin: u16, release: usize) -> String {
    format!("plugin {plugin:02} of {release:02}")
}

fn sources_of(what: &str) -> Sources {
    let tool = Toolchain::of_value("tool", "1");
    Sources::new("test/1", &tool, NO_OPTIONS).bytes("what", what).digest().unwrap()
}

/// What the plugin is after the build: one output that packs well, and one that does not.
pub fn build(store: &Store, what: &str, during: impl Fn()) -> Got {
    let got = store.get_or_build(&sources_of(what), |build| {
        during();
        build.write("large", large(what))?;
        build.write("noise", noise(what))
    });
    got.unwrap()
}

/// Tells the client what a store tells it on the first use of a day.
fn used(store: &Store, remote: &Remote, key: &TierKey) {
    let entry = store.entries().find(|entry| entry.tier_key() == *key).unwrap();
    let (_, parcel, artifact) = store.parcel(&entry).unwrap();
    remote.used(key, &parcel, &artifact);
}

/// Removes the objects of dropped entries: those younger than a quarter of an hour, by the system's clock, a store keeps.
/// The fleet's hours go by faster.
fn forget_what_was_dropped(store: &Store, dir: &Path) {
    let parcels = store.entries().filter_map(|entry| store.parcel(&entry));
    let named: HashSet<_> =
        parcels.flat_map(|(_, parcel, _)| parcel.objects).map(|object| object.digest.to_string()).collect();
    let fans = std::fs::read_dir(dir.join("v1/objects")).unwrap().map(|fan| fan.unwrap().path());
    for object in fans.flat_map(|fan| std::fs::read_dir(fan).unwrap()).map(|object| object.unwrap().path()) {
        let digest = object.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned()
            + &object.file_name().unwrap().to_string_lossy();
        if !named.contains(&digest) {
            std::fs::remove_file(object).unwrap();
        }
    }
}

/// What the model must know of a plugin: computed, and not looked up in any bucket. All entries have the same length, which
/// is that of the first one of another fleet.
pub fn version_of(plugin: u16, release: usize, entry: u64) -> Version {
    let what = what_of(plugin, release);
    let packed = zstd::bulk::compress(&large(&what), 3).unwrap();
    let objects = vec![
        Object { stored: packed.len() as u64, packed: true },
        Object { stored: noise(&what).len() as u64, packed: false },
    ];
    Version { entry, objects }
}

/// The length of an entry of this fleet's plugins.
pub fn entry_bytes(settings: &Settings) -> u64 {
    let alone =
        Settings { machines: 1, sites: 1, plugins: 1, writers: Writers::Everybody, ..settings.clone() };
    let mut fleet = RealFleet::new(Settings { bundle: false, lacking: Lacking::Builds, ..alone });
    fleet.release(&[0]);
    fleet.start(0);
    let memory = &fleet.buckets[0].memory;
    let path = memory.paths().into_iter().find(|path| path.contains("/ac/")).unwrap();
    memory.file(&path).unwrap().len() as u64
}
