//! The committed seeds of every fuzz target, through the very functions that libFuzzer runs.

#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is the library of another package")]
mod targets;

use std::{fs, path::Path};

#[test]
fn every_committed_seed_of_every_fuzz_target_keeps_the_promises() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for (name, target) in targets::TARGETS {
        let mut count = 0;
        for entry in fs::read_dir(seeds.join(name)).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            target(&fs::read(&path).unwrap());
            count += 1;
        }
        assert!(count >= 3, "{name} has {count} seeds");
    }
}
