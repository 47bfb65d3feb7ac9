//! How files come to their places: blocks shared where the file system can, and never half of one.

use crate::common::{Ended, Place, have, is_root};
use std::{fs, path::Path, process::Command, time::Duration};

/// A loop image of btrfs, mounted while it lives.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new() -> Option<Mount> {
        if !is_root() || !have("mkfs.btrfs", &["--version"]) {
            println!("skipped: a btrfs image needs root and mkfs.btrfs");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let script = "truncate -s 128M image && mkfs.btrfs -q image && mkdir m && mount -o loop image m";
        let made = Command::new("sh").args(["-c", script]).current_dir(dir.path()).status().unwrap();
        if !made.success() {
            println!("skipped: a btrfs image cannot be mounted here");
            return None;
        }
        Some(Mount(dir))
    }

    fn path(&self, below: &str) -> std::path::PathBuf {
        self.0.path().join("m").join(below)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Nobody is there to be told.
        let _ = Command::new("umount").arg(self.path("")).status();
    }
}

/// What filefrag says of a file whose blocks another file has too.
fn is_shared(path: &Path) -> bool {
    Command::new("sync").arg("-f").arg(path).status().unwrap();
    let output = Command::new("filefrag").arg("-v").arg(path).output().unwrap();
    String::from_utf8_lossy(&output.stdout).contains("shared")
}

#[test]
fn a_copy_shares_the_blocks_of_the_store_where_the_file_system_can() {
    let Some(mount) = Mount::new() else { return };
    if !Path::new("/usr/sbin/filefrag").exists() {
        println!("skipped: there is no filefrag");
        return;
    }
    fs::write(mount.path("a.c"), "a").unwrap();
    let words = ["run", "-s", "a.c", "-o", "a.so", "--", "sh", "-c", "head -c 1000000 /dev/urandom > a.so"];
    let place = Place::new();
    let run = || {
        let mut command = place.bare();
        command.current_dir(mount.path("")).args(words).env("PLUGCACHE_DIR", mount.path("store"));
        Ended::of(&mut command).ends(0);
    };
    run();
    let made = fs::read(mount.path("a.so")).unwrap();
    fs::remove_file(mount.path("a.so")).unwrap();
    run();
    assert!(fs::read(mount.path("a.so")).unwrap() == made);
    assert!(is_shared(&mount.path("a.so")));
}

#[test]
fn interrupted_at_any_moment_a_file_is_the_old_one_or_the_new_one_and_nothing_lies_beside() {
    let place = Place::new();
    place.write("a.c", "a");
    place.write("new", vec![b'n'; 8 << 20]);
    place.out("put -s a.c new");
    place.write("dir/file", "old");
    let mut ended_early = 0;
    for round in 0..24 {
        let mut child = place.command("get -s a.c -o dir/file").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(round));
        let _ = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap();
        ended_early += usize::from(!child.wait().unwrap().success());
        let len = fs::metadata(place.path("dir/file")).unwrap().len();
        assert!(len == 3 || len == 8 << 20, "{len}");
        assert_eq!(fs::read_dir(place.path("dir")).unwrap().count(), 1, "round {round}");
        place.write("dir/file", "old");
    }
    assert!(ended_early > 0);
}

#[test]
fn the_umask_holds_for_what_is_put_in_its_place() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    place.write("a.c", "a");
    place.out("put -s a.c tool a.c");
    let script = "umask 027; \"$PLUGCACHE\" get -s a.c -o prog -o plain; \"$PLUGCACHE\" du --html page.html";
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(place.path("")).env("PLUGCACHE_DIR", place.store());
    Ended::of(command.env("PLUGCACHE", env!("CARGO_BIN_EXE_plugcache"))).ends(0);
    let mode = |name: &str| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("prog"), mode("plain"), mode("page.html")), (0o750, 0o640, 0o640));
}
