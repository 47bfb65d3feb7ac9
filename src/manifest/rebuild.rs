//! Rebuilding: a compaction that also takes in what no reader does, because the header or the footer of its file is
//! damaged.
//!
//! What a reader sees comes first and whole (I7, I10): nothing that is salvaged hides or removes any of it. What is
//! salvaged is what the damage hid, as the newest word on it says, as far as that word is readable.

use std::collections::{HashMap, HashSet};

use super::{Compacted, Manifest, Refused, View, check, log, segment};
use crate::{
    error::Trouble,
    format::{
        frame::{self, SLOT_BYTES},
        put,
        record::{self, Dropped, FileKind, Put, PutId, Record},
        salvage,
        wire::{self, Strings},
    },
    fs::{self, Access, Dir, Kind, Pattern},
    layout::ManifestName,
    planted::{self, Bug},
    sync::Arc,
};

/// How many entries there are, and how many of them no reader saw before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rebuilt {
    pub(crate) entries: u64,
    pub(crate) salvaged: u64,
}

impl Manifest {
    /// Writes all that can be read as one new segment; `None` if there is nothing, or somebody else compacts.
    pub(crate) fn rebuild(&self) -> Result<Option<Rebuilt>, Refused> {
        let mut rebuilt = Rebuilt::default();
        let done = self.compact_with(&mut |dir, listed, limit, inputs| {
            let seen = inputs.entries();
            let salvaged = salvaged(dir, listed, limit, inputs, &seen)?;
            rebuilt =
                Rebuilt { entries: (seen.len() + salvaged.len()) as u64, salvaged: salvaged.len() as u64 };
            Ok(salvaged)
        })?;
        Ok(matches!(done, Compacted::Yes(_)).then_some(rebuilt))
    }
}

/// What no reader sees, to come before what readers do (`seen`): it counts as older.
fn salvaged(
    dir: &Dir,
    listed: &[ManifestName],
    limit: u64,
    inputs: &mut View,
    seen: &[Arc<Put>],
) -> Result<Vec<Arc<Put>>, Trouble> {
    let mut found = Found::default();
    for name in hidden(listed, limit, inputs) {
        found.take(dir, name)?;
    }
    let identities: HashSet<_> = seen.iter().map(|put| put.identity()).collect();
    let fresh = |put: &Arc<Put>| !identities.contains(&put.identity());
    // As if the file were the body that the logs are read over: what they dropped or replaced stays so.
    let is_back = planted::is(Bug::RebuildResurrects);
    let salvaged =
        found.into_puts().filter_map(|put| if is_back { Some(put) } else { inputs.table.over_segment(&put) });
    Ok(salvaged.filter(fresh).collect())
}

/// The files below `limit` that no reader takes in and that hold what nothing else does, in the order of what they
/// say: a damaged segment that is the newest, the logs that it was made of, and logs whose header is damaged. An older
/// segment is none: what was dropped since may not be known any more.
fn hidden(listed: &[ManifestName], limit: u64, inputs: &View) -> Vec<ManifestName> {
    let base = inputs.segment.as_ref().map(|segment| segment.footer().last);
    let is_segment = |name: &&ManifestName| matches!(name, ManifestName::Segment { .. });
    let below = || listed.iter().filter(|name| name.last() < limit);
    let newest = below().filter(is_segment).map(|name| name.last()).max().unwrap_or(0);
    let has_log = |number: &u64| listed.contains(&ManifestName::Log(*number));
    let mut hidden = Vec::new();
    let mut first = base.unwrap_or(0);
    if base.is_none_or(|base| base < newest) {
        hidden.extend(below().filter(is_segment).filter(|name| name.last() == newest));
        // Removed lowest first: those without a gap behind them say all that was said since.
        let run = (1..=newest).rev().take_while(has_log).last();
        first = run.map_or(newest, |run| run - 1).max(first);
    }
    let logs = below().filter(|name| matches!(name, ManifestName::Log(number) if *number > first));
    hidden.extend(logs);
    hidden
}

/// What hidden files say.
#[derive(Default)]
struct Found {
    /// By what a later PUT replaces, with the place in the order of adding.
    puts: HashMap<Identity, (usize, Put)>,
    identities: HashMap<PutId, Identity>,
    gone: HashSet<PutId>,
}

/// The items of a segment that has no footer.
struct Items<'a>(HashMap<u64, &'a [u8]>);

impl wire::Items for Items<'_> {
    fn item(&self, number: u64) -> Option<&[u8]> {
        self.0.get(&number).copied()
    }
}

/// See [`Put::identity`].
type Identity = ([u8; 32], [u8; 32], [u8; 16]);

impl Found {
    fn take(&mut self, dir: &Dir, name: ManifestName) -> Result<(), Trouble> {
        let path = name.path();
        let file = match dir.open(&path, Access::Read) {
            Err(error) if fs::is_wrong_kind(&error) || log::is_closed(dir, &path, &error) => return Ok(()),
            opened => opened.map_err(Trouble::of("open", &path))?,
        };
        let stat = file.stat().map_err(Trouble::of("examine", &path))?;
        if stat.kind != Kind::File {
            return Ok(());
        }
        match name {
            ManifestName::Log(_) => {
                let bytes = check::read_whole(&file).map_err(Trouble::of("read", &path))?;
                self.take_bytes(&bytes, FileKind::Log);
            }
            ManifestName::Segment { .. } if stat.len > 0 => {
                let map = file.map(stat.len, Pattern::Through).map_err(Trouble::of("map", &path))?;
                self.take_bytes(&map, FileKind::Segment);
            }
            ManifestName::Segment { .. } => {}
        }
        Ok(())
    }

    fn take_bytes(&mut self, bytes: &[u8], kind: FileKind) {
        let Some((slot, frames)) = bytes.split_first_chunk::<SLOT_BYTES>() else { return };
        let seed = match log::header_of(slot, kind) {
            log::HeaderRead::Right(header) => header.seed,
            _ => salvage::seed_of(slot),
        };
        if kind == FileKind::Segment {
            return self.take_entries(frames, seed);
        }
        for (_, frame) in frame::Scan::new(frames, seed) {
            match Record::of_frame(&frame) {
                Ok(Record::Put(put)) if put.is_sound() => self.put(*put),
                Ok(Record::Drop(Dropped { put_id, .. })) => self.drop(put_id),
                Ok(Record::Seal) => break,
                _ => {}
            }
        }
    }

    /// An entry has its strings from the items wherever they are: each says its number.
    fn take_entries(&mut self, frames: &[u8], seed: u64) {
        let scan = || frame::Scan::of_segment(frames, seed).map(|(_, frame)| frame);
        let items = Items(scan().filter_map(|frame| segment::item_of(&frame)).collect());
        for frame in scan() {
            let payload = segment::entry_of(&frame).ok().flatten();
            let put = payload.and_then(|payload| put::decode(payload, Strings::Of(&items)));
            if let Some(put) = put.filter(Put::is_sound) {
                self.put(put);
            }
        }
    }

    fn put(&mut self, put: Put) {
        if !self.gone.contains(&put.put_id) && !self.identities.contains_key(&put.put_id) {
            let identity = put.identity();
            self.identities.insert(put.put_id, identity);
            let before = self.puts.get(&identity);
            if before.is_none_or(|(_, old)| record::is_replaced(old.brought, put.brought)) {
                self.puts.insert(identity, (self.identities.len(), put));
            }
        }
    }

    fn drop(&mut self, put_id: PutId) {
        if planted::is(Bug::RebuildResurrects) {
            return;
        }
        self.gone.insert(put_id);
        if let Some(identity) = self.identities.get(&put_id)
            && self.puts.get(identity).is_some_and(|(_, put)| put.put_id == put_id)
        {
            self.puts.remove(identity);
        }
    }

    /// In the order of adding.
    fn into_puts(self) -> impl Iterator<Item = Arc<Put>> {
        let mut puts: Vec<_> = self.puts.into_values().collect();
        puts.sort_by_key(|(place, _)| *place);
        puts.into_iter().map(|(_, put)| Arc::new(put))
    }
}
