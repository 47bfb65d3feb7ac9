//! Uploads that wait, one file each, beside the store: a killed host loses none, and what is dropped is counted.
//!
//! A file names a key and no bytes: those are in the store, and are read when their turn comes. It is written aside and
//! renamed, so that it is whole or not there; without syncs, so that a power cut may lose it: then another host builds and
//! brings the same. Several processes may work on one queue: who brings a job holds its file locked.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use plugcache::{Artifact, Parcel, Store, TierKey};

use crate::{
    client::Client,
    count::one,
    job::{EXTENSION, Job, Reason, file_name, is_of_another_version, parse, text_of},
    publish::{How, Published},
    sign::LIFETIME,
};

/// Waiting uploads of one queue.
const JOBS_MAX: usize = 1024;
/// .. and the bytes of their objects: a day of an office's line.
const BYTES_MAX: u64 = 4 << 30;
/// Artifacts that are kept open until they are brought, where no store supplies them.
const HELD_MAX: usize = 64;
/// After a round that failed.
const PAUSE: Duration = Duration::from_secs(5);
const ASIDE: &str = "new";
/// No process takes so long to write a few lines.
const ASIDE_AGE_MAX: Duration = Duration::from_secs(3600);

/// Where the artifacts of uploads come from.
pub trait Supply: Send + Sync {
    /// What is stored under this key, for this executable; `None`: it is not there any more.
    fn artifact(&self, key: &TierKey) -> Option<(Parcel, Artifact)>;
}

impl<F: Fn(&TierKey) -> Option<(Parcel, Artifact)> + Send + Sync> Supply for F {
    fn artifact(&self, key: &TierKey) -> Option<(Parcel, Artifact)> {
        self(key)
    }
}

/// A store that the queue lies beside. Give it a handle without a tier, lest the two hold each other for ever.
impl Supply for Store {
    fn artifact(&self, key: &TierKey) -> Option<(Parcel, Artifact)> {
        // A store may have several of one key, which differ in the files that their builds read: the newest that was built
        // here, else the newest.
        let mut entries: Vec<_> =
            self.entries_of(&key.source).filter(|entry| entry.tier_key() == *key).collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.made()));
        let all = || entries.iter().filter_map(|entry| self.parcel(entry));
        let own = all().find(|(_, _, artifact)| !artifact.was_brought());
        let (_, parcel, artifact) = own.or_else(|| all().next())?;
        Some((parcel, artifact))
    }
}

/// What waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStatus {
    /// How many uploads.
    pub jobs: usize,
    /// The bytes of their objects.
    pub bytes: u64,
}

/// What waits in the directory of a queue, as a look from outside shows it; nothing, if it cannot be read.
pub fn waiting_in(dir: &Path) -> QueueStatus {
    let files = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let jobs = files.filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION));
    let jobs = jobs.filter_map(|path| parse(&fs::read_to_string(path).ok()?));
    jobs.fold(QueueStatus::default(), |sum, job| QueueStatus {
        jobs: sum.jobs + 1,
        bytes: sum.bytes.saturating_add(job.bytes),
    })
}

/// The queue of one client.
pub(crate) struct Queue(Arc<Shared>);

struct Shared {
    dir: PathBuf,
    client: Arc<Client>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    held: HashMap<TierKey, (Parcel, Artifact)>,
    supply: Option<Arc<dyn Supply>>,
    has_news: bool,
    /// Whether somebody waits: a pause is cut short.
    is_urgent: bool,
    is_over: bool,
    /// Whether the thread has been started, ..
    is_manned: bool,
    /// .. or none is wanted.
    is_left: bool,
}

impl Queue {
    /// The queue in this directory, which is made if it is not there.
    pub(crate) fn open(dir: &Path, client: Arc<Client>) -> io::Result<Queue> {
        use std::os::unix::fs::DirBuilderExt as _;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let (dir, state) = (dir.to_owned(), Mutex::default());
        let queue = Queue(Arc::new(Shared { dir, client, state, changed: Condvar::new() }));
        queue.0.list()?;
        queue.0.tidy();
        Ok(queue)
    }

    pub(crate) fn supply(&self, supply: Arc<dyn Supply>) {
        let mut state = self.0.state();
        state.held.clear();
        state.supply = Some(supply);
        state.has_news = true;
        state.is_urgent = true;
        Shared::man(&self.0, &mut state);
        self.0.changed.notify_all();
    }

    /// From now on no thread is started.
    pub(crate) fn leave(&self) {
        self.0.state().is_left = true;
    }

    /// Writes a job down, unless there is no room.
    pub(crate) fn push(&self, job: Job, parcel: &Parcel, artifact: &Artifact) {
        let counters = &self.0.client.counters;
        // Under the lock, so that threads together keep the limits.
        let mut state = self.0.state();
        let waiting = self.0.list().unwrap_or_default();
        let path = self.0.dir.join(file_name(&job.key));
        let others: Vec<_> = waiting.iter().filter(|(other, _)| *other != path).collect();
        let bytes = others.iter().map(|(_, job)| job.bytes).fold(job.bytes, u64::saturating_add);
        if others.len() >= JOBS_MAX || bytes > BYTES_MAX {
            one(&counters.dropped_full);
            return;
        }
        if state.supply.is_none() {
            if state.held.len() >= HELD_MAX && !state.held.contains_key(&job.key) {
                one(&counters.dropped_full);
                return;
            }
            state.held.insert(job.key, (parcel.clone(), artifact.clone()));
        }
        let is_renewal_of_more = job.reason == Reason::Used && others.len() < waiting.len();
        if !is_renewal_of_more && self.0.write(&path, &job).is_err() {
            state.held.remove(&job.key);
            one(&counters.not_published);
            return;
        }
        one(&counters.queued);
        state.has_news = true;
        Shared::man(&self.0, &mut state);
        self.0.changed.notify_all();
    }

    /// Waits until nothing waits any more.
    pub(crate) fn flush(&self, wait: Duration) -> usize {
        let until = Instant::now() + wait;
        let mut state = self.0.state();
        state.has_news = true;
        state.is_urgent = true;
        Shared::man(&self.0, &mut state);
        self.0.changed.notify_all();
        loop {
            let waiting = self.0.list().map_or(0, |jobs| jobs.len());
            let left = until.saturating_duration_since(Instant::now());
            if waiting == 0 || left.is_zero() {
                return waiting;
            }
            // Another process may be the one that brings the last.
            let step = left.min(Duration::from_millis(50));
            state = self.0.changed.wait_timeout(state, step).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// One round, in this thread.
    pub(crate) fn drain(&self) -> usize {
        self.0.round();
        self.status().jobs
    }

    pub(crate) fn status(&self) -> QueueStatus {
        let jobs = self.0.list().unwrap_or_default();
        QueueStatus { jobs: jobs.len(), bytes: jobs.iter().map(|(_, job)| job.bytes).sum() }
    }
}

impl Drop for Queue {
    /// The thread ends after the upload that it is at; what waits, waits for the next process.
    fn drop(&mut self) {
        self.0.state().is_over = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the thread: with the first work, not with the client.
    fn man(shared: &Arc<Shared>, state: &mut State) {
        if !state.is_manned && !state.is_left {
            let shared = shared.clone();
            let thread = thread::Builder::new().name("plugcache-upload".into());
            state.is_manned = thread.spawn(move || shared.work()).is_ok();
        }
    }

    fn work(&self) {
        loop {
            let mut state = self.state();
            while !state.has_news && !state.is_over {
                // Now and then also for what other processes left.
                let woken = self.changed.wait_timeout(state, 12 * PAUSE);
                let (woken, timeout) = woken.unwrap_or_else(PoisonError::into_inner);
                state = woken;
                state.has_news |= timeout.timed_out();
            }
            if state.is_over {
                return;
            }
            state.has_news = false;
            drop(state);
            if !self.round() {
                let state = self.state();
                let slept =
                    self.changed.wait_timeout_while(state, PAUSE, |state| !state.is_over && !state.is_urgent);
                let mut state = slept.unwrap_or_else(PoisonError::into_inner).0;
                state.has_news = true;
                state.is_urgent = false;
            }
            self.changed.notify_all();
        }
    }

    /// Brings all that waits; whether the engine answered.
    fn round(&self) -> bool {
        let jobs = {
            let mut state = self.state();
            let Ok(jobs) = self.list() else { return false };
            // What another process brought need not be kept open here any more.
            state.held.retain(|key, _| jobs.iter().any(|(_, job)| job.key == *key));
            jobs
        };
        for (path, job) in jobs {
            if self.state().is_over {
                return true;
            }
            let Ok(file) = File::open(&path) else { continue };
            // Another process is at it.
            if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            if !self.run(&path, &file, &job) {
                return false;
            }
        }
        true
    }

    /// One job; `false`: the engine does not answer, and it stays.
    fn run(&self, path: &Path, file: &File, job: &Job) -> bool {
        let counters = &self.client.counters;
        // By the system's clock, which gave the file its time.
        if is_old(file, SystemTime::now()) {
            one(&counters.dropped_old);
            return self.done(path, file, job);
        }
        let (held, supply) = {
            let state = self.state();
            (state.held.get(&job.key).cloned(), state.supply.clone())
        };
        let Some((parcel, artifact)) = held.or_else(|| supply.as_ref()?.artifact(&job.key)) else {
            // Without a supply it waits for a process that has one.
            if supply.is_some() {
                one(&counters.dropped_gone);
                return self.done(path, file, job);
            }
            return true;
        };
        let published = match job.reason {
            // It took the place of what was built: nobody here may sign it.
            Reason::Built | Reason::Spoilt if artifact.was_brought() => Published::Unfit,
            Reason::Built => self.client.publish(&job.key, &parcel, &artifact, How::Trusting),
            Reason::Spoilt => self.client.publish(&job.key, &parcel, &artifact, How::Afresh),
            Reason::Used => self.client.renew(&job.key, &parcel, &artifact),
        };
        match published {
            Published::Done => self.done(path, file, job),
            Published::Unfit => {
                one(&counters.dropped_unfit);
                self.done(path, file, job)
            }
            Published::Failed => false,
        }
    }

    fn done(&self, path: &Path, file: &File, job: &Job) -> bool {
        // Under the lock: what was queued anew meanwhile stays.
        let mut state = self.state();
        if is_still(path, file) {
            // Somebody else may have removed it: it is gone.
            let _ = fs::remove_file(path);
            state.held.remove(&job.key);
        }
        true
    }

    fn write(&self, path: &Path, job: &Job) -> io::Result<()> {
        let mut aside = new_file(&self.dir, path)?;
        let written = aside.0.write_all(text_of(job).as_bytes()).and_then(|()| fs::rename(&aside.1, path));
        written.inspect_err(|_| {
            // The error tells what happened; this is only tidiness.
            let _ = fs::remove_file(&aside.1);
        })
    }

    /// Removes what killed processes left half written.
    fn tidy(&self) {
        let files = fs::read_dir(&self.dir).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in files.filter(|path| path.extension().is_some_and(|extension| extension == ASIDE)) {
            let age = fs::symlink_metadata(&path).and_then(|meta| meta.modified()).map(|at| at.elapsed());
            if age.is_ok_and(|age| age.unwrap_or_default() > ASIDE_AGE_MAX) {
                // The next process tries again.
                let _ = fs::remove_file(&path);
            }
        }
    }

    /// All jobs, in the order of their names; files that are no jobs any more are removed.
    fn list(&self) -> io::Result<Vec<(PathBuf, Job)>> {
        let mut jobs = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != EXTENSION) {
                continue;
            }
            let text = match fs::read_to_string(&path) {
                Err(error) if error.kind() != io::ErrorKind::InvalidData => continue,
                text => text.unwrap_or_default(),
            };
            if is_of_another_version(&text) {
                continue;
            }
            match parse(&text).filter(|job| path.ends_with(file_name(&job.key))) {
                Some(job) => jobs.push((path, job)),
                None => {
                    one(&self.client.counters.dropped_damaged);
                    // It will be met again, and counted again.
                    let _ = fs::remove_file(&path);
                }
            }
        }
        jobs.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(jobs)
    }
}

/// A new file that no other thread or process writes to.
fn new_file(dir: &Path, path: &Path) -> io::Result<(File, PathBuf)> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let aside = dir.join(format!("{name}.{}-{number}.{ASIDE}", std::process::id()));
    File::create(&aside).map(|file| (file, aside))
}

/// Whether the name leads to this file.
fn is_still(path: &Path, file: &File) -> bool {
    let (named, open) = (fs::symlink_metadata(path), file.metadata());
    named
        .ok()
        .zip(open.ok())
        .is_some_and(|(named, open)| (named.dev(), named.ino()) == (open.dev(), open.ino()))
}

fn is_old(file: &File, now: SystemTime) -> bool {
    let written = file.metadata().and_then(|meta| meta.modified());
    written.is_ok_and(|at| now.duration_since(at).unwrap_or_default() > LIFETIME)
}
