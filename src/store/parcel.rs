//! Entries as they travel: made of what is stored here, and judged when they come from elsewhere.

use std::{collections::HashSet, time::Duration};

use super::{
    Store,
    add::{OUTPUTS_MAX, id_of},
    artifact::Artifact,
    outputs::{PACKED_BYTES_MAX, PACKED_SUM_MAX},
    report::Entry,
    tier::{Parcel, ParcelObject, TierError, TierKey},
};
use crate::{
    digest::{ObjectDigest, SourceDigest},
    format::{
        parcel,
        record::{Details, OutputRecord, Put},
    },
};

/// The parcel of an entry; `None` if it is too long to travel.
pub(super) fn parcel_of(put: &Put, details: &Details) -> Option<Parcel> {
    Some(Parcel {
        entry: parcel::encode(put, details)?,
        objects: objects_of(put.visible()),
        cost: Duration::from_millis(put.cost_ms),
        label: put.label.clone(),
    })
}

/// What must be there before the entry is: each object once, in the order of the outputs.
pub(super) fn objects_of(outputs: &[OutputRecord]) -> Vec<ParcelObject> {
    let mut known = HashSet::new();
    let stored = outputs.iter().filter(|output| output.packed.is_none() && known.insert(output.object));
    let object = |output: &OutputRecord| ParcelObject {
        digest: ObjectDigest::from_bytes(output.object),
        len: output.len,
    };
    stored.map(object).collect()
}

/// The entry that came under `key`, if it is one that this store could have made itself. Nothing of it was looked up or
/// fetched yet.
pub(super) fn arrived(key: &TierKey, parcel: &Parcel, max_bytes: u64) -> Result<Put, TierError> {
    let wrong = |why: &str| TierError::Wrong(why.to_owned());
    let mut put = parcel::decode(&parcel.entry).map_err(wrong)?;
    let why = wrong_about(key, parcel, &put);
    if let Some(why) = why {
        return Err(wrong(why));
    }
    if put.bytes() > max_bytes {
        return Err(TierError::Wrong(format!("{} bytes are more than max_bytes ({max_bytes})", put.bytes())));
    }
    put.cost_ms = u64::try_from(parcel.cost.as_millis()).unwrap_or(u64::MAX);
    Ok(put)
}

fn wrong_about(key: &TierKey, parcel: &Parcel, put: &Put) -> Option<&'static str> {
    if put.is_mask() || (put.source, put.exec) != (*key.source.as_bytes(), key.exec) {
        return Some("the entry is that of another key");
    }
    let discovered = put.details().map(|details| id_of(&details.discovered));
    if discovered != Some(put.discovered_id) {
        return Some("the entry contradicts itself about the files that the build read");
    }
    if put.outputs.is_empty() || put.outputs.len() > OUTPUTS_MAX {
        return Some("the entry has no output, or more than 1024");
    }
    let mut names = HashSet::new();
    let is_name = |name: &[u8]| !name.is_empty() && !name.contains(&0);
    if !put.outputs.iter().all(|output| is_name(&output.name) && names.insert(&output.name)) {
        return Some("the entry has outputs whose names cannot be told apart, or are none");
    }
    if !are_packed_right(&put.outputs) {
        return Some("what is packed into the entry is not what it says");
    }
    let objects = objects_of(&put.outputs);
    let is_said_once = |output: &OutputRecord| {
        let same = objects.iter().find(|object| *object.digest.as_bytes() == output.object);
        same.is_none_or(|object| object.len == output.len)
    };
    if !put.outputs.iter().all(is_said_once) {
        return Some("the entry says two lengths of one object");
    }
    (objects != parcel.objects).then_some("the objects of the parcel are not those of its entry")
}

fn are_packed_right(outputs: &[OutputRecord]) -> bool {
    let packed = outputs.iter().filter_map(|output| Some((output, output.packed.as_deref()?)));
    let mut sum = 0;
    for (output, bytes) in packed {
        sum += bytes.len();
        let is_right = bytes.len() <= PACKED_BYTES_MAX
            && sum <= PACKED_SUM_MAX
            && bytes.len() as u64 == output.len
            && *ObjectDigest::of_bytes(bytes).as_bytes() == output.object;
        if !is_right {
            return false;
        }
    }
    true
}

impl TierKey {
    /// What an artifact of these sources is found under that is for whom `exec` identifies
    /// ([`Entry::exec_id`](crate::Entry::exec_id)).
    pub fn new(source: SourceDigest, exec: [u8; 32]) -> TierKey {
        TierKey { source, exec }
    }

    pub(super) fn of(put: &Put) -> TierKey {
        TierKey::new(SourceDigest::from_bytes(put.source), put.exec)
    }
}

impl Store {
    /// What a tier finds an artifact under that is for whom this handle's are; `None`: that cannot be found out.
    pub fn tier_key(&self, source: SourceDigest) -> Option<TierKey> {
        self.0.exec().ok().map(|exec| TierKey::new(source, exec))
    }
}

impl Entry {
    /// What a tier finds it under.
    pub fn tier_key(&self) -> TierKey {
        TierKey::new(self.source_digest(), self.exec_id())
    }
}

impl Artifact {
    /// What a tier finds it under; `None` if it is not stored.
    pub fn tier_key(&self) -> Option<TierKey> {
        self.put().map(|put| TierKey::of(put))
    }

    /// Itself as a parcel; `None` if it is not stored, or its entry is too long to travel.
    pub(super) fn to_parcel(&self) -> Option<(TierKey, Parcel)> {
        let put = self.put()?;
        let details = self.held.spilled.as_ref().or_else(|| put.details())?;
        Some((TierKey::of(put), parcel_of(put, details)?))
    }
}
