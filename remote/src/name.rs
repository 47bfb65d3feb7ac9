//! Names that become parts of paths in a bucket: few characters, so that every engine spells them alike.

use std::{fmt, str::FromStr};

/// The longest name.
const NAME_BYTES_MAX: usize = 64;

/// The name of a namespace, of a bundle or of one step of a prefix: 1 to 64 of `a-z 0-9 . _ -`, the first of them no dot.
///
/// A namespace is a circle of trust: readers list the keys that they believe in it. What only protected jobs may
/// publish lives in one, what anybody builds in another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name: 1 to 64 of a-z, 0-9, '.', '_' and '-', the first of them no dot")]
pub struct BadName(pub String);

impl FromStr for Name {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Name, BadName> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let right =
            (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('.');
        right.then(|| Name(text.into())).ok_or_else(|| BadName(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_lead_elsewhere_in_a_bucket_is_no_name() {
        for wrong in ["", ".", "..", ".x", "a/b", "A", "a b", "ä", "a\0", &"a".repeat(65)] {
            assert_eq!(wrong.parse::<Name>(), Err(BadName(wrong.into())));
        }
        for right in ["a", "main-2.1_x", &"a".repeat(64)] {
            assert_eq!(right.parse::<Name>().unwrap().as_str(), right);
        }
    }
}
