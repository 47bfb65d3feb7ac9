//! Signed entries: which objects belong to a key, said by somebody whom the reader trusts.
//!
//! The one encoding, version 1, all numbers little-endian, every text and byte string with its length (4 bytes) first:
//!
//! ```text
//! "plugcache entry" 0x01        16 bytes
//! namespace
//! source digest, exec id        32 + 32
//! cost                           8, microseconds
//! created, expires               8 + 8, seconds since 1970
//! builder, label                 for people
//! objects                        4, how many; each: BLAKE3 32, length 8, form 1
//! parcel                         opaque
//! scheme                         1: 0 none, 1 ed25519
//! key id                        16
//! signature                     64, over DOMAIN and all that stands before it
//! ```
//!
//! An ordinary entry is below 2 KiB, which engines keep beside their index. Objects are proved by their digests and
//! need no signature; that they belong to the key is what no hash shows (CVE-2025-36852).

use std::time::{Duration, SystemTime};

use ed25519_dalek::Signature;
use plugcache::{ObjectDigest, Parcel, ParcelObject, SourceDigest, TierKey};

use crate::{
    clock,
    keys::{KeyId, SecretKey, Standing, Trust},
    name::Name,
    wire::{Reader, Writer},
};

/// Separates these signatures from all others that a key may make.
const DOMAIN: &[u8] = b"plugcache-remote: signed entry, version 1\0";
const MAGIC: &[u8; 16] = b"plugcache entry\x01";
const SCHEME_NONE: u8 = 0;
const SCHEME_ED25519: u8 = 1;
/// Scheme, key id and signature.
const TAIL_BYTES: usize = 1 + 16 + 64;

/// Longer ones are neither written nor read: a thousand objects and a large parcel fit.
pub const ENTRY_BYTES_MAX: usize = 256 << 10;
/// How long an entry is believed: objects are kept for 30 days, so that none goes before its entry.
pub const LIFETIME: Duration = Duration::from_secs(21 * 24 * 3600);
/// How far the clocks of a fleet may lie apart.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

/// How the bytes of an object lie in the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// As they are.
    Raw,
    /// As one zstd stream, which is shorter.
    Zstd,
}

/// One object of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stored {
    /// What it is.
    pub object: ParcelObject,
    /// How it lies in the bucket.
    pub form: Form,
}

/// What an entry states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The circle of trust that it was published in.
    pub namespace: Name,
    /// What it is the answer to.
    pub key: TierKey,
    /// How long the build took.
    pub cost: Duration,
    /// When it was signed, by the clock of the signer.
    pub created: SystemTime,
    /// From when on nobody believes it any more.
    pub expires: SystemTime,
    /// Who built it; for people.
    pub builder: String,
    /// What it is; for people.
    pub label: String,
    /// All objects that it needs.
    pub objects: Vec<Stored>,
    /// What the library made of it.
    pub parcel: Vec<u8>,
}

/// Why an entry is not believed. Each is a miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The bytes are no entry of a version that is known here.
    #[error("it is no entry that this version reads")]
    Malformed,
    /// It has no signature.
    #[error("it is not signed")]
    Unsigned,
    /// The signature is not that of the key that it names.
    #[error("its signature is wrong")]
    WrongSignature,
    /// Its key is not trusted in this namespace.
    #[error("the key that it names is not trusted in this namespace")]
    UnknownKey,
    /// Its key was trusted once.
    #[error("the key that it names was revoked")]
    RevokedKey,
    /// It is older than it may be.
    #[error("it has expired")]
    Expired,
    /// It was made at a time that has not come, beyond what clocks may differ.
    #[error("it was made in the future")]
    Future,
    /// It was published in another namespace.
    #[error("it belongs to another namespace")]
    OtherNamespace,
    /// It is the answer to another question.
    #[error("it belongs to another key")]
    OtherKey,
}

impl Entry {
    /// What a parcel states when it is published now.
    pub fn of_parcel(
        namespace: &Name,
        key: &TierKey,
        parcel: &Parcel,
        forms: &[Form],
        builder: &str,
        now: SystemTime,
    ) -> Entry {
        let stored = |(object, form): (&ParcelObject, &Form)| Stored { object: *object, form: *form };
        Entry {
            namespace: namespace.clone(),
            key: *key,
            cost: Duration::from_micros(u64::try_from(parcel.cost.as_micros()).unwrap_or(u64::MAX)),
            created: clock::whole_seconds(now),
            expires: clock::whole_seconds(now) + LIFETIME,
            builder: builder.into(),
            label: parcel.label.clone(),
            objects: parcel.objects.iter().zip(forms).map(stored).collect(),
            parcel: parcel.entry.clone(),
        }
    }

    /// The parcel that was published.
    pub fn to_parcel(&self) -> Parcel {
        Parcel {
            entry: self.parcel.clone(),
            objects: self.objects.iter().map(|stored| stored.object).collect(),
            cost: self.cost,
            label: self.label.clone(),
        }
    }

    /// Its bytes, signed; `None` if they were more than [`ENTRY_BYTES_MAX`].
    pub fn sign(&self, by: &SecretKey) -> Option<Vec<u8>> {
        let bytes = seal(DOMAIN, self.statement()?, by);
        (bytes.len() <= ENTRY_BYTES_MAX).then_some(bytes)
    }

    /// Its bytes without a signature: what nobody believes.
    #[cfg(test)]
    pub(crate) fn unsigned(&self) -> Vec<u8> {
        let mut bytes = self.statement().unwrap();
        bytes.u8(SCHEME_NONE);
        bytes.0
    }

    fn statement(&self) -> Option<Writer> {
        let mut to = Writer::default();
        to.raw(MAGIC).bytes(self.namespace.as_str().as_bytes())?;
        to.raw(self.key.source.as_bytes()).raw(&self.key.exec);
        to.u64(u64::try_from(self.cost.as_micros()).ok()?);
        to.u64(clock::to_seconds(self.created)?).u64(clock::to_seconds(self.expires)?);
        to.bytes(self.builder.as_bytes())?.bytes(self.label.as_bytes())?;
        to.u32(u32::try_from(self.objects.len()).ok()?);
        for Stored { object, form } in &self.objects {
            to.raw(object.digest.as_bytes()).u64(object.len).u8(*form as u8);
        }
        to.bytes(&self.parcel)?;
        Some(to)
    }

    fn read(from: &mut Reader<'_>) -> Option<Entry> {
        (from.array()? == *MAGIC).then_some(())?;
        let namespace = from.text()?.parse().ok()?;
        let key = TierKey::new(SourceDigest::from_bytes(from.array()?), from.array()?);
        let cost = Duration::from_micros(from.u64()?);
        let (created, expires) = (clock::from_seconds(from.u64()?)?, clock::from_seconds(from.u64()?)?);
        let (builder, label) = (from.text()?, from.text()?);
        let count = from.u32()?;
        // Not reserved ahead: a count of what is not there costs nothing.
        let objects = (0..count).map(|_| read_object(from)).collect::<Option<_>>()?;
        let parcel = from.bytes()?.to_vec();
        Some(Entry { namespace, key, cost, created, expires, builder, label, objects, parcel })
    }
}

fn read_object(from: &mut Reader<'_>) -> Option<Stored> {
    let (digest, len) = (ObjectDigest::from_bytes(from.array()?), from.u64()?);
    let form = match from.u8()? {
        0 => Form::Raw,
        1 => Form::Zstd,
        _ => return None,
    };
    Some(Stored { object: ParcelObject { digest, len }, form })
}

/// The entry in these bytes, if somebody who is trusted in `namespace` states there what belongs to `key`, and `now` is
/// within the time that this is said of.
///
/// # Errors
/// Why it is not believed.
pub fn verify(
    bytes: &[u8],
    (namespace, key): (&Name, &TierKey),
    trust: &Trust,
    now: SystemTime,
) -> Result<Entry, Refusal> {
    if bytes.len() > ENTRY_BYTES_MAX {
        return Err(Refusal::Malformed);
    }
    let mut from = Reader(bytes);
    let entry = Entry::read(&mut from).ok_or(Refusal::Malformed)?;
    let statement = &bytes[..bytes.len() - from.0.len()];
    prove(DOMAIN, statement, from.0, namespace, trust)?;
    if entry.namespace != *namespace {
        return Err(Refusal::OtherNamespace);
    }
    if entry.key != *key {
        return Err(Refusal::OtherKey);
    }
    check_times(entry.created, entry.expires, now)?;
    Ok(entry)
}

/// The key that an entry is about, whoever signed it.
pub(crate) fn key_in(bytes: &[u8]) -> Option<TierKey> {
    read_unproved(bytes).map(|entry| entry.key)
}

/// What stands in an entry, whoever signed it: for clearing up, and for nothing that is executed.
pub(crate) fn read_unproved(bytes: &[u8]) -> Option<Entry> {
    Entry::read(&mut Reader(bytes))
}

/// Whether `tail` holds the signature, over `domain`, `statement` and what `tail` says itself, of somebody trusted.
pub(crate) fn prove(
    domain: &[u8],
    statement: &[u8],
    tail: &[u8],
    namespace: &Name,
    trust: &Trust,
) -> Result<(), Refusal> {
    if tail == [SCHEME_NONE] {
        return Err(Refusal::Unsigned);
    }
    let (Some(&SCHEME_ED25519), TAIL_BYTES) = (tail.first(), tail.len()) else {
        return Err(Refusal::Malformed);
    };
    let mut from = Reader(&tail[1..]);
    let id = KeyId::from_bytes(from.array().ok_or(Refusal::Malformed)?);
    let signature = Signature::from_bytes(&from.array().ok_or(Refusal::Malformed)?);
    let key = match trust.standing(namespace, &id) {
        Standing::Trusted(key) => key,
        Standing::Revoked => return Err(Refusal::RevokedKey),
        Standing::Unknown => return Err(Refusal::UnknownKey),
    };
    let signed = [domain, statement, &tail[..1 + 16]].concat();
    // Strict: one signature for one statement, and no keys of small order.
    key.verify_strict(&signed, &signature).map_err(|_| Refusal::WrongSignature)
}

/// The tail that [`prove`] takes.
pub(crate) fn seal(domain: &[u8], mut statement: Writer, by: &SecretKey) -> Vec<u8> {
    statement.u8(SCHEME_ED25519).raw(by.id().as_bytes());
    let signature = by.sign(domain, &statement.0);
    statement.raw(&signature);
    statement.0
}

/// A signer may state a shorter life than [`LIFETIME`], and no longer one.
pub(crate) fn check_times(created: SystemTime, expires: SystemTime, now: SystemTime) -> Result<(), Refusal> {
    if created > now + CLOCK_TOLERANCE {
        return Err(Refusal::Future);
    }
    let over = |end: SystemTime| end <= now;
    if over(expires) || created.checked_add(LIFETIME).is_none_or(over) {
        return Err(Refusal::Expired);
    }
    Ok(())
}

#[cfg(test)]
#[path = "sign_tests.rs"]
mod tests;
