//! The one function that judges a disk after whatever happened to it.

use super::{
    CANARIES, V1,
    beside::{Beside, open_as},
    find,
    memo::{SRC, is_memo_right},
    model::{After, Key, Model, State},
    workload::{LAZY, Setup},
};
use plugcache::{__sim::Disk, Store};
use std::collections::BTreeMap;

/// What the check itself adds: a key and a content that no workload uses.
pub(super) const FRESH: (Key, u8) = ((240, 0), 241);

/// What was found under each key.
pub(super) type Found = BTreeMap<Key, State>;

/// One handle per executable, each a process of its own.
struct Handles<'a> {
    disk: &'a Disk,
    setup: Setup,
    stores: BTreeMap<u8, Store>,
}

impl Handles<'_> {
    fn of(disk: &Disk, beside: Beside) -> Handles<'_> {
        Handles { disk, setup: Setup { beside, ..LAZY }, stores: BTreeMap::new() }
    }

    fn store(&mut self, exec: u8) -> Result<&Store, String> {
        if !self.stores.contains_key(&exec) {
            let opened = open_as(&self.disk.process(), exec, self.setup);
            self.stores.insert(exec, opened.map_err(|error| format!("open: {error:?}"))?);
        }
        Ok(&self.stores[&exec])
    }

    fn find_all(&mut self, model: &Model) -> Result<Found, String> {
        model.keys().map(|key| Ok((key, find(self.store(key.1)?, key.0)?))).collect()
    }
}

/// Reopens, finds all, adds once more, finds that; reopens again, finds all. Changes the disk: give it a copy.
pub(super) fn check(disk: &Disk, model: &Model, after: After) -> Result<Found, String> {
    check_with(disk, model, after, Beside::Nothing)
}

/// As [`check`], by handles that ask this beside the store.
pub(super) fn check_with(disk: &Disk, model: &Model, after: After, beside: Beside) -> Result<Found, String> {
    let found = Handles::of(disk, beside).find_all(model)?;
    for (key, state) in &found {
        let allowed = model.allowed(*key, after);
        if !allowed.contains(state) {
            return Err(format!("key {key:?} is {state:?} and may be {allowed:?} after {after:?}"));
        }
    }
    let mut handles = Handles::of(disk, beside);
    let (key, number) = FRESH;
    let added = handles.store(key.1)?.add(&super::sources_of(key.0), super::outputs(number));
    if added != Ok(plugcache::Added::Stored) {
        return Err(format!("the next add is not stored: {added:?}"));
    }
    for mut handles in [handles, Handles::of(disk, beside)] {
        if find(handles.store(key.1)?, key.0)? != Some(number) {
            return Err("what the next add stored is not found".into());
        }
        same(&found, &handles.find_all(model)?, model, after)?;
    }
    canaries(disk)?;
    if disk.exists(SRC) {
        is_memo_right(disk)?;
    }
    Ok(found)
}

/// A second look shows what the first one did, or what was in doubt: a frame that lacks nothing but zeros is
/// completed by the next writer, and an entry behind a lost SEAL comes to light when somebody seals again.
fn same(before: &Found, now: &Found, model: &Model, after: After) -> Result<(), String> {
    for (key, state) in now.iter().filter(|(key, _)| **key != FRESH.0) {
        let was = before.get(key).copied().flatten();
        let allowed = model.allowed(*key, after);
        if *state != was && !allowed.contains(state) {
            return Err(format!("key {key:?} was {was:?}, is {state:?} now, and may be {allowed:?}"));
        }
    }
    Ok(())
}

/// Nothing foreign was touched (I20). A canary that the test did not plant is not missed.
pub(super) fn canaries(disk: &Disk) -> Result<(), String> {
    for path in CANARIES {
        match disk.read_file(path) {
            Some(bytes) if bytes == b"alive" => {}
            None if path != CANARIES[0] && !disk.exists(CANARIES[1]) => {}
            other => return Err(format!("{path} is {other:?}")),
        }
    }
    for (dir, expected) in [("/home", vec!["u"]), ("/home/u", vec!["canary", "store"])] {
        let foreign: Vec<_> =
            disk.list(dir).into_iter().filter(|name| !expected.iter().any(|known| name == known)).collect();
        if !foreign.is_empty() {
            return Err(format!("{foreign:?} in {dir}"));
        }
    }
    Ok(())
}

/// The files of a store by path, with their bytes.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// The manifest and the objects as they are now.
pub(super) fn files(disk: &Disk) -> Files {
    let mut files = Files::new();
    let mut take = |dir: &str| {
        for name in disk.list(dir) {
            let path = format!("{dir}/{}", name.to_string_lossy());
            if let Some(bytes) = disk.read_file(&path) {
                files.insert(path, bytes);
            }
        }
    };
    take(V1);
    for shard in disk.list(format!("{V1}/objects")) {
        take(&format!("{V1}/objects/{}", shard.to_string_lossy()));
    }
    files
}

/// A file that keeps its name keeps its bytes: logs only grow, nothing else changes at all (I2, I11).
pub(super) fn only_grown(before: &Files, now: &Files) -> Result<(), String> {
    for (path, old) in before {
        let Some(new) = now.get(path) else { continue };
        let is_log = path.contains("/log.");
        let right = if is_log { new.starts_with(old) } else { new == old };
        if !right {
            return Err(format!("{path} was written: {} bytes, now {}", old.len(), new.len()));
        }
    }
    Ok(())
}
