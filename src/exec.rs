//! The exec id: which program an artifact was compiled for.
//!
//! For the store, which puts it into every entry and looks its own up first (rule 4, I16). It is never empty
//! and never constant by accident: where it cannot be had there is an error, and the store is done without.

use crate::{config::Exec, digest::Hasher, elf::build_id, fs::Fs};
use std::{io, path::Path, sync::OnceLock};

/// Sets exec ids apart from all other hashes.
const PURPOSE: &str = "plugcache 2026-11-23 exec id v1";

/// The image of the running program. The kernel keeps it reachable here also when its name is gone.
const RUNNING_IMAGE: &str = "/proc/self/exe";

/// The 32 bytes that stand for `exec` in an entry: BLAKE3 with [`PURPOSE`] over one byte (0 current by build
/// id, 1 current by content, 2 given, 3 independent) and `text(bytes)`, which are the build id, the BLAKE3 of
/// the content, what was given, or nothing. `text` is as in the source digest.
pub(crate) fn id(exec: &Exec, fs: &Fs) -> io::Result<[u8; 32]> {
    match exec {
        Exec::Current => current(fs),
        Exec::Given(bytes) if bytes.is_empty() => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "an exec id of no bytes tells no hosts apart; give some, or Exec::Independent",
        )),
        Exec::Given(bytes) => Ok(hash(2, bytes)),
        Exec::Independent => Ok(hash(3, b"")),
    }
}

/// Asked once per process: the running image cannot change. The simulated disk has images of its own.
fn current(fs: &Fs) -> io::Result<[u8; 32]> {
    static ID: OnceLock<[u8; 32]> = OnceLock::new();
    if !matches!(fs, Fs::Os) {
        return of_image(fs, Path::new(RUNNING_IMAGE));
    }
    match ID.get() {
        Some(id) => Ok(*id),
        None => of_image(fs, Path::new(RUNNING_IMAGE)).map(|id| *ID.get_or_init(|| id)),
    }
}

/// Reads the whole image where it has no build id: 1 ms for 4 MiB.
fn of_image(fs: &Fs, path: &Path) -> io::Result<[u8; 32]> {
    let file = fs.open_source(path)?;
    if let Some(build_id) = build_id(&file)? {
        return Ok(hash(0, &build_id));
    }
    let mut hasher = Hasher::plain();
    let mut buf = vec![0; 1 << 20];
    let mut offset = 0;
    loop {
        match file.read_at(&mut buf, offset)? {
            0 if offset == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            0 => return Ok(hash(1, &hasher.finish())),
            got => {
                hasher.update(&buf[..got]);
                offset += got as u64;
            }
        }
    }
}

fn hash(variant: u8, bytes: &[u8]) -> [u8; 32] {
    Hasher::for_purpose(PURPOSE).update(&[variant]).field(bytes).finish()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "these tests make images for exec to read")]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn no_two_variants_have_the_same_id() {
        let ids = [
            Exec::Current,
            Exec::Independent,
            Exec::Given(vec![0]),
            Exec::Given(vec![0, 0]),
            Exec::Given(hash(3, b"").to_vec()),
        ]
        .map(|exec| id(&exec, &Fs::Os).unwrap());
        let unique: std::collections::HashSet<_> = ids.into_iter().collect();
        assert_eq!(unique.len(), ids.len());
    }

    #[test]
    fn the_current_program_has_the_same_id_each_time_it_is_asked() {
        let fresh = of_image(&Fs::Os, &std::env::current_exe().unwrap()).unwrap();
        assert_eq!(id(&Exec::Current, &Fs::Os).unwrap(), fresh);
        assert_eq!(id(&Exec::Current, &Fs::Os).unwrap(), fresh);
    }

    #[test]
    fn an_exec_id_of_no_bytes_is_an_error() {
        assert!(id(&Exec::Given(Vec::new()), &Fs::Os).is_err());
    }

    #[test]
    fn images_without_a_build_id_differ_by_content_and_none_is_no_identity() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host");
        let id_of = |content: &[u8]| {
            fs::write(&path, content).unwrap();
            of_image(&Fs::Os, &path)
        };
        assert_ne!(id_of(b"one").unwrap(), id_of(b"two").unwrap());
        assert!(id_of(b"").is_err());
        assert!(of_image(&Fs::Os, &dir.path().join("none")).is_err());
    }

    #[test]
    fn the_id_of_what_does_not_depend_on_the_host_never_changes() {
        let hex = crate::digest::to_hex(&id(&Exec::Independent, &Fs::Os).unwrap());
        assert_eq!(hex, "74702cc72aaa5863bea267f19d0ec4e171117a20d4d20d1310b93d67cbe719fe");
    }
}
