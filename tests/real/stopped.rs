//! A process stopped (SIGSTOP) at each system call in turn blocks nobody: meanwhile others find and add, each
//! in less than 50 ms (I13).

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use plugcache::{__sim, Added, Outputs, Skip, Store};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    bed::{Found, Oracle, SHARED, Setup, add, body, find, objects, sources, temp},
    harness::{self, Outcome},
    strace::{self, CALLS},
    tests, worker,
};

tests!["stopped":
    a_process_stopped_anywhere_in_an_add_holds_nobody_up,
    a_process_stopped_anywhere_in_an_eviction_holds_nobody_up,
    a_process_stopped_anywhere_in_a_compaction_holds_nobody_up,
    a_process_stopped_anywhere_in_a_removal_holds_nobody_up,
    a_process_that_sleeps_through_a_compaction_and_a_sweep_anywhere_ends_as_if_nothing_had_been,
];

/// What a find or an add of another process may take.
const BOUND: Duration = Duration::from_millis(50);
/// A busy machine may take a process's turn away for longer; not so often in a row.
const TRIES: u64 = 3;

/// After so long the stopped one is killed, so that who waits for it fails and does not hang.
const HANGS: Duration = Duration::from_secs(10);

/// A worker that strace stops at its `n`th call; killed when this is dropped.
struct Stopped {
    strace: Child,
    stdout: ChildStdout,
    /// Ends the watch when it is dropped.
    _watch: Sender<()>,
    /// Kept, or strace would die of the closed pipe, and its child with it.
    _said: Receiver<String>,
    pid: Pid,
}

impl Stopped {
    /// `None` if it came to its end before.
    fn at(call: &str, n: usize, command: &[std::ffi::OsString]) -> Option<Stopped> {
        let mut strace = Command::new("strace")
            .args(["-f", "-qq", "-e", &format!("trace={call}")])
            .args(["-e", &format!("inject={call}:signal=STOP:when={n}")])
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (said, stdout) = (lines_of(strace.stderr.take().unwrap()), strace.stdout.take().unwrap());
        while let Ok(line) = said.recv() {
            if line.contains("--- stopped by SIGSTOP ---") {
                let children = format!("/proc/{0}/task/{0}/children", strace.id());
                let pid = fs::read_to_string(children).unwrap().trim().parse().unwrap();
                let pid = Pid::from_raw(pid).unwrap();
                return Some(Stopped { strace, stdout, pid, _watch: watch(pid), _said: said });
            }
        }
        assert!(strace.wait().unwrap().success(), "{call} {n}");
        None
    }

    /// Wakes it up; all that it says until its end.
    fn go_on(mut self) -> String {
        kill_process(self.pid, Signal::CONT).unwrap();
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).unwrap();
        said
    }
}

/// Lines as they come; ends with the pipe.
fn lines_of(pipe: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    receiver
}

/// Kills `pid` unless what is returned is dropped in time.
fn watch(pid: Pid) -> Sender<()> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        if receiver.recv_timeout(HANGS) == Err(RecvTimeoutError::Timeout) {
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    sender
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // strace follows its child, which may have come to its end already.
        let _ = kill_process(self.pid, Signal::KILL);
        let _ = self.strace.wait();
    }
}

/// Those who go on while one is stopped, and how long each call took.
struct Others {
    /// Open since before.
    store: Store,
    next: u64,
    times: Vec<Duration>,
}

impl Others {
    /// Runs `call` until it is fast, at most thrice.
    fn timed(&mut self, what: &str, mut call: impl FnMut(&Store, u64)) {
        let mut fastest = Duration::MAX;
        for _ in 0..TRIES {
            self.next += 1;
            let begin = Instant::now();
            call(&self.store, self.next);
            let took = begin.elapsed();
            assert!(took < HANGS / 2, "{what} took {took:?}: it waited for the stopped one");
            self.times.push(took);
            fastest = fastest.min(took);
            if fastest < BOUND {
                return;
            }
        }
        panic!("{what} took {fastest:?} and more, {TRIES} times in a row");
    }

    fn go_on(&mut self, setup: &Setup, after: &str) {
        for key in 1..=3 {
            self.timed(&format!("a find, {after}"), |store, _| {
                assert_eq!(find(store, key), Found::Right, "{key} {after}");
            });
        }
        self.timed(&format!("an add, {after}"), |store, next| {
            assert_eq!(add(store, next, 1, 1000), Added::Stored, "{after}");
            assert_eq!(find(store, next), Found::Right, "{after}");
        });
        // The object that the stopped one may be adding or removing right now.
        self.timed(&format!("an add of the same bytes, {after}"), |store, next| {
            let added = store.add(&sources(next), Outputs::bytes("out", body(SHARED, 9, 2000)));
            assert!(matches!(added.unwrap(), Added::Stored | Added::Skipped(Skip::Busy)), "{after}");
        });
        self.timed(&format!("open and find, {after}"), |_, _| {
            assert_eq!(find(&setup.open(), 2), Found::Right, "{after}");
        });
        self.timed(&format!("a find of what is being changed, {after}"), |store, _| {
            assert_ne!(find(store, 9), Found::Wrong, "{after}");
        });
        let added = self.next - 2;
        self.timed(&format!("a forget, {after}"), |store, _| {
            store.forget(&sources(added).digest()).unwrap();
            assert_eq!(find(store, added), Found::Nothing, "{after}");
        });
    }
}

fn everywhere(stopping: Setup, prepare: impl Fn(&Setup), script: impl Fn(u64) -> Vec<String>) -> Outcome {
    everywhere_and(stopping, prepare, script, |_| {})
}

/// Stops what runs `script` at each of its calls in turn, each time after `prepare`; `done` looks at what it did
/// when it came to its end.
pub(crate) fn everywhere_and(
    stopping: Setup,
    prepare: impl Fn(&Setup),
    script: impl Fn(u64) -> Vec<String>,
    done: impl Fn(&str),
) -> Outcome {
    strace::need_strace()?;
    let setup = Setup { max_files: 1 << 20, max_bytes: 1 << 40, ..stopping.clone() };
    let mut oracle = Oracle::with_keys(&setup, 1..=8);
    let mut others = Others { store: setup.open(), next: 1_000_000, times: Vec::new() };
    let mut stops = 0;
    for call in CALLS {
        let mut n = 0;
        loop {
            n = next_stop(n);
            // Afresh: what was interrupted before must not add to the calls of this one.
            __sim::compact(&setup.open());
            prepare(&setup);
            let begin = others.next;
            let verbs = script(begin);
            let command = worker::command("script", &stopping, &verbs);
            let Some(stopped) = Stopped::at(call, n, &command) else {
                done(call);
                break;
            };
            stops += 1;
            let after = format!("stopped at {call} {n} of {verbs:?}");
            others.go_on(&setup, &after);
            drop(stopped);
            let added = [500_000 + begin, 600_000 + begin].into_iter().chain(begin..=others.next);
            for key in added {
                others.store.forget(&sources(key).digest()).unwrap();
            }
            oracle.all_is_well(&after);
        }
    }
    assert!(stops >= 10, "only {stops} stops");
    let mut times = others.times;
    times.sort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    Ok(format!("{stops} stops, {} calls of others: median {median:.1?}, worst {worst:.1?}", times.len()))
}

/// Which call of one name comes after the `n`th: each of the first dozen, then fewer and fewer, for a sweep lists 256
/// directories that are all alike; with `PLUGCACHE_STOPS=1` each.
fn next_stop(n: usize) -> usize {
    let is_each = n < 12 || harness::count("PLUGCACHE_STOPS", 0) == 1;
    if is_each { n + 1 } else { n + n / 4 }
}

fn a_process_stopped_anywhere_in_an_add_holds_nobody_up() -> Outcome {
    let temp = temp();
    let setup = Setup::new(temp.path().join("store"));
    everywhere(
        setup,
        |_| {},
        |next| vec![format!("add:{}:1:2000", 500_000 + next), format!("share:{}:9:2000", 600_000 + next)],
    )
}

fn a_process_stopped_anywhere_in_an_eviction_holds_nobody_up() -> Outcome {
    let temp = temp();
    let mut setup = Setup::new(temp.path().join("store"));
    setup.max_files = 12;
    let fill = |setup: &Setup| {
        let store = setup.open();
        // Versions of one source go first: the eight that must stay are safe. Twelve of them, all old.
        for version in 0..12 {
            assert_eq!(add_version(&store, version, 900), Added::Stored);
        }
    };
    everywhere(setup, fill, |next| vec![format!("add:{}:1:2000", 500_000 + next)])
}

/// Versions of one file: the first to go when a store is full.
pub(crate) fn add_version(store: &Store, version: u64, len: usize) -> Added {
    let sources = plugcache::Sources::new("real/1", &plugcache::Toolchain::none(), plugcache::NO_OPTIONS)
        .bytes("edited.c", version.to_le_bytes())
        .digest()
        .unwrap();
    store.add(&sources, Outputs::bytes("out", body(SHARED, 100 + version, len))).unwrap()
}

fn a_process_stopped_anywhere_in_a_compaction_holds_nobody_up() -> Outcome {
    let temp = temp();
    everywhere(Setup::new(temp.path().join("store")), |_| {}, |_| vec!["compact".into()])
}

fn a_process_stopped_anywhere_in_a_removal_holds_nobody_up() -> Outcome {
    let temp = temp();
    let damage = |setup: &Setup| {
        let store = setup.open();
        let shared = Outputs::bytes("out", body(SHARED, 9, 2000));
        assert_eq!(store.add(&sources(9), shared).unwrap(), Added::Stored);
        let digest = plugcache::ObjectDigest::of_bytes(&body(SHARED, 9, 2000));
        let path = &objects(&setup.dir.join("v1"))[&digest];
        let mut bytes = fs::read(path).unwrap();
        bytes[1500] ^= 1;
        // A file of the same name, as a restored backup might bring it.
        fs::remove_file(path).unwrap();
        fs::write(path, &bytes).unwrap();
    };
    everywhere(Setup::new(temp.path().join("store")), damage, |_| vec!["find:9".into()])
}

/// What a slow process meets: the log that it writes to is compacted away, what it publishes is swept for.
fn a_process_that_sleeps_through_a_compaction_and_a_sweep_anywhere_ends_as_if_nothing_had_been() -> Outcome {
    strace::need_strace()?;
    let temp = temp();
    let setup = Setup::new(temp.path().join("store"));
    // Without courtesy to young objects: leases alone keep what has no entry yet.
    let sweeping = Setup { max_bytes: 0, ..setup.clone() };
    let mut oracle = Oracle::with_keys(&setup, 1..=4);
    let mut naps = 0;
    for script in ["add:{}:1:2000", "share:{}:9:2000", "build:{}:1:700", "forget:{}"] {
        for call in CALLS {
            for n in 1.. {
                naps += 1;
                let key = 1000 + naps;
                let verb = script.replace("{}", &key.to_string());
                let store = setup.open();
                __sim::compact(&store);
                if script.starts_with("forget") {
                    assert_eq!(add(&store, key, 1, 100), Added::Stored);
                }
                let command = worker::command("script", &setup, std::slice::from_ref(&verb));
                let Some(stopped) = Stopped::at(call, n, &command) else { break };
                for round in 0..2 {
                    // Something to compact, or nothing would be.
                    assert_eq!(add(&store, 5, round, 100), Added::Stored);
                    __sim::compact(&store);
                    __sim::sweep(&sweeping.open());
                }
                let said = stopped.go_on();
                let after = format!("a nap at {call} {n} of {verb}");
                assert_eq!(said, format!("+ {verb}\n"), "after {after}");
                let expected = if script.starts_with("forget") { Found::Nothing } else { Found::Right };
                assert_eq!(find(&setup.open(), key), expected, "{after}");
                oracle.check(&after);
                store.forget(&sources(key).digest()).unwrap();
            }
        }
    }
    oracle.all_is_well("many naps");
    assert!(naps > 50, "only {naps} naps");
    Ok(format!("{naps} naps"))
}
