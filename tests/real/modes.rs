//! The modes of what a store makes are those of docs/format.md, whatever the umask and whatever default ACL lies
//! above; and nobody else can read or write any of it.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use plugcache::{__sim, Added, How, Outputs};

use crate::{
    bed::{Found, Setup, add, body, find, names, objects, sources, temp},
    harness::{self, Outcome, Skipped},
    sandbox::set_limit,
    tests, worker,
};

tests!["modes":
    whatever_the_umask_everything_has_the_mode_that_the_format_says,
    in_spite_of_any_default_acl_nobody_else_can_read_or_write_a_store,
];

/// A user without rights.
const NOBODY: u32 = 65534;

/// The worker: makes one of each, and says what modes it saw in the middle of a build. `verbs` are limits, then
/// an executable to be added.
pub(crate) fn make_everything(setup: &Setup, mut verbs: &[String]) {
    while let Some((limit, rest)) = verbs.split_first()
        && set_limit(limit)
    {
        verbs = rest;
    }
    let store = setup.open();
    assert_eq!(add(&store, 1, 1, 2000), Added::Stored);
    let program = Outputs::file("out", &verbs[0]);
    assert_eq!(store.add(&sources(2), program).unwrap(), Added::Stored);
    assert!(__sim::compact(&store));
    let got = store.get_or_build(&sources(3), |build| {
        build.write("out", body(3, 1, 300))?;
        fs::create_dir(build.dir().join("the host's"))?;
        say_modes(&setup.dir);
        // Under this umask it may have made what it cannot remove.
        fs::set_permissions(build.dir().join("the host's"), fs::Permissions::from_mode(0o700))
    });
    assert_eq!(got.unwrap().how, How::Built);
    let object = objects(&setup.dir.join("v1")).into_values().next().unwrap();
    fs::set_permissions(&object, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&object, "damaged").unwrap();
    let found = [1, 2, 3].map(|key| find(&store, key));
    assert_eq!(found.iter().filter(|found| **found == Found::Nothing).count(), 1, "{found:?}");
    assert_eq!(add(&store, 4, 1, 100), Added::Stored);
    assert_eq!(find(&setup.open(), 4), Found::Right);
    say_modes(&setup.dir);
}

/// `m mode path` for everything in the store.
fn say_modes(dir: &Path) {
    for (path, mode) in modes(dir) {
        worker::say(&format!("m {mode:o} {}", path.display()));
    }
}

/// Paths relative to `dir`, itself included, and their modes.
fn modes(dir: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    let mut rest = vec![dir.to_path_buf()];
    while let Some(path) = rest.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() {
            rest.extend(names(&path).into_iter().map(|name| path.join(name)));
        }
        found.push((path.strip_prefix(dir).unwrap().to_path_buf(), meta.mode() & 0o7777));
    }
    found
}

/// What docs/format.md says; `None`: it is not the store's.
fn expected(path: &Path) -> Option<&'static [u32]> {
    let parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
    Some(match &parts[..] {
        [] | ["v1"] | ["v1", "objects" | "staging" | "quarantine" | "inflight"] => &[0o700],
        ["v1", "objects", _] => &[0o700],
        ["v1", "objects", _, _] => &[0o444, 0o555],
        ["v1", "staging", build] if build.ends_with(".d") => &[0o700],
        ["v1", "staging", build, "out"] if build.ends_with(".d") => &[0o600],
        ["v1", "staging", build, ..] if build.ends_with(".d") => return None,
        ["v1", "inflight", _] => &[0o600],
        // As it was damaged.
        ["v1", "quarantine", _] => &[0o600],
        ["v1", manifest] if manifest.starts_with("log.") || manifest.starts_with("seg.") => &[0o600],
        ["CACHEDIR.TAG"] => &[0o644],
        other => panic!("what is {other:?}?"),
    })
}

/// How many things had the right mode.
#[track_caller]
fn judge(found: &[(PathBuf, u32)], case: &str) -> usize {
    let judged: Vec<_> =
        found.iter().filter_map(|(path, mode)| Some((path, mode, expected(path)?))).collect();
    for (path, mode, expected) in &judged {
        assert!(expected.contains(mode), "{case}: {} has mode {mode:o}", path.display());
    }
    judged.len()
}

/// A directory that anybody may enter, for the user who is to work in it.
fn place(user: u32) -> (tempfile::TempDir, PathBuf) {
    let temp = temp();
    fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let upper = temp.path().join("upper");
    fs::create_dir(&upper).unwrap();
    fs::set_permissions(&upper, fs::Permissions::from_mode(0o755)).unwrap();
    if user != 0 {
        chown(&upper, Some(user), Some(user)).unwrap();
    }
    (temp, upper)
}

/// An executable beside the store that anybody may read.
fn program(temp: &Path) -> String {
    let program = temp.join("program");
    fs::write(&program, body(2, 1, 900)).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program.to_str().unwrap().to_owned()
}

/// What a worker says until its end.
#[track_caller]
fn said_by(role: &str, setup: &Setup, verbs: &[String]) -> String {
    let output = worker::start(&worker::command(role, setup, verbs)).wait_with_output().unwrap();
    assert!(output.status.success(), "{role} {:?}: {}", &verbs[..verbs.len().min(3)], output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Lets a worker make a store and all that can be in one; what it saw.
fn made_by(setup: &Setup, user: u32, umask: u32, program: &str) -> Vec<(PathBuf, u32)> {
    let mut verbs = vec![format!("umask:{umask}")];
    if user != 0 {
        verbs.push(format!("user:{user}"));
    }
    verbs.push(program.to_owned());
    said_by("maker", setup, &verbs)
        .lines()
        .map(|line| {
            let (mode, path) = line.strip_prefix("m ").unwrap().split_once(' ').unwrap();
            (path.into(), u32::from_str_radix(mode, 8).unwrap())
        })
        .collect()
}

fn users() -> Vec<u32> {
    if rustix::process::geteuid().is_root() { vec![0, NOBODY] } else { vec![0] }
}

fn whatever_the_umask_everything_has_the_mode_that_the_format_says() -> Outcome {
    let umasks = [0, 0o077, 0o577, 0o777];
    let mut judged = 0;
    for user in users() {
        for umask in umasks {
            let (temp, upper) = place(user);
            let setup = Setup::new(upper.join("new/store"));
            let case = format!("umask {umask:o}, user {user}");
            judged += judge(&made_by(&setup, user, umask, &program(temp.path())), &case);
            let missing = fs::metadata(upper.join("new")).unwrap().mode() & 0o7777;
            assert_eq!(missing, 0o700, "{case}: what was made above the store");
            // Another process finds its way, and a build of the next one too.
            let verbs = ["find:3", "find:4", "build:9:1:100"].map(str::to_owned).into_iter();
            let limits = if user == 0 { None } else { Some(format!("user:{user}")) };
            let verbs: Vec<_> = limits.into_iter().chain(verbs).collect();
            assert_eq!(said_by("script", &setup, &verbs), "+ find:3\n+ find:4\n+ build:9:1:100\n", "{case}");
        }
    }
    Ok(format!("{} umasks, {} users, {judged} files and directories", umasks.len(), users().len()))
}

/// What an ACL says: whom (1 owner, 2 a user, 4 the group, 0x10 the mask, 0x20 others), what, and which user.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(rights.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// The worker: another user, who knows all the names, and says of which he can list, read or write what has them.
pub(crate) fn look_around(verbs: &[String]) {
    assert!(set_limit(&verbs[0]));
    for path in verbs[1..].iter().map(Path::new) {
        let lists = fs::read_dir(path).is_ok();
        let reads = fs::File::open(path).is_ok_and(|file| file.metadata().unwrap().is_file());
        let writes = fs::File::create_new(path.join("planted")).is_ok()
            || fs::File::options().append(true).open(path).is_ok();
        if lists || reads || writes {
            worker::say(&format!("{} lists {lists} reads {reads} writes {writes}", path.display()));
        }
    }
}

fn in_spite_of_any_default_acl_nobody_else_can_read_or_write_a_store() -> Outcome {
    harness::need_root()?;
    const NAME: &str = "system.posix_acl_default";
    const ANYONE: u32 = u32::MAX;
    let generous: &[(u16, u16, u32)] =
        &[(1, 7, ANYONE), (2, 7, NOBODY), (4, 7, ANYONE), (0x10, 7, ANYONE), (0x20, 7, ANYONE)];
    // The owner gets least of all.
    let odd: &[(u16, u16, u32)] =
        &[(1, 0, ANYONE), (2, 7, NOBODY), (4, 7, ANYONE), (0x10, 7, ANYONE), (0x20, 7, ANYONE)];
    let owner = 65533;
    let mut judged = 0;
    for (entries, made_before) in [(generous, false), (generous, true), (odd, false)] {
        let (temp, upper) = place(owner);
        let set = |path: &Path| {
            rustix::fs::setxattr(path, NAME, &acl(entries), rustix::fs::XattrFlags::empty())
                .map_err(|error| Skipped(format!("no ACL can be set in {}: {error}", path.display())))
        };
        set(&upper)?;
        let setup = Setup::new(upper.join("store"));
        if made_before {
            fs::create_dir(&setup.dir).unwrap();
            // The mode is the mask: nobody but the owner has any rights here, but what is made in it inherits.
            fs::set_permissions(&setup.dir, fs::Permissions::from_mode(0o700)).unwrap();
            chown(&setup.dir, Some(owner), Some(owner)).unwrap();
        }
        let case = format!("{entries:?}, made before: {made_before}");
        judged += judge(&made_by(&setup, owner, 0o022, &program(temp.path())), &case);
        // Even if somebody lets others into the root and v1: what lies there has its own ACL.
        for dir in [setup.dir.clone(), setup.dir.join("v1"), setup.dir.join("v1/objects")] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).unwrap();
        }
        let mut verbs = vec![format!("user:{NOBODY}")];
        let below = modes(&setup.dir).into_iter().map(|(path, _)| setup.dir.join(path));
        verbs.extend(below.map(|path| path.to_str().unwrap().to_owned()));
        let said = said_by("stranger", &setup, &verbs);
        // What every store says of itself.
        let tag =
            format!("{} lists false reads true writes false\n", setup.dir.join("CACHEDIR.TAG").display());
        assert_eq!(said, tag, "{case}: what another user can do");
        let said = said_by("script", &setup, &[format!("user:{owner}"), "find:3".into(), "find:4".into()]);
        assert_eq!(said, "+ find:3\n+ find:4\n", "{case}");
    }
    Ok(format!("{judged} files and directories; another user lists, reads and writes none"))
}
