//! Digests of sources and tools through the memo of unchanged files, which lies in the store.
//!
//! Nothing here fails for the store's sake: without one, or with one that cannot be written, what was read is
//! remembered in the handle alone. A read-only handle writes nothing (I17).

use super::{Inner, Store, root::Root};
use crate::{
    fs::Access,
    sources::{Memo, Sources, SourcesBuilder, SourcesError, Toolchain, ToolchainError},
    sync::Arc,
};
use std::{ffi::OsStr, path::Path};

impl SourcesBuilder {
    /// As [`digest`](SourcesBuilder::digest), leaving unread what `store` knows to be unchanged.
    ///
    /// Each file is looked at (`stat`). One that has the device, inode, length, modification time and change time
    /// with which it was digested since the machine was started is not read again; nor by another process, for what
    /// was learned is written into the store as soon as that takes no longer than reading again would, a few times
    /// over. A file that had been touched less than two seconds before it was digested is not remembered: a write
    /// within the grain of the file system's clock would not show. Nor are files on network file systems.
    ///
    /// Not seen: what is stored through a mapping that was dirty already, and what a user with the rights to set
    /// the machine's clock or to write to the disk itself wants not to be seen. `Config::memo` turns it off.
    pub fn digest_with(self, store: &Store) -> Result<Sources, SourcesError> {
        store.0.remembering(|memo| self.digest_in(&store.0.fs, memo))
    }
}

impl Toolchain {
    /// As [`of_program`](Toolchain::of_program), leaving unread the tools that `store` knows to be unchanged, as
    /// [`digest_with`](SourcesBuilder::digest_with) does with sources. Scripts are read each time, and compilers
    /// asked.
    pub fn of_program_with(program: impl AsRef<OsStr>, store: &Store) -> Result<Toolchain, ToolchainError> {
        store.0.remembering(|memo| Toolchain::of_program_in(&store.0.fs, memo, program.as_ref()))
    }

    /// As [`of_files`](Toolchain::of_files), leaving unread the files that `store` knows to be unchanged.
    pub fn of_files_with<P: AsRef<Path>>(
        name: &str,
        paths: impl IntoIterator<Item = P>,
        store: &Store,
    ) -> Result<Toolchain, SourcesError> {
        store.0.remembering(|memo| Toolchain::of_files_in(&store.0.fs, memo, name, paths))
    }
}

impl Inner {
    /// What this handle remembers, and what it has found in the store.
    pub(super) fn memo(&self) -> Option<&Memo> {
        if !self.config.memo() {
            return None;
        }
        if !self.memo.has_looked()
            && let Ok(Some(root)) = self.root()
        {
            self.memo.look_in(&root.dir, root.boot.as_ref());
        }
        Some(&self.memo)
    }

    /// Digests something, then writes what was learned by it, if that is worth it.
    fn remembering<T>(&self, digest: impl FnOnce(Option<&Memo>) -> T) -> T {
        let memo = self.memo();
        let digested = digest(memo);
        if memo.is_some_and(Memo::is_worth_keeping)
            && let Ok(Some(root)) = self.root()
        {
            self.keep_memo(&root);
        }
        digested
    }

    /// Writes what was learned into the store, if that is worth it.
    pub(super) fn keep_memo(&self, root: &Arc<Root>) {
        if root.access == Access::Append && self.config.memo() && self.memo.is_worth_keeping() {
            self.memo.keep(&self.fs, &root.dir, root.boot.as_ref());
        }
    }
}
