//! A fleet in one process: stores, a bucket in memory with faults on the way to it, and a real engine.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(unreachable_pub, reason = "modules of one test binary")]

mod bundle;
mod common;
mod engine;
mod faults;
mod nodes;
mod poison;
mod proxy;
mod queue;
mod s3;
mod store;
mod tending;
mod tier;
