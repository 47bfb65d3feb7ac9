//! See `plugcache_fuzz::history`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| plugcache_fuzz::history(data));
