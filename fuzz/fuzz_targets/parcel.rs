//! See `plugcache_fuzz::parcel`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| plugcache_fuzz::parcel(data));
