//! Leases (I12), with processes that hold artifacts: what is held by one that works, and by one that is stopped,
//! outlives whoever drops its entry; what was held by one that was killed does not.

use std::fs;

use plugcache::{__sim, Added, ObjectDigest, Outputs, Store, SweepOptions};

use crate::{
    bed::{Found, Setup, add, body, find, is_right, objects, sources, temp},
    harness::Outcome,
    stream::Stream,
    tests, worker,
};

tests!["leases":
    what_is_held_outlives_a_sweep_down_to_nothing_and_what_a_killed_process_held_goes,
    what_is_held_outlives_a_forget_and_what_a_killed_process_held_goes,
    a_stopped_holder_keeps_what_an_add_of_the_same_bytes_finds_there,
];

/// The worker: holds the artifact of a key, says so, and whenever it is woken up whether its bytes are right: by what
/// it has open and at the path of its object.
pub(crate) fn hold(setup: &Setup, verbs: &[String]) {
    let key: u64 = verbs[0].parse().unwrap();
    let store = setup.open();
    let artifact = store.find(&sources(key)).unwrap();
    let output = artifact.primary();
    worker::say("held");
    loop {
        std::thread::sleep(std::time::Duration::from_millis(5));
        let (read, at_path) = (output.read().unwrap(), fs::read(output.path()));
        let right = is_right(key, &read) && at_path.is_ok_and(|bytes| bytes == read);
        worker::say(if right { "right" } else { "wrong" });
    }
}

/// Three that hold an artifact each: key 1 by one that works on, key 2 by one that is stopped, key 3 by one that was
/// killed; nobody holds key 4.
struct Held {
    setup: Setup,
    at_work: Stream,
    stopped: Stream,
}

impl Held {
    fn new(setup: &Setup) -> Held {
        let store = setup.open();
        (1..=4).for_each(|key| assert_eq!(add(&store, key, 1, 3000), Added::Stored));
        let [at_work, stopped, killed] = [1, 2, 3].map(|key: u64| {
            // The key; the number and the seed that are added are for nothing.
            let holder = Stream::start_with("holder", setup, &[key.to_string()], 0, 0);
            holder.wait_for_lines(1);
            holder
        });
        stopped.stop();
        assert_eq!(killed.kill().first().map(String::as_str), Some("held"));
        Held { setup: setup.clone(), at_work, stopped }
    }

    /// Files of the held ones are there, with right bytes; those of the others are not.
    fn only_the_held_stay(&self, after: &str) {
        let there = objects(&self.setup.dir.join("v1"));
        for (key, is_held) in [(1, true), (2, true), (3, false), (4, false)] {
            let path = there.get(&ObjectDigest::of_bytes(&body(key, 1, 3000)));
            assert_eq!(path.is_some(), is_held, "I12: the object of {key} after {after}");
            if let Some(path) = path {
                assert!(is_right(key, &fs::read(path).unwrap()), "I12: wrong bytes of {key} after {after}");
            }
            assert_eq!(find(&self.setup.open(), key), Found::Nothing, "{key} after {after}");
        }
        self.at_work.take_lines();
        self.at_work.wait_for_lines(2);
        let said = self.at_work.take_lines();
        assert!(said.iter().all(|line| line == "right"), "I12: {said:?} after {after}");
    }

    /// The stopped one goes on as if nothing had been; when both have let go, nothing is left.
    fn ends(self) -> usize {
        self.stopped.take_lines();
        self.stopped.go_on();
        self.stopped.wait_for_lines(2);
        let said = self.stopped.kill();
        assert!(said.iter().all(|line| line == "right"), "I12: {said:?}");
        self.at_work.kill();
        sweep(&discourteous(&self.setup).open());
        let left = objects(&self.setup.dir.join("v1"));
        assert_eq!(left.len(), 0, "I12: nobody holds them any more: {left:?}");
        said.len()
    }
}

/// Over any limit of this size young objects get no courtesy: leases alone keep what has no entry.
fn discourteous(setup: &Setup) -> Setup {
    Setup { max_bytes: 0, ..setup.clone() }
}

fn sweep(store: &Store) {
    store.sweep(SweepOptions::new().max_files(0)).unwrap();
}

fn what_is_held_outlives_a_sweep_down_to_nothing_and_what_a_killed_process_held_goes() -> Outcome {
    let temp = temp();
    let setup = Setup::new(temp.path().join("store"));
    let held = Held::new(&setup);
    for round in 0..3 {
        sweep(&discourteous(&setup).open());
        held.only_the_held_stay(&format!("sweep {round}"));
    }
    Ok(format!("{} looks by one that was woken up", held.ends()))
}

fn what_is_held_outlives_a_forget_and_what_a_killed_process_held_goes() -> Outcome {
    let temp = temp();
    let setup = Setup::new(temp.path().join("store"));
    let held = Held::new(&setup);
    let store = discourteous(&setup).open();
    for key in 1..=4 {
        assert_eq!(store.forget(&sources(key).digest()).unwrap(), 1);
    }
    held.only_the_held_stay("a forget");
    __sim::sweep(&store);
    held.only_the_held_stay("the sweep of what had lost its name");
    Ok(format!("{} looks by one that was woken up", held.ends()))
}

fn a_stopped_holder_keeps_what_an_add_of_the_same_bytes_finds_there() -> Outcome {
    let temp = temp();
    let setup = Setup::new(temp.path().join("store"));
    let held = Held::new(&setup);
    sweep(&discourteous(&setup).open());
    let store = setup.open();
    let path =
        |key| objects(&setup.dir.join("v1")).get(&ObjectDigest::of_bytes(&body(key, 1, 3000))).cloned();
    let inode = |key| path(key).map(|path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap()));
    let before = inode(2);
    assert!(before.is_some());
    // The entry is gone and the object is not: it is used again as it is.
    assert_eq!(store.add(&sources(2), Outputs::bytes("out", body(2, 1, 3000))).unwrap(), Added::Stored);
    assert_eq!((inode(2), find(&setup.open(), 2)), (before, Found::Right));
    assert_eq!(store.forget(&sources(2).digest()).unwrap(), 1);
    Ok(format!("{} looks by one that was woken up", held.ends()))
}
