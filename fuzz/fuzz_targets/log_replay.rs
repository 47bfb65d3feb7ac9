//! See `plugcache_fuzz::log_replay`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| plugcache_fuzz::log_replay(data));
