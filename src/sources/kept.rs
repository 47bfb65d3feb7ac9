//! The memo in the store: one file, mapped, and exchanged for a new one now and then.
//!
//! For `memo` alone. What is done, and what a kill leaves:
//!
//! ```text
//! create staging/<random>, O_EXCL; flock shared; chmod; write    litter
//! unlink memo                                                    no memo: everything is read once more
//! rename staging/<random> to memo, NOREPLACE                     the new one
//! ```
//!
//! Nothing is renamed over it, nothing is written into it, and nothing of it is synced: after a power cut it is
//! that of another boot, and counts as none whatever it holds. Of two that write at once one loses what it has
//! learned, and both have taken over what was there before. Records need no order among each other: each is true
//! by itself of a file that has its state, so a stale one is never asked for.

use std::{io, path::Path};

use crate::{
    format::memo::{self, FileId, Remembered, Table},
    fs::{Access, Dir, File, Fs, Kind, Lock, Map, Pattern},
    layout,
};

/// A memo as it was when it was opened.
#[derive(Debug)]
pub(super) struct Kept {
    map: Map,
    table: Table,
}

impl Kept {
    /// What lies in the store; `None` if that is no memo, or not of this boot.
    pub(super) fn open(dir: &Dir, boot: &[u8; 16]) -> Option<Kept> {
        let file = dir.open(layout::MEMO.as_ref(), Access::Read).ok()?;
        Kept::map(&file, boot)
    }

    fn map(file: &File, boot: &[u8; 16]) -> Option<Kept> {
        let stat =
            file.stat().ok().filter(|stat| stat.kind == Kind::File && Table::may_have_len(stat.len))?;
        let map = file.map(stat.len, Pattern::Through).ok()?;
        let table = Table::of(&map, boot)?;
        Some(Kept { map, table })
    }

    pub(super) fn find(&self, file: FileId, is_tool: bool) -> Option<Remembered> {
        self.table.find(&self.map, file, is_tool)
    }

    pub(super) fn records_max(&self) -> usize {
        self.table.records_max()
    }

    pub(super) fn records(&self) -> impl Iterator<Item = Remembered> {
        self.table.records(&self.map)
    }
}

/// Exchanges the memo in the store for one of these records.
pub(super) fn exchange(fs: &Fs, dir: &Dir, boot: &[u8; 16], records: &[Remembered]) -> io::Result<Kept> {
    let seed = u64::from_le_bytes(fs.random()?);
    let staged = layout::staged(fs.random()?);
    let bytes = memo::build(boot, seed, records);
    let file = dir.create(&staged, 0o600)?;
    let exchanged = write(&file, &bytes).and_then(|()| take_the_name(dir, &staged));
    if exchanged.is_err() {
        // Litter at worst: its lock goes with this process.
        let _ = dir.unlink(&staged);
    }
    exchanged?;
    Kept::map(&file, boot).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn write(file: &File, bytes: &[u8]) -> io::Result<()> {
    if !file.try_lock(Lock::Shared)? {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    // Whatever the umask left of it: others of this user must be able to open it.
    file.set_mode(0o600)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        match file.write(rest)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => rest = &rest[written..],
        }
    }
    Ok(())
}

fn take_the_name(dir: &Dir, staged: &Path) -> io::Result<()> {
    let path = layout::MEMO.as_ref();
    match dir.unlink(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        // Taken again: another was quicker, and what it has written is as good.
        _ => dir.rename(staged, path),
    }
}
