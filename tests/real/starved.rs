//! Processes that the kernel kills because their memory is used up, in the middle of whatever they do (I15): of
//! what they have acknowledged nothing is lost. `PLUGCACHE_STARVED` says how often.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{
    bed::{Oracle, Setup, rate},
    harness::{self, Outcome, Skipped},
    mounts::Mount,
    stream::{Stream, stream},
    tests,
};

tests!["starved":
    nothing_acknowledged_is_lost_when_the_kernel_kills_writers_for_want_of_memory,
];

/// The worker: `verbs` are the file that takes in members of a control group, and what `stream` is told.
pub(crate) fn starved_stream(setup: &Setup, verbs: &[String]) {
    // 0 stands for whoever writes it.
    fs::write(&verbs[0], "0").unwrap();
    stream(setup, &verbs[1..]);
}

/// A control group whose members have so much memory together, files in memory included.
struct Group(PathBuf);

impl Group {
    fn new(bytes: u64) -> Result<Group, Skipped> {
        harness::need_root()?;
        let name = format!("plugcache-{}", std::process::id());
        let (v1, v2) = (Path::new("/sys/fs/cgroup/memory"), Path::new("/sys/fs/cgroup"));
        let controllers = fs::read_to_string(v2.join("cgroup.controllers")).unwrap_or_default();
        let (dir, limit) = if v1.join("memory.limit_in_bytes").exists() {
            (v1.join(name), "memory.limit_in_bytes")
        } else if controllers.split_whitespace().any(|controller| controller == "memory") {
            (v2.join(name), "memory.max")
        } else {
            return Err(Skipped("no control groups for memory".into()));
        };
        fs::create_dir(&dir).map_err(|error| Skipped(format!("{}: {error}", dir.display())))?;
        let group = Group(dir);
        fs::write(group.0.join(limit), bytes.to_string())
            .map_err(|error| Skipped(format!("{limit}: {error}")))?;
        // Else a process would be swapped out and not killed; without swap there is no such file.
        let _ = fs::write(group.0.join("memory.swap.max"), "0");
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel lets go of members a moment after they have ended.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn nothing_acknowledged_is_lost_when_the_kernel_kills_writers_for_want_of_memory() -> Outcome {
    let rounds: u64 = harness::count("PLUGCACHE_STARVED", 20);
    // In memory, so that what is stored uses it up.
    let mount = Mount::tmpfs("size=200m")?;
    let setup = Setup::new(mount.path().join("store"));
    let mut oracle = Oracle::with_keys(&setup, 1..=20);
    let (begin, mut acknowledged) = (Instant::now(), 0);
    for round in 0..rounds {
        let group = Group::new((3 << 20) + (round % 50) * 70_000)?;
        let joins = group.0.join("cgroup.procs").display().to_string();
        let worker = Stream::start_with("starved", &setup, &[joins], (round + 1) << 20, round);
        for line in worker.killed_by_the_kernel() {
            let key = || line[2..].trim().parse().unwrap();
            match &line[..1] {
                "?" | "~" => oracle.unsure(key()),
                "+" => {
                    acknowledged += 1;
                    oracle.acknowledged(key());
                }
                "!" => panic!("{line}"),
                // Skipped for want of memory, or synced.
                _ => {}
            }
        }
        drop(group);
        oracle.all_is_well(&format!("{} rounds", round + 1));
        let store = setup.open();
        let added: Vec<u64> = oracle.known.range(1 << 20..).copied().collect();
        for key in added {
            store.forget(&crate::bed::sources(key).digest()).unwrap();
            oracle.forgotten(key);
        }
    }
    assert!(acknowledged > 0, "nobody came as far as an acknowledged add");
    let pace = rate(rounds as usize, begin);
    Ok(format!("{rounds} processes killed by the kernel, {acknowledged} adds acknowledged, 0 lost; {pace}"))
}
