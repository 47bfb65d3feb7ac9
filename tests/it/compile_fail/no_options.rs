//! A key names its options, also if there are none.
use plugcache::{Sources, Toolchain};

fn main() {
    let _ = Sources::new("host/1", &Toolchain::none());
}
