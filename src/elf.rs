//! The build id of an ELF image: the linker's own digest of what it linked.
//!
//! For `sources` (toolchains) and `exec`. Reads the program headers and the note segments, a few hundred
//! bytes, and nothing else. Bytes that make no sense mean "no build id"; only a failing read is an error.
//!
//! Not guaranteed: that a linker was honest. `--build-id=0x..` lets people choose one, and tools that edit an
//! image in place (`strip`, `patchelf`) leave it as it is.

use crate::fs::File;
use std::io;

/// A shorter id could collide by accident (linkers write 8, 16 or 20 bytes), a longer one is nobody's.
const ID_BYTES: std::ops::RangeInclusive<usize> = 8..=64;
/// Program headers are some ten of 56 bytes; notes some hundred bytes. What is larger is not read.
const TABLE_BYTES_MAX: u64 = 64 << 10;

const PT_NOTE: u64 = 4;
const NT_GNU_BUILD_ID: u64 = 3;

/// The build id, if the file is an ELF image that has one which can serve as an identity: of 8 to 64 bytes
/// that are not all the same.
pub(crate) fn build_id(file: &File) -> io::Result<Option<Vec<u8>>> {
    search(&mut |buf, offset| file.read_at(buf, offset))
}

type ReadAt<'a> = dyn FnMut(&mut [u8], u64) -> io::Result<usize> + 'a;

fn search(read_at: &mut ReadAt<'_>) -> io::Result<Option<Vec<u8>>> {
    let header = read(read_at, 0, 64)?;
    let Some(image) = Image::parse(&header) else { return Ok(None) };
    let Some((offset, len)) = image.program_headers(&header) else { return Ok(None) };
    let table = read(read_at, offset, len)?;
    for entry in table.chunks_exact(image.entry_bytes) {
        let Some((offset, len, align)) = image.note_segment(entry) else { continue };
        let notes = read(read_at, offset, len.min(TABLE_BYTES_MAX))?;
        if let Some(id) = image.build_id_among(&notes, align) {
            return Ok(Some(id.to_vec()));
        }
    }
    Ok(None)
}

/// Up to `len` bytes; fewer where the file ends.
fn read(read_at: &mut ReadAt<'_>, offset: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len.min(TABLE_BYTES_MAX)).unwrap_or(0)];
    let mut done = 0;
    while done < bytes.len() {
        // `pread` takes no offset above i64::MAX: such a file ends before it.
        let Some(at) = offset.checked_add(done as u64).filter(|at| i64::try_from(*at).is_ok()) else { break };
        match read_at(&mut bytes[done..], at)? {
            0 => break,
            got => done += got,
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// How the numbers of an image are written.
struct Image {
    is_64: bool,
    is_big_endian: bool,
    /// Length of one program header; at least what is read of it.
    entry_bytes: usize,
}

impl Image {
    fn parse(header: &[u8]) -> Option<Self> {
        if header.get(..4)? != b"\x7fELF" {
            return None;
        }
        let is_64 = choose(*header.get(4)?)?;
        let is_big_endian = choose(*header.get(5)?)?;
        let mut image = Self { is_64, is_big_endian, entry_bytes: 0 };
        let entry_bytes = image.number(header, if is_64 { 54 } else { 42 }, 2)?;
        image.entry_bytes = usize::try_from(entry_bytes).ok()?;
        (image.entry_bytes >= if is_64 { 56 } else { 32 }).then_some(image)
    }

    /// Offset and length of the program headers.
    fn program_headers(&self, header: &[u8]) -> Option<(u64, u64)> {
        let offset = self.word(header, if self.is_64 { 32 } else { 28 })?;
        let count = self.number(header, if self.is_64 { 56 } else { 44 }, 2)?;
        let len = count * self.entry_bytes as u64;
        (len <= TABLE_BYTES_MAX).then_some((offset, len))
    }

    /// Offset, length and alignment of a segment of notes.
    fn note_segment(&self, entry: &[u8]) -> Option<(u64, u64, u64)> {
        if self.number(entry, 0, 4)? != PT_NOTE {
            return None;
        }
        let [offset, len, align] = if self.is_64 { [8, 32, 48] } else { [4, 16, 28] };
        // Notes are aligned to 4 bytes, except in segments that say 8 (those of GNU properties).
        let align = if self.word(entry, align)? == 8 { 8 } else { 4 };
        Some((self.word(entry, offset)?, self.word(entry, len)?, align))
    }

    fn build_id_among<'a>(&self, notes: &'a [u8], align: u64) -> Option<&'a [u8]> {
        let mut at: usize = 0;
        loop {
            let note = notes.get(at..)?;
            let (name_len, id_len) = (self.number(note, 0, 4)?, self.number(note, 4, 4)?);
            let id_at = (12 + name_len).next_multiple_of(align);
            let id_end = id_at + id_len;
            let id = note.get(usize::try_from(id_at).ok()?..usize::try_from(id_end).ok()?)?;
            let is_gnu = name_len == 4 && note.get(12..16)? == b"GNU\0";
            if is_gnu && self.number(note, 8, 4)? == NT_GNU_BUILD_ID && is_identity(id) {
                return Some(id);
            }
            at = at.checked_add(usize::try_from(id_end.next_multiple_of(align)).ok()?)?;
        }
    }

    /// A number as wide as an address.
    fn word(&self, bytes: &[u8], at: usize) -> Option<u64> {
        self.number(bytes, at, if self.is_64 { 8 } else { 4 })
    }

    fn number(&self, bytes: &[u8], at: usize, len: usize) -> Option<u64> {
        let bytes = bytes.get(at..at.checked_add(len)?)?;
        let append = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(match self.is_big_endian {
            true => bytes.iter().fold(0, append),
            false => bytes.iter().rev().fold(0, append),
        })
    }
}

/// 1 is the small choice in both bytes that say how numbers are written, 2 the other.
fn choose(byte: u8) -> Option<bool> {
    match byte {
        1 => Some(false),
        2 => Some(true),
        _ => None,
    }
}

/// A constant is what a linker writes whose digest was never filled in.
fn is_identity(id: &[u8]) -> bool {
    ID_BYTES.contains(&id.len()) && id.iter().any(|byte| *byte != id[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn search_bytes(image: &[u8]) -> Option<Vec<u8>> {
        search(&mut |buf, offset| {
            let rest = usize::try_from(offset).ok().and_then(|at| image.get(at..)).unwrap_or_default();
            // Three bytes at a time: a short read must not be taken for the end.
            let got = rest.len().min(buf.len()).min(3);
            buf[..got].copy_from_slice(&rest[..got]);
            Ok(got)
        })
        .unwrap()
    }

    /// An image with a note of another owner before the build id.
    fn image(is_64: bool, is_big_endian: bool, align: u64, id: &[u8]) -> Vec<u8> {
        let number = |number: u64, len: usize| -> Vec<u8> {
            let mut bytes = number.to_le_bytes()[..len].to_vec();
            if is_big_endian {
                bytes.reverse();
            }
            bytes
        };
        let (word, entry_bytes) = if is_64 { (8, 56) } else { (4, 32) };
        let note = |owner: &[u8], kind: u64, value: &[u8]| {
            let mut note =
                [number(owner.len() as u64, 4), number(value.len() as u64, 4), number(kind, 4)].concat();
            for part in [owner, value] {
                note.extend(part);
                note.resize(note.len().next_multiple_of(align as usize), 0);
            }
            note
        };
        let notes = [
            note(b"stranger\0", NT_GNU_BUILD_ID, b"not this one"),
            note(b"GNU\0", 1, b"abi!"),
            note(b"GNU\0", 3, id),
        ]
        .concat();
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(&[
            0x7f,
            b'E',
            b'L',
            b'F',
            1 + u8::from(is_64),
            1 + u8::from(is_big_endian),
        ]);
        let mut put = |at: usize, value: Vec<u8>| bytes[at..at + value.len()].copy_from_slice(&value);
        put(if is_64 { 32 } else { 28 }, number(64, word));
        put(if is_64 { 54 } else { 42 }, number(entry_bytes, 2));
        put(if is_64 { 56 } else { 44 }, number(2, 2));
        let mut entries = vec![0; 2 * entry_bytes as usize];
        let second = &mut entries[entry_bytes as usize..];
        let mut put = |at: usize, value: Vec<u8>| second[at..at + value.len()].copy_from_slice(&value);
        put(0, number(PT_NOTE, 4));
        let [offset, len, align_at] = if is_64 { [8, 32, 48] } else { [4, 16, 28] };
        put(offset, number(64 + 2 * entry_bytes, word));
        put(len, number(notes.len() as u64, word));
        put(align_at, number(align, word));
        [bytes, entries, notes].concat()
    }

    const ID: &[u8] = b"twenty bytes of sha1";

    #[test]
    fn the_build_id_is_found_in_every_kind_of_image() {
        for (is_64, is_big_endian, align) in
            [(true, false, 4), (true, true, 4), (false, false, 4), (false, true, 4), (true, false, 8)]
        {
            assert_eq!(search_bytes(&image(is_64, is_big_endian, align, ID)).as_deref(), Some(ID));
        }
    }

    #[test]
    fn an_image_cut_off_anywhere_has_no_build_id() {
        for is_64 in [true, false] {
            let image = image(is_64, false, 4, ID);
            for len in 0..image.len() {
                assert_eq!(search_bytes(&image[..len]), None, "{len} of {} bytes", image.len());
            }
        }
    }

    #[test]
    fn a_short_or_constant_build_id_is_none() {
        for id in [&[0; 20][..], &[0xff; 20], b"seven77", b"", &[1; 8]] {
            assert_eq!(search_bytes(&image(true, false, 4, id)), None, "{id:?}");
        }
        assert_eq!(search_bytes(&image(true, false, 4, b"eight888")).as_deref(), Some(&b"eight888"[..]));
    }

    #[test]
    fn a_failing_read_is_an_error_and_not_a_missing_build_id() {
        let result = search(&mut |_, _| Err(io::ErrorKind::Other.into()));
        assert!(result.is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            search_bytes(&bytes);
            search_bytes(&[b"\x7fELF\x02\x01", &bytes[..]].concat());
        }

        #[test]
        fn no_change_of_an_image_makes_it_panic(
            changes in proptest::collection::vec((0_usize..400, any::<u8>()), 1..8),
            is_64: bool,
        ) {
            let mut image = image(is_64, false, 4, ID);
            for (at, byte) in changes {
                let at = at % image.len();
                image[at] = byte;
            }
            search_bytes(&image);
        }
    }
}
