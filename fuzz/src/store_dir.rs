//! Target over a whole store: files cut, overwritten, moved, linked, replaced by other kinds, modes changed,
//! before it is opened and while it is open.

use super::{
    until_end,
    world::{ROOT, Trust, V1, add, assert_canaries, base, content, examine, found, open, open_above},
};
use arbitrary::{Arbitrary, Unstructured};
use plugcache::{
    __sim::{self, Disk},
    Added, ScrubOptions,
};
use std::path::{Path, PathBuf};

#[derive(Arbitrary, Debug)]
enum Step {
    Mutate(Mutation),
    Find,
    Add {
        key: u8,
        version: u8,
    },
    Forget {
        key: u8,
    },
    Compact,
    Sweep,
    Reopen,
    Scrub,
    Rebuild,
    /// As a layer, and what another store takes in of it.
    Above {
        key: u8,
    },
}

/// What somebody else does to the file at a place, counted among all that exist, or under a name of ours.
#[derive(Arbitrary, Debug)]
struct Mutation {
    place: Place,
    what: What,
}

#[derive(Arbitrary, Debug)]
enum Place {
    /// Among the files below `v1`.
    File(u8),
    /// Among the directories.
    Dir(u8),
    /// A name the store may want.
    Name(Name),
}

#[derive(Arbitrary, Debug)]
enum Name {
    Log(u8),
    Segment(u8, u8),
    Staged(u8),
    Scratch(u8),
    Inflight(u8),
    Quarantined(u8),
    Object(u8),
    LogEnormous,
    Tag,
    Foreign(u8),
}

#[derive(Arbitrary, Debug)]
enum What {
    Truncate { to: u16 },
    Extend { by: u8 },
    Overwrite { at: u16, bytes: Vec<u8> },
    Chmod { mode: u16 },
    Chown { owner: u8 },
    Remove,
    Move { to: Name },
    HardLink { to: Name },
    Symlink { to: Target },
    Dir,
    Fifo,
    File { bytes: Vec<u8> },
}

#[derive(Arbitrary, Debug)]
enum Target {
    Canary,
    Outside,
    Own(u8),
    Loop,
    Nothing,
}

/// A mutated store, opened and used, and mutated again meanwhile: never a panic, never wrong bytes, a skipped
/// add has its reason, an acknowledged one is found, nothing outside is touched (I1, I5, I7, I20).
pub fn store_dir(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(before) = u8::arbitrary(&mut input) else { return };
    let before: Vec<Mutation> = until_end(&mut input, usize::from(before % 8));
    // Done to a store that is open.
    let steps: Vec<Step> = until_end(&mut input, 24);
    let disk = base();
    before.iter().for_each(|mutation| mutate(&disk, mutation));
    // Bytes alone cannot keep a store from working.
    let is_mild = |mutation: &Mutation| {
        let is_file = matches!(mutation.place, Place::File(_));
        is_file
            && matches!(mutation.what, What::Truncate { .. } | What::Overwrite { .. } | What::Extend { .. })
    };
    if steps.is_empty() {
        examine(&disk, Trust::Damaged, before.iter().all(is_mild));
        return;
    }
    let Ok(mut store) = open(&disk) else { return };
    for step in &steps {
        match step {
            Step::Mutate(mutation) => mutate(&disk, mutation),
            Step::Find => drop(found(&store, Trust::Damaged)),
            Step::Add { key, version } => {
                if add(&store, 1, key % 8, *version) == Added::Stored {
                    let bytes = content(1, key % 8, *version);
                    assert_eq!(found(&store, Trust::Damaged).get(&(key % 8)).or(Some(&bytes)), Some(&bytes));
                }
            }
            Step::Forget { key } => drop(store.forget(&super::world::sources(key % 8).digest())),
            Step::Compact => drop(__sim::compact(&store)),
            Step::Sweep => __sim::sweep(&store),
            Step::Scrub => drop(store.scrub(ScrubOptions::new().threads(1))),
            Step::Rebuild => drop(store.rebuild()),
            Step::Above { key } => above(&disk, *key),
            Step::Reopen => match open(&disk) {
                Ok(opened) => store = opened,
                Err(_) => return,
            },
        }
        assert_canaries(&disk);
    }
    drop(store);
    examine(&disk, Trust::Damaged, false);
}

/// A layer gives right bytes or none, what is forgotten stays hidden, and what is taken in is right.
fn above(disk: &Disk, key: u8) {
    let Ok(upper) = open_above(disk) else { return };
    found(&upper, Trust::Damaged);
    let source = super::world::sources(key % 8);
    if upper.forget(&source.digest()).is_ok() {
        assert!(upper.find(&source).is_none(), "it was forgotten");
    }
    drop(upper.import(ROOT.as_ref()));
    found(&upper, Trust::Damaged);
    drop(upper.export(format!("/exported/{key}").as_ref(), |_| true));
}

/// All that lies below a directory, directories apart.
fn walk(disk: &Disk, dir: &Path, files: &mut Vec<PathBuf>, dirs: &mut Vec<PathBuf>) {
    for name in disk.list(dir) {
        let path = dir.join(name);
        let is_empty_shard = path.parent().is_some_and(|parent| parent.ends_with("objects"))
            && disk.list(&path).is_empty()
            && !path.ends_with("00");
        if disk.read_file(&path).is_some() {
            files.push(path);
        } else if !is_empty_shard {
            // Symlinks and FIFOs count here too: they list as empty.
            walk(disk, &path, files, dirs);
            dirs.push(path);
        }
    }
}

fn resolve(disk: &Disk, place: &Place) -> Option<PathBuf> {
    let (mut files, mut dirs) = (Vec::new(), Vec::new());
    walk(disk, V1.as_ref(), &mut files, &mut dirs);
    dirs.push(V1.into());
    let nth =
        |paths: &[PathBuf], n: u8| (!paths.is_empty()).then(|| paths[usize::from(n) % paths.len()].clone());
    match place {
        Place::File(n) => nth(&files, *n),
        Place::Dir(n) => nth(&dirs, *n),
        Place::Name(name) => Some(path_of(name)),
    }
}

fn path_of(name: &Name) -> PathBuf {
    let below = match name {
        Name::Log(n) => format!("log.{n}"),
        Name::Segment(a, b) => format!("seg.{a}-{b}"),
        Name::Staged(n) => format!("staging/{n:032x}"),
        Name::Scratch(n) => format!("staging/{n:032x}.d"),
        Name::Inflight(n) => format!("inflight/{n:064x}"),
        Name::Quarantined(n) => format!("quarantine/{n:032x}"),
        Name::Object(key) => {
            let digest = plugcache::ObjectDigest::of_bytes(&content(1, key % 8, 3)).to_string();
            format!("objects/{}/{}", &digest[..2], &digest[2..])
        }
        Name::LogEnormous => format!("log.{}", (1u64 << 62) - 1),
        Name::Tag => "../CACHEDIR.TAG".into(),
        Name::Foreign(n) => format!("objects/00/foreign{n}"),
    };
    match below.strip_prefix("../") {
        Some(name) => Path::new(ROOT).join(name),
        None => Path::new(V1).join(below),
    }
}

fn mutate(disk: &Disk, Mutation { place, what }: &Mutation) {
    let Some(path) = resolve(disk, place) else { return };
    let is_file = disk.read_file(&path).is_some();
    let has_parent = |path: &Path| path.parent().is_some_and(|parent| is_dir(disk, parent));
    match what {
        What::Truncate { to } if is_file => {
            let len = disk.read_file(&path).map_or(0, |bytes| bytes.len());
            disk.truncate(&path, usize::from(*to) % (len + 1));
        }
        What::Extend { by } if is_file => {
            let len = disk.read_file(&path).map_or(0, |bytes| bytes.len());
            disk.truncate(&path, len + usize::from(*by));
        }
        What::Overwrite { at, bytes } if is_file => {
            let len = disk.read_file(&path).map_or(0, |bytes| bytes.len());
            disk.overwrite(&path, usize::from(*at) % (len + 1), bytes);
        }
        What::Chmod { mode } if disk.exists(&path) => disk.chmod(&path, u32::from(*mode) & 0o7777),
        What::Chown { owner } if disk.exists(&path) => disk.chown(&path, u32::from(*owner % 2) * 1000),
        What::Remove if disk.exists(&path) => disk.remove(&path),
        What::Move { to } if disk.exists(&path) => {
            let to = path_of(to);
            if has_parent(&to) && !to.starts_with(&path) && !path.starts_with(&to) {
                disk.move_to(&path, to);
            }
        }
        What::HardLink { to } if is_file => {
            let to = path_of(to);
            if has_parent(&to) && to != path {
                disk.plant_hard_link(&path, to);
            }
        }
        _ if !has_parent(&path) => {}
        What::Symlink { to } => disk.plant_symlink(&path, target(disk, to, &path)),
        What::Dir => disk.plant_dir(&path),
        What::Fifo => disk.plant_fifo(&path),
        What::File { bytes } => disk.plant_file(&path, bytes),
        _ => {}
    }
}

fn is_dir(disk: &Disk, path: &Path) -> bool {
    // A directory is what can hold a name: nothing else lists or is named below.
    let parent_lists = path.parent().is_some_and(|above| {
        path.file_name().is_some_and(|name| disk.list(above).iter().any(|listed| listed == name))
    });
    parent_lists && disk.read_file(path).is_none() && !disk.list(path).is_empty()
}

fn target(disk: &Disk, to: &Target, path: &Path) -> PathBuf {
    match to {
        Target::Canary => "/outside/canary".into(),
        Target::Outside => "/outside".into(),
        Target::Own(n) => resolve(disk, &Place::File(*n)).unwrap_or_else(|| "/outside".into()),
        Target::Loop => path.to_owned(),
        Target::Nothing => "/nothing/here".into(),
    }
}
