//! Bundles: the entries of a release in one signed file, so that fifty plugins cost one lookup and then downloads, many
//! at a time.
//!
//! ```text
//! "plugcache bundle" 0x01       17 bytes
//! namespace, name               so that one bundle is not taken for another
//! created, expires              8 + 8, seconds since 1970
//! entries                       4, how many; each with its length: a whole signed entry
//! scheme, key id, signature     as of an entry, over another domain
//! ```
//!
//! Each entry in it is believed for its own signature alone: the bundle's says which ones belong together.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::SystemTime,
};

use plugcache::TierKey;

use crate::{
    bucket::BucketError,
    client::Failure,
    clock,
    keys::{SecretKey, Trust},
    name::Name,
    sign::{ENTRY_BYTES_MAX, LIFETIME, Refusal, check_times, key_in, prove, seal, verify},
    tier::Remote,
    wire::{Reader, Writer},
};

const DOMAIN: &[u8] = b"plugcache-remote: signed bundle, version 1\0";
const MAGIC: &[u8; 17] = b"plugcache bundle\x01";
/// Longer ones are neither written nor read: some thousand plugins.
const BUNDLE_BYTES_MAX: usize = 8 << 20;
/// Lookups of a pull that run at once: rule and measurement agree on 16 to 32.
const PULLS: usize = 24;

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Nobody is there to sign.
    #[error("publishing a bundle needs a publisher")]
    NoPublisher,
    /// A key has no entry in the namespace of the publisher, signed by somebody trusted: publish it first.
    #[error("there is no entry for {source_digest} in the publisher's namespace")]
    NoEntry {
        /// Of the key.
        source_digest: plugcache::SourceDigest,
    },
    /// The entries are more than one bundle can hold.
    #[error("the entries are more than one bundle holds")]
    TooLong,
    /// There is none of this name in any namespace.
    #[error("there is no bundle of this name")]
    Absent,
    /// There is one, and it is not believed.
    #[error("the bundle is not believed: {0}")]
    Refused(#[from] Refusal),
    /// The engine was too slow, or asks for patience.
    #[error("the engine gave no answer in time: {0}")]
    Late(String),
    /// The engine gave no answer.
    #[error("the engine gave no answer: {0}")]
    Unanswered(String),
}

impl From<Failure> for BundleError {
    fn from(failure: Failure) -> BundleError {
        match failure {
            Failure::NotFound => BundleError::Absent,
            Failure::Failed(BucketError::TooLong) => BundleError::Refused(Refusal::Malformed),
            Failure::Failed(error) if error.is_late() => BundleError::Late(error.to_string()),
            Failure::Failed(error) => BundleError::Unanswered(error.to_string()),
            Failure::Shut(_) => BundleError::Unanswered("it failed before and is left alone".into()),
        }
    }
}

/// What became of a pull.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// Keys of the bundle whose entries are believed.
    pub keys: usize,
    /// .. for which the caller's function said that it has them now.
    pub here: usize,
}

impl Remote {
    /// Publishes a bundle of what was published under these keys in the publisher's namespace.
    ///
    /// # Errors
    /// See [`BundleError`]; then no bundle was written.
    pub fn publish_bundle(&self, name: &Name, keys: &[TierKey]) -> Result<(), BundleError> {
        let client = &self.0.client;
        let publisher = client.publisher.as_ref().ok_or(BundleError::NoPublisher)?;
        let namespace = &publisher.namespace;
        let now = client.clock.wall();
        let mut entries = Vec::with_capacity(keys.len());
        for key in keys {
            let no_entry = || BundleError::NoEntry { source_digest: key.source };
            let path = client.prefix.entry(namespace, key);
            let budget = client.budget(client.deadlines.lookup_max);
            let bytes = match client.read(&path, ENTRY_BYTES_MAX, budget) {
                Err(Failure::NotFound) => return Err(no_entry()),
                read => read?,
            };
            verify(&bytes, (namespace, key), &client.trust, now).map_err(|_| no_entry())?;
            entries.push(bytes);
        }
        let bytes = spell(namespace, name, now, &entries, &publisher.key).ok_or(BundleError::TooLong)?;
        Ok(client.put(&client.prefix.bundle(namespace, name), bytes.into())?)
    }

    /// Reads a bundle from the first namespace that has it: its keys, whose entries are known from now on for some
    /// minutes, so that looking them up asks nobody.
    ///
    /// # Errors
    /// See [`BundleError`].
    pub fn load_bundle(&self, name: &Name) -> Result<Vec<TierKey>, BundleError> {
        let client = &self.0.client;
        for namespace in &client.namespaces {
            let path = client.prefix.bundle(namespace, name);
            let budget = client.budget(client.deadlines.lookup_max);
            let bytes = match client.read(&path, BUNDLE_BYTES_MAX, budget) {
                Err(Failure::NotFound) => continue,
                read => read?,
            };
            let now = client.clock.wall();
            let signed = read(&bytes, (namespace, name), &client.trust, now);
            let signed = signed.inspect_err(|why| client.counters.refused(*why))?;
            return Ok(signed.into_iter().filter_map(|bytes| self.believe(namespace, bytes)).collect());
        }
        Err(BundleError::Absent)
    }

    fn believe(&self, namespace: &Name, bytes: &[u8]) -> Option<TierKey> {
        let client = &self.0.client;
        let key = key_in(bytes)?;
        match verify(bytes, (namespace, &key), &client.trust, client.clock.wall()) {
            Ok(entry) => {
                self.learn(&key, entry);
                Some(key)
            }
            Err(why) => {
                client.counters.refused(why);
                None
            }
        }
    }

    /// Loads a bundle and calls `fetch` for each of its keys, 24 at once: for instance
    /// `|key| store.fetch(key).is_ok()` with a store that has this tier.
    ///
    /// # Errors
    /// See [`BundleError`]. What single keys come to is `fetch`'s to know.
    pub fn pull(&self, name: &Name, fetch: impl Fn(&TierKey) -> bool + Sync) -> Result<Pulled, BundleError> {
        let keys = self.load_bundle(name)?;
        let (next, here) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            while let Some(key) = keys.get(next.fetch_add(1, Ordering::Relaxed)) {
                if fetch(key) {
                    here.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..PULLS.min(keys.len()) {
                scope.spawn(work);
            }
            work();
        });
        Ok(Pulled { keys: keys.len(), here: here.into_inner() })
    }
}

fn spell(
    namespace: &Name,
    name: &Name,
    now: SystemTime,
    entries: &[Vec<u8>],
    by: &SecretKey,
) -> Option<Vec<u8>> {
    let mut to = Writer::default();
    to.raw(MAGIC).bytes(namespace.as_str().as_bytes())?.bytes(name.as_str().as_bytes())?;
    let created = clock::whole_seconds(now);
    to.u64(clock::to_seconds(created)?).u64(clock::to_seconds(created + LIFETIME)?);
    to.u32(u32::try_from(entries.len()).ok()?);
    for entry in entries {
        to.bytes(entry)?;
    }
    let bytes = seal(DOMAIN, to, by);
    (bytes.len() <= BUNDLE_BYTES_MAX).then_some(bytes)
}

/// What a bundle states.
pub(crate) struct Stated<'a> {
    namespace: Name,
    name: Name,
    created: SystemTime,
    expires: SystemTime,
    pub(crate) entries: Vec<&'a [u8]>,
    /// Where the signature begins.
    end: usize,
}

/// What stands in a bundle, whoever signed it.
pub(crate) fn parse(bytes: &[u8]) -> Option<Stated<'_>> {
    let mut from = Reader(bytes);
    (from.array()? == *MAGIC).then_some(())?;
    let (namespace, name) = (from.text()?.parse().ok()?, from.text()?.parse().ok()?);
    let (created, expires) = (clock::from_seconds(from.u64()?)?, clock::from_seconds(from.u64()?)?);
    let count = from.u32()?;
    let entries = (0..count).map(|_| from.bytes()).collect::<Option<_>>()?;
    Some(Stated { namespace, name, created, expires, entries, end: bytes.len() - from.0.len() })
}

fn read<'a>(
    bytes: &'a [u8],
    (namespace, name): (&Name, &Name),
    trust: &Trust,
    now: SystemTime,
) -> Result<Vec<&'a [u8]>, Refusal> {
    let stated = parse(bytes).ok_or(Refusal::Malformed)?;
    prove(DOMAIN, &bytes[..stated.end], &bytes[stated.end..], namespace, trust)?;
    if stated.namespace != *namespace {
        return Err(Refusal::OtherNamespace);
    }
    if stated.name != *name {
        return Err(Refusal::OtherKey);
    }
    check_times(stated.created, stated.expires, now)?;
    Ok(stated.entries)
}
