//! Bringing: every object acknowledged, and only then the entry that names them.

use std::time::Duration;

use plugcache::{Artifact, Parcel, ParcelObject, TierKey};

use crate::{
    body::pack,
    bucket::BucketError,
    client::{Client, Failure, Publisher},
    count::{more, one},
    sign::{ENTRY_BYTES_MAX, Entry, Form, Stored, verify},
};

/// An object of this age is put again, so that none is removed (30 days) before an entry of today (21 days).
pub(crate) const FRESH: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longer objects are not brought: they are packed in memory.
const OBJECT_BYTES_MAX: u64 = 1 << 30;

/// What became of an upload.
#[derive(Debug)]
pub(crate) enum Published {
    /// It is there now, or has been and stays.
    Done,
    /// It can never be there.
    Unfit,
    /// It may be another time.
    Failed,
}

/// How much of what is there is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// What has the right name is taken for right.
    Trusting,
    /// Everything is put again: something that was there was wrong.
    Afresh,
}

/// Ends an upload.
pub(crate) enum Stop {
    Unfit,
    /// What failed was counted where it was asked.
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

impl Client {
    /// Brings an artifact.
    pub(crate) fn publish(&self, key: &TierKey, parcel: &Parcel, artifact: &Artifact, how: How) -> Published {
        match self.try_publish(key, parcel, artifact, how) {
            Ok(()) => Published::Done,
            Err(Stop::Unfit) => Published::Unfit,
            Err(Stop::Failed(_)) => Published::Failed,
        }
    }

    /// The same, with the reason.
    pub(crate) fn try_publish(
        &self,
        key: &TierKey,
        parcel: &Parcel,
        artifact: &Artifact,
        how: How,
    ) -> Result<(), Stop> {
        let publisher = self.publisher.as_ref().ok_or(Stop::Unfit)?;
        let forms = parcel.objects.iter().map(|object| self.bring(object, artifact, how));
        let forms = forms.collect::<Result<Vec<_>, _>>()?;
        let Publisher { namespace, key: signer, builder } = publisher;
        let entry = Entry::of_parcel(namespace, key, parcel, &forms, builder, self.clock.wall());
        let bytes = entry.sign(signer).ok_or(Stop::Unfit)?;
        self.put(&self.prefix.entry(namespace, key), bytes.into())?;
        one(&self.counters.published);
        Ok(())
    }

    /// Sees to it that an object is there, and stays long enough; says in which form.
    fn bring(&self, object: &ParcelObject, artifact: &Artifact, how: How) -> Result<Form, Stop> {
        let mut stored = Stored { object: *object, form: Form::Zstd };
        if how == How::Trusting && self.is_fresh(&stored)? {
            return Ok(Form::Zstd);
        }
        let bytes = bytes_of(object, artifact).ok_or(Stop::Unfit)?;
        let (form, packed) = pack(bytes);
        stored.form = form;
        if form == Form::Raw && how == How::Trusting && self.is_fresh(&stored)? {
            return Ok(Form::Raw);
        }
        self.put(&self.prefix.object(&stored), packed)?;
        one(&self.counters.objects_published);
        Ok(form)
    }

    fn is_fresh(&self, stored: &Stored) -> Result<bool, Failure> {
        let path = self.prefix.object(stored);
        let head = match self
            .call(self.budget(self.deadlines.lookup_max), |limits| self.bucket.head(&path, limits))
        {
            Ok(head) => head,
            Err(Failure::NotFound) => return Ok(false),
            Err(failure) => return Err(failure),
        };
        let age = self.clock.wall().duration_since(head.modified).unwrap_or_default();
        let may_be_right = match stored.form {
            Form::Raw => head.len == stored.object.len,
            Form::Zstd => head.len < stored.object.len,
        };
        let is_fresh = age < FRESH && may_be_right;
        if is_fresh {
            one(&self.counters.objects_present);
        }
        Ok(is_fresh)
    }

    pub(crate) fn put(&self, path: &str, bytes: bytes::Bytes) -> Result<(), Failure> {
        let budget = self.budget_of_upload(bytes.len());
        self.call(budget, |limits| self.bucket.put(path, bytes.clone(), limits))?;
        more(&self.counters.bytes_sent, bytes.len() as u64);
        Ok(())
    }

    /// Renews what grows old and is used here: objects, then the entry. Only what is in the own namespace already, and is
    /// the same: what came from a namespace that others trust less must not come to be signed in this one.
    pub(crate) fn renew(&self, key: &TierKey, parcel: &Parcel, artifact: &Artifact) -> Published {
        let Some(publisher) = &self.publisher else { return Published::Unfit };
        let path = self.prefix.entry(&publisher.namespace, key);
        let budget = self.budget(self.deadlines.lookup_max);
        let bytes = match self.read(&path, ENTRY_BYTES_MAX, budget) {
            Ok(bytes) => bytes,
            Err(Failure::NotFound | Failure::Failed(BucketError::TooLong)) => return Published::Done,
            Err(_) => return Published::Failed,
        };
        let now = self.clock.wall();
        let Ok(entry) = verify(&bytes, (&publisher.namespace, key), &self.trust, now) else {
            return Published::Done;
        };
        let is_young = now.duration_since(entry.created).unwrap_or_default() < FRESH;
        let is_same = entry.parcel == parcel.entry && entry.to_parcel().objects == parcel.objects;
        if is_young || !is_same {
            return Published::Done;
        }
        let renewed = self.publish(key, parcel, artifact, How::Trusting);
        if matches!(renewed, Published::Done) {
            one(&self.counters.renewed);
        }
        renewed
    }
}

/// The bytes, hashed: nothing is signed that was not proved.
fn bytes_of(object: &ParcelObject, artifact: &Artifact) -> Option<Vec<u8>> {
    if object.len > OBJECT_BYTES_MAX {
        return None;
    }
    let output = artifact.outputs().find(|output| output.digest() == object.digest)?;
    output.read_verified().ok().filter(|bytes| bytes.len() as u64 == object.len)
}
