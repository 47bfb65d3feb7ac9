//! The manifest: which objects belong to which source digest. Appended to by any number of processes without
//! a lock; read through a table in memory and a mapped segment.
//!
//! Keeps I6 to I10. It does not know that objects exist: it hands out records and takes records.
//!
//! ```text
//! v1/log.<n>        log.rs       frames, appended, read back
//! v1/seg.<a>-<b>    segment.rs   frames, hash index; written by build.rs
//!                   table.rs     what the logs say, in memory; past.rs what they count and remember
//!                   ask.rs       what is asked beside entries
//!                   size.rs      how much there is, without a look at each entry
//!                   slices.rs    all entries, a few at a time
//!                   view.rs      one consistent look at all of it
//!                   compact.rs   logs into a segment; grown.rs when
//!                   check.rs     every byte of it looked at
//!                   layer.rs     a segment that is the same for the same entries; masks, vouching
//!                   rebuild.rs   a compaction that takes in what damage hides
//! ```

mod ask;
mod build;
mod check;
mod compact;
mod grown;
mod layer;
mod log;
mod past;
mod rebuild;
mod segment;
mod size;
mod slices;
mod table;
mod view;

use std::{io, path::Path};

pub use self::check::{ManifestDamage, ManifestFault};
pub(crate) use self::{
    compact::Compacted, grown::Grown, layer::layer_of, past::Counts, rebuild::Rebuilt, size::Size,
    slices::Mark, view::NoView,
};
use self::{
    log::{Appended, Log, Read},
    segment::Segment,
    view::View,
};
use crate::{
    config::Durability,
    error::{Skip, Trouble},
    format::{
        frame::HEADER_SEED,
        record::{FileKind, Header, Put, Record},
    },
    fs::{self, Access, Dir, File, Fs, Lock},
    layout::{self, ManifestName},
    planted::{self, Bug},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// When nobody compacts (the compactor is stopped) a log of this size is followed by another.
const LOG_BYTES_FULL: u64 = 8 << 20;
/// How often an append is repeated that came behind a SEAL or off a slot. Each repetition needs somebody to
/// rotate, or to die inside a write, in the few microseconds between reading and appending.
const APPENDS_MAX: usize = 64;
/// How many logs a handle leaves behind because syncs fail. On a disk on which every sync fails it stores nothing
/// from then on, and fills `v1` with no more logs.
const LEFT_MAX: usize = 16;

/// What an append, a forget or a compaction met.
#[derive(Debug)]
pub(crate) enum Refused {
    Trouble(Trouble),
    /// A later version wrote the store.
    Foreign,
    /// The record does not fit a frame.
    TooLong,
    /// The store was deleted under this handle: what was appended is gone. Start over from the path.
    Deleted,
    /// Sealed or torn under every try.
    Busy,
}

impl From<Trouble> for Refused {
    fn from(trouble: Trouble) -> Self {
        Refused::Trouble(trouble)
    }
}

impl From<NoView> for Refused {
    fn from(none: NoView) -> Self {
        match none {
            NoView::Trouble(trouble) => Refused::Trouble(trouble),
            NoView::Foreign => Refused::Foreign,
        }
    }
}

impl From<Refused> for Skip {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Trouble(trouble) => trouble.into(),
            Refused::Foreign => Skip::Newer,
            Refused::TooLong => Skip::TooLong,
            Refused::Deleted => Skip::Disabled("the store was deleted".into()),
            Refused::Busy => Skip::Busy,
        }
    }
}

/// An open manifest. Threads share it.
#[derive(Debug)]
pub(crate) struct Manifest {
    fs: Fs,
    dir: Arc<Dir>,
    access: Access,
    durability: Durability,
    state: Mutex<State>,
    /// Whether any dropped entry is remembered, as last read.
    remembers: AtomicBool,
}

#[derive(Debug)]
struct State {
    view: View,
    /// Reused for every reading of a log.
    window: Vec<u8>,
    /// The log whose name, and whose predecessors' SEALs, this handle has made durable.
    settled: Option<u64>,
    /// A sync failed when this was the highest log: what it has lost of the logs up to this one, a later sync
    /// that succeeds will not write. See [`Manifest::leave_unsynced`].
    unsynced: Option<u64>,
    /// How many times in a row logs were left behind like this.
    left: usize,
    /// How often the view was made anew.
    look: u64,
}

impl Manifest {
    /// Opens what is there; an empty directory is an empty manifest. Makes nothing.
    pub(crate) fn open(
        fs: &Fs,
        dir: Arc<Dir>,
        access: Access,
        durability: Durability,
    ) -> Result<Manifest, NoView> {
        let mut window = Vec::new();
        let view = View::load(&dir, access, &mut window)?;
        let state = Mutex::new(State { view, window, settled: None, unsynced: None, left: 0, look: 0 });
        Ok(Manifest { fs: fs.clone(), dir, access, durability, state, remembers: AtomicBool::new(false) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is replaced whole or extended by whole records: a panic elsewhere leaves it usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what other processes have appended. One `pread` if nobody rotated.
    pub(crate) fn refresh(&self) -> Result<(), NoView> {
        self.refresh_state(&mut self.state())
    }

    /// As [`refresh`](Manifest::refresh), for whoever is about to drop entries: it must see all that will ever come
    /// to light. A power cut can lose the SEAL of a log and leave what lies in the logs above it: hidden until
    /// somebody appends, and seals. So that is done first.
    pub(crate) fn uncover(&self) -> Result<(), Refused> {
        let mut state = self.state();
        for _ in 0..APPENDS_MAX {
            self.refresh_state(&mut state)?;
            match &state.view.current {
                Some(log) if Some(log.number) < state.view.highest_log() => self.seal(log)?,
                _ => return Ok(()),
            }
            self.reload(&mut state)?;
        }
        Err(Refused::Busy)
    }

    /// As [`refresh`](Manifest::refresh), and then as [`of_source`](Manifest::of_source).
    pub(crate) fn refreshed(&self, source: &[u8; 32]) -> Result<Vec<Arc<Put>>, NoView> {
        let mut state = self.state();
        self.refresh_state(&mut state)?;
        let mut found = state.view.of_source(source);
        found.retain(|put| !put.is_mask());
        Ok(found)
    }

    fn refresh_state(&self, state: &mut State) -> Result<(), NoView> {
        if !state.view.follow(&mut state.window)? {
            self.reload(state)?;
        }
        self.remembers.store(state.view.table.past.remembers(), Ordering::Relaxed);
        Ok(())
    }

    fn reload(&self, state: &mut State) -> Result<(), NoView> {
        let loaded = View::load(&self.dir, self.access, &mut state.window);
        state.look += 1;
        state.view = match loaded {
            // A log that came up since this handle was opened and may only be read: finding goes on.
            Err(NoView::Trouble(trouble)) if fs::forbids_writing(&trouble.source) => {
                View::load(&self.dir, Access::Read, &mut state.window)?
            }
            loaded => loaded?,
        };
        Ok(())
    }

    /// Whether the log was deleted under this handle, with or without the store around it. What cannot be told is
    /// no: a handle that starts over from the path forgets which of its syncs have failed.
    pub(crate) fn is_deleted(&self) -> bool {
        let deleted = match &self.state().view.current {
            Some(log) => log.is_deleted().map_err(|trouble| trouble.source),
            None => self.dir.stat_self().map(|stat| stat.links == 0),
        };
        deleted.unwrap_or_else(|error| error.kind() == io::ErrorKind::StaleNetworkFileHandle)
    }

    /// Entries under this source digest as last read, newest first. No system call.
    pub(crate) fn of_source(&self, source: &[u8; 32]) -> Vec<Arc<Put>> {
        let mut found = self.state().view.of_source(source);
        found.retain(|put| !put.is_mask());
        found
    }

    /// As [`of_source`](Manifest::of_source), and those that a mask hides.
    pub(crate) fn all_of_source(&self, source: &[u8; 32]) -> Vec<Arc<Put>> {
        let mut found = self.state().view.all_of_source(source);
        found.retain(|put| !put.is_mask());
        found
    }

    /// The newest entry under this source digest that was made by this executable, or if `others_count` by any,
    /// as last read. No system call, and no allocation when it was looked up before.
    pub(crate) fn newest(&self, source: &[u8; 32], exec: &[u8; 32], others_count: bool) -> Option<Arc<Put>> {
        self.state().view.newest(source, exec, others_count)
    }

    fn grown(&self, view: &View) -> Grown {
        let bytes_max = self.fs.size("LOG_BYTES_COMPACT", grown::LOG_BYTES_COMPACT);
        let Some(log) = &view.current else { return Grown::No };
        let now = grown::Sizes {
            log_bytes: log.known_end(),
            log_frames: log.frames(),
            segment_bytes: view.segment.as_ref().map_or(0, Segment::bytes_len),
        };
        grown::judge(now, bytes_max)
    }

    /// Whether files lie there that the next compaction would remove and nobody reads: what a killed one left.
    pub(crate) fn has_leftovers(&self) -> bool {
        self.state().view.has_leftovers()
    }

    /// Whether a later version wrote parts of this: then nothing may be compacted, evicted or swept.
    pub(crate) fn is_partly_unknown(&self) -> bool {
        self.state().view.is_partly_unknown()
    }

    /// Appends one record, and returns once it has been read back from where every reader will see it.
    pub(crate) fn append(&self, record: &Record) -> Result<Grown, Refused> {
        self.append_from(record, false)
    }

    /// As [`append`](Manifest::append), by whoever has refreshed a moment ago: saves another look before the first
    /// try. Nothing rests on that look, for others may append between any look and the write: what came meanwhile,
    /// a SEAL or a torn tail, shows when the record is read back, and then it is looked again.
    pub(crate) fn append_refreshed(&self, record: &Record) -> Result<Grown, Refused> {
        self.append_from(record, true)
    }

    fn append_from(&self, record: &Record, is_refreshed: bool) -> Result<Grown, Refused> {
        let mut state = self.state();
        for attempt in 0..APPENDS_MAX {
            self.leave_unsynced(&mut state)?;
            if attempt > 0 || !is_refreshed || state.view.current.as_ref().is_none_or(Log::is_sealed) {
                self.refresh_state(&mut state)?;
            }
            if !self.open_log_is_last(&mut state)? {
                continue;
            }
            if self.append_once(&mut state, record)? {
                return Ok(self.grown(&state.view));
            }
        }
        Err(Refused::Busy)
    }

    /// Brings the handle to where it may append: the log it follows is the highest of the listing and all below
    /// are sealed [m]. `false`: something was changed on the way, look again.
    fn open_log_is_last(&self, state: &mut State) -> Result<bool, Refused> {
        let view = &state.view;
        let highest = view.highest();
        let full = self.fs.size("LOG_BYTES_FULL", LOG_BYTES_FULL);
        match &view.current {
            None => {
                self.make_log(highest + 1)?;
                if planted::is(Bug::MadeLogTrusted) {
                    return self.follow_blindly(state, highest + 1);
                }
            }
            Some(log) if Some(log.number) < view.highest_log() => {
                if planted::is(Bug::LowerLogsNotSealed) {
                    return self.follow_blindly(state, highest);
                }
                self.seal(log)?;
            }
            Some(log) if log.known_end() >= full => self.make_log(highest + 1)?,
            Some(_) => return Ok(true),
        }
        self.reload(state)?;
        Ok(false)
    }

    /// Follows this log, whatever else there is: for planted bugs alone.
    fn follow_blindly(&self, state: &mut State, number: u64) -> Result<bool, Refused> {
        if let log::Opened::Log(log) = Log::open(&self.dir, number, self.access)? {
            state.view.current = Some(log);
        }
        Ok(state.view.follow(&mut state.window)?)
    }

    fn seal(&self, log: &Log) -> Result<(), Refused> {
        log.append(&Record::Seal)?;
        Ok(())
    }

    /// Whether the record stands where readers see it: on a slot, before any SEAL, in a log that has a name.
    fn append_once(&self, state: &mut State, record: &Record) -> Result<bool, Refused> {
        let State { view, window, .. } = state;
        let Some(log) = &mut view.current else {
            return Ok(false);
        };
        let Appended::Frame(frame) = log.append(record)? else {
            return Err(Refused::TooLong);
        };
        let mut found = planted::is(Bug::PutNotReadBack);
        log.read_to_end(window, &mut |read: Read<'_>| {
            found |= read.frame.bytes == frame;
            view.table.apply(read.said, read.frame.payload);
        })?;
        if log.is_deleted()? {
            let number = log.number;
            return self.judge_unlinked(state, number).map(|()| found);
        }
        if found && self.durability == Durability::Sync {
            let (synced, number) = (log.sync(), log.number);
            let synced = synced.and_then(|()| self.settle(state, number));
            synced.inspect_err(|_| self.leave_up_to(state.view.highest(), state))?;
        }
        Ok(found)
    }

    /// A sync of the whole file system failed: nothing that is in the logs counts as durable.
    pub(crate) fn distrust(&self) {
        let mut state = self.state();
        self.leave_up_to(state.view.highest(), &mut state);
    }

    /// A sync has failed, and this is the highest log there was.
    fn leave_up_to(&self, last: u64, state: &mut State) {
        state.settled = None;
        state.unsynced = state.unsynced.max(Some(last));
        // Now, so that other processes leave them too; what fails is done before the next append.
        let _ = self.leave_unsynced(state);
    }

    /// After a failed sync nobody may rely on a later one that succeeds without the bytes and names which that
    /// one has lost. So every log there was gets a SEAL (another one, if need be: bytes that the next sync does
    /// write), and whoever appends next makes a new log, with a name that no sync has failed for.
    fn leave_unsynced(&self, state: &mut State) -> Result<(), Refused> {
        let Some(last) = state.unsynced else {
            return Ok(());
        };
        if state.left >= LEFT_MAX {
            let error = io::Error::other("syncs have failed again and again");
            return Err(Trouble::of("sync", ".".as_ref())(error).into());
        }
        for name in view::names_in(&self.dir)? {
            match name {
                ManifestName::Log(number) if number <= last => log::seal_again(&self.dir, number)?,
                _ => {}
            }
        }
        state.unsynced = None;
        state.left += 1;
        Ok(())
    }

    /// A log that lost its name was compacted, or the store was deleted. A segment that replaces it holds, durably,
    /// whatever stood before its SEAL.
    fn judge_unlinked(&self, state: &mut State, number: u64) -> Result<(), Refused> {
        self.reload(state)?;
        let compacted = state.view.segment.as_ref().is_some_and(|segment| segment.footer().last >= number);
        compacted.then_some(()).ok_or(Refused::Deleted)
    }

    /// Makes durable what an entry in log `number` rests on: the log's name, and the SEALs below, without which
    /// a reader after a power cut would follow a lower log and not come here.
    fn settle(&self, state: &mut State, number: u64) -> Result<(), Trouble> {
        if state.settled == Some(number) {
            return Ok(());
        }
        let names = state.view.names.iter();
        let lower = names.filter(|name| matches!(name, ManifestName::Log(n) if *n < number));
        for path in lower.map(|name| name.path()) {
            let file = match self.dir.open(&path, Access::Read) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(Trouble::of("open", &path))?,
            };
            file.sync().map_err(Trouble::of("sync", &path))?;
        }
        self.dir.sync().map_err(Trouble::of("sync", ".".as_ref()))?;
        state.settled = Some(number);
        state.left = 0;
        Ok(())
    }

    /// Makes log `number` with its header in staging, and gives it its name, complete. That the name is taken
    /// is no error: the caller looks again [m].
    fn make_log(&self, number: u64) -> Result<(), Trouble> {
        let header = Header { file: FileKind::Log, seed: self.seed()?, compat: 0, ro_compat: 0, incompat: 0 };
        let frame = Record::Header(header).to_frame(HEADER_SEED).unwrap_or_default();
        self.publish(ManifestName::Log(number), &mut |out| out.write(&frame)).map(|_| ())
    }

    fn seed(&self) -> Result<u64, Trouble> {
        let random = self.fs.random().map_err(Trouble::of("ask for random bytes", "getrandom".as_ref()))?;
        Ok(u64::from_le_bytes(random))
    }

    /// Writes a file of the manifest in staging and renames it; `false` if its name is taken.
    fn publish<E: From<Trouble>>(
        &self,
        name: ManifestName,
        write: &mut dyn FnMut(&mut Out<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let token = self.fs.random().map_err(Trouble::of("ask for random bytes", "getrandom".as_ref()))?;
        let staged = layout::staged(token);
        let create = || self.dir.create(&staged, 0o600);
        let file = self.dir.with_parent(layout::STAGING.as_ref(), create);
        let file = file.map_err(Trouble::of("make", &staged))?;
        let published = self.write_and_rename(&file, &staged, name, write);
        if !matches!(published, Ok(true)) {
            // Litter at worst: the next sweep takes it, for its lock goes with this process.
            let _ = self.dir.unlink(&staged);
        }
        published
    }

    fn write_and_rename<E: From<Trouble>>(
        &self,
        file: &File,
        staged: &Path,
        name: ManifestName,
        write: &mut dyn FnMut(&mut Out<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        file.try_lock(Lock::Shared).map_err(Trouble::of("lock", staged))?;
        // Whatever the umask left of it: others of this user must be able to open it.
        file.set_mode(0o600).map_err(Trouble::of("set the mode of", staged))?;
        write(&mut Out { file, staged })?;
        if matches!(name, ManifestName::Segment { .. }) || self.durability == Durability::Sync {
            file.sync().map_err(Trouble::of("sync", staged))?;
        }
        match self.dir.rename(staged, &name.path()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(Trouble::of("publish", &name.path())(error).into()),
        }
    }
}

/// A staged file of the manifest that is being written.
struct Out<'a> {
    file: &'a File,
    staged: &'a Path,
}

impl Out<'_> {
    fn write(&mut self, mut rest: &[u8]) -> Result<(), Trouble> {
        while !rest.is_empty() {
            let written = self.file.write(rest).map_err(Trouble::of("write", self.staged))?;
            if written == 0 {
                return Err(Trouble::of("write", self.staged)(io::ErrorKind::WriteZero.into()));
            }
            rest = &rest[written..];
        }
        Ok(())
    }
}
