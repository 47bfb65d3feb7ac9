//! A fleet in one process: stores, a bucket in memory with faults on the way to it, and a real engine.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;
mod faults;
mod poison;
mod queue;
mod tier;
