//! plugcache for C, and for every language that calls C. `include/plugcache.h` is the documentation of its
//! users; it is written from these sources by cbindgen (`tests/header.rs`).
//!
//! Each exported function is one of the library's behind the border of C: it goes through `border::guard`, which
//! stops panics and keeps the last error of the thread, and has no logic of its own. Objects are boxes; who takes
//! `Option<Box<T>>` ends their life, who takes `Option<&T>` looks at them. All but builders may be shared by threads.

mod artifact;
mod border;
mod build;
mod key;
mod store;
