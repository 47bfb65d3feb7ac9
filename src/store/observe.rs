//! What a host may watch: events as they happen. Silent, and free, while nobody does.

use std::{fmt, path::PathBuf, time::Duration};

use super::{
    Store,
    artifact::Artifact,
    compare::Comparison,
    explain::DroppedBy,
    report::Entry,
    tier::{TierError, TierKey},
};
use crate::{
    digest::ObjectDigest,
    error::Skip,
    sources::Sources,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// Why a find missed, as far as the find itself could tell. [`Store::explain`] compares and says more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Miss {
    /// There is no store, for this reason.
    Disabled(String),
    /// The store does not exist yet.
    Absent,
    /// The store could not be read.
    Unreadable(String),
    /// There is no entry.
    NeverSeen,
    /// There was an entry, and it was dropped.
    Dropped(DroppedBy),
    /// Only other executables made it.
    OtherExec,
    /// A file that the build read beside its sources changed.
    InputChanged(PathBuf),
    /// An object was gone.
    ObjectMissing(ObjectDigest),
    /// An object's bytes were wrong: it was set aside.
    ObjectDamaged(ObjectDigest),
    /// An object could not be opened or read; nothing is wrong with it.
    ObjectUnreadable(ObjectDigest),
    /// The mode finds nothing.
    Mode,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::Disabled(why) => write!(f, "there is no store: {why}"),
            Miss::Absent => f.write_str("the store does not exist yet"),
            Miss::Unreadable(why) => write!(f, "the store cannot be read: {why}"),
            Miss::NeverSeen => f.write_str("never seen before"),
            Miss::Dropped(rule) => write!(f, "it was dropped: {rule}"),
            Miss::OtherExec => f.write_str("only another executable made it"),
            Miss::InputChanged(path) => write!(f, "{} changed", path.display()),
            Miss::ObjectMissing(digest) => write!(f, "the object {digest} is gone"),
            Miss::ObjectDamaged(digest) => write!(f, "the object {digest} was damaged and set aside"),
            Miss::ObjectUnreadable(digest) => write!(f, "the object {digest} cannot be read"),
            Miss::Mode => f.write_str("the mode builds everything anew"),
        }
    }
}

/// Something that a handle did. `Display` says it in one line.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A find gave an artifact.
    Hit {
        /// What was asked for.
        sources: &'a Sources,
        /// What was found.
        artifact: &'a Artifact,
    },
    /// A find gave none.
    Miss {
        /// What was asked for.
        sources: &'a Sources,
        /// Why it was not found.
        why: &'a Miss,
    },
    /// An artifact was stored.
    Added {
        /// What it was made from.
        sources: &'a Sources,
        /// The new entry.
        entry: &'a Entry,
    },
    /// An artifact came from the [tier](crate::Tier), and was stored.
    Fetched {
        /// The new entry.
        entry: &'a Entry,
        /// How many bytes came; objects that were here already did not.
        bytes: u64,
        /// How long it took.
        took: Duration,
    },
    /// The [tier](crate::Tier) gave no answer, or one that was refused.
    TierFailed {
        /// What it was asked for.
        key: TierKey,
        /// Why there is no answer, or what is wrong with it.
        why: &'a TierError,
    },
    /// An artifact was not stored.
    Skipped {
        /// What it was made from.
        sources: &'a Sources,
        /// Why it was not stored.
        why: &'a Skip,
    },
    /// An artifact was compared with what is stored, and not stored ([`Mode::Compare`](crate::Mode::Compare)).
    Compared {
        /// What it was made from.
        sources: &'a Sources,
        /// What differs.
        comparison: &'a Comparison,
    },
    /// An entry was dropped by a limit.
    Evicted {
        /// What was dropped.
        entry: &'a Entry,
        /// Which limit.
        rule: DroppedBy,
    },
    /// A build begins.
    BuildBegan {
        /// What is built.
        sources: &'a Sources,
    },
    /// A build has ended.
    BuildEnded {
        /// What was built.
        sources: &'a Sources,
        /// How long it took.
        took: Duration,
        /// Whether it gave an artifact, stored or not.
        succeeded: bool,
    },
    /// The log of the store was compacted into a segment.
    Compacted,
    /// An object was found damaged, and was set aside unless the store is read-only.
    Damaged {
        /// Its name.
        object: ObjectDigest,
    },
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Hit { sources, .. } => write!(f, "hit: {}", sources.label()),
            Event::Miss { sources, why } => write!(f, "miss: {}: {why}", sources.label()),
            Event::Added { sources, entry } => {
                write!(f, "added: {}, {} bytes", sources.label(), entry.bytes())
            }
            Event::Fetched { entry, bytes, took } => {
                write!(f, "fetched: {}, {bytes} bytes, {} ms", entry.label(), took.as_millis())
            }
            Event::TierFailed { key, why } => write!(f, "not fetched: {}: {why}", key.source),
            Event::Skipped { sources, why } => write!(f, "not stored: {}: {why}", sources.label()),
            Event::Compared { sources, comparison } => {
                write!(f, "compared: {}: {comparison}", sources.label())
            }
            Event::Evicted { entry, rule } => write!(f, "evicted: {}: {rule}", entry.label()),
            Event::BuildBegan { sources } => write!(f, "building: {}", sources.label()),
            Event::BuildEnded { sources, took, succeeded } => {
                let how = if *succeeded { "built" } else { "not built" };
                write!(f, "{how}: {}, {} ms", sources.label(), took.as_millis())
            }
            Event::Compacted => f.write_str("compacted the manifest"),
            Event::Damaged { object } => write!(f, "damaged: object {object}"),
        }
    }
}

type Observer = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// Who watches a handle.
#[derive(Default)]
pub(super) struct Watch {
    is_watched: AtomicBool,
    observers: RwLock<Vec<Observer>>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    #[cfg(not(feature = "tracing"))]
    pub(super) fn new() -> Watch {
        Watch::default()
    }

    /// Whatever happens goes to `tracing`, by an observer like any other.
    #[cfg(feature = "tracing")]
    pub(super) fn new() -> Watch {
        let watch = Watch::default();
        watch.add(Arc::new(|event| tracing::debug!(target: "plugcache", "{event}")));
        watch
    }

    /// Must be called without any lock held: an observer may use the store.
    pub(super) fn tell<'a>(&self, event: impl FnOnce() -> Event<'a>) {
        if self.is_watched.load(Ordering::Relaxed) {
            self.tell_all(&event());
        }
    }

    #[cold]
    fn tell_all(&self, event: &Event<'_>) {
        let observers = self.observers.read().unwrap_or_else(PoisonError::into_inner).clone();
        observers.iter().for_each(|observer| observer(event));
    }

    pub(super) fn add(&self, observer: Observer) {
        self.observers.write().unwrap_or_else(PoisonError::into_inner).push(observer);
        self.is_watched.store(true, Ordering::Relaxed);
    }
}

impl Store {
    /// Has `observer` called with everything that this handle and its clones do from now on, by the thread that does
    /// it. Several observers are called in the order in which they came; none can be taken away.
    ///
    /// While there is none, events cost nothing. An observer may use the store, and should return soon. With the
    /// feature `tracing` all events also go to `tracing`, at level debug, with target `plugcache`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = plugcache::Store::open_or_disabled(plugcache::Config::new(dir.path().join("store")));
    /// store.observe(|event| eprintln!("{event}"));
    /// ```
    pub fn observe(&self, observer: impl Fn(&Event<'_>) + Send + Sync + 'static) {
        self.0.watch.add(Arc::new(observer));
    }
}

#[cfg(all(test, feature = "tracing"))]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use tracing::{
        Event, Level, Metadata, Subscriber,
        field::{Field, Visit},
        span,
    };

    use super::super::{Added, Outputs, Store};
    use crate::{
        config::Config,
        sources::{NO_OPTIONS, Sources, Toolchain},
    };

    type Said = (Level, String, String);

    /// What a host installs, as far as this needs it.
    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<Said>>>);

    struct Message<'a>(&'a mut String);

    impl Visit for Message<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            if field.name() == "message" {
                self.0.push_str(&format!("{value:?}"));
            }
        }
    }

    impl Subscriber for Captured {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut text = String::new();
            event.record(&mut Message(&mut text));
            let (level, target) = (*event.metadata().level(), event.metadata().target().to_owned());
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push((level, target, text));
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn a_subscriber_of_tracing_gets_every_event_at_level_debug_under_the_name_of_the_crate() {
        let temp = tempfile::tempdir().unwrap();
        let captured = Captured::default();
        tracing::subscriber::with_default(captured.clone(), || {
            let store = Store::open(Config::new(temp.path().join("store"))).unwrap();
            let sources =
                Sources::new("greeter", &Toolchain::none(), NO_OPTIONS).bytes("a", "a").digest().unwrap();
            assert!(store.find(&sources).is_none());
            assert_eq!(store.add(&sources, Outputs::bytes("o", "12345")), Ok(Added::Stored));
            assert!(store.find(&sources).is_some());
        });
        let said = captured.0.lock().unwrap();
        let texts: Vec<_> =
            said.iter().map(|(.., text)| text.split(',').next().unwrap_or_default()).collect();
        assert_eq!(texts.len(), 3, "{texts:?}");
        assert!(texts[0].starts_with("miss: ") && texts[1].starts_with("added: "), "{texts:?}");
        assert!(texts[2].starts_with("hit: "), "{texts:?}");
        assert!(
            said.iter().all(|(level, target, _)| (*level, target.as_str()) == (Level::DEBUG, "plugcache"))
        );
    }
}
