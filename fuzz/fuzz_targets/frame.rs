//! See `plugcache_fuzz::frame`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| plugcache_fuzz::frame(data));
