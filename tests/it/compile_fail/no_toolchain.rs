//! A key names its toolchain.
use plugcache::{NO_OPTIONS, Sources};

fn main() {
    let _ = Sources::new("host/1", NO_OPTIONS);
}
