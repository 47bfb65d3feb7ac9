//! Power cuts leave what they may leave, all of it, and nothing else.

use super::{
    super::{At, Dir, Disk, Failure, Fault, Process},
    at, number, put, start,
};
use std::collections::{BTreeMap, HashSet};

/// What a disk holds: paths and bytes (`None` for directories).
type Content = BTreeMap<String, Option<String>>;

fn content(disk: &Disk, path: &str) -> Content {
    let mut all = Content::new();
    for name in disk.list(path) {
        let path = format!("{path}/{}", name.to_string_lossy());
        let bytes = disk.read_file(&path);
        all.extend(content(disk, &path));
        all.insert(path, bytes.map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', "0")));
    }
    all
}

/// All that a cut may leave, as text; each once.
fn cuts(disk: &Disk) -> Vec<String> {
    let mut cuts = disk.power_cuts(10_000);
    let mut all: Vec<String> = cuts.by_ref().map(|disk| text(&disk)).collect();
    assert!(cuts.is_exhaustive());
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "a state was given twice");
    all
}

fn text(disk: &Disk) -> String {
    let items = content(disk, "").into_iter().map(|(path, bytes)| match bytes {
        Some(bytes) => format!("{path}={bytes}"),
        None => path,
    });
    items.collect::<Vec<_>>().join(" ")
}

#[test]
fn nothing_unsynced_means_one_survival() {
    let (disk, _, root) = start();
    disk.plant_file("/d/f", "1");
    assert_eq!(cuts(&disk), ["/d /d/f=1"]);
    let _file = put(&root, "g", b"2");
    root.sync_fs().unwrap();
    assert_eq!(cuts(&disk), ["/d /d/f=1 /g=2"]);
}

#[test]
fn an_unsynced_file_is_lost_or_empty_or_torn_or_zeros_or_whole() {
    let (disk, _, root) = start();
    let _file = put(&root, "f", b"abc");
    assert_eq!(cuts(&disk), ["", "/f=", "/f=000", "/f=a", "/f=a00", "/f=ab", "/f=abc"]);
}

#[test]
fn a_synced_file_in_an_unsynced_directory_is_lost_or_whole() {
    let (disk, _, root) = start();
    put(&root, "f", b"abc").sync().unwrap();
    assert_eq!(cuts(&disk), ["", "/f=abc"]);
}

#[test]
fn an_unsynced_file_in_a_synced_directory_may_be_empty() {
    let (disk, _, root) = start();
    let _file = put(&root, "f", b"abc");
    root.sync().unwrap();
    assert_eq!(cuts(&disk), ["/f=", "/f=000", "/f=a", "/f=a00", "/f=ab", "/f=abc"]);
}

#[test]
fn a_rename_survives_as_either_name_as_both_or_as_none() {
    let (disk, _, root) = start();
    disk.plant_file("/d/old", "1");
    root.rename(at("d/old"), at("new")).unwrap();
    assert_eq!(cuts(&disk), ["/d", "/d /d/old=1", "/d /d/old=1 /new=1", "/d /new=1"]);
    let both = disk.power_cuts(99).find(|disk| disk.exists("/new") && disk.exists("/d/old")).unwrap();
    let root = both.process().open_root(at("/")).unwrap();
    assert_eq!(root.stat(at("new")).unwrap().links, 2);
}

#[test]
fn a_renamed_directory_never_has_two_names() {
    let (disk, _, root) = start();
    disk.plant_file("/d/x/f", "1");
    root.rename(at("d/x"), at("y")).unwrap();
    assert_eq!(cuts(&disk), ["/d", "/d /d/x /d/x/f=1", "/d /y /y/f=1"]);
    for cut in disk.power_cuts(99).filter(|disk| disk.exists("/y")) {
        let dir = cut.process().open_root(at("/y")).unwrap();
        assert_eq!(dir.path_now().unwrap(), at("/y"));
    }
}

#[test]
fn each_name_goes_through_its_own_past_in_order() {
    let (disk, _, root) = start();
    put(&root, "f", b"1").sync().unwrap();
    root.rename(at("f"), at("g")).unwrap();
    put(&root, "f", b"2").sync().unwrap();
    root.unlink(at("g")).unwrap();
    let expected = ["", "/f=1", "/f=1 /g=1", "/f=2", "/f=2 /g=1", "/g=1"];
    assert_eq!(cuts(&disk), expected);
}

#[test]
fn what_an_unsynced_directory_holds_is_lost_with_its_name() {
    let (disk, _, root) = start();
    root.make_dir(at("d"), 0o700).unwrap();
    let dir = root.open_dir(at("d")).unwrap();
    put(&dir, "f", b"1").sync().unwrap();
    dir.sync().unwrap();
    assert_eq!(cuts(&disk), ["", "/d /d/f=1"]);
}

#[test]
fn mode_and_time_are_lost_unless_the_file_is_synced() {
    let (disk, _, root) = start();
    let file = put(&root, "f", b"");
    root.sync_fs().unwrap();
    file.set_mode(0o444).unwrap();
    let modes = |disk: &Disk| {
        let mode = |disk: Disk| disk.process().open_root(at("/")).unwrap().stat(at("f")).unwrap().mode;
        disk.power_cuts(99).map(mode).collect::<Vec<_>>()
    };
    assert_eq!(modes(&disk), [0o600, 0o444]);
    file.sync().unwrap();
    assert_eq!(modes(&disk), [0o444]);
}

#[test]
fn an_append_may_leave_a_hole_before_a_later_one_but_never_touches_what_was_synced() {
    let (disk, _, root) = start();
    disk.plant_file("/log", "s");
    let log = root.open(at("log"), super::super::super::Access::Append).unwrap();
    log.write(b"1").unwrap();
    log.write(b"2").unwrap();
    assert_eq!(cuts(&disk), ["/log=s", "/log=s00", "/log=s02", "/log=s1", "/log=s10", "/log=s12"]);
}

#[test]
fn a_failed_sync_has_lost_the_bytes_though_the_second_one_succeeds() {
    let (disk, process, root) = start();
    let file = put(&root, "f", b"abc");
    root.sync().unwrap();
    process.fail(Fault { at: At::Verb(1), failure: Failure::Errno(5) });
    assert_eq!(number(file.sync()), 5);
    file.sync().unwrap();
    file.sync().unwrap();
    assert_eq!(disk.read_file("/f").unwrap(), b"abc", "the cache still shows them");
    assert_eq!(cuts(&disk), ["/f=000"]);
    process.fail(Fault { at: At::Verb(2), failure: Failure::Errno(5) });
    root.rename(at("f"), at("g")).unwrap();
    assert_eq!(number(root.sync()), 5);
    root.sync().unwrap();
    assert_eq!(cuts(&disk), ["", "/f=000", "/f=000 /g=000", "/g=000"]);
    file.write(b"d").unwrap();
    root.sync_fs().unwrap();
    assert_eq!(text(&disk), "/g=abcd");
    assert!(cuts(&disk).contains(&"/g=000d".to_owned()));
    let interrupted = put(&root, "h", b"x");
    process.fail(Fault { at: At::Verb(1), failure: Failure::Errno(4) });
    assert_eq!(number(interrupted.sync()), 4);
    interrupted.sync().unwrap();
    assert!(cuts(&disk).iter().all(|left| !left.contains("/h=0")), "an interrupted sync loses nothing");
}

#[test]
fn the_first_cuts_are_the_standard_ones() {
    let (disk, _, root) = start();
    let _files = (put(&root, "a", b"aa"), put(&root, "b", b"bb"));
    let first: Vec<String> = disk.power_cuts(10).map(|disk| text(&disk)).collect();
    let standard = [
        "",
        "/a=aa /b=bb",
        "/a= /b=",
        "/a=00 /b=00",
        "/a=aa",
        "/a=aa /b=",
        "/a=aa /b=00",
        "/b=bb",
        "/a= /b=bb",
        "/a=00 /b=bb",
    ];
    assert_eq!(first, standard);
    // Per file: no name, or "", "xx", "00", "x", "x0".
    assert_eq!(disk.power_cuts(1000).count(), 6 * 6);
}

#[test]
fn a_cut_changes_the_boot_and_keeps_inodes_and_room() {
    let (disk, process, root) = start();
    disk.set_space_left(Some(10));
    let file = put(&root, "f", b"12345678");
    file.sync().unwrap();
    root.sync().unwrap();
    root.unlink(at("f")).unwrap();
    let before = (file.stat().unwrap().inode, process.boot_id());
    let back = disk.power_cuts(9).find(|disk| disk.exists("/f")).unwrap();
    let after = back.process();
    let root = after.open_root(at("/")).unwrap();
    assert_eq!(root.stat(at("f")).unwrap().inode, before.0);
    assert_ne!(after.boot_id(), before.1);
    assert_eq!(number(put(&root, "g", b"").write(b"1").and(put(&root, "h", b"").write(b"12"))), 0);
    assert_eq!(back.read_file("/h").unwrap(), b"1", "the file is back, and its room is taken again");
    disk.set_boot_id(None);
    assert_eq!(disk.power_cuts(1).next().unwrap().process().boot_id(), None);
}

#[test]
fn reused_inode_numbers_stay_distinct_after_a_cut() {
    let (disk, _, root) = start();
    disk.set_inode_reuse(true);
    disk.plant_file("/old", "1");
    root.unlink(at("old")).unwrap();
    drop(put(&root, "new", b"2"));
    let both = disk.power_cuts(99).find(|disk| disk.exists("/old") && disk.exists("/new")).unwrap();
    let root = both.process().open_root(at("/")).unwrap();
    assert!(!root.stat(at("old")).unwrap().same_inode(&root.stat(at("new")).unwrap()));
}

#[test]
fn a_random_cut_is_one_of_all_cuts_and_repeats_with_its_seed() {
    let (disk, _, root) = start();
    disk.plant_file("/x", "x");
    let _files = (put(&root, "a", b"aa"), put(&root, "b", b"b"));
    root.rename(at("x"), at("y")).unwrap();
    let all: HashSet<String> = cuts(&disk).into_iter().collect();
    let drawn: HashSet<String> = (0..2000).map(|seed| text(&disk.power_cut(seed))).collect();
    assert!(drawn.is_subset(&all));
    assert!(drawn.len() > all.len() / 2, "{} of {}", drawn.len(), all.len());
    assert_eq!(text(&disk.power_cut(7)), text(&disk.power_cut(7)));
    assert!(disk.power_cut(7).story().contains("name /y is"));
}

#[test]
fn too_many_cuts_are_sampled_up_to_the_bound_without_repetition() {
    let (disk, _, root) = start();
    let _files: Vec<_> = (0..12).map(|n| put(&root, &n.to_string(), b"abc")).collect();
    let mut cuts = disk.power_cuts(3000);
    let prints: HashSet<u64> = cuts.by_ref().map(|disk| disk.fingerprint()).collect();
    assert_eq!(prints.len(), 3000);
    assert!(!cuts.is_exhaustive());
}

/// Publishes as the store does, without naming it: stage, write, sync, rename, sync.
fn publish(process: &Process) -> std::io::Result<()> {
    let root: Dir = process.open_root(at("/"))?;
    let file = root.create(at("staging/a"), 0o600)?;
    file.write(b"object")?;
    file.set_mode(0o444)?;
    file.sync()?;
    root.rename(at("staging/a"), at("objects/a"))?;
    root.open_dir(at("objects"))?.sync()
}

#[test]
fn a_disciplined_publish_never_shows_a_wrong_object_and_an_undisciplined_one_does() {
    let run = |skip_sync: bool| {
        let disk = Disk::new(1);
        disk.plant_dir("/staging");
        disk.plant_dir("/objects");
        disk.record();
        let process = disk.process();
        if skip_sync {
            process.fail(Fault { at: At::Verb(5), failure: Failure::Errno(4) });
        }
        let ended = publish(&process);
        assert_eq!(ended.is_err(), skip_sync);
        if skip_sync {
            let root = process.open_root(at("/")).unwrap();
            root.rename(at("staging/a"), at("objects/a")).unwrap();
        }
        let states: Vec<_> = disk.recorded().iter().flat_map(|moment| moment.disk.power_cuts(99)).collect();
        let wrong = |disk: &&Disk| disk.read_file("/objects/a").is_some_and(|bytes| bytes != b"object");
        (states.len(), states.iter().filter(wrong).count())
    };
    // After create 2, write 8, chmod 10, fsync 2, rename 4, fsync of the directory 2.
    assert_eq!(run(false), (28, 0));
    assert!(run(true).1 > 0);
}
