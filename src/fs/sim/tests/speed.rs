//! How fast crash states come: `cargo test --release speed -- --ignored --nocapture`.

use super::{super::Disk, at, put};
use std::time::{Duration, Instant};

#[test]
#[ignore = "a measurement, of use in a release build alone"]
fn a_crash_state_costs_less_than_100_microseconds() {
    let disk = Disk::new(1);
    for shard in 0..256 {
        disk.plant_dir(format!("/v1/objects/{shard:02x}"));
    }
    disk.plant_dir("/v1/staging");
    disk.plant_file("/v1/log.1", vec![1; 8192]);
    disk.record();
    let process = disk.process();
    let root = process.open_root(at("/v1")).unwrap();
    for n in 0..6 {
        let file = put(&root, &format!("staging/{n}"), &[7; 3000]);
        file.set_mode(0o444).unwrap();
        root.rename(at(&format!("staging/{n}")), at(&format!("objects/0{n}/x"))).unwrap();
        root.open(at("log.1"), super::super::super::Access::Append).unwrap().write(&[2; 320]).unwrap();
    }
    let moments = disk.recorded();
    let start = Instant::now();
    let (mut states, mut exhaustive) = (0, 0);
    for moment in &moments {
        let mut cuts = moment.disk.power_cuts(10_000);
        states += cuts.by_ref().count();
        exhaustive += usize::from(cuts.is_exhaustive());
    }
    let cut = start.elapsed();
    eprintln!(
        "{} moments ({exhaustive} exhaustive), {states} states: {:?} each",
        moments.len(),
        cut / states as u32
    );
    assert!(cut / (states as u32) < Duration::from_micros(100));
    let last = &moments[moments.len() - 1].disk;
    let start = Instant::now();
    let n = 20_000;
    let mut verbs = 0;
    for disk in last.power_cuts(n) {
        let process = disk.process();
        let root = process.open_root(at("/v1")).unwrap();
        for n in 0..10 {
            drop(put(&root, &format!("staging/new{n}"), &[7; 3000]));
        }
        verbs += process.steps();
    }
    let all = start.elapsed();
    eprintln!("with {} verbs each: {:?} a state", verbs / n, all / n as u32);
    let start = Instant::now();
    for disk in last.power_cuts(n) {
        std::hint::black_box(disk.fingerprint());
    }
    eprintln!("with a fingerprint: {:?} a state", start.elapsed() / n as u32);
}
