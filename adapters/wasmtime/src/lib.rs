//! Compiled WebAssembly in a [`plugcache`] store: modules and components that wasmtime maps straight from the
//! store's file, and compiled functions for its incremental compilation.
//!
//! ```
//! # fn main() -> wasmtime::Result<()> {
//! use plugcache::{Config, Exec, Store};
//! use plugcache_wasmtime::Loader;
//! use wasmtime::{Engine, Instance};
//!
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path().join("store");
//! let store = Store::open_or_disabled(Config::builder(dir).exec(Exec::Independent).build());
//! let engine = Engine::default();
//! let loader = Loader::new(&store, &engine);
//!
//! let wasm = wat::parse_str(r#"(module (func (export "answer") (result i32) i32.const 42))"#)?;
//! for expected in ["built", "hit"] {
//!     let module = loader.load_module(&wasm)?;
//!     assert_eq!(module.how().to_string(), expected);
//!     let mut run = wasmtime::Store::new(&engine, ());
//!     let instance = Instance::new(&mut run, &module, &[])?;
//!     assert_eq!(instance.get_typed_func::<(), i32>(&mut run, "answer")?.call(&mut run, ())?, 42);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is guaranteed
//!
//! * **A hit compiles nothing and copies nothing**: it reads the wasm to digest it, and maps the artifact.
//! * **The key is complete**: the bytes of the wasm, whether they are a module or a component, wasmtime's hash of
//!   all that the engine compiles for, and the version of wasmtime. The name of a file is not in it.
//! * **A stored artifact that is damaged, cut short, or of a form that wasmtime refuses is one recompile**, never an
//!   error and never a second one. A store that cannot be used is a recompile too, each time.
//! * **Bad wasm is an error**, and nothing of it is stored.
//! * Any number of threads and processes that want the same at once compile it once.
//! * What is loaded outlives the entry, the object, and the whole store.
//!
//! # What is not
//!
//! * Artifacts hold machine code. Whoever can write to the store's directory can make the host run theirs, as they
//!   could by writing to its shared libraries. [`Loader::new`] uses a store only if it was opened with
//!   [`Trust::OwnerOnly`](plugcache::Trust::OwnerOnly). `src/deserialize.rs` has the whole argument.
//! * An error of the disk, or a truncation by another program of this user, under code that is mapped is a SIGBUS,
//!   as it is for a shared library.
//!
//! Needs the Rust that wasmtime asks for; plugcache itself needs less.

mod deserialize;
mod functions;
mod loader;

pub use functions::FunctionStore;
pub use loader::{LoadError, Loaded, Loader};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
