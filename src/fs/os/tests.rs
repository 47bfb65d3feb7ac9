//! What the verbs promise one by one; what belongs to one submodule is tested there.
#![expect(
    clippy::disallowed_methods,
    reason = "the files around the store are made by other means than `os`"
)]

use std::{
    fs,
    io::{Read, Seek, SeekFrom},
    os::unix::fs::{MetadataExt, symlink},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::{
    fs::{CWD, SealFlags, fcntl_add_seals, ftruncate, mknodat},
    io::{FdFlags, fcntl_getfd, pwrite},
};

use super::*;

pub(super) fn make_fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

fn store() -> (tempfile::TempDir, Dir) {
    let temp = tempfile::tempdir().unwrap();
    let dir = open_root(temp.path()).unwrap();
    (temp, dir)
}

fn p(path: &str) -> &Path {
    Path::new(path)
}

#[test]
fn a_fifo_is_opened_without_waiting_and_reported_as_one() {
    let (temp, dir) = store();
    let path = temp.path().join("fifo");
    make_fifo(&path);
    let (done, finished) = mpsc::channel();
    thread::spawn(move || {
        let kinds = [
            dir.open(p("fifo"), Access::Read).unwrap().stat().unwrap().kind,
            resolve::pretend::openat2_missing(|| dir.open(p("fifo"), Access::Read))
                .unwrap()
                .stat()
                .unwrap()
                .kind,
            dir.open_or_create(p("fifo")).unwrap().stat().unwrap().kind,
            open_source(&path).unwrap().stat().unwrap().kind,
            dir.stat(p("fifo")).unwrap().kind,
        ];
        done.send(kinds).unwrap();
    });
    assert_eq!(finished.recv_timeout(Duration::from_secs(20)).expect("an open waited"), [Kind::Fifo; 5]);
}

#[test]
fn stat_reports_a_symlink_at_the_end_and_does_not_follow_it() {
    let (temp, dir) = store();
    fs::write(temp.path().join("file"), "12345").unwrap();
    symlink("file", temp.path().join("link")).unwrap();
    assert_eq!(dir.stat(p("link")).unwrap().kind, Kind::Symlink);
    let stat = dir.stat(p("file")).unwrap();
    assert_eq!((stat.kind, stat.len, stat.links, stat.owner), (Kind::File, 5, 1, user()));
    assert_eq!(stat_source(&temp.path().join("link")).unwrap(), stat);
    assert_eq!(dir.open(p("file"), Access::Read).unwrap().stat().unwrap(), stat);
    let metadata = fs::metadata(temp.path().join("file")).unwrap();
    assert_eq!(
        (stat.device, stat.inode, stat.mode),
        (metadata.dev(), metadata.ino(), metadata.mode() & 0o7777)
    );
    assert_eq!((stat.ctime.sec, i64::from(stat.ctime.nsec)), (metadata.ctime(), metadata.ctime_nsec()));
}

#[test]
fn create_refuses_a_name_that_exists_and_open_or_create_takes_it() {
    let (_temp, dir) = store();
    let made = dir.create(p("file"), 0o400).unwrap();
    assert_eq!(made.stat().unwrap().mode, 0o400);
    made.set_mode(0o600).unwrap();
    assert_eq!(dir.create(p("file"), 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    let taken = dir.open_or_create(p("file")).unwrap();
    assert!(taken.stat().unwrap().same_inode(&made.stat().unwrap()));
    assert_eq!(dir.open_or_create(p("new")).unwrap().stat().unwrap().mode, 0o600);
    assert_eq!(dir.open(p("missing"), Access::Append).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn directories_are_made_and_removed_below_directories() {
    let (_temp, dir) = store();
    dir.make_dir(p("a"), 0o700).unwrap();
    dir.make_dir(p("a/b"), 0o700).unwrap();
    assert_eq!(dir.make_dir(p("a/b"), 0o700).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(dir.open_dir(p("a")).unwrap().list().unwrap(), ["b"]);
    assert_eq!(dir.remove_dir(p("a")).unwrap_err().kind(), io::ErrorKind::DirectoryNotEmpty);
    assert!(dir.unlink(p("a/b")).is_err());
    dir.remove_dir(p("a/b")).unwrap();
    assert!(dir.open_dir(p("a")).unwrap().list().unwrap().is_empty());
}

#[test]
fn appended_bytes_go_to_the_end_and_any_offset_can_be_read() {
    let (_temp, dir) = store();
    dir.create(p("log"), 0o600).unwrap().write(b"head").unwrap();
    let (one, two) =
        (dir.open(p("log"), Access::Append).unwrap(), dir.open(p("log"), Access::Append).unwrap());
    assert_eq!(one.write(b"-one").unwrap(), 4);
    assert_eq!(two.write(b"-two").unwrap(), 4);
    let mut buf = [0; 16];
    assert_eq!(one.read_at(&mut buf, 4).unwrap(), 8);
    assert_eq!(&buf[..8], b"-one-two");
    assert_eq!(one.read_at(&mut buf, 12).unwrap(), 0);
}

#[test]
fn rename_moves_across_directories_and_refuses_a_name_that_is_taken() {
    let (temp, dir) = store();
    dir.make_dir(p("to"), 0o700).unwrap();
    dir.create(p("one"), 0o600).unwrap().write(b"1").unwrap();
    dir.create(p("two"), 0o600).unwrap().write(b"2").unwrap();
    dir.rename(p("one"), p("to/name")).unwrap();
    assert_eq!(dir.rename(p("two"), p("to/name")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(temp.path().join("to/name")).unwrap(), b"1");
    assert_eq!(fs::read(temp.path().join("two")).unwrap(), b"2");
    assert_eq!(dir.rename(p("two"), p("../two")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(dir.rename(p("/two"), p("three")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_lock_excludes_a_second_description_in_this_process_and_is_freed_by_close() {
    let (_temp, dir) = store();
    let (one, two) = (dir.create(p("file"), 0o600).unwrap(), dir.open(p("file"), Access::Read).unwrap());
    assert!(one.try_lock(Lock::Shared).unwrap());
    assert!(two.try_lock(Lock::Shared).unwrap());
    assert!(!one.try_lock(Lock::Exclusive).unwrap());
    drop(two);
    assert!(one.try_lock(Lock::Exclusive).unwrap());
    let two = dir.open(p("file"), Access::Read).unwrap();
    assert!(!two.try_lock(Lock::Shared).unwrap());
    drop(one);
    assert!(two.try_lock(Lock::Exclusive).unwrap());
}

#[test]
fn a_refused_conversion_has_lost_the_old_lock() {
    let (_temp, dir) = store();
    let (one, two) = (dir.create(p("file"), 0o600).unwrap(), dir.open(p("file"), Access::Read).unwrap());
    assert!(one.try_lock(Lock::Shared).unwrap() && two.try_lock(Lock::Shared).unwrap());
    assert!(!one.try_lock(Lock::Exclusive).unwrap());
    assert!(two.try_lock(Lock::Exclusive).unwrap(), "one still holds its shared lock");
}

#[test]
fn directories_can_be_locked() {
    let (temp, dir) = store();
    let again = open_root(temp.path()).unwrap();
    assert!(dir.try_lock(Lock::Exclusive).unwrap());
    assert!(!again.try_lock(Lock::Exclusive).unwrap());
    drop(dir);
    assert!(again.try_lock(Lock::Exclusive).unwrap());
}

#[test]
fn a_constant_mtime_leaves_atime_alone_and_moves_off_with_any_write() {
    let (temp, dir) = store();
    let file = dir.create(p("file"), 0o600).unwrap();
    file.write(b"bytes").unwrap();
    let atime = |metadata: fs::Metadata| (metadata.atime(), metadata.atime_nsec());
    let before = atime(fs::metadata(temp.path().join("file")).unwrap());
    let constant = Time { sec: 1, nsec: 0 };
    for _ in 0..50 {
        file.set_mtime(constant).unwrap();
        assert_eq!(file.stat().unwrap().mtime, constant);
        assert_eq!(atime(fs::metadata(temp.path().join("file")).unwrap()), before);
        file.write(b"!").unwrap();
        assert_ne!(file.stat().unwrap().mtime, constant);
    }
}

#[test]
fn a_sealed_file_holds_its_bytes_and_can_neither_be_written_nor_cut_nor_grown() {
    let file = sealed(b"code").unwrap();
    let mut buf = [0; 8];
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), 4);
    assert_eq!(&buf[..4], b"code");
    let path = path_of_descriptor(file.fd.as_fd());
    assert_eq!(fs::read(&path).unwrap(), b"code");
    assert_eq!(file.write(b"!").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    assert_eq!(pwrite(&file.fd, b"!", 0), Err(Errno::PERM));
    assert_eq!(ftruncate(&file.fd, 3), Err(Errno::PERM));
    assert_eq!(ftruncate(&file.fd, 5), Err(Errno::PERM));
    assert!(fs::write(&path, "evil").is_err());
    assert_eq!(fcntl_add_seals(&file.fd, SealFlags::FUTURE_WRITE), Err(Errno::PERM));
    assert_eq!(file.stat().unwrap().len, 4);
    assert_eq!(sealed(b"").unwrap().stat().unwrap().len, 0);
}

#[test]
fn path_now_follows_a_rename_and_is_an_error_once_the_name_is_gone() {
    let (temp, _dir) = store();
    let real = fs::canonicalize(temp.path()).unwrap();
    fs::create_dir(real.join("one")).unwrap();
    let dir = open_root(&real.join("one")).unwrap();
    assert_eq!(dir.path_now().unwrap(), real.join("one"));
    for name in ["two", "odd (deleted)"] {
        fs::rename(dir.path_now().unwrap(), real.join(name)).unwrap();
        assert_eq!(dir.path_now().unwrap(), real.join(name));
    }
    fs::remove_dir(real.join("odd (deleted)")).unwrap();
    assert_eq!(dir.path_now().unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_standard_file_reads_the_same_inode_with_a_cursor_of_its_own_also_without_a_name() {
    let (_temp, dir) = store();
    let file = dir.create(p("file"), 0o600).unwrap();
    file.write(b"0123").unwrap();
    dir.unlink(p("file")).unwrap();
    assert_eq!(file.stat().unwrap().links, 0);
    let (mut one, mut two) = (file.to_std().unwrap(), file.to_std().unwrap());
    one.seek(SeekFrom::Start(2)).unwrap();
    let mut text = String::new();
    two.read_to_string(&mut text).unwrap();
    assert_eq!(text, "0123");
    file.write(b"45").unwrap();
    text.clear();
    one.read_to_string(&mut text).unwrap();
    assert_eq!(text, "2345");
    assert!(std::io::Write::write(&mut one, b"!").is_err(), "it can be written");
}

#[test]
fn a_map_holds_the_first_bytes_and_never_reaches_behind_the_end() {
    let (_temp, dir) = store();
    let file = dir.create(p("file"), 0o600).unwrap();
    file.write(b"0123456789").unwrap();
    assert_eq!(&*file.map(10, Pattern::Through).unwrap(), b"0123456789");
    assert_eq!(&*file.map(4, Pattern::Through).unwrap(), b"0123");
    assert!(file.map(0, Pattern::Through).unwrap().is_empty());
    assert_eq!(file.map(11, Pattern::Through).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    let map = dir.open(p("file"), Access::Read).unwrap().map(10, Pattern::Through).unwrap();
    dir.unlink(p("file")).unwrap();
    assert_eq!(&*map, b"0123456789");
}

#[test]
fn a_clone_is_the_whole_file_or_an_error_that_leaves_the_target_empty() {
    let (_temp, dir) = store();
    let (from, to) = (dir.create(p("from"), 0o600).unwrap(), dir.create(p("to"), 0o600).unwrap());
    from.write(&[7; 5_000]).unwrap();
    let len = if to.clone_from(&from).is_ok() { 5_000 } else { 0 };
    assert_eq!(to.stat().unwrap().len, len);
}

#[test]
fn no_descriptor_is_inherited_by_a_plugin_s_children() {
    let (temp, dir) = store();
    dir.make_dir(p("sub"), 0o700).unwrap();
    let file = dir.create(p("file"), 0o600).unwrap();
    let source = open_source(&temp.path().join("file")).unwrap();
    let append = resolve::pretend::openat2_missing(|| dir.open(p("file"), Access::Append)).unwrap();
    let (sub, memory, host) = (dir.open_dir(p("sub")).unwrap(), sealed(b"").unwrap(), file.to_std().unwrap());
    for fd in [dir.fd.as_fd(), file.fd.as_fd(), source.fd.as_fd(), append.fd.as_fd(), sub.fd.as_fd()] {
        assert_eq!(fcntl_getfd(fd).unwrap(), FdFlags::CLOEXEC);
    }
    for fd in [memory.fd.as_fd(), host.as_fd()] {
        assert_eq!(fcntl_getfd(fd).unwrap(), FdFlags::CLOEXEC);
    }
}

#[test]
fn everything_can_be_synced() {
    let (_temp, dir) = store();
    let file = dir.create(p("file"), 0o444).unwrap();
    file.write(b"bytes").unwrap();
    file.sync().unwrap();
    dir.sync().unwrap();
    dir.sync_fs().unwrap();
    dir.open(p("file"), Access::Read).unwrap().sync().unwrap();
}
