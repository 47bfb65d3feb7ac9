//! Whoever watches an add hears how much of its files is copied, and can stop it at each chunk.

use crate::common::{Place, labels, named};
use plugcache::{Added, Outputs};
use std::{
    ops::ControlFlow,
    path::Path,
    sync::{Arc, Mutex},
};

/// Two files, of three chunks and a bit and of one; none on a file system that shares blocks instead of copying them.
const LENS: [usize; 2] = [3 * 256 * 1024 + 5, 1000];

/// Adds them, and stops when it has heard so many times; what it heard.
fn add(place: &Place, stop_at: usize) -> (Vec<u64>, Option<Added>) {
    let file =
        |name: &str, len| place.write(format!("{name}-{len}"), vec![len as u8; len]).display().to_string();
    let [one, two] = [file("one", LENS[0]), file("two", LENS[1])];
    let heard = Arc::new(Mutex::new(Vec::new()));
    let outputs = Outputs::file("one", Path::new(&one)).and_file("two", Path::new(&two)).copying({
        let heard = heard.clone();
        move |copied| {
            let mut heard = heard.lock().unwrap();
            heard.push(copied);
            if heard.len() == stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    });
    let added = place.store().add(&named("a"), outputs).ok();
    let heard = heard.lock().unwrap().clone();
    (heard, added)
}

#[test]
fn an_add_that_is_stopped_at_any_chunk_stores_nothing_and_leaves_nothing() {
    let whole = Place::new();
    let (heard, added) = add(&whole, usize::MAX);
    assert_eq!(added, Some(Added::Stored));
    if heard.len() == LENS.len() {
        return println!("skipped: this file system shares blocks and copies none");
    }
    let sum = LENS.iter().sum::<usize>() as u64;
    assert!(heard.is_sorted_by(|one, next| one < next), "{heard:?}");
    assert!(heard.len() >= 5 && heard.contains(&(LENS[0] as u64)) && heard.last() == Some(&sum), "{heard:?}");
    for stop_at in 1..=heard.len() {
        let place = Place::new();
        let (told, added) = add(&place, stop_at);
        assert_eq!((told.as_slice(), added), (&heard[..stop_at], None));
        assert_eq!(labels(&place.store()), [""; 0]);
        place.assert_nothing_in_progress();
        // The first file is an object when the second is stopped: nothing names it, and the next add takes it.
        assert_eq!(place.objects().len(), usize::from(stop_at == heard.len()));
        assert_eq!(add(&place, usize::MAX).1, Some(Added::Stored));
        assert_eq!(place.objects().len(), 2);
    }
}
