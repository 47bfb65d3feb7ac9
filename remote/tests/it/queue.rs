//! Uploads that wait: none is lost with its process, and what is dropped is counted.

use std::{
    fs::{self, File},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use plugcache::Tier as _;
use plugcache_remote::{Ask, Bucket, BucketError, Bytes, Head, Limits, Mode, Remote, waiting_in};

use crate::common::*;

fn offer(remote: &Remote, built: &Built) {
    remote.offer(&built.key, &built.parcel, &built.artifact);
}

#[test]
fn what_is_queued_is_brought_and_nothing_waits_for_it() {
    let fleet = Fleet::new();
    let builds: Vec<_> = ["a", "b", "c"].map(|what| fleet.built(what)).into();
    let remote = fleet.remote(Mode::ReadWrite);
    builds.iter().for_each(|built| offer(&remote, built));
    assert_eq!(remote.flush(Duration::from_secs(60)), 0);
    builds.iter().for_each(|built| assert_fetched(&fleet.reader(), built));
    assert_eq!(remote.status().counts.published, 3);
    assert_eq!(files_below(&fleet.dir.path().join("queue")), 0);
}

#[test]
fn what_a_process_that_is_gone_queued_is_brought_by_the_next() {
    let fleet = Fleet::new();
    let built = fleet.built("a");
    fleet.bucket.set(Fault::Dead, "");
    let remote = fleet.remote(Mode::ReadWrite);
    offer(&remote, &built);
    drop(remote);
    fleet.bucket.set(Fault::None, "");
    let next = fleet.remote(Mode::ReadWrite);
    assert_eq!(next.status().queue.unwrap().jobs, 1);
    assert_eq!(waiting_in(&fleet.dir.path().join("queue")), next.status().queue.unwrap());
    assert_eq!(next.drain(), 1, "without a store it waits");
    let supplied = built.clone();
    next.supply(move |key: &plugcache::TierKey| {
        (*key == supplied.key).then(|| (supplied.parcel.clone(), supplied.artifact.clone()))
    });
    assert_eq!(next.flush(Duration::from_secs(60)), 0);
    assert_fetched(&fleet.reader(), &built);
}

#[test]
fn a_process_that_leaves_its_uploads_brings_none_before_it_is_told_to() {
    let fleet = Fleet::new();
    let remote = fleet.remote(Mode::ReadWrite);
    remote.leave_uploads();
    offer(&remote, &fleet.built("a"));
    assert_eq!(remote.flush(Duration::from_millis(300)), 1);
    assert!(fleet.bucket.calls().is_empty());
    assert_eq!(remote.drain(), 0);
    assert_eq!(remote.status().counts.published, 1);
}

#[test]
fn an_upload_of_what_the_store_has_no_more_is_dropped_and_counted() {
    let fleet = Fleet::new();
    fleet.bucket.set(Fault::Dead, "");
    let remote = fleet.remote(Mode::ReadWrite);
    remote.supply(|_: &plugcache::TierKey| None);
    offer(&remote, &fleet.built("a"));
    assert_eq!(remote.flush(Duration::from_secs(60)), 0);
    assert_eq!(remote.status().counts.dropped_gone, 1);
}

#[test]
fn a_damaged_job_is_dropped_and_counted_whatever_its_damage() {
    let fleet = Fleet::new();
    fleet.bucket.set(Fault::Dead, "");
    let remote = fleet.remote(Mode::ReadWrite);
    offer(&remote, &fleet.built("a"));
    drop(remote);
    let dir = fleet.dir.path().join("queue");
    let job = fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    let right = fs::read(&job).unwrap();
    let wrongs = [&right[..right.len() / 2], b"", b"\xff\xfe", b"plugcache upload x\n"];
    for wrong in wrongs {
        fs::write(&job, wrong).unwrap();
        let remote = fleet.remote(Mode::ReadWrite);
        assert_eq!(remote.status().queue.unwrap().jobs, 0);
        assert_eq!(remote.status().counts.dropped_damaged, 1);
        assert!(!job.exists());
    }
    // One of a later version is that version's.
    fs::write(&job, "plugcache upload 2\n").unwrap();
    let remote = fleet.remote(Mode::ReadWrite);
    assert_eq!((remote.status().queue.unwrap().jobs, remote.status().counts.dropped_damaged), (0, 0));
    assert!(job.exists());
    // What a killed process left aside is no job.
    fs::write(job.with_extension("job.1.new"), &right[..10]).unwrap();
    assert_eq!(fleet.remote(Mode::ReadWrite).status().queue.unwrap().jobs, 0);
}

#[test]
fn a_full_queue_drops_what_is_new_and_counts_it() {
    let fleet = Fleet::new();
    fleet.bucket.set(Fault::Dead, "");
    let remote = fleet.remote(Mode::ReadWrite);
    let mut built = fleet.built("a");
    let first = built.clone();
    for number in 0..80_u8 {
        built.key = plugcache::TierKey::new(first.key.source, [number; 32]);
        offer(&remote, &built);
    }
    let status = remote.status();
    assert_eq!(status.queue.unwrap().jobs, 64, "as many artifacts as are kept open without a store");
    assert_eq!(status.counts.dropped_full, 16);
    // The bytes of the objects count too.
    remote.supply(|_: &plugcache::TierKey| None);
    remote.flush(Duration::from_secs(60));
    fleet.bucket.set(Fault::Dead, "");
    built.parcel.objects[0].len = 5 << 30;
    offer(&remote, &built);
    assert_eq!(remote.status().counts.dropped_full, 17);
}

#[test]
fn an_engine_that_is_down_loses_no_upload() {
    let fleet = Fleet::new();
    let built = fleet.built("a");
    fleet.bucket.set(Fault::Dead, "");
    let remote = fleet.remote(Mode::ReadWrite);
    offer(&remote, &built);
    for _ in 0..10 {
        remote.drain();
        fleet.clock.advance(Duration::from_secs(3600));
    }
    assert_eq!(remote.status().queue.unwrap().jobs, 1);
    fleet.bucket.set(Fault::None, "");
    fleet.clock.advance(Duration::from_secs(3600));
    assert_eq!(remote.flush(Duration::from_secs(60)), 0);
    assert_fetched(&fleet.reader(), &built);
}

#[test]
fn the_same_key_waits_once() {
    let fleet = Fleet::new();
    fleet.bucket.set(Fault::Dead, "");
    let remote = fleet.remote(Mode::ReadWrite);
    let built = fleet.built("a");
    for _ in 0..5 {
        offer(&remote, &built);
        remote.used(&built.key, &built.parcel, &built.artifact);
    }
    assert_eq!(remote.status().queue.unwrap().jobs, 1);
}

fn job(fleet: &Fleet) -> PathBuf {
    fs::read_dir(fleet.dir.path().join("queue")).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn what_has_waited_too_long_is_dropped_and_counted() {
    let fleet = Fleet::new();
    fleet.bucket.set(Fault::Dead, "");
    let remote = fleet.remote(Mode::ReadWrite);
    offer(&remote, &fleet.built("a"));
    drop(remote);
    fleet.bucket.set(Fault::None, "");
    let file = File::options().write(true).open(job(&fleet)).unwrap();
    file.set_modified(SystemTime::now() - 22 * DAY).unwrap();
    let next = fleet.remote(Mode::ReadWrite);
    assert_eq!((next.drain(), next.status().counts.dropped_old), (0, 1));
    assert!(fleet.bucket.memory.paths().is_empty());
}

#[test]
fn what_can_never_be_brought_is_dropped_and_counted() {
    let fleet = Fleet::new();
    fleet.bucket.set(Fault::Dead, "");
    let (remote, built) = (fleet.remote(Mode::ReadWrite), fleet.built("a"));
    offer(&remote, &built);
    damage(&built);
    fleet.bucket.set(Fault::None, "");
    fleet.clock.advance(Duration::from_secs(3600));
    assert_eq!(remote.flush(Duration::from_secs(60)), 0);
    assert_eq!((remote.status().counts.dropped_unfit, remote.status().counts.published), (1, 0));
}

#[test]
fn what_another_process_is_bringing_is_left_to_it() {
    let fleet = Fleet::new();
    fleet.bucket.set(Fault::Dead, "");
    let (remote, built) = (fleet.remote(Mode::ReadWrite), fleet.built("a"));
    offer(&remote, &built);
    drop(remote);
    fleet.bucket.set(Fault::None, "");
    let next = fleet.remote(Mode::ReadWrite);
    let theirs = File::open(job(&fleet)).unwrap();
    rustix::fs::flock(&theirs, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let supplied = built.clone();
    next.supply(move |_: &plugcache::TierKey| Some((supplied.parcel.clone(), supplied.artifact.clone())));
    assert_eq!(next.drain(), 1);
    assert!(fleet.bucket.memory.paths().is_empty());
    drop(theirs);
    assert_eq!(next.flush(Duration::from_secs(60)), 0);
    assert_fetched(&fleet.reader(), &built);
}

type Work = Box<dyn FnOnce() + Send>;

/// Does something during the first upload.
struct Meanwhile(Faulty, Arc<Mutex<Option<Work>>>);

impl Bucket for Meanwhile {
    fn get(&self, path: &str, ask: &Ask, into: &mut dyn std::io::Write) -> Result<u64, BucketError> {
        self.0.get(path, ask, into)
    }
    fn put(&self, path: &str, bytes: Bytes, limits: &Limits) -> Result<(), BucketError> {
        let work = self.1.lock().unwrap().take();
        work.into_iter().for_each(|work| work());
        self.0.put(path, bytes, limits)
    }
    fn head(&self, path: &str, limits: &Limits) -> Result<Head, BucketError> {
        self.0.head(path, limits)
    }
}

#[test]
fn what_is_queued_anew_while_it_is_brought_is_brought_again() {
    let fleet = Fleet::new();
    let built = fleet.built("a");
    let meanwhile: Arc<Mutex<Option<Work>>> = Arc::default();
    let bucket = Meanwhile(fleet.bucket.clone(), meanwhile.clone());
    let config = fleet.config(Mode::ReadWrite);
    let remote = Remote::with_clock(bucket, config, fleet.clock.clone()).unwrap();
    let (again, supplied) = ((remote.clone(), built.clone()), built.clone());
    remote.supply(move |_: &plugcache::TierKey| Some((supplied.parcel.clone(), supplied.artifact.clone())));
    *meanwhile.lock().unwrap() = Some(Box::new(move || offer(&again.0, &again.1)));
    offer(&remote, &built);
    assert_eq!(remote.flush(Duration::from_secs(60)), 0);
    assert_eq!(remote.status().counts.published, 2);
}
