//! Signals at chosen system calls, by `strace`.

use std::{
    ffi::OsString,
    io::Read,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
};

use crate::harness::{self, Skipped};

/// The system calls that change something or wait for it, as far as a store makes them, and those by which it
/// learns of what others did. `no_system_call_of_a_store_is_missing_from_the_list` holds this to the truth.
pub(crate) const CALLS: &[&str] = &[
    "openat2",
    "mkdir",
    "mkdirat",
    "renameat2",
    "unlinkat",
    "write",
    "pread64",
    "fchmod",
    "utimensat",
    "flock",
    "fsync",
    "syncfs",
    "getdents64",
    "ioctl",
];

/// The others: to die before one of these is to die before the next of [`CALLS`], for nothing has changed in
/// between. With `PLUGCACHE_KILLS=1` they count too.
pub(crate) const LOOKS: &[&str] = &["openat", "open", "fstat", "newfstatat", "mmap", "close"];

pub(crate) fn need_strace() -> Result<(), Skipped> {
    harness::need(&["strace"])?;
    let traced =
        Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    let may = traced.is_ok_and(|status| status.success());
    if may { Ok(()) } else { Err(Skipped("this process may not trace others".into())) }
}

/// What a run under strace ended in.
pub(crate) struct Run {
    pub(crate) killed: bool,
    pub(crate) lines: Vec<String>,
}

/// Runs `command` and kills it at its `n`th system call of the name `call`.
pub(crate) fn kill_at(call: &str, n: usize, command: &[OsString]) -> Run {
    let mut child = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null"])
        .args(["-e".to_owned(), format!("trace={call}")])
        .args(["-e".to_owned(), format!("inject={call}:signal=KILL:when={n}")])
        .args(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let status = child.wait().unwrap();
    // strace dies as its child did. (With --seccomp-bpf, strace 6.1 loses the signal.)
    let killed = status.signal() == Some(9);
    assert!(killed || status.success(), "{call} {n}: {status} {text}");
    Run { killed, lines: text.lines().map(str::to_owned).collect() }
}

/// How many system calls of each name `command` makes.
pub(crate) fn count_calls(command: &[OsString]) -> Vec<(String, usize)> {
    let output =
        Command::new("strace").args(["-f", "-qq", "-c", "-U", "calls,name"]).args(command).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines()
        .filter_map(|line| {
            let (count, name) = line.trim().split_once(' ')?;
            Some((name.trim().to_owned(), count.parse().ok()?))
        })
        .filter(|(name, _)| name != "total")
        .collect()
}
