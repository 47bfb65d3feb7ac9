//! What a process of the fleet does that this program has started again: the hosts and publishers. They say what they do in
//! lines, whose words are separated by tabs.

use std::{
    cell::Cell,
    env,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use plugcache::{Config, Fetched, Store, Toolchain};
use plugcache_remote::{
    Counts, Mode, Prefix, Publisher, Remote, RemoteConfig, S3Bucket, S3Config, SecretKey, Trust,
};

use crate::{
    attack,
    bed::name,
    engines,
    plugins::{self, Plugin},
};

/// Set for processes of the fleet.
pub(crate) const ROLE: &str = "FLEET_ROLE";
/// The bundle of all plugins.
pub(crate) const RELEASE: &str = "release";

pub(crate) fn play_if_told() -> Option<ExitCode> {
    let role = env::var(ROLE).ok()?;
    let played = match role.as_str() {
        "host" => Machine::new(Mode::ReadOnly).and_then(|machine| machine.run(false)),
        "publisher" => Machine::new(Mode::WriteThrough).and_then(|machine| machine.run(true)),
        "attacker" => attack::run(),
        "forger" => attack::forge(),
        "engine" => engines::run(),
        other => panic!("no role is called {other}"),
    };
    Some(match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{role} {}: {error:#}", told("FLEET_MACHINE"));
            ExitCode::FAILURE
        }
    })
}

pub(crate) fn say(line: &str) {
    let mut out = io::stdout().lock();
    // The test may be gone.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// What this process was told; empty if nothing.
pub(crate) fn told(variable: &str) -> String {
    env::var(variable).unwrap_or_default()
}

pub(crate) fn below(path: &str) -> PathBuf {
    PathBuf::from(told("FLEET_DIR")).join(path)
}

/// Waits for the next word; `None` at the end.
pub(crate) fn heard() -> Option<String> {
    let mut line = String::new();
    let len = io::stdin().read_line(&mut line).unwrap_or(0);
    (len > 0).then(|| line.trim().to_owned())
}

pub(crate) fn bucket() -> Result<S3Bucket> {
    // The endpoint, the region and the keys come from the environment, as for any host.
    let mut config = S3Config::new(told("FLEET_BUCKET"));
    config.allow_http = true;
    if is_patient() {
        config.connect = Duration::from_secs(5);
    }
    Ok(S3Bucket::open(&config)?)
}

/// `PLUGCACHE_IMPATIENT=1` gives all hosts the deadlines that hosts have: on a machine that has nothing else to do.
fn is_patient() -> bool {
    told("FLEET_PATIENT") == "1" && told("PLUGCACHE_IMPATIENT") != "1"
}

/// A client of the fleet's bucket below `prefix`, which signs with this key if it signs.
pub(crate) fn remote_config(mode: Mode, prefix: &str, signer: Option<(&str, &str)>) -> Result<RemoteConfig> {
    let trust = Trust::load(&below("trust"))?;
    let mut config = RemoteConfig::reader(vec![name("main")], trust);
    config.mode = mode;
    config.prefix = Prefix::new(prefix)?;
    if let Some((key, namespace)) = signer {
        let key = SecretKey::load(&below(&format!("{key}.key")))?;
        let builder = told("FLEET_MACHINE");
        config.publisher = Some(Publisher { namespace: name(namespace), key, builder });
    }
    if is_patient() {
        let long = Duration::from_secs(30);
        config.deadlines.first_byte = long;
        config.deadlines.stall = long;
        config.deadlines.lookup_min = long;
        config.deadlines.lookup_max = long;
    }
    Ok(config)
}

/// A host or a publisher.
struct Machine {
    store: Store,
    remote: Remote,
    compiler: Toolchain,
    plugins: Vec<Plugin>,
    name: String,
}

impl Machine {
    fn new(mode: Mode) -> Result<Machine> {
        let key = told("FLEET_KEY");
        let signer = (!key.is_empty()).then_some((key.as_str(), "main"));
        let remote = Remote::new(bucket()?, remote_config(mode, "fleet", signer)?)?;
        let name = told("FLEET_MACHINE");
        let store = Store::open_with_tier(Config::new(below(&name).join("store")), remote.clone())?;
        let mut plugins = plugins::read(&below("plugins"));
        // Hosts start with different ones.
        let first = told("FLEET_NUMBER").parse::<usize>()? % plugins.len();
        plugins.rotate_left(first);
        Ok(Machine { store, remote, compiler: plugins::compiler()?, plugins, name })
    }

    fn run(self, publishes: bool) -> Result<()> {
        say("up");
        if heard().is_none() {
            bail!("nobody says go");
        }
        if told("FLEET_PULLS") == "1" {
            self.pull();
        }
        let pause = Duration::from_millis(told("FLEET_PAUSE_MS").parse().unwrap_or(0));
        let (mut loaded, mut keys) = (Vec::new(), Vec::new());
        for plugin in &self.plugins {
            say(&format!("began\t{}", plugin.name));
            let artifact = self.load(plugin, &mut loaded)?;
            keys.extend(artifact.tier_key());
            thread::sleep(pause);
        }
        if publishes {
            self.remote.publish_bundle(&name(RELEASE), &keys).context("the bundle")?;
        }
        say_counts(&self.remote.status().counts);
        Ok(())
    }

    /// Everything by one lookup. Without a bundle it goes one by one.
    fn pull(&self) {
        let store = &self.store;
        let pulled = self.remote.pull(&name(RELEASE), |key| matches!(store.fetch(key), Ok(Fetched::Now)));
        match pulled {
            Ok(pulled) => say(&format!("pulled\t{}\t{}", pulled.keys, pulled.here)),
            Err(error) => say(&format!("not pulled\t{error}")),
        }
    }

    fn load(&self, plugin: &Plugin, loaded: &mut Vec<libloading::Library>) -> Result<plugcache::Artifact> {
        let sources = plugin.sources(&self.compiler)?;
        let (begun, compiling) = (Instant::now(), Cell::new(Duration::ZERO));
        let got =
            self.store.load_or_build(&sources, |build| self.build(plugin, build, &compiling), plugins::call);
        let took = begun.elapsed();
        let got = got.map_err(|error| anyhow::anyhow!("{}: {error}", plugin.name))?;
        let ((answer, library), digest) = (got.value, got.artifact.primary().digest());
        loaded.push(library);
        let waited = took.saturating_sub(compiling.get()).as_micros();
        say(&format!("got\t{}\t{}\t{answer}\t{digest}\t{waited}", plugin.name, got.how));
        Ok(got.artifact)
    }

    fn build(&self, plugin: &Plugin, build: &mut plugcache::Build, took: &Cell<Duration>) -> Result<()> {
        let begun = Instant::now();
        let built = plugin.compile(build, &self.name, &below("compiled"));
        took.set(took.get() + begun.elapsed());
        built
    }
}

/// By the names of the fields.
fn say_counts(counts: &Counts) {
    let text = format!("{counts:?}");
    let inner = text.trim_start_matches("Counts { ").trim_end_matches(" }");
    for (field, count) in inner.split(", ").filter_map(|field| field.split_once(": ")) {
        say(&format!("count\t{field}\t{count}"));
    }
}
