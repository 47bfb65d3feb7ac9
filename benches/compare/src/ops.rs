//! The operations, each for all peers in turns, and each checked to give the right bytes.

use crate::{
    child,
    measure::{Side, Spread, in_turns},
    peers::{Key, MAKERS, Maker, Peer, small},
};
use std::{
    cell::RefCell,
    path::Path,
    sync::OnceLock,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long one peer takes in one operation.
fn time() -> Duration {
    if is_quick() { Duration::from_millis(500) } else { Duration::from_millis(700) }
}

/// Leaves out what takes minutes.
pub fn is_quick() -> bool {
    std::env::var_os("PLUGCACHE_BENCH_QUICK").is_some()
}

const ROUNDS: usize = 201;
/// Entries there are before anything is measured.
pub const ENTRIES: u64 = 1000;

/// What one operation came to, peer by peer; `None` where it is not measured.
pub struct Measured {
    pub name: String,
    pub spreads: Vec<(&'static str, Option<Spread>)>,
}

/// A directory with an open peer in it.
pub struct Place {
    pub maker: &'static Maker,
    pub peer: RefCell<Box<dyn Peer>>,
    pub temp: TempDir,
}

impl Place {
    pub fn new(maker: &'static Maker) -> Place {
        let temp = match std::env::var_os("PLUGCACHE_BENCH_DIR") {
            Some(dir) => tempfile::tempdir_in(dir),
            None => tempfile::tempdir(),
        };
        let temp = temp.unwrap();
        Place { maker, peer: RefCell::new((maker.open)(temp.path())), temp }
    }

    /// With artifacts of this length under the first keys.
    fn with(maker: &'static Maker, entries: u64, len: usize) -> Place {
        let place = Place::new(maker);
        (0..entries).for_each(|number| place.peer.borrow_mut().put(&Key::new(number), artifact(number, len)));
        place
    }
}

/// Bytes as of a compiled plugin, for some peers compress: pieces of this very program, each with its number.
pub fn artifact(number: u64, len: usize) -> Vec<u8> {
    static PROGRAM: OnceLock<Vec<u8>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| std::fs::read(std::env::current_exe().unwrap()).unwrap());
    let start = (number as usize).wrapping_mul(4099) % (program.len() / 2);
    let mut bytes: Vec<u8> =
        program.iter().skip(start).chain(program.iter().cycle()).take(len).copied().collect();
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// Those that put as much.
fn taking(len: usize) -> impl Iterator<Item = &'static Maker> {
    MAKERS.iter().filter(move |maker| len <= maker.len_max)
}

/// Measures the peers of these places.
fn measured<'a>(
    name: String,
    places: &'a [Place],
    rounds: usize,
    side: impl Fn(&'a Place) -> Side<'a>,
) -> Measured {
    eprintln!("{name} ..");
    let mut sides: Vec<Side<'a>> = places.iter().map(side).collect();
    let spreads = in_turns(&mut sides, rounds, time());
    let of = |maker: &'static Maker| {
        let at = places.iter().position(|place| place.maker.name == maker.name);
        (maker.name, at.map(|at| spreads[at]))
    };
    Measured { name, spreads: MAKERS.iter().map(of).collect() }
}

pub fn put(len: usize) -> Measured {
    let places: Vec<Place> = taking(len).map(|maker| Place::with(maker, 100, len)).collect();
    measured(format!("put {}", bytes(len)), &places, ROUNDS, |place| {
        let mut next = ENTRIES;
        Box::new(move |count| {
            let mut sum = Duration::ZERO;
            for _ in 0..count {
                next += 1;
                let (key, artifact) = (Key::new(next), artifact(next, len));
                let start = Instant::now();
                place.peer.borrow_mut().put(&key, artifact);
                sum += start.elapsed();
            }
            check(place, next, len);
            sum
        })
    })
}

fn check(place: &Place, number: u64, len: usize) {
    let mut read = Vec::new();
    assert!(place.peer.borrow_mut().get(&Key::new(number), &mut read), "{} lost {number}", place.maker.name);
    assert!(read == artifact(number, len), "{} gives wrong bytes", place.maker.name);
}

/// `verified`: who does not compare what is given with a digest has it compared here, as a host would.
pub fn get(len: usize, verified: bool) -> Measured {
    let entries = if len > 64 << 10 { 10 } else { 100 };
    let places: Vec<Place> = taking(len).map(|maker| Place::with(maker, entries, len)).collect();
    let how = if verified { "verified" } else { "as they come" };
    measured(format!("get {}, {how}", bytes(len)), &places, ROUNDS, |place| {
        let hashed = verified && !place.maker.verifies;
        let keys: Vec<_> = (0..entries).map(|n| (Key::new(n), blake3::hash(&artifact(n, len)))).collect();
        let (mut at, mut buffer) = (0, Vec::new());
        Box::new(move |count| {
            let start = Instant::now();
            for _ in 0..count {
                at = (at + 1) % keys.len();
                assert!(place.peer.borrow_mut().get(&keys[at].0, &mut buffer));
                assert!(!hashed || blake3::hash(&buffer) == keys[at].1, "wrong bytes");
            }
            let took = start.elapsed();
            check(place, at as u64, len);
            took
        })
    })
}

/// A process that was just started opens the store and gets 4 KiB.
pub fn fresh(len: usize) -> Measured {
    let places: Vec<Place> = MAKERS.iter().map(|maker| Place::with(maker, ENTRIES, len)).collect();
    // Closed, and so written out by those who do that at the end.
    let temps: Vec<_> = places.into_iter().map(|place| (place.maker, place.temp)).collect();
    let name = format!("open and get {}, fresh process", bytes(len));
    eprintln!("{name} ..");
    let side = |(maker, temp): &(&'static Maker, TempDir)| -> Side<'_> {
        let (name, path) = (maker.name, temp.path().to_owned());
        Box::new(move |count| (0..count).map(|n| child::open_and_get(name, &path, 7 + n % 50, len)).sum())
    };
    let mut sides: Vec<Side<'_>> = temps.iter().map(side).collect();
    let spreads = in_turns(&mut sides, 31, time());
    Measured {
        name,
        spreads: MAKERS.iter().zip(spreads).map(|(maker, spread)| (maker.name, Some(spread))).collect(),
    }
}

pub fn lookup(entries: u64) -> Measured {
    let fill = |maker: &'static Maker| {
        eprintln!("filling {} with {entries}", maker.name);
        let place = Place::new(maker);
        place.peer.borrow_mut().fill(place.temp.path(), entries);
        place
    };
    let places: Vec<Place> = MAKERS.iter().filter(|maker| entries <= maker.entries_max).map(fill).collect();
    measured(format!("lookup among {entries}"), &places, ROUNDS, |place| {
        // Far from each other, and more than a cache of the processor keeps near.
        let key = |n: u64| Key::new(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % entries);
        let keys: Vec<Key> = (0..1000).map(key).collect();
        let mut at = 0;
        Box::new(move |count| {
            let start = Instant::now();
            for _ in 0..count {
                at = (at + 1) % keys.len();
                assert!(place.peer.borrow_mut().has(&keys[at]));
            }
            start.elapsed()
        })
    })
}

/// Seconds for each operation of all processes together: nine gets for each put of 4 KiB.
pub fn processes(count: usize) -> Measured {
    let name = format!("{count} processes, 90 % get, 10 % put");
    eprintln!("{name} ..");
    const LEN: usize = 4096;
    let makers = || MAKERS.iter().filter(|maker| count == 1 || maker.many_processes);
    let mut times: Vec<Vec<f64>> = makers().map(|_| Vec::new()).collect();
    for _ in 0..3 {
        for (maker, times) in makers().zip(&mut times) {
            let place = Place::with(maker, ENTRIES, LEN);
            let temp = place.temp;
            drop(place.peer);
            times.push(1.0 / child::race(maker.name, temp.path(), count));
        }
    }
    let mut measured = makers().zip(times).map(|(maker, times)| (maker.name, Spread::of(times)));
    let mut next = measured.next();
    let of = |maker: &'static Maker| match next {
        Some((name, spread)) if name == maker.name => {
            next = measured.next();
            (name, Some(spread))
        }
        _ => (maker.name, None),
    };
    Measured { name, spreads: MAKERS.iter().map(of).collect() }
}

/// Whether a store that was filled gives back what was put: for the peers that fill in a way of their own.
pub fn check_filled(dir: &Path, maker: &Maker) {
    let (mut peer, mut read) = ((maker.open)(dir), Vec::new());
    peer.fill(dir, 10);
    for number in 0..10 {
        assert!(peer.has(&Key::new(number)), "{}", maker.name);
        // Of ours most have no object: what is looked up is the entry.
        if maker.name != crate::peers::OURS {
            assert!(peer.get(&Key::new(number), &mut read) && read == small(number), "{}", maker.name);
        }
    }
}

pub fn bytes(len: usize) -> String {
    match len {
        len if len < 1 << 10 => format!("{len} bytes"),
        len if len < 1 << 20 => format!("{} KiB", len >> 10),
        len => format!("{} MiB", len >> 20),
    }
}
