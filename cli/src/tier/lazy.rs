//! The tier as stores are given it: nothing is read, made or asked before a store has missed.

use super::{
    rest::Rest,
    settings::{self, Settings},
};
use crate::exit::{tell, warn};
use plugcache::{Artifact, Config, OpenError, Parcel, Sink, Store, Tier, TierError, TierKey};
use plugcache_remote::{Mode, Remote};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// What another process has left word of.
const RESTS: &str = "a process had no answer from it moments ago";

/// The directory beside the store's own in which the queue lies, and what processes tell each other.
pub(crate) fn state_of(store: &Path) -> PathBuf {
    store.join("remote")
}

/// The engine has answered: processes of this store ask it again at once.
pub(crate) fn answered(store: &Path) {
    Rest::below(&state_of(store)).end();
}

/// A tier that is looked for when it is first asked. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Lazy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Of the store.
    dir: PathBuf,
    is_verbose: bool,
    made: OnceLock<Made>,
    is_warned: AtomicBool,
}

#[derive(Debug)]
enum Made {
    /// Nobody asked for one.
    None,
    Broken(String),
    There {
        remote: Remote,
        mode: Mode,
    },
}

impl Lazy {
    /// For the store that a configuration describes.
    pub(crate) fn of(config: &Config, is_verbose: bool) -> Lazy {
        let dir = crate::place::absolute(config.dir());
        Lazy(Arc::new(Inner { dir, is_verbose, made: OnceLock::new(), is_warned: AtomicBool::new(false) }))
    }

    /// Opens a store with this tier.
    pub(crate) fn open(&self, config: Config) -> Result<Store, OpenError> {
        if settings::is_off() { Store::open(config) } else { Store::open_with_tier(config, self.clone()) }
    }

    /// What is wrong with the configuration, if it was read and is wrong.
    pub(crate) fn trouble(&self) -> Option<&str> {
        match self.0.made.get() {
            Some(Made::Broken(why)) => Some(why),
            _ => None,
        }
    }

    /// Whether a tier was asked, or would have been.
    pub(crate) fn is_there(&self) -> bool {
        matches!(self.0.made.get(), Some(Made::There { .. }))
    }

    /// What it has under a key, in words; `None`: there is no tier.
    pub(crate) fn words_about(&self, key: &TierKey) -> Option<String> {
        if settings::is_off() {
            return None;
        }
        if self.rest().is_now() {
            return Some(format!("it is not asked: {RESTS}"));
        }
        let said = self.entry(key);
        if let Some(why) = self.trouble() {
            return Some(format!("its configuration is wrong: {why}"));
        }
        self.is_there().then(|| match said {
            Ok(Some(parcel)) => {
                let bytes = parcel.objects.iter().map(|object| object.len).fold(0, u64::saturating_add);
                format!("it has this: `run`, `path` and `get` fetch it ({})", crate::out::human::size(bytes))
            }
            Ok(None) => "it has nothing under this key that is believed here".into(),
            Err(error) => error.to_string(),
        })
    }

    fn made(&self) -> &Made {
        self.0.made.get_or_init(|| match self.make() {
            Ok(made) => made,
            Err(why) => {
                self.warn_once(&format!("there is no tier: {why}"));
                Made::Broken(why)
            }
        })
    }

    fn make(&self) -> Result<Made, String> {
        let Some(settings) = Settings::find()? else { return Ok(Made::None) };
        if settings.mode == Mode::Off {
            return Ok(Made::None);
        }
        let state = state_of(&self.0.dir);
        let remote = settings.remote(settings.mode, &state)?;
        // This process ends in a moment: `remote push` brings what is queued.
        remote.leave_uploads();
        Ok(Made::There { remote, mode: settings.mode })
    }

    /// The first thing that is wrong is told, and no other.
    fn warn_once(&self, why: &str) {
        if !self.0.is_warned.swap(true, Ordering::Relaxed) {
            warn(why);
        }
    }

    fn say(&self, what: &str) {
        if self.0.is_verbose {
            tell(what);
        }
    }

    fn rest(&self) -> Rest {
        Rest::below(&state_of(&self.0.dir))
    }

    /// Tells what came of a question, and leaves word to the next process.
    fn after<T>(&self, answer: Result<T, TierError>) -> Result<T, TierError> {
        if let Err(error) = &answer {
            if !matches!(error, TierError::Wrong(_)) {
                self.rest().begin();
            }
            self.warn_once(&error.to_string());
        }
        answer
    }
}

impl Tier for Lazy {
    fn entry(&self, key: &TierKey) -> Result<Option<Parcel>, TierError> {
        // A client that was made here knows for itself when to ask.
        if self.0.made.get().is_none() && self.rest().is_now() {
            self.say(&format!("the tier is not asked: {RESTS}"));
            return Err(TierError::Unreachable(RESTS.into()));
        }
        let remote = match self.made() {
            Made::None => return Err(TierError::Off),
            Made::Broken(why) => return Err(TierError::Misconfigured(why.clone())),
            Made::There { remote, .. } => remote,
        };
        let answer = self.after(remote.entry(key));
        if let Ok(None) = &answer {
            self.say("the tier has nothing under this key that is believed here");
        }
        answer
    }

    fn objects(&self, key: &TierKey, wanted: &mut [Sink<'_>]) -> Result<(), TierError> {
        let Made::There { remote, .. } = self.made() else {
            return Err(TierError::Unreachable("there is none".into()));
        };
        self.after(remote.objects(key, wanted))
    }

    fn offer(&self, key: &TierKey, parcel: &Parcel, artifact: &Artifact) {
        let Made::There { remote, mode } = self.made() else { return };
        if *mode == Mode::WriteThrough && self.rest().is_now() {
            self.say(&format!("not brought to the tier: {RESTS}"));
            return;
        }
        let before = remote.status().counts;
        remote.offer(key, parcel, artifact);
        let now = remote.status().counts;
        if now.not_published > before.not_published || now.dropped_full > before.dropped_full {
            if now.failures > before.failures {
                self.rest().begin();
            }
            self.warn_once("it is stored here, and could not be brought to the tier");
            return;
        }
        match mode {
            Mode::WriteThrough => self.say("brought to the tier"),
            Mode::ReadWrite => self.say("queued for the tier: `plugcache remote push` brings it"),
            _ => {}
        }
    }

    // `used` stays what it is: nothing. A hit reads no configuration, and `remote push` renews what grows old.
}
