//! What the tests of bad input share: a small store to be damaged, what can be planted in it, child processes
//! with other rights, and an encoder of frames (`codec`).

pub(crate) mod codec;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

pub(crate) use self::codec::{
    COUNT, ENTRY, EXEC, ITEM, PUT, SEAL, frame, frames, header, put, seed_of, segment_frame, segment_frames,
};
use plugcache::{Config, ConfigBuilder, Exec, Got, How, NO_OPTIONS, Sources, Store, Toolchain};
use tempfile::TempDir;

/// A store of a test's own, in a directory that goes with it.
pub(crate) struct Place {
    temp: TempDir,
    pub(crate) dir: PathBuf,
}

impl Place {
    /// Nothing is there yet. In memory where that can be had, for thousands of damages should not wait for a disk;
    /// but where `TMPDIR` says, if it says anything: then that file system is to be tried out.
    pub(crate) fn new() -> Place {
        if std::env::var_os("TMPDIR").is_some() {
            return Place::on_disk();
        }
        let memory = tempfile::tempdir_in("/dev/shm");
        Place::at(memory.or_else(|_| tempfile::tempdir()).unwrap())
    }

    /// As [`new`](Place::new), where temporary files lie.
    pub(crate) fn on_disk() -> Place {
        Place::at(tempfile::tempdir().unwrap())
    }

    fn at(temp: TempDir) -> Place {
        let dir = temp.path().join("store");
        Place { temp, dir }
    }

    /// A store that holds the plugins 0 to `count` - 1.
    pub(crate) fn with(count: usize) -> Place {
        Place::new().filled(count)
    }

    pub(crate) fn filled(self, count: usize) -> Place {
        let store = self.open();
        for number in 0..count {
            assert_eq!(get(&store, number).how, How::Built);
        }
        self
    }

    pub(crate) fn config(&self) -> ConfigBuilder {
        Config::builder(&self.dir).exec(Exec::Independent)
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(self.config().build()).unwrap()
    }

    pub(crate) fn v1(&self, name: &str) -> PathBuf {
        self.dir.join("v1").join(name)
    }

    /// A path beside the store.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub(crate) fn object(&self, number: usize) -> PathBuf {
        let digest = plugcache::ObjectDigest::of_bytes(&bytes(number)).to_string();
        self.v1(&format!("objects/{}/{}", &digest[..2], &digest[2..]))
    }

    /// Names, kinds, times and contents of all that lies in the store.
    pub(crate) fn state(&self) -> BTreeMap<PathBuf, State> {
        state_of(&self.dir)
    }

    /// Nothing was made, changed or removed since `before`.
    pub(crate) fn must_be_as(&self, before: &BTreeMap<PathBuf, State>, case: &str) {
        let now = self.state();
        let paths = before.keys().chain(now.keys());
        let differ: BTreeSet<_> = paths.filter(|path| before.get(*path) != now.get(*path)).collect();
        assert!(differ.is_empty(), "{case}: changed: {differ:?}");
    }

    /// Whatever happened before: every plugin is had with its right bytes, and the next process finds all of
    /// them stored.
    pub(crate) fn must_work(&self, count: usize, case: &str) {
        let store = Store::open(self.config().build()).unwrap_or_else(|e| panic!("{case}: {e}"));
        for number in 0..count {
            let how = get(&store, number).how;
            assert!(matches!(how, How::Hit | How::Built), "{case}: plugin {number}: {how}");
        }
        assert_eq!(found(&self.open(), count), (0..count).collect::<Vec<_>>(), "{case}");
    }
}

pub(crate) fn sources(number: usize) -> Sources {
    let toolchain = Toolchain::of_value("upper", "1");
    Sources::new("damage/1", &toolchain, NO_OPTIONS)
        .bytes(format!("{number}.c"), number.to_le_bytes())
        .digest()
        .unwrap()
}

/// The artifact of plugin `number`.
pub(crate) fn bytes(number: usize) -> Vec<u8> {
    format!("artifact {number} ").repeat(number % 7 + 1).into_bytes()
}

/// Gets or builds plugin `number`; whatever the store says, the bytes are right.
pub(crate) fn get(store: &Store, number: usize) -> Got {
    let got = store.get_or_build(&sources(number), |b| b.write("out.so", bytes(number))).unwrap();
    assert_eq!(got.artifact.primary().read().unwrap(), bytes(number), "plugin {number}: {}", got.how);
    got
}

/// Which of the plugins below `count` are found; those that are have the right bytes.
pub(crate) fn found(store: &Store, count: usize) -> Vec<usize> {
    let is_found = |number: &usize| match store.find(&sources(*number)) {
        Some(artifact) => {
            assert_eq!(artifact.primary().read_verified().unwrap(), bytes(*number), "plugin {number}");
            true
        }
        None => false,
    };
    (0..count).filter(is_found).collect()
}

/// The files of a manifest, to be put back after each damage.
pub(crate) struct Manifest {
    v1: PathBuf,
    files: Vec<(String, Vec<u8>)>,
}

impl Manifest {
    pub(crate) fn of(place: &Place) -> Manifest {
        let v1 = place.dir.join("v1");
        let mut files: Vec<_> =
            names(&v1).into_iter().map(|name| (name.clone(), fs::read(v1.join(name)).unwrap())).collect();
        files.sort();
        Manifest { v1, files }
    }

    /// The only file: its name and bytes.
    pub(crate) fn file(&self, prefix: &str) -> (&str, &[u8]) {
        let (name, bytes) = self.files.iter().find(|(name, _)| name.starts_with(prefix)).unwrap();
        (name, bytes)
    }

    /// Everything as it was, but with these bytes in the file `name`.
    pub(crate) fn put_back_with(&self, name: &str, bytes: &[u8]) {
        for stale in names(&self.v1) {
            fs::remove_file(self.v1.join(stale)).unwrap();
        }
        for (file, right) in &self.files {
            fs::write(self.v1.join(file), if file == name { bytes } else { right }).unwrap();
        }
    }
}

fn names(v1: &Path) -> Vec<String> {
    let all = fs::read_dir(v1).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    all.filter(|name| name.starts_with("log.") || name.starts_with("seg.")).collect()
}

/// What a thing in a directory was, as far as it shows from outside. Times in ns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    mode: u32,
    len: u64,
    inode: u64,
    links: u64,
    mtime: i128,
    ctime: i128,
    content: Option<Vec<u8>>,
}

pub(crate) fn state_of(dir: &Path) -> BTreeMap<PathBuf, State> {
    let mut states = BTreeMap::new();
    let mut rest = vec![dir.to_path_buf()];
    while let Some(path) = rest.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let ns = |sec: i64, nsec: i64| i128::from(sec) * 1_000_000_000 + i128::from(nsec);
        let state = State {
            mode: meta.mode(),
            len: meta.len(),
            inode: meta.ino(),
            links: meta.nlink(),
            mtime: ns(meta.mtime(), meta.mtime_nsec()),
            ctime: ns(meta.ctime(), meta.ctime_nsec()),
            content: meta.is_file().then(|| fs::read(&path).unwrap()),
        };
        if meta.is_dir() {
            rest.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        states.insert(path, state);
    }
    states
}

/// Things that are no regular file of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thing {
    Dir,
    FullDir,
    Fifo,
    Socket,
    /// To a file that holds what the name's right owner held.
    Symlink,
    Loop,
}

pub(crate) const THINGS: [Thing; 6] =
    [Thing::Dir, Thing::FullDir, Thing::Fifo, Thing::Socket, Thing::Symlink, Thing::Loop];

/// Puts a thing where a file or a directory may be; what was there goes, for a symlink it goes to `aside`.
pub(crate) fn plant(thing: Thing, path: &Path, aside: &Path) {
    if thing == Thing::Symlink && path.exists() {
        fs::rename(path, aside).unwrap();
    }
    remove(path);
    match thing {
        Thing::Dir => fs::create_dir(path).unwrap(),
        Thing::FullDir => {
            fs::create_dir(path).unwrap();
            fs::write(path.join("foreign"), "not ours").unwrap();
        }
        Thing::Fifo => {
            let status = Command::new("mkfifo").arg(path).status().unwrap();
            assert!(status.success());
        }
        Thing::Socket => {
            // The path of a socket address is short: bind elsewhere, then move.
            let temp = tempfile::Builder::new().tempdir_in(path.parent().unwrap()).unwrap();
            UnixListener::bind(temp.path().join("s")).unwrap();
            fs::rename(temp.path().join("s"), path).unwrap();
        }
        Thing::Symlink => symlink(aside, path).unwrap(),
        Thing::Loop => symlink(path, path).unwrap(),
    }
}

/// Removes whatever it is; nothing is fine too.
pub(crate) fn remove(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// `cp` with these options.
pub(crate) fn copy(options: &str, from: &Path, to: &Path) {
    assert!(Command::new("cp").arg(options).arg(from).arg(to).status().unwrap().success());
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Who has no rights at all.
const NOBODY: u32 = 65534;
/// What a child process can be told to do in a place.
pub(crate) type Job = (&'static str, fn(&Path));
const JOB: &str = "PLUGCACHE_TEST_JOB";
const PLACE: &str = "PLUGCACHE_TEST_PLACE";

/// This test binary, about to do one of the jobs in a process of its own.
pub(crate) fn child_of(program: &Path, job: &str, place: &Path) -> Command {
    let mut command = Command::new(program);
    let test = "damage::a_child_process_does_the_job_that_it_was_given";
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(JOB, job).env(PLACE, place);
    command
}

/// As [`child_of`], for a child without rights: the magic link is followed also where the path is closed to it.
pub(crate) fn child(job: &str, place: &Path) -> Command {
    child_of(Path::new("/proc/self/exe"), job, place)
}

pub(crate) fn must_succeed(mut command: Command) {
    let out = command.output().unwrap();
    let text = [out.stdout, out.stderr].concat();
    assert!(out.status.success(), "{command:?}: {}\n{}", out.status, String::from_utf8_lossy(&text));
}

/// Runs a job as a user without rights; `false`, with a printed reason, if this process cannot.
pub(crate) fn as_nobody(job: &str, place: &Path) -> bool {
    if !is_root() {
        println!("skipped {job}: only root can become another user");
        return false;
    }
    let mut command = child(job, place);
    command.uid(NOBODY).gid(NOBODY).current_dir("/").env("TMPDIR", "/tmp");
    must_succeed(command);
    true
}

/// Gives a tree to the user of [`as_nobody`], and lets them come there.
pub(crate) fn give_to_nobody(place: &Place) {
    chmod(place.temp.path(), 0o755);
    assert!(Command::new("chown").args(["-R", "65534:65534"]).arg(&place.dir).status().unwrap().success());
}

#[test]
fn a_child_process_does_the_job_that_it_was_given() {
    let (Some(job), Some(place)) = (std::env::var_os(JOB), std::env::var_os(PLACE)) else {
        return;
    };
    use super::{bad_manifest, bad_objects, bad_places, bad_rights, bad_sources, layers};
    let known = [
        bad_manifest::JOBS,
        bad_objects::JOBS,
        bad_places::JOBS,
        bad_rights::JOBS,
        bad_sources::JOBS,
        layers::JOBS,
    ];
    let (_, job) = known.into_iter().flatten().find(|(name, _)| job == *name).unwrap();
    job(Path::new(&place));
}

/// A place that a child was given: opened, not made.
pub(crate) fn given(dir: &Path) -> ConfigBuilder {
    Config::builder(dir).exec(Exec::Independent)
}

/// Appends bytes to a file as they are.
pub(crate) fn append(path: &Path, bytes: &[u8]) {
    fs::OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(bytes).unwrap();
}
