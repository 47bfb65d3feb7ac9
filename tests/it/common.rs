//! What the tests share: a place for a store and its sources, compiles that are counted, and child processes.
//!
//! A child process is this very test binary, told by its environment to play one of [`ROLES`]. It talks to
//! its parent in lines on standard output ([`say`]) and waits for it at standard input ([`wait_for_go`]).

use crate::{flight, many_writers, scenarios, seed_rules};
use plugcache::{
    Artifact, Build, Config, ConfigBuilder, Exec, Got, NO_OPTIONS, Sources, SourcesBuilder, Store, Toolchain,
};
use std::{
    env,
    fs::{self, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A directory with room for a store, for sources and for whatever else a test needs. It goes with its owner.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(below)
    }

    /// Where the store of this place is, once something was added.
    pub(crate) fn store_dir(&self) -> PathBuf {
        self.path("store")
    }

    /// A store of this place for artifacts that do not depend on the test binary, so that it is not hashed.
    pub(crate) fn config(&self) -> ConfigBuilder {
        config(&self.store_dir())
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(self.config().build()).unwrap()
    }

    /// Finds and touches nothing: looking through it has no influence on what goes first.
    pub(crate) fn spectator(&self) -> Store {
        Store::open(self.config().readonly(true).build()).unwrap()
    }

    /// Writes a file and the directories that lead to it.
    pub(crate) fn write(&self, below: impl AsRef<Path>, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Counts the compiles of this place, those of child processes included.
    pub(crate) fn compiler(&self) -> Compiler {
        Compiler(self.path("compiled"))
    }

    /// What is in a directory of the store, by path relative to it.
    pub(crate) fn below(&self, name: &str) -> Vec<PathBuf> {
        let dir = self.store_dir().join("v1").join(name);
        let mut files = Vec::new();
        list(&dir, &mut files);
        files.sort();
        files.iter().map(|path| path.strip_prefix(&dir).unwrap().to_owned()).collect()
    }

    pub(crate) fn objects(&self) -> Vec<PathBuf> {
        self.below("objects")
    }

    /// No build, whether it succeeded, failed or panicked, leaves anything.
    #[track_caller]
    pub(crate) fn assert_nothing_in_progress(&self) {
        assert_eq!((self.below("staging"), self.below("inflight")), (vec![], vec![]));
    }
}

/// All that is no shard of `objects/`: files, and whatever else there is.
fn list(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        let is_shard = path.is_dir() && path.file_name().is_some_and(|name| name.len() == 2);
        if is_shard { list(&path, files) } else { files.push(path) }
    }
}

/// The binary of an example, beside those of the tests. `cargo test` has built it, unless it was told to build one test
/// alone.
pub(crate) fn example(name: &str) -> PathBuf {
    let this = env::current_exe().unwrap();
    let profile = this.ancestors().nth(2).unwrap();
    if let Some(cargo) = env::var_os("CARGO") {
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--example", name, "--target-dir"]);
        build.arg(profile.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.file_name().is_some_and(|name| name == "release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
    }
    profile.join("examples").join(name)
}

/// Copies a directory with all that is below it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { fs::write(&to, fs::read(&path).unwrap()).unwrap() }
    }
}

pub(crate) fn config(store_dir: &Path) -> ConfigBuilder {
    Config::builder(store_dir).exec(Exec::Given(b"host".to_vec()))
}

/// The key of these files.
pub(crate) fn key<P: AsRef<Path>>(files: impl IntoIterator<Item = P>) -> SourcesBuilder {
    Sources::new("test/1", &Toolchain::of_value("cc", "1"), NO_OPTIONS).files(files)
}

/// The key of a source that lies on no disk.
pub(crate) fn named(name: &str) -> Sources {
    key([""; 0]).bytes(name, name).digest().unwrap()
}

/// Compiles nothing, but is counted: one byte in a file per run, by whatever process.
#[derive(Clone)]
pub(crate) struct Compiler(PathBuf);

impl Compiler {
    /// A build that makes one output of these bytes.
    pub(crate) fn makes<T>(&self, bytes: T) -> impl Fn(&mut Build) -> io::Result<()> + use<T>
    where
        T: AsRef<[u8]>,
    {
        let compiler = self.clone();
        move |build| {
            compiler.run();
            build.write("plugin.so", &bytes)
        }
    }

    pub(crate) fn run(&self) {
        let mut file = OpenOptions::new().append(true).create(true).open(&self.0).unwrap();
        assert_eq!(file.write(b"x").unwrap(), 1);
    }

    pub(crate) fn runs(&self) -> u64 {
        fs::metadata(&self.0).map_or(0, |metadata| metadata.len())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The Compiler of a parent process.
    pub(crate) fn at(path: &str) -> Compiler {
        Compiler(path.into())
    }

    /// Asks a store for what these sources give; its output is their label.
    pub(crate) fn get(&self, store: &Store, sources: &Sources) -> Got {
        store.get_or_build(sources, self.makes(sources.label())).unwrap()
    }
}

pub(crate) fn text(artifact: &Artifact) -> String {
    String::from_utf8(artifact.primary().read_verified().unwrap()).unwrap()
}

/// The labels of all entries, in the order of adding.
pub(crate) fn labels(store: &Store) -> Vec<String> {
    store.entries().map(|entry| entry.label().to_owned()).collect()
}

/// Returns once a change to a file gets a later time than every change before: a build that begins now can
/// tell what changed after that. A tick of the file clock takes up to 10 ms.
pub(crate) fn let_the_file_clock_tick() {
    let ctime = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        (metadata.ctime(), metadata.ctime_nsec())
    };
    let probe = tempfile::NamedTempFile::new().unwrap();
    let before = ctime(probe.path());
    while ctime(probe.path()) == before {
        probe.as_file().set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Of a directory and of all below it.
pub(crate) fn set_dir_modes(dir: &Path, mode: u32) {
    let set = |mode| fs::set_permissions(dir, fs::Permissions::from_mode(mode)).unwrap();
    set(0o700);
    let below: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    below.iter().filter(|path| path.is_dir()).for_each(|dir| set_dir_modes(dir, mode));
    set(mode);
}

/// A part that a child process plays, with the arguments that its parent gave.
type Role = fn(&[String]);

/// Every part there is, by name.
const ROLES: &[(&str, Role)] = &[
    ("echo", echo),
    ("build", flight::build),
    ("never finish", flight::never_finish),
    ("build in a read-only store", flight::build_in_a_read_only_store),
    ("ask", seed_rules::ask),
    ("hit and miss", seed_rules::hit_and_miss),
    ("open for an application", seed_rules::open_for_an_application),
    ("load", scenarios::load_each),
    ("load from a read-only directory", scenarios::load_from_a_read_only_directory),
    ("add", many_writers::add_many),
    ("find", many_writers::find_many),
    ("compact", many_writers::compact_until_told),
];

/// Holds the name of the role, then its arguments, a line each.
const ROLE: &str = "PLUGCACHE_TEST_ROLE";

/// Sets what a role says apart from what the test harness prints.
const MARK: char = '@';

/// What a parent tells a child: paths and texts alike.
pub(crate) trait Argument {
    fn to_line(&self) -> &str;
}

impl<T: AsRef<Path> + ?Sized> Argument for T {
    fn to_line(&self) -> &str {
        self.as_ref().to_str().unwrap()
    }
}

/// A process that plays a role; killed when it is dropped.
pub(crate) struct Child {
    process: process::Child,
    out: BufReader<process::ChildStdout>,
}

impl Child {
    pub(crate) fn start(role: &str, arguments: &[&dyn Argument]) -> Child {
        Child::start_as(&mut Command::new(env::current_exe().unwrap()), role, arguments).unwrap()
    }

    /// Starts it without the rights of root, if the tests have them.
    pub(crate) fn start_unprivileged(role: &str, arguments: &[&dyn Argument]) -> (Child, TempDir) {
        // The binary may lie where only root can go.
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let copy = dir.path().join("it");
        fs::copy(env::current_exe().unwrap(), &copy).unwrap();
        let mut command = Command::new(copy);
        command.current_dir(dir.path());
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            command.uid(NOBODY).gid(NOBODY);
        }
        (Child::start_as(&mut command, role, arguments).unwrap(), dir)
    }

    pub(crate) fn start_as(
        command: &mut Command,
        role: &str,
        arguments: &[&dyn Argument],
    ) -> io::Result<Child> {
        let arguments = arguments.iter().map(|argument| argument.to_line());
        let lines: Vec<&str> = [role].into_iter().chain(arguments).collect();
        let mut process = command
            .args(["--exact", "common::a_child_process_plays_the_role_that_it_was_given"])
            .args(["--nocapture", "--test-threads=1"])
            .env(ROLE, lines.join("\n"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let out = BufReader::new(process.stdout.take().unwrap());
        Ok(Child { process, out })
    }

    /// The next thing it says; `None` once it has ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        let mut lines = self.out.by_ref().lines().map(Result::unwrap);
        lines.find_map(|line| Some(line.strip_prefix(MARK)?.to_owned()))
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &str) {
        assert_eq!(self.hear().as_deref(), Some(expected));
    }

    /// Lets a child go on that waits for it.
    pub(crate) fn go(&mut self) {
        self.process.stdin = None;
    }

    /// Kills it so that it can do nothing more.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// What it says from here to its end, which must be a good one.
    #[track_caller]
    pub(crate) fn end(self) -> Vec<String> {
        let (out, _) = self.all_it_prints();
        out.lines().filter_map(|line| line.strip_prefix(MARK)).map(String::from).collect()
    }

    /// All that it prints from here to its end: on standard output, and on standard error.
    #[track_caller]
    pub(crate) fn all_it_prints(mut self) -> (String, String) {
        self.go();
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.process.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}\n{out}\n{err}");
        (out, err)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Owns nothing on most systems, and nothing here.
pub(crate) const NOBODY: u32 = 65534;

/// Starts so many children that wait for each other, lets them go at once, and returns what they say and how
/// long they took.
pub(crate) fn all_at_once(count: usize, start: impl Fn(usize) -> Child) -> (Vec<Vec<String>>, Duration) {
    let mut children: Vec<Child> = (0..count).map(start).collect();
    children.iter_mut().for_each(|child| child.expect("ready"));
    let begin = Instant::now();
    children.iter_mut().for_each(Child::go);
    let said = children.into_iter().map(Child::end).collect();
    (said, begin.elapsed())
}

/// Tells the parent of this child something.
pub(crate) fn say(text: impl AsRef<str>) {
    let mut out = io::stdout().lock();
    write!(out, "\n{MARK}{}\n", text.as_ref()).unwrap();
    out.flush().unwrap();
}

/// Waits until the parent of this child says so.
pub(crate) fn wait_for_go() {
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

fn echo(arguments: &[String]) {
    wait_for_go();
    arguments.iter().for_each(say);
}

#[test]
fn a_child_process_plays_the_role_that_it_was_given() {
    if let Ok(given) = env::var(ROLE) {
        let lines: Vec<String> = given.split('\n').map(String::from).collect();
        let (_, role) = ROLES.iter().find(|(name, _)| *name == lines[0]).unwrap();
        return role(&lines[1..]);
    }
    assert_eq!(Child::start("echo", &[&"one", &"two"]).end(), ["one", "two"]);
}
