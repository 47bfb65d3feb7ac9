//! What goes to standard output: lines, JSON, tables fitted to the terminal, and how people write numbers.
//!
//! Standard output is data, standard error is for people. Every write can find that nobody reads any more, which
//! ends the command quietly ([`Fail::NobodyReads`](crate::exit::Fail)).

pub(crate) mod human;
pub(crate) mod style;
pub(crate) mod table;

use crate::exit::Fail;
use serde::Serialize;
use std::io::{self, BufWriter, StdoutLock, Write};

/// Standard output, buffered; call [`finish`](Out::finish), for what is left may fail to be written.
pub(crate) struct Out(BufWriter<StdoutLock<'static>>);

/// A JSON text as it is printed: the schema first, then its fields.
#[derive(Serialize)]
struct WithSchema<'a, T> {
    schema: &'a str,
    #[serde(flatten)]
    fields: &'a T,
}

impl Out {
    pub(crate) fn new() -> Out {
        Out(BufWriter::new(io::stdout().lock()))
    }

    pub(crate) fn line(&mut self, line: impl std::fmt::Display) -> Result<(), Fail> {
        Ok(writeln!(self.0, "{line}")?)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Fail> {
        Ok(self.0.write_all(bytes)?)
    }

    /// One JSON object in one line. `verb` and the version of its fields make the schema: docs/json.md.
    pub(crate) fn json(&mut self, verb: &str, fields: &impl Serialize) -> Result<(), Fail> {
        let schema = &format!("plugcache.{verb}/1");
        let text = serde_json::to_string(&WithSchema { schema, fields }).map_err(|error| Fail::of(&error))?;
        self.line(text)
    }

    pub(crate) fn finish(mut self) -> Result<(), Fail> {
        Ok(self.0.flush()?)
    }
}
