//! The name of a description and the name of bytes are not the same, although both are 32 bytes.
use plugcache::{ObjectDigest, SourceDigest, Store};

fn main() {
    let of_bytes = ObjectDigest::of_bytes(b"");
    let _ = Store::disabled("").forget(&of_bytes);
    let _: ObjectDigest = SourceDigest::from_bytes([0; 32]);
    let _ = of_bytes == SourceDigest::from_bytes([0; 32]);
}
