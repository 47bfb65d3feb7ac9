//! A host that compiles its C plugins the first time and never again.
//!
//! ```sh norun
//! cargo run --release --example plugin_host -- --help
//! ```
//!
//! Change a plugin and run again: it alone is compiled. Change `plugin.h`: all are; `canvas.h`: the two that
//! draw. Other flags or another compiler: all are. Nothing in here decides that: `compile` names to the
//! store what goes into an artifact, and the store does the rest.

mod compile;
mod plugin;
mod table;

use anyhow::Context as _;
use clap::Parser;
use compile::{Compiler, PluginSources};
use plugcache::{Artifact, Config, LoadFailed, LoadOrBuildError, Sealed, Status, Store};
use plugin::Plugin;
use std::{
    cell::RefCell,
    ffi::OsString,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};
use table::{How, Row};

/// Compiles C plugins unless that was done before, loads them and calls each.
#[derive(Parser)]
#[command(name = "plugin_host")]
struct Options {
    /// Directory of the store [default: in this user's cache directory]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Load this plugin a second time, as an instance of its own
    #[arg(long, value_name = "NAME")]
    twice: Option<String>,
    /// The C compiler
    #[arg(long, value_name = "PROGRAM", default_value = "cc")]
    cc: OsString,
    /// Its options, separated by spaces
    #[arg(long, value_name = "FLAGS", default_value = "-O2", allow_hyphen_values = true)]
    cflags: String,
    /// Directory of the plugins: each a file `NAME.c`, or a directory NAME of such files
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/plugin_host/plugins"))]
    plugins: PathBuf,
}

fn main() -> ExitCode {
    run(Options::parse()).unwrap_or_else(|error| {
        eprintln!("plugin_host: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(options: Options) -> anyhow::Result<ExitCode> {
    // Neither of the two can fail: without a store the plugins are compiled each time, and that is all.
    let store = match &options.store {
        Some(dir) => Store::open_or_disabled(Config::new(dir)),
        None => Store::for_app("plugin-host"),
    };
    let compiler = Compiler::new(&options.cc, &options.cflags)?;
    let plugins = compile::plugins_in(&options.plugins)?;
    if let Some(name) = &options.twice {
        anyhow::ensure!(plugins.iter().any(|plugin| plugin.name == *name), "there is no plugin {name}");
    }

    let mut host = Host { store, compiler, running: Vec::new() };
    let mut rows = Vec::new();
    for plugin in &plugins {
        let row = host.start(plugin);
        let second = options.twice.as_ref() == Some(&plugin.name) && row.how != How::Failed;
        rows.push(row);
        if second {
            rows.push(host.start_again(&plugin.name));
        }
    }
    host.call_all();
    table::print(&rows);
    println!("compilers started: {}", host.compiler.started());
    println!("{}", describe(&host.store));
    Ok(if rows.iter().any(|row| row.how == How::Failed) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A plugin that runs, with what must stay as long as its code is mapped. Fields are dropped in this order.
struct Running {
    name: String,
    plugin: Plugin,
    /// The path of the artifact stays its own, and no sweep removes it.
    artifact: Artifact,
    /// A second instance runs from a copy in memory, reached through this descriptor. Were it closed, its
    /// number and with it the path could come back for other code, which the dynamic linker takes for the
    /// same.
    _copy: Option<Sealed>,
}

struct Host {
    store: Store,
    compiler: Compiler,
    running: Vec<Running>,
}

/// What can only be seen from within the two steps of a start.
#[derive(Default)]
struct Seen {
    build: Option<Duration>,
    load: Option<Duration>,
    /// What the artifact in use cost to build, whenever that was.
    cost: Duration,
    stored: bool,
    /// The plugin itself could not start.
    refused: bool,
}

impl Host {
    /// Loads a plugin from the store; compiles it only if it is not there.
    fn start(&mut self, plugin: &PluginSources) -> Row {
        let mut seen = Seen::default();
        let begin = Instant::now();
        let outcome = self.load_or_build(plugin, &mut seen);
        let row = Row::new(&plugin.name, begin.elapsed()).took(seen.build, seen.load);
        let how = match (seen.build, seen.stored) {
            (None, _) => How::Hit,
            (Some(_), true) => How::Built,
            (Some(_), false) => How::Unstored,
        };
        match outcome {
            Ok(running) => {
                self.running.push(running);
                row.is(how, seen.cost)
            }
            // It compiled and it loads: that its initialiser fails is its own affair, and will be again.
            Err(problem) if seen.refused => row.is(how, seen.cost).note(problem),
            Err(problem) => row.is(How::Failed, Duration::ZERO).note(problem),
        }
    }

    fn load_or_build(&self, plugin: &PluginSources, seen: &mut Seen) -> anyhow::Result<Running> {
        let sources = self.compiler.sources(plugin, &self.store)?;
        // The two steps share what they have seen, one after the other.
        let seen = RefCell::new(seen);
        let outcome = self.store.load_or_build(
            &sources,
            |build| {
                let begin = Instant::now();
                let result = self.compiler.build(plugin, build);
                seen.borrow_mut().build = Some(begin.elapsed());
                result
            },
            |artifact| {
                let begin = Instant::now();
                let result = Plugin::load(artifact.path());
                let mut seen = seen.borrow_mut();
                seen.load = Some(begin.elapsed());
                seen.cost = artifact.cost();
                seen.stored = artifact.is_stored();
                seen.refused = matches!(result, Err(LoadFailed::Plugin(_)));
                result
            },
        );
        match outcome {
            Ok(loaded) => Ok(Running {
                name: plugin.name.clone(),
                plugin: loaded.value,
                artifact: loaded.artifact,
                _copy: None,
            }),
            Err(LoadOrBuildError::Build(error) | LoadOrBuildError::Load(error)) => Err(error),
            Err(LoadOrBuildError::NoOutput(error)) => Err(error.into()),
            Err(_) => anyhow::bail!("there is no artifact, and this store does not allow to build one"),
        }
    }

    /// Loads the plugin that was started last once more. The same file would give the same instance, its
    /// initialiser would not run and its memory would be shared: a second instance needs a copy.
    fn start_again(&mut self, name: &str) -> Row {
        let begin = Instant::now();
        let outcome = self.load_copy(name);
        let row = Row::new(&format!("{name} again"), begin.elapsed());
        match outcome {
            Ok((running, load)) => {
                self.running.push(running);
                row.took(None, Some(load)).is(How::Copy, Duration::ZERO)
            }
            Err(problem) => row.is(How::Failed, Duration::ZERO).note(problem),
        }
    }

    fn load_copy(&self, name: &str) -> anyhow::Result<(Running, Duration)> {
        let first = self.running.iter().find(|running| running.name == name);
        let artifact = first.context("its first instance does not run")?.artifact.clone();
        let copy = artifact.primary().sealed()?;
        let begin = Instant::now();
        let plugin = Plugin::load(copy.path()).map_err(|failed| match failed {
            LoadFailed::Artifact(error) | LoadFailed::Plugin(error) => error,
        })?;
        Ok((Running { name: format!("{name} again"), plugin, artifact, _copy: Some(copy) }, begin.elapsed()))
    }

    fn call_all(&self) {
        for running in &self.running {
            println!("\n{} {}", table::heading(&running.name), running.plugin.summary());
            for line in running.plugin.call().lines() {
                println!("  {line}");
            }
        }
    }
}

fn describe(store: &Store) -> String {
    let dir = store.config().dir().display();
    match store.status() {
        Status::Ready => format!("store: {dir}"),
        Status::ReadOnly => format!("store: {dir}, read only"),
        Status::Degraded(why) => format!("store: {dir}, but {why}"),
        Status::Disabled(why) => format!("store: none, nothing is kept: {why}"),
        _ => format!("store: {dir}, in a state this host does not know"),
    }
}
