//! Finding: sources to artifact. Never an error: every anomaly is a miss with its reason (I5).

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use super::{
    Inner, Store,
    artifact::{Artifact, Held},
    get::How,
    inputs::Moves,
    observe::{Event, Miss},
    output::{Content, HeldOutput},
    report::Entry,
    root::Root,
    scratch::Scratch,
};
use crate::{
    config::{Mode, Verify},
    digest::ObjectDigest,
    format::record::{Details, OutputRecord, Put, PutId, Record, Stamp, Touch},
    fs::{self, Access},
    manifest::NoView,
    objects::{Lease, Unopened, Verified},
    planted::{self, Bug},
    sources::{self, Sources},
    sync::{Arc, OnceLock},
};

/// What discovered inputs hold now, by path; `None` for what cannot be digested.
pub(super) type KnownInputs = HashMap<PathBuf, Option<ObjectDigest>>;

/// The outputs of an entry, opened one after the other.
#[derive(Default)]
struct Opened {
    outputs: Vec<HeldOutput>,
    /// Where copies lie that could not be leased.
    scratch: Vec<Scratch>,
    /// Places of outputs that were proved right anew, with stamps that the entry does not have.
    stamps: Vec<(usize, Stamp)>,
}

impl Store {
    /// The entry of these sources, as this handle last knew it, without a system call. It may be behind other
    /// processes, and says nothing of whether its objects are there: [`find`](Store::find) does.
    pub fn lookup(&self, sources: &Sources) -> Option<Entry> {
        // Kept for the moment of looking: others only read it, too.
        let root = self.0.root.read().ok()?;
        let exec = self.0.exec_ref().ok()?;
        let others_count = self.0.config.try_old_cache_with_new_exec();
        let digest = sources.digest();
        let look = |root: &Root| root.manifest.newest(digest.as_bytes(), exec, others_count).map(Entry::new);
        let found = root.as_deref().and_then(look);
        found.or_else(|| self.0.layers_of(root.as_deref(), sources).find_map(look))
    }

    /// The artifact of these sources, ready to be used, if the store has one whose every byte is right.
    ///
    /// Never an error: a damaged, missing, unreadable or half-written store is a miss. Own artifacts come
    /// first; another executable's only with `try_old_cache_with_new_exec`.
    ///
    /// Five system calls on a hit (per output beyond the first four more, per discovered input one), and no
    /// write, except one record per entry and day that it was used, and the memo, now and then, where discovered
    /// inputs had to be read.
    ///
    /// What is neither here nor in a layer is asked of the tier, if the store was opened
    /// [with one](Store::open_with_tier): that takes as long as the tier takes.
    pub fn find(&self, sources: &Sources) -> Option<Artifact> {
        self.0.find(sources, &[]).ok()
    }
}

/// Own entries before those of other executables, which are left out unless they count; otherwise the order stays,
/// newest first. Whether any was left out.
pub(super) fn own_first(puts: &mut Vec<Arc<Put>>, exec: &[u8; 32], others_count: bool) -> bool {
    let (before, is_own) = (puts.len(), |put: &Arc<Put>| put.exec == *exec);
    if others_count {
        puts.sort_by_key(|put| !is_own(put));
    } else {
        puts.retain(is_own);
    }
    puts.len() < before
}

impl Inner {
    /// `except`: entries that are known not to load. If there are any, those of other executables are passed
    /// over too: one that failed says that the next is as likely to.
    pub(super) fn find(&self, sources: &Sources, except: &[PutId]) -> Result<Artifact, Miss> {
        let mut found = self.find_here(sources, except);
        if found.is_err() && self.tier.is_some() {
            found = self.or_beyond(sources, except, found).0;
        }
        self.tell_found(sources, &found);
        found
    }

    /// As [`find`](Inner::find), and how it was come by; beyond this machine only if that is said.
    pub(super) fn find_and_say(
        &self,
        sources: &Sources,
        except: &[PutId],
        beyond: bool,
    ) -> Result<(Artifact, How), Miss> {
        let (found, how) = self.find_uncounted(sources, except, beyond);
        self.tell_found(sources, &found);
        found.map(|artifact| (artifact, how))
    }

    fn tell_found(&self, sources: &Sources, found: &Result<Artifact, Miss>) {
        self.count_find(sources, found);
        self.note(match found {
            Err(Miss::Unreadable(why)) => Some(why),
            _ => None,
        });
    }

    pub(super) fn count_find(&self, sources: &Sources, found: &Result<Artifact, Miss>) {
        match found {
            Ok(artifact) => {
                self.counters.hit(artifact.cost());
                self.watch.tell(|| Event::Hit { sources, artifact });
            }
            Err(why) => {
                self.counters.missed(why);
                self.watch.tell(|| Event::Miss { sources, why });
                if let Miss::ObjectDamaged(object) = why {
                    self.watch.tell(|| Event::Damaged { object: *object });
                }
            }
        }
    }

    pub(super) fn find_uncounted(
        &self,
        sources: &Sources,
        except: &[PutId],
        beyond: bool,
    ) -> (Result<Artifact, Miss>, How) {
        let found = self.find_here(sources, except);
        if beyond && found.is_err() && self.tier.is_some() {
            return self.or_beyond(sources, except, found);
        }
        (found, How::Hit)
    }

    /// What was found here, or else what the tier has.
    #[cold]
    fn or_beyond(
        &self,
        sources: &Sources,
        except: &[PutId],
        found: Result<Artifact, Miss>,
    ) -> (Result<Artifact, Miss>, How) {
        match found {
            Ok(artifact) => (Ok(artifact), How::Hit),
            Err(own) => match self.find_beyond(sources, except, own) {
                Ok((artifact, how)) => (Ok(artifact), how),
                Err(miss) => (Err(miss), How::Hit),
            },
        }
    }

    /// In the store and its layers.
    fn find_here(&self, sources: &Sources, except: &[PutId]) -> Result<Artifact, Miss> {
        let found = self.find_once(sources, except);
        // Gone is also what a store looks like that was deleted under this handle: then look at the path.
        let is_gone = |miss: &Miss| {
            matches!(miss, Miss::NeverSeen | Miss::ObjectMissing(_) | Miss::OtherExec | Miss::Dropped(_))
        };
        let may_be_deleted = found.as_ref().err().is_some_and(is_gone);
        let found =
            if may_be_deleted && self.let_go_of_deleted() { self.find_once(sources, except) } else { found };
        match found {
            // These speak for the layers too.
            Err(own @ (Miss::Disabled(_) | Miss::Mode)) => Err(own),
            Err(own) if !self.layers.is_empty() => self.find_below(sources, except, own),
            found => found,
        }
    }

    fn let_go_of_deleted(&self) -> bool {
        let Ok(Some(root)) = self.root() else { return false };
        let deleted = root.manifest.is_deleted();
        if deleted {
            self.forget_root(&root);
        }
        deleted
    }

    pub(super) fn find_once(&self, sources: &Sources, except: &[PutId]) -> Result<Artifact, Miss> {
        if let Some(why) = self.why_disabled() {
            return Err(Miss::Disabled(why));
        }
        if matches!(self.config.mode(), Mode::Refresh | Mode::Compare) {
            return Err(Miss::Mode);
        }
        let root = self.root().map_err(|error| Miss::Unreadable(error.to_string()))?.ok_or(Miss::Absent)?;
        let exec = self.exec().map_err(Miss::Unreadable)?;
        let puts = root.manifest.refreshed(sources.digest().as_bytes());
        let mut puts = puts.map_err(|none| match none {
            NoView::Trouble(trouble) => Miss::Unreadable(trouble.to_string()),
            NoView::Foreign => Miss::Unreadable("a later version wrote it".into()),
        })?;
        if !except.is_empty() {
            puts.retain(|put| !except.contains(&put.put_id));
        }
        let others_count = self.config.try_old_cache_with_new_exec() && except.is_empty();
        let left_out = own_first(&mut puts, &exec, others_count);
        if puts.is_empty() {
            let dropped = root.manifest.dropped(sources.digest().as_bytes(), &exec);
            let none = if left_out { Miss::OtherExec } else { Miss::NeverSeen };
            return Err(dropped.map_or(none, |note| Miss::Dropped(note.rule.into())));
        }
        let mut inputs = HashMap::new();
        let mut newest = None;
        for put in puts {
            match self.open_entry(&root, put, sources, &exec, &mut inputs) {
                Ok(artifact) => return Ok(artifact),
                Err(reason) => newest = newest.or(Some(reason)),
            }
        }
        Err(newest.unwrap_or(Miss::NeverSeen))
    }

    pub(super) fn open_entry(
        &self,
        root: &Arc<Root>,
        put: Arc<Put>,
        sources: &Sources,
        exec: &[u8; 32],
        inputs: &mut KnownInputs,
    ) -> Result<Artifact, Miss> {
        let spilled = self.spilled_details(root, &put)?;
        let details = spilled.as_ref().or_else(|| put.details());
        let Some(details) = details else {
            return Err(Miss::Unreadable("what the entry was made from is damaged".into()));
        };
        let checked = self.check_discovered(details, sources, inputs);
        if !details.discovered.is_empty() {
            self.keep_memo(root);
        }
        checked?;
        // Proved anew by its state alone, unless every use is to be hashed.
        if let Some(artifact) = self.live.get(put.put_id).filter(|_| self.config.verify() != Verify::Always) {
            if self.touch(root, &put, &[]) {
                self.tell_used(&artifact);
            }
            self.note_use(put.put_id);
            return Ok(artifact);
        }
        let mut stamps = Vec::new();
        let artifact = self.open_outputs(root, put, spilled, exec, &mut stamps)?;
        if let Some(put) = artifact.put() {
            if self.touch(root, put, &stamps) {
                self.tell_used(&artifact);
            }
            self.note_use(put.put_id);
        }
        self.live.note(&artifact);
        Ok(artifact)
    }

    /// An entry's artifact, whatever its build read, and without a trace of it: nobody uses it.
    pub(super) fn open_unasked(
        &self,
        root: &Arc<Root>,
        put: &Arc<Put>,
        exec: &[u8; 32],
    ) -> Result<Artifact, Miss> {
        let spilled = self.spilled_details(root, put)?;
        self.open_outputs(root, put.clone(), spilled, exec, &mut Vec::new())
    }

    /// The artifact; and in `stamps` those that its entry does not have, by the place of the output.
    #[inline]
    fn open_outputs(
        &self,
        root: &Arc<Root>,
        put: Arc<Put>,
        spilled: Option<Details>,
        exec: &[u8; 32],
        stamps: &mut Vec<(usize, Stamp)>,
    ) -> Result<Artifact, Miss> {
        let visible = put.visible().len();
        let mut opened = Opened { outputs: Vec::with_capacity(visible), ..Opened::default() };
        for number in 0..visible {
            self.open_output(root, &put, number, &mut opened)?;
        }
        *stamps = opened.stamps;
        Ok(Artifact::new(Held {
            fs: self.fs.clone(),
            outputs: opened.outputs,
            sources: OnceLock::new(),
            spilled,
            label: String::new(),
            made: SystemTime::UNIX_EPOCH + Duration::from_millis(put.made_ms),
            cost: Duration::from_millis(put.cost_ms),
            is_own_exec: put.exec == *exec,
            root: Some(root.clone()),
            _scratch: opened.scratch,
            put: Some(put),
        }))
    }

    /// What the entry was made from, if that did not fit its frame and lies in an object of its own.
    fn spilled_details(&self, root: &Arc<Root>, put: &Arc<Put>) -> Result<Option<Details>, Miss> {
        let Some(output) = put.spilled() else {
            return Ok(None);
        };
        let digest = ObjectDigest::from_bytes(output.object);
        let mut opened = Opened::default();
        self.open_output(root, put, put.visible().len(), &mut opened)?;
        let bytes = opened.outputs[0].bytes().map_err(|_| Miss::ObjectUnreadable(digest))?;
        Details::of_bytes(&bytes).map(Some).map_err(|_| Miss::ObjectDamaged(digest))
    }

    /// All that the build read beside its sources must be what it was, beside `sources` if they are elsewhere.
    /// Only regular files are read, and each once in one find, however many entries of the key name it.
    pub(super) fn check_discovered(
        &self,
        details: &Details,
        sources: &Sources,
        inputs: &mut KnownInputs,
    ) -> Result<(), Miss> {
        let moves = Moves::since(&details.recipe, sources);
        for input in &details.discovered {
            let path = moves.now(fs::text_of(&input.path).into());
            let now = match inputs.get(&path) {
                Some(known) => *known,
                None => {
                    let now = sources::digest_path(&self.fs, self.memo(), &path).ok();
                    inputs.insert(path.clone(), now);
                    now
                }
            };
            if now.is_none_or(|now| *now.as_bytes() != input.digest) {
                return Err(Miss::InputChanged(path));
            }
        }
        Ok(())
    }

    /// Opens, leases and proves one object; one that is packed into its entry is proved alone.
    fn open_output(
        &self,
        root: &Arc<Root>,
        put: &Arc<Put>,
        number: usize,
        opened: &mut Opened,
    ) -> Result<(), Miss> {
        let output = &put.outputs[number];
        let digest = ObjectDigest::from_bytes(output.object);
        if output.packed.is_some() {
            opened.outputs.push(self.open_packed(put, number).ok_or(Miss::ObjectDamaged(digest))?);
            return Ok(());
        }
        let lease = match root.objects.open(&digest) {
            Ok(lease) => lease,
            Err(Unopened::Missing) => return Err(Miss::ObjectMissing(digest)),
            Err(Unopened::Refused(_)) => return Err(Miss::ObjectUnreadable(digest)),
            Err(Unopened::Busy(file)) => {
                let (held, scratch) = self.private_copy(root, output, &file)?;
                opened.outputs.push(held);
                opened.scratch.push(scratch);
                return Ok(());
            }
            Err(Unopened::NotAFile) => {
                if root.access == Access::Append {
                    // Left in place it would be a miss for ever; set aside, the next add has room.
                    let _ = root.objects.remove_wrong_kind(&digest);
                }
                return Err(Miss::ObjectDamaged(digest));
            }
        };
        let trusted = self.config.verify() == Verify::OncePerBoot
            && lease.len() == output.len
            && root.objects.is_vouched(&digest, &lease, &output.stamp);
        let (lease, stamp) = if trusted { (lease, None) } else { self.prove(root, &digest, lease)? };
        if lease.len() != output.len {
            // The bytes are those of their name; it is the entry that is wrong about them.
            return Err(Miss::ObjectDamaged(digest));
        }
        let again = planted::is(Bug::VerifiedThenReopened).then(|| root.objects.open(&digest).ok()).flatten();
        let lease = again.unwrap_or(lease);
        // `Verify::Always` proves an unchanged object again and again: what is recorded already says so.
        opened.stamps.extend(stamp.filter(|stamp| *stamp != output.stamp).map(|stamp| (number, stamp)));
        opened.outputs.push(HeldOutput {
            name: OnceLock::new(),
            digest,
            // Of the inode that was proved right, whatever the entry says.
            len: lease.len(),
            executable: output.executable,
            content: Content::Object(lease),
        });
        Ok(())
    }

    /// An output that is packed into its entry, if its bytes are right. They cannot change in memory, so they are
    /// hashed once while the handle holds this entry, unless every use is to be hashed.
    fn open_packed(&self, put: &Arc<Put>, number: usize) -> Option<HeldOutput> {
        let is_proved = self.config.verify() != Verify::Always && self.proved.contains(put);
        let is_right = |output: &OutputRecord| {
            let bytes = output.packed.as_deref().unwrap_or_default();
            bytes.len() as u64 == output.len && *ObjectDigest::of_bytes(bytes).as_bytes() == output.object
        };
        if !is_proved {
            if !put.outputs.iter().filter(|output| output.packed.is_some()).all(is_right) {
                return None;
            }
            self.proved.note(put);
        }
        Some(HeldOutput::packed_in(put.clone(), number))
    }

    fn prove(
        &self,
        root: &Root,
        digest: &ObjectDigest,
        mut lease: Lease,
    ) -> Result<(Lease, Option<Stamp>), Miss> {
        match root.objects.verify(digest, &mut lease) {
            Verified::Right(stamp) => Ok((lease, stamp)),
            Verified::Unreadable => Err(Miss::ObjectUnreadable(*digest)),
            Verified::Wrong => {
                if root.access == Access::Append {
                    // Somebody else may be at it too; whoever comes first sets it aside.
                    let _ = root.objects.remove_leased(digest, lease);
                }
                Err(Miss::ObjectDamaged(*digest))
            }
        }
    }

    /// Somebody holds the object exclusively, and perhaps is stopped: a copy of our own, hashed.
    fn private_copy(
        &self,
        root: &Arc<Root>,
        output: &OutputRecord,
        file: &crate::fs::File,
    ) -> Result<(HeldOutput, Scratch), Miss> {
        let digest = ObjectDigest::from_bytes(output.object);
        let bytes = root.objects.read_right(&digest, file).ok_or(Miss::ObjectDamaged(digest))?;
        let unreadable = |_: io::Error| Miss::ObjectUnreadable(digest);
        // Nothing is made in a store that was opened for reading (I17).
        let scratch = match root.access {
            Access::Append => Scratch::in_staging(&self.fs, &root.dir, &root.path).ok(),
            Access::Read => None,
        };
        let scratch = scratch.map_or_else(Scratch::temporary, Ok).map_err(unreadable)?;
        let name = digest.to_string();
        let written = scratch.write(&self.fs, name.as_ref(), &bytes).map_err(unreadable)?;
        written.set_mode(if output.executable { 0o555 } else { 0o444 }).map_err(unreadable)?;
        let file = scratch.reopen(&self.fs, name.as_ref(), &written).map_err(unreadable)?;
        let path = scratch.path().join(&name);
        let output = HeldOutput {
            name: OnceLock::new(),
            digest,
            len: bytes.len() as u64,
            executable: output.executable,
            content: Content::Outside(file, path),
        };
        Ok((output, scratch))
    }

    /// Records that the entry was used today, and new stamps; failing costs another hashing. Whether it was used for
    /// the first time today.
    fn touch(&self, root: &Root, put: &Put, fresh: &[(usize, Stamp)]) -> bool {
        let today = self.today();
        let is_writable = root.access == Access::Append || root.is_layer;
        if !is_writable || (put.day == today && fresh.is_empty()) {
            return false;
        }
        let mut stamps = Vec::new();
        if !fresh.is_empty() {
            stamps.extend(put.outputs.iter().map(|output| output.stamp));
            fresh.iter().for_each(|(number, stamp)| stamps[*number] = *stamp);
        }
        if root.is_layer {
            self.vouch_above(put, stamps);
            return false;
        }
        let touch = Touch { put_id: put.put_id, day: today, stamps };
        // The hit does not depend on it.
        root.manifest.append(&Record::Touch(touch)).is_ok() && put.day != today
    }
}
