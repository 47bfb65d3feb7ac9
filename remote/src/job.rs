//! One upload that waits, and the file that says so: text that people can read.

use plugcache::{SourceDigest, TierKey};

use crate::hex;

const HEAD: &str = "plugcache upload 1";
const HEAD_OF_ANY: &str = "plugcache upload ";
/// How the names of these files end.
pub(crate) const EXTENSION: &str = "job";

/// Why something is brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Built,
    /// It was built because what lay in the bucket was wrong.
    Spoilt,
    /// It was used, and may grow old there.
    Used,
}

const REASONS: [(Reason, &str); 3] =
    [(Reason::Built, "built"), (Reason::Spoilt, "spoilt"), (Reason::Used, "used")];

/// One upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) key: TierKey,
    pub(crate) reason: Reason,
    pub(crate) bytes: u64,
}

/// A job of a version that this one does not know: that one brings it.
pub(crate) fn is_of_another_version(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    let number = first.strip_prefix(HEAD_OF_ANY).unwrap_or_default();
    first != HEAD && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// What its file is called: one for each key.
pub(crate) fn file_name(key: &TierKey) -> String {
    format!("{}-{}.{EXTENSION}", key.source, hex::of(&key.exec))
}

/// What stands in its file.
pub(crate) fn text_of(job: &Job) -> String {
    let reason = REASONS.iter().find(|(reason, _)| *reason == job.reason).map_or("", |(_, word)| word);
    let Job { key, bytes, .. } = job;
    format!("{HEAD}\nsource {}\nexec {}\nbytes {bytes}\nreason {reason}\n", key.source, hex::of(&key.exec))
}

/// The other way; `None` for whatever this version would not have written.
pub(crate) fn parse(text: &str) -> Option<Job> {
    let lines: Vec<_> = text.lines().collect();
    let [HEAD, source, exec, bytes, reason] = lines[..] else { return None };
    let source: SourceDigest = source.strip_prefix("source ")?.parse().ok()?;
    let exec = hex::to(exec.strip_prefix("exec ")?)?;
    let bytes = bytes.strip_prefix("bytes ")?.parse().ok()?;
    let word = reason.strip_prefix("reason ")?;
    let (reason, _) = *REASONS.iter().find(|(_, known)| *known == word)?;
    Some(Job { key: TierKey::new(source, exec), reason, bytes })
}
