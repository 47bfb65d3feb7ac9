//! Garage, where it is installed: one node and three, made by the commands of docs/fleet.md.

use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::{Duration, Instant},
};

use plugcache_remote::{Ask, Bucket as _, BucketError, Limits, S3Bucket, S3Config};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::{
    bed::{Access, Bed},
    document::{commands, file_in, replaced},
    harness::Skipped,
};

/// A node answers after 0.3 s on a machine that has nothing else to do.
const START_MAX: Duration = Duration::from_secs(60);

/// The program: `PLUGCACHE_GARAGE`, one in the path, or what `tests/garage.sh` has installed.
pub(crate) fn program() -> Result<PathBuf, Skipped> {
    let told = env::var_os("PLUGCACHE_GARAGE").map(PathBuf::from);
    let dirs = env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<_> = env::split_paths(&dirs).map(|dir| dir.join("garage")).collect();
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    places.extend(cache.map(|dir| dir.join("plugcache-tests/garage/bin/garage")));
    let found = told.or_else(|| places.into_iter().find(|place| place.is_file()));
    found.ok_or_else(|| Skipped("there is no garage: remote/tests/garage.sh installs it".into()))
}

/// One node: its directory, its ports, and its process while it runs.
pub(crate) struct Node {
    program: PathBuf,
    dir: PathBuf,
    rpc: u16,
    api: u16,
    child: Option<Child>,
}

impl Node {
    fn new(program: &Path, dir: PathBuf) -> Node {
        fs::create_dir(&dir).unwrap();
        Node { program: program.into(), dir, rpc: port(), api: port(), child: None }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }

    /// What the document says, in this node's directory and on its ports.
    fn placed(&self, text: &str) -> String {
        let text = replaced(text, "/var/lib/garage", self.dir.to_str().unwrap());
        let text = replaced(&text, ":3901", &format!(":{}", self.rpc));
        replaced(&text, ":3900", &format!(":{}", self.api))
    }

    fn config(&self) -> PathBuf {
        self.dir.join("garage.toml")
    }

    /// A shell that finds `garage` and this node's configuration.
    fn shell(&self, script: &str) -> Command {
        let mut path = self.program.parent().unwrap().as_os_str().to_owned();
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", script]).current_dir(&self.dir).env("PATH", path);
        shell.env("GARAGE_CONFIG_FILE", self.config()).env("RUST_LOG", "garage=warn").stdin(Stdio::null());
        shell
    }

    /// Starts what runs until it is killed, in a group of its own.
    fn run(&mut self, script: &str) {
        let log = fs::File::create(self.dir.join("log")).unwrap();
        let mut shell = self.shell(script);
        shell.process_group(0).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(shell.spawn().unwrap());
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.api)).is_err() {
            let waited = begun.elapsed();
            assert!(waited < START_MAX, "no node after {waited:?}: {}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn start(&mut self) {
        self.run("exec garage server");
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Kills it where it is (-9).
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(&child, Signal::KILL);
            child.wait().unwrap();
        }
    }

    /// Takes requests and says nothing, until it goes on.
    pub(crate) fn stop(&self) {
        signal(self.child.as_ref().unwrap(), Signal::STOP);
    }

    pub(crate) fn go_on(&self) {
        signal(self.child.as_ref().unwrap(), Signal::CONT);
    }

    /// What a command of `garage` prints.
    fn garage(&self, arguments: &str) -> String {
        self.done(&format!("garage {arguments}"))
    }

    fn done(&self, script: &str) -> String {
        let done = self.shell(script).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{script}\n{out}\n{err}\n{}", self.log());
        out.into_owned()
    }
}

fn signal(child: &Child, signal: Signal) {
    let group = Pid::from_raw(child.id().cast_signed()).unwrap();
    // It may have ended by itself.
    let _ = kill_process_group(group, signal);
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody uses, and that the system gives to nobody who does not ask for it.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 100) as u16 * 100;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 100;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// One node, by the commands of the first section.
pub(crate) fn one_node(bed: &Bed) -> Result<(Node, Access), Skipped> {
    let mut node = Node::new(&program()?, bed.path("garage"));
    let script = node.placed(&commands("One node of Garage"));
    node.run(&script);
    let keys = node.done(". ./garage.env && echo $AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY $AWS_REGION");
    let [key_id, secret, "garage"] = keys.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("{keys}");
    };
    let access = Access {
        endpoint: node.endpoint(),
        bucket: "plugins".into(),
        key_id: key_id.into(),
        secret: secret.into(),
    };
    until_it_answers(&access);
    Ok((node, access))
}

/// Three nodes with three copies of everything, by the commands of the second section.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    publisher: (String, String),
    hosts: (String, String),
}

impl Cluster {
    pub(crate) fn start(bed: &Bed) -> Result<Cluster, Skipped> {
        let program = program()?;
        let mut nodes: Vec<_> =
            (1..=3).map(|number| Node::new(&program, bed.path(&format!("node{number}")))).collect();
        let config = file_in(&commands("One node of Garage"), "garage.toml");
        let config = replaced(&config, "replication_factor = 1", "replication_factor = 3");
        // One for all, as the document asks.
        let config = replaced(&config, "$(openssl rand -hex 32)", &"5eed".repeat(16));
        for node in &mut nodes {
            fs::write(node.config(), node.placed(&config)).unwrap();
            node.start();
        }
        let mut script = commands("Three nodes");
        for (number, node) in (1..).zip(&nodes) {
            let id = node.garage("node id -q").trim().to_owned();
            let (short, place) = id.split_once('@').unwrap();
            if number > 1 {
                script =
                    replaced(&script, &format!("ID{number}@HOST{number}:3901"), &format!("{short}@{place}"));
            }
            script = replaced(&script, &format!("ID{number}"), short);
        }
        let printed = nodes[0].done(&script);
        let mut keys = keys_in(&printed).into_iter();
        let mut key = || keys.next().unwrap_or_else(|| panic!("no key in {printed}"));
        let cluster = Cluster { nodes, publisher: key(), hosts: key() };
        cluster.until_all_answer();
        Ok(cluster)
    }

    /// Starts nodes that were killed, and has all find each other, as docs/fleet.md says. Left to themselves they try each
    /// half a minute: until then not only those that came back answer 503, but also those that have lost too many others.
    pub(crate) fn bring_back(&mut self, numbers: &[usize]) {
        numbers.iter().for_each(|number| self.nodes[*number].start());
        for node in &self.nodes {
            for number in numbers {
                let id = self.nodes[*number].garage("node id -q");
                node.garage(&format!("node connect {}", id.trim()));
            }
        }
        for number in numbers {
            for other in &self.nodes {
                let id = other.garage("node id -q");
                self.nodes[*number].garage(&format!("node connect {}", id.trim()));
            }
        }
        self.until_all_answer();
    }

    /// With the rights of a publisher, by all nodes, `first` before the others.
    pub(crate) fn publisher(&self, first: usize) -> Access {
        self.access(first, &self.publisher)
    }

    /// With the rights of a host: it cannot write.
    pub(crate) fn host(&self, first: usize) -> Access {
        self.access(first, &self.hosts)
    }

    fn access(&self, first: usize, (key_id, secret): &(String, String)) -> Access {
        let count = self.nodes.len();
        let endpoints: Vec<_> =
            (0..count).map(|number| self.nodes[(first + number) % count].endpoint()).collect();
        Access {
            endpoint: endpoints.join(","),
            bucket: "plugins".into(),
            key_id: key_id.clone(),
            secret: secret.clone(),
        }
    }

    /// Waits until each node that runs answers by itself.
    pub(crate) fn until_all_answer(&self) {
        for node in self.nodes.iter().filter(|node| node.child.is_some()) {
            until_it_answers(&Access { endpoint: node.endpoint(), ..self.host(0) });
        }
    }
}

/// What `garage key create` prints.
fn keys_in(printed: &str) -> Vec<(String, String)> {
    let after = |name: &str| -> Vec<String> {
        printed
            .lines()
            .filter_map(|line| line.trim().strip_prefix(name))
            .map(|rest| rest.trim().into())
            .collect()
    };
    after("Key ID:").into_iter().zip(after("Secret key:")).collect()
}

fn until_it_answers(access: &Access) {
    let mut config = S3Config::new(&access.bucket);
    config.endpoint = Some(access.endpoint.clone());
    config.region = Some("garage".into());
    config.allow_http = true;
    let bucket = S3Bucket::open_with(&config, &access.key_id, &access.secret).unwrap();
    let second = Duration::from_secs(1);
    let limits = Limits { first_byte: second, stall: second, total: second };
    let begun = Instant::now();
    loop {
        match bucket.get("not there", &Ask { from: 0, len_max: 0, limits }, &mut Vec::new()) {
            Err(BucketError::NotFound) => return,
            answer => assert!(begun.elapsed() < START_MAX, "{}: {answer:?}", access.endpoint),
        }
        thread::sleep(Duration::from_millis(50));
    }
}
