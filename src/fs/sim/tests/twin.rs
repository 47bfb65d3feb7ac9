//! The simulated disk against the real one: random verbs give the same answers on both.
//!
//! Compared are results, error numbers, names, bytes, locks, and of a `stat` all but device, inode, owner,
//! times and the link count of directories.
#![cfg(all(target_os = "linux", not(plugcache_portable)))]

use super::super::{
    super::{Access, Dir, File, Fs, Kind, Lock, Pattern, Stat, Time},
    Disk, Random,
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Few names, so that they meet; some lead through files and symlinks, and some are refused.
const PATHS: [&str; 13] =
    ["link/a", "a", "b", "c", "d", "d/a", "d/b", "d/d", "d/d/a", "a/b", "d/../a", "./a", "link"];

/// One world, with what is open in it.
struct World {
    fs: Fs,
    base: PathBuf,
    root: Dir,
    files: Vec<File>,
}

fn shown(stat: &Stat) -> String {
    let (links, len) = if stat.kind == Kind::Dir { (stat.links.min(1), 0) } else { (stat.links, stat.len) };
    format!("{:?} {links} {:o} {len}", stat.kind, stat.mode)
}

fn told<T>(result: io::Result<T>, show: impl FnOnce(T) -> String) -> String {
    match result {
        Ok(value) => show(value),
        Err(error) => format!("{:?} {:?}", error.kind(), error.raw_os_error()),
    }
}

fn done((): ()) -> String {
    "done".to_owned()
}

impl World {
    fn new(fs: Fs, base: &Path) -> World {
        World { root: fs.open_root(base).unwrap(), fs, base: base.to_path_buf(), files: Vec::new() }
    }

    fn keep(&mut self, opened: io::Result<File>) -> String {
        told(opened, |file| {
            let kind = told(file.stat(), |stat| shown(&stat));
            self.files.push(file);
            kind
        })
    }

    /// Does one random thing; the same draws are the same thing.
    fn act(&mut self, random: &mut Random) -> String {
        let path = Path::new(PATHS[random.below(PATHS.len())]);
        let other = Path::new(PATHS[random.below(PATHS.len())]);
        let (verb, number, chance) = (random.below(26), random.below(64), random.below(2) == 0);
        let answer = match verb {
            ..12 => self.act_on_names(verb, path, other, chance),
            12..20 if self.files.is_empty() => String::new(),
            12..20 => self.act_on_file(verb, number, chance),
            _ => self.act_on_absolute(verb, path, other, chance),
        };
        format!("{verb} {} {}: {answer}", path.display(), other.display())
    }

    fn act_on_names(&mut self, verb: usize, path: &Path, other: &Path, chance: bool) -> String {
        let access = if chance { Access::Read } else { Access::Append };
        let opened = match verb {
            0 => return told(self.root.make_dir(path, 0o700), done),
            1 => return told(self.root.unlink(path), done),
            2 => return told(self.root.remove_dir(path), done),
            3 | 4 => return told(self.root.rename(path, other), done),
            5 => return told(self.root.stat(path), |stat| shown(&stat)),
            6 => {
                return told(self.root.open_dir(path).and_then(|dir| dir.list()), |mut names| {
                    names.sort_unstable();
                    format!("{names:?}")
                });
            }
            7 | 8 => self.root.open(path, access),
            9 | 10 => self.root.create(path, 0o600),
            _ => self.root.open_or_create(path),
        };
        self.keep(opened)
    }

    fn act_on_file(&mut self, verb: usize, number: usize, chance: bool) -> String {
        let at = number % self.files.len();
        let file = &self.files[at];
        let lock = if chance { Lock::Shared } else { Lock::Exclusive };
        match verb {
            12 => {
                drop(self.files.remove(at));
                "closed".to_owned()
            }
            13 => told(file.try_lock(lock), |is_held| is_held.to_string()),
            14 => told(file.write(&vec![b'x'; number]), |len| len.to_string()),
            15 => {
                let mut buf = [0; 99];
                told(file.read_at(&mut buf, number as u64), |len| format!("{:?}", &buf[..len]))
            }
            16 if chance => told(file.stamps_changes(), |stamps| stamps.to_string()),
            16 => told(file.stat(), |stat| shown(&stat)),
            17 => told(file.set_mode(0o600 + number as u32 % 8), done),
            18 => told(file.set_mtime(Time { sec: 1, nsec: 0 }), done),
            // The length of a directory, and so the error of its map, is a matter of the file system.
            _ if file.stat().is_ok_and(|stat| stat.kind == Kind::File) => {
                told(file.map(number as u64 % 4 + 1, Pattern::Scattered), |map| format!("{:?}", &*map))
            }
            _ => String::new(),
        }
    }

    fn act_on_absolute(&mut self, verb: usize, path: &Path, other: &Path, chance: bool) -> String {
        let long = self.base.join(path).join(other);
        match verb {
            20 => told(self.fs.stat_source(&self.base.join(path)), |stat| shown(&stat)),
            22..=24 => self.act_behind(verb, path, other),
            // Where a path is wrong in two ways, either error will do.
            21 => match self.fs.ancestors(&long) {
                Err(_) => "refused".to_owned(),
                Ok(found) => {
                    let kinds = found.existing.iter().map(|(path, stat)| (path, stat.kind));
                    format!("{:?} {:?}", found.resolved, kinds.collect::<Vec<_>>())
                }
            },
            _ if chance => told(self.fs.make_root(&long), done),
            _ => String::new(),
        }
    }

    /// Looks behind a directory of the caller's.
    fn act_behind(&mut self, verb: usize, path: &Path, other: &Path) -> String {
        let dir = match self.fs.open_source_dir(&self.base.join(path)) {
            Err(error) => return told::<()>(Err(error), done),
            Ok(dir) => dir,
        };
        match verb {
            22 => told(dir.stat_source(other), |stat| shown(&stat)),
            // A directory that lost its name or has another one is still the same.
            23 => {
                let renamed = told(self.root.rename(path, Path::new("c")), done);
                format!("{renamed} {}", told(dir.stat_source(other), |stat| shown(&stat)))
            }
            _ => self.keep(dir.open_source(other)),
        }
    }
}

#[test]
fn random_verbs_answer_as_on_the_real_disk() {
    for seed in 0..300 {
        let temp = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("d", temp.path().join("link")).unwrap();
        let disk = Disk::new(seed);
        let base = temp.path().canonicalize().unwrap();
        let user = Fs::Os.user();
        disk.plant_dir(&base);
        disk.chown(&base, user);
        disk.plant_symlink(base.join("link"), "d");
        // Not a directory's answer, which is not asked for: a new file's.
        let probe = Fs::Os.open_root(&base).unwrap().create(Path::new("probe"), 0o600).unwrap();
        disk.set_stamps_changes(probe.stamps_changes().unwrap());
        Fs::Os.open_root(&base).unwrap().unlink(Path::new("probe")).unwrap();
        let mut real = World::new(Fs::Os, &base);
        let mut model = World::new(Fs::Sim(disk.process_as(user)), &base);
        let mut past = Vec::new();
        for step in 0..400 {
            let draws = Random::new(seed * 1_000_003 + step);
            let (told, mut expected) = (model.act(&mut draws.clone()), real.act(&mut draws.clone()));
            // A child that another test starts shares all descriptors until it runs its program, and keeps a
            // lock for that long whose descriptor was closed here.
            for _ in 0..200 {
                if expected == told || !expected.ends_with(": false") {
                    break;
                }
                Fs::Os.pause(std::time::Duration::from_millis(5));
                expected = real.act(&mut draws.clone());
            }
            past.push(expected.clone());
            let from = past.len().saturating_sub(12);
            assert_eq!(told, expected, "seed {seed}, after\n{}", past[from..].join("\n"));
        }
    }
}
