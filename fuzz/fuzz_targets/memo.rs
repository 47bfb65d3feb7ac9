//! See `plugcache_fuzz::memo`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| plugcache_fuzz::memo(data));
