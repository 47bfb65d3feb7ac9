//! A fleet in memory: a signer, readers, a clock that is turned by hand, and a bucket that fails as it is told.

use std::{
    io::Write,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use plugcache::{
    Artifact, Config, NO_OPTIONS, Parcel, ParcelObject, Sink, SourceDigest, Sources, Store, Tier, TierError,
    TierKey, Toolchain,
};
use plugcache_remote::{
    Ask, Bucket, BucketError, Bytes, Clock, Head, Keeper, Limits, ManualClock, MemoryBucket, Mode, Name,
    Prefix, Publisher, Remote, RemoteConfig, SecretKey, Trust,
};

pub const SECOND: Duration = Duration::from_secs(1);
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// What is wrong between the client and the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// One bit of the body, at this byte (of its length, modulo).
    Flip(usize),
    /// The body ends here, and nobody says that this is not its end.
    Short(usize),
    /// The connection breaks here, every time.
    Breaks(usize),
    /// The connection breaks here, the first time.
    BreaksOnce(usize),
    /// More than there is.
    Longer,
    /// The body of another file.
    Swapped(String),
    /// It takes the request and says nothing.
    Silent,
    /// It answers after this time.
    Slow(Duration),
    /// A byte in a second.
    Drip,
    /// 429, 503.
    SlowDown(u16),
    /// 403.
    Denied,
    NoBucket,
    /// Nobody listens.
    Dead,
}

/// A bucket in memory, a fault before it, and what was asked of it.
#[derive(Clone)]
pub struct Faulty {
    pub memory: MemoryBucket,
    clock: Arc<ManualClock>,
    fault: Arc<Mutex<(Fault, String)>>,
    pub calls: Arc<Mutex<Vec<String>>>,
}

impl Faulty {
    fn new(clock: Arc<ManualClock>) -> Faulty {
        let memory = MemoryBucket::new(clock.clone());
        Faulty {
            memory,
            clock,
            fault: Arc::new(Mutex::new((Fault::None, String::new()))),
            calls: Arc::default(),
        }
    }

    /// From now on, for paths with this in them.
    pub fn set(&self, fault: Fault, within: &str) {
        *self.fault.lock().unwrap() = (fault, within.into());
    }

    /// What was asked since the last time.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    /// The fault on this path; those that fail whatever is asked have done so.
    fn meet(&self, verb: &str, path: &str, limits: &Limits) -> Result<Fault, BucketError> {
        self.calls.lock().unwrap().push(format!("{verb} {path}"));
        let mut fault = self.fault.lock().unwrap();
        if !path.contains(&fault.1) {
            return Ok(Fault::None);
        }
        match fault.0.clone() {
            Fault::Silent => {
                self.clock.advance(limits.first_byte.min(limits.total));
                Err(BucketError::TooSlow("no first byte in time"))
            }
            Fault::Slow(time) => {
                self.clock.advance(time);
                Ok(Fault::None)
            }
            Fault::SlowDown(status) => Err(BucketError::SlowDown(status)),
            Fault::Denied => Err(BucketError::Misconfigured("the credentials may not do this (403)".into())),
            Fault::NoBucket => Err(BucketError::Misconfigured("there is no such bucket (404)".into())),
            Fault::Dead => Err(BucketError::Unreachable("it refuses connections".into())),
            Fault::BreaksOnce(at) => {
                fault.0 = Fault::None;
                Ok(Fault::Breaks(at))
            }
            other => Ok(other),
        }
    }
}

impl Bucket for Faulty {
    fn get(&self, path: &str, ask: &Ask, into: &mut dyn Write) -> Result<u64, BucketError> {
        let fault = self.meet("get", path, &ask.limits)?;
        let from = match &fault {
            Fault::Swapped(other) => other,
            _ => path,
        };
        let mut bytes = self.memory.file(from).ok_or(BucketError::NotFound)?.to_vec();
        bytes.drain(..usize::try_from(ask.from).unwrap().min(bytes.len()));
        let mut end = Ok(());
        match fault {
            Fault::Flip(at) if !bytes.is_empty() => {
                let at = at % bytes.len();
                bytes[at] ^= 0x10;
            }
            Fault::Short(at) => bytes.truncate(at),
            Fault::Breaks(at) => {
                bytes.truncate(at);
                end = Err(BucketError::Unreachable("the answer broke off".into()));
            }
            Fault::Longer => bytes.extend(b"and more"),
            Fault::Drip => {
                // As many as there are seconds; the wait between two is below what counts as a stall.
                let seconds = ask.limits.total.as_secs();
                self.clock.advance(ask.limits.total);
                bytes.truncate(usize::try_from(seconds).unwrap());
                end = Err(BucketError::OutOfTime);
            }
            _ => {}
        }
        // In pieces, as a network does, and without looking at the length first, as a liar's header allows.
        let mut len = 0;
        for piece in bytes.chunks(1000) {
            len += piece.len() as u64;
            if len > ask.len_max {
                return Err(BucketError::TooLong);
            }
            into.write_all(piece).map_err(BucketError::Sink)?;
        }
        end.map(|()| len)
    }

    fn put(&self, path: &str, bytes: Bytes, limits: &Limits) -> Result<(), BucketError> {
        self.meet("put", path, limits)?;
        self.memory.put(path, bytes, limits)
    }

    fn head(&self, path: &str, limits: &Limits) -> Result<Head, BucketError> {
        self.meet("head", path, limits)?;
        self.memory.head(path, limits)
    }
}

impl Keeper for Faulty {
    fn list(&self, below: &str, each: &mut dyn FnMut(&str, Head)) -> Result<(), BucketError> {
        let limits = Limits { first_byte: SECOND, stall: SECOND, total: SECOND };
        self.meet("list", below, &limits)?;
        self.memory.list(below, each)
    }

    fn delete(&self, path: &str, limits: &Limits) -> Result<(), BucketError> {
        self.meet("delete", path, limits)?;
        self.memory.delete(path, limits)
    }
}

/// All that the tests share.
pub struct Fleet {
    pub clock: Arc<ManualClock>,
    pub bucket: Faulty,
    pub signer: SecretKey,
    pub trust: Trust,
    pub dir: tempfile::TempDir,
    store: Store,
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub fn wall() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

impl Fleet {
    pub fn new() -> Fleet {
        // A store makes some hundred directories: in memory, where there is such a place, nobody waits for a disk.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let dir = dir.unwrap();
        Fleet::at(dir)
    }

    /// In a directory that is there.
    pub fn at(dir: tempfile::TempDir) -> Fleet {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let signer = SecretKey::random().unwrap();
        let trust = Trust::nobody().and(&name("main"), signer.public());
        let clock = Arc::new(ManualClock::at(wall()));
        let bucket = Faulty::new(clock.clone());
        let store = Store::open(Config::new(dir.path().join("store"))).unwrap();
        Fleet { clock, bucket, signer, trust, dir, store }
    }

    pub fn publisher(&self) -> Publisher {
        Publisher { namespace: name("main"), key: self.signer.clone(), builder: "ci-7".into() }
    }

    pub fn config(&self, mode: Mode) -> RemoteConfig {
        let mut config = RemoteConfig::reader(vec![name("main")], self.trust.clone());
        config.mode = mode;
        config.prefix = Prefix::new("fleet").unwrap();
        if matches!(mode, Mode::ReadWrite | Mode::WriteThrough) {
            config.publisher = Some(self.publisher());
            config.queue = Some(self.dir.path().join("queue"));
        }
        config
    }

    pub fn remote(&self, mode: Mode) -> Remote {
        self.remote_of(self.config(mode))
    }

    pub fn remote_of(&self, config: RemoteConfig) -> Remote {
        Remote::with_clock(self.bucket.clone(), config, self.clock.clone()).unwrap()
    }

    pub fn reader(&self) -> Remote {
        self.remote(Mode::ReadOnly)
    }

    /// A build with one large output, which is packed well, and a small one.
    pub fn built(&self, what: &str) -> Built {
        built_in(&self.store, what)
    }

    /// Builds it and publishes it.
    pub fn published(&self, what: &str) -> Built {
        let built = self.built(what);
        self.remote(Mode::WriteThrough).offer(&built.key, &built.parcel, &built.artifact);
        self.bucket.calls();
        built
    }

    pub fn entry_path(&self) -> String {
        let paths = self.bucket.memory.paths();
        paths.into_iter().find(|path| path.contains("/ac/")).unwrap()
    }

    pub fn object_paths(&self) -> Vec<String> {
        let paths = self.bucket.memory.paths();
        paths.into_iter().filter(|path| path.contains("/cas/")).collect()
    }
}

/// What a build left.
#[derive(Clone)]
pub struct Built {
    pub key: TierKey,
    pub parcel: Parcel,
    pub artifact: Artifact,
    pub bytes: Vec<Vec<u8>>,
}

pub fn large(what: &str) -> Vec<u8> {
    (0..2000_u32).flat_map(|line| format!("{what} {} {}\n", line * line, line % 7).into_bytes()).collect()
}

/// What zstd makes no shorter.
pub fn noise(what: &str) -> Vec<u8> {
    let mut bytes = vec![0; 3000];
    blake3::Hasher::new().update(what.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

pub fn built_in(store: &Store, what: &str) -> Built {
    let tool = Toolchain::of_value("tool", "1");
    let sources = Sources::new("test/1", &tool, NO_OPTIONS).bytes("what", what).digest().unwrap();
    let got = store.get_or_build(&sources, |build| {
        build.write("large", large(what))?;
        build.write("noise", noise(what))
    });
    let artifact = got.unwrap().artifact;
    let objects =
        artifact.outputs().map(|output| ParcelObject { digest: output.digest(), len: output.len() });
    let parcel = Parcel {
        entry: format!("entry of {what}").into_bytes(),
        objects: objects.collect(),
        cost: 20 * SECOND,
        label: what.into(),
    };
    let source = SourceDigest::from_bytes(*blake3::hash(what.as_bytes()).as_bytes());
    let key = TierKey::new(source, [9; 32]);
    Built { key, parcel, artifact, bytes: vec![large(what), noise(what)] }
}

/// A parcel, and the bytes of its objects.
pub type Came = (Parcel, Vec<Vec<u8>>);

/// What a store does on a miss: the entry, then its objects; all the bytes that came, if they are right.
pub fn fetch(remote: &Remote, key: &TierKey) -> Result<Option<Came>, TierError> {
    let Some(parcel) = remote.entry(key)? else { return Ok(None) };
    let mut bytes = vec![Vec::new(); parcel.objects.len()];
    let sinks = parcel.objects.iter().zip(&mut bytes).map(|(object, bytes)| Sink::new(*object, bytes));
    let mut sinks: Vec<_> = sinks.collect();
    remote.objects(key, &mut sinks)?;
    drop(sinks);
    for (object, bytes) in parcel.objects.iter().zip(&bytes) {
        assert_eq!(*blake3::hash(bytes).as_bytes(), *object.digest.as_bytes(), "wrong bytes and no error");
    }
    Ok(Some((parcel, bytes)))
}

#[track_caller]
pub fn assert_fetched(remote: &Remote, built: &Built) {
    let (parcel, bytes) = fetch(remote, &built.key).unwrap().expect("it is there");
    assert_eq!((parcel, bytes), (built.parcel.clone(), built.bytes.clone()));
}

/// How long it took by the fleet's clock.
pub fn timed<T>(clock: &ManualClock, work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = clock.now();
    let value = work();
    (value, clock.now() - begun)
}

pub fn files_below(dir: &Path) -> usize {
    std::fs::read_dir(dir).map_or(0, |entries| entries.count())
}

/// Flips a bit of each output where it lies in the store.
pub fn damage(built: &Built) {
    use std::os::unix::fs::PermissionsExt as _;
    for output in built.artifact.outputs() {
        let mut bytes = output.read().unwrap();
        bytes[0] ^= 1;
        std::fs::set_permissions(output.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::write(output.path(), bytes).unwrap();
    }
}
