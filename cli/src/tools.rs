//! Which program a command line starts, and what identifies it.

use crate::exit::{Fail, chain};
use plugcache::{Store, Toolchain, ToolchainError};
use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

/// Where a command is found, as execvp(3) looks for it. `None`: nowhere.
pub(crate) fn resolve(command: &OsStr) -> Option<PathBuf> {
    if command.as_encoded_bytes().contains(&b'/') {
        return Path::new(command).is_file().then(|| command.into());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(command)).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The files that do the work of a command. What cannot be looked through (a script, a wrapper) counts by its own
/// content. `Ok(None)`: there is no such command. What the store knows to be unchanged is not read.
pub(crate) fn of_command(command: &OsStr, store: &Store) -> Result<Option<Toolchain>, Fail> {
    let Some(path) = resolve(command) else { return Ok(None) };
    match Toolchain::of_program_with(&path, store) {
        Ok(toolchain) => Ok(Some(toolchain)),
        Err(ToolchainError::NotFound { .. }) => Ok(None),
        Err(ToolchainError::Opaque { .. }) => of_files(&[path], store).map(Some),
        Err(error) => Err(Fail::new(format!("{}: {}", path.display(), chain(&error)))),
    }
}

/// Files that the caller named as those that do the work, by their content.
pub(crate) fn of_files(paths: &[PathBuf], store: &Store) -> Result<Toolchain, Fail> {
    Toolchain::of_files_with("tool", paths, store).map_err(|error| Fail::of(&error))
}
