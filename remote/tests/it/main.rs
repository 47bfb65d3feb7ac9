//! A fleet in one process: stores, a bucket in memory with faults on the way to it, and a real engine.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub, reason = "modules of one test binary")]

mod bundle;
mod common;
mod engine;
mod faults;
mod model;
mod nodes;
mod overlap;
mod poison;
mod proxy;
mod queue;
mod real_fleet;
mod s3;
/// The model of `examples/fleet_simulation`.
#[path = "../../examples/fleet_simulation/model/mod.rs"]
#[allow(dead_code, reason = "the simulation uses all of it")]
mod simulated;
mod store;
mod tending;
mod tier;
