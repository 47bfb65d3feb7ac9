//! What all scenes stand on: plugins, keys, whom hosts trust, what compilers were started, and where the bucket is.

use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use plugcache_remote::{Name, SecretKey, revoke, trust};
use rustix::fs::{StatVfs, StatVfsMountFlags, statvfs};

use crate::{attack::FORGERS, crew::Report, plugins, role};

/// A bucket, and who may use it.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// As `S3Config::endpoint` takes it.
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
    pub(crate) key_id: String,
    pub(crate) secret: String,
}

/// The directory of a scene, which goes with it.
pub(crate) struct Bed {
    dir: tempfile::TempDir,
    pub(crate) plugins: usize,
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

impl Bed {
    /// With this many plugins, and four keys: hosts trust `main` in the namespace main, `dev` in dev, `revoked` no more,
    /// and have never heard of `stranger`.
    pub(crate) fn new(count: usize) -> Bed {
        // In memory, where code may be loaded from there: a store makes some hundred directories.
        let memory = Path::new("/dev/shm");
        let loads = |found: StatVfs| !found.f_flag.contains(StatVfsMountFlags::NOEXEC);
        let in_memory = statvfs(memory).is_ok_and(loads);
        let dir = if in_memory { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let dir = dir.unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let bed = Bed { dir, plugins: count };
        plugins::write(&bed.path("plugins"), count);
        let key = |name: &str| SecretKey::generate(&bed.path(&format!("{name}.key"))).unwrap();
        let (main, dev, revoked, _) = (key("main"), key("dev"), key("revoked"), key("stranger"));
        let file = bed.path("trust");
        trust(&file, &name("main"), &main.public(), "").unwrap();
        trust(&file, &name("dev"), &dev.public(), "").unwrap();
        trust(&file, &name("main"), &revoked.public(), "").unwrap();
        revoke(&file, &revoked.id(), "stolen").unwrap();
        bed
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn process(&self, role: &str, machine: &str, at: &Access) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        let number: String = machine.chars().filter(char::is_ascii_digit).collect();
        command
            .env(role::ROLE, role)
            .env("FLEET_DIR", self.dir.path())
            .env("FLEET_MACHINE", machine)
            .env("FLEET_NUMBER", if number.is_empty() { "0".into() } else { number })
            .env("FLEET_BUCKET", &at.bucket)
            .env("AWS_ENDPOINT_URL", &at.endpoint)
            .env("AWS_REGION", "garage")
            .env("AWS_ACCESS_KEY_ID", &at.key_id)
            .env("AWS_SECRET_ACCESS_KEY", &at.secret);
        command
    }

    /// A host, with a store of its own below the name of its machine.
    pub(crate) fn host(&self, machine: &str, at: &Access) -> Command {
        self.process("host", machine, at)
    }

    /// One that waits for a slow machine as long as it takes: where it is counted who compiles.
    pub(crate) fn patient_host(&self, machine: &str, at: &Access) -> Command {
        let mut command = self.host(machine, at);
        command.env("FLEET_PATIENT", "1");
        command
    }

    /// Who builds everything and brings it at once, and at last the bundle `release`.
    pub(crate) fn publisher(&self, machine: &str, at: &Access) -> Command {
        let mut command = self.process("publisher", machine, at);
        command.env("FLEET_PATIENT", "1").env("FLEET_KEY", "main");
        command
    }

    /// Makes what an attacker has beforehand: see `attack::FORGERS`.
    pub(crate) fn forge(&self, at: &Access) {
        fs::write(self.path("evil.c"), plugins::evil(&self.canary())).unwrap();
        for (place, key, namespace, days) in FORGERS {
            let mut forger = self.process("forger", place, at);
            forger
                .env("FLEET_PATIENT", "1")
                .env("FLEET_FORGER", format!("{place}\t{key}\t{namespace}\t{days}"));
            let done = forger.status().unwrap();
            assert!(done.success(), "{place}");
        }
    }

    pub(crate) fn attacker(&self, at: &Access) -> Command {
        self.process("attacker", "attacker", at)
    }

    /// What the evil plugin leaves.
    pub(crate) fn canary(&self) -> PathBuf {
        self.path("canary")
    }

    /// A line for each start of a compiler, in the whole fleet.
    pub(crate) fn compiled(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("compiled")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// That a compiler was started once per plugin, and no more.
    #[track_caller]
    pub(crate) fn assert_compiled_once(&self) {
        let lines = self.compiled();
        let mut starts: BTreeMap<&str, usize> = BTreeMap::new();
        for line in &lines {
            *starts.entry(line.split_once(' ').unwrap().1).or_default() += 1;
        }
        assert_eq!(starts.len(), self.plugins, "{lines:?}");
        assert!(starts.values().all(|count| *count == 1), "{lines:?}");
    }

    /// That every process ended well, and loaded every plugin once, which gave the right answer.
    #[track_caller]
    pub(crate) fn assert_right(&self, reports: &[Report]) {
        let right: BTreeMap<_, _> = plugins::read(&self.path("plugins"))
            .into_iter()
            .map(|plugin| (plugin.name, plugin.answer))
            .collect();
        for report in reports {
            assert!(report.ended.is_some_and(|status| status.success()), "{report:?}");
            let got: BTreeMap<_, _> = report.got.iter().map(|got| (got.plugin.clone(), got.answer)).collect();
            assert_eq!((report.got.len(), &got), (self.plugins, &right), "{report:?}");
        }
    }
}

/// That all processes loaded the same bytes: those that one of them has compiled.
#[track_caller]
pub(crate) fn assert_same_bytes(reports: &[Report]) {
    let mut digests: BTreeMap<&str, &str> = BTreeMap::new();
    for got in reports.iter().flat_map(|report| &report.got) {
        let first = digests.entry(&got.plugin).or_insert(&got.digest);
        assert_eq!(*first, got.digest, "{} differs from machine to machine", got.plugin);
    }
}

/// Removes the store of a machine.
pub(crate) fn forget(dir: &Path) {
    fs::remove_dir_all(dir).unwrap();
}
