//! See `plugcache_fuzz::elf`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| plugcache_fuzz::elf(data));
