//! The fuzz targets of plugcache as plain functions of bytes: run by libFuzzer from `fuzz_targets/`, and over
//! the committed seeds by `tests/it/fuzz_seeds.rs`, which includes this file by its path.
//!
//! Each panics where the library breaks a promise. I1 to I20 are the invariants of ARCHITECTURE.md.

mod acts;
mod bytes;
mod history;
mod manifest;
mod memo;
mod model;
mod parcel;
mod store_dir;
mod world;

pub use bytes::{config_text, depfile, elf, frame};
pub use history::history;
pub use manifest::{log_replay, segment};
pub use memo::memo;
pub use parcel::parcel;
pub use store_dir::store_dir;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// All of them, under the names of their directories in `seeds/`.
pub const TARGETS: [(&str, Target); 10] = [
    ("config_text", config_text),
    ("depfile", depfile),
    ("elf", elf),
    ("frame", frame),
    ("history", history),
    ("log_replay", log_replay),
    ("memo", memo),
    ("parcel", parcel),
    ("segment", segment),
    ("store_dir", store_dir),
];

/// Values as long as there are bytes for them, at most `max`: so that longer inputs are longer histories.
fn until_end<'a, T: arbitrary::Arbitrary<'a>>(input: &mut arbitrary::Unstructured<'a>, max: usize) -> Vec<T> {
    let mut values = Vec::new();
    while !input.is_empty() && values.len() < max {
        values.extend(T::arbitrary(input));
    }
    values
}
