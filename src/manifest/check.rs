//! Every byte of the manifest looked at, without changing any: what a scrub says of logs and segments.
//!
//! Reading never needs it: a bad frame hides only itself (I6), and a segment's frames are checked when they are
//! used.

use std::{fmt, io, path::PathBuf};

use super::{
    Manifest,
    log::{self, HeaderRead},
    segment::{self, Segment},
    view,
};
use crate::{
    error::Trouble,
    format::{
        frame::{self, SLOT_BYTES},
        record::{FileKind, Record},
    },
    fs::{self, Access, File, Kind},
    layout::ManifestName,
};

/// A fault of the manifest, as a scrub found it. [`Store::rebuild`](crate::Store::rebuild) writes the manifest anew
/// from what is readable of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ManifestDamage {
    /// The log or segment, below the directory of the format.
    pub file: PathBuf,
    /// What is wrong with it.
    pub fault: ManifestFault,
}

/// What can be wrong with a log or a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum ManifestFault {
    /// The first slot, or for a segment the last two, or its length: none of its entries is found.
    Unusable,
    /// So many bytes hold no right frame: damage, or what a process left that was killed while it wrote. What else
    /// there is, is found.
    Frames {
        /// How many bytes.
        bytes: u64,
    },
    /// Strings that entries of the segment share are damaged in one of their two copies: costs nothing yet.
    Items,
    /// Entries of the segment may not be found.
    Index,
    /// A log is missing: what it said is lost.
    Gap,
    /// The system refused to read it.
    Unreadable {
        /// What it answered.
        error: String,
    },
}

impl fmt::Display for ManifestDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        match &self.fault {
            ManifestFault::Unusable => f.write_str("cannot be used, its header or footer is damaged"),
            ManifestFault::Frames { bytes } => write!(f, "{bytes} bytes are damaged"),
            ManifestFault::Index => f.write_str("its index is damaged"),
            ManifestFault::Items => f.write_str("one copy of its shared strings is damaged"),
            ManifestFault::Gap => f.write_str("is missing"),
            ManifestFault::Unreadable { error } => write!(f, "cannot be read: {error}"),
        }
    }
}

/// What was seen of all files together.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Right frames.
    pub(crate) frames: u64,
    pub(crate) damage: Vec<ManifestDamage>,
}

impl Checked {
    fn add(&mut self, name: ManifestName, fault: ManifestFault) {
        self.damage.push(ManifestDamage { file: name.path(), fault });
    }
}

impl Manifest {
    /// Looks at every byte of every log and segment that there is now. A file that goes meanwhile was compacted.
    pub(crate) fn check(&self) -> Result<Checked, Trouble> {
        let names = view::names_in(&self.dir)?;
        let mut checked = Checked::default();
        for name in &names {
            let looked = match name {
                ManifestName::Log(_) => self.check_log(*name, &mut checked),
                ManifestName::Segment { .. } => self.check_segment(*name, &mut checked),
            };
            match looked {
                Err(trouble) if trouble.source.kind() == io::ErrorKind::NotFound => {}
                Err(trouble) => {
                    checked.add(*name, ManifestFault::Unreadable { error: trouble.source.to_string() });
                }
                Ok(()) => {}
            }
        }
        // A compaction between two looks removes the lowest first: only what lasts is a gap.
        if view::names_in(&self.dir)? == names {
            gaps(&names).for_each(|number| checked.add(ManifestName::Log(number), ManifestFault::Gap));
        }
        Ok(checked)
    }

    fn check_log(&self, name: ManifestName, checked: &mut Checked) -> Result<(), Trouble> {
        let path = name.path();
        let file = match self.dir.open(&path, Access::Read) {
            Err(error) if fs::is_wrong_kind(&error) => {
                checked.add(name, ManifestFault::Unusable);
                return Ok(());
            }
            opened => opened.map_err(Trouble::of("open", &path))?,
        };
        if file.stat().map_err(Trouble::of("examine", &path))?.kind != Kind::File {
            checked.add(name, ManifestFault::Unusable);
            return Ok(());
        }
        let bytes = read_whole(&file).map_err(Trouble::of("read", &path))?;
        let header = log::header_of(&bytes[..bytes.len().min(SLOT_BYTES)], FileKind::Log);
        let HeaderRead::Right(header) = header else {
            checked.add(name, ManifestFault::Unusable);
            return Ok(());
        };
        let (mut end, mut bad) = (0, 0);
        for (at, frame) in frame::Scan::new(&bytes[SLOT_BYTES..], header.seed) {
            checked.frames += 1;
            bad += at - end;
            end = at + frame.bytes.len();
            if matches!(Record::of_frame(&frame), Ok(Record::Seal)) {
                break;
            }
        }
        // What no frame follows may be an append in progress.
        if bad > 0 {
            checked.add(name, ManifestFault::Frames { bytes: bad as u64 });
        }
        Ok(())
    }

    fn check_segment(&self, name: ManifestName, checked: &mut Checked) -> Result<(), Trouble> {
        match Segment::open(&self.dir, name, Access::Read)? {
            segment::Opened::Segment(mut segment) => {
                let (frames, faults) = segment.faults();
                checked.frames += frames;
                faults.into_iter().for_each(|fault| checked.add(name, fault));
            }
            segment::Opened::Damaged => checked.add(name, ManifestFault::Unusable),
            // Its own business: the store is not opened at all.
            segment::Opened::Foreign => {}
        }
        Ok(())
    }
}

/// Logs that should be there: between the highest segment and the highest log.
fn gaps(names: &[ManifestName]) -> impl Iterator<Item = u64> + '_ {
    /// A gap may be huge, and one is enough to know.
    const GAPS_MAX: usize = 16;
    let is_segment = |name: &&ManifestName| matches!(name, ManifestName::Segment { .. });
    let base = names.iter().filter(is_segment).map(|name| name.last()).max().unwrap_or(0);
    let last = names.iter().map(|name| name.last()).max().unwrap_or(0);
    let is_there = |number: &u64| names.contains(&ManifestName::Log(*number));
    (base + 1..last).filter(move |number| !is_there(number)).take(GAPS_MAX)
}

/// As much of a log as counts.
pub(super) fn read_whole(file: &File) -> io::Result<Vec<u8>> {
    const STEP: usize = 1 << 20;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < log::LOG_BYTES_MAX {
        let len = bytes.len();
        bytes.resize(len + STEP, 0);
        let read = file.read_at(&mut bytes[len..], len as u64)?;
        bytes.truncate(len + read);
        if read == 0 {
            break;
        }
    }
    Ok(bytes)
}
