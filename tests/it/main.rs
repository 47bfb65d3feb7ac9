//! The integration tests, in one binary: one link, and every helper is shared.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop right there")]
#![expect(
    clippy::disallowed_methods,
    reason = "the rule is the library's: tests use the disk as anyone does"
)]

mod architecture;
mod bad_links;
mod bad_manifest;
mod bad_newer;
mod bad_objects;
mod bad_places;
mod bad_rights;
mod bad_sources;
mod cargo_host;
mod common;
mod copying;
mod costs;
mod crash;
mod damage;
mod docs;
mod explain;
mod file_systems;
mod flight;
mod format;
mod found_by_fuzzing;
mod fuzz_seeds;
mod golden;
mod host;
mod inputs;
mod keys;
mod layers;
mod many_writers;
mod memo;
mod packed;
mod rebuild;
mod reload;
mod scenarios;
mod scrub;
mod seed_limits;
mod seed_rules;
mod sweeping;
mod tidy;
mod tier;
mod transfer;
