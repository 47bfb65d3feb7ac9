//! The page of `du --html` and `stats --html`: one file that needs nothing else, not even a network.
//!
//! The data lies in it as JSON; script and style are in page.js and page.css beside this file.

use crate::{entries::EntryJson, exit::Fail, outputs::put_at, place::absolute, signals::Hold};
use plugcache::{Day, Store};
use serde::Serialize;
use std::{io::Write as _, path::Path, time::SystemTime};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const BODY: &str = include_str!("page.html");

#[derive(Serialize)]
struct Data<'a> {
    schema: &'static str,
    verb: &'a str,
    dir: String,
    now_unix_s: u64,
    facts: &'a [(&'static str, String)],
    days: Vec<Day>,
    entries: Vec<EntryJson>,
}

/// Writes the page, beside and then renamed into place.
pub(crate) fn write(
    to: &Path,
    verb: &str,
    store: &Store,
    facts: &[(&'static str, String)],
) -> Result<(), Fail> {
    let data = Data {
        schema: "plugcache.page/1",
        verb,
        dir: store.config().dir().to_string_lossy().into_owned(),
        now_unix_s: crate::out::human::unix(SystemTime::now()),
        facts,
        days: store.stats().days,
        entries: store.entries().map(|entry| EntryJson::new(&entry)).collect(),
    };
    let page = page(&data)?;
    let (to, _hold) = (absolute(to), Hold::new());
    put_at(&to, 0o666, |file| file.write_all(page.as_bytes())).map_err(Fail::doing("write", &to))
}

fn page(data: &Data<'_>) -> Result<String, Fail> {
    let json = serde_json::to_string(data).map_err(|error| Fail::of(&error))?;
    // Within a script nothing may look like its end: a label can be anything.
    let json = json.replace('<', "\\u003c");
    Ok(BODY.replace("{{style}}", STYLE).replace("{{script}}", SCRIPT).replace("{{data}}", &json))
}
