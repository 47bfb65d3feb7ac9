//! The two sides of a race: an attacker that exchanges what lies in a store for something else, as fast as it
//! can, and victims that use the store meanwhile. Both are workers; who wins is judged in `races`.

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{OpenOptionsExt, symlink},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use plugcache::{__sim, Added, Artifact, Outputs, Store};
use rustix::{
    fs::{CWD, Mode, OFlags, RenameFlags, ResolveFlags, mknodat, openat2, renameat_with},
    io::Errno,
};

use crate::{
    bed::{Found, Random, SHARED, Setup, body, is_right, names, sources},
    sandbox::set_limit,
    worker::say,
};

/// Keys that victims ask for; few, so that everybody meets.
pub(crate) const KEYS: u64 = 12;
/// Versions of each, and of what all keys share.
pub(crate) const VERSIONS: u64 = 3;

/// Where a race takes place: everything lies in one directory, so on one file system.
#[derive(Clone)]
pub(crate) struct Arena {
    pub(crate) top: PathBuf,
}

impl Arena {
    pub(crate) fn store(&self) -> PathBuf {
        self.top.join("upper/lower/store")
    }
    /// What nobody may change: files, and a whole store whose names are those of the one under attack.
    pub(crate) fn canary(&self) -> PathBuf {
        self.top.join("canary")
    }
    /// Where a path that leads through an exchanged ancestor ends.
    pub(crate) fn decoy(&self) -> PathBuf {
        self.top.join("decoy")
    }
    /// The attacker's own place.
    fn attic(&self) -> PathBuf {
        self.top.join("attic")
    }
    /// An executable to be added, the same for all keys.
    pub(crate) fn program(&self, version: u64) -> PathBuf {
        self.top.join(format!("made/{version}"))
    }
}

/// What is put in the place of something.
#[derive(Clone, Copy, Debug)]
enum Thing {
    /// To what has the same name in the canary, or to one of its files.
    Symlink,
    /// Of a file of the canary.
    HardLink,
    Fifo,
    Dir,
    FullDir,
    /// A copy of what was there, with other inodes.
    Copy,
    /// What has another name of the same kind: both get each other's.
    Other,
}

const THINGS: [Thing; 7] =
    [Thing::Symlink, Thing::HardLink, Thing::Fifo, Thing::Dir, Thing::FullDir, Thing::Copy, Thing::Other];

/// The attacker; `verbs` are its seed, for how many seconds, `below` or `above`, and the arena.
pub(crate) fn attack(setup: &Setup, verbs: &[String]) {
    let (seed, seconds): (u64, u64) = (verbs[0].parse().unwrap(), verbs[1].parse().unwrap());
    let above = verbs[2] == "above";
    let arena = Arena { top: verbs[3].clone().into() };
    let attic = arena.attic().join(seed.to_string());
    fs::create_dir_all(&attic).unwrap();
    let mut attacker = Attacker {
        base: if above { arena.top.clone() } else { setup.dir.join("v1") },
        arena,
        above,
        attic,
        random: Random::new(seed),
        swaps: 0,
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        let places = attacker.places();
        for _ in 0..100 {
            attacker.strike(&places);
        }
    }
    say(&format!("swaps {}", attacker.swaps));
}

struct Attacker {
    /// What all places are relative to.
    base: PathBuf,
    arena: Arena,
    above: bool,
    attic: PathBuf,
    random: Random,
    swaps: u64,
}

impl Attacker {
    /// Names to be attacked, those of one kind together.
    fn places(&self) -> Vec<Vec<PathBuf>> {
        if self.above {
            let path = self.arena.store().join("v1");
            let path = path.strip_prefix(&self.base).unwrap();
            let mut above: Vec<_> =
                path.ancestors().filter(|part| *part != Path::new("")).map(Path::to_owned).collect();
            above.push(path.with_file_name("CACHEDIR.TAG"));
            return above.into_iter().map(|place| vec![place]).collect();
        }
        let below = |dir: &str| -> Vec<PathBuf> {
            names(&self.base.join(dir)).into_iter().map(|name| Path::new(dir).join(name)).collect()
        };
        let dirs: Vec<PathBuf> = ["objects", "staging", "quarantine", "inflight"].map(PathBuf::from).into();
        let manifest = below("").into_iter().filter(|name| !dirs.contains(name)).collect();
        let shards: Vec<PathBuf> =
            below("objects").into_iter().filter(|shard| !names(&self.base.join(shard)).is_empty()).collect();
        let objects = shards.iter().flat_map(|shard| below(shard.to_str().unwrap())).collect();
        vec![dirs, manifest, shards, objects, below("staging"), below("quarantine"), below("inflight")]
    }

    /// Exchanges one thing for another, and mostly back.
    fn strike(&mut self, places: &[Vec<PathBuf>]) {
        let alike = &places[self.random.below(places.len() as u64) as usize];
        if alike.is_empty() {
            return;
        }
        let place = &alike[self.random.below(alike.len() as u64) as usize];
        let thing = THINGS[self.random.below(THINGS.len() as u64) as usize];
        let is_build = is_build_dir(place);
        // What a build writes to by its path is the host's business: its directory gets no other build's files.
        if is_build && matches!(thing, Thing::Copy | Thing::Other) {
            return;
        }
        let Some((dir, name)) = self.open_parent(place) else { return };
        let exchange = |with: &Path| renameat_with(&dir, &name, CWD, with, RenameFlags::EXCHANGE);
        if let Thing::Other = thing {
            let other = &alike[self.random.below(alike.len() as u64) as usize];
            if is_build_dir(other) {
                return;
            }
            // The directories themselves keep their names, or there would be no store for the rest of the time.
            let is_dir = place.components().count() == 1 && !place.to_str().unwrap().contains('.');
            let Some((other_dir, other_name)) = self.open_parent(other).filter(|_| !is_dir) else { return };
            let done = renameat_with(&dir, &name, &other_dir, &other_name, RenameFlags::EXCHANGE);
            self.swaps += u64::from(done.is_ok());
            return;
        }
        let with = self.attic.join(format!("{thing:?} {}", self.label(place, is_build)));
        if fs::symlink_metadata(&with).is_err() && self.make(thing, place, &with).is_err() {
            return;
        }
        if exchange(&with).is_err() {
            return;
        }
        self.swaps += 1;
        for _ in 0..self.random.below(1000) {
            std::hint::spin_loop();
        }
        // A file may stay away for good; without its directories the store would have nothing to do.
        if !self.above && self.random.below(16) == 0 && !with.is_dir() {
            return;
        }
        self.swaps += 1;
        if exchange(&with) == Err(Errno::NOENT) {
            // Somebody has put the thing away: then the name is free, or another's.
            let _ = renameat_with(CWD, &with, &dir, &name, RenameFlags::NOREPLACE);
        }
        if is_build {
            let _ = fs::remove_file(&with).or_else(|_| fs::remove_dir(&with));
        }
    }

    /// Things are kept for the next time. Names that are never seen again share theirs, but for builds: of two
    /// attackers one may end with a build's own directory, which no other build may get.
    fn label(&self, place: &Path, is_build: bool) -> String {
        let dir = place.parent().and_then(Path::to_str).unwrap_or_default();
        if is_build {
            return format!("{dir} {}", self.swaps);
        }
        let is_random = ["staging", "quarantine", "inflight"].contains(&dir);
        if is_random { dir.into() } else { place.to_str().unwrap().replace('/', " ") }
    }

    /// The directory of a place, reached through no symlink: another attacker must not lead this one away.
    fn open_parent(&self, place: &Path) -> Option<(OwnedFd, PathBuf)> {
        let parent = match place.parent() {
            Some(parent) if parent != Path::new("") => self.base.join(parent),
            _ => self.base.clone(),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat2(CWD, parent, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS).ok()?;
        Some((dir, place.file_name()?.into()))
    }

    fn make(&mut self, thing: Thing, place: &Path, with: &Path) -> io::Result<()> {
        let canary = self.arena.canary();
        match thing {
            Thing::Symlink => {
                let same_name = if self.above && !place.ends_with("v1") && !place.ends_with("CACHEDIR.TAG") {
                    self.arena.decoy().join(place)
                } else {
                    canary.join("v1").join(place.strip_prefix("upper/lower/store/v1").unwrap_or(place))
                };
                let target = if same_name.exists() { same_name } else { canary.join("secret") };
                symlink(target, with)
            }
            Thing::HardLink => {
                let objects = self.arena.canary().join("v1/objects");
                let shards = names(&objects);
                let shard = objects.join(&shards[self.random.below(shards.len() as u64) as usize]);
                match names(&shard).first() {
                    Some(object) => fs::hard_link(shard.join(object), with),
                    None => fs::hard_link(canary.join("secret"), with),
                }
            }
            Thing::Fifo => Ok(mknodat(CWD, with, rustix::fs::FileType::Fifo, Mode::RWXU, 0)?),
            Thing::Dir => fs::create_dir(with),
            Thing::FullDir => {
                fs::create_dir(with)?;
                fs::write(with.join("foreign"), "not the store's")
            }
            Thing::Copy | Thing::Other if place == Path::new("objects") => {
                Err(io::ErrorKind::Unsupported.into())
            }
            Thing::Copy | Thing::Other => copy(&self.base.join(place), with),
        }
    }
}

fn is_build_dir(place: &Path) -> bool {
    place.extension().is_some_and(|extension| extension == "d")
}

/// Of a file, or of the files in a directory.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    // Another attacker may just have put a FIFO there.
    let mut file = fs::File::options().read(true).custom_flags(libc::O_NONBLOCK).open(from)?;
    let meta = file.metadata()?;
    if meta.is_file() {
        io::copy(&mut file, &mut fs::File::create_new(to)?)?;
    } else if meta.is_dir() {
        fs::create_dir(to)?;
        for name in names(from) {
            // What goes meanwhile is not copied.
            let _ = copy(&from.join(&name), &to.join(&name));
        }
    }
    Ok(())
}

/// What a victim has met.
#[derive(Default)]
struct Tally {
    finds: u64,
    hits: u64,
    adds: u64,
    stored: u64,
    builds: u64,
    refused: u64,
    slowest: Duration,
}

/// A victim; `verbs` are limits, then its seed, for how many seconds, after how many calls it opens the store
/// anew, and the arena.
pub(crate) fn work(setup: &Setup, mut verbs: &[String]) {
    while let Some((limit, rest)) = verbs.split_first()
        && set_limit(limit)
    {
        verbs = rest;
    }
    let number = |at: usize| verbs[at].parse::<u64>().unwrap();
    let mut victim = Victim {
        random: Random::new(number(0)),
        arena: Arena { top: verbs[3].clone().into() },
        kept: Vec::new(),
        tally: Tally::default(),
    };
    let end = Instant::now() + Duration::from_secs(number(1));
    while Instant::now() < end {
        let Ok(store) = Store::open(setup.config()) else {
            victim.tally.refused += 1;
            continue;
        };
        for _ in 0..number(2) {
            let begin = Instant::now();
            victim.act(&store);
            victim.tally.slowest = victim.tally.slowest.max(begin.elapsed());
        }
    }
    let Tally { finds, hits, adds, stored, builds, refused, slowest } = victim.tally;
    let slowest = slowest.as_millis();
    say(&format!("tally {finds} {hits} {adds} {stored} {builds} {refused} {slowest}"));
}

struct Victim {
    random: Random,
    arena: Arena,
    /// Held for a while, and read again.
    kept: Vec<(u64, Artifact)>,
    tally: Tally,
}

impl Victim {
    /// Any call; what it answers does not matter, as long as no wrong bytes come out.
    fn act(&mut self, store: &Store) {
        let key = self.random.below(KEYS);
        let version = self.random.below(VERSIONS);
        match self.random.below(20) {
            0..6 => {
                self.tally.finds += 1;
                if let Some(artifact) = store.find(&sources(key)) {
                    self.tally.hits += 1;
                    self.keep(key, artifact);
                }
            }
            6..10 => {
                let owner = if self.random.below(3) == 0 { SHARED } else { key };
                self.added(store.add(&sources(key), Outputs::bytes("out", content(owner, version))));
            }
            10..12 => {
                let program = self.arena.program(version);
                self.added(store.add(&sources(key), Outputs::file("out", program)));
            }
            12..15 => {
                let built =
                    store.get_or_build(&sources(key), |build| build.write("out", content(key, version)));
                if let Ok(got) = built {
                    self.tally.builds += 1;
                    self.keep(key, got.artifact);
                }
            }
            15..17 => drop(store.forget(&sources(key).digest())),
            17 => drop(__sim::compact(store)),
            18 => __sim::sweep(store),
            _ => drop((store.entries().count(), store.lookup(&sources(key)), store.status())),
        }
    }

    fn added(&mut self, added: Result<Added, plugcache::NoOutput>) {
        self.tally.adds += 1;
        self.tally.stored += u64::from(matches!(added, Ok(Added::Stored)));
    }

    /// What is handed out is right, now and as long as it is held.
    fn keep(&mut self, key: u64, artifact: Artifact) {
        self.kept.push((key, artifact));
        if self.kept.len() > 8 {
            self.kept.swap_remove(self.random.below(8) as usize);
        }
        for (key, artifact) in &self.kept {
            let bytes = artifact.primary().read();
            if !bytes.as_ref().is_ok_and(|bytes| is_right(*key, bytes)) {
                let what = bytes.map(|bytes| format!("{:?}", &bytes[..bytes.len().min(48)]));
                say(&format!("! wrong bytes under {key}: {what:?}, {artifact:?}"));
            }
        }
    }
}

/// The right bytes of a version: the same length for all of one version.
pub(crate) fn content(owner: u64, version: u64) -> Vec<u8> {
    body(owner, version, 600 + 5000 * version as usize)
}

/// Of a walk through a store alone: what a find of each key gives.
pub(crate) fn look(store: &Store) -> Vec<Found> {
    (0..KEYS).map(|key| crate::bed::find(store, key)).collect()
}
