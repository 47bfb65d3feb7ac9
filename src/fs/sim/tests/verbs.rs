//! The verbs do what Linux does.

use super::{
    super::{
        super::{Access, Kind, Lock, Map, Pattern, Time},
        Disk, errno,
    },
    at, number, put, start,
};
use std::{io::ErrorKind, path::PathBuf, time::Duration};

#[test]
fn a_file_is_made_once_and_read_back_by_offset() {
    let (_, _, root) = start();
    let file = put(&root, "f", b"hello");
    assert_eq!(number(root.create(at("f"), 0o600)), errno::EEXIST);
    let mut buf = [0; 9];
    assert_eq!(file.read_at(&mut buf, 1).unwrap(), 4);
    assert_eq!(&buf[..4], b"ello");
    assert_eq!(file.read_at(&mut buf, 5).unwrap(), 0);
    assert_eq!(file.read_at(&mut buf, u64::MAX).unwrap(), 0);
    let stat = root.stat(at("f")).unwrap();
    assert_eq!((stat.kind, stat.len, stat.mode, stat.links), (Kind::File, 5, 0o600, 1));
    let Map::Bytes(map) = file.map(5, Pattern::Through).unwrap() else { panic!("not a copy") };
    assert_eq!(map, b"hello");
    assert!(file.map(6, Pattern::Through).is_err());
}

#[test]
fn appends_of_two_descriptions_go_to_the_end_and_a_cursor_stays_where_it_was() {
    let (disk, _, root) = start();
    let first = put(&root, "log", b"1");
    let second = root.open(at("log"), Access::Append).unwrap();
    let third = root.open(at("log"), Access::Append).unwrap();
    second.write(b"22").unwrap();
    third.write(b"333").unwrap();
    second.write(b"4").unwrap();
    assert_eq!(disk.read_file("/log").unwrap(), b"1223334");
    first.write(b"X").unwrap();
    assert_eq!(disk.read_file("/log").unwrap(), b"1X23334");
    let reader = root.open(at("log"), Access::Read).unwrap();
    assert_eq!(number(reader.write(b"5")), errno::EBADF);
}

#[test]
fn a_rename_never_replaces_and_moves_whole_directories() {
    let (disk, _, root) = start();
    disk.plant_file("/a/x", "1");
    disk.plant_file("/b/y", "2");
    assert_eq!(number(root.rename(at("a/x"), at("b/y"))), errno::EEXIST);
    assert_eq!(number(root.rename(at("a"), at("a/in"))), errno::EINVAL);
    assert_eq!(number(root.rename(at("nothing"), at("c"))), errno::ENOENT);
    let a = root.open_dir(at("a")).unwrap();
    root.rename(at("a"), at("b/z")).unwrap();
    assert_eq!(a.path_now().unwrap(), PathBuf::from("/b/z"));
    assert_eq!(disk.read_file("/b/z/x").unwrap(), b"1");
    assert_eq!(number(root.unlink(at("b/z"))), errno::EISDIR);
    assert_eq!(number(root.remove_dir(at("b/z"))), errno::ENOTEMPTY);
    a.unlink(at("x")).unwrap();
    root.remove_dir(at("b/z")).unwrap();
    assert_eq!(number(a.create(at("new"), 0o600)), errno::ENOENT);
    assert_eq!(number(a.path_now()), errno::ENOENT);
    assert!(a.list().unwrap().is_empty());
}

#[test]
fn an_unlinked_file_lives_until_its_last_close_and_then_gives_its_room_back() {
    let (disk, _, root) = start();
    disk.set_space_left(Some(10));
    let file = put(&root, "f", b"12345678");
    root.unlink(at("f")).unwrap();
    assert_eq!(file.stat().unwrap().links, 0);
    assert_eq!(file.write(b"9").unwrap(), 1);
    let mut buf = [0; 9];
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), 9);
    assert_eq!(put(&root, "g", b"x").stat().unwrap().len, 1);
    assert_eq!(number(root.create(at("h"), 0o600).unwrap().write(b"y")), errno::ENOSPC);
    drop(file);
    assert_eq!(put(&root, "i", b"123456789").stat().unwrap().len, 9);
}

#[test]
fn a_full_disk_takes_what_fits_and_then_nothing() {
    let (disk, _, root) = start();
    disk.set_space_left(Some(3));
    let file = root.create(at("f"), 0o600).unwrap();
    assert_eq!(file.write(b"12345").unwrap(), 3);
    assert_eq!(number(file.write(b"45")), errno::ENOSPC);
    assert_eq!(file.write(b"").unwrap(), 0);
    assert_eq!(disk.read_file("/f").unwrap(), b"123");
    disk.set_space_left(None);
    assert_eq!(file.write(b"45").unwrap(), 2);
}

#[test]
fn a_refused_conversion_has_lost_the_old_lock_and_close_frees() {
    let (_, _, root) = start();
    let first = put(&root, "f", b"");
    let open = || root.open(at("f"), Access::Read).unwrap();
    let (second, third) = (open(), open());
    assert!(first.try_lock(Lock::Shared).unwrap());
    assert!(second.try_lock(Lock::Shared).unwrap());
    assert!(!second.try_lock(Lock::Exclusive).unwrap());
    assert!(first.try_lock(Lock::Exclusive).unwrap(), "the second still holds its shared lock");
    assert!(!third.try_lock(Lock::Shared).unwrap());
    assert!(first.try_lock(Lock::Shared).unwrap());
    assert!(third.try_lock(Lock::Shared).unwrap());
    drop(third);
    assert!(first.try_lock(Lock::Exclusive).unwrap());
    let (one, two) = (root.open_dir(at("d")).is_err(), root.make_dir(at("d"), 0o700));
    assert!(one && two.is_ok());
    let (one, two) = (root.open_dir(at("d")).unwrap(), root.open_dir(at("d")).unwrap());
    assert!(one.try_lock(Lock::Exclusive).unwrap());
    assert!(!two.try_lock(Lock::Shared).unwrap());
}

#[test]
fn planted_kinds_are_seen_for_what_they_are() {
    let (disk, _, root) = start();
    disk.plant_file("/d/f", "bytes");
    disk.plant_symlink("/d/link", "f");
    disk.plant_symlink("/way", "/d");
    disk.plant_fifo("/d/pipe");
    disk.plant_hard_link("/d/f", "/d/g");
    let kind = |path: &str| root.stat(at(path)).unwrap().kind;
    assert_eq!((kind("d"), kind("d/f"), kind("d/pipe")), (Kind::Dir, Kind::File, Kind::Fifo));
    assert_eq!((kind("d/link"), kind("way")), (Kind::Symlink, Kind::Symlink));
    assert_eq!(root.stat(at("d/f")).unwrap().links, 2);
    assert_eq!(number(root.open(at("d/link"), Access::Read)), errno::ELOOP);
    assert_eq!(number(root.open(at("way/f"), Access::Read)), errno::ELOOP);
    assert_eq!(number(root.open_dir(at("way"))), errno::ELOOP);
    let pipe = root.open(at("d/pipe"), Access::Read).unwrap();
    assert_eq!(pipe.stat().unwrap().kind, Kind::Fifo);
    assert_eq!(number(pipe.read_at(&mut [0], 0)), errno::ESPIPE);
    let pipe = root.open(at("d/pipe"), Access::Append).unwrap();
    assert_eq!(number(pipe.write(b"x")), errno::EINVAL);
    assert_eq!(root.open(at("d"), Access::Read).unwrap().stat().unwrap().kind, Kind::Dir);
    assert_eq!(number(root.open(at("d"), Access::Append)), errno::EISDIR);
    root.unlink(at("d/link")).unwrap();
    assert!(disk.exists("/d/f") && !disk.exists("/d/link"));
}

#[test]
fn a_path_that_leaves_its_directory_is_refused() {
    let (disk, _, root) = start();
    disk.plant_file("/d/f", "1");
    let dir = root.open_dir(at("d")).unwrap();
    for path in ["../d/f", "/d/f", "x/../f", "", ".", "./f", "f/", "x//f"] {
        assert_eq!(dir.stat(at(path)).unwrap_err().kind(), ErrorKind::InvalidInput, "{path}");
    }
    assert_eq!(number(dir.stat(at("f/g"))), errno::ENOTDIR);
    assert_eq!(number(dir.stat(at(&"n".repeat(256)))), errno::ENAMETOOLONG);
}

#[test]
fn sources_and_roots_follow_symlinks_and_ancestors_resolve_them() {
    let (disk, process, _) = start();
    disk.plant_file("/real/src/a.c", "int a;");
    disk.plant_symlink("/short", "/real");
    disk.plant_symlink("/real/up", "../real/./src");
    disk.plant_symlink("/loop", "loop");
    disk.chown("/real", 0);
    assert_eq!(process.stat_source(at("/short/up/a.c")).unwrap().len, 6);
    assert_eq!(process.open_source(at("/short/src/../up/a.c")).unwrap().stat().unwrap().len, 6);
    assert_eq!(number(process.open_source(at("/loop/x"))), errno::ELOOP);
    assert_eq!(number(process.open_root(at("/short/none"))), errno::ENOENT);
    let found = process.ancestors(at("/short/up/new/deep")).unwrap();
    assert_eq!(found.resolved, PathBuf::from("/real/src/new/deep"));
    let paths: Vec<_> =
        found.existing.iter().map(|(path, stat)| (path.to_str().unwrap(), stat.owner)).collect();
    assert_eq!(paths, [("/", 1000), ("/real", 0), ("/real/src", 1000)]);
    let end = |path: &str| process.ancestors(at(path)).unwrap().existing.last().unwrap().0.clone();
    assert_eq!(end("/short/src/a.c"), PathBuf::from("/real/src/a.c"));
    assert_eq!(end("/short/src/a.c/below"), PathBuf::from("/real/src/a.c"), "a file stands in the way");
    disk.plant_symlink("/real/nowhere", "gone");
    assert_eq!(number(process.ancestors(at("/real/nowhere/x"))), errno::ENOENT);
    let error = process.ancestors(at("/real/missing/../x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(number(process.stat_source(at("/real/missing/../src"))), errno::ENOENT);
    assert_eq!(number(process.stat_source(at("/real/src/a.c/x"))), errno::ENOTDIR);
}

#[test]
fn make_root_makes_what_is_missing_and_then_nothing() {
    let (disk, process, _) = start();
    process.make_root(at("/a/b/c")).unwrap();
    process.make_root(at("/a/b/c")).unwrap();
    assert_eq!(process.open_root(at("/a/b/c")).unwrap().stat_self().unwrap().mode, 0o700);
    disk.plant_file("/a/f", "");
    assert_eq!(number(process.make_root(at("/a/f/x"))), errno::ENOTDIR);
}

#[test]
fn every_change_moves_ctime_and_a_write_moves_mtime_off_the_constant() {
    let (disk, _, root) = start();
    let file = put(&root, "f", b"1");
    let one_second = Time { sec: 1, nsec: 0 };
    file.set_mtime(one_second).unwrap();
    let before = file.stat().unwrap();
    assert_eq!(before.mtime, one_second);
    file.set_mode(0o444).unwrap();
    let chmodded = file.stat().unwrap();
    root.rename(at("f"), at("g")).unwrap();
    let renamed = file.stat().unwrap();
    assert!(before.ctime < chmodded.ctime && chmodded.ctime < renamed.ctime);
    assert_eq!(renamed.mtime, one_second);
    disk.set_clock_coarse(true);
    let still = file.stat().unwrap();
    disk.overwrite("/g", 0, "2");
    disk.overwrite("/g", 0, "3");
    let written = file.stat().unwrap();
    assert_eq!(written.ctime, still.ctime, "a coarse clock hides the write in ctime");
    assert_ne!(written.mtime, one_second, "and not in mtime");
    disk.damage("/g", 0, "4");
    assert_eq!(file.stat().unwrap(), written, "a failing medium moves no stamp");
    disk.advance_clock(Duration::from_millis(4));
    disk.truncate("/g", 9);
    assert!(file.stat().unwrap().ctime > written.ctime);
}

#[test]
fn modes_owners_and_a_read_only_mount_are_respected() {
    let (disk, _, root) = start();
    drop(put(&root, "mine", b"1"));
    let other = disk.process_as(7);
    let theirs = other.open_root(at("/")).unwrap();
    assert_eq!(number(theirs.open(at("mine"), Access::Read)), errno::EACCES);
    assert_eq!(number(theirs.unlink(at("mine"))), errno::EACCES);
    disk.chmod("/mine", 0o444);
    assert_eq!(number(theirs.open(at("mine"), Access::Read).unwrap().set_mode(0o777)), errno::EPERM);
    assert_eq!(number(root.open(at("mine"), Access::Append)), errno::EACCES);
    assert!(disk.process_as(0).open_root(at("/")).unwrap().open(at("mine"), Access::Append).is_ok());
    disk.set_read_only(true);
    assert_eq!(number(root.unlink(at("mine"))), errno::EROFS);
    assert_eq!(number(root.create(at("new"), 0o600)), errno::EROFS);
    let file = root.open(at("mine"), Access::Read).unwrap();
    assert!(file.try_lock(Lock::Exclusive).unwrap(), "locks need no write permission");
}

#[test]
fn a_sealed_file_has_no_name_takes_no_room_and_cannot_be_written() {
    let (disk, process, root) = start();
    disk.set_space_left(Some(0));
    let sealed = process.sealed(b"code").unwrap();
    assert_eq!((sealed.stat().unwrap().links, sealed.stat().unwrap().len), (0, 4));
    assert_eq!(number(sealed.write(b"x")), errno::EPERM);
    drop(sealed);
    assert_eq!(number(root.create(at("f"), 0o600).unwrap().write(b"x")), errno::ENOSPC);
}

#[test]
fn random_bytes_repeat_with_the_seed_and_differ_between_processes() {
    let draw = |disk: &Disk| {
        let mut bytes = [0; 16];
        disk.process().random(&mut bytes).unwrap();
        bytes
    };
    let (one, same, other) = (Disk::new(1), Disk::new(1), Disk::new(2));
    let first = draw(&one);
    assert_eq!(first, draw(&same));
    assert_ne!(first, draw(&one));
    assert_ne!(first, draw(&other));
    assert_ne!(draw(&one.snapshot()), first, "a process after a crash draws anew");
}

#[test]
fn a_removed_file_hands_its_inode_number_on_only_where_the_test_says_so() {
    let (disk, _, root) = start();
    let made = |name: &str| {
        let number = put(&root, name, b"x").stat().unwrap().inode;
        root.unlink(at(name)).unwrap();
        number
    };
    assert_ne!(made("a"), made("b"));
    disk.set_inode_reuse(true);
    assert_eq!(made("c"), made("d"));
}

#[test]
fn a_thousand_removed_files_leave_no_inode_behind() {
    let (disk, _, root) = start();
    disk.plant_file("/kept", "k");
    let open = put(&root, "open", b"o");
    root.unlink(at("open")).unwrap();
    for round in 0..3000 {
        let name = round.to_string();
        drop(put(&root, &name, b"x"));
        root.unlink(at(&name)).unwrap();
        root.sync().unwrap();
    }
    assert!(disk.lock().volume.indices().count() < 1000);
    assert_eq!(open.stat().unwrap().len, 1);
    assert_eq!(disk.read_file("/kept").unwrap(), b"k");
}
