//! Child processes: this program, started anew; each says what it measured of itself.

use crate::{
    ops::{ENTRIES, artifact},
    peers::{Key, MAKERS, Peer},
};
use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const SECONDS: f64 = 0.3;
const LEN: usize = 4096;

pub fn main(words: &[&str]) {
    match *words {
        ["get", name, dir, number, len] => {
            let (key, expected) =
                (Key::new(number.parse().unwrap()), artifact(number.parse().unwrap(), len.parse().unwrap()));
            let mut read = Vec::new();
            let start = Instant::now();
            let mut peer = open(name, Path::new(dir));
            let found = peer.get(&key, &mut read);
            let took = start.elapsed();
            assert!(found && read == expected, "{name} gives wrong bytes");
            println!("{}", took.as_nanos());
        }
        ["race", name, dir, number] => race_one(open(name, Path::new(dir)), number.parse().unwrap()),
        _ => panic!("no such child: {words:?}"),
    }
}

fn open(name: &str, dir: &Path) -> Box<dyn Peer> {
    let maker = MAKERS.iter().find(|maker| maker.name == name).unwrap();
    (maker.open)(dir)
}

fn race_one(mut peer: Box<dyn Peer>, number: u64) {
    let (keys, mut read): (Vec<Key>, _) = ((0..ENTRIES).map(Key::new).collect(), Vec::new());
    // What is done for the first time is done before the race.
    keys.iter().for_each(|key| assert!(peer.get(key, &mut read)));
    println!("ready");
    io::stdin().read_line(&mut String::new()).unwrap();
    let start = Instant::now();
    let (mut operations, mut puts) = (0_u64, 0_u64);
    while start.elapsed() < Duration::from_secs_f64(SECONDS) {
        operations += 1;
        if operations % 10 == 0 {
            puts += 1;
            let new = ((number + 1) << 32) + puts;
            peer.put(&Key::new(new), artifact(new, LEN));
        } else {
            let at = (operations * 7 + number) % ENTRIES;
            assert!(peer.get(&keys[at as usize], &mut read));
            assert_eq!(read[..8], at.to_le_bytes());
        }
    }
    let rate = operations as f64 / start.elapsed().as_secs_f64();
    for put in 1..=puts {
        let new = ((number + 1) << 32) + put;
        assert!(peer.get(&Key::new(new), &mut read) && read == artifact(new, LEN), "a put was lost");
    }
    println!("{rate}");
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("child").args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

pub fn open_and_get(name: &str, dir: &Path, number: u64, len: usize) -> Duration {
    let words = ["get", name, dir.to_str().unwrap(), &number.to_string(), &len.to_string()];
    let output = command(&words).output().unwrap();
    assert!(output.status.success(), "{words:?}");
    Duration::from_nanos(String::from_utf8(output.stdout).unwrap().trim().parse().unwrap())
}

/// Operations per second of all together.
pub fn race(name: &str, dir: &Path, count: usize) -> f64 {
    let start =
        |number: usize| command(&["race", name, dir.to_str().unwrap(), &number.to_string()]).spawn().unwrap();
    let mut children: Vec<Child> = (0..count).map(start).collect();
    let mut said: Vec<_> =
        children.iter_mut().map(|child| BufReader::new(child.stdout.take().unwrap())).collect();
    let line = |said: &mut BufReader<_>| {
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        line.trim().to_owned()
    };
    said.iter_mut().for_each(|said| assert_eq!(line(said), "ready"));
    children.iter_mut().for_each(|child| child.stdin.take().unwrap().write_all(b"go\n").unwrap());
    let rates: f64 = said.iter_mut().map(|said| line(said).parse::<f64>().unwrap()).sum();
    children.iter_mut().for_each(|child| assert!(child.wait().unwrap().success()));
    rates
}
