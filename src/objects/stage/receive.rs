//! An object that comes in pieces from somewhere else, of which no byte is believed: what it must hash to and how long
//! it must be was said before. It is hashed while it is written, and no more is written than was said.

use std::io;

use super::{EXECUTABLE_MODE, Lent, PLAIN_MODE, Published, Staged, StagedName};
use crate::{
    digest::{Hasher, ObjectDigest},
    error::Trouble,
    format::record::Stamp,
    fs::{Draw, File, Stat},
    layout,
    objects::{Objects, Verified},
    planted::{self, Bug},
};

/// A staged file that is being filled; it goes with this, unless it is complete and published.
pub(crate) struct Receiving {
    name: StagedName,
    file: File,
    made: Stat,
    executable: bool,
    digest: ObjectDigest,
    len: u64,
    hasher: Hasher,
    received: u64,
    /// More came than was said.
    is_too_long: bool,
    /// The first thing that went wrong here, not where the bytes come from.
    trouble: Option<Trouble>,
}

/// Why what came is no object.
#[derive(Debug)]
pub(crate) enum NotReceived {
    /// It is not what was said, as this text says.
    Wrong(String),
    /// Nothing is known of what came: it could not be written.
    Trouble(Trouble),
}

impl Objects {
    /// Makes a staged file for an object of this digest and length.
    pub(crate) fn receive(
        &self,
        (digest, len): (ObjectDigest, u64),
        executable: bool,
        draw: &mut Draw<'_>,
    ) -> Result<Receiving, Trouble> {
        let mode = if executable { EXECUTABLE_MODE } else { PLAIN_MODE };
        let (name, file, made) = self.create_staged(draw, mode)?;
        Ok(Receiving {
            name,
            file,
            made,
            executable,
            digest,
            len,
            hasher: Hasher::plain(),
            received: 0,
            is_too_long: false,
            trouble: None,
        })
    }

    /// What came, ready to be published, if it is right to the last byte.
    pub(crate) fn received(&self, came: Receiving, lent: Lent) -> Result<Staged, NotReceived> {
        let Receiving { name, file, made, executable, digest, hasher, .. } = came;
        if let Some(trouble) = came.trouble {
            return Err(NotReceived::Trouble(trouble));
        }
        let wrong = |why: String| Err(NotReceived::Wrong(format!("of the object {digest} {why}")));
        if came.is_too_long {
            return wrong(format!("more than {} bytes came", came.len));
        }
        if came.received != came.len {
            return wrong(format!("{} bytes came, not {}", came.received, came.len));
        }
        if ObjectDigest::from_bytes(hasher.finish()) != digest && !planted::is(Bug::ReceivedBelieved) {
            return wrong("other bytes came".into());
        }
        let mode = if executable { EXECUTABLE_MODE } else { PLAIN_MODE };
        let file = self.finish(file, &name.path, (made.mode != mode).then_some(mode), lent, executable);
        Ok(Staged { file: file.map_err(NotReceived::Trouble)?, name, made, digest, executable })
    }

    /// A lease on an object that is here already, if it is right; it is not asked for then.
    pub(crate) fn keep(&self, digest: &ObjectDigest, len: u64, executable: bool) -> Option<Published> {
        let mut lease = self.open(digest).ok()?;
        // Between opening and locking it may have lost its name [m].
        if lease.len() != len || !self.leads_to(&layout::object(digest), &lease.stat) {
            return None;
        }
        let is_right = self.is_vouched(digest, &lease, &Stamp::default())
            || matches!(self.verify(digest, &mut lease), Verified::Right(_));
        let is_usable = is_right && (!executable || self.may_be_executable(digest, &lease.stat));
        if is_usable { self.kept(digest, executable, lease).ok() } else { None }
    }
}

impl Receiving {
    /// What went wrong here while it was filled.
    pub(crate) fn trouble(&mut self) -> Option<Trouble> {
        self.trouble.take()
    }

    fn failed(&mut self, error: io::Error) -> io::Error {
        let copy = io::Error::new(error.kind(), error.to_string());
        self.trouble.get_or_insert_with(|| Trouble::of("write", &self.name.path)(error));
        copy
    }
}

impl io::Write for Receiving {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let left = self.len - self.received;
        if left == 0 || self.is_too_long {
            self.is_too_long = true;
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more comes than was said"));
        }
        let first = &bytes[..usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len())];
        match self.file.write(first) {
            Ok(0) => Err(self.failed(io::ErrorKind::WriteZero.into())),
            Ok(written) => {
                self.hasher.update(&first[..written]);
                self.received += written as u64;
                Ok(written)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
