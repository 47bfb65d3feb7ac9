//! A host whose plugins are Rust crates: cargo builds each the first time and never again, until the crate, its
//! Cargo.lock, the flags or the compiler change, also behind one rustup proxy.
//!
//! ```sh norun
//! cargo run --release --example cargo_host -- --help
//! ```

use anyhow::Context as _;
use clap::Parser;
use libloading::Library;
use plugcache::{Build, Config, LoadFailed, LoadOrBuildError, Sources, Store, Toolchain};
use std::{
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// `PLUGIN_ABI` of the plugins, and all that the two sides must agree on.
const ABI: u32 = 1;
const KIND: &str = "cargo-host/abi-1";

/// Builds a plugin crate unless that was done before, loads it and lets it greet.
#[derive(Parser)]
#[command(name = "cargo_host")]
struct Options {
    /// Directory of the store [default: in this user's cache directory]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// The compiler
    #[arg(long, value_name = "PROGRAM", default_value = "rustc")]
    rustc: OsString,
    /// Its flags, separated by spaces
    #[arg(long, value_name = "FLAGS", default_value = "-Copt-level=2", allow_hyphen_values = true)]
    rustflags: String,
    /// Directory of the plugin crate
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/cargo_host/greeter"))]
    plugin: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let store = match &options.store {
        Some(dir) => Store::open_or_disabled(Config::new(dir)),
        None => Store::for_app("cargo-host"),
    };
    let plugin = Plugin::find(&options)?;
    let sources = plugin.sources(&store)?;
    let loaded = store.load_or_build(&sources, |build| plugin.build(build), |artifact| load(artifact.path()));
    let loaded = loaded.map_err(|error| match error {
        LoadOrBuildError::Build(error) | LoadOrBuildError::Load(error) => error,
        other => anyhow::anyhow!("{other}"),
    })?;
    println!("{}: {}", sources.label(), loaded.how);
    println!("{}", greet(&loaded.value)?);
    // The library goes before the artifact, which keeps its file.
    drop(loaded.value);
    Ok(())
}

/// A crate, and what it is compiled by.
struct Plugin {
    dir: PathBuf,
    name: String,
    /// Below `dir`, in a fixed order.
    files: Vec<PathBuf>,
    rustc: OsString,
    flags: Vec<String>,
    toolchain: Toolchain,
}

impl Plugin {
    fn find(options: &Options) -> anyhow::Result<Plugin> {
        let dir = std::path::absolute(&options.plugin)?;
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut files = vec![PathBuf::from("Cargo.toml"), PathBuf::from("Cargo.lock")];
        files.extend(Some(PathBuf::from("build.rs")).filter(|file| dir.join(file).exists()));
        below(&dir, Path::new("src"), &mut files)
            .with_context(|| format!("cannot list the sources of {}", dir.display()))?;
        // rustc starts the C compiler to link. Both are asked from this directory with this environment, and cargo is
        // started with the same: a toolchain that is chosen by either is the same for both.
        let toolchain = Toolchain::of_program(&options.rustc)?.and(Toolchain::of_program("cc")?);
        let flags = options.rustflags.split_whitespace().map(String::from).collect();
        Ok(Plugin { dir, name, files, rustc: options.rustc.clone(), flags, toolchain })
    }

    /// Modules are found by their paths, of which the key of a file holds the last name alone: so the list of paths
    /// belongs to the key.
    fn sources(&self, store: &Store) -> anyhow::Result<Sources> {
        let layout: Vec<_> = self.files.iter().map(|file| file.to_string_lossy()).collect();
        let sources = Sources::new(KIND, &self.toolchain, &self.flags)
            .files(self.files.iter().map(|file| self.dir.join(file)))
            .context_shown("layout", layout.join("\n"))
            .label(&self.name)
            .digest_with(store)?;
        Ok(sources)
    }

    fn build(&self, build: &mut Build) -> anyhow::Result<()> {
        // A target directory of this build alone: nothing of an earlier compiler is in it.
        let target = build.dir().join("target");
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--quiet", "--release", "--lib", "--locked", "--manifest-path"]);
        cargo.arg(self.dir.join("Cargo.toml")).arg("--target-dir").arg(&target).env("RUSTC", &self.rustc);
        // What is not in the key must not count. These flags are: they go before those of any configuration file.
        cargo.env("CARGO_ENCODED_RUSTFLAGS", self.flags.join("\x1f"));
        for name in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"] {
            cargo.env_remove(name);
        }
        let done = cargo.output().context("cannot start cargo")?;
        anyhow::ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr).trim_end());
        let made = target.join("release").join(format!("lib{}", self.name.replace('-', "_")));
        build.output_at(format!("{}.so", self.name), made.with_extension("so"));
        // What else it read: files that are included, and the sources of dependencies given by path.
        build.depfile(made.with_extension("d")).context("cargo's report")?;
        Ok(())
    }
}

fn load(path: &Path) -> Result<Library, LoadFailed<anyhow::Error>> {
    open(path).map_err(LoadFailed::Artifact)
}

#[expect(unsafe_code, reason = "a plugin is code behind a C interface")]
fn open(path: &Path) -> anyhow::Result<Library> {
    // SAFETY: its initialisers run; who runs this host trusts the sources, and the store vouches for the file.
    let library = unsafe { Library::new(path) }?;
    // SAFETY: the plugins export a number of this type.
    let abi = unsafe { **library.get::<*const u32>("PLUGIN_ABI")? };
    anyhow::ensure!(abi == ABI, "it speaks version {abi} of the interface, the host {ABI}");
    Ok(library)
}

#[expect(unsafe_code, reason = "a plugin is code behind a C interface")]
fn greet(library: &Library) -> anyhow::Result<String> {
    // SAFETY: `PLUGIN_ABI` says that it has this type.
    let greet = unsafe { library.get::<unsafe extern "C" fn(*mut u8, usize) -> usize>("greet")? };
    let mut text = vec![0; 1024];
    // SAFETY: there is so much room.
    let len = unsafe { greet(text.as_mut_ptr(), text.len()) };
    text.truncate(len);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// All files below `dir`, sorted.
#[expect(clippy::disallowed_methods, reason = "the rule is the library's: a host reads its own directories")]
fn below(root: &Path, dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut names: Vec<OsString> =
        fs::read_dir(root.join(dir))?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
    names.sort();
    for name in names {
        let path = dir.join(&name);
        if root.join(&path).is_dir() {
            below(root, &path, files)?;
        } else if Path::new(&name).extension() == Some(OsStr::new("rs")) {
            files.push(path);
        }
    }
    Ok(())
}
