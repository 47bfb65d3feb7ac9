//! A short walk through everything on each file system that can be mounted here. The whole suite runs there by
//! `tests/real/on_file_systems.sh`.

use std::{path::Path, time::Instant};

use plugcache::{__sim, Added};

use crate::{
    bed::{Found, Oracle, Setup, add, body, find, sources},
    harness::Outcome,
    mounts::{Image, Mount},
    stream::Stream,
    tests,
};

tests!["file_systems":
    a_store_on_tmpfs_works,
    a_store_on_ext4_works,
    a_store_on_xfs_works,
    a_store_on_btrfs_works,
    a_store_on_overlay_works,
];

fn a_store_on_tmpfs_works() -> Outcome {
    works(Mount::tmpfs("size=64m")?.path())
}

fn a_store_on_ext4_works() -> Outcome {
    works(Image::new("ext4", 96 << 20, &[])?.mount()?.path())
}

fn a_store_on_xfs_works() -> Outcome {
    works(Image::new("xfs", 320 << 20, &[])?.mount()?.path())
}

fn a_store_on_btrfs_works() -> Outcome {
    works(Image::new("btrfs", 160 << 20, &[])?.mount()?.path())
}

fn a_store_on_overlay_works() -> Outcome {
    let below = Mount::tmpfs("size=64m")?;
    let mount = Mount::overlay(below.path())?;
    let outcome = works(mount.path());
    drop(mount);
    outcome
}

/// Open, add (from memory, from a file, by a build), find, replace, forget, compact, evict; durable and lazy;
/// and a writer killed in its work.
fn works(dir: &Path) -> Outcome {
    let begin = Instant::now();
    for sync in [false, true] {
        let setup = Setup { sync, ..Setup::new(dir.join(format!("store-{sync}"))) };
        let mut oracle = Oracle::with_keys(&setup, 1..=20);
        let store = setup.open();
        let file = dir.join("made");
        std::fs::write(&file, body(21, 1, 300_000)).unwrap();
        let added = store.add(&sources(21), plugcache::Outputs::file("out", &file)).unwrap();
        assert_eq!(added, Added::Stored);
        let built = store.get_or_build(&sources(22), |build| build.write("out", body(22, 1, 5000))).unwrap();
        assert!(built.artifact.is_stored(), "{:?}", built.how);
        drop(built);
        assert_eq!(add(&store, 1, 2, 2000), Added::Stored);
        oracle.acknowledged(21);
        oracle.acknowledged(22);
        assert!(__sim::compact(&store));
        assert_eq!(store.forget(&sources(20).digest()).unwrap(), 1);
        oracle.forgotten(20);
        oracle.all_is_well("a walk through everything");
        let stream = Stream::start("stream", &setup, 1 << 20, 1);
        stream.wait_for_lines(20);
        for line in stream.kill() {
            match line.split_at(1).0 {
                "+" => oracle.acknowledged(line[2..].parse().unwrap()),
                "?" | "~" => oracle.unsure(line[2..].parse().unwrap()),
                "s" => {}
                _ => panic!("{line}"),
            }
        }
        oracle.all_is_well("a writer's death");
        let small = Setup { max_files: 5, ..setup.clone() }.open();
        assert_eq!(add(&small, 30, 1, 100), Added::Stored);
        assert_eq!((small.entries().count(), find(&small, 30)), (5, Found::Right));
        store.sync().unwrap();
    }
    Ok(format!("durable and lazy, in {:.1} s", begin.elapsed().as_secs_f32()))
}
