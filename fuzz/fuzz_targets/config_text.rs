//! See `plugcache_fuzz::config_text`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| plugcache_fuzz::config_text(data));
