//! Layers and stores on file systems that cannot be written to, or that a process keeps.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use plugcache::{Status, Store};

use crate::{
    bed::{Found, Setup, add, find, sources, temp},
    harness::{self, Outcome, Skipped},
    mounts::Mount,
    strace, tests, worker,
};

tests!["layers":
    a_layer_in_a_squashfs_image_is_used_in_place,
    a_layer_on_a_read_only_mount_is_used_in_place,
    a_layer_gets_no_writing_system_call,
    a_store_on_fuse_works_and_maps_nothing,
    a_mount_from_which_nothing_can_be_executed_is_named,
];

/// A layer with the keys 1 to 9 in a directory of its own, and where a store above it is to be.
fn layer() -> (tempfile::TempDir, PathBuf, Setup) {
    let temp = temp();
    let below = Setup::new(temp.path().join("below")).open();
    (1..10).for_each(|key| drop(add(&below, key, 1, 2000)));
    let path = temp.path().join("image/layer");
    assert_eq!(below.export(&path, |_| true).unwrap(), 9);
    let setup = Setup::new(temp.path().join("above"));
    (temp, path, setup)
}

/// Everything that one does above a layer.
fn use_it(setup: &Setup, layer: &Path) {
    let open = || Store::open(setup.config().to_builder().layer(layer).build()).unwrap();
    let store = open();
    assert!((1..10).all(|key| find(&store, key) == Found::Right));
    assert_eq!(store.forget(&sources(3).digest()).unwrap(), 1);
    drop(add(&store, 20, 1, 2000));
    assert_eq!(
        (find(&open(), 3), find(&open(), 4), find(&open(), 20)),
        (Found::Nothing, Found::Right, Found::Right)
    );
    let promoting = Store::open(setup.config().to_builder().layer(layer).promote(true).build()).unwrap();
    assert_eq!(find(&promoting, 5), Found::Right);
    assert_eq!(find(&setup.open(), 5), Found::Right);
}

fn a_layer_in_a_squashfs_image_is_used_in_place() -> Outcome {
    harness::need_root()?;
    harness::need(&["mksquashfs", "mount"])?;
    let (temp, layer, setup) = layer();
    let image = temp.path().join("layer.squashfs");
    let mut mksquashfs = Command::new("mksquashfs");
    mksquashfs.arg(layer.parent().unwrap()).arg(&image).args(["-quiet", "-no-progress"]);
    let made = mksquashfs.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let at = temp.path().join("at");
    fs::create_dir(&at).unwrap();
    let mount = Mount::new("squashfs", "loop,ro", &image, &at)?;
    use_it(&setup, &at.join("layer"));
    drop(mount);
    Ok("9 entries".into())
}

fn a_layer_on_a_read_only_mount_is_used_in_place() -> Outcome {
    harness::need_root()?;
    let (temp, layer, setup) = layer();
    let at = temp.path().join("at");
    fs::create_dir(&at).unwrap();
    let mount = Mount::new("none", "bind,ro", layer.parent().unwrap(), &at)?;
    assert!(fs::write(at.join("x"), "").is_err());
    use_it(&setup, &at.join("layer"));
    drop(mount);
    Ok("9 entries".into())
}

/// The worker: all of it above the layer beside the store.
pub(crate) fn work(setup: &Setup, verbs: &[String]) {
    use_it(setup, Path::new(&verbs[0]));
}

fn a_layer_gets_no_writing_system_call() -> Outcome {
    strace::need_strace()?;
    let (temp, layer, setup) = layer();
    let log = temp.path().join("strace");
    let args = [layer.to_str().unwrap().to_owned()];
    let command: Vec<OsString> = worker::command("layered", &setup, &args);
    let traced =
        Command::new("strace").args(["-f", "-y", "-qq", "-o"]).arg(&log).args(&command).output().unwrap();
    assert!(traced.status.success(), "{}", String::from_utf8_lossy(&traced.stderr));
    let text = fs::read_to_string(&log).unwrap();
    // With -y every descriptor shows its path.
    let mut calls = 0;
    for line in text.lines().filter(|line| line.contains(layer.to_str().unwrap())) {
        let Some(name) = line.split_whitespace().nth(1).and_then(|call| call.split('(').next()) else {
            continue;
        };
        calls += 1;
        let reads = ["execve", "write"].contains(&name)
            || ["open", "openat", "openat2"].contains(&name)
                && line.contains("O_RDONLY")
                && !line.contains("O_CREAT")
            || ["openat", "openat2"].contains(&name) && line.contains("O_PATH")
            || [
                "pread64",
                "read",
                "fstat",
                "newfstatat",
                "statx",
                "flock",
                "close",
                "getdents64",
                "mmap",
                "readlink",
                "fcntl",
                "fstatfs",
                "stat",
                "lstat",
                "lseek",
                "ioctl",
                "copy_file_range",
            ]
            .contains(&name);
        assert!(reads, "{line}");
        // What is written to is never a descriptor of the layer.
        let written = name == "write"
            && line.split('(').nth(1).is_some_and(|first| {
                first.split(',').next().is_some_and(|fd| fd.contains(layer.to_str().unwrap()))
            });
        assert!(!written, "{line}");
    }
    assert!(calls > 50, "{calls}");
    Ok(format!("{calls} system calls on a layer"))
}

fn a_store_on_fuse_works_and_maps_nothing() -> Outcome {
    harness::need_root()?;
    harness::need(&["bindfs", "fusermount"])?;
    let temp = temp();
    let (real, at) = (temp.path().join("real"), temp.path().join("at"));
    fs::create_dir(&real).unwrap();
    fs::create_dir(&at).unwrap();
    let mounted = Command::new("bindfs").arg(&real).arg(&at).output().unwrap();
    if !mounted.status.success() {
        return Err(Skipped(format!("bindfs: {}", String::from_utf8_lossy(&mounted.stderr).trim())));
    }
    let _guard = Unmount(at.clone());
    let setup = Setup::new(at.join("store"));
    let store = setup.open();
    let added: Vec<_> = (1..5).map(|key| add(&store, key, 1, 2000)).collect();
    let stored = added.iter().filter(|added| **added == plugcache::Added::Stored).count();
    let Status::Degraded(why) = store.status() else { panic!("{:?}", store.status()) };
    assert!(!store.file_system().unwrap().is_local);
    if stored < 4 {
        return Ok(format!("nothing is stored there: {:?}; {why}", added[0]));
    }
    assert!(plugcache::__sim::compact(&store));
    let store = setup.open();
    assert!((1..5).all(|key| find(&store, key) == Found::Right));
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains("seg."), "a segment is mapped");
    assert!(why.contains("FUSE"), "{why}");
    Ok(format!("{stored} entries; {why}"))
}

/// Ends the mount of a process of ours.
struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        // Whoever looks on will see that it is still there.
        let _ = Command::new("fusermount").arg("-uz").arg(&self.0).status();
    }
}

fn a_mount_from_which_nothing_can_be_executed_is_named() -> Outcome {
    for (options, is_noexec) in [("noexec", true), ("exec", false)] {
        let mount = Mount::tmpfs(options)?;
        let store = Setup::new(mount.path().join("store")).open();
        drop(add(&store, 1, 1, 100));
        assert_eq!(store.file_system().unwrap().is_noexec, is_noexec, "{options}");
        assert_eq!(store.status(), Status::Ready);
    }
    Ok("with and without".into())
}
