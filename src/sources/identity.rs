//! What identifies a file of a toolchain: its build id, or else its content; from the memo where that proves the
//! file unchanged.
//!
//! For `program` alone.

use super::{
    batch::digest_one,
    error::BadSource,
    memo::Memo,
    program::bad,
    read::{self, Reader},
};
use crate::{
    digest::to_hex,
    elf,
    format::memo::What,
    fs::{File, Fs},
};
use std::path::Path;

/// "build-id:" or "blake3:" and digits.
pub(super) fn of_file(fs: &Fs, memo: Option<&Memo>, path: &Path) -> Result<String, BadSource> {
    if let Some(identity) = known(fs, memo, path) {
        return Ok(identity);
    }
    let unreadable = |error| bad(path, read::why_not_opened(fs, path, error));
    // Before the state of the file is asked for: it asks for the time.
    let mut reader = Reader::new(fs);
    let file = fs.open_source(path).map_err(unreadable)?;
    let before = file.stat().map_err(unreadable)?;
    read::require_file(before.kind).map_err(|why| bad(path, why))?;
    let fingerprint = reader.fingerprint(&file, &before);
    let build_id = elf::build_id(&file).map_err(unreadable)?;
    let (what, value, is_of_it) = match &build_id {
        Some(id) => (What::BuildId(u8::try_from(id.len()).unwrap_or(0)), padded(id), true),
        None => {
            let reading = digest_one(fs, memo, path)?;
            // The path may have led to another file meanwhile.
            let is_of_it = is_image(&file) && reading.fingerprint.is_of(&before);
            (What::Image, Some(*reading.digest.as_bytes()), is_of_it)
        }
    };
    if let (Some(memo), Some(value)) = (memo, value)
        && is_of_it
        && file.stat().is_ok_and(|after| fingerprint.is_of(&after))
    {
        memo.learn_tool(&fingerprint, what, value);
    }
    Ok(match (build_id, value) {
        (None, Some(digest)) => format!("blake3:{}", to_hex(&digest)),
        (id, _) => format!("build-id:{}", to_hex(&id.unwrap_or_default())),
    })
}

/// What identifies a file that was identified as an image and is unchanged.
pub(super) fn known(fs: &Fs, memo: Option<&Memo>, path: &Path) -> Option<String> {
    let memo = memo?;
    match memo.tool(&fs.stat_source(path).ok()?)? {
        (What::BuildId(len), id) => Some(format!("build-id:{}", to_hex(id.get(..usize::from(len))?))),
        (What::Image, digest) => Some(format!("blake3:{}", to_hex(&digest))),
        (What::Content, _) => None,
    }
}

/// A longer id than any linker writes is read each time.
fn padded(id: &[u8]) -> Option<[u8; 32]> {
    let mut value = [0; 32];
    value.get_mut(..id.len())?.copy_from_slice(id);
    (!id.is_empty()).then_some(value)
}

fn is_image(file: &File) -> bool {
    let mut magic = [0; 4];
    file.read_at(&mut magic, 0).is_ok_and(|len| len == 4) && magic == *b"\x7fELF"
}
