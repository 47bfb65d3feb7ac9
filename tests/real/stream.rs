//! Workers that run until they are killed, and what they say meanwhile.

use std::{
    io::{BufRead, BufReader},
    process::Child,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use plugcache::{__sim, Outputs, Store};

use crate::{
    bed::{Found, Random, SHARED, Setup, body, find, sources},
    worker::{added, command, say, start},
};

/// Writes, reads, forgets and compacts until it is killed; keys are `verbs[0]` and following, all its own.
///
/// Says `? key` before an add, `+ key` once it is stored, `- key why` if it is not; `~ key` before a forget;
/// `s` after a sync; `! ..` where the store broke a promise.
pub(crate) fn stream(setup: &Setup, verbs: &[String]) {
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
        // No more than forty, so that the store stays as small as the oracle can look through.
        match if stored.len() > 40 { 0 } else { random.below(10) } {
            0 => {
                let key = stored.swap_remove(own);
                say(&format!("~ {key}"));
                // Whether it went through does not matter: the key counts for nothing from here on.
                let _ = store.forget(&sources(key).digest());
            }
            1 if !setup.sync => {
                let synced = store.sync();
                if synced.is_ok() {
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

/// Only adds; its store is over its limit each time.
pub(crate) fn adder(setup: &Setup, verbs: &[String]) {
    let (first, seed): (u64, u64) = (verbs[0].parse().unwrap(), verbs[1].parse().unwrap());
    let mut random = Random::new(seed);
    let store = setup.open();
    for key in first.. {
        let bytes = body(key, 1, random.below(6000) as usize);
        match added(&store, key, Outputs::bytes("out", bytes)) {
            Ok(()) => say(&format!("+ {key}")),
            Err(why) => say(&format!("! {key} {why}")),
        }
    }
}

/// Finds what nobody ever drops, and whatever else is listed.
pub(crate) fn reader(setup: &Setup, verbs: &[String]) {
    let mut random = Random::new(verbs[1].parse().unwrap());
    let store = setup.open();
    loop {
        let labels: Vec<String> = store.entries().map(|entry| entry.label().to_owned()).collect();
        for _ in 0..50 {
            let label = &labels[random.below(labels.len() as u64) as usize];
            let key = label.strip_suffix(".c").unwrap().parse().unwrap();
            if find(&store, key) == Found::Wrong {
                say(&format!("! wrong bytes under {key}"));
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Turns logs into segments all the time, and clears up.
pub(crate) fn compactor(setup: &Setup) {
    let store = setup.open();
    loop {
        __sim::compact(&store);
        __sim::sweep(&store);
        thread::sleep(Duration::from_millis(3));
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
        Stream::start_with(role, setup, &[], first, seed)
    }

    /// `verbs`: what the role wants to know before the first key and the seed.
    pub(crate) fn start_with(role: &str, setup: &Setup, verbs: &[String], first: u64, seed: u64) -> Stream {
        let verbs = [verbs, &[first.to_string(), seed.to_string()]].concat();
        let mut child = start(&command(role, setup, &verbs));
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

    /// What it has said since this was called last.
    pub(crate) fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }

    /// It says nothing more: a call that it is in may still go on, and what that answers is never heard.
    #[track_caller]
    pub(crate) fn stop(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    }

    /// After [`stop`](Stream::stop).
    #[track_caller]
    pub(crate) fn go_on(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    }

    /// kill -9; then all that it has said since `take_lines`. It must have lived until now: a panic is not
    /// what it is killed for.
    #[track_caller]
    pub(crate) fn kill(mut self) -> Vec<String> {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "it had come to an end by itself: {ended:?}, {:?}", self.take_lines());
        self.end();
        self.take_lines()
    }

    /// All that it has said, once the kernel has killed it.
    #[track_caller]
    pub(crate) fn killed_by_the_kernel(mut self) -> Vec<String> {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "it lives on: {:?}", self.take_lines().last());
            thread::sleep(Duration::from_millis(2));
        };
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        self.end();
        let lines = self.take_lines();
        assert_eq!(signal, Some(libc::SIGKILL), "{status}, after {:?}", lines.last());
        lines
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
