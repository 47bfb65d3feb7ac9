//! Bytes that another process could change need a promise.
use plugcache::Output;

fn bytes(output: Output<'_>) -> std::io::Result<plugcache::Map> {
    output.map()
}

fn main() {
    let _ = bytes;
}
