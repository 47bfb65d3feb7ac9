//! Neither a key nor a toolchain comes out of nothing.
use plugcache::{Sources, SourcesBuilder, Toolchain};

fn has_default<T: Default>() {}

fn main() {
    has_default::<Sources>();
    has_default::<SourcesBuilder>();
    has_default::<Toolchain>();
}
