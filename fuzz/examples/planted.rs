//! How many of the planted bugs a corpus sees: `planted TARGET DIRECTORY`. Says for each bug how many inputs fail.

use plugcache::__sim::{Bug, plant};
use std::{env, fs, panic};

fn main() {
    let mut args = env::args().skip(1);
    let name = args.next().expect("a target");
    let dir = args.next().expect("a directory of inputs");
    let (_, target) =
        plugcache_fuzz::TARGETS.into_iter().find(|(other, _)| *other == name).expect("a known target");
    let inputs: Vec<Vec<u8>> = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| fs::read(entry.expect("an entry").path()).expect("a file"))
        .collect();
    panic::set_hook(Box::new(|_| {}));
    let failing = || inputs.iter().filter(|input| panic::catch_unwind(|| target(input)).is_err()).count();
    println!("{name}: {} of {} inputs fail without a bug", failing(), inputs.len());
    for bug in Bug::ALL {
        plant(Some(bug));
        println!("{bug:?}: {}", failing());
        plant(None);
    }
}
