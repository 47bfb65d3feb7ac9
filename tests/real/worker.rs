//! The processes that are killed, stopped and starved: this binary, started again with a script.
//!
//! A script is a list of verbs. After each the worker writes one line (`+ verb`, or `- verb: reason`) in one
//! `write`, so that what it has acknowledged is known whatever becomes of it.

use std::{
    env,
    ffi::OsString,
    io::Write,
    io::{BufRead, BufReader},
    process::{Child, Command, ExitCode, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use plugcache::{__sim, Added, How, Outputs, Store};

use crate::bed::{Found, Random, SHARED, Setup, body, find, judge, sources};

/// First argument of a worker.
const WORKER: &str = "--worker";

/// The command that runs `role` on a store.
pub(crate) fn command(role: &str, setup: &Setup, verbs: &[String]) -> Vec<OsString> {
    let mut command = vec![env::current_exe().unwrap().into(), WORKER.into(), role.into()];
    command.extend(setup.to_args());
    command.extend(verbs.iter().map(OsString::from));
    command
}

/// Starts a worker whose lines can be read from its standard output.
pub(crate) fn start(command: &[OsString]) -> Child {
    Command::new(&command[0]).args(&command[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn run_if_told() -> Option<ExitCode> {
    let mut args = env::args_os().skip(1);
    if args.next()? != WORKER {
        return None;
    }
    let role = args.next()?;
    let setup = Setup::from_args(&mut args);
    let verbs: Vec<String> = args.map(|arg| arg.into_string().unwrap()).collect();
    match role.to_str()? {
        "script" => script(&setup, &verbs),
        "stream" => stream(&setup, &verbs),
        other => panic!("no role {other}"),
    }
    Some(ExitCode::SUCCESS)
}

/// One line in one write: readers see it whole or not at all.
pub(crate) fn say(line: &str) {
    // Nobody listens any more: then nobody asks for the rest either.
    let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
}

fn script(setup: &Setup, verbs: &[String]) {
    let store = match Store::open(setup.config()) {
        Ok(store) => store,
        Err(error) => return say(&format!("- open: {error:?}")),
    };
    for verb in verbs {
        match act(&store, verb) {
            Ok(()) => say(&format!("+ {verb}")),
            Err(why) => say(&format!("- {verb}: {why}")),
        }
    }
}

/// Carries out one verb: `name:number:number..`.
fn act(store: &Store, verb: &str) -> Result<(), String> {
    let mut fields = verb.split(':');
    let name = fields.next().unwrap_or_default();
    let numbers: Vec<u64> = fields.map(|field| field.parse().unwrap()).collect();
    let number = |at: usize| numbers.get(at).copied().unwrap_or(0);
    let (key, version, len) = (number(0), number(1), number(2) as usize);
    match name {
        "add" => added(store, key, Outputs::bytes("out", body(key, version, len))),
        "share" => added(store, key, Outputs::bytes("out", body(SHARED, version, len))),
        "pair" => added(
            store,
            key,
            Outputs::bytes("out", body(key, version, len)).and_bytes("map", body(key, version + 1, 100)),
        ),
        "build" => build(store, key, version, len),
        "find" => match judge(key, store.find(&sources(key))) {
            crate::bed::Found::Right => Ok(()),
            other => Err(format!("{other:?}")),
        },
        "forget" => store.forget(&sources(key).digest()).map(|_| ()).map_err(|error| format!("{error:?}")),
        "sync" => store.sync().map_err(|error| format!("{error:?}")),
        "compact" => __sim::compact(store).then_some(()).ok_or("not compacted".into()),
        "sweep" => {
            __sim::sweep(store);
            Ok(())
        }
        "pause" => {
            std::thread::sleep(Duration::from_millis(key));
            Ok(())
        }
        other => panic!("no verb {other}"),
    }
}

fn added(store: &Store, key: u64, outputs: Outputs) -> Result<(), String> {
    match store.add(&sources(key), outputs) {
        Ok(Added::Stored) => Ok(()),
        Ok(Added::Skipped(why)) => Err(format!("{why:?}")),
        Err(error) => Err(format!("error {error:?}")),
    }
}

/// A build as hosts make one: two files in the build's directory, one of which is no output.
fn build(store: &Store, key: u64, version: u64, len: usize) -> Result<(), String> {
    let got = store.get_or_build(&sources(key), |build| {
        std::fs::write(build.dir().join("temporary"), "x")?;
        std::fs::write(build.output("out"), body(key, version, len))
    });
    match got.map_err(|error| format!("error {error:?}"))?.how {
        How::Uncached(why) => Err(format!("{why:?}")),
        _ => Ok(()),
    }
}

/// Writes, reads, forgets and compacts until it is killed; keys are `verbs[0]` and following, all its own.
///
/// Says `? key` before an add, `+ key` once it is stored, `- key why` if it is not; `~ key` before a forget;
/// `s` after a sync; `! ..` where the store broke a promise.
fn stream(setup: &Setup, verbs: &[String]) {
    let (first, seed): (u64, u64) = (verbs[0].parse().unwrap(), verbs[1].parse().unwrap());
    let mut random = Random::new(seed);
    let store = match Store::open(setup.config()) {
        Ok(store) => store,
        Err(error) => return say(&format!("- open {error:?}")),
    };
    let mut stored: Vec<u64> = Vec::new();
    for key in first.. {
        say(&format!("? {key}"));
        let len = random.below(6000) as usize * if random.below(20) == 0 { 50 } else { 1 };
        let owner = if random.below(5) == 0 { SHARED } else { key };
        let version = if owner == SHARED { random.below(3) } else { 1 };
        let len = if owner == SHARED { 4000 } else { len };
        match added(&store, key, Outputs::bytes("out", body(owner, version, len))) {
            Ok(()) => {
                say(&format!("+ {key}"));
                stored.push(key);
            }
            Err(why) => {
                say(&format!("- {key} {why}"));
                thread::sleep(Duration::from_millis(5));
            }
        }
        let Some(own) = (!stored.is_empty()).then(|| random.below(stored.len() as u64) as usize) else {
            continue;
        };
        match random.below(10) {
            0 => {
                let key = stored.swap_remove(own);
                say(&format!("~ {key}"));
                // Whether it went through does not matter: the key counts for nothing from here on.
                let _ = store.forget(&sources(key).digest());
            }
            1 if !setup.sync => {
                if store.sync().is_ok() {
                    say("s");
                }
            }
            2 => drop(__sim::compact(&store)),
            3 => __sim::sweep(&store),
            4..7 => {
                let key = stored[own];
                match find(&store, key) {
                    Found::Right => {}
                    // Only where the disk is gone or others evict; the oracle knows.
                    Found::Nothing => say(&format!("- {key} missed")),
                    Found::Wrong => say(&format!("! wrong bytes under {key}")),
                }
            }
            _ => {}
        }
    }
}

/// A worker that runs until it is killed, and the lines that it has said.
pub(crate) struct Stream {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    pub(crate) fn start(role: &str, setup: &Setup, first: u64, seed: u64) -> Stream {
        let mut child = start(&command(role, setup, &[first.to_string(), seed.to_string()]));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (heard, pipe) = (lines.clone(), BufReader::new(child.stdout.take().unwrap()));
        let reader = thread::spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                heard.lock().unwrap().push(line);
            }
        });
        Stream { child, lines, reader: Some(reader) }
    }

    /// Until it is at work.
    #[track_caller]
    pub(crate) fn wait_for_lines(&self, count: usize) {
        let begin = Instant::now();
        while self.lines.lock().unwrap().len() < count {
            assert!(begin.elapsed() < Duration::from_secs(60), "a worker does not get to work");
            thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said since this was called last.
    pub(crate) fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }

    /// kill -9; then all that it has said since `take_lines`.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.end();
        self.take_lines()
    }

    fn end(&mut self) {
        // Dead already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end();
    }
}
