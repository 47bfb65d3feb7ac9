//! What a client counts: what came, what did not and why, what was brought, and what was dropped on the way.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sign::Refusal;

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a client has counted since it was made.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Counters {
            pub(crate) fn read(&self) -> Counts {
                Counts { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counts! {
    /// Entries that were asked for.
    lookups,
    /// .. that were there and believed.
    entries,
    /// .. that were in no namespace.
    absent,
    /// .. that were known to be in none from moments before, so that nobody was asked.
    absent_remembered,
    /// .. that were known from a bundle or from moments before.
    entries_remembered,
    /// .. for which there was no answer in time, or no engine.
    unanswered,
    /// .. that were not asked for, because the engine had failed moments before.
    resting,
    /// Entries that no version known here reads.
    refused_malformed,
    /// Entries without a signature.
    refused_unsigned,
    /// Entries whose signature is wrong.
    refused_wrong_signature,
    /// Entries of a key that is not trusted.
    refused_unknown_key,
    /// Entries of a key that was revoked.
    refused_revoked_key,
    /// Entries that are too old.
    refused_expired,
    /// Entries made in the future.
    refused_future,
    /// Entries of another namespace.
    refused_other_namespace,
    /// Entries of another key.
    refused_other_key,
    /// Objects that came and were right.
    objects,
    /// Objects that an entry names and that are not there.
    objects_missing,
    /// Objects that came and were wrong: other bytes, too few or too many.
    objects_wrong,
    /// Bytes of objects that came, as they lie in the bucket.
    bytes_received,
    /// Calls that failed, among them those that the second try made good.
    failures,
    /// Entries that were published.
    published,
    /// Objects that were published.
    objects_published,
    /// Objects that were there already, and stay long enough.
    objects_present,
    /// Bytes that were published, as they lie in the bucket.
    bytes_sent,
    /// Entries that were renewed with their objects.
    renewed,
    /// Artifacts that were not published and will not be by this client.
    not_published,
    /// Uploads that wait or waited in the queue.
    queued,
    /// .. and that were dropped because it was full.
    dropped_full,
    /// .. because the store does not have the artifact any more.
    dropped_gone,
    /// .. because they waited too long.
    dropped_old,
    /// .. because their file was damaged.
    dropped_damaged,
    /// .. because they can never be published: too large, or no key to sign with.
    dropped_unfit,
}

/// One more.
pub(crate) fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// This many more.
pub(crate) fn more(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn refused(&self, why: Refusal) {
        one(match why {
            Refusal::Malformed => &self.refused_malformed,
            Refusal::Unsigned => &self.refused_unsigned,
            Refusal::WrongSignature => &self.refused_wrong_signature,
            Refusal::UnknownKey => &self.refused_unknown_key,
            Refusal::RevokedKey => &self.refused_revoked_key,
            Refusal::Expired => &self.refused_expired,
            Refusal::Future => &self.refused_future,
            Refusal::OtherNamespace => &self.refused_other_namespace,
            Refusal::OtherKey => &self.refused_other_key,
        });
    }
}
