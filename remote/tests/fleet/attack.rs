//! Somebody with every right on the bucket, the keys of other circles, and all that a trusted key has ever signed: what such
//! an attacker can put where. Forgers make it beforehand; the attacker does as it is told, one attack at a time or all at
//! random.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use plugcache::{Config, Store};
use plugcache_remote::{
    Ask, Bucket as _, BucketError, Keeper as _, Limits, ManualClock, Mode, Remote, S3Bucket, SecretKey, Trust,
};

use crate::{
    bed::name,
    plugins,
    role::{RELEASE, below, bucket, heard, remote_config, say, told},
};

const LIMITS: Limits = Limits {
    first_byte: Duration::from_secs(20),
    stall: Duration::from_secs(20),
    total: Duration::from_secs(60),
};
/// Scheme, key id and signature of an entry.
const TAIL_BYTES: usize = 81;
/// Threads of a storm.
const STORMERS: usize = 6;

/// What evil entries are made of, each with evil objects and an evil bundle: where they lie until they are put in the place
/// of right ones, by which key and for which namespace they are signed, and how many days ago.
pub(crate) const FORGERS: [(&str, &str, &str, u32); 6] = [
    ("by-a-stranger", "stranger", "main", 0),
    ("by-dev-for-main", "dev", "main", 0),
    ("by-dev-for-dev", "dev", "dev", 0),
    ("by-main-for-dev", "main", "dev", 0),
    ("by-a-revoked-key", "revoked", "main", 0),
    ("by-main-long-ago", "main", "main", 22),
];

/// What is put in the place of every entry, every object or the bundle, and the count of a host in which that is seen;
/// empty: in one of those of refusals.
pub(crate) type Attack = (&'static str, &'static str);
pub(crate) const ON_ENTRIES: [Attack; 13] = [
    ("by-a-stranger", "refused_unknown_key"),
    ("by-dev-for-main", "refused_unknown_key"),
    ("by-dev-for-dev", "refused_unknown_key"),
    ("by-main-for-dev", "refused_other_namespace"),
    ("by-a-revoked-key", "refused_revoked_key"),
    ("by-main-long-ago", "refused_expired"),
    ("that of another key", "refused_other_key"),
    ("a stranger's statement under main's signature", "refused_wrong_signature"),
    ("a bit flipped", ""),
    ("cut", "refused_malformed"),
    ("empty", "refused_malformed"),
    ("and more", "refused_malformed"),
    ("more than any entry has", "refused_malformed"),
];
pub(crate) const ON_OBJECTS: [Attack; 9] = [
    ("evil code, packed", "objects_wrong"),
    ("evil code", "objects_wrong"),
    ("another right one", "objects_wrong"),
    ("a bit flipped", "objects_wrong"),
    ("cut", "objects_wrong"),
    ("empty", "objects_wrong"),
    ("and more", "objects_wrong"),
    ("a bomb", "objects_wrong"),
    ("removed", "objects_missing"),
];
pub(crate) const ON_BUNDLES: [Attack; 8] = [
    ("by-a-stranger", "refused_unknown_key"),
    ("by-dev-for-dev", "refused_unknown_key"),
    ("by-main-for-dev", "refused_other_namespace"),
    ("by-main-long-ago", "refused_expired"),
    ("a bit flipped", ""),
    ("cut", ""),
    ("empty", "refused_malformed"),
    ("and more", ""),
];

/// Short: s3s-fs makes a file name of each path.
fn prefix_of(forger: &str) -> String {
    let number = FORGERS.iter().position(|(place, ..)| *place == forger);
    format!("forged/{}", number.map_or("none".into(), |number| number.to_string()))
}

/// Makes an evil artifact for each plugin and publishes it where hosts do not look, with a bundle. Its key is believed by
/// itself, whatever others think of it.
pub(crate) fn forge() -> Result<()> {
    let words = told("FLEET_FORGER");
    let [place, key, namespace, days] = words.split('\t').collect::<Vec<_>>()[..] else { bail!("{words}") };
    let mut config = remote_config(Mode::WriteThrough, &prefix_of(place), Some((key, namespace)))?;
    config.trust =
        Trust::nobody().and(&name(namespace), SecretKey::load(&below(&format!("{key}.key")))?.public());
    let ago = Duration::from_secs(24 * 3600) * days.parse()?;
    let clock = Arc::new(ManualClock::at(SystemTime::now() - ago));
    let remote = Remote::with_clock(bucket()?, config, clock)?;
    let store = Store::open_with_tier(Config::new(below(place).join("store")), remote.clone())?;
    let (compiler, mut keys) = (plugins::compiler()?, Vec::new());
    for plugin in plugins::read(&below("plugins")) {
        let sources = plugin.sources(&compiler)?;
        let built = store.get_or_build(&sources, |build| plugin.compile_instead(&below("evil.c"), build));
        let artifact = built.map_err(|error| anyhow!("{error}"))?.artifact;
        keys.push(artifact.tier_key().context("a key")?);
    }
    remote.publish_bundle(&name(RELEASE), &keys).with_context(|| format!("{:?}", remote.status()))?;
    ensure!(remote.status().counts.published == keys.len() as u64, "{:?}", remote.status());
    Ok(())
}

type Files = BTreeMap<String, Vec<u8>>;

struct Attacker {
    bucket: S3Bucket,
    /// What hosts should find.
    right: Files,
    forged: Files,
    bomb: Vec<u8>,
    random: Mutex<u64>,
}

/// Takes orders in lines: `attack TARGET KIND`, `storm` and then `calm`, `restore TARGET`.
pub(crate) fn run() -> Result<()> {
    let bucket = bucket()?;
    let (right, forged) = (files(&bucket, "fleet")?, files(&bucket, "forged")?);
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1)?;
    let (to, orders) = channel();
    thread::spawn(move || while heard().is_some_and(|order| to.send(order).is_ok()) {});
    let attacker = Attacker { bucket, right, forged, bomb, random: Mutex::new(0x5eed) };
    attacker.plant_objects()?;
    say("up");
    while let Ok(order) = orders.recv() {
        let words: Vec<_> = order.split('\t').collect();
        match words[..] {
            ["go"] => continue,
            ["attack", target, kind] => attacker.attack_all(target, kind)?,
            ["storm"] => attacker.storm(&orders)?,
            ["restore", target] => attacker.restore(target)?,
            _ => bail!("no order is called {order:?}"),
        }
        say("done");
    }
    Ok(())
}

fn files(bucket: &S3Bucket, below: &str) -> Result<Files> {
    let mut listed = Vec::new();
    bucket.list(below, &mut |path, head| listed.push((path.to_owned(), head.len)))?;
    let mut files = Files::new();
    for (path, len_max) in listed {
        let mut bytes = Vec::new();
        bucket.get(&path, &Ask { from: 0, len_max, limits: LIMITS }, &mut bytes)?;
        files.insert(path, bytes);
    }
    Ok(files)
}

impl Attacker {
    /// Evil objects lie where forged entries say: nothing but the signature is in the way.
    fn plant_objects(&self) -> Result<()> {
        for (path, bytes) in &self.forged {
            if let Some((_, place)) = path.split_once("/v1/cas/") {
                self.put(&format!("fleet/v1/cas/{place}"), bytes.clone())?;
            }
        }
        Ok(())
    }

    fn attack_all(&self, target: &str, kind: &str) -> Result<()> {
        let paths: Vec<_> = self.right.keys().filter(|path| path.contains(target)).cloned().collect();
        ensure!(!paths.is_empty(), "there is nothing in {target}");
        paths.iter().try_for_each(|path| self.attack(path, kind))
    }

    fn restore(&self, target: &str) -> Result<()> {
        let mut right = self.right.iter().filter(|(path, _)| path.contains(target));
        right.try_for_each(|(path, bytes)| self.put(path, bytes.clone()))
    }

    /// Attacks of all kinds, and right files in between, by several threads as fast as the engine takes them, until the next
    /// order.
    fn storm(&self, orders: &Receiver<String>) -> Result<()> {
        let (is_over, attacks) = (AtomicBool::new(false), AtomicUsize::new(0));
        let work = || {
            while !is_over.load(Ordering::Relaxed) {
                self.attack_one()?;
                attacks.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..STORMERS).map(|_| scope.spawn(work)).collect();
            // The end of the test is one too.
            let _ = orders.recv();
            is_over.store(true, Ordering::Relaxed);
            threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("a panic")))
        })?;
        say(&format!("attacks\t{}", attacks.into_inner()));
        self.restore("")
    }

    fn attack_one(&self) -> Result<()> {
        let (path, right) = self.right.iter().nth(self.below(self.right.len())).context("a file")?;
        let kinds: &[Attack] = match path {
            path if path.contains("/ac/") => &ON_ENTRIES,
            path if path.contains("/cas/") => &ON_OBJECTS,
            _ => &ON_BUNDLES,
        };
        match self.below(3) {
            0 => self.attack(path, kinds[self.below(kinds.len())].0),
            _ => self.put(path, right.clone()),
        }
    }

    fn attack(&self, path: &str, kind: &str) -> Result<()> {
        let Some(bytes) = self.wrong(path, kind)? else {
            return match self.bucket.delete(path, &LIMITS) {
                Err(BucketError::NotFound) => Ok(()),
                deleted => Ok(deleted?),
            };
        };
        self.put(path, bytes)
    }

    /// What an attack puts at a path; `None` removes what is there.
    fn wrong(&self, path: &str, kind: &str) -> Result<Option<Vec<u8>>> {
        let right = self.right[path].clone();
        let wrong = match kind {
            "that of another key" | "another right one" => self.other(path),
            "a stranger's statement under main's signature" => {
                let mut spliced = self.forged_at(path, "by-a-stranger")?;
                spliced.truncate(spliced.len() - TAIL_BYTES);
                spliced.extend(&right[right.len() - TAIL_BYTES..]);
                spliced
            }
            "a bit flipped" => {
                let at = self.below(right.len());
                let mut flipped = right;
                flipped[at] ^= 1 << self.below(8);
                flipped
            }
            "cut" => right[..self.below(right.len())].to_vec(),
            "empty" => Vec::new(),
            "and more" => [right, b"and more".to_vec()].concat(),
            "more than any entry has" => vec![7; 300 << 10],
            "evil code" => zstd::stream::decode_all(&*self.evil()?)?,
            "evil code, packed" => self.evil()?,
            "a bomb" => self.bomb.clone(),
            "removed" => return Ok(None),
            forger => self.forged_at(path, forger)?,
        };
        Ok(Some(wrong))
    }

    /// What a forger has made for the same key, or the same bundle.
    fn forged_at(&self, path: &str, forger: &str) -> Result<Vec<u8>> {
        let (_, last) = path.rsplit_once('/').context("a path")?;
        let is_it =
            |place: &&String| place.starts_with(&format!("{}/", prefix_of(forger))) && place.ends_with(last);
        let place = self.forged.keys().find(is_it).with_context(|| format!("{forger} has no {path}"))?;
        Ok(self.forged[place].clone())
    }

    /// The evil plugin, as it lies in the bucket.
    fn evil(&self) -> Result<Vec<u8>> {
        let place = self.forged.keys().find(|place| place.contains("/cas/") && place.ends_with(".zst"));
        Ok(self.forged[place.context("evil code")?].clone())
    }

    /// Another right file of the same kind.
    fn other(&self, path: &str) -> Vec<u8> {
        let kind = if path.contains("/ac/") { "/ac/" } else { "/cas/" };
        let others = self.right.iter().filter(|(other, _)| other.contains(kind) && *other != path);
        let others: Vec<_> = others.map(|(_, bytes)| bytes.clone()).collect();
        others[self.below(others.len())].clone()
    }

    fn put(&self, path: &str, bytes: Vec<u8>) -> Result<()> {
        Ok(self.bucket.put(path, bytes.into(), &LIMITS)?)
    }

    /// The same numbers in each run.
    fn below(&self, end: usize) -> usize {
        let mut random = self.random.lock().unwrap();
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        (*random % end as u64) as usize
    }
}
