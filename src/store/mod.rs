//! The store: the only place that orders "objects, then entry" (I4), and the doors through which hosts come.
//!
//! ```text
//! root.rs       the directory: found, judged, made
//! find.rs       sources -> artifact, or a miss and its reason
//! add.rs        outputs -> objects -> entry
//! get.rs        one build for many waiting callers; failed.rs why there is no artifact
//! build.rs      a build in progress; scratch.rs where it works, inputs.rs what it read
//! outputs.rs    what an add is given
//! artifact.rs   what is handed out, and the lease behind it; output.rs one file of it; live.rs what is shared
//! remember.rs   digests of sources and tools, through the memo of unchanged files
//! report.rs     entries, statistics, status; count.rs what is counted; observe.rs who is told at once
//! chore.rs      the sweep as a chore; compare.rs the mode that compares
//! explain.rs    why something missed, in words and fields; judge.rs finds it out
//! forget.rs     entries dropped by request, or because nothing may stay
//! repair.rs     scrub, rebuild
//! layers.rs     read-only stores below this one; transfer.rs entries from one store into another
//! tier.rs       places beyond this machine; fetch.rs what comes from there, offer.rs what goes there
//! parcel.rs     entries as they travel; asked.rs what is remembered of asking
//! ```

mod add;
mod artifact;
mod asked;
mod build;
mod chore;
mod compare;
mod count;
mod explain;
mod failed;
mod fetch;
mod find;
mod forget;
mod get;
mod inputs;
mod judge;
mod layers;
mod live;
mod observe;
mod offer;
mod output;
mod outputs;
mod parcel;
mod remember;
mod repair;
mod report;
mod root;
mod scratch;
mod tier;
mod transfer;

use std::time::SystemTime;

pub use self::{
    add::Added,
    artifact::Artifact,
    build::Build,
    chore::{SweepOptions, SweepReport},
    compare::{Comparison, Difference},
    count::{ByLimit, Counts, Day, Misses, Skips},
    explain::{DroppedBy, Explanation, Recorded, Why},
    failed::{BuildError, LoadOrBuildError},
    fetch::{FetchError, Fetched},
    get::{Busy, Claim, Got, How, Loaded},
    observe::{Event, Miss},
    output::{Map, Output, Sealed},
    outputs::Outputs,
    repair::RebuildReport,
    report::{Entry, EntryOutput, FileSystem, Stats, Status},
    tier::{Parcel, ParcelObject, Sink, Tier, TierError, TierKey},
};
use self::{
    asked::Asked,
    count::Counters,
    live::{ByPut, Live, Proved},
    observe::Watch,
    root::Root,
};
use crate::{
    config::{self, Config, Mode},
    digest::SourceDigest,
    error::{OpenError, Skip, StoreError},
    exec,
    format::record::Put,
    fs::{Access, Fs},
    manifest::{Grown, Manifest},
    retention::Limits,
    sources::Memo,
    sweep::{Sweep, Unnamed},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
};

/// An open store. Cloning is cheap, and all clones share one handle; so may threads.
///
/// A store never makes a host fail: where it cannot be used, finding misses and adding is skipped with a
/// reason, and [`status`](Store::status) says why. Nothing is created before the first write.
///
/// After a `fork` without `exec` the child may use the handle if no other thread was inside it at that moment;
/// else it may wait for ever on a lock whose holder it does not have, and opens a store of its own. Artifacts and
/// builds that it inherited last as long as its copies do, and are cleared away by the parent alone.
///
/// # Example
///
/// ```
/// # fn main() -> anyhow::Result<()> {
/// use plugcache::{Config, NO_OPTIONS, Sources, Store, Toolchain};
///
/// let dir = tempfile::tempdir()?;
/// let store = Store::open(Config::new(dir.path().join("store")))?;
/// let upper = Toolchain::of_value("upper", "1");
/// let sources = Sources::new("doc/1", &upper, NO_OPTIONS).bytes("greeting", "hello").digest()?;
/// for expected in ["built", "hit"] {
///     let got = store.get_or_build(&sources, |b| b.write("greeting", "HELLO"))?;
///     assert_eq!(got.how.to_string(), expected);
///     assert_eq!(got.artifact.primary().read()?, b"HELLO");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fs: Fs,
    config: Config,
    /// Why there is no store, if there is none.
    disabled: Option<String>,
    /// The open directory; `None` while it does not exist, and after `close`.
    root: RwLock<Option<Arc<Root>>>,
    /// Stores that are read where this one has no entry, in this order.
    layers: Vec<Arc<Root>>,
    /// Who is asked for what is in none of these.
    tier: Option<Arc<dyn Tier>>,
    asked: Asked,
    closed: AtomicBool,
    /// Exec id, computed when first needed.
    exec: OnceLock<Result<[u8; 32], String>>,
    memo: Memo,
    counters: Counters,
    watch: Watch,
    /// In which order this handle used its entries.
    used: Mutex<ByPut<u64>>,
    uses: AtomicU64,
    /// The day on which this handle last looked for entries that are idle.
    idle_checked: AtomicU32,
    unnamed: Mutex<Vec<Unnamed>>,
    live: Live,
    proved: Proved,
    /// What last went wrong while the store was in use.
    trouble: Mutex<Option<String>>,
    is_troubled: AtomicBool,
}

impl Store {
    /// Opens the store that `config` describes. A directory that does not exist is an empty store.
    ///
    /// # Errors
    /// See [`OpenError`]; each says what to do. Hosts that would rather go on without a store use
    /// [`open_or_disabled`](Store::open_or_disabled).
    pub fn open(config: Config) -> Result<Store, OpenError> {
        Store::open_on(Fs::Os, config, None)
    }

    /// Opens the store that `config` describes, or none: then every find misses, every add is skipped, builds
    /// run, and [`status`](Store::status) says why.
    pub fn open_or_disabled(config: Config) -> Store {
        Store::open(config.clone()).unwrap_or_else(|error| Store::unopened(config, &error))
    }

    fn unopened(config: Config, error: &OpenError) -> Store {
        let cause = std::error::Error::source(error).map_or(String::new(), |cause| format!(": {cause}"));
        Store::new(Fs::Os, config, Some(format!("{error}{cause}")), None)
    }

    /// The store of the application `name` in the user's cache directory: `PLUGCACHE_DIR`, else
    /// `XDG_CACHE_HOME`, else `HOME/.cache`, then `name/plugcache`. Never fails; see
    /// [`open_or_disabled`](Store::open_or_disabled). `PLUGCACHE_DISABLE=1` disables it. A program that runs
    /// with raised privileges ignores its environment and gets no store.
    pub fn for_app(name: &str) -> Store {
        if config::disabled_by_environment() {
            return Store::disabled("PLUGCACHE_DISABLE is 1");
        }
        match Config::for_app(name) {
            Ok(config) => Store::open_or_disabled(config),
            Err(error) => Store::disabled(error.to_string()),
        }
    }

    /// No store at all, for the reason `why`.
    pub fn disabled(why: impl Into<String>) -> Store {
        Store::new(Fs::Os, Config::new(""), Some(why.into()), None)
    }

    pub(crate) fn open_on(fs: Fs, config: Config, tier: Option<Arc<dyn Tier>>) -> Result<Store, OpenError> {
        if config.mode() == Mode::Off {
            return Ok(Store::new(fs, config, Some("its mode is off".into()), None));
        }
        // Relative to the working directory of this moment, also when the store is made or opened anew later.
        let config = config.made_absolute();
        let root = Root::open(&fs, &config)?;
        let layers = config.layers().iter().map(|path| Root::open_layer(&fs, &config, path));
        let layers = layers.collect::<Result<_, _>>()?;
        Ok(Store::with_layers(fs, config, None, root, layers, tier))
    }

    fn new(fs: Fs, config: Config, disabled: Option<String>, root: Option<Arc<Root>>) -> Store {
        Store::with_layers(fs, config, disabled, root, Vec::new(), None)
    }

    fn with_layers(
        fs: Fs,
        config: Config,
        disabled: Option<String>,
        root: Option<Arc<Root>>,
        layers: Vec<Arc<Root>>,
        tier: Option<Arc<dyn Tier>>,
    ) -> Store {
        Store(Arc::new(Inner {
            fs,
            config,
            disabled,
            root: RwLock::new(root),
            layers,
            tier,
            asked: Asked::default(),
            closed: AtomicBool::new(false),
            exec: OnceLock::new(),
            memo: Memo::default(),
            counters: Counters::default(),
            watch: Watch::new(),
            used: Mutex::default(),
            uses: AtomicU64::new(0),
            idle_checked: AtomicU32::new(0),
            unnamed: Mutex::default(),
            live: Live::default(),
            proved: Proved::default(),
            trouble: Mutex::default(),
            is_troubled: AtomicBool::new(false),
        }))
    }

    /// What the store was opened with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Whether the store works, and if not, why.
    pub fn status(&self) -> Status {
        let inner = &*self.0;
        if let Some(why) = inner.why_disabled() {
            return Status::Disabled(why);
        }
        let trouble = inner.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match &*trouble {
            Some(trouble) => Status::Degraded(trouble.clone()),
            None => match inner.root_now().as_deref().and_then(shared_with_others) {
                Some(why) => Status::Degraded(why),
                None if inner.config.readonly() || inner.is_read_only() => Status::ReadOnly,
                None => Status::Ready,
            },
        }
    }

    /// What the store lies on; `None` while it does not exist. A host that is to load libraries looks here first:
    /// from a file system that is mounted `noexec` none can be.
    pub fn file_system(&self) -> Option<FileSystem> {
        self.0.root_now().map(|root| FileSystem::new(&root.file_system))
    }

    /// All entries, in the order of adding. A snapshot: what is added meanwhile may be missing.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + use<> {
        self.listed(Manifest::visible).into_iter().map(Entry::new)
    }

    /// The entries of one source digest, in no order: of every executable, and several of one where builds read different
    /// files. Looked up: it takes no longer where the store has more entries.
    pub fn entries_of(&self, source: &SourceDigest) -> impl Iterator<Item = Entry> + use<> {
        self.listed(|manifest| manifest.of_source(source.as_bytes())).into_iter().map(Entry::new)
    }

    fn listed(&self, list: impl FnOnce(&Manifest) -> Vec<Arc<Put>>) -> Vec<Arc<Put>> {
        let root = self.0.root().ok().flatten();
        root.map_or_else(Vec::new, |root| {
            // An unreadable log leaves what was read before.
            let _ = root.manifest.refresh();
            list(&root.manifest)
        })
    }

    /// Counters of this handle, and the size of the store as last read.
    pub fn stats(&self) -> Stats {
        let entries: Vec<_> = self.entries().collect();
        let inner = &*self.0;
        let root = inner.root().ok().flatten();
        let written_down = root.as_ref().map(|root| root.manifest.counts()).unwrap_or_default();
        let store = inner.counters.with(&written_down);
        let days = root.as_ref().map(|root| root.manifest.days()).unwrap_or_default();
        Stats {
            days: inner.counters.days(days, inner.today()),
            is_partly_newer: root.as_ref().is_some_and(|root| root.manifest.is_partly_unknown()),
            other_formats: root.map(|root| root.other_formats(&inner.fs)).unwrap_or_default(),
            ..Stats::of(&entries, inner.counters.own(), store)
        }
    }

    /// Makes durable everything that returned before this was called: it survives a power cut.
    ///
    /// One `syncfs` for all of it, so many lazy adds and one `sync` are much cheaper than
    /// [`Durability::Sync`](crate::Durability::Sync).
    ///
    /// # Errors
    /// What returned before may be lost in a power cut. A failed sync is final: this handle answers every later
    /// call with an error too, for the system may then succeed without what the failed one has lost. Add again
    /// what matters, through a handle opened anew.
    pub fn sync(&self) -> Result<(), StoreError> {
        match self.0.root_or_disabled()? {
            Some(root) => root.sync().map_err(StoreError::from),
            None => Ok(()),
        }
    }

    #[cfg(any(test, fuzzing, feature = "__sim"))]
    pub(crate) fn compact_now(&self) -> bool {
        let root = self.0.root().ok().flatten();
        root.is_some_and(|root| matches!(root.manifest.compact(), Ok(crate::manifest::Compacted::Yes(_))))
    }

    #[cfg(any(test, fuzzing, feature = "__sim"))]
    pub(crate) fn sweep_now(&self) {
        if let Ok(Some(root)) = self.0.root() {
            let _ = self.0.sweep(&root).litter(&root.dir);
        }
    }

    /// Closes the handle and all its clones: later finds miss, later adds are skipped. Artifacts stay usable.
    /// Deletes nothing, and nothing is lost without it but a few counts: closing writes down what this handle has
    /// counted ([`Stats::store`](crate::Stats)), dropping it only if it has stored something or counted several finds.
    pub fn close(&self) {
        self.0.end();
        self.0.closed.store(true, Ordering::Release);
        *self.0.root.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.counters.is_due_at_the_end() {
            self.end();
        }
    }
}

impl Inner {
    /// Writes down what was counted, before the handle goes.
    fn end(&self) {
        let root = self.root.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(root) = root {
            self.write_down_counts(&root);
        }
    }

    /// What a later version has a part in gets no more than its entries; a failure costs some counts.
    fn write_down_counts(&self, root: &Root) {
        if root.access == Access::Read || root.manifest.is_partly_unknown() {
            return;
        }
        let mut grown = Grown::No;
        self.counters.write_down(self.today(), |counts, finds| {
            root.manifest.count(counts, finds).map(|now| grown = now)
        });
        if grown == Grown::Yes {
            self.compact(root);
        }
    }

    fn why_disabled(&self) -> Option<String> {
        if self.closed.load(Ordering::Acquire) {
            return Some("it was closed".into());
        }
        self.disabled.clone()
    }

    /// Whether the directory could only be opened for reading.
    fn is_read_only(&self) -> bool {
        let root = self.root.read().unwrap_or_else(PoisonError::into_inner);
        root.as_ref().is_some_and(|root| root.access == Access::Read)
    }

    /// The directory, if it is open.
    fn root_now(&self) -> Option<Arc<Root>> {
        self.root.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The open directory, opened now if somebody made it meanwhile; `Ok(None)` while it does not exist.
    fn root(&self) -> Result<Option<Arc<Root>>, OpenError> {
        if self.disabled.is_some() || self.closed.load(Ordering::Acquire) {
            return Ok(None);
        }
        if let Some(root) = &*self.root.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Some(root.clone()));
        }
        let opened = Root::open(&self.fs, &self.config)?;
        *self.root.write().unwrap_or_else(PoisonError::into_inner) = opened.clone();
        Ok(opened)
    }

    /// The open directory, made now if it does not exist.
    fn root_for_writing(&self) -> Result<Arc<Root>, Skip> {
        if let Some(why) = self.why_disabled() {
            return Err(Skip::Disabled(why));
        }
        if self.config.readonly() {
            return Err(Skip::ReadOnly);
        }
        if let Some(root) = self.root().map_err(skip_of)? {
            return root.for_writing(&self.fs, &self.config);
        }
        let made = Root::make(&self.fs, &self.config)?;
        *self.root.write().unwrap_or_else(PoisonError::into_inner) = Some(made.clone());
        made.for_writing(&self.fs, &self.config)
    }

    fn root_or_disabled(&self) -> Result<Option<Arc<Root>>, StoreError> {
        if let Some(why) = self.why_disabled() {
            return Err(StoreError::Disabled(why));
        }
        self.root().map_err(|error| match error {
            OpenError::Newer { path } => StoreError::Newer { path },
            error => StoreError::Disabled(error.to_string()),
        })
    }

    /// Lets go of a directory that was deleted under this handle, so that the path is opened anew.
    fn forget_root(&self, gone: &Arc<Root>) {
        let mut root = self.root.write().unwrap_or_else(PoisonError::into_inner);
        if root.as_ref().is_some_and(|root| Arc::ptr_eq(root, gone)) {
            *root = None;
        }
    }

    fn exec(&self) -> Result<[u8; 32], String> {
        self.exec_ref().copied().map_err(Clone::clone)
    }

    fn exec_ref(&self) -> Result<&[u8; 32], &String> {
        let compute = || {
            exec::id(self.config.exec(), &self.fs)
                .map_err(|error| format!("the running program cannot be identified: {error}"))
        };
        self.exec.get_or_init(compute).as_ref()
    }

    /// Keeps what went wrong for `status`, and forgets it when something went right.
    fn note(&self, trouble: Option<&dyn std::fmt::Display>) {
        if trouble.is_some() || self.is_troubled.load(Ordering::Relaxed) {
            self.is_troubled.store(trouble.is_some(), Ordering::Relaxed);
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble.map(ToString::to_string);
        }
    }

    /// Days since 1970-01-01 UTC.
    fn today(&self) -> u32 {
        u32::try_from(self.now_ms() / (24 * 60 * 60 * 1000)).unwrap_or(u32::MAX)
    }

    fn now_ms(&self) -> u64 {
        let since = self.fs.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn sweep<'a>(&'a self, root: &'a Root) -> Sweep<'a> {
        let limits = Limits { max_files: self.config.max_files(), max_bytes: self.config.max_bytes() };
        let (objects, manifest) = (&root.objects, &root.manifest);
        Sweep { fs: &self.fs, objects, manifest, limits, pending: &self.unnamed }
    }
}

/// Why a store on a file system that is not this kernel's alone keeps less than its promises.
fn shared_with_others(root: &Root) -> Option<String> {
    let name = root.file_system.name;
    let why =
        "processes that use it at once may lose entries of each other, and every use hashes what it gets";
    (!root.file_system.is_local).then(|| format!("{} lies on {name}: {why}", root.path.display()))
}

fn skip_of(error: OpenError) -> Skip {
    match error {
        OpenError::Newer { .. } => Skip::Newer,
        OpenError::Unreadable { action, path, source } => {
            crate::error::Trouble { action, path, source }.into()
        }
        other => Skip::Disabled(other.to_string()),
    }
}
