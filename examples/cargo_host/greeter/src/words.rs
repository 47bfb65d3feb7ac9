pub(crate) const GREETING: &str = "hello from Rust";
