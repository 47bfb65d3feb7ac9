//! One log: the append-only tail of the manifest, read from its known end on.
//!
//! Keeps I6 (a bad frame hides only itself; no frame in progress is skipped for good). Knows nothing of other
//! logs: who reads which is decided in [`super::view`].

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    error::Trouble,
    format::{
        frame::{self, FRAME_BYTES_MAX, Frame, SLOT_BYTES},
        record::{FileKind, Header, Record, Said},
    },
    fs::{self, Access, Dir, File, Kind},
    layout::ManifestName,
    planted::{self, Bug},
};

/// Frames that start behind this do not exist, and one that does seals the log as a SEAL would: so that a huge
/// file costs bounded time. Logs are rotated long before ([`super::LOG_BYTES_FULL`]).
pub(crate) const LOG_BYTES_MAX: u64 = 64 << 20;
/// One reading takes a whole window: two of the longest frames and one slot, so that a frame that begins in
/// the first half of a full window is wholly in it.
const WINDOW_BYTES: usize = 2 * FRAME_BYTES_MAX + SLOT_BYTES;
/// What is asked for at first, and by whoever only looks for news: a few entries.
const GLANCE_BYTES: usize = 4096;

/// Fills the slot in which somebody died while writing. Not zeros: a frame that lacked nothing but its last zeros
/// would become whole by them, long after whoever wrote it was killed, and perhaps after its key was forgotten.
const TORN: u8 = 0xFF;

/// What a log's header says about reading it.
pub(crate) enum Opened {
    Log(Log),
    /// The header is not a right one: the log is closed and holds nothing.
    BadHeader,
    /// A later version forbids this one to look (I18).
    Foreign,
}

/// An open log.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) number: u64,
    file: File,
    access: Access,
    seed: u64,
    /// All before it has been taken in.
    known_end: u64,
    /// How many frames that were.
    frames: u64,
    /// A SEAL was read: nothing behind it exists.
    sealed: bool,
    /// It holds what only a later version understands: do not compact, evict or sweep.
    pub(crate) unknown: bool,
    /// File length as the last reading saw it, for padding a torn tail.
    end_seen: u64,
    /// What came behind the header when that was read, until it is taken in.
    ahead: Option<Vec<u8>>,
    /// How much there was behind the header when it was opened; 0 if that is more than a window.
    to_come: usize,
}

/// A frame that was read, and what it says.
pub(crate) struct Read<'a> {
    pub(crate) said: Said,
    pub(crate) frame: Frame<'a>,
}

impl Log {
    /// Opens log `number`. What comes with its header is kept for the first [`read_to_end`](Log::read_to_end), which
    /// then need not ask for it.
    pub(crate) fn open(dir: &Dir, number: u64, access: Access) -> Result<Opened, Trouble> {
        let path = ManifestName::Log(number).path();
        let file = match dir.open(&path, access) {
            Ok(file) => file,
            Err(error) if fs::is_wrong_kind(&error) => return Ok(Opened::BadHeader),
            // Not even readable: in a store of our own that is damage like any other. Opened for reading it is
            // loud, and where only writing is forbidden the store is opened for reading.
            Err(error) if access == Access::Append && is_closed(dir, &path, &error) => {
                return Ok(Opened::BadHeader);
            }
            Err(error) => return Err(Trouble::of("open", &path)(error)),
        };
        let stat = file.stat().map_err(Trouble::of("examine", &path))?;
        if stat.kind != Kind::File {
            return Ok(Opened::BadHeader);
        }
        let mut start = [0; GLANCE_BYTES];
        let len = read_start(&file, &mut start).map_err(Trouble::of("read", &path))?;
        let (slot, behind) = start[..len].split_at(len.min(SLOT_BYTES));
        Ok(match header_of(slot, FileKind::Log) {
            HeaderRead::Bad => Opened::BadHeader,
            HeaderRead::Foreign => Opened::Foreign,
            HeaderRead::Right(header) => Opened::Log(Log {
                number,
                file,
                access,
                seed: header.seed,
                known_end: SLOT_BYTES as u64,
                frames: 0,
                sealed: false,
                unknown: header.ro_compat != 0,
                end_seen: SLOT_BYTES as u64,
                ahead: Some(behind.to_vec()),
                to_come: match stat.len.saturating_sub(SLOT_BYTES as u64) {
                    to_come if to_come <= WINDOW_BYTES as u64 => to_come as usize,
                    _ => 0,
                },
            }),
        })
    }

    /// How much there was behind the header when it was opened; 0 if that is more than a window.
    pub(crate) fn to_come(&self) -> usize {
        self.to_come
    }

    /// Whether a SEAL was read, so that nothing more can come.
    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// How much of it has been taken in.
    pub(crate) fn known_end(&self) -> u64 {
        self.known_end
    }

    /// How many frames have been taken in.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    pub(crate) fn path(&self) -> PathBuf {
        ManifestName::Log(self.number).path()
    }

    /// Reads to the end, or to the first SEAL, and gives every record on the way to `take`. One `pread` unless
    /// more than a window has come; none after opening, if all came with the header.
    pub(crate) fn read_to_end(
        &mut self,
        window: &mut Vec<u8>,
        take: &mut dyn FnMut(Read<'_>),
    ) -> Result<(), Trouble> {
        if let Some(ahead) = self.ahead.take()
            && self.take_ahead(&ahead, take)?
        {
            return Ok(());
        }
        let mut bytes = GLANCE_BYTES;
        while !self.sealed {
            if window.len() < bytes {
                window.resize(bytes, 0);
            }
            let len = self.read_window(&mut window[..bytes], 0);
            let len = len.map_err(|error| Trouble::of("read", &self.path())(error))?;
            if len == bytes && bytes < WINDOW_BYTES {
                // More than a glance shows; a frame may be longer than that.
                bytes = WINDOW_BYTES;
                continue;
            }
            self.end_seen = self.known_end + len as u64;
            self.take_window(&window[..len], take);
            if len < bytes {
                break;
            }
        }
        if bytes > GLANCE_BYTES {
            // Seldom needed again.
            *window = Vec::new();
        }
        Ok(())
    }

    /// Takes in what came with the header, and what else there was then, by a window of that length; whether that is all
    /// there is.
    #[cold]
    fn take_ahead(&mut self, ahead: &[u8], take: &mut dyn FnMut(Read<'_>)) -> Result<bool, Trouble> {
        self.end_seen = self.known_end + ahead.len() as u64;
        let at_end = SLOT_BYTES + ahead.len() < GLANCE_BYTES;
        self.take_window(ahead, take);
        if at_end && self.known_end == self.end_seen {
            return Ok(true);
        }
        let taken_in = self.known_end as usize - SLOT_BYTES;
        let to_come = self.to_come.saturating_sub(taken_in);
        if self.sealed || to_come == 0 {
            return Ok(false);
        }
        let mut window = vec![0; to_come + GLANCE_BYTES];
        let len = self.read_window(&mut window, to_come);
        let len = len.map_err(|error| Trouble::of("read", &self.path())(error))?;
        self.end_seen = self.known_end + len as u64;
        self.take_window(&window[..len], take);
        Ok(len < window.len())
    }

    /// Reads from the known end on. What ends neither where the file did when it was opened (`to_come`) nor on a frame may
    /// be a reading that came back short, and not the end of the file: then it is asked for the rest, until nothing comes.
    /// Only the first reading is looked through for that: if each came back with a few bytes, a look at all so far after
    /// each would cost the square of them.
    fn read_window(&self, window: &mut [u8], to_come: usize) -> io::Result<usize> {
        let mut len = self.file.read_at(window, self.known_end)?;
        if len == to_come || (len < window.len() && frame::Scan::new(&window[..len], self.seed).ends_whole())
        {
            return Ok(len);
        }
        while len < window.len() {
            match self.file.read_at(&mut window[len..], self.known_end + len as u64)? {
                0 => break,
                read => len += read,
            }
        }
        Ok(len)
    }

    fn take_window(&mut self, window: &[u8], take: &mut dyn FnMut(Read<'_>)) {
        let start = self.known_end;
        let mut scan = frame::Scan::new(window, self.seed);
        for (at, frame) in scan.by_ref() {
            if start + at as u64 >= LOG_BYTES_MAX {
                self.sealed = true;
                break;
            }
            self.frames += 1;
            match Record::skim(&frame) {
                Ok(Said::Record(Record::Seal)) if planted::is(Bug::SealIgnored) => {}
                Ok(Said::Record(Record::Seal)) => {
                    self.sealed = true;
                    break;
                }
                Ok(said) => take(Read { said, frame }),
                Err(_) => self.unknown = true,
            }
        }
        self.known_end = start + scan.known_end() as u64;
        self.sealed |= self.known_end >= LOG_BYTES_MAX;
    }

    /// Appends one record by one `write`, and says nothing of whether it counts: that shows when it is read
    /// back. A tail that does not end on a slot is filled up in the same write. A short write is an error and
    /// is never completed: the rest would stand where nobody looks for it.
    pub(crate) fn append(&self, record: &Record) -> Result<Appended, Trouble> {
        if self.access == Access::Read {
            let error = io::Error::from(io::ErrorKind::PermissionDenied);
            return Err(Trouble::of("append to", &self.path())(error));
        }
        let Ok(frame) = record.to_frame(self.seed) else {
            return Ok(Appended::TooLong);
        };
        let torn = (self.end_seen % SLOT_BYTES as u64) as usize;
        let padding = if torn == 0 { 0 } else { SLOT_BYTES - torn };
        let bytes = [&[TORN; SLOT_BYTES][..padding], &frame].concat();
        let mut written =
            self.file.write(&bytes).map_err(|error| Trouble::of("append to", &self.path())(error))?;
        if written < bytes.len() && planted::is(Bug::ShortWriteCompleted) {
            written += self.file.write(&bytes[written..]).unwrap_or(0);
        }
        if written < bytes.len() {
            // What the kernel does when the disk is full or a limit is reached; the next call would say why.
            let error = io::Error::from(io::ErrorKind::StorageFull);
            return Err(Trouble::of("append a whole frame to", &self.path())(error));
        }
        Ok(Appended::Frame(frame))
    }

    /// Whether its last name is gone: the store was deleted, and what is appended is lost. So it is where
    /// somebody cut the log before the known end: this handle would not see what it appends there.
    pub(crate) fn is_deleted(&self) -> Result<bool, Trouble> {
        let stat = self.file.stat().map_err(|error| Trouble::of("examine", &self.path())(error))?;
        Ok(stat.links == 0 || stat.len < self.known_end)
    }

    pub(crate) fn sync(&self) -> Result<(), Trouble> {
        self.file.sync().map_err(|error| Trouble::of("sync", &self.path())(error))
    }
}

/// Appends a SEAL to a log that may have one already, so that the next sync of it writes one.
pub(crate) fn seal_again(dir: &Dir, number: u64) -> Result<(), Trouble> {
    match Log::open(dir, number, Access::Append) {
        Ok(Opened::Log(mut log)) => {
            // What stands behind a SEAL is not read: where the file ends is asked for.
            let stat = log.file.stat().map_err(|error| Trouble::of("examine", &log.path())(error))?;
            log.end_seen = stat.len;
            log.append(&Record::Seal).map(|_| ())
        }
        Ok(Opened::BadHeader | Opened::Foreign) => Ok(()),
        Err(trouble) if trouble.source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(trouble) => Err(trouble),
    }
}

/// Reads the first slot, as much as there is of it, and what comes with it. A reading that came back short must not
/// pass for a header that is short: the log would be taken for closed while others append to it.
fn read_start(file: &File, start: &mut [u8; GLANCE_BYTES]) -> io::Result<usize> {
    let mut len = 0;
    while len < SLOT_BYTES {
        match file.read_at(&mut start[len..], len as u64)? {
            0 => break,
            read => len += read,
        }
    }
    Ok(len)
}

/// Whether a file was refused because its own mode closes it to its owner. Any other refusal may pass, and must
/// not be taken for damage that the next compaction makes final.
pub(super) fn is_closed(dir: &Dir, path: &Path, error: &io::Error) -> bool {
    const OWNER_READS: u32 = 0o400;
    error.kind() == io::ErrorKind::PermissionDenied
        && dir.stat(path).is_ok_and(|stat| stat.mode & OWNER_READS == 0)
}

/// What became of an append.
pub(crate) enum Appended {
    /// The bytes to look for when reading back.
    Frame(Vec<u8>),
    TooLong,
}

/// What the first frame of a file says.
pub(crate) enum HeaderRead {
    Right(Header),
    Bad,
    Foreign,
}

/// Judges the first slot of a file that should be of `kind`.
pub(crate) fn header_of(slot: &[u8], kind: FileKind) -> HeaderRead {
    let Some(frame) = frame::decode(slot, frame::HEADER_SEED) else {
        return HeaderRead::Bad;
    };
    match Record::of_frame(&frame) {
        Ok(Record::Header(header)) if header.incompat != 0 => HeaderRead::Foreign,
        Ok(Record::Header(header)) if header.file == kind => HeaderRead::Right(header),
        _ => HeaderRead::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        format::frame::{HEADER_SEED, Kind, SLOTS_LOOKED_AT},
        fs::{
            Fs,
            sim::{At, Disk, Failure, Fault, Verb},
        },
    };

    /// A log with a frame that nearly fills its length and one that was cut off, read in pieces of so many bytes; how
    /// many records came, calls were made, and slots were judged.
    fn read_in_pieces(piece: usize) -> (usize, usize, usize) {
        let disk = Disk::new(5);
        disk.plant_dir("/v1");
        let header = Header { file: FileKind::Log, seed: 7, compat: 0, ro_compat: 0, incompat: 0 };
        let header = Record::Header(header).to_frame(HEADER_SEED).unwrap();
        let whole = frame::encode(Kind::Put, &[9; 40_000], 7).unwrap();
        let torn = frame::encode(Kind::Put, &[9; 60_000], 7).unwrap();
        disk.plant_file("/v1/log.1", [&header[..], &whole, &torn[..59_968]].concat());
        let process = disk.process();
        let dir = Fs::Sim(process.clone()).open_root("/v1".as_ref()).unwrap();
        let Ok(Opened::Log(mut log)) = Log::open(&dir, 1, Access::Read) else { panic!("no log") };
        process.fail(Fault { at: At::From(1), failure: Failure::ShortRead(piece) });
        let (calls, slots) = (process.steps(), SLOTS_LOOKED_AT.get());
        // Which record it is nobody knows; that it is there shows in the count of frames.
        log.read_to_end(&mut Vec::new(), &mut |_| {}).unwrap();
        assert!(process.trace()[calls..].iter().all(|step| step.verb == Verb::ReadAt));
        (log.frames as usize, process.steps() - calls, SLOTS_LOOKED_AT.get() - slots)
    }

    #[test]
    fn readings_that_come_back_short_for_ever_cost_in_proportion_to_what_is_there() {
        let (frames, _, slots_at_once) = read_in_pieces(usize::MAX);
        assert_eq!(frames, 1);
        for piece in [64, 100, 1000] {
            let (frames, calls, slots) = read_in_pieces(piece);
            assert_eq!(frames, 1, "{piece}");
            // A glance of 4 KiB, then all 100,032 bytes, then nothing more.
            assert!(calls <= 104_128_usize.div_ceil(piece) + 2, "{calls} calls in pieces of {piece}");
            assert!(slots <= 2 * slots_at_once, "{slots} slots judged, not {slots_at_once}");
        }
    }
}
