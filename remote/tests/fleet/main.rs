//! A fleet of processes: hosts with empty stores, a publisher, engines in processes of their own, an attacker. Plugins are
//! compiled by `cc`, loaded and called.
//!
//! ```text
//! cargo test --test fleet                        against s3s-fs; against three nodes of Garage where that is installed
//! tests/garage.sh                                installs Garage into a cache directory first, if it is not there
//! PLUGCACHE_GARAGE=/opt/garage cargo test --test fleet -- garage
//! PLUGCACHE_WAVES=100 cargo test --test fleet -- attacker
//! PLUGCACHE_ROUNDS=200 cargo test --test fleet -- killed_while_it_fetches
//! ```
//!
//! It has a `main` of its own (`harness = false`): it starts itself again as the processes of the fleet (`role.rs`).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]

mod attack;
mod bed;
mod crew;
mod document;
mod drill;
mod engines;
mod garage;
mod hosts;
mod nodes;
mod plugins;
mod role;

#[path = "../it/engine.rs"]
#[allow(dead_code, unreachable_pub, reason = "the other tests use more of it")]
mod engine;
#[path = "../../../tests/real/harness.rs"]
#[allow(dead_code, reason = "the tests of the library use more of it")]
mod harness;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = role::play_if_told() {
        return code;
    }
    harness::run(&[hosts::TESTS, nodes::TESTS, drill::TESTS].concat())
}
