//! The tests are tested: each bug that can be planted is caught by a check that names an invariant, and the
//! same check is green without the bug.
//!
//! A bug is planted in the whole process, so the tests of this binary run one after the other.
#![expect(clippy::unwrap_used, reason = "a check that cannot go on has caught something")]
#![expect(
    clippy::disallowed_methods,
    reason = "the rule is the library's: tests use the disk as anyone does"
)]

mod alone;
mod below;
mod durable;
mod rules;
mod tended;
mod together;
#[path = "../it/crash/turns.rs"]
mod turns;
mod world;

use plugcache::__sim::{Bug, plant};
use std::{
    panic::{self, UnwindSafe},
    sync::{Mutex, PoisonError},
};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Takes the bug out, whatever happens.
struct Planted;

impl Planted {
    fn new(bug: Bug) -> Planted {
        plant(Some(bug));
        Planted
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        plant(None);
    }
}

#[test]
fn every_bug_that_can_be_planted_has_a_check() {
    let files = [
        include_str!("alone.rs"),
        include_str!("below.rs"),
        include_str!("durable.rs"),
        include_str!("rules.rs"),
        include_str!("tended.rs"),
        include_str!("together.rs"),
    ];
    for bug in Bug::ALL {
        let call = format!("catches(Bug::{bug:?},");
        assert!(files.iter().any(|file| file.contains(&call)), "{bug:?} has no check");
    }
}

/// The check holds without the bug and fails with it.
#[track_caller]
fn catches(bug: Bug, check: impl Fn() + UnwindSafe + std::panic::RefUnwindSafe) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    check();
    let _planted = Planted::new(bug);
    let outcome = panic::catch_unwind(check);
    assert!(outcome.is_err(), "{bug:?} is not caught");
    let payload = outcome.unwrap_err();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or(payload.downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
    // Caught by what the check asserts of an invariant, and not by something that broke on the way.
    let names_invariant = text
        .split([' ', '\n'])
        .any(|word| word.starts_with('I') && word[1..].starts_with(|c: char| c.is_ascii_digit()));
    assert!(names_invariant, "{bug:?} is caught by {text:?}");
}
