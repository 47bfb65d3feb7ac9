//! `doctor`: what keeps a store from working, and what to do about each.

use crate::{
    args::Json,
    exit::{Done, Exit, chain},
    out::{
        Out, human,
        style::{Paint, Style},
        table::plain,
    },
    place as places,
};
use plugcache::{Config, Status, Store};
use rustix::fs::StatVfsMountFlags;
use serde::Serialize;
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Less room than this and the next few plugins may not fit.
const FREE_BYTES_MIN: u64 = 256 << 20;
const FREE_FILES_MIN: u64 = 1000;
/// When this was written: a clock that says less is wrong.
const WRITTEN: Duration = Duration::from_secs(1_764_000_000);
/// Clocks of two machines differ by less.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// File systems on which locks or renames are not what a store needs, by their number in statfs(2).
const NETWORK: [(i128, &str); 6] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x517b, "SMB"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
];

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Good,
    Warning,
    Bad,
}

/// One thing that was looked at.
#[derive(Serialize)]
struct Check {
    what: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do, if something is to be done.
    advice: Option<String>,
}

impl Check {
    fn good(what: &'static str, found: impl Into<String>) -> Check {
        Check { what, verdict: Verdict::Good, found: found.into(), advice: None }
    }

    fn warning(what: &'static str, found: impl Into<String>, advice: &str) -> Check {
        Check { what, verdict: Verdict::Warning, found: found.into(), advice: Some(advice.into()) }
    }

    fn bad(what: &'static str, found: impl Into<String>, advice: &str) -> Check {
        Check { what, verdict: Verdict::Bad, found: found.into(), advice: Some(advice.into()) }
    }
}

#[derive(Serialize)]
struct Report {
    dir: Option<String>,
    checks: Vec<Check>,
}

pub(crate) fn doctor(args: &Json, store: Option<&Path>) -> Done {
    let report = examine(store);
    let mut out = Out::new();
    if args.json {
        out.json("doctor", &report)?;
    } else {
        let paint = Paint::of_stdout();
        for check in &report.checks {
            let (style, word) = match check.verdict {
                Verdict::Good => (Style::Good, "ok  "),
                Verdict::Warning => (Style::Warn, "warn"),
                Verdict::Bad => (Style::Bad, "BAD "),
            };
            out.line(format!("{} {:<16} {}", paint.paint(style, word), check.what, plain(&check.found)))?;
            if let Some(advice) = &check.advice {
                out.line(format!("{:22}{} {advice}", "", paint.paint(Style::Bold, "do:")))?;
            }
        }
    }
    out.finish()?;
    let is_bad = report.checks.iter().any(|check| check.verdict == Verdict::Bad);
    Ok(if is_bad { Exit::Failure } else { Exit::Success })
}

fn examine(flag: Option<&Path>) -> Report {
    let config = match places::config(flag) {
        Ok(config) => config.build(),
        Err(fail) => {
            let advice = "name a directory with --store or PLUGCACHE_DIR, or set HOME";
            return Report { dir: None, checks: vec![Check::bad("directory", fail.into_text(), advice)] };
        }
    };
    let dir = places::absolute(config.dir());
    // What is not made yet will lie where its parent does.
    let existing = dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/")).to_owned();
    let mut checks = vec![Check::good("directory", dir.display().to_string())];
    checks.push(environment());
    let (permissions, opened) = permissions(config, &dir, &existing);
    checks.push(permissions);
    checks.push(file_system(&existing));
    checks.extend(mount(&existing));
    checks.push(versions(&dir));
    checks.push(clock(&dir, opened.as_ref()));
    Report { dir: Some(dir.to_string_lossy().into_owned()), checks }
}

fn environment() -> Check {
    match env::var_os("PLUGCACHE_DISABLE") {
        Some(value) if value == "1" => Check::warning(
            "environment",
            "PLUGCACHE_DISABLE is 1: nothing is looked for",
            "unset it when stores shall be used again",
        ),
        _ => Check::good("environment", "stores are used"),
    }
}

fn permissions(config: Config, dir: &Path, existing: &Path) -> (Check, Option<Store>) {
    let what = "permissions";
    let store = match Store::open(config) {
        Ok(store) => store,
        Err(error) => {
            let advice = "what it says; or choose another directory with --store or PLUGCACHE_DIR";
            return (Check::bad(what, chain(&error), advice), None);
        }
    };
    let check = match store.status() {
        Status::Ready if dir != existing => {
            match rustix::fs::access(existing, rustix::fs::Access::WRITE_OK) {
                Ok(()) => Check::good(what, "it does not exist yet, and can be made"),
                Err(error) => {
                    let found = format!(
                        "it does not exist yet, and {} is not yours to write: {error}",
                        existing.display()
                    );
                    Check::bad(what, found, "make the directory as its owner, or choose another one")
                }
            }
        }
        Status::Ready => match writable(&dir.join("v1")) {
            Ok(()) => Check::good(what, "it can be read and written, by you alone"),
            Err(why) => Check::bad(what, why, "take the directory over with chown -R, or choose another one"),
        },
        Status::ReadOnly => Check::warning(
            what,
            "it can be read and not written: hits work, nothing is stored",
            "mount it writable or correct the permissions, if something shall be stored",
        ),
        Status::Degraded(why) | Status::Disabled(why) => Check::bad(what, why, "what it says"),
        _ => Check::warning(what, "unknown", "upgrade this command"),
    };
    (check, Some(store))
}

/// Directories of the store that this user may not write to.
fn writable(v1: &Path) -> Result<(), String> {
    let below = fs::read_dir(v1).into_iter().flatten().flatten().map(|entry| entry.path());
    for dir in below.filter(|path| path.is_dir()).chain([v1.to_owned()]).filter(|path| path.exists()) {
        rustix::fs::access(&dir, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
            .map_err(|error| format!("{} cannot be written to: {error}", dir.display()))?;
    }
    Ok(())
}

fn file_system(existing: &Path) -> Check {
    let what = "file system";
    let Ok(stat) = rustix::fs::statfs(existing) else {
        return Check::warning(what, "it cannot be asked", "see that its directory can be entered");
    };
    match NETWORK.iter().find(|(number, _)| *number == i128::from(stat.f_type)) {
        Some((_, name)) => Check::bad(
            what,
            format!("{name}: locks and renames of other machines are not seen in time"),
            "choose a directory on a local disk with --store or PLUGCACHE_DIR",
        ),
        None => Check::good(what, format!("local (type {:#x})", stat.f_type)),
    }
}

fn mount(existing: &Path) -> Vec<Check> {
    let Ok(stat) = rustix::fs::statvfs(existing) else { return Vec::new() };
    let noexec = if stat.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        Check::bad(
            "noexec",
            "libraries cannot be loaded from this mount, nor programs started",
            "mount it with exec, or choose another directory; `get` and `run` still copy to elsewhere",
        )
    } else {
        Check::good("noexec", "libraries can be loaded from here")
    };
    let (bytes, files) = (stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_favail);
    let found = format!("{} and {files} more files", human::size(bytes));
    // Some file systems count no files, and say 0 of 0.
    let is_short = bytes < FREE_BYTES_MIN || (files < FREE_FILES_MIN && stat.f_files > 0);
    let space = if is_short {
        Check::warning(
            "space",
            format!("only {found}"),
            "make room on the disk, or lower what is kept: sweep, clear",
        )
    } else {
        Check::good("space", found)
    };
    vec![noexec, space]
}

fn versions(dir: &Path) -> Check {
    let what = "versions";
    let is_other = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix('v').and_then(|number| number.parse::<u32>().ok());
        path.is_dir() && number.is_some_and(|number| number != 1)
    };
    let below = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let others: Vec<_> = below.filter(is_other).map(|path| path.display().to_string()).collect();
    if others.is_empty() {
        return Check::good(what, "nothing of other versions");
    }
    Check::warning(
        what,
        format!("other versions keep stores of their own here: {}", others.join(", ")),
        "remove such a directory once nothing uses that version any more",
    )
}

fn clock(dir: &Path, store: Option<&Store>) -> Check {
    let (what, now) = ("clock", SystemTime::now());
    let set = "set the clock; it decides only what goes first, but ages are wrong until then";
    if now < SystemTime::UNIX_EPOCH + WRITTEN {
        return Check::bad(what, "the clock is before this version was written", set);
    }
    let ahead = store.and_then(|store| store.entries().find(|entry| entry.made() > now + AHEAD_MAX));
    if let Some(entry) = ahead {
        let found = format!("the entry {:?} was made in the future", entry.label());
        return Check::warning(what, found, set);
    }
    let touched = fs::metadata(dir).and_then(|at| at.modified());
    match touched {
        Ok(at) if at > now + AHEAD_MAX => {
            Check::warning(what, "the directory was changed in the future", set)
        }
        _ => Check::good(what, "plausible"),
    }
}
