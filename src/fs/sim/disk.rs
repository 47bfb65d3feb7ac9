//! A simulated disk: a handle that tests and processes share, and the open descriptions on it.
//!
//! The tree lives in [`super::volume`]; here is what dies with its processes: open descriptions and locks.

use super::{
    super::{Access, Lock},
    errno::dead,
    faults::{Armed, End, Step},
    inode::Index,
    power::Origin,
    process::Process,
    random::Random,
    volume::Volume,
};
use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The user that processes run as, and that owns what tests plant, unless said otherwise.
pub const USER: u32 = 1000;

/// A simulated disk under a simulated kernel. A clone is the same disk; [`Disk::snapshot`] is another one.
#[derive(Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    origin: Option<Arc<Origin>>,
}

/// A moment in the history of a disk: the state right after a verb that changed it.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The process that did it, in the order in which they were started.
    pub process: u64,
    /// The verb.
    pub step: Step,
    /// The disk as it was then, all processes killed; its power can be cut.
    pub disk: Disk,
}

/// What the mutex holds.
#[derive(Debug)]
pub(super) struct State {
    pub(super) volume: Volume,
    pub(super) descriptions: BTreeMap<u32, Description>,
    pub(super) next_description: u32,
    pub(super) processes: BTreeMap<u64, Life>,
    pub(super) recording: Option<Vec<Moment>>,
}

/// An open file description.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) process: u64,
    pub(super) index: Index,
    /// `None` for a directory.
    pub(super) access: Option<Mode>,
    pub(super) cursor: usize,
    pub(super) lock: Option<Lock>,
}

/// How a description was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Only(Access),
    ReadWrite,
}

/// A process: its plans and its past.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) user: u32,
    pub(super) alive: bool,
    pub(super) end: Option<End>,
    pub(super) faults: Vec<Armed>,
    pub(super) trace: Vec<Step>,
    pub(super) random: Random,
    /// How far the clock has gone for a dead process alone, so that its waiting loops end.
    pub(super) afterlife: Duration,
    pub(super) last_disk: Option<Disk>,
}

/// Locks without minding that a test panicked while it held the lock: the state is plain data.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disk({:016x})", self.fingerprint())
    }
}

impl Disk {
    /// An empty disk: `/` alone, 0755, owned by [`USER`]. The seed decides all random bytes that are drawn.
    pub fn new(seed: u64) -> Disk {
        Disk::of(Volume::new(seed, USER), None)
    }

    /// A disk without processes.
    pub(super) fn of(mut volume: Volume, origin: Option<Arc<Origin>>) -> Disk {
        volume.recount();
        let state = State {
            volume,
            descriptions: BTreeMap::new(),
            next_description: 3,
            processes: BTreeMap::new(),
            recording: None,
        };
        Disk { state: Arc::new(Mutex::new(state)), origin }
    }

    /// How many handles share this disk.
    #[cfg(test)]
    pub(super) fn handles(&self) -> usize {
        Arc::strong_count(&self.state)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Starts a process as [`USER`].
    pub fn process(&self) -> Process {
        self.process_as(USER)
    }

    /// Starts a process as this user; 0 may do everything.
    pub fn process_as(&self, user: u32) -> Process {
        Process::start(self, user, None)
    }

    /// A copy of the disk as it would be if every process on it were killed now: no open file, no lock, the
    /// same boot. Un-synced changes stay un-synced. Cheap.
    pub fn snapshot(&self) -> Disk {
        Disk::of(self.lock().volume.clone(), self.origin.clone())
    }

    /// From now on, keeps a [`Moment`] for each verb that changed the disk: all crash states of a workload
    /// in one run of it.
    pub fn record(&self) {
        self.lock().recording = Some(Vec::new());
    }

    /// Ends the recording and hands it over.
    pub fn recorded(&self) -> Vec<Moment> {
        self.lock().recording.take().unwrap_or_default()
    }

    /// What a power cut left, if this disk has gone through one: for the message of a failing test.
    pub fn story(&self) -> String {
        self.origin.as_ref().map_or_else(|| "no power cut".to_owned(), |origin| origin.to_string())
    }

    /// A number that grows with every change of the tree, whether it shows or not.
    pub fn changes(&self) -> u64 {
        self.lock().volume.version
    }

    /// A hash of all that can be read: names, kinds, modes, owners, bytes, and the seconds of `mtime`. Left
    /// out, because states that differ in them alone are not worth counting twice: inode numbers, `ctime`,
    /// and nanoseconds.
    pub fn fingerprint(&self) -> u64 {
        self.lock().volume.fingerprint()
    }

    /// A hash of that, and of all that a power cut could still undo. Which of two files a name has led to counts
    /// by what is in them.
    pub fn fingerprint_before_cut(&self) -> u64 {
        self.lock().volume.fingerprint_before_cut()
    }
}

impl State {
    pub(super) fn life(&mut self, process: u64) -> io::Result<&mut Life> {
        self.processes.get_mut(&process).ok_or_else(dead)
    }

    pub(super) fn user(&self, process: u64) -> u32 {
        self.processes.get(&process).map_or(USER, |life| life.user)
    }

    /// Opens an inode for a process.
    pub(super) fn open(&mut self, process: u64, index: Index, access: Option<Mode>) -> u32 {
        let number = self.next_description;
        self.next_description += 1;
        self.descriptions.insert(number, Description { process, index, access, cursor: 0, lock: None });
        number
    }

    /// `flock` without waiting.
    pub(super) fn try_lock(&mut self, number: u32, wanted: Lock) -> io::Result<bool> {
        let Some(description) = self.descriptions.get_mut(&number) else { return Err(dead()) };
        if description.lock == Some(wanted) {
            return Ok(true);
        }
        // A conversion is no atomic step: the kernel frees the old lock before it asks for the new one.
        description.lock = None;
        let index = description.index;
        let is_free = self.descriptions.values().filter(|other| other.index == index).all(|other| {
            !matches!((other.lock, wanted), (Some(Lock::Exclusive), _) | (Some(_), Lock::Exclusive))
        });
        if let Some(description) = self.descriptions.get_mut(&number) {
            description.lock = is_free.then_some(wanted);
        }
        Ok(is_free)
    }

    /// Closes a description: its lock is free, and its inode goes if nothing else leads to it.
    pub(super) fn close(&mut self, number: u32) {
        if let Some(description) = self.descriptions.remove(&number) {
            self.forget(description.index);
        }
    }

    /// Gives an inode's room back if neither a name nor a description leads to it.
    pub(super) fn forget(&mut self, index: Index) {
        let is_open = self.descriptions.values().any(|description| description.index == index);
        let is_named = self.volume.get(index).is_none_or(|inode| inode.links > 0);
        if is_open || is_named {
            return;
        }
        self.volume.release(index);
        let open: Vec<Index> = self.descriptions.values().map(|description| description.index).collect();
        self.volume.tidy(&open);
    }

    /// Kills a process.
    pub(super) fn kill(&mut self, process: u64) {
        let Some(life) = self.processes.get_mut(&process) else { return };
        if !life.alive {
            return;
        }
        life.alive = false;
        life.last_disk = Some(Disk::of(self.volume.clone(), None));
        let own =
            |(number, description): (&u32, &Description)| (description.process == process).then_some(*number);
        for number in self.descriptions.iter().filter_map(own).collect::<Vec<_>>() {
            self.close(number);
        }
    }
}
