//! Looks at the manifest that others overtake, on file systems whose listings are one look and on others.

use super::{
    disk_with_store, find,
    pins::OVERTAKEN,
    rules::store,
    turns::in_turns,
    workload::{Op, prepare},
};
use plugcache::__sim::{self, Disk, Listings, Process};
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

const ALL: [Listings; 3] = [Listings::AtOnce, Listings::SinceOpening, Listings::Torn];

/// What a store looks like before somebody looks at it.
const BEFORE: [&[Op]; 3] = [
    &[Op::Add((13, 0), 6)],
    &[Op::Add((13, 0), 6), Op::Compact],
    &[Op::Add((13, 0), 6), Op::Compact, Op::Add((1, 0), 2)],
];

fn compact(process: &Process) {
    __sim::compact(&store(process));
}

/// A find whose handle was opened before a compaction, and that pauses after two of its verbs for two more: what
/// it finds, and how many verbs it takes.
fn overtaken(start: &Disk, pauses: [usize; 2]) -> (Result<Option<u8>, String>, usize) {
    let disk = start.snapshot();
    let opened = AtomicUsize::new(usize::MAX);
    let found = Mutex::new((Ok(None), 0));
    let finder = |process: &Process| {
        let store = store(process);
        let _ = find(&store, 13);
        opened.store(process.steps(), SeqCst);
        let result = find(&store, 13);
        *found.lock().unwrap() = (result, process.steps() - opened.load(SeqCst));
    };
    let steps = |process: &Process| process.steps().saturating_sub(opened.load(SeqCst));
    in_turns(
        &disk,
        vec![Box::new(finder), Box::new(compact), Box::new(compact), Box::new(compact)],
        &[
            (0, &|_| opened.load(SeqCst) < usize::MAX),
            (1, &|_| false),
            (0, &|process| steps(process) >= pauses[0]),
            (2, &|_| false),
            (0, &|process| steps(process) >= pauses[1]),
            (3, &|_| false),
        ],
    );
    found.into_inner().unwrap()
}

/// However a listing is torn, two compactions in the middle of one look do not hide an entry.
#[test]
fn a_find_that_two_compactions_overtake_at_any_two_verbs_hits() {
    let mut count = 0;
    for (listings, before) in ALL.into_iter().flat_map(|listings| BEFORE.map(|before| (listings, before))) {
        let (start, _) = prepare(&disk_with_store(), before);
        start.set_listings(listings);
        for first in 1.. {
            let mut steps_most = 0;
            for second in first.. {
                let (found, steps) = overtaken(&start, [first, second]);
                assert_eq!(
                    found,
                    Ok(Some(6)),
                    "{listings:?}, {before:?}, overtaken after {first} and {second}"
                );
                count += 1;
                steps_most = steps;
                if second > steps {
                    break;
                }
            }
            if first > steps_most {
                break;
            }
        }
    }
    println!("crash: {count} finds overtaken by two compactions");
    OVERTAKEN.check(count);
}
