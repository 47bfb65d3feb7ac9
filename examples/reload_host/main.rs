//! A host that reloads: it calls its plugin for each line of input, and each call uses the source as it is then.
//!
//! ```sh norun
//! cargo run --release --example reload_host -- --help
//! ```
//!
//! There is no watcher: to ask whether the source has changed costs microseconds, so each call asks. A changed source
//! is compiled, or found if it was compiled before, and the new code is loaded beside the old, which goes when nobody
//! uses it any more. A source that does not compile leaves the old code in use.

use anyhow::Context as _;
use clap::Parser;
use libloading::Library;
use plugcache::{Artifact, Build, Config, LoadFailed, LoadOrBuildError, Sealed, Sources, Store, Toolchain};
use std::{
    ffi::{CStr, c_char, c_int},
    io::{self, BufRead as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// The compiler's options: they are in the key, and they are what it gets.
const FLAGS: [&str; 3] = ["-O1", "-shared", "-fPIC"];

/// Calls a C plugin for each line of input, compiled anew whenever its source has changed.
#[derive(Parser)]
#[command(name = "reload_host")]
struct Options {
    /// Directory of the store [default: in this user's cache directory]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The source of the plugin
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/reload_host/plugin.c"))]
    plugin: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let store = match &options.store {
        Some(dir) => Store::open_or_disabled(Config::new(dir)),
        None => Store::for_app("reload-host"),
    };
    let mut host = Host { store, cc: Toolchain::of_program("cc")?, source: options.plugin, current: None };
    for line in io::stdin().lock().lines() {
        line?;
        match host.call() {
            Ok(text) => println!("{text}"),
            Err(error) => {
                eprintln!("{error:#}");
                println!("it stays as it was");
            }
        }
        io::stdout().flush()?;
    }
    Ok(())
}

/// Loaded code. Fields are dropped in this order: the code before what it was loaded from.
struct Instance {
    library: Library,
    /// A copy in memory with a path of its own. From the store's file, whose path is one for each content, code that
    /// was edited and edited back would be the instance that is still loaded, with its old memory.
    _copy: Sealed,
    artifact: Artifact,
}

struct Host {
    store: Store,
    cc: Toolchain,
    source: PathBuf,
    current: Option<Instance>,
}

impl Host {
    fn call(&mut self) -> anyhow::Result<String> {
        let asked = Instant::now();
        let sources = Sources::new("reload-host/abi-1", &self.cc, FLAGS).file(&self.source);
        let sources = sources.digest_with(&self.store)?;
        let (how, new) = self.load(&sources)?;
        let Some(new) = new else {
            let current = self.current.as_ref().context("it is in use")?;
            return Ok(format!("{} (as before, asked in {:?})", current.words()?, asked.elapsed()));
        };
        let old = self.current.replace(new);
        let words = self.current.as_ref().context("it was loaded just now")?.words()?;
        // Old code runs as long as somebody holds its instance, here to the end of this block.
        let before = match &old {
            Some(old) => format!("; the old code was called {} times", old.called()?),
            None => String::new(),
        };
        Ok(format!("{words} ({how}{before})"))
    }

    /// The code that is wanted now, unless it is that which is in use. The store is asked each time and not the key
    /// compared: a header is not in the key, but a hit needs it unchanged.
    fn load(&self, sources: &Sources) -> anyhow::Result<(String, Option<Instance>)> {
        let in_use = self.current.as_ref().map(|current| current.artifact.primary().digest());
        let load = |artifact: &Artifact| match in_use == Some(artifact.primary().digest()) {
            true => Ok(None),
            false => Instance::new(artifact).map(Some).map_err(LoadFailed::Artifact),
        };
        match self.store.load_or_build(sources, |build| compile(&self.source, build), load) {
            Ok(loaded) => Ok((loaded.how.to_string(), loaded.value)),
            Err(LoadOrBuildError::Build(error) | LoadOrBuildError::Load(error)) => Err(error),
            Err(error) => anyhow::bail!("{error}"),
        }
    }
}

fn compile(source: &Path, build: &mut Build) -> anyhow::Result<()> {
    let (output, report) = (build.output("plugin.so"), build.dir().join("plugin.d"));
    let mut cc = Command::new("cc");
    cc.args(FLAGS).args(["-MD", "-MF"]).arg(&report).arg("-o").arg(output).arg(source);
    let done = cc.output().context("cannot start cc")?;
    anyhow::ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr).trim_end());
    build.depfile(&report)?;
    Ok(())
}

#[expect(unsafe_code, reason = "a plugin is code in another language behind a C interface")]
impl Instance {
    fn new(artifact: &Artifact) -> anyhow::Result<Instance> {
        let copy = artifact.primary().sealed()?;
        // SAFETY: its initialisers run; who runs this host trusts the source, and the copy was hashed after it was
        // sealed.
        let library = unsafe { Library::new(copy.path()) }?;
        let instance = Instance { library, _copy: copy, artifact: artifact.clone() };
        instance.called().context("it is no plugin of this host")?;
        Ok(instance)
    }

    fn words(&self) -> anyhow::Result<String> {
        // SAFETY: the plugin has a function of this type, which returns a text that lives as long as the library.
        let words = unsafe {
            let words = self.library.get::<unsafe extern "C" fn() -> *const c_char>("words")?;
            CStr::from_ptr(words())
        };
        Ok(words.to_string_lossy().into_owned())
    }

    fn called(&self) -> anyhow::Result<c_int> {
        // SAFETY: the plugin has a function of this type.
        unsafe { Ok(self.library.get::<unsafe extern "C" fn() -> c_int>("called")?()) }
    }
}
