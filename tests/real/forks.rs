//! Hosts that fork without exec: what the child inherits are the parent's open files with their locks, and
//! copies of its memory.
//!
//! A lease, and the right to build, last until the last process with a copy has closed it or died. A child may
//! use an inherited handle unless another thread was inside it at the fork: then its locks may be held by a
//! thread that the child does not have, and the child waits for ever; it opens a store of its own instead.
//! Whatever the child does, others are not held up and nothing is lost.

use std::{
    io::{PipeReader, PipeWriter, Read, Write, pipe},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use plugcache::{__sim, Added, Build, Claim, Config, Exec, How, Outputs, Store};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};

use crate::{
    bed::{Found, Oracle, SHARED, Setup, add, body, find, sources, temp},
    harness::Outcome,
    tests,
    worker::{Watched, say},
};

tests!["forks":
    a_lease_lasts_until_the_last_process_that_inherited_it_has_ended,
    children_that_use_an_inherited_handle_lose_nothing_and_find_nothing_wrong,
    a_build_and_its_directory_stay_when_a_child_drops_what_it_inherited,
    the_right_to_build_of_a_dead_process_is_free_when_its_children_have_ended,
    children_of_a_process_with_threads_work_with_a_store_of_their_own,
];

/// Runs one of the scenes in a process of its own, which forks.
fn play(name: &str) -> Outcome {
    let temp = temp();
    let setup = Setup::new(temp.path().join("store"));
    let worker = Watched::start("forks", &setup, &[name.to_owned()]);
    let said = worker.ended(Instant::now() + Duration::from_secs(90));
    Oracle::new(&setup).all_is_well(name);
    Ok(said.trim().to_owned())
}

fn a_lease_lasts_until_the_last_process_that_inherited_it_has_ended() -> Outcome {
    play("leases")
}

fn children_that_use_an_inherited_handle_lose_nothing_and_find_nothing_wrong() -> Outcome {
    play("inherited")
}

fn a_build_and_its_directory_stay_when_a_child_drops_what_it_inherited() -> Outcome {
    play("builds")
}

fn the_right_to_build_of_a_dead_process_is_free_when_its_children_have_ended() -> Outcome {
    play("orphans")
}

fn children_of_a_process_with_threads_work_with_a_store_of_their_own() -> Outcome {
    play("threads")
}

/// The worker: plays the scene of this name.
pub(crate) fn scene(setup: &Setup, verbs: &[String]) {
    match verbs[0].as_str() {
        "leases" => leases(setup),
        "inherited" => inherited(setup),
        "builds" => builds(setup),
        "orphans" => orphans(setup),
        "threads" => threads(setup),
        other => panic!("no scene {other}"),
    }
}

/// Forks; the child runs `child` and ends without running anything else. It ends by itself after a minute.
#[expect(unsafe_code, reason = "fork has no safe form")]
fn fork(child: impl FnOnce()) -> Pid {
    // SAFETY: what the child may do after a fork of a process with threads is what is tried out here.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: neither takes a pointer, and the second does not return.
            unsafe {
                libc::alarm(60);
                let code = i32::from(catch_unwind(AssertUnwindSafe(child)).is_err());
                libc::_exit(code)
            }
        }
        pid => Pid::from_raw(pid).expect("fork failed"),
    }
}

fn end_of(pid: Pid) -> WaitStatus {
    waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap().1
}

#[track_caller]
fn must_succeed(pid: Pid) {
    let status = end_of(pid);
    assert_eq!(status.exit_status(), Some(0), "{status:?}");
}

/// A door between two processes: opened by the one, waited for by the other.
struct Door(PipeReader, PipeWriter);

impl Door {
    fn new() -> Door {
        let (reader, writer) = pipe().unwrap();
        Door(reader, writer)
    }

    fn open(&self) {
        (&self.1).write_all(&[1]).unwrap();
    }

    fn wait(&self) {
        (&self.0).read_exact(&mut [0]).unwrap();
    }
}

/// Opens the store that all share, with no courtesy for young objects.
fn sweeping(setup: &Setup) -> Store {
    Setup { max_bytes: 0, ..setup.clone() }.open()
}

fn leases(setup: &Setup) {
    for (key, is_killed) in [(1, false), (2, true)] {
        let store = setup.open();
        assert_eq!(add(&store, key, 1, 3000), Added::Stored);
        let artifact = store.find(&sources(key)).unwrap();
        let path: PathBuf = artifact.path().to_owned();
        let (go_on, done) = (Door::new(), Door::new());
        let child = fork(|| {
            go_on.wait();
            assert_eq!(artifact.primary().read_verified().unwrap(), body(key, 1, 3000));
            assert!(path.exists());
            done.open();
            go_on.wait();
        });
        drop(artifact);
        store.close();
        drop(store);
        let other = sweeping(setup);
        assert_eq!(other.forget(&sources(key).digest()).unwrap(), 1);
        __sim::sweep(&other);
        assert!(path.exists(), "leased by the child");
        go_on.open();
        done.wait();
        if is_killed {
            kill_process(child, Signal::KILL).unwrap();
            end_of(child);
        } else {
            go_on.open();
            must_succeed(child);
        }
        __sim::sweep(&other);
        assert!(!path.exists(), "killed: {is_killed}");
    }
    say("2 leases");
}

const CHILDREN: u64 = 4;
const OWN: u64 = 1000;

/// What each process does with the handle; keys from `first` on are its own.
fn use_handle(store: &Store, first: u64) {
    for step in 0..150 {
        let key = first + step;
        assert_eq!(add(store, key, 1, 400), Added::Stored, "{key}");
        assert_eq!(find(store, key), Found::Right, "{key}");
        // Bytes that all have in common, so that they meet at one object.
        let shared = Outputs::bytes("out", body(SHARED, step, 500));
        assert_eq!(store.add(&sources(key), shared).unwrap(), Added::Stored, "{key}");
        assert_eq!(find(store, step % 10), Found::Right, "{step}");
        if step % 5 == 0 {
            assert_eq!(store.forget(&sources(key).digest()).unwrap(), 1, "{key}");
            assert_eq!(find(store, key), Found::Nothing, "{key}");
        }
        if step % 16 == 0 {
            __sim::compact(store);
            __sim::sweep(store);
        }
    }
}

fn inherited(setup: &Setup) {
    let store = setup.open();
    drop(Oracle::with_keys(setup, 0..10));
    let children: Vec<Pid> = (1..=CHILDREN).map(|number| fork(|| use_handle(&store, number * OWN))).collect();
    use_handle(&store, 0x10_0000);
    children.into_iter().for_each(must_succeed);
    let firsts = (1..=CHILDREN).map(|number| number * OWN).chain([0x10_0000]);
    let mut count = 0;
    for handle in [&store, &setup.open()] {
        for key in firsts.clone().flat_map(|first| first..first + 150) {
            let expected = if key % 5 == firsts_rest(key) { Found::Nothing } else { Found::Right };
            assert_eq!(find(handle, key), expected, "{key}");
            count += 1;
        }
    }
    say(&format!("{CHILDREN} children and their parent on one handle, {count} finds afterwards"));
}

/// What every fifth key of those from a process's first on leaves modulo 5.
fn firsts_rest(key: u64) -> u64 {
    let first = if key >= 0x10_0000 { 0x10_0000 } else { key / OWN * OWN };
    first % 5
}

fn claimed(store: &Store, key: u64) -> Build {
    match store.claim(&sources(key)).unwrap() {
        Claim::Build(build) => build,
        other => panic!("{other:?}"),
    }
}

fn is_busy(store: &Store, key: u64) -> bool {
    matches!(store.claim(&sources(key)).unwrap(), Claim::Busy(_))
}

/// The child drops a build in progress and an artifact that is not stored: both go on for the parent.
fn builds(setup: &Setup) {
    let (store, other) = (setup.open(), setup.open());
    let mut build = Some(claimed(&store, 5));
    build.as_mut().unwrap().write("out", body(5, 1, 2000)).unwrap();
    let dir = build.as_ref().unwrap().dir().to_owned();
    let none = Store::disabled("a test");
    let unstored = none.get_or_build(&sources(6), |build| build.write("out", body(6, 1, 2000))).unwrap();
    assert!(matches!(unstored.how, How::Uncached(_)));
    let mut unstored = Some(unstored.artifact);
    let path = unstored.as_ref().unwrap().path().to_owned();
    let child = fork(|| {
        drop((build.take(), unstored.take()));
    });
    must_succeed(child);
    assert!(dir.join("out").exists(), "the build's directory went with the child's copy");
    assert!(path.exists(), "the artifact's directory went with the child's copy");
    assert!(is_busy(&other, 5), "the right to build went with the child's copy");
    // One that lives on keeps nothing but the inode of a lock file that has lost its name.
    let stay = Door::new();
    let child = fork(|| stay.wait());
    assert_eq!(build.take().unwrap().finish().unwrap().how, How::Built);
    assert_eq!(find(&other, 5), Found::Right);
    assert_eq!(other.forget(&sources(5).digest()).unwrap(), 1);
    drop(claimed(&other, 5));
    assert!(!dir.exists());
    drop(unstored.take());
    assert!(!path.exists());
    stay.open();
    must_succeed(child);
    say("a build and an artifact dropped by a child");
}

/// The builder dies; its child lives on with a copy of the lock.
fn orphans(setup: &Setup) {
    const WAIT: Duration = Duration::from_millis(300);
    let patient = Store::open(
        Config::builder(&setup.dir).exec(Exec::Given(b"real".to_vec())).build_wait_max(WAIT).build(),
    )
    .unwrap();
    let (stay, ready) = (Door::new(), Door::new());
    let builder = fork(|| {
        let build = claimed(&setup.open(), 5);
        fork(|| {
            ready.open();
            stay.wait();
        });
        // As by SIGKILL: nothing is cleared up.
        std::mem::forget(build);
    });
    must_succeed(builder);
    ready.wait();
    assert!(is_busy(&patient, 5), "the child has the lock");
    let begin = Instant::now();
    let got = patient.get_or_build(&sources(5), |build| build.write("out", body(5, 1, 100))).unwrap();
    assert_eq!(got.how, How::Built);
    let took = begin.elapsed();
    assert!((WAIT..WAIT * 20).contains(&took), "{took:?}");
    assert_eq!(find(&setup.open(), 5), Found::Right);
    drop(got);
    assert_eq!(patient.forget(&sources(5).digest()).unwrap(), 1);
    stay.open();
    let begin = Instant::now();
    while is_busy(&patient, 5) {
        assert!(begin.elapsed() < Duration::from_secs(10), "nobody builds, and the lock is held");
        thread::sleep(Duration::from_millis(1));
    }
    say("a lock inherited from the dead");
}

/// Three threads use one handle all the time while the process forks.
fn threads(setup: &Setup) {
    const FORKS: u64 = 32;
    drop(Oracle::with_keys(setup, 0..10));
    let store = setup.open();
    let (stop, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut hung, mut used) = (0, 0);
    thread::scope(|scope| {
        for number in 1..=3 {
            let (store, stop, calls) = (&store, &stop, &calls);
            scope.spawn(move || {
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let key = number * OWN + round % 50;
                    assert_eq!(add(store, key, round, 300), Added::Stored);
                    assert_eq!(find(store, key), Found::Right);
                    if round % 40 == 0 {
                        __sim::compact(store);
                    }
                    calls.fetch_add(2, Ordering::Relaxed);
                }
            });
        }
        for number in 0..FORKS {
            let key = 0x10_0000 + number;
            let own = fork(|| {
                let own = setup.open();
                assert_eq!(add(&own, key, 1, 300), Added::Stored);
                assert_eq!((find(&own, key), find(&own, number % 10)), (Found::Right, Found::Right));
            });
            must_succeed(own);
            assert_eq!(find(&store, key), Found::Right);
            if number % 4 == 0 {
                // What must not be done: it may wait for ever, and then nobody but the child does.
                let using = fork(|| {
                    end_soon();
                    assert_eq!(find(&store, number % 10), Found::Right);
                });
                match end_of(using) {
                    status if status.exit_status() == Some(0) => used += 1,
                    status if status.terminating_signal() == Some(libc::SIGALRM) => hung += 1,
                    status => panic!("{status:?}"),
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    (0..10).for_each(|key| assert_eq!(find(&setup.open(), key), Found::Right));
    say(&format!(
        "{FORKS} children with a store of their own among {} calls of three threads; with the parent's {used} \
         children ended and {hung} waited for ever",
        calls.load(Ordering::Relaxed)
    ));
}

/// A child that hangs is killed.
#[expect(unsafe_code, reason = "an alarm has no safe form")]
fn end_soon() {
    // SAFETY: takes a number.
    unsafe { libc::alarm(2) };
}
