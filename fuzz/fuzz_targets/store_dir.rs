//! See `plugcache_fuzz::store_dir`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| plugcache_fuzz::store_dir(data));
