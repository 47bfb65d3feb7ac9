//! A process on a simulated disk, and the one function that every verb goes through.
//!
//! [`Process::step`] waits for its turn if a [`super::Controller`] schedules the process, counts the verb,
//! and then lets it happen, fail, or be the last. A dead process has no effect on anything; its verbs
//! answer with an error that [`super::is_dead`] knows. Fork is not modelled, nor are threads of one process
//! under a controller.

use super::{
    disk::{Disk, Life, Moment, State},
    errno::{EDQUOT, EIO, ENOSPC, dead, errno},
    faults::{Armed, At, End, Failure, Fate, Fault, Step, Verb},
    inode::Index,
    random::Random,
    schedule::Seat,
};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// A process on a simulated disk: one world of the crate's file system. A clone is the same process.
#[derive(Clone)]
pub struct Process {
    pub(super) disk: Disk,
    pub(super) id: u64,
    seat: Option<Seat>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Process({})", self.id)
    }
}

/// A verb that is about to happen.
pub(super) struct Call<'a> {
    pub(super) verb: Verb,
    pub(super) base: &'a Path,
    pub(super) rel: Option<&'a Path>,
    pub(super) to: Option<&'a Path>,
    pub(super) bytes: usize,
    /// What a sync is about; `None` for all.
    pub(super) index: Option<Index>,
}

impl<'a> Call<'a> {
    pub(super) fn new(verb: Verb, base: &'a Path) -> Call<'a> {
        Call { verb, base, rel: None, to: None, bytes: 0, index: None }
    }

    pub(super) fn at(verb: Verb, base: &'a Path, rel: &'a Path) -> Call<'a> {
        Call { rel: Some(rel), ..Call::new(verb, base) }
    }

    fn step(&self) -> Step {
        let below = |rel: Option<&Path>| rel.map(|rel| self.base.join(rel));
        Step {
            verb: self.verb,
            path: below(self.rel).unwrap_or_else(|| PathBuf::from(self.base)),
            to: below(self.to),
            bytes: self.bytes,
            failed: false,
        }
    }
}

impl Process {
    pub(super) fn start(disk: &Disk, user: u32, seat: Option<Seat>) -> Process {
        let mut state = disk.lock();
        let id = state.volume.started;
        state.volume.started += 1;
        let seed = Random::new(state.volume.seed ^ id.rotate_left(32)).next_u64();
        let life = Life {
            user,
            alive: true,
            end: None,
            faults: Vec::new(),
            trace: Vec::new(),
            random: Random::new(seed),
            afterlife: Duration::ZERO,
            last_disk: None,
        };
        state.processes.insert(id, life);
        drop(state);
        Process { disk: disk.clone(), id, seat }
    }

    /// The disk it runs on.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Kills it now, as SIGKILL does: its descriptions are closed, its locks free, and nothing else happens.
    pub fn kill(&self) {
        self.disk.lock().kill(self.id);
    }

    /// Whether nothing has killed it yet.
    pub fn is_alive(&self) -> bool {
        self.disk.lock().life(self.id).is_ok_and(|life| life.alive)
    }

    /// Kills it right after its n-th next verb, whose result it never sees. 0 kills it now. Like the other
    /// plans for an end, it replaces an earlier one.
    pub fn kill_after(&self, n: usize) {
        if n == 0 {
            return self.kill();
        }
        self.plan(n, End::After);
    }

    /// Kills it right before its n-th next verb takes effect.
    pub fn kill_before(&self, n: usize) {
        self.plan(n, End::Before);
    }

    /// Kills it within its n-th next verb: if that is a write, the first `keep` bytes have reached the file;
    /// any other verb has not happened. See [`super::torn_lengths`].
    pub fn tear(&self, n: usize, keep: usize) {
        self.plan(n, |at| End::Torn { at, keep });
    }

    /// Ends it after its n-th next verb, for a power cut at that moment: see [`Process::last_disk`]. Others
    /// may go on; what they do is not on that disk.
    pub fn freeze_after(&self, n: usize) {
        self.kill_after(n);
    }

    /// Stops it (SIGSTOP) after its n-th next verb: it keeps its locks and is never chosen again. Only a
    /// [`super::Controller`] can stop a process; without one this is no plan at all.
    pub fn stop_after(&self, n: usize) {
        self.plan(n, End::Stop);
    }

    /// The disk at the moment at which this process died, by whatever plan; `None` while it lives.
    pub fn last_disk(&self) -> Option<Disk> {
        self.disk.lock().life(self.id).ok().and_then(|life| life.last_disk.clone())
    }

    fn plan(&self, n: usize, end: impl FnOnce(usize) -> End) {
        if let Ok(life) = self.disk.lock().life(self.id) {
            life.end = Some(end(life.trace.len() + n));
        }
    }

    /// Makes verbs fail. Several faults may stand side by side; the first that fits wins.
    pub fn fail(&self, fault: Fault) {
        if let Ok(life) = self.disk.lock().life(self.id) {
            let done = life.trace.len();
            let at = match fault.at {
                At::Verb(n) => At::Verb(done + n),
                At::From(n) => At::From(done + n),
            };
            life.faults.push(Armed { at, failure: fault.failure });
        }
    }

    /// Takes all planned faults back.
    pub fn heal(&self) {
        if let Ok(life) = self.disk.lock().life(self.id) {
            life.faults.clear();
        }
    }

    /// Every verb so far.
    pub fn trace(&self) -> Vec<Step> {
        self.disk.lock().life(self.id).map_or_else(|_| Vec::new(), |life| life.trace.clone())
    }

    /// How many verbs so far.
    pub fn steps(&self) -> usize {
        self.disk.lock().life(self.id).map_or(0, |life| life.trace.len())
    }

    /// Lets a verb happen. `run` gets the state and the most bytes that a read or a write may move.
    pub(super) fn step<T>(
        &self,
        call: Call<'_>,
        run: impl FnOnce(&mut State, usize) -> io::Result<T>,
    ) -> io::Result<T> {
        // The threads that share this process may go on in any order between two verbs.
        #[cfg(shuttle)]
        shuttle::thread::yield_now();
        if let Some(seat) = self.seat.as_ref().filter(|_| self.is_alive()) {
            seat.wait_for_turn();
        }
        let (result, fate) = self.happen(&call, run);
        if let Some(seat) = &self.seat {
            if fate == Fate::Stop {
                seat.stop();
            }
            if call.verb == Verb::Pause {
                seat.yield_turn();
            }
        }
        result
    }

    fn happen<T>(
        &self,
        call: &Call<'_>,
        run: impl FnOnce(&mut State, usize) -> io::Result<T>,
    ) -> (io::Result<T>, Fate) {
        let mut state = self.disk.lock();
        let (fate, failure) = match state.life(self.id) {
            Ok(life) if life.alive => life.begin(call),
            _ => return (Err(dead()), Fate::Live),
        };
        let version = state.volume.version;
        let limit = match (fate, failure) {
            (Fate::DieWithin(keep), _) => keep,
            (_, Some(Failure::ShortWrite(limit) | Failure::ShortRead(limit))) => limit,
            _ => usize::MAX,
        };
        let mut result = match (fate, failure) {
            (Fate::DieBefore, _) => Err(dead()),
            (_, Some(Failure::Errno(number))) => {
                if call.verb.syncs() && [EIO, ENOSPC, EDQUOT].contains(&number) {
                    state.volume.lose(call.index);
                }
                Err(errno(number))
            }
            _ => run(&mut state, limit),
        };
        if matches!(fate, Fate::DieBefore | Fate::DieAfter | Fate::DieWithin(_)) {
            state.kill(self.id);
            result = Err(dead());
        }
        if let (Err(_), Ok(life)) = (&result, state.life(self.id))
            && let Some(step) = life.trace.last_mut()
        {
            step.failed = true;
        }
        if state.volume.version != version {
            state.keep_moment(self.id);
        }
        (result, fate)
    }
}

impl Life {
    /// Counts a verb and says what becomes of it.
    fn begin(&mut self, call: &Call<'_>) -> (Fate, Option<Failure>) {
        self.trace.push(call.step());
        let count = self.trace.len();
        let fate = self.end.map_or(Fate::Live, |end| end.fate(count, call.verb));
        (fate, self.faults.iter().find_map(|fault| fault.meets(count, call.verb)))
    }
}

impl State {
    /// Keeps the state after the last verb of a process, if a test asked for it.
    fn keep_moment(&mut self, process: u64) {
        let step = self.processes.get(&process).and_then(|life| life.trace.last()).cloned();
        if let (Some(recording), Some(step)) = (&mut self.recording, step) {
            recording.push(Moment { process, step, disk: Disk::of(self.volume.clone(), None) });
        }
    }
}
