//! What a host can choose about a store: where it is, how large it may grow, whom it trusts.
//!
//! Plain values. Anyone in the crate may read them; nothing here touches the disk, and nothing is checked
//! before a store is opened. `place` finds the directory of [`Config::for_app`], `text` is how a
//! configuration is written down.

mod place;
#[cfg(feature = "serde")]
mod text;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

pub use place::NoCacheDir;
pub(crate) use place::disabled_by_environment;

/// Room for every plugin of a large host with a few versions of each; at most this many entries are ranked
/// when one must go.
const MAX_FILES: u64 = 4096;

/// 1 GiB: a thousand plugins of 1 MiB.
const MAX_BYTES: u64 = 1 << 30;

/// Longer than any sane compile of one plugin; after that, compiling twice is better than waiting on.
const BUILD_WAIT_MAX: Duration = Duration::from_secs(10 * 60);

/// Who an artifact belongs to besides its sources: the *exec id* of the entry.
///
/// An entry made under one exec id is not used under another, unless
/// [`try_old_cache_with_new_exec`](ConfigBuilder::try_old_cache_with_new_exec) is on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Exec {
    /// The running executable: its build id, or BLAKE3 of its file. Another build of the host compiles anew.
    ///
    /// It is the file that the kernel started. A host that is itself a shared library (an extension of Python)
    /// shares it with every other script, and one started through `ld.so` with every other program: give
    /// [`Exec::Given`] there.
    #[default]
    Current,
    /// What the host says, for instance the version of its plugin interface: at least one byte. The bytes are
    /// compared, nothing else.
    Given(Vec<u8>),
    /// Artifacts do not depend on the host at all: a plain C interface, wasm.
    Independent,
}

/// When an object is hashed again before it is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Verify {
    /// Once in every boot of the machine, and whenever the file system shows a trace of a write.
    #[default]
    OncePerBoot,
    /// At every find: also notices bits that rot while the machine is up. Costs a read of the whole object.
    Always,
}

/// What an add waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Durability {
    /// For nothing. A power cut can lose the last entries, which costs a compile; it cannot damage one
    /// unnoticed.
    #[default]
    Lazy,
    /// For the disk: an entry that was stored survives a power cut.
    Sync,
}

/// What a store does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Mode {
    /// Finds, and builds what it does not find.
    #[default]
    Normal,
    /// Finds, and never builds: a miss is an error that explains itself. For tests and release images.
    RequireHit,
    /// Builds everything anew and replaces what is stored.
    Refresh,
    /// Builds everything anew, replaces nothing, and says what differs from what is stored
    /// ([`How::Compared`](crate::How::Compared), [`Added::Compared`](crate::Added::Compared)): finds builds that do not
    /// give the same twice. What is not stored yet is stored.
    Compare,
    /// Neither reads nor writes: every build runs, and its artifact is handed out unstored.
    Off,
}

/// Who else may be able to write to the directory of a store.
///
/// Whoever can write there can make the host run their code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Trust {
    /// Nobody but this user and root.
    #[default]
    OwnerOnly,
    /// The group too.
    Group,
    /// No question is asked.
    Anyone,
}

/// What a host chose about a store. Made by [`Config::new`], [`Config::for_app`] or a [`ConfigBuilder`].
///
/// With the feature `serde` it can be written to and read from formats that name their fields (JSON, TOML).
/// Only `dir` must be there; a missing field has its default and an unknown one is ignored, so that text
/// outlives versions in both directions. A `dir` or layer that is not UTF-8 cannot be written, and the boot
/// id is not.
///
/// ```
/// use plugcache::Config;
/// let config = Config::builder("/var/cache/host/plugins").max_files(500).build();
/// assert_eq!(config.max_files(), 500);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(from = "text::Text", into = "text::Text"))]
pub struct Config {
    dir: PathBuf,
    max_files: u64,
    max_bytes: u64,
    readonly: bool,
    try_old_cache_with_new_exec: bool,
    verify: Verify,
    durability: Durability,
    mode: Mode,
    exec: Exec,
    layers: Vec<PathBuf>,
    promote: bool,
    trust: Trust,
    build_wait_max: Duration,
    memo: bool,
    idle_max: Option<Duration>,
    boot_id: Option<[u8; 16]>,
}

impl Config {
    /// A store in `dir` with everything else at its default. A relative `dir` is taken from the working
    /// directory of the moment in which the store is opened.
    pub fn new(dir: impl Into<PathBuf>) -> Config {
        Config {
            dir: dir.into(),
            max_files: MAX_FILES,
            max_bytes: MAX_BYTES,
            readonly: false,
            try_old_cache_with_new_exec: false,
            verify: Verify::default(),
            durability: Durability::default(),
            mode: Mode::default(),
            exec: Exec::default(),
            layers: Vec::new(),
            promote: false,
            trust: Trust::default(),
            build_wait_max: BUILD_WAIT_MAX,
            memo: true,
            idle_max: None,
            boot_id: None,
        }
    }

    /// The store of the application `name` for this user: `PLUGCACHE_DIR` if it is set, else `name/plugcache`
    /// in `XDG_CACHE_HOME` if that is an absolute path, else in `.cache` in `HOME`.
    ///
    /// # Errors
    /// There is no such directory, or `name` is not a plain file name. A program that runs with more rights
    /// than its caller ignores the environment, so it has none either: name the directory to
    /// [`Config::new`].
    pub fn for_app(name: &str) -> Result<Config, NoCacheDir> {
        place::of_app(name).map(Config::new)
    }

    /// A builder that starts from [`Config::new`].
    pub fn builder(dir: impl Into<PathBuf>) -> ConfigBuilder {
        Config::new(dir).to_builder()
    }

    /// A builder that starts from this configuration.
    pub fn to_builder(&self) -> ConfigBuilder {
        ConfigBuilder(self.clone())
    }

    /// This, with the directories taken from the working directory of this moment.
    pub(crate) fn made_absolute(mut self) -> Config {
        // Fails for an empty path alone, which opening will refuse.
        for path in [&mut self.dir].into_iter().chain(&mut self.layers) {
            if let Ok(absolute) = std::path::absolute(&*path) {
                *path = absolute;
            }
        }
        self
    }

    /// How a layer of this store is opened: as it is, and for reading.
    pub(crate) fn of_layer(&self, dir: &Path) -> Config {
        let (dir, layers) = (dir.to_owned(), Vec::new());
        Config { dir, layers, readonly: true, ..self.clone() }.made_absolute()
    }

    /// The directory of the store: as it was given, and absolute in the configuration of an open store.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many entries may be left after an add. Default: 4096.
    pub fn max_files(&self) -> u64 {
        self.max_files
    }

    /// How many bytes the objects that entries name may take together. Default: 1 GiB.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Whether nothing is ever written. Default: no.
    pub fn readonly(&self) -> bool {
        self.readonly
    }

    /// Whether an entry of another executable is used when one's own is missing. Default: no.
    pub fn try_old_cache_with_new_exec(&self) -> bool {
        self.try_old_cache_with_new_exec
    }

    /// When an object is hashed again. Default: once per boot.
    pub fn verify(&self) -> Verify {
        self.verify
    }

    /// What an add waits for. Default: nothing.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// What the store does when it is asked. Default: find, else build.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The exec id of the entries that are made and found. Default: the running executable's.
    pub fn exec(&self) -> &Exec {
        &self.exec
    }

    /// Stores that are read, never written, when this one has no entry, in this order. Default: none.
    pub fn layers(&self) -> &[PathBuf] {
        &self.layers
    }

    /// Whether what was found in a layer is copied into this store. Default: no.
    pub fn promote(&self) -> bool {
        self.promote
    }

    /// Who else may be able to write to the directory. Default: nobody.
    pub fn trust(&self) -> Trust {
        self.trust
    }

    /// How long to wait for another builder of the same thing before building it too. Default: 10 minutes.
    pub fn build_wait_max(&self) -> Duration {
        self.build_wait_max
    }

    /// Whether digests of unchanged source files and tools are remembered, in the store. Default: yes.
    pub fn memo(&self) -> bool {
        self.memo
    }

    /// How long an entry may stay unused; `None`: as long as there is room. Default: `None`.
    pub fn idle_max(&self) -> Option<Duration> {
        self.idle_max
    }

    pub(crate) fn boot_id(&self) -> Option<[u8; 16]> {
        self.boot_id
    }
}

/// Changes a configuration value by value; see the accessors of [`Config`] for what each means.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `build`"]
pub struct ConfigBuilder(Config);

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {
        impl ConfigBuilder {
            $($(#[$doc])* pub fn $name(mut self, $name: $type) -> Self {
                self.0.$name = $name;
                self
            })*
        }
    };
}

setters! {
    /// How many entries may be left after an add. 0 stores nothing: artifacts are handed out all the same.
    max_files: u64;
    /// How many bytes the objects that entries name may take together. Objects in use, in the making or in
    /// quarantine come on top.
    max_bytes: u64;
    /// Whether nothing is ever written.
    readonly: bool;
    /// Whether an entry of another executable is used when one's own is missing. The artifact says whose it
    /// is; `load_or_build` compiles anew if it does not load.
    try_old_cache_with_new_exec: bool;
    /// When an object is hashed again.
    verify: Verify;
    /// What an add waits for.
    durability: Durability;
    /// What the store does when it is asked.
    mode: Mode;
    /// The exec id of the entries that are made and found.
    exec: Exec;
    /// Whether what was found in a layer is copied into this store, and found there the next time: where a layer is
    /// slow, or will not always be there.
    promote: bool;
    /// Who else may be able to write to the directory.
    trust: Trust;
    /// How long to wait for another builder of the same thing before building it too.
    build_wait_max: Duration;
    /// Whether digests of unchanged source files and tools are remembered, in the store.
    memo: bool;
    /// How long an entry may stay unused; `None`: as long as there is room.
    idle_max: Option<Duration>;
}

impl ConfigBuilder {
    /// Adds a store that is read, never written, when those before it have no entry: one that is shared by the whole
    /// system, or baked into an image, as [`Store::export`](crate::Store::export) makes it. It must be there when the
    /// store is opened.
    pub fn layer(mut self, dir: impl Into<PathBuf>) -> Self {
        self.0.layers.push(dir.into());
        self
    }

    /// Replaces the number by which the kernel tells one boot from the next. For tests of power cuts alone:
    /// a power cut that is simulated on a running kernel must look like one, and a store that is told the
    /// same number after a real one trusts objects that never reached the disk.
    pub fn boot_id(mut self, boot_id: [u8; 16]) -> Self {
        self.0.boot_id = Some(boot_id);
        self
    }

    /// The configuration.
    pub fn build(self) -> Config {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let config = Config::new("d");
        assert_eq!((config.max_files(), config.max_bytes()), (4096, 1024 * 1024 * 1024));
        assert_eq!(config.build_wait_max(), Duration::from_secs(600));
        assert!(config.memo() && !config.readonly() && !config.try_old_cache_with_new_exec());
        assert_eq!((config.exec(), config.trust()), (&Exec::Current, Trust::OwnerOnly));
    }

    #[test]
    fn a_builder_that_changes_nothing_gives_the_configuration_back() {
        let config = Config::builder("d").layer("a").layer("b").boot_id([7; 16]).max_files(1).build();
        assert_eq!(config.to_builder().build(), config);
        assert_eq!(config.layers(), [Path::new("a"), Path::new("b")]);
        assert_eq!(config.boot_id(), Some([7; 16]));
    }
}
