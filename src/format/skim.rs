//! What the manifest must know of a PUT before anybody asks for it, read without decoding the rest.
//!
//! Opening a store replays a log of hundreds of entries for the sake of one. So a PUT is only walked through
//! here: its spelling is checked (what passes decodes, and is spelled as it would be written), and the few fields
//! that decide what it replaces are taken out. No allocation.

use super::record::{DETAILS_NAME, PutId, Unknown};

/// The fields of a PUT that decide which entry it is and what it weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skimmed {
    pub(crate) put_id: PutId,
    pub(crate) source: [u8; 32],
    pub(crate) exec: [u8; 32],
    pub(crate) discovered_id: [u8; 16],
    /// How many outputs there are, the hidden one for details included.
    pub(crate) outputs: usize,
    /// Sum of their lengths.
    pub(crate) bytes: u64,
    /// As [`Put::is_sound`](super::record::Put::is_sound).
    pub(crate) is_sound: bool,
}

/// Walks through the payload of a PUT.
pub(crate) fn put(payload: &[u8]) -> Result<Skimmed, Unknown> {
    let mut walk = Walk(payload);
    let skimmed = walk.put().ok_or(Unknown)?;
    if walk.0.is_empty() { Ok(skimmed) } else { Err(Unknown) }
}

/// What is left of a payload.
struct Walk<'a>(&'a [u8]);

impl<'a> Walk<'a> {
    fn put(&mut self) -> Option<Skimmed> {
        let put_id = self.u64()?;
        let (source, exec, discovered_id) = (self.array()?, self.array()?, self.array()?);
        // Order, day, made, cost, paths, names.
        self.take(8 + 4 + 8 + 8 + 8 + 8)?;
        self.text()?;
        let (mut outputs, mut bytes, mut last) = (0, 0u64, &[][..]);
        for _ in 0..self.varint()? {
            let (name, len) = self.output()?;
            (outputs, bytes, last) = (outputs + 1, bytes.saturating_add(len), name);
        }
        let has_details = self.bool()?;
        if has_details {
            self.details()?;
        }
        let is_spilled = outputs > 0 && last == DETAILS_NAME;
        let visible = outputs - usize::from(is_spilled);
        let is_sound = visible > 0 && (has_details || is_spilled);
        Some(Skimmed { put_id, source, exec, discovered_id, outputs, bytes, is_sound })
    }

    /// Name and length of an output.
    fn output(&mut self) -> Option<(&'a [u8], u64)> {
        let name = self.bytes()?;
        self.take(32)?;
        let len = self.u64()?;
        self.bool()?;
        self.take(16)?;
        if self.bool()? {
            self.bytes()?;
        }
        Some((name, len))
    }

    fn details(&mut self) -> Option<()> {
        self.text()?;
        for _ in 0..self.varint()? {
            self.tag(5)?;
            self.text()?;
            match self.tag(2)? {
                0 => self.bytes()?,
                _ => self.take(32)?,
            };
        }
        for _ in 0..self.varint()? {
            self.bytes()?;
            if self.bool()? {
                self.bytes()?;
            }
            self.take(32 + 8)?;
        }
        for _ in 0..self.varint()? {
            self.bytes()?;
            self.take(32)?;
        }
        Some(())
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Seven bits a byte, the lowest first, in the shortest form.
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for place in 0..10 {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7F);
            if place == 9 && bits > 1 {
                return None;
            }
            value |= bits << (7 * place);
            if byte & 0x80 == 0 {
                return (byte != 0 || place == 0).then_some(value);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.varint()?).ok()?;
        self.take(len)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn bool(&mut self) -> Option<bool> {
        self.tag(2).map(|tag| tag == 1)
    }

    fn tag(&mut self, count: u8) -> Option<u8> {
        let [tag] = self.array()?;
        (tag < count).then_some(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{
        frame,
        record::{Put, Record, tests::put as sample},
    };

    fn payload_of(put: &Put) -> Vec<u8> {
        let bytes = Record::Put(Box::new(put.clone())).to_frame(1).unwrap();
        frame::decode(&bytes, 1).unwrap().payload.to_vec()
    }

    /// What decoding the whole says.
    fn decoded(payload: &[u8]) -> Result<Skimmed, Unknown> {
        let frame = frame::Frame { kind: 2, flags: 0, payload, bytes: payload };
        let Record::Put(put) = Record::of_frame(&frame)? else { unreachable!("the kind is that of a PUT") };
        Ok(Skimmed {
            put_id: put.put_id,
            source: put.source,
            exec: put.exec,
            discovered_id: put.discovered_id,
            outputs: put.outputs.len(),
            bytes: put.bytes(),
            is_sound: put.is_sound(),
        })
    }

    fn samples() -> Vec<Put> {
        let whole = sample(3);
        let mut spilled = Put { details: None, ..sample(4) };
        let hidden = super::super::record::OutputRecord {
            name: DETAILS_NAME.to_vec(),
            len: u64::MAX,
            ..spilled.outputs[0].clone()
        };
        spilled.outputs.push(hidden.clone());
        let mut packed = sample(8);
        packed.outputs[0].packed = Some(b"twelve bytes".to_vec());
        let long = Put { label: "l".repeat(300), ..sample(5) };
        let bare = Put { outputs: Vec::new(), details: None, ..sample(6) };
        let only_hidden = Put { outputs: vec![hidden], details: None, ..sample(7) };
        vec![whole, spilled, packed, long, bare, only_hidden]
    }

    #[test]
    fn skimming_and_decoding_agree_whatever_one_byte_is() {
        for put in samples() {
            let right = payload_of(&put);
            assert_eq!(super::put(&right), decoded(&right));
            for at in 0..right.len() {
                let mut changed = right.clone();
                for byte in 0..=u8::MAX {
                    changed[at] = byte;
                    assert_eq!(super::put(&changed), decoded(&changed), "{byte:02x} at {at} of {put:?}");
                }
            }
        }
    }

    #[test]
    fn skimming_and_decoding_agree_wherever_a_payload_is_cut_lengthened_or_doubled() {
        for put in samples() {
            let right = payload_of(&put);
            for at in 0..right.len() {
                let (before, after) = right.split_at(at);
                let pieces = [&[][..], &[0], &[0x80], &[0xFF; 9], &after[..after.len().min(5)]];
                for changed in
                    pieces.map(|piece| [before, piece, after].concat()).iter().chain([&before.to_vec()])
                {
                    assert_eq!(super::put(changed), decoded(changed), "at {at} of {put:?}");
                }
            }
        }
    }
}
