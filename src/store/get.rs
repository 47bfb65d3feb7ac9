//! Building what is missing: once, for any number of threads and processes that ask for the same at once.
//!
//! find; else enter the flight of this key (`flight`), find again, build in scratch, add, leave the flight.
//! Trouble with the store never hides a successful build: the artifact then owns its scratch directory.

use std::{cell::RefCell, fmt, io, path::PathBuf, time::Duration};

use super::{
    Inner, Store,
    artifact::Artifact,
    build::Build,
    compare::Comparison,
    failed::{BuildError, LoadOrBuildError},
};
use crate::{
    config::Mode,
    digest::SourceDigest,
    error::{LoadFailed, Skip},
    flight::{self, Ticket},
    format::record::PutId,
    manifest::Refused,
    sources::Sources,
    sync::Arc,
};

/// How often a waiting caller asks at first, and at most how seldom: finding the lock free costs microseconds,
/// a compiler takes tens of milliseconds.
const POLL_FIRST: Duration = Duration::from_millis(1);
const POLL_MAX: Duration = Duration::from_millis(25);

/// How an artifact was come by.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum How {
    /// It was in the store.
    Hit,
    /// Somebody else built it, or fetched it, while this caller waited.
    Waited,
    /// It came from the [tier](crate::Tier), and is stored now.
    Fetched,
    /// It was built now, and stored.
    Built,
    /// It was built now and not stored, for this reason.
    Uncached(Skip),
    /// It was built now, compared with what is stored, and not stored: the mode is
    /// [`Compare`](crate::Mode::Compare).
    Compared(Comparison),
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::Hit => f.write_str("hit"),
            How::Waited => f.write_str("waited"),
            How::Fetched => f.write_str("fetched"),
            How::Built => f.write_str("built"),
            How::Uncached(why) => write!(f, "not stored: {why}"),
            How::Compared(comparison) => comparison.fmt(f),
        }
    }
}

/// What `get_or_build` gives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Got {
    /// Ready to use. Keep it as long as its files are needed.
    pub artifact: Artifact,
    /// How it was come by.
    pub how: How,
}

/// What `load_or_build` gives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loaded<T> {
    /// What the loader returned.
    pub value: T,
    /// Keep it as long as `value` lives.
    pub artifact: Artifact,
    /// How it was come by.
    pub how: How,
}

/// The answer to [`Store::claim`], which never waits.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "one lives at a time, and is taken apart at once")]
pub enum Claim {
    /// The artifact is there.
    Hit(Artifact),
    /// It is missing, and the caller has the right to build it.
    Build(Build),
    /// It is missing, and somebody else is building it.
    Busy(Busy),
}

/// Somebody else is building.
#[derive(Debug)]
pub struct Busy {
    store: Arc<Inner>,
    sources: Sources,
}

impl Busy {
    /// Waits until the artifact is there, or the right to build it is free, or `max` has passed.
    ///
    /// # Errors
    /// As [`Store::claim`].
    pub fn wait(self, max: Duration) -> io::Result<Claim> {
        self.store.claim(&self.sources, max)
    }
}

/// What a flight is about: the directory of the store, the exec id and the sources.
type FlightKey = (PathBuf, [u8; 32], SourceDigest);

crate::sync::thread_local! {
    /// What this thread is building: a build that asks for its own key, through whatever handle, would wait for
    /// itself.
    static BUILDING: RefCell<Vec<FlightKey>> = const { RefCell::new(Vec::new()) };
}

/// Takes the key off the list also when the build panics.
struct Building;

impl Building {
    fn enter(key: FlightKey) -> Option<Building> {
        BUILDING.with(|building| {
            let is_new = !building.borrow().contains(&key);
            if is_new {
                building.borrow_mut().push(key);
            }
            // Lazily: one made and dropped would take a key off the list that is not its own.
            is_new.then(|| Building)
        })
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        BUILDING.with(|building| building.borrow_mut().pop());
    }
}

impl Store {
    /// The artifact of these sources: from the store, or built now and stored for everyone.
    ///
    /// One caller builds, in any number of threads and processes; the others wait for it, and are free at once
    /// should it die. Builds of different sources do not wait for each other. After
    /// [`build_wait_max`](crate::Config::build_wait_max) a waiting caller builds by itself. A build that fails or panics
    /// leaves nothing behind. Whatever is wrong with the store, a build that succeeded gives an artifact.
    ///
    /// The build writes its outputs to the paths that [`Build::output`] gives, and reports what it read beside
    /// the sources ([`Build::depfile`]).
    pub fn get_or_build<E>(
        &self,
        sources: &Sources,
        build: impl FnOnce(&mut Build) -> Result<(), E>,
    ) -> Result<Got, BuildError<E>> {
        self.get_or_build_except(sources, build, &[])
    }

    fn get_or_build_except<E>(
        &self,
        sources: &Sources,
        build: impl FnOnce(&mut Build) -> Result<(), E>,
        except: &[PutId],
    ) -> Result<Got, BuildError<E>> {
        let never_builds = self.0.config.mode() == Mode::RequireHit;
        match self.0.find_and_say(sources, except, never_builds) {
            Ok((artifact, how)) => return Ok(Got { artifact, how }),
            Err(_) if never_builds => {
                return Err(BuildError::RequiredHit(Box::new(self.0.explain(sources))));
            }
            Err(_) => {}
        }
        let exec = self.0.exec().unwrap_or_default();
        let key = (self.0.config.dir().to_owned(), exec, sources.digest());
        let Some(_building) = Building::enter(key) else {
            return Err(BuildError::Recursive(sources.digest()));
        };
        let wait_max = self.0.config.build_wait_max();
        let claim = self.0.clone().claim_missing(sources, wait_max, except);
        let mut claimed = match claim.map_err(BuildError::NoScratch)? {
            (Claim::Hit(artifact), how) => return Ok(Got { artifact, how }),
            (Claim::Build(claimed), _) => claimed,
            (Claim::Busy(_), _) => {
                Build::new(self.0.clone(), sources, Ok(None)).map_err(BuildError::NoScratch)?
            }
        };
        build(&mut claimed).map_err(BuildError::Build)?;
        claimed.finish().map_err(BuildError::NoOutput)
    }

    /// As [`get_or_build`](Store::get_or_build), and loads the artifact. If one that was stored does not load
    /// ([`LoadFailed::Artifact`]), its entry is dropped and it is built anew, once. If the plugin itself fails
    /// ([`LoadFailed::Plugin`]), the entry stays: another build would fail the same way.
    pub fn load_or_build<T, E, L>(
        &self,
        sources: &Sources,
        mut build: impl FnMut(&mut Build) -> Result<(), E>,
        mut load: impl FnMut(&Artifact) -> Result<T, LoadFailed<L>>,
    ) -> Result<Loaded<T>, LoadOrBuildError<E, L>> {
        let mut except = Vec::new();
        let mut failed = 0;
        loop {
            let Got { artifact, how } = self.get_or_build_except(sources, &mut build, &except)?;
            match load(&artifact) {
                Ok(value) => return Ok(Loaded { value, artifact, how }),
                Err(LoadFailed::Plugin(error)) => return Err(LoadOrBuildError::Load(error)),
                Err(LoadFailed::Artifact(error)) => {
                    if artifact.was_compiled_by_current_exec() {
                        self.reject(&artifact, "it did not load");
                    }
                    failed += 1;
                    if !matches!(how, How::Hit | How::Waited | How::Fetched) || failed > 2 {
                        return Err(LoadOrBuildError::Load(error));
                    }
                    // Only what is made from here on is worth another load. One's own that is there beside the failed
                    // one is most likely just that: somebody else had the same failure, and has built already.
                    except.extend(self.0.put_ids_of(sources, failed == 1));
                    except.extend(artifact.put().map(|put| put.put_id));
                }
            }
        }
    }

    /// The artifact, or the right to build it, or the news that somebody else is at it: without waiting, for
    /// hosts that must not block; but that if nobody is at it, the tier is asked, which takes as long as the tier takes.
    /// `Build` may be sent to another thread; dropping it lets the next one build.
    ///
    /// # Errors
    /// No directory to build in could be made, neither in the store nor in the system's temporary directory; or
    /// the mode is `RequireHit`, and this is a miss.
    pub fn claim(&self, sources: &Sources) -> io::Result<Claim> {
        self.0.clone().claim(sources, Duration::ZERO)
    }
}

impl Inner {
    /// The entries of these sources as this handle last knew them: all, or those of other executables.
    fn put_ids_of(&self, sources: &Sources, only_others: bool) -> Vec<PutId> {
        let root = self.root().ok().flatten();
        let puts = root.map(|root| root.manifest.of_source(sources.digest().as_bytes()));
        let own = self.exec().unwrap_or_default();
        let wanted = puts.into_iter().flatten().filter(|put| !only_others || put.exec != own);
        wanted.map(|put| put.put_id).collect()
    }

    fn claim(self: Arc<Self>, sources: &Sources, wait_max: Duration) -> io::Result<Claim> {
        let never_builds = self.config.mode() == Mode::RequireHit;
        match self.find_and_say(sources, &[], never_builds) {
            Ok((artifact, _)) => Ok(Claim::Hit(artifact)),
            Err(_) if never_builds => {
                let explained = Box::new(self.explain(sources));
                Err(io::Error::other(BuildError::<io::Error>::RequiredHit(explained)))
            }
            Err(_) => self.claim_missing(sources, wait_max, &[]).map(|(claim, _)| claim),
        }
    }

    /// After a miss: enters the flight, waiting up to `wait_max`, and looks again once inside. How a hit was come by is
    /// told beside it.
    fn claim_missing(
        self: Arc<Self>,
        sources: &Sources,
        wait_max: Duration,
        except: &[PutId],
    ) -> io::Result<(Claim, How)> {
        let mut waited = Duration::ZERO;
        let mut poll = POLL_FIRST;
        loop {
            match self.enter_flight(sources) {
                // Without a store, or in trouble with it, everybody builds alone.
                Err(skip) => {
                    let build = Build::new(self, sources, Err(skip))?;
                    return Ok((Claim::Build(build), How::Built));
                }
                Ok(Some(ticket)) => return self.claimed(sources, ticket, except),
                Ok(None) if waited >= wait_max => {
                    let busy = Busy { store: self, sources: sources.clone() };
                    return Ok((Claim::Busy(busy), How::Waited));
                }
                Ok(None) => {}
            }
            let pause = poll.min(wait_max.saturating_sub(waited));
            self.fs.pause(pause);
            waited += pause;
            poll = (poll * 2).min(POLL_MAX);
        }
    }

    fn claimed(
        self: Arc<Self>,
        sources: &Sources,
        ticket: Ticket,
        except: &[PutId],
    ) -> io::Result<(Claim, How)> {
        let (found, how) = self.find_uncounted(sources, except, true);
        // The miss that led here was counted already.
        if found.is_ok() {
            self.count_find(sources, &found);
        }
        if let Ok(artifact) = found {
            let how = if how == How::Hit { How::Waited } else { how };
            return Ok((Claim::Hit(artifact), how));
        }
        Build::new(self, sources, Ok(Some(ticket))).map(|build| (Claim::Build(build), How::Built))
    }

    fn enter_flight(&self, sources: &Sources) -> Result<Option<Ticket>, Skip> {
        let root = self.root_for_writing()?;
        let exec = self.exec().map_err(Skip::Disabled)?;
        // Before anything is made: a later version may have taken the store over (I18).
        root.manifest.refresh().map_err(Refused::from)?;
        let entered = flight::enter(&root.dir, &sources.digest(), &exec);
        if entered.is_err() && root.manifest.is_deleted() {
            self.forget_root(&root);
            let root = self.root_for_writing()?;
            return Ok(flight::enter(&root.dir, &sources.digest(), &exec)?);
        }
        Ok(entered?)
    }
}
