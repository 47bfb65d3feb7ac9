//! The processes that are killed, stopped and starved: this binary, started again with a script.
//!
//! A script is a list of verbs. After each the worker writes one line (`+ verb`, or `- verb: reason`) in one
//! `write`, so that what it has acknowledged is known whatever becomes of it.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{Read, Write},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use plugcache::{__sim, Added, How, Outputs, Store};

use crate::{
    attacker,
    bed::{Found, SHARED, Setup, body, judge, sources},
    crowd, forks, layers, leases, modes,
    sandbox::set_limit,
    starved::starved_stream,
    stream::{adder, compactor, reader, stream},
};

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
        "adder" => adder(&setup, &verbs),
        "reader" => reader(&setup, &verbs),
        "compactor" => compactor(&setup),
        "member" => crowd::member(&setup, &verbs),
        "forks" => forks::scene(&setup, &verbs),
        "replace" => crowd::replace(&setup, &verbs),
        "starved" => starved_stream(&setup, &verbs),
        "attacker" => attacker::attack(&setup, &verbs),
        "maker" => modes::make_everything(&setup, &verbs),
        "stranger" => modes::look_around(&verbs),
        "holder" => leases::hold(&setup, &verbs),
        "layered" => layers::work(&setup, &verbs),
        "victim" => attacker::work(&setup, &verbs),
        other => panic!("no role {other}"),
    }
    Some(ExitCode::SUCCESS)
}

/// A worker that comes to its end by itself; killed if it is not waited for.
pub(crate) struct Watched {
    role: &'static str,
    child: Child,
}

impl Watched {
    pub(crate) fn start(role: &'static str, setup: &Setup, verbs: &[String]) -> Watched {
        Watched { role, child: start(&command(role, setup, verbs)) }
    }

    /// What it has said, once it has ended.
    #[track_caller]
    pub(crate) fn ended(mut self, until: Instant) -> String {
        let mut pipe = self.child.stdout.take().unwrap();
        let reader = thread::spawn(move || {
            let mut said = String::new();
            pipe.read_to_string(&mut said).map(|_| said)
        });
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > until {
                let at = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.child.id()));
                panic!("a {} hangs in {:?} {:?}", self.role, at("wchan"), at("syscall"));
            }
            thread::sleep(Duration::from_millis(20));
        };
        assert!(status.success(), "a {} ended with {status}", self.role);
        reader.join().unwrap().unwrap()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One line in one write: readers see it whole or not at all.
pub(crate) fn say(line: &str) {
    // Nobody listens any more: then nobody asks for the rest either.
    let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
}

fn script(setup: &Setup, mut verbs: &[String]) {
    while let Some((limit, rest)) = verbs.split_first()
        && set_limit(limit)
    {
        verbs = rest;
    }
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
            Found::Right => Ok(()),
            other => Err(format!("{other:?}")),
        },
        "forget" => store.forget(&sources(key).digest()).map(|_| ()).map_err(|error| format!("{error:?}")),
        "sync" => store.sync().map_err(|error| format!("{error:?}")),
        "compact" => __sim::compact(store).then_some(()).ok_or("not compacted".into()),
        "sweep" => {
            __sim::sweep(store);
            Ok(())
        }
        "tend" => {
            let swept = store.sweep(plugcache::SweepOptions::new());
            swept.map(|_| ()).map_err(|error| format!("{error:?}"))
        }
        "scrub" => {
            let scrubbed = store.scrub(plugcache::ScrubOptions::new());
            scrubbed.map(|_| ()).map_err(|error| format!("{error:?}"))
        }
        "rebuild" => store.rebuild().map(|_| ()).map_err(|error| format!("{error:?}")),
        "pause" => {
            thread::sleep(Duration::from_millis(key));
            Ok(())
        }
        other => panic!("no verb {other}"),
    }
}

pub(crate) fn added(store: &Store, key: u64, outputs: Outputs) -> Result<(), String> {
    match store.add(&sources(key), outputs) {
        Ok(Added::Stored) => Ok(()),
        Ok(other) => Err(format!("{other:?}")),
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
