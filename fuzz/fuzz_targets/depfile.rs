//! See `plugcache_fuzz::depfile`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| plugcache_fuzz::depfile(data));
