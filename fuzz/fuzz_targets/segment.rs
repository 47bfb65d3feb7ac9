//! See `plugcache_fuzz::segment`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| plugcache_fuzz::segment(data));
