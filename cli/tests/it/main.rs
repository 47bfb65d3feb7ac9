//! The command as a user runs it: the built binary, its streams, and what it ends with.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]
#![expect(
    clippy::disallowed_methods,
    reason = "the rule is the library's: tests use the disk as anyone does"
)]

mod builds;
mod common;
mod compilers;
mod costs;
mod damage;
#[cfg(feature = "remote")]
mod fleet;
mod inspect;
mod interrupted;
mod json;
mod page;
mod placing;
mod put_and_get;
mod run;
mod run_alone;
mod stores;
mod terminal;
mod transfer;
