//! The details of an entry, decoded when they are asked for: a lookup needs none of them.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use super::record::Details;

/// The details of an entry, where it holds them.
#[derive(Clone, Debug)]
pub(crate) struct Recorded(Where);

#[derive(Clone, Debug)]
enum Where {
    /// The last output is them.
    Spilled,
    Here(Box<Details>),
    /// They are decoded when they are asked for: most never are.
    Lent {
        by: Arc<dyn Lender>,
        place: u64,
        read: OnceLock<Option<Box<Details>>>,
    },
}

/// Who can tell details later.
pub(crate) trait Lender: fmt::Debug + Send + Sync {
    /// `None` if they are damaged.
    fn details_at(&self, place: u64) -> Option<Details>;
}

impl Recorded {
    pub(crate) fn lent(by: Arc<dyn Lender>, place: u64) -> Recorded {
        Recorded(Where::Lent { by, place, read: OnceLock::new() })
    }

    /// Whether the entry's frame holds them, readable or not.
    pub(super) fn is_here(&self) -> bool {
        !matches!(self.0, Where::Spilled)
    }

    pub(super) fn get(&self) -> Option<&Details> {
        match &self.0 {
            Where::Spilled => None,
            Where::Here(details) => Some(details),
            Where::Lent { by, place, read } => {
                read.get_or_init(|| by.details_at(*place).map(Box::new)).as_deref()
            }
        }
    }
}

impl From<Option<Details>> for Recorded {
    fn from(details: Option<Details>) -> Self {
        Recorded(details.map_or(Where::Spilled, |details| Where::Here(Box::new(details))))
    }
}

impl PartialEq for Recorded {
    fn eq(&self, other: &Self) -> bool {
        (self.is_here(), self.get()) == (other.is_here(), other.get())
    }
}

impl Eq for Recorded {}
