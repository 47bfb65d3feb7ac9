//! Bytes of an object on their way from the bucket to where they go: unpacked while they stream, never more of them than
//! the entry states, and hashed.

use std::io::{self, Write};

use bytes::Bytes;
use zstd::stream::write::Decoder;

use crate::sign::{Form, Stored};

/// 8 MiB: above the window of the level that is used, and all the memory that a hostile stream can ask for.
const WINDOW_LOG_MAX: u32 = 23;
const LEVEL: i32 = 3;

/// Takes the stored bytes of one object, in any number of pieces.
pub(crate) struct Body<'a> {
    stored: Stored,
    received: u64,
    to: Unpack<'a>,
}

enum Unpack<'a> {
    Raw(Capped<'a>),
    Zstd(Decoder<'static, Capped<'a>>),
}

/// What became of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// They are not what the entry states.
    Wrong,
    /// They could not be taken where they should go.
    Local,
}

struct Capped<'a> {
    to: &'a mut (dyn Write + Send),
    left: u64,
    hasher: blake3::Hasher,
    is_local: bool,
}

impl<'a> Body<'a> {
    pub(crate) fn new(stored: Stored, to: &'a mut (dyn Write + Send)) -> io::Result<Body<'a>> {
        let capped = Capped { to, left: stored.object.len, hasher: blake3::Hasher::new(), is_local: false };
        let to = match stored.form {
            Form::Raw => Unpack::Raw(capped),
            Form::Zstd => {
                let mut decoder = Decoder::new(capped)?;
                decoder.window_log_max(WINDOW_LOG_MAX)?;
                Unpack::Zstd(decoder)
            }
        };
        Ok(Body { stored, received: 0, to })
    }

    /// How many came: where a second try goes on.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// How many may still come: what is packed is shorter than what it unpacks to.
    pub(crate) fn room(&self) -> u64 {
        self.stored.object.len.saturating_sub(self.received)
    }

    /// Whether the object is what it should be, now that no more comes.
    pub(crate) fn finish(mut self) -> Result<(), Fault> {
        let flushed = self.flush();
        let capped = self.capped();
        match flushed {
            Err(_) if capped.is_local => Err(Fault::Local),
            Ok(()) if capped.left == 0 && capped.hasher.finalize() == *capped_digest(&self.stored) => Ok(()),
            _ => Err(Fault::Wrong),
        }
    }

    fn capped(&self) -> &Capped<'a> {
        match &self.to {
            Unpack::Raw(capped) => capped,
            Unpack::Zstd(decoder) => decoder.get_ref(),
        }
    }
}

fn capped_digest(stored: &Stored) -> &[u8; 32] {
    stored.object.digest.as_bytes()
}

impl Write for Body<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = match &mut self.to {
            Unpack::Raw(capped) => capped.write(bytes),
            Unpack::Zstd(decoder) => decoder.write(bytes),
        }?;
        self.received += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            Unpack::Raw(capped) => capped.flush(),
            Unpack::Zstd(decoder) => decoder.flush(),
        }
    }
}

impl Write for Capped<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Longer than stated is cut here, before it fills a disk.
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        self.hasher.update(bytes);
        self.to.write_all(bytes).inspect_err(|_| self.is_local = true)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush().inspect_err(|_| self.is_local = true)
    }
}

/// The bytes as they are brought: packed where that makes them shorter.
pub(crate) fn pack(bytes: Vec<u8>) -> (Form, Bytes) {
    match zstd::bulk::compress(&bytes, LEVEL) {
        Ok(packed) if packed.len() < bytes.len() => (Form::Zstd, packed.into()),
        // A failure costs room and nothing else.
        _ => (Form::Raw, bytes.into()),
    }
}

#[cfg(test)]
mod tests {
    use plugcache::{ObjectDigest, ParcelObject};

    use super::*;

    fn stored(bytes: &[u8], form: Form) -> Stored {
        Stored {
            object: ParcelObject { digest: ObjectDigest::of_bytes(bytes), len: bytes.len() as u64 },
            form,
        }
    }

    /// What arrived, and the verdict.
    fn through(stored: Stored, pieces: &[&[u8]]) -> (Vec<u8>, Result<(), Fault>) {
        let mut arrived = Vec::new();
        let mut body = Body::new(stored, &mut arrived).unwrap();
        let written = pieces.iter().try_for_each(|piece| body.write_all(piece));
        let verdict = written.map_err(|_| Fault::Wrong).and_then(|()| body.finish());
        (arrived, verdict)
    }

    #[test]
    fn what_was_packed_comes_out_as_it_was_in_whatever_pieces() {
        let bytes = b"plugin ".repeat(5000);
        let (form, packed) = pack(bytes.clone());
        assert_eq!(form, Form::Zstd);
        assert!(packed.len() < bytes.len() / 10);
        for len in [1, 7, packed.len()] {
            let pieces: Vec<_> = packed.chunks(len).collect();
            assert_eq!(through(stored(&bytes, form), &pieces), (bytes.clone(), Ok(())));
        }
        let short = b"x".to_vec();
        assert_eq!(pack(short.clone()), (Form::Raw, short.into()));
    }

    #[test]
    fn more_or_less_or_other_than_stated_is_wrong() {
        let bytes = b"plugin ".repeat(5000);
        for form in [Form::Raw, Form::Zstd] {
            let right = if form == Form::Zstd { pack(bytes.clone()).1.to_vec() } else { bytes.clone() };
            let stored = stored(&bytes, form);
            for at in (0..right.len()).step_by(right.len() / 50 + 1) {
                let mut wrong = right.clone();
                wrong[at] ^= 0x40;
                assert_eq!(through(stored, &[&wrong]).1, Err(Fault::Wrong), "{form:?} byte {at}");
                assert_eq!(through(stored, &[&right[..at]]).1, Err(Fault::Wrong), "{form:?} cut at {at}");
            }
            assert_eq!(through(stored, &[&right, b"x"]).1, Err(Fault::Wrong), "{form:?}");
            assert_eq!(through(stored, &[&right, &right]).1, Err(Fault::Wrong), "{form:?}");
        }
    }

    #[test]
    fn a_bomb_is_cut_at_the_stated_length() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], LEVEL).unwrap();
        let small = vec![0; 100_000];
        let (arrived, verdict) = through(stored(&small, Form::Zstd), &[&bomb]);
        assert_eq!(verdict, Err(Fault::Wrong));
        assert!(arrived.len() <= small.len(), "{}", arrived.len());
    }
}
