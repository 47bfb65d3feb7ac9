//! Full disks, spent inodes, limits of every size, a file system that turns read-only: what cannot be stored
//! is skipped with its reason, and everything else is as before (I15).

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::Path,
};

use plugcache::{__sim, Added, How, NoOutput, Skip};

use crate::{
    bed::{Found, Oracle, Setup, add, body, find, sources, temp},
    harness::{Outcome, Skipped},
    mounts::{Image, Mount},
    tests, worker,
};

tests!["full":
    on_a_tmpfs_with_any_number_of_pages_left_an_add_is_stored_or_skipped,
    on_an_ext4_with_any_number_of_blocks_left_an_add_is_stored_or_skipped,
    with_any_number_of_inodes_left_an_add_is_stored_or_skipped,
    a_store_that_found_no_room_for_its_directories_is_completed_later,
    under_any_file_size_limit_an_add_is_stored_or_skipped_and_nobody_dies,
    under_any_limit_of_open_files_finds_miss_and_adds_are_skipped,
    when_the_file_system_turns_read_only_under_it_a_handle_finds_and_skips,
];

/// A file that takes all the room there is.
struct Ballast(File, u64);

impl Ballast {
    fn new(dir: &Path) -> Ballast {
        let mut file = File::create(dir.join("ballast")).unwrap();
        for chunk in [65536, 4096, 1024, 512] {
            loop {
                match file.write(&vec![1; chunk]) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        let len = file.metadata().unwrap().len();
        Ballast(file, len)
    }

    fn leave(&mut self, bytes: u64) {
        self.0.set_len(self.1.saturating_sub(bytes)).unwrap();
        // On ext4 what was freed counts only after the journal has been written.
        self.0.sync_all().unwrap();
    }
}

fn stored_or_full(added: Result<Added, NoOutput>, where_: &str) -> bool {
    match added.unwrap() {
        Added::Stored => true,
        Added::Skipped(Skip::NoSpace) => false,
        other => panic!("skipped with another reason {where_}: {other:?}"),
    }
}

/// All operations where there is hardly room. How many adds were stored.
fn squeeze(oracle: &mut Oracle, round: u64, where_: &str) -> usize {
    let store = oracle.setup.open();
    let mut stored = 0;
    for (at, len) in [(0, 9000), (1, 100)] {
        let key = 1000 + round * 10 + at;
        oracle.unsure(key);
        let bytes = plugcache::Outputs::bytes("out", body(key, 1, len));
        if stored_or_full(store.add(&sources(key), bytes), where_) {
            oracle.acknowledged(key);
            assert_eq!(find(&store, key), Found::Right, "{where_}");
            stored += 1;
        }
    }
    oracle.check(where_);
    let key = 1000 + round * 10 + 2;
    oracle.unsure(key);
    let got = store.get_or_build(&sources(key), |build| build.write("out", body(key, 1, 3000)));
    match got {
        // No room for the build itself is the build's own error.
        Err(plugcache::BuildError::Build(error)) => {
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{where_}")
        }
        Err(error) => panic!("{error:?} {where_}"),
        Ok(got) => {
            assert_eq!(got.artifact.primary().read().unwrap(), body(key, 1, 3000), "{where_}");
            assert!(!matches!(&got.how, How::Uncached(why) if *why != Skip::NoSpace), "{:?}", got.how);
        }
    }
    // Whether there is room for a DROP or a segment does not matter.
    let forgotten = store.forget(&sources(1).digest());
    if forgotten.is_ok() {
        oracle.forgotten(1);
    } else {
        oracle.unsure(1);
    }
    __sim::compact(&store);
    oracle.check(where_);
    stored
}

/// Squeezes a store on `dir` with `0, step .. step * rounds` bytes left.
fn with_bytes_left(dir: &Path, step: u64, rounds: u64) -> Outcome {
    let setup = Setup::new(dir.join("store"));
    let mut oracle = Oracle::with_keys(&setup, 1..=8);
    let mut stored = 0;
    for round in 0..rounds {
        let where_ = format!("with {} bytes left", round * step);
        let mut ballast = Ballast::new(dir);
        ballast.leave(round * step);
        stored += squeeze(&mut oracle, round, &where_);
        // Open, it would keep its room.
        drop(ballast);
        fs::remove_file(dir.join("ballast")).unwrap();
        oracle.all_is_well(&where_);
        let store = setup.open();
        (1000 + round * 10..).take(3).for_each(|key| {
            store.forget(&sources(key).digest()).unwrap();
            oracle.forgotten(key);
        });
        assert_eq!(add(&store, 1, 1, 2000), Added::Stored, "after {where_}");
        oracle.acknowledged(1);
    }
    assert!(stored > 0 && stored < 2 * rounds as usize, "{stored}: the range shows nothing");
    Ok(format!("{rounds} sizes, {stored} of {} adds stored", 2 * rounds))
}

fn on_a_tmpfs_with_any_number_of_pages_left_an_add_is_stored_or_skipped() -> Outcome {
    with_bytes_left(Mount::tmpfs("size=2m")?.path(), 4096, 24)
}

fn on_an_ext4_with_any_number_of_blocks_left_an_add_is_stored_or_skipped() -> Outcome {
    let image = Image::new("ext4", 8 << 20, &["-b", "1024", "-m", "0", "-N", "2000"])?;
    with_bytes_left(image.mount()?.path(), 1024, 40)
}

fn take_inodes(dir: &Path, leave: u64) {
    fs::create_dir_all(dir.join("taken")).unwrap();
    let mut count = 0;
    while File::create(dir.join(format!("taken/{count}"))).is_ok() {
        count += 1;
    }
    (0..leave).for_each(|taken| fs::remove_file(dir.join(format!("taken/{taken}"))).unwrap());
}

fn with_any_number_of_inodes_left_an_add_is_stored_or_skipped() -> Outcome {
    let mount = Mount::tmpfs("size=8m,nr_inodes=600")?;
    let setup = Setup::new(mount.path().join("store"));
    let mut oracle = Oracle::with_keys(&setup, 1..=8);
    let mut stored = 0;
    for left in 0..10 {
        let where_ = format!("with {left} inodes left");
        take_inodes(mount.path(), left);
        stored += squeeze(&mut oracle, left, &where_);
        fs::remove_dir_all(mount.path().join("taken")).unwrap();
        oracle.all_is_well(&where_);
        assert_eq!(add(&setup.open(), 1, 1, 2000), Added::Stored, "after {where_}");
        oracle.acknowledged(1);
    }
    assert!(stored > 0 && stored < 20, "{stored}: the range shows nothing");
    Ok(format!("10 numbers of inodes, {stored} of 20 adds stored"))
}

fn a_store_that_found_no_room_for_its_directories_is_completed_later() -> Outcome {
    let mount = Mount::tmpfs("size=8m,nr_inodes=600")?;
    let setup = Setup::new(mount.path().join("store"));
    let lefts = (0..12).chain((12..300).step_by(24));
    for left in lefts.clone() {
        let where_ = format!("with {left} inodes left");
        take_inodes(mount.path(), left);
        let store = setup.open();
        let made =
            stored_or_full(store.add(&sources(1), plugcache::Outputs::bytes("out", body(1, 1, 99))), &where_);
        fs::remove_dir_all(mount.path().join("taken")).unwrap();
        assert_eq!(find(&setup.open(), 1) == Found::Right, made, "{where_}");
        Oracle::with_keys(&setup, 2..=4).all_is_well(&where_);
        assert_eq!(add(&store, 1, 1, 99), Added::Stored, "the same handle after {where_}");
        fs::remove_dir_all(&setup.dir).unwrap();
    }
    Ok(format!("{} numbers of inodes", lefts.count()))
}

/// Runs a worker under a limit: it lives, and what it says that it found is right.
fn limited(setup: &Setup, verbs: &[String]) -> Vec<String> {
    let output = worker::start(&worker::command("script", setup, verbs)).wait_with_output().unwrap();
    assert!(output.status.success(), "{} under {verbs:?}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("Wrong"), "{text}");
    text.lines().map(str::to_owned).collect()
}

fn under_any_file_size_limit_an_add_is_stored_or_skipped_and_nobody_dies() -> Outcome {
    let temp = temp();
    let setup = Setup::new(temp.path().join("store"));
    let mut oracle = Oracle::with_keys(&setup, 1..=4);
    let end = fs::metadata(setup.dir.join("v1/log.1")).unwrap().len() + 1500;
    let odd = [1, 63, 65, 100, 1000, 1023, 1025].into_iter();
    let limits: Vec<u64> = (0..=end).step_by(64).chain(odd).collect();
    let mut skipped = 0;
    for (round, limit) in limits.iter().enumerate() {
        let key = 1000 + round as u64;
        let verbs = [
            format!("fsize:{limit}"),
            format!("add:{key}:1:700"),
            "find:1".into(),
            "compact".into(),
            "find:2".into(),
        ];
        let lines = limited(&setup, &verbs);
        oracle.unsure(key);
        if lines.contains(&format!("+ add:{key}:1:700")) {
            oracle.acknowledged(key);
        } else {
            skipped += 1;
        }
        for find in ["+ find:1", "+ find:2"] {
            assert!(lines.contains(&find.to_owned()), "limit {limit}: {lines:?}");
        }
        let after = format!("a file size limit of {limit}");
        oracle.all_is_well(&after);
        setup.open().forget(&sources(key).digest()).unwrap();
        oracle.forgotten(key);
    }
    assert!(skipped > 0 && skipped < limits.len(), "{skipped} of {}", limits.len());
    Ok(format!("{} limits, {skipped} adds skipped", limits.len()))
}

fn under_any_limit_of_open_files_finds_miss_and_adds_are_skipped() -> Outcome {
    let temp = temp();
    let setup = Setup::new(temp.path().join("store"));
    let mut oracle = Oracle::with_keys(&setup, 1..=4);
    let mut whole = 0;
    let mut limit = 3;
    while whole < 3 {
        let key = 1000 + limit;
        let (adding, building) = (format!("pair:{key}:1:700"), format!("build:{}:1:300", key + 500));
        let verbs = [
            format!("nofile:{limit}"),
            adding.clone(),
            "find:1".into(),
            building,
            "compact".into(),
            "sweep".into(),
        ];
        let lines = limited(&setup, &verbs);
        oracle.unsure(key);
        oracle.unsure(key + 500);
        if lines.contains(&format!("+ {adding}")) {
            oracle.acknowledged(key);
        }
        whole += usize::from(lines.len() == 5 && lines.iter().all(|line| line.starts_with('+')));
        oracle.all_is_well(&format!("a limit of {limit} files, {lines:?}"));
        assert!(limit < 64, "still not enough: {lines:?}");
        limit += 1;
    }
    Ok(format!("limits from 3 on; everything works with {}", limit - 3))
}

fn when_the_file_system_turns_read_only_under_it_a_handle_finds_and_skips() -> Outcome {
    let mut image = Image::new("ext4", 32 << 20, &[])?;
    // What the kernel does when it finds an error: read-only at once, whoever has files open.
    image.options = "loop,errors=remount-ro".into();
    let mount = image.mount()?;
    let setup = Setup::new(mount.path().join("store"));
    let store = setup.open();
    let oracle = Oracle::with_keys(&setup, 1..=4);
    assert_eq!(add(&store, 5, 1, 100), Added::Stored);
    store.sync().unwrap();
    let trigger = format!("/sys/fs/ext4/{}/trigger_fs_error", mount.device());
    fs::write(&trigger, "plugcache test").map_err(|error| Skipped(format!("{trigger}: {error}")))?;
    if File::create(mount.path().join("probe")).is_ok() {
        return Err(Skipped("the file system stayed writable".into()));
    }
    for handle in [&store, &setup.open()] {
        assert_eq!(oracle.lost(handle, "turned read-only"), 0);
        assert_eq!(add(handle, 6, 1, 100), Added::Skipped(Skip::ReadOnly));
        assert!(handle.forget(&sources(1).digest()).is_err());
        assert!(!__sim::compact(handle));
        __sim::sweep(handle);
        let got = handle.get_or_build(&sources(7), |build| build.write("out", body(7, 1, 10))).unwrap();
        assert_eq!(got.how, How::Uncached(Skip::ReadOnly));
        assert_eq!(oracle.lost(handle, "turned read-only"), 0);
    }
    Ok("a handle from before and one from after".into())
}
