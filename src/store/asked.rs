//! What a handle remembers of asking its tier: who is at it now, so that threads ask once; and what the tier said, so
//! that it is not asked the same again and again, and [`explain`](super::Store::explain) can tell.

use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    thread::{self, ThreadId},
    time::Duration,
};

use super::tier::{TierError, TierKey};
use crate::{
    error::Skip,
    fs::Fs,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// For so long a tier that had nothing, or what was refused, is not asked again: hosts ask for the same plugin many
/// times, and another machine that builds it now takes about that long.
const REMEMBERED_MS: u64 = 30_000;
/// So many answers are remembered (200 KiB at most); when more come, all that are too old go, or else all.
const ANSWERS_MAX: usize = 1024;
/// How often a thread that waits for another looks, at first and at most how seldom.
const POLL_FIRST: Duration = Duration::from_millis(1);
const POLL_MAX: Duration = Duration::from_millis(25);

/// What came of asking, where it was no artifact.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// The tier has nothing under the key.
    Nothing,
    /// It could not be asked, or what came was refused.
    Failed(TierError),
    /// What it has was made with another version of this file.
    InputChanged(PathBuf),
    /// It could not be stored here.
    NotStored(Skip),
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Said::Nothing => f.write_str("it has nothing under this key"),
            Said::Failed(error) => error.fmt(f),
            Said::InputChanged(path) => {
                write!(f, "what it has was made with another version of {}", path.display())
            }
            Said::NotStored(skip) => write!(f, "what it has could not be stored here: {skip}"),
        }
    }
}

impl Said {
    /// Whether it would say the same again, as far as one can know.
    fn is_lasting(&self) -> bool {
        match self {
            Said::Nothing => true,
            Said::Failed(error) => !matches!(error, TierError::Unreachable(_)),
            Said::InputChanged(_) | Said::NotStored(_) => false,
        }
    }
}

/// How a thread came through the gate of a key.
pub(super) enum Gate<'a> {
    /// It may ask, until this is dropped.
    Open(Asking<'a>),
    /// It has waited for another thread of this handle, which is through now.
    Waited,
    /// It has waited long enough, or is asking for this very key already.
    Shut,
}

/// The right to ask the tier for a key.
pub(super) struct Asking<'a> {
    asked: &'a Asked,
    key: TierKey,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.asked.asking().remove(&self.key);
    }
}

#[derive(Debug, Default)]
pub(super) struct Asked {
    asking: Mutex<HashMap<TierKey, ThreadId>>,
    answers: Mutex<HashMap<TierKey, (u64, Said)>>,
}

impl Asked {
    /// Waits until no other thread of this handle asks for this key, up to `max`.
    pub(super) fn gate(&self, fs: &Fs, key: &TierKey, max: Duration) -> Gate<'_> {
        let this = thread::current().id();
        let (mut waited, mut poll) = (Duration::ZERO, POLL_FIRST);
        loop {
            {
                let mut asking = self.asking();
                match asking.get(key) {
                    None if waited > Duration::ZERO => return Gate::Waited,
                    None => {
                        asking.insert(*key, this);
                        return Gate::Open(Asking { asked: self, key: *key });
                    }
                    Some(other) if *other == this || waited >= max => return Gate::Shut,
                    Some(_) => {}
                }
            }
            let pause = poll.min(max - waited);
            fs.pause(pause);
            waited += pause;
            poll = (poll * 2).min(POLL_MAX);
        }
    }

    /// Notes what the tier said, at `now_ms`.
    pub(super) fn note(&self, key: &TierKey, now_ms: u64, said: Said) {
        let mut answers = self.answers();
        if answers.len() >= ANSWERS_MAX {
            answers.retain(|_, (when, _)| is_fresh(*when, now_ms));
        }
        if answers.len() >= ANSWERS_MAX {
            answers.clear();
        }
        answers.insert(*key, (now_ms, said));
    }

    /// An artifact came.
    pub(super) fn forget(&self, key: &TierKey) {
        self.answers().remove(key);
    }

    /// Whether the tier has just said what it would say again.
    pub(super) fn is_known(&self, key: &TierKey, now_ms: u64) -> bool {
        let answers = self.answers();
        answers.get(key).is_some_and(|(when, said)| said.is_lasting() && is_fresh(*when, now_ms))
    }

    /// What the tier last said of this key, if it did not bring it.
    pub(super) fn said(&self, key: &TierKey) -> Option<Said> {
        self.answers().get(key).map(|(_, said)| said.clone())
    }

    fn asking(&self) -> MutexGuard<'_, HashMap<TierKey, ThreadId>> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<TierKey, (u64, Said)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A time that lies ahead comes from a clock that was set back.
fn is_fresh(when_ms: u64, now_ms: u64) -> bool {
    now_ms.checked_sub(when_ms).is_some_and(|age| age < REMEMBERED_MS)
}
