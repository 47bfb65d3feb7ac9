//! The answer to "why did this miss?": what a host or a person is told. [`super::judge`] finds it out.

use std::{
    ffi::OsString,
    fmt,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use super::report::Entry;
use crate::{digest::ObjectDigest, format::record::DropRule};

/// Why a find of some sources hits or misses.
///
/// `Display` is for people and says what to do; the fields (and `Serialize`, with the feature `serde`) are for
/// machines. Made by [`Store::explain`](crate::Store::explain).
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Explanation {
    /// The reason.
    pub why: Why,
    /// What else differs from the nearest entry.
    pub also: Vec<Why>,
    /// The entry that was compared with: that of the key itself; else one of the same label, or of the same names
    /// of sources, or of the same kind, whichever differs least. `None` if the store has none that is alike.
    pub nearest: Option<Entry>,
    /// Why what is built now would not be stored, as far as that is known beforehand.
    pub unstorable: Option<String>,
    /// What the [tier](crate::Tier) said when this handle last asked it for this, if it did not bring it.
    pub tier: Option<String>,
}

/// One reason.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Why {
    /// It is there: a find hits.
    Hit,
    /// The store has no entry that is alike. Or it had one, which was dropped so long ago that this was forgotten:
    /// it remembers the last few hundred.
    NeverSeen,
    /// A source is not what it was when the nearest entry was made.
    SourceChanged {
        /// Its name.
        #[cfg_attr(feature = "serde", serde(serialize_with = "lossy"))]
        name: OsString,
        /// Where it is now, or was.
        #[cfg_attr(feature = "serde", serde(serialize_with = "lossy_path"))]
        path: Option<PathBuf>,
        /// What it held; `None`: it was no source.
        was: Option<ObjectDigest>,
        /// What it holds; `None`: it is a source no more.
        now: Option<ObjectDigest>,
        /// When the nearest entry was last made or used; its use is known to the day.
        last_right: SystemTime,
    },
    /// The sources are the same, in another order.
    SourcesReordered,
    /// A file that the build read beside its sources changed.
    InputChanged {
        /// Where it is looked for now.
        #[cfg_attr(feature = "serde", serde(serialize_with = "lossy"))]
        path: PathBuf,
        /// What it held.
        was: ObjectDigest,
        /// What it holds; `None`: it cannot be read.
        now: Option<ObjectDigest>,
        /// As above.
        last_right: SystemTime,
    },
    /// A context value differs.
    ContextChanged {
        /// Its name.
        name: String,
        /// In the nearest entry.
        was: Recorded,
        /// In the sources asked for.
        now: Recorded,
    },
    /// An environment variable differs.
    EnvChanged {
        /// Its name.
        name: String,
        /// In the nearest entry.
        was: Recorded,
        /// In the sources asked for.
        now: Recorded,
    },
    /// A part of the toolchain differs.
    ToolchainChanged {
        /// Its role.
        name: String,
        /// In the nearest entry.
        was: Recorded,
        /// In the sources asked for.
        now: Recorded,
    },
    /// The compiler's options differ.
    OptionsChanged {
        /// In the nearest entry.
        was: Vec<Recorded>,
        /// In the sources asked for.
        now: Vec<Recorded>,
    },
    /// Another kind of artifact, or for another host interface.
    KindChanged {
        /// In the nearest entry.
        was: String,
        /// In the sources asked for.
        now: String,
    },
    /// It is there, and another executable made it.
    OtherExec {
        /// The exec id of the nearest entry.
        #[cfg_attr(feature = "serde", serde(serialize_with = "hex"))]
        made_by: [u8; 32],
        /// The exec id of this handle.
        #[cfg_attr(feature = "serde", serde(serialize_with = "hex"))]
        this: [u8; 32],
    },
    /// It was there, and was dropped.
    Dropped {
        /// By the wall clock of whoever did it.
        when: SystemTime,
        /// For what reason.
        rule: DroppedBy,
    },
    /// Its object is damaged or gone.
    Damaged {
        /// The name of the object.
        object: ObjectDigest,
        /// Where it was set aside to be looked at, if it (still) was.
        #[cfg_attr(feature = "serde", serde(serialize_with = "lossy_path"))]
        set_aside: Option<PathBuf>,
    },
    /// The store, or something in it, cannot be used.
    Unusable {
        /// What was tried, and what the system answered.
        why: String,
    },
}

/// A value as far as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Recorded {
    /// The value itself.
    Shown(String),
    /// There was one, and only its digest was recorded: it differs, and nobody can say how.
    Hidden,
    /// There was none.
    Unset,
}

/// The rule by which an entry was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum DroppedBy {
    /// Somebody asked for it ([`forget`](crate::Store::forget), [`clear`](crate::Store::clear)).
    Request,
    /// The host said that it did not load ([`reject`](crate::Store::reject)).
    Rejection,
    /// More entries than `max_files`.
    MaxFiles,
    /// More bytes than `max_bytes`.
    MaxBytes,
    /// Unused for longer than `idle_max`.
    IdleMax,
}

impl From<DropRule> for DroppedBy {
    fn from(rule: DropRule) -> Self {
        match rule {
            DropRule::Forgotten => DroppedBy::Request,
            DropRule::Rejected => DroppedBy::Rejection,
            DropRule::MaxFiles => DroppedBy::MaxFiles,
            DropRule::MaxBytes => DroppedBy::MaxBytes,
            DropRule::Idle => DroppedBy::IdleMax,
        }
    }
}

impl Explanation {
    pub(super) fn of(why: Why) -> Explanation {
        Explanation { why, also: Vec::new(), nearest: None, unstorable: None, tier: None }
    }

    /// Whether a find would hit.
    pub fn is_hit(&self) -> bool {
        self.why == Why::Hit
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.why)?;
        for also in &self.also {
            write!(f, "\nalso: {also}")?;
        }
        if let Some(nearest) = self.nearest.as_ref().filter(|_| !self.is_hit()) {
            let (label, made) = (nearest.label(), Utc(nearest.made()));
            write!(f, "\nnearest entry: {label:?}, made {made}, source digest {}", nearest.source_digest())?;
        }
        if let Some(todo) = self.why.what_to_do() {
            write!(f, "\nwhat to do: {todo}")?;
        }
        if let Some(why) = &self.unstorable {
            write!(f, "\nwhat is built now is not stored: {why}")?;
        }
        match self.tier.as_ref().filter(|_| !self.is_hit()) {
            Some(said) => write!(f, "\nthe tier was asked: {said}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Hit => f.write_str("it is stored: a find hits"),
            Why::NeverSeen => f.write_str("never seen before, or dropped so long ago that it was forgotten"),
            Why::SourceChanged { name, path, was, now, last_right } => {
                let place =
                    path.as_ref().map_or_else(|| name.display().to_string(), |p| p.display().to_string());
                let what = match (was, now) {
                    (None, _) => "is a new source",
                    (_, None) => "is no source any more",
                    _ => "changed",
                };
                write!(f, "{place} {what} (last right on {})", Utc(*last_right))
            }
            Why::SourcesReordered => f.write_str("the sources are the same, in another order"),
            Why::InputChanged { path, now, last_right, .. } => {
                let what = if now.is_some() { "changed" } else { "cannot be read" };
                let path = path.display();
                write!(f, "{path}, which the build read, {what} (last right on {})", Utc(*last_right))
            }
            Why::ContextChanged { name, was, now } => {
                write!(f, "the context value {name} {}", Step(was, now))
            }
            Why::EnvChanged { name, was, now } => write!(f, "the variable {name} {}", Step(was, now)),
            Why::ToolchainChanged { name, was, now } => {
                write!(f, "the toolchain's {name} {}", Step(was, now))
            }
            Why::OptionsChanged { was, now } => {
                write!(f, "the options changed from [{}] to [{}]", List(was), List(now))
            }
            Why::KindChanged { was, now } => write!(f, "the kind changed from {was:?} to {now:?}"),
            Why::OtherExec { .. } => f.write_str("another executable made it"),
            Why::Dropped { when, rule } => write!(f, "dropped on {}: {rule}", Utc(*when)),
            Why::Damaged { object, set_aside: Some(path) } => {
                write!(f, "the object {object} was damaged, and set aside as {}", path.display())
            }
            Why::Damaged { object, set_aside: None } => write!(f, "the object {object} is damaged or gone"),
            Why::Unusable { why } => write!(f, "the store cannot be used: {why}"),
        }
    }
}

impl Why {
    fn what_to_do(&self) -> Option<&'static str> {
        Some(match self {
            Why::Hit => return None,
            Why::NeverSeen => "nothing: the first build stores it",
            Why::SourceChanged { .. } | Why::SourcesReordered | Why::InputChanged { .. } => {
                "nothing: the next build stores the new version beside the old one"
            }
            Why::ContextChanged { .. } | Why::EnvChanged { .. } => {
                "nothing if that is meant; a value that does not matter to the artifact does not belong in the key"
            }
            Why::ToolchainChanged { .. } | Why::OptionsChanged { .. } | Why::KindChanged { .. } => {
                "nothing if that is meant: another compiler makes another artifact"
            }
            Why::OtherExec { .. } => {
                "nothing: it is built once for this executable; if artifacts do not depend on the executable, \
                 say so by `exec`, or allow others' by `try_old_cache_with_new_exec`"
            }
            Why::Dropped { rule: DroppedBy::MaxFiles, .. } => "raise `max_files` if this happens often",
            Why::Dropped { rule: DroppedBy::MaxBytes, .. } => "raise `max_bytes` if this happens often",
            Why::Dropped { rule: DroppedBy::IdleMax, .. } => "raise `idle_max` if this happens often",
            Why::Dropped { .. } => "nothing: the next build stores it anew",
            Why::Damaged { .. } => {
                "nothing: the next build stores it anew; if it happens again, look at the disk, and at who else \
                 writes to the directory"
            }
            Why::Unusable { .. } => "remove the cause, or choose another directory",
        })
    }
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Recorded::Shown(text) => write!(f, "{text:?}"),
            Recorded::Hidden => f.write_str("(hidden)"),
            Recorded::Unset => f.write_str("(none)"),
        }
    }
}

impl fmt::Display for DroppedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DroppedBy::Request => "by request",
            DroppedBy::Rejection => "it did not load",
            DroppedBy::MaxFiles => "the store had more than max_files entries",
            DroppedBy::MaxBytes => "the store had more than max_bytes bytes",
            DroppedBy::IdleMax => "it was unused for longer than idle_max",
        })
    }
}

/// From one value to another.
struct Step<'a>(&'a Recorded, &'a Recorded);

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (Recorded::Hidden, Recorded::Hidden) => f.write_str("differs"),
            (was, now) => write!(f, "changed from {was} to {now}"),
        }
    }
}

struct List<'a>(&'a [Recorded]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join(", "))
    }
}

/// To the minute.
struct Utc(SystemTime);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since: Duration = self.0.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let minutes = since.as_secs() / 60;
        let (year, month, day) = civil(minutes / (24 * 60));
        let (hour, minute) = (minutes / 60 % 24, minutes % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
    }
}

/// The date of a day counted from 1970-01-01. Counts from the first of March of the year 0 on, in 400 years of
/// 146,097 days, so that the leap day comes last.
fn civil(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, month, of_month)
}

#[cfg(feature = "serde")]
fn lossy<S: serde::Serializer>(text: &impl AsRef<std::ffi::OsStr>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&text.as_ref().to_string_lossy())
}

#[cfg(feature = "serde")]
fn lossy_path<S: serde::Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => to.serialize_some(&path.to_string_lossy()),
        None => to.serialize_none(),
    }
}

#[cfg(feature = "serde")]
fn hex<S: serde::Serializer>(id: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&crate::digest::to_hex(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_the_dates_of_the_calendar() {
        let date = |seconds| Utc(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).to_string();
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(date(951_868_740), "2000-02-29 23:59 UTC");
        assert_eq!(date(4_107_542_400), "2100-03-01 00:00 UTC");
        assert_eq!(date(1_795_737_600 + 27 * 86_400), "2026-12-24 00:00 UTC");
    }
}
