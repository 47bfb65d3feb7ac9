//! The tier of a store: a bucket that a file and the environment name, looked for only when the store has missed.
//!
//! ```text
//! file.rs      the text of the file            settings.rs   file and environment together
//! lazy.rs      the tier that stores are given  rest.rs       what one process leaves to say to the next
//! ```
//!
//! What it keeps: a hit reads no file of these and opens no connection, no build fails because of what is wrong here, and
//! no text of ours holds a credential: they are in the environment, and only the client of the engine reads them.

mod file;
mod lazy;
mod rest;
mod settings;

pub(crate) use lazy::{Lazy, answered, state_of};
pub(crate) use settings::{Settings, default_dir};
