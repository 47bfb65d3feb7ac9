//! The primitives of a PUT's bytes: numbers as varints, strings in place or by number. No allocation but for what is
//! written; nothing here panics on any bytes.

use crate::planted::{self, Bug};

/// Strings that stand once for many entries, by their number.
pub(crate) trait Items {
    fn item(&self, number: u64) -> Option<&[u8]>;
}

/// What a string is that is read: `None` where it stands elsewhere and is not asked for.
pub(super) type Text<'a> = Option<&'a [u8]>;

/// How strings are read that do not stand in place.
#[derive(Clone, Copy)]
pub(crate) enum Strings<'a> {
    /// There are none: a log has no items, and so each value has one spelling.
    InPlace,
    /// They are passed over.
    Skipped,
    Of(&'a dyn Items),
}

/// What is left of a payload.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a> {
    pub(super) rest: &'a [u8],
    pub(super) strings: Strings<'a>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(rest: &'a [u8], strings: Strings<'a>) -> Self {
        Self { rest, strings }
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(taken)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// Bits of which only those of `known` may be set.
    pub(super) fn flags(&mut self, known: u8) -> Option<u8> {
        let [flags] = *self.array()?;
        (flags & !known == 0).then_some(flags)
    }

    /// Seven bits a byte, the lowest first, in the shortest form.
    #[inline]
    pub(super) fn varint(&mut self) -> Option<u64> {
        let (&first, rest) = self.rest.split_first()?;
        if first < 0x80 {
            self.rest = rest;
            return Some(u64::from(first));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for (place, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7F) << (7 * place);
            if byte & 0x80 == 0 {
                self.rest = self.rest.get(place + 1..)?;
                // Of the tenth byte there is room for one bit.
                return (*byte != 0 && (place < 9 || *byte == 1)).then_some(value);
            }
        }
        None
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.varint()?).ok()?;
        self.take(len)
    }

    /// A string: twice its length and its bytes, or twice the number of an item and one.
    #[inline]
    pub(super) fn string(&mut self) -> Option<Text<'a>> {
        let number = self.varint()?;
        if number & 1 == 0 {
            return self.take(usize::try_from(number >> 1).ok()?).map(Some);
        }
        match self.strings {
            Strings::InPlace => None,
            Strings::Skipped => Some(None),
            Strings::Of(items) => {
                let if_missing = planted::is(Bug::ItemEmpty).then_some(&[][..]);
                items.item(number >> 1).or(if_missing).map(Some)
            }
        }
    }

    /// A string of so many bytes.
    pub(super) fn string_of<const N: usize>(&mut self) -> Option<Option<&'a [u8; N]>> {
        match self.string()? {
            None => Some(None),
            Some(bytes) => bytes.try_into().ok().map(Some),
        }
    }

    /// A string that is UTF-8.
    pub(super) fn text(&mut self) -> Option<Option<&'a str>> {
        match self.string()? {
            None => Some(None),
            Some(bytes) => std::str::from_utf8(bytes).ok().map(Some),
        }
    }
}

/// Finds the number of a string that stands elsewhere.
pub(crate) type Numbers<'n> = dyn FnMut(&[u8]) -> Option<u64> + 'n;

/// The number of none: all strings stand in place.
pub(crate) fn in_place(_: &[u8]) -> Option<u64> {
    None
}

/// Writes what [`Walk`] reads.
pub(super) struct Writer<'n, 'f> {
    pub(super) bytes: Vec<u8>,
    pub(super) numbers: &'n mut Numbers<'f>,
}

impl Writer<'_, '_> {
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn varint(&mut self, value: u64) {
        varint_to(&mut self.bytes, value);
    }

    pub(super) fn string(&mut self, bytes: &[u8]) {
        match (self.numbers)(bytes) {
            Some(number) => self.varint(number << 1 | 1),
            None => {
                self.varint((bytes.len() as u64) << 1);
                self.raw(bytes);
            }
        }
    }
}

pub(super) fn varint_to(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
