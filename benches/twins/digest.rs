//! Sources: looked at; or each read once and hashed, by several threads.

use rustix::fs::{Mode, OFlags, open};
use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// What a build system without a memo would do: `std::fs::metadata` of each.
pub(crate) fn look(paths: &[PathBuf]) -> u64 {
    paths.iter().map(|path| std::fs::metadata(path).unwrap().len()).sum()
}

/// Open, read, `close` and BLAKE3 of each, by as many threads as there are cores.
pub(crate) fn read_and_hash(paths: &[PathBuf], bytes_max: usize) -> u64 {
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut buffer, mut sum) = (vec![0; bytes_max], 0);
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            let file = open(path, OFlags::CLOEXEC, Mode::empty()).unwrap();
            let len = rustix::io::read(&file, &mut *buffer).unwrap();
            sum += u64::from(blake3::hash(&buffer[..len]).as_bytes()[0]);
        }
        sum
    };
    thread::scope(|scope| {
        let others: Vec<_> =
            (1..thread::available_parallelism().unwrap().get()).map(|_| scope.spawn(work)).collect();
        work() + others.into_iter().map(|other| other.join().unwrap()).sum::<u64>()
    })
}
