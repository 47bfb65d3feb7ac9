//! Chapter "Words and notation": numbers, strings and lists, each noted with its place as it is read.

use std::fmt::Write as _;

/// A field as it was read: offset in the file, length, name, value in words.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Noted(pub(super) usize, pub(super) usize, pub(super) String, pub(super) String);

/// Reads a payload field by field. `None` from any method: the payload says nothing that is known.
pub(crate) struct Cursor<'a> {
    pub(super) bytes: &'a [u8],
    /// Chapter "Strings": those of a segment, by their numbers.
    pub(super) items: &'a dyn Fn(u64) -> Option<Vec<u8>>,
    pub(super) at: usize,
    pub(super) base: usize,
    pub(super) noted: Vec<Noted>,
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], base: usize) -> Self {
        Cursor { bytes, items: &|_| None, at: 0, base, noted: Vec::new() }
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }

    pub(super) fn note(&mut self, len: usize, name: &str, value: String) {
        self.noted.push(Noted(self.base + self.at - len, len, name.into(), value));
    }

    pub(super) fn array<const N: usize>(&mut self, name: &str) -> Option<[u8; N]> {
        let bytes: [u8; N] = self.take(N)?.try_into().ok()?;
        self.note(N, name, hex(&bytes));
        Some(bytes)
    }

    pub(super) fn u64(&mut self, name: &str) -> Option<u64> {
        let number = u64::from_le_bytes(self.take(8)?.try_into().ok()?);
        self.note(8, name, number.to_string());
        Some(number)
    }

    /// A `u64` that is no quantity.
    pub(super) fn id(&mut self, name: &str) -> Option<u64> {
        let number = u64::from_le_bytes(self.take(8)?.try_into().ok()?);
        self.note(8, name, format!("0x{number:016x}"));
        Some(number)
    }

    pub(super) fn u32(&mut self, name: &str) -> Option<u32> {
        let number = u32::from_le_bytes(self.take(4)?.try_into().ok()?);
        self.note(4, name, number.to_string());
        Some(number)
    }

    /// Seven bits a byte, the lowest first; the top bit says that more follow. Shortest form only.
    pub(super) fn varint(&mut self, name: &str) -> Option<usize> {
        usize::try_from(self.number(name)?).ok()
    }

    pub(super) fn number(&mut self, name: &str) -> Option<u64> {
        let (mut value, start) = (0u64, self.at);
        loop {
            let byte = self.take(1)?[0];
            let place = 7 * (self.at - start - 1);
            if place > 63 || (place == 63 && byte & 0x7F > 1) {
                return None;
            }
            value |= u64::from(byte & 0x7F) << place;
            if byte & 0x80 == 0 {
                if byte == 0 && place > 0 {
                    return None;
                }
                break;
            }
        }
        self.note(self.at - start, name, value.to_string());
        Some(value)
    }

    pub(super) fn tag(&mut self, name: &str, words: &[&str]) -> Option<usize> {
        let tag = self.varint(name)?;
        let word = words.get(tag)?;
        self.noted.last_mut()?.3 = format!("{tag} {word}");
        Some(tag)
    }

    pub(super) fn bytes(&mut self, name: &str) -> Option<Vec<u8>> {
        let len = self.varint(&format!("{name}: length"))?;
        let bytes = self.take(len)?;
        if len > 0 {
            self.note(len, name, format!("\"{}\"", bytes.escape_ascii()));
        }
        Some(bytes.to_vec())
    }

    pub(super) fn string(&mut self, name: &str) -> Option<Vec<u8>> {
        self.string_as(name, |bytes| format!("\"{}\"", bytes.escape_ascii()))
    }

    /// A string in place, or the number of one that stands elsewhere.
    pub(super) fn string_as(&mut self, name: &str, words: impl Fn(&[u8]) -> String) -> Option<Vec<u8>> {
        let number = self.number(&format!("{name}: string"))?;
        if number % 2 == 1 {
            let item = (self.items)(number / 2)?;
            self.noted.last_mut()?.3 = format!("{number}: item {}, {}", number / 2, words(&item));
            return Some(item);
        }
        let bytes = self.take(usize::try_from(number / 2).ok()?)?;
        self.noted.last_mut()?.3 = format!("{number}: {} bytes in place", bytes.len());
        if !bytes.is_empty() {
            self.note(bytes.len(), name, words(bytes));
        }
        Some(bytes.to_vec())
    }

    pub(super) fn string_of<const N: usize>(&mut self, name: &str) -> Option<[u8; N]> {
        self.string_as(name, hex)?.try_into().ok()
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        String::from_utf8(self.string(name)?).ok()
    }

    /// A byte of which only these bits may be set.
    pub(super) fn flags(&mut self, name: &str, known: u8) -> Option<u8> {
        let flags = self.take(1)?[0];
        self.note(1, name, format!("{flags:#04x}"));
        (flags & !known == 0).then_some(flags)
    }

    pub(super) fn list<T>(
        &mut self,
        name: &str,
        mut item: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let count = self.varint(&format!("{name}: count"))?;
        (0..count).map(|_| item(self)).collect()
    }

    pub(super) fn end(self) -> Option<Vec<Noted>> {
        (self.at == self.bytes.len()).then_some(self.noted)
    }
}

pub(super) fn le64(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

pub(super) fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().unwrap())
}
