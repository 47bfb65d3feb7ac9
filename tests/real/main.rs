//! What the store promises, seen on real kernels: processes killed and stopped at every system call, power
//! cut, disks full to the last byte, limits of every size, many at once.
//!
//! ```text
//! cargo test --test real                                  everything, in about three minutes
//! cargo test --test real -- cuts                          what has `cuts` in its name
//! PLUGCACHE_ROUNDS=1000000 cargo test --test real -- chaos
//! PLUGCACHE_CUTS=10000 cargo test --test real -- cuts
//! PLUGCACHE_CROWD=10000 cargo test --test real -- crowd
//! tests/real/on_file_systems.sh                           all of it on tmpfs, ext4, xfs, btrfs, overlay
//! ```
//!
//! It has a `main` of its own (`harness = false`), for two reasons: it starts itself again as the processes
//! that it kills (`worker`), with nothing of a test harness among their system calls; and the tests print what
//! they have counted, and why they skip what they skip. They run one after the other.
#![cfg(all(target_os = "linux", not(plugcache_portable)))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]
#![expect(
    clippy::disallowed_methods,
    reason = "the rule is the library's: tests use the disk as anyone does"
)]

mod attacker;
mod bed;
mod chaos;
mod chores;
mod crowd;
mod cuts;
mod file_systems;
mod forks;
mod full;
mod harness;
mod kills;
mod layers;
mod leases;
mod modes;
mod mounts;
mod races;
mod sandbox;
mod starved;
mod stopped;
mod strace;
mod stream;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = worker::run_if_told() {
        return code;
    }
    mounts::enter_namespace();
    let tests = [
        kills::TESTS,
        cuts::TESTS,
        chaos::TESTS,
        full::TESTS,
        starved::TESTS,
        stopped::TESTS,
        chores::TESTS,
        leases::TESTS,
        file_systems::TESTS,
        crowd::TESTS,
        races::TESTS,
        modes::TESTS,
        forks::TESTS,
        layers::TESTS,
    ];
    harness::run(&tests.concat())
}
