//! Fetching: what the store does not have, from its tier. Objects, then entry (I4), as in an add; and then it is found
//! here: what is handed out never comes from anywhere else.

use std::{collections::HashMap, time::Instant};

use super::{
    Inner, Store,
    add::{NotAdded, fits},
    artifact::Artifact,
    asked::{Gate, Said},
    explain::DroppedBy,
    get::How,
    observe::{Event, Miss},
    outputs::Ready,
    parcel::{arrived, objects_of},
    report::Entry,
    root::Root,
    tier::{ParcelObject, Sink, Tier, TierError, TierKey},
    transfer::store_error,
};
use crate::{
    config::Mode,
    digest::{ObjectDigest, SourceDigest},
    error::{Skip, StoreError, Trouble},
    format::record::{DETAILS_NAME, Put, PutId, Record},
    fs::{Access, Draw},
    manifest::Refused,
    objects::{Lent, NotReceived, Published, Receiving, Unpublished},
    sources::Sources,
    sync::Arc,
};

/// What became of a [`fetch`](Store::fetch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fetched {
    /// It came from the tier, and is stored here now.
    Now,
    /// The store had it.
    Here,
    /// The tier has nothing under this key, or it is one that was forgotten here.
    Nothing,
}

/// Why a [`fetch`](Store::fetch) brought nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The store has no tier, or that gave no answer or a wrong one.
    #[error(transparent)]
    Tier(#[from] TierError),
    /// The store could not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Skip> for Said {
    fn from(skip: Skip) -> Self {
        Said::NotStored(skip)
    }
}

impl From<Trouble> for Said {
    fn from(trouble: Trouble) -> Self {
        Said::NotStored(trouble.into())
    }
}

/// What was taken in.
struct Taken {
    put: Put,
    /// Bytes that came from the tier.
    bytes: u64,
}

impl Store {
    /// Brings what the tier has under this key into the store, without being asked for it by sources: for hosts that know
    /// beforehand what they will need. The tier is asked whatever it said before. Files that the build read beside its
    /// sources are judged when it is found, as always.
    ///
    /// # Errors
    /// There is no tier, or it gave no answer, or one that was refused; or the store cannot be written to.
    pub fn fetch(&self, key: &TierKey) -> Result<Fetched, FetchError> {
        let inner = &*self.0;
        let none = || TierError::Misconfigured("the store was opened without one".into());
        let tier = inner.tier.as_ref().ok_or_else(none)?;
        let failed = |skip| store_error("fetch into", inner.config.dir(), skip);
        if inner.config.max_files() == 0 {
            return Err(failed(Skip::NoRoom).into());
        }
        let root = inner.root_for_writing().map_err(failed)?;
        if root.manifest.is_masked(key.source.as_bytes()) {
            return Ok(Fetched::Nothing);
        }
        let _asking = loop {
            match inner.asked.gate(&inner.fs, key, inner.config.build_wait_max()) {
                Gate::Open(asking) => break asking,
                Gate::Waited => {}
                Gate::Shut => return Err(TierError::Unreachable("it is being asked already".into()).into()),
            }
        };
        match inner.fetch(&**tier, key, None) {
            Ok(Some(_)) => Ok(Fetched::Now),
            Ok(None) => Ok(Fetched::Here),
            Err(Said::Nothing | Said::InputChanged(_)) => Ok(Fetched::Nothing),
            Err(Said::Failed(error)) => Err(error.into()),
            Err(Said::NotStored(skip)) => Err(failed(skip).into()),
        }
    }
}

impl Inner {
    /// After a miss here, for the reason `own`: what the tier has of these sources. By one thread of this handle at a
    /// time for one key: the others wait, and find what that one has brought.
    pub(super) fn find_beyond(
        &self,
        sources: &Sources,
        except: &[PutId],
        own: Miss,
    ) -> Result<(Artifact, How), Miss> {
        let Some((tier, key)) = self.tier_for(&sources.digest(), except, &own) else { return Err(own) };
        let found_here = || self.find_once(sources, except).map(|artifact| (artifact, How::Waited));
        let _asking = match self.asked.gate(&self.fs, &key, self.config.build_wait_max()) {
            Gate::Open(asking) => asking,
            Gate::Waited => return found_here().map_err(|_| own),
            Gate::Shut => return Err(own),
        };
        // Another thread may just have come out by the gate.
        if let Ok(found) = found_here() {
            return Ok(found);
        }
        if self.asked.is_known(&key, self.now_ms()) {
            return Err(own);
        }
        match self.fetch(&**tier, &key, Some(sources)) {
            Ok(_) => self.find_once(sources, except).map(|artifact| (artifact, How::Fetched)),
            Err(Said::InputChanged(path)) => Err(Miss::InputChanged(path)),
            Err(_) => Err(own),
        }
    }

    /// The tier, if it is to be asked at all. Not in a store that could not keep what comes; not for what was forgotten
    /// here, nor where the last of it did not load, for that would come again.
    fn tier_for(
        &self,
        source: &SourceDigest,
        except: &[PutId],
        own: &Miss,
    ) -> Option<(&Arc<dyn Tier>, TierKey)> {
        let tier = self.tier.as_ref()?;
        let is_asked = matches!(self.config.mode(), Mode::Normal | Mode::RequireHit) && self.may_keep_more();
        let is_hopeless = !except.is_empty()
            || matches!(own, Miss::Disabled(_) | Miss::Mode | Miss::Unreadable(_))
            || matches!(own, Miss::Dropped(DroppedBy::Rejection));
        if !is_asked || is_hopeless {
            return None;
        }
        let root = self.root().ok()?;
        let is_shut =
            |root: &Arc<Root>| root.access == Access::Read || root.manifest.is_masked(source.as_bytes());
        let exec = self.exec().ok().filter(|_| !root.as_ref().is_some_and(is_shut))?;
        Some((tier, TierKey::new(*source, exec)))
    }

    /// Whether what comes from a tier may be kept, as far as the configuration goes.
    pub(super) fn may_keep_more(&self) -> bool {
        !self.config.readonly() && self.config.max_files() > 0
    }

    /// Asks the tier, and takes in what it has; `None`: the store has it already. Tells and remembers what came of it.
    fn fetch(&self, tier: &dyn Tier, key: &TierKey, sources: Option<&Sources>) -> Result<Option<u64>, Said> {
        let began = Instant::now();
        let taken = self.ask(tier, key, sources);
        match &taken {
            Ok(None) => self.asked.forget(key),
            Ok(Some(taken)) => {
                self.asked.forget(key);
                self.counters.fetched(taken.bytes);
                let entry = Entry::new(Arc::new(taken.put.clone()));
                let (bytes, took) = (taken.bytes, began.elapsed());
                self.watch.tell(|| Event::Fetched { entry: &entry, bytes, took });
            }
            Err(said) => {
                self.counters.not_fetched(said);
                match said {
                    Said::Failed(TierError::Off) => {}
                    Said::Failed(why) => self.watch.tell(|| Event::TierFailed { key: *key, why }),
                    Said::NotStored(why) => {
                        if let Some(sources) = sources {
                            self.watch.tell(|| Event::Skipped { sources, why });
                        }
                    }
                    Said::Nothing | Said::InputChanged(_) => {}
                }
                self.asked.note(key, self.now_ms(), said.clone());
            }
        }
        taken.map(|taken| taken.map(|taken| taken.bytes))
    }

    fn ask(&self, tier: &dyn Tier, key: &TierKey, sources: Option<&Sources>) -> Result<Option<Taken>, Said> {
        let parcel = tier.entry(key).map_err(Said::Failed)?.ok_or(Said::Nothing)?;
        let put = arrived(key, &parcel, self.config.max_bytes()).map_err(Said::Failed)?;
        if let (Some(sources), Some(details)) = (sources, put.details())
            && let Err(Miss::InputChanged(path)) =
                self.check_discovered(details, sources, &mut HashMap::new())
        {
            return Err(Said::InputChanged(path));
        }
        let root = self.root_for_writing()?;
        let before = root.manifest.refreshed(&put.source).map_err(|none| Skip::from(Refused::from(none)))?;
        if sources.is_none() && before.iter().any(|own| is_here(&root, own, &put)) {
            return Ok(None);
        }
        self.take_parcel(&root, (tier, key), put, &before).map(Some)
    }

    /// Objects, then entry, then the limits.
    fn take_parcel(
        &self,
        root: &Arc<Root>,
        (tier, key): (&dyn Tier, &TierKey),
        put: Put,
        before: &[Arc<Put>],
    ) -> Result<Taken, Said> {
        let mut draw = self.fs.draw();
        // Leased until the entry has been read back.
        let (leased, bytes) = self.bring(root, (tier, key), &put, &mut draw)?;
        let random = draw.random().map_err(Trouble::of("ask for random bytes", "getrandom".as_ref()))?;
        let put_id = u64::from_le_bytes(random);
        let mut own = Put { put_id, brought: true, day: self.today(), made_ms: self.now_ms(), ..put };
        for output in own.outputs.iter_mut().filter(|output| output.packed.is_none()) {
            output.stamp = leased.get(&output.object).map(|object| object.stamp).unwrap_or_default();
        }
        let mut spilled = None;
        if !fits(&own)
            && let Some(details) = own.details()
        {
            let ready = Ready::Published(self.spill(root, details, &mut draw).map_err(not_spilled)?);
            own.outputs.push(ready.record(DETAILS_NAME));
            own.details = None.into();
            spilled = Some(ready);
        }
        let grown = root.manifest.append(&Record::Put(Box::new(own.clone()))).map_err(Skip::from)?;
        drop((leased, spilled));
        self.note_use(own.put_id);
        self.keep_limits(root, &own, before, grown);
        Ok(Taken { put: own, bytes })
    }

    /// All objects of an entry, leased: those that are here, and the others from the tier. And how many bytes came.
    fn bring(
        &self,
        root: &Root,
        (tier, key): (&dyn Tier, &TierKey),
        put: &Put,
        draw: &mut Draw<'_>,
    ) -> Result<(HashMap<[u8; 32], Published>, u64), Said> {
        let mut leased = HashMap::new();
        let mut wanted: Vec<(ParcelObject, Receiving)> = Vec::new();
        for object in objects_of(&put.outputs) {
            let id = *object.digest.as_bytes();
            let executable = put.outputs.iter().any(|output| output.object == id && output.executable);
            match root.objects.keep(&object.digest, object.len, executable) {
                Some(kept) => drop(leased.insert(id, kept)),
                None => {
                    let receiving = root.objects.receive((object.digest, object.len), executable, draw)?;
                    wanted.push((object, receiving));
                }
            }
        }
        if wanted.is_empty() {
            return Ok((leased, 0));
        }
        let sinks = wanted.iter_mut();
        let mut sinks: Vec<_> = sinks.map(|(object, receiving)| Sink::new(*object, receiving)).collect();
        let brought = tier.objects(key, &mut sinks);
        drop(sinks);
        // What went wrong here is not the tier's to answer for.
        if let Some(trouble) = wanted.iter_mut().find_map(|(_, receiving)| receiving.trouble()) {
            return Err(trouble.into());
        }
        brought.map_err(Said::Failed)?;
        let mut bytes = 0u64;
        for (object, receiving) in wanted {
            let published = self.publish_received(root, receiving)?;
            leased.insert(*object.digest.as_bytes(), published);
            bytes = bytes.saturating_add(object.len);
        }
        Ok((leased, bytes))
    }

    fn publish_received(&self, root: &Root, came: Receiving) -> Result<Published, Said> {
        let staged = root.objects.received(came, Lent::ForCommit).map_err(|why| match why {
            NotReceived::Wrong(why) => Said::Failed(TierError::Wrong(why)),
            NotReceived::Trouble(trouble) => trouble.into(),
        })?;
        root.objects.publish(staged, &[]).map_err(|why| match why {
            Unpublished::Trouble(trouble) => trouble.into(),
            Unpublished::Unsynced(digest, trouble) => {
                self.sweep(root).remove_unless_named(&digest, None);
                trouble.into()
            }
            Unpublished::Busy | Unpublished::BadContent { .. } => Skip::Busy.into(),
        })
    }
}

fn not_spilled(why: NotAdded) -> Said {
    match why {
        NotAdded::Skipped(skip) => skip.into(),
        // Bytes in memory are no bad output.
        NotAdded::NoOutput(_) | NotAdded::Compared(_) => Skip::Busy.into(),
    }
}

/// Whether the store has this entry, or one made from the same files, with its objects.
fn is_here(root: &Root, own: &Put, put: &Put) -> bool {
    let is_object_here = |object: &ParcelObject| {
        let opened = root.objects.open(&ObjectDigest::from_bytes(*object.digest.as_bytes()));
        opened.is_ok_and(|lease| lease.len() == object.len)
    };
    own.identity() == put.identity() && objects_of(&own.outputs).iter().all(is_object_here)
}
