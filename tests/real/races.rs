//! Exchanges at full speed: while victims find, add, build, forget, evict, compact and sweep, an attacker of the
//! same user puts symlinks, hard links, FIFOs, directories and copies in the places of what lies in the store.
//!
//! Whatever it does, nothing outside changes (I20), no wrong bytes come out (I1, I5), and nobody hangs or
//! panics. Once with `openat2` and once on a kernel that does not know it. `PLUGCACHE_RACES` says for how many
//! seconds. Stores are entered through absolute paths and builds write to such: who can exchange an ancestor
//! decides where they lead.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use plugcache::Outputs;

use crate::{
    attacker::{Arena, KEYS, VERSIONS, content, look},
    bed::{Found, Oracle, SHARED, Setup, names, sources, temp},
    harness::{self, Outcome},
    tests,
    worker::Watched,
};

tests!["races":
    no_exchange_below_v1_reaches_what_lies_outside,
    no_exchange_below_v1_reaches_what_lies_outside_where_openat2_is_missing,
    no_exchange_of_v1_or_its_ancestors_reaches_what_lies_beside_the_path,
    no_exchange_of_v1_or_its_ancestors_reaches_what_lies_beside_the_path_where_openat2_is_missing,
];

fn no_exchange_below_v1_reaches_what_lies_outside() -> Outcome {
    race("below", &[])
}

fn no_exchange_below_v1_reaches_what_lies_outside_where_openat2_is_missing() -> Outcome {
    race("below", &["no-openat2"])
}

fn no_exchange_of_v1_or_its_ancestors_reaches_what_lies_beside_the_path() -> Outcome {
    race("above", &[])
}

fn no_exchange_of_v1_or_its_ancestors_reaches_what_lies_beside_the_path_where_openat2_is_missing() -> Outcome
{
    race("above", &["no-openat2"])
}

const VICTIMS: u64 = 3;
/// After its time a worker has one call to end, and a busy machine.
const HANGS: Duration = Duration::from_secs(60);

fn race(where_: &str, limits: &[&str]) -> Outcome {
    let seconds: u64 = harness::count("PLUGCACHE_RACES", 5);
    let seed = harness::count("PLUGCACHE_SEED", u64::from(std::process::id()));
    let temp = temp();
    let arena = Arena { top: fs::canonicalize(temp.path()).unwrap() };
    let setup = prepare(&arena);
    let before = State::of(&arena.canary());
    let decoys = State::of(&arena.decoy());

    let text = |number: u64| number.to_string();
    let top = arena.top.to_str().unwrap().to_owned();
    let mut workers: Vec<(Setup, &'static str, Vec<String>)> = Vec::new();
    for number in 0..VICTIMS {
        // One evicts, and has no courtesy for young objects.
        let evicting = Setup { max_files: 5, max_bytes: 60_000, ..setup.clone() };
        let reopening = if where_ == "above" { 5 } else { 40 };
        let mut verbs: Vec<String> = limits.iter().map(|limit| (*limit).to_owned()).collect();
        verbs.extend([text(seed + number), text(seconds), text(reopening), top.clone()]);
        workers.push((if number == 0 { evicting } else { setup.clone() }, "victim", verbs));
    }
    // Two of them could leave an ancestor exchanged for good.
    let attackers = if where_ == "above" { 1 } else { 2 };
    for number in 0..attackers {
        let verbs = vec![text(seed + 100 + number), text(seconds), where_.to_owned(), top.clone()];
        workers.push((setup.clone(), "attacker", verbs));
    }
    let begin = Instant::now();
    let started: Vec<_> =
        workers.iter().map(|(setup, role, verbs)| Watched::start(role, setup, verbs)).collect();
    let mut tally = Tally::default();
    for worker in started {
        tally.hear(&worker.ended(begin + Duration::from_secs(seconds) + HANGS), seed);
    }

    before.must_be_the_same(&State::of(&arena.canary()), |_| false, seed);
    let is_of_a_store = |path: &Path| names_a_store(path.strip_prefix(arena.decoy()).unwrap());
    decoys.must_be_the_same(&State::of(&arena.decoy()), is_of_a_store, seed);
    nothing_else_was_made(&arena, seed);
    mend(&setup);
    let after = afterwards(&setup, seed);
    // Thousands on a quiet machine.
    assert!(tally.swaps > 50 && tally.stored > 0 && tally.hits > 0, "{tally:?} shows nothing");
    Ok(format!(
        "{} exchanges; {} finds, {} hits, {} adds, {} stored, {} builds, 0 wrong; {} times not opened; slowest \
         call {} ms; {after}",
        tally.swaps,
        tally.finds,
        tally.hits,
        tally.adds,
        tally.stored,
        tally.builds,
        tally.refused,
        tally.slowest
    ))
}

/// The store, the canary that looks like it, and the decoys.
fn prepare(arena: &Arena) -> Setup {
    fs::create_dir_all(arena.store().parent().unwrap()).unwrap();
    for dir in ["made", "tmp"] {
        fs::create_dir(arena.top.join(dir)).unwrap();
    }
    for version in 0..VERSIONS {
        let program = arena.program(version);
        fs::write(&program, content(SHARED, version)).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let setup = Setup::new(arena.store());
    for dir in [arena.store(), arena.canary()] {
        let store = Setup::new(dir).open();
        for (key, version) in (0..KEYS).flat_map(|key| (0..VERSIONS).map(move |version| (key, version))) {
            for owner in [key, SHARED] {
                let outputs = Outputs::bytes("out", content(owner, version));
                assert_eq!(store.add(&sources(key), outputs).unwrap(), plugcache::Added::Stored);
            }
        }
    }
    fs::write(arena.store().join("foreign"), "beside v1").unwrap();
    fs::write(arena.canary().join("secret"), "a key to something").unwrap();
    // Some of the same names, some with the same bytes; nothing that is to be done to an object was done.
    for (place, object) in crate::bed::objects(&arena.canary().join("v1")).values().enumerate() {
        match place % 3 {
            0 => {
                fs::remove_file(object).unwrap();
                continue;
            }
            1 => {
                fs::set_permissions(object, fs::Permissions::from_mode(0o644)).unwrap();
                fs::write(object, format!("canary {place}")).unwrap();
            }
            _ => fs::set_permissions(object, fs::Permissions::from_mode(0o644)).unwrap(),
        }
        let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + place as u64);
        fs::File::options().write(true).open(object).unwrap().set_modified(old).unwrap();
    }
    let decoy = arena.decoy().join("upper/lower/store");
    for dir in decoy.ancestors().take_while(|dir| *dir != arena.top) {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join("foreign"), "the decoy's").unwrap();
    }
    setup
}

#[derive(Debug, Default)]
struct Tally {
    swaps: u64,
    finds: u64,
    hits: u64,
    adds: u64,
    stored: u64,
    builds: u64,
    refused: u64,
    slowest: u64,
}

impl Tally {
    fn hear(&mut self, said: &str, seed: u64) {
        for line in said.lines() {
            assert!(!line.starts_with('!'), "{line}, seed {seed}");
            let mut numbers = line.split(' ').skip(1).map(|number| number.parse::<u64>().unwrap());
            let mut next = || numbers.next().unwrap();
            if line.starts_with("swaps") {
                self.swaps += next();
                continue;
            }
            for field in [
                &mut self.finds,
                &mut self.hits,
                &mut self.adds,
                &mut self.stored,
                &mut self.builds,
                &mut self.refused,
            ] {
                *field += next();
            }
            self.slowest = self.slowest.max(next());
        }
    }
}

/// Names, kinds, modes, modification times and bytes. A hard link from elsewhere changes none of them.
struct State(BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)>);

impl State {
    fn of(dir: &Path) -> State {
        let mut states = BTreeMap::new();
        let mut rest = vec![dir.to_path_buf()];
        while let Some(path) = rest.pop() {
            let meta = fs::symlink_metadata(&path).unwrap();
            let bytes = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            if meta.is_dir() {
                rest.extend(names(&path).into_iter().map(|name| path.join(name)));
            }
            states.insert(path, (meta.mode(), meta.mtime(), meta.mtime_nsec(), bytes));
        }
        State(states)
    }

    /// `may_be`: what may have been made, with all below it.
    #[track_caller]
    fn must_be_the_same(&self, now: &State, may_be: impl Fn(&Path) -> bool, seed: u64) {
        let mut differences = Vec::new();
        for (path, was) in &self.0 {
            match now.0.get(path) {
                Some(is) if is == was => {}
                // A directory in which something was made that may be.
                Some(is)
                    if is.0 == was.0
                        && now.0.keys().any(|made| {
                            may_be(made) && !self.0.contains_key(made) && made.parent() == Some(path)
                        }) => {}
                Some(is) => differences.push(format!(
                    "{}: was {:?}, is {:?}",
                    path.display(),
                    (format!("{:o}", was.0), was.1, was.2, was.3.len()),
                    (format!("{:o}", is.0), is.1, is.2, is.3.len())
                )),
                None => differences.push(format!("{} is gone", path.display())),
            }
        }
        for path in now.0.keys().filter(|path| !self.0.contains_key(*path) && !may_be(path)) {
            differences.push(format!("{} was made", path.display()));
        }
        assert!(differences.is_empty(), "seed {seed}: {differences:#?}");
    }
}

/// Whether a path, relative to a decoy, is what a store makes: itself, `v1` and the tag.
fn names_a_store(path: &Path) -> bool {
    let store = Path::new("upper/lower/store");
    store.starts_with(path)
        || path
            .strip_prefix(store)
            .is_ok_and(|below| below.starts_with("v1") || below == Path::new("CACHEDIR.TAG"))
}

/// Beside the store, its ancestors and the attacker's things there is nothing new.
fn nothing_else_was_made(arena: &Arena, seed: u64) {
    let listed = |dir: &Path| {
        let mut names = names(dir);
        names.sort();
        names
    };
    assert_eq!(listed(&arena.top), ["attic", "canary", "decoy", "made", "tmp", "upper"], "seed {seed}");
    assert_eq!(listed(&arena.top.join("made")).len(), VERSIONS as usize, "seed {seed}");
    let known = ["CACHEDIR.TAG", "foreign", "v1"];
    let strange: Vec<_> =
        names(&arena.store()).into_iter().filter(|name| !known.iter().any(|known| name == known)).collect();
    assert!(strange.is_empty(), "{strange:?}, seed {seed}");
}

/// Two attackers that exchanged the same directory may have taken it away for good. A store removes nothing that
/// is not its own, so somebody has to; what is missing then it makes anew.
fn mend(setup: &Setup) {
    let v1 = setup.dir.join("v1");
    let below_v1 = ["staging", "quarantine", "inflight", "objects"].map(|dir| v1.join(dir));
    let shards = names(&v1.join("objects")).into_iter().map(|shard| v1.join("objects").join(shard));
    for dir in below_v1.into_iter().chain(shards) {
        if fs::symlink_metadata(&dir).is_ok_and(|meta| !meta.is_dir()) {
            fs::remove_file(dir).unwrap();
        }
    }
}

/// When the attacker has gone: nothing wrong, and whatever it has left behind, a store that works.
fn afterwards(setup: &Setup, seed: u64) -> String {
    let found = look(&setup.open());
    assert!(!found.contains(&Found::Wrong), "{found:?}, seed {seed}");
    Oracle::new(setup).add_works(&format!("the attack, seed {seed}"));
    let hits = found.iter().filter(|found| **found == Found::Right).count();
    format!("{hits} of {KEYS} keys found afterwards")
}
