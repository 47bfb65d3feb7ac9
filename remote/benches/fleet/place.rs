//! Who publishes, where it lies, and machines that begin with an empty disk.

use std::{net::SocketAddr, time::Duration};

use plugcache::{Config, Fetched, How, NO_OPTIONS, Sources, Store, TierKey, Toolchain};
use plugcache_remote::{Deadlines, Mode, Name, Publisher, Remote, RemoteConfig, SecretKey, Trust};

use crate::{engine::client_at, far::Far};

/// What the bytes of a plugin are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Those of a real program: pieces of this one.
    Program,
    /// What zstd makes no shorter.
    Noise,
}

/// Plugins that were published together, with a bundle.
pub struct Published {
    pub sources: Vec<Sources>,
    pub keys: Vec<TierKey>,
    pub bundle: Name,
}

pub struct Place {
    pub dir: tempfile::TempDir,
    pub far: Far,
    signer: SecretKey,
    program: Vec<u8>,
}

fn main_namespace() -> Name {
    "main".parse().unwrap()
}

impl Place {
    pub fn new() -> Place {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let far = Far::start(dir.path());
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        Place { dir, far, signer: SecretKey::random().unwrap(), program }
    }

    fn trust(&self) -> Trust {
        Trust::nobody().and(&main_namespace(), self.signer.public())
    }

    /// It waits for as long as it has to: builds of nothing would else be preferred to a bucket that is far away, or to a
    /// machine that does something else for a second.
    fn config(&self) -> RemoteConfig {
        let mut config = RemoteConfig::reader(vec![main_namespace()], self.trust());
        let long = Duration::from_secs(60);
        config.deadlines = Deadlines { first_byte: long, stall: long, lookup_max: long, lookup_min: long };
        config
    }

    /// Bytes of one plugin.
    fn bytes(&self, kind: Kind, len: usize, number: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let head = format!("{kind:?} {len} {number}");
        match kind {
            Kind::Noise => {
                let mut hasher = blake3::Hasher::new();
                hasher.update(head.as_bytes()).finalize_xof().fill(&mut bytes);
            }
            Kind::Program => {
                // Another place of the program for each, so that no two are the same.
                let from = number * 100_003 % self.program.len();
                let endless = self.program.iter().cycle().skip(from);
                bytes.iter_mut().zip(endless).for_each(|(byte, of)| *byte = *of);
                bytes[..head.len().min(len)].copy_from_slice(&head.as_bytes()[..head.len().min(len)]);
            }
        }
        bytes
    }

    /// Builds and publishes so many plugins of this length.
    pub fn publish(&self, kind: Kind, len: usize, count: usize) -> Published {
        let mut config = self.config();
        config.mode = Mode::WriteThrough;
        let (namespace, key) = (main_namespace(), self.signer.clone());
        config.publisher = Some(Publisher { namespace, key, builder: "bench".into() });
        let remote = Remote::new(client_at(self.far.addresses[0]), config).unwrap();
        let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
        let store = Store::open_with_tier(Config::new(dir.path().join("store")), remote.clone()).unwrap();
        let tool = Toolchain::of_value("bench", "1");
        let (mut sources, mut keys) = (Vec::new(), Vec::new());
        for number in 0..count {
            let what = format!("{kind:?} {len} {number}");
            let of = Sources::new("bench/1", &tool, NO_OPTIONS).bytes("what", &what).digest().unwrap();
            let bytes = self.bytes(kind, len, number);
            let got = store.get_or_build(&of, |build| build.write("plugin.so", &bytes)).unwrap();
            keys.push(got.artifact.tier_key().unwrap());
            sources.push(of);
        }
        // What another row has published is there already.
        let counts = remote.status().counts;
        assert_eq!(counts.published + counts.entries, count as u64, "{counts:?}");
        let bundle: Name = format!("{kind:?}-{len}-{count}").to_lowercase().parse().unwrap();
        remote.publish_bundle(&bundle, &keys).unwrap();
        Published { sources, keys, bundle }
    }

    /// The client of a machine that only takes.
    pub fn reader(&self, address: SocketAddr) -> Remote {
        Remote::new(client_at(address), self.config()).unwrap()
    }
}

/// A machine: its disk.
pub struct Machine(tempfile::TempDir);

impl Machine {
    pub fn new(place: &Place) -> Machine {
        Machine(tempfile::tempdir_in(place.dir.path()).unwrap())
    }

    pub fn store(&self, remote: &Remote) -> Store {
        Store::open_with_tier(Config::new(self.0.path().join("store")), remote.clone()).unwrap()
    }
}

/// All plugins, one after the other, as a host that starts; all of them come as `how`.
pub fn load(store: &Store, published: &Published, how: &How) {
    for sources in &published.sources {
        let got = store.get_or_build(sources, |_| Err::<(), _>("nothing is built here")).unwrap();
        assert_eq!(got.how.to_string(), how.to_string());
    }
}

/// The bundle, and all that it names.
pub fn pull(store: &Store, remote: &Remote, published: &Published) {
    let fetch = |key: &TierKey| matches!(store.fetch(key), Ok(Fetched::Now));
    let pulled = remote.pull(&published.bundle, fetch).unwrap();
    assert_eq!(pulled.here, published.keys.len());
}
