//! Bringing one artifact at once and hearing what came of it, and the list of what is there: for tools, not for hosts.

use plugcache::{Artifact, Parcel, TierKey};

use crate::{
    bucket::{BucketError, Keeper},
    client::Failure,
    name::Name,
    paths::{Place, Prefix},
    publish::{How, Stop},
    tier::Remote,
};

/// Why an artifact was not brought.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// Nobody is there to sign.
    #[error("publishing needs a publisher")]
    NoPublisher,
    /// It can never be there: an object of it is too large or damaged, or its entry is too long.
    #[error("it cannot be published: an object of it is too large or damaged, or its entry is too long")]
    Unfit,
    /// The engine was too slow, or asks for patience.
    #[error("the engine gave no answer in time: {0}")]
    Late(String),
    /// The engine gave no answer.
    #[error("the engine gave no answer: {0}")]
    Unanswered(String),
}

impl Remote {
    /// Brings an artifact, now: its objects where they are missing or grow old, then its entry.
    ///
    /// # Errors
    /// See [`PushError`].
    pub fn push(&self, key: &TierKey, parcel: &Parcel, artifact: &Artifact) -> Result<(), PushError> {
        let client = &self.0.client;
        if client.publisher.is_none() {
            return Err(PushError::NoPublisher);
        }
        let pushed = client.try_publish(key, parcel, artifact, How::Trusting);
        pushed.map_err(|stop| match stop {
            Stop::Unfit => PushError::Unfit,
            Stop::Failed(Failure::Failed(error)) if error.is_late() => PushError::Late(error.to_string()),
            Stop::Failed(Failure::Failed(error)) => PushError::Unanswered(error.to_string()),
            Stop::Failed(Failure::Shut(_)) => {
                PushError::Unanswered("it failed before and is left alone".into())
            }
            Stop::Failed(Failure::NotFound) => PushError::Unanswered("it says that it is not there".into()),
        })
    }
}

/// The keys of all entries in these namespaces, each once, whoever signed them: what a listing of the bucket says.
///
/// # Errors
/// The bucket cannot be listed.
pub fn entries(
    bucket: &dyn Keeper,
    prefix: &Prefix,
    namespaces: &[Name],
) -> Result<Vec<TierKey>, BucketError> {
    let mut keys = Vec::new();
    for namespace in namespaces {
        bucket.list(&format!("{}/{namespace}/ac", prefix.root()), &mut |path, _| {
            if let Some(Place::Entry(_, key)) = prefix.place(path) {
                keys.push(key);
            }
        })?;
    }
    keys.sort_unstable_by_key(|key| (*key.source.as_bytes(), key.exec));
    keys.dedup();
    Ok(keys)
}
