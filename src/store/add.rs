//! Adding: outputs to objects to entry, in this order (I4). The leases on the objects are held until the own
//! PUT has been read back [m]: a sweep that runs meanwhile finds them leased, or named.

use std::{collections::HashSet, ffi::OsStr};

use super::{
    Inner, Store,
    compare::Comparison,
    explain::DroppedBy,
    observe::Event,
    outputs::{Outputs, Owned, PACKED_BYTES_MAX, PACKED_SUM_MAX, Ready},
    report::Entry,
    root::Root,
};
use crate::{
    config::Mode,
    digest::{Hasher, ObjectDigest},
    error::{NoOutput, Skip},
    format::{
        frame::PAYLOAD_BYTES_MAX,
        record::{DETAILS_NAME, Details, Discovered, Put, PutId, Record, Stamp},
    },
    fs::{self, Draw, Kind},
    manifest::{Compacted, Grown, Refused},
    objects::{self, Content, Lent, Published, Unpublished},
    sources::Sources,
    sweep::{self, Sweep},
    sync::{Arc, atomic::Ordering},
};

/// An entry names at most this many outputs, so that finding it opens a bounded number of files.
pub(super) const OUTPUTS_MAX: usize = 1024;

/// Litter is looked for after one compaction of so many: it lists every directory of the store.
const LITTER_EVERY: u64 = 8;

/// What became of an add.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a skipped add is no error, but its reason may interest somebody"]
pub enum Added {
    /// Every later find of the same sources, in any process, hits, until the entry is dropped or replaced.
    Stored,
    /// Nothing was stored; everything else is as before.
    Skipped(Skip),
    /// The mode is [`Compare`](crate::Mode::Compare), and this was compared with what is stored.
    Compared(Comparison),
}

/// Why there is no entry.
pub(super) enum NotAdded {
    NoOutput(NoOutput),
    Skipped(Skip),
    Compared(Comparison),
}

impl From<Skip> for NotAdded {
    fn from(skip: Skip) -> Self {
        NotAdded::Skipped(skip)
    }
}

/// A committed entry, with its outputs, the one for details included.
pub(super) struct Committed {
    pub(super) root: Arc<Root>,
    pub(super) put: Arc<Put>,
    pub(super) outputs: Vec<Ready>,
    /// What did not fit its frame.
    pub(super) spilled: Option<Details>,
}

impl Store {
    /// Stores outputs under these sources; replaces what was stored under the same before. Returns when every
    /// later find would hit.
    ///
    /// The sources are checked first: what changed since it was digested is not stored under the old digest.
    /// [`get_or_build`](Store::get_or_build) does all of this and keeps others from building the same.
    ///
    /// # Errors
    /// An output that is no regular file, or cannot be read. Trouble with the store is no error but
    /// [`Added::Skipped`].
    pub fn add(&self, sources: &Sources, outputs: Outputs) -> Result<Added, NoOutput> {
        let inner = &*self.0;
        let is_offered = inner.tier.is_some();
        let lent = if is_offered { Lent::ToHost } else { Lent::ForCommit };
        match inner.add(sources, &outputs, Vec::new(), lent) {
            Ok(committed) => {
                if is_offered {
                    let names = outputs.named.iter().map(|(name, _)| name.as_os_str());
                    inner.offer(&inner.artifact_of(sources, names, committed));
                }
                Ok(Added::Stored)
            }
            Err(NotAdded::Skipped(skip)) => Ok(Added::Skipped(skip)),
            Err(NotAdded::Compared(comparison)) => Ok(Added::Compared(comparison)),
            Err(NotAdded::NoOutput(problem)) => Err(problem),
        }
    }
}

impl Inner {
    pub(super) fn add(
        &self,
        sources: &Sources,
        outputs: &Outputs,
        discovered: Vec<Discovered>,
        lent: Lent,
    ) -> Result<Committed, NotAdded> {
        let added = self.add_uncounted(sources, outputs, discovered, lent);
        self.count_add(sources, &added);
        self.note(match &added {
            Err(NotAdded::Skipped(skip)) if skip.is_trouble() => Some(skip),
            _ => None,
        });
        added
    }

    fn count_add(&self, sources: &Sources, added: &Result<Committed, NotAdded>) {
        match added {
            Ok(committed) => {
                self.counters.added();
                if self.counters.is_due() {
                    self.write_down_counts(&committed.root);
                }
                let entry = Entry::new(committed.put.clone());
                self.watch.tell(|| Event::Added { sources, entry: &entry });
            }
            Err(not_added) => {
                self.counters.not_added(not_added);
                match not_added {
                    NotAdded::Skipped(why) => self.watch.tell(|| Event::Skipped { sources, why }),
                    NotAdded::Compared(comparison) => {
                        self.watch.tell(|| Event::Compared { sources, comparison });
                    }
                    NotAdded::NoOutput(_) => {}
                }
            }
        }
    }

    fn add_uncounted(
        &self,
        sources: &Sources,
        outputs: &Outputs,
        discovered: Vec<Discovered>,
        lent: Lent,
    ) -> Result<Committed, NotAdded> {
        self.check_outputs(outputs)?;
        if let Err(skip) = self.check_room(outputs) {
            if skip == Skip::NoRoom {
                self.evict_all();
            }
            return Err(skip.into());
        }
        let changed = sources.changed(&self.fs);
        if !changed.is_empty() {
            return Err(Skip::SourceChanged(changed).into());
        }
        if self.config.mode() == Mode::Compare
            && let Some(comparison) = self.compare(sources, outputs, &discovered)?
        {
            return Err(NotAdded::Compared(comparison));
        }
        let details = Details { recipe: sources.to_recipe(), discovered };
        let root = self.root_for_writing()?;
        match self.commit(&root, sources, outputs, &details, lent) {
            Err(None) => {}
            Err(Some(not_added)) => return Err(not_added),
            Ok(committed) => return Ok(committed),
        }
        // The store was deleted under this handle: once more, from the path.
        self.forget_root(&root);
        let root = self.root_for_writing()?;
        let again = self.commit(&root, sources, outputs, &details, lent);
        again.map_err(|why| {
            why.unwrap_or_else(|| Skip::Disabled("the store was deleted, twice".into()).into())
        })
    }

    /// Objects, then entry, then the limits. `Err(None)`: the store was deleted meanwhile.
    fn commit(
        &self,
        root: &Arc<Root>,
        sources: &Sources,
        outputs: &Outputs,
        details: &Details,
        lent: Lent,
    ) -> Result<Committed, Option<NotAdded>> {
        let gone = |why: NotAdded| if root.manifest.is_deleted() { None } else { Some(why) };
        // The manifest first: a store of a later version gets no objects either.
        let replaced = root.manifest.refreshed(sources.digest().as_bytes());
        let replaced = replaced.map_err(|none| gone(Skip::from(Refused::from(none)).into()))?;
        let mut draw = self.fs.draw();
        let mut ready = self.publish(root, outputs, &replaced, &mut draw, lent).map_err(gone)?;
        let exec = self.exec().map_err(|why| Some(Skip::Disabled(why).into()))?;
        let mut put = self.put(sources, outputs, details, exec, &ready, &mut draw).map_err(Some)?;
        let mut spilled_details = None;
        if !fits(&put) {
            spilled_details = Some(details.clone());
            let spilled = Ready::Published(self.spill(root, details, &mut draw).map_err(gone)?);
            put.details = None.into();
            put.outputs.push(spilled.record(DETAILS_NAME));
            ready.push(spilled);
        }
        let put = Arc::new(put);
        let grown = match root.manifest.append_refreshed(&Record::Put(Box::new(Put::clone(&put)))) {
            Ok(grown) => grown,
            Err(Refused::Deleted) => return Err(None),
            Err(refused) => return Err(gone(Skip::from(refused).into())),
        };
        self.note_use(put.put_id);
        self.keep_limits(root, &put, &replaced, grown);
        Ok(Committed { root: root.clone(), put, outputs: ready, spilled: spilled_details })
    }

    fn publish(
        &self,
        root: &Root,
        outputs: &Outputs,
        replaced: &[Arc<Put>],
        draw: &mut Draw<'_>,
        lent: Lent,
    ) -> Result<Vec<Ready>, NotAdded> {
        let (mut packed_sum, mut copied) = (0, 0);
        let known: Vec<Stamp> =
            replaced.iter().flat_map(|put| put.outputs.iter().map(|output| output.stamp)).collect();
        outputs
            .named
            .iter()
            .map(|(name, owned)| {
                if let Owned::Packed(bytes) = owned
                    && bytes.len() <= PACKED_BYTES_MAX
                    && packed_sum + bytes.len() <= PACKED_SUM_MAX
                {
                    packed_sum += bytes.len();
                    return Ok(Ready::Packed(ObjectDigest::of_bytes(bytes), bytes.clone()));
                }
                let watch = outputs.watch.after(copied);
                let watch = watch.as_ref().map(|watch| watch as &objects::Watch<'_>);
                let staged = root.objects.stage(&owned.content(watch), draw, lent);
                let published = staged.and_then(|staged| root.objects.publish(staged, &known));
                copied += published.as_ref().map_or(0, |published| published.lease.len());
                published.map(Ready::Published).map_err(|why| self.not_added(root, name, why))
            })
            .collect()
    }

    /// Details too long for a frame become an object of their own.
    pub(super) fn spill(
        &self,
        root: &Root,
        details: &Details,
        draw: &mut Draw<'_>,
    ) -> Result<Published, NotAdded> {
        let bytes = details.to_bytes();
        let staged = root.objects.stage(&Content::Bytes(&bytes), draw, Lent::ForCommit);
        let published = staged.and_then(|staged| root.objects.publish(staged, &[]));
        published.map_err(|why| self.not_added(root, OsStr::new("details"), why))
    }

    fn not_added(&self, root: &Root, name: &OsStr, why: Unpublished) -> NotAdded {
        match why {
            Unpublished::BadContent { path, problem } => NotAdded::NoOutput(NoOutput {
                name: name.to_owned(),
                problem: format!("{}: {problem}", path.display()),
            }),
            Unpublished::Trouble(trouble) => NotAdded::Skipped(trouble.into()),
            Unpublished::Unsynced(digest, trouble) => {
                self.sweep(root).remove_unless_named(&digest, None);
                NotAdded::Skipped(trouble.into())
            }
            Unpublished::Busy => NotAdded::Skipped(Skip::Busy),
        }
    }

    fn put(
        &self,
        sources: &Sources,
        outputs: &Outputs,
        details: &Details,
        exec: [u8; 32],
        ready: &[Ready],
        draw: &mut Draw<'_>,
    ) -> Result<Put, NotAdded> {
        let random = draw.random::<8>();
        let put_id = random.map_err(|error| Skip::Io {
            action: "ask for random bytes",
            path: "getrandom".into(),
            error: error.to_string(),
        })?;
        let named = outputs.named.iter().zip(ready);
        Ok(Put {
            put_id: u64::from_le_bytes(put_id),
            source: *sources.digest().as_bytes(),
            exec,
            discovered_id: id_of(&details.discovered),
            brought: false,
            order: 0,
            day: self.today(),
            made_ms: self.now_ms(),
            cost_ms: u64::try_from(outputs.cost.as_millis()).unwrap_or(u64::MAX),
            paths: hash_of_list(
                details.recipe.parts.iter().map(|part| part.path.as_ref().unwrap_or(&part.name)),
            ),
            names: hash_of_list(details.recipe.parts.iter().map(|part| &part.name)),
            label: sources.label().to_owned(),
            outputs: named.map(|((name, _), ready)| ready.record(fs::bytes_of(name))).collect(),
            details: Some(details.clone()).into(),
        })
    }

    /// Names that can be told apart, and files that are files.
    fn check_outputs(&self, outputs: &Outputs) -> Result<(), NotAdded> {
        let bad = |name: &OsStr, problem: &str| {
            NotAdded::NoOutput(NoOutput { name: name.to_owned(), problem: problem.to_owned() })
        };
        if outputs.named.is_empty() {
            return Err(bad(OsStr::new(""), "the build named no output"));
        }
        if outputs.named.len() > OUTPUTS_MAX {
            return Err(bad(OsStr::new(""), "there are more than 1024 outputs"));
        }
        let mut names = HashSet::new();
        for (name, owned) in &outputs.named {
            if name.is_empty() || fs::bytes_of(name).contains(&0) {
                return Err(bad(name, "a name is not empty and holds no zero byte"));
            }
            if !names.insert(name) {
                return Err(bad(name, "two outputs have this name"));
            }
            if let Owned::File(path) = owned {
                match self.fs.stat_source(path) {
                    Ok(stat) if stat.kind == Kind::File => {}
                    Ok(_) => return Err(bad(name, &format!("{} is not a regular file", path.display()))),
                    Err(error) => return Err(bad(name, &format!("{}: {error}", path.display()))),
                }
            }
        }
        Ok(())
    }

    /// Whether the limits allow it at all, before anything is copied.
    fn check_room(&self, outputs: &Outputs) -> Result<(), Skip> {
        if let Some(why) = self.why_disabled() {
            return Err(Skip::Disabled(why));
        }
        if self.config.readonly() {
            return Err(Skip::ReadOnly);
        }
        if self.config.max_files() == 0 {
            return Err(Skip::NoRoom);
        }
        let len = |owned: &Owned| match owned {
            Owned::Bytes(bytes) | Owned::Packed(bytes) => bytes.len() as u64,
            Owned::File(path) => self.fs.stat_source(path).map_or(0, |stat| stat.len),
        };
        let bytes = outputs.named.iter().map(|(_, owned)| len(owned)).fold(0, u64::saturating_add);
        let max_bytes = self.config.max_bytes();
        if bytes > max_bytes { Err(Skip::TooBig { bytes, max_bytes }) } else { Ok(()) }
    }

    /// What is over the limits goes, and a log that has grown becomes a segment. The entry is committed: none
    /// of this can take it back, and what fails is done by the next add.
    pub(super) fn keep_limits(&self, root: &Root, put: &Put, before: &[Arc<Put>], grown: Grown) {
        let replaced = before.iter().filter(|old| old.identity() == put.identity());
        let sweep = self.sweep(root);
        let mut unnamed = replaced.flat_map(|old| sweep::objects_of(old)).peekable();
        if unnamed.peek().is_some() {
            sweep.lost_their_name(unnamed);
        }
        // What fails is done by the next add.
        if let Ok((evicted, reason)) = sweep.evict(put.put_id, || self.uses_by_entry()) {
            self.count_evicted(&evicted, reason.rule().into());
        }
        self.drop_idle(&sweep, put.put_id);
        let compacted = if grown == Grown::Yes { self.compact(root) } else { None };
        if compacted.is_some_and(|log| log % self.fs.size("LITTER_EVERY", LITTER_EVERY) == 0) {
            sweep.litter(&root.dir);
        }
    }

    /// Once a day and handle: it takes a look at all entries.
    fn drop_idle(&self, sweep: &Sweep<'_>, own: PutId) {
        let Some(idle_max) = self.config.idle_max() else { return };
        let today = self.today();
        if self.idle_checked.swap(today, Ordering::Relaxed) == today {
            return;
        }
        // What fails is done tomorrow, or by another handle.
        if let Ok(dropped) = sweep.drop_idle(self.idle_before(idle_max), own) {
            self.count_evicted(&dropped, DroppedBy::IdleMax);
        }
    }

    /// Below which log there is a segment now, if one was made.
    pub(super) fn compact(&self, root: &Root) -> Option<u64> {
        let Ok(Compacted::Yes(log)) = root.manifest.compact() else { return None };
        self.watch.tell(|| Event::Compacted);
        Some(log)
    }

    pub(super) fn count_evicted(&self, entries: &[Arc<Put>], rule: DroppedBy) {
        self.counters.evicted(rule, entries.len() as u64);
        for put in entries {
            let entry = Entry::new(put.clone());
            self.watch.tell(|| Event::Evicted { entry: &entry, rule });
        }
    }
}

/// Whether the entry fits a frame with its details in it.
pub(super) fn fits(put: &Put) -> bool {
    put.framed_len() <= PAYLOAD_BYTES_MAX
}

/// Tells entries apart whose builds read different files; zeros for none.
pub(super) fn id_of(discovered: &[Discovered]) -> [u8; 16] {
    if discovered.is_empty() {
        return [0; 16];
    }
    let mut hash = Hasher::for_purpose("plugcache 2026-11-23 discovered inputs v1");
    for input in discovered {
        hash.field(&input.path).update(&input.digest);
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hash.finish()[..16]);
    id
}

/// 8 bytes that equal lists share, for retention.
pub(super) fn hash_of_list<'a>(items: impl Iterator<Item = &'a Vec<u8>>) -> u64 {
    let mut hash = Hasher::for_purpose("plugcache 2026-11-23 list for retention v1");
    for item in items {
        hash.field(item);
    }
    let digest = hash.finish();
    u64::from_le_bytes([
        digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
    ])
}
