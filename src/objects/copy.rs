//! Writing bytes to a staged file and hashing them: one after the other, or at once on two cores where that is worth
//! a thread. The thread hashes memory and knows no file; none outlives the call.

use std::{
    io,
    path::Path,
    sync::mpsc,
    thread::{self, Builder, Scope, ScopedJoinHandle},
};

use super::{CHUNK_BYTES, Unpublished, stage::Watch};
use crate::{
    digest::{Hasher, ObjectDigest},
    error::Trouble,
    fs::File,
};

/// From here on hashing takes several times as long as starting a thread does (some 100 us beside 20 us).
const OVERLAPPED_BYTES_MIN: u64 = 512 * 1024;
/// Chunks on their way between the two: 1 MiB.
const CHUNKS: usize = 4;

/// Whether content of this length is hashed by a thread of its own. Where interleavings are tried all is one thread's.
fn is_overlapped(len: u64) -> bool {
    len >= OVERLAPPED_BYTES_MIN && cfg!(not(shuttle))
}

/// Starts a thread, if one can be had.
fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Option<ScopedJoinHandle<'scope, T>> {
    Builder::new().name("plugcache".into()).spawn_scoped(scope, work).ok()
}

/// Writes all of `bytes`, and says what they hash to.
pub(super) fn write(writer: &File, staged: &Path, bytes: &[u8]) -> Result<ObjectDigest, Trouble> {
    if !is_overlapped(bytes.len() as u64) {
        write_all(writer, staged, bytes)?;
        return Ok(ObjectDigest::of_bytes(bytes));
    }
    thread::scope(|scope| {
        let hashing = start(scope, || ObjectDigest::of_bytes(bytes));
        write_all(writer, staged, bytes)?;
        let hashed = hashing.and_then(|hashing| hashing.join().ok());
        Ok(hashed.unwrap_or_else(|| ObjectDigest::of_bytes(bytes)))
    })
}

/// What is copied, and where to.
pub(super) struct Copy<'a> {
    pub(super) source: &'a File,
    pub(super) path: &'a Path,
    pub(super) writer: &'a File,
    pub(super) staged: &'a Path,
    /// Told after each chunk.
    pub(super) watch: Option<&'a Watch<'a>>,
}

impl Copy<'_> {
    /// Copies all that the source holds, and says what it hashes to; `len`: how long it seems to be.
    pub(super) fn run(&self, len: u64) -> Result<ObjectDigest, Unpublished> {
        if is_overlapped(len) {
            return self.overlapped();
        }
        let mut hasher = Hasher::plain();
        self.chunks(&mut |chunk| {
            hasher.update(&chunk);
            chunk
        })?;
        Ok(ObjectDigest::from_bytes(hasher.finish()))
    }

    fn overlapped(&self) -> Result<ObjectDigest, Unpublished> {
        let (full, to_hash) = mpsc::channel::<Vec<u8>>();
        let (empty, free) = mpsc::channel();
        (1..CHUNKS).try_for_each(|_| empty.send(Vec::new())).map_err(|_| self.lost())?;
        let hash = move || {
            let mut hasher = Hasher::plain();
            for chunk in to_hash {
                hasher.update(&chunk);
                // Nobody waits for it any more once all is read.
                let _ = empty.send(chunk);
            }
            ObjectDigest::from_bytes(hasher.finish())
        };
        thread::scope(|scope| {
            let Some(hashing) = start(scope, hash) else { return self.run(0) };
            let copied = self.chunks(&mut |chunk| {
                // If the thread is gone, joining it tells.
                let _ = full.send(chunk);
                free.recv().unwrap_or_default()
            });
            drop(full);
            let hashed = hashing.join().map_err(|_| self.lost());
            copied?;
            Ok(hashed?)
        })
    }

    fn lost(&self) -> Trouble {
        Trouble::of("hash", self.staged)(io::Error::other("the thread that hashed it was lost"))
    }

    /// Writes chunk after chunk; `take` gets each, and gives memory for another.
    fn chunks(&self, take: &mut dyn FnMut(Vec<u8>) -> Vec<u8>) -> Result<(), Unpublished> {
        let mut chunk = Vec::new();
        let mut at = 0;
        loop {
            chunk.resize(CHUNK_BYTES, 0);
            let read = self.source.read_at(&mut chunk, at);
            let len = read.map_err(|error| self.bad(error.to_string()))?;
            if len == 0 {
                return Ok(());
            }
            chunk.truncate(len);
            write_all(self.writer, self.staged, &chunk)?;
            at += len as u64;
            self.tell(at)?;
            chunk = take(chunk);
        }
    }

    /// Whoever watches hears of so many bytes, and may stop here.
    pub(super) fn tell(&self, copied: u64) -> Result<(), Unpublished> {
        let is_over = self.watch.is_some_and(|watch| watch(copied).is_break());
        if is_over { Err(self.bad("adding it was stopped".into())) } else { Ok(()) }
    }

    fn bad(&self, problem: String) -> Unpublished {
        Unpublished::BadContent { path: self.path.to_owned(), problem }
    }
}

fn write_all(file: &File, path: &Path, mut bytes: &[u8]) -> Result<(), Trouble> {
    while !bytes.is_empty() {
        match file.write(bytes).map_err(Trouble::of("write", path))? {
            0 => return Err(Trouble::of("write", path)(io::ErrorKind::WriteZero.into())),
            len => bytes = &bytes[len..],
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::{
        digest::ObjectDigest,
        fs::{Access, Fs},
        objects::read_all,
    };

    use super::*;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
    }

    #[test]
    fn what_is_written_or_copied_is_all_there_and_hashed_right_on_one_core_and_on_two() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Fs::Os.open_root(temp.path()).unwrap();
        let least = OVERLAPPED_BYTES_MIN as usize;
        for len in [0, 1, CHUNK_BYTES + 1, least - 1, least, 3 * least + 5, 9 * CHUNK_BYTES] {
            let (bytes, path) = (bytes(len), Path::new("file"));
            let digest = ObjectDigest::of_bytes(&bytes);
            let source = dir.create(path, 0o600).unwrap();
            assert_eq!(write(&source, path, &bytes).unwrap(), digest, "{len} bytes");
            assert_eq!(read_all(&source).unwrap(), bytes);
            // The length is only a guess: on one core and on two.
            for guess in [0, u64::MAX] {
                let writer = dir.create(Path::new("copy"), 0o600).unwrap();
                let copy = Copy { source: &source, path, writer: &writer, staged: path, watch: None };
                assert_eq!(copy.run(guess).unwrap(), digest, "{len} bytes");
                assert_eq!(read_all(&writer).unwrap(), bytes);
                dir.unlink(Path::new("copy")).unwrap();
            }
            dir.unlink(path).unwrap();
        }
    }

    #[test]
    fn a_write_that_fails_ends_the_hashing_too() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Fs::Os.open_root(temp.path()).unwrap();
        let (bytes, path) = (bytes(4 << 20), Path::new("file"));
        let source = dir.create(path, 0o600).unwrap();
        write(&source, path, &bytes).unwrap();
        let reader = dir.open(path, Access::Read).unwrap();
        assert!(write(&reader, path, &bytes).is_err());
        let copy = Copy { source: &source, path, writer: &reader, staged: path, watch: None };
        assert!(copy.run(u64::MAX).is_err());
    }
}
