//! Sharing work among as many threads as it is worth.
//!
//! For the modules of `sources`. No thread outlives the call that started it.

use std::{
    num::NonZero,
    sync::{Mutex, PoisonError},
    thread,
};

/// How many threads can work at once.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Does `work` for each piece, each thread taking the next one when it is free, with what `start` has made for
/// it. A thread that cannot be had is done without.
pub(super) fn share_out<S, P: Send>(
    pieces: impl ExactSizeIterator<Item = P> + Send,
    threads: usize,
    start: &(impl Fn() -> S + Sync),
    work: &(impl Fn(&mut S, P) + Sync),
) {
    let threads = threads.min(pieces.len());
    let pieces = Mutex::new(pieces);
    let take = || {
        let mut own = start();
        // A statement of its own: the lock is not held while the piece is worked on.
        let next = || pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some(piece) = next() {
            work(&mut own, piece);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            if thread::Builder::new().name("plugcache".into()).spawn_scoped(scope, take).is_err() {
                break;
            }
        }
        take();
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_piece_is_worked_on_once() {
        for threads in [0, 1, 2, 7] {
            let mut numbers: Vec<usize> = (0..1000).collect();
            share_out(numbers.chunks_mut(3), threads, &|| 2, &|factor, piece| {
                piece.iter_mut().for_each(|number| *number *= *factor);
            });
            assert!(numbers.into_iter().eq((0..1000).map(|at| at * 2)), "{threads} threads");
        }
    }

    #[test]
    fn no_more_threads_start_than_there_are_pieces() {
        let started = AtomicUsize::new(0);
        let start = || started.fetch_add(1, Ordering::Relaxed);
        share_out([(), (), ()].into_iter(), 8, &start, &|_, ()| ());
        assert!((1..=3).contains(&started.into_inner()));
    }
}
