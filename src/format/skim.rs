//! What the manifest must know of a PUT before anybody asks for it, read without decoding the rest.
//!
//! Opening a store replays a log of hundreds of entries for the sake of one. So a PUT is only walked through
//! here: its spelling is checked (what passes decodes, and is spelled as it would be written), and the few fields
//! that decide what it replaces are taken out. No allocation.

use super::{
    record::{PutId, Unknown},
    wire::Strings,
};

/// The fields of a PUT that decide which entry it is and what it weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skimmed {
    pub(crate) put_id: PutId,
    pub(crate) source: [u8; 32],
    pub(crate) exec: [u8; 32],
    pub(crate) discovered_id: [u8; 16],
    pub(crate) brought: bool,
    /// Day of its last use.
    pub(crate) day: u32,
    /// How many outputs there are, the hidden one for details included.
    pub(crate) outputs: usize,
    /// Sum of their lengths.
    pub(crate) bytes: u64,
    /// As [`Put::is_sound`](super::record::Put::is_sound).
    pub(crate) is_sound: bool,
}

/// Walks through the payload of a PUT.
pub(crate) fn put(payload: &[u8]) -> Result<Skimmed, Unknown> {
    let head = super::put::skim(payload, Strings::InPlace)?;
    Ok(Skimmed {
        put_id: head.put_id,
        source: head.source,
        exec: *head.exec.ok_or(Unknown)?,
        discovered_id: head.discovered_id,
        brought: head.brought,
        day: head.day,
        outputs: head.outputs,
        bytes: head.bytes,
        is_sound: head.is_sound,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{
        frame,
        record::{DETAILS_NAME, Put, Record, tests::put as sample},
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
            brought: put.brought,
            day: put.day,
            outputs: put.outputs.len(),
            bytes: put.bytes(),
            is_sound: put.is_sound(),
        })
    }

    fn samples() -> Vec<Put> {
        let whole = sample(3);
        let mut spilled = Put { details: None.into(), ..sample(4) };
        let hidden = super::super::record::OutputRecord {
            name: DETAILS_NAME.to_vec(),
            len: u64::MAX,
            ..spilled.outputs[0].clone()
        };
        spilled.outputs.push(hidden.clone());
        let mut packed = sample(8);
        packed.outputs[0].packed = Some(b"twelve bytes".to_vec());
        let long = Put { label: "l".repeat(300), ..sample(5) };
        let bare = Put { outputs: Vec::new(), details: None.into(), ..sample(6) };
        let only_hidden = Put { outputs: vec![hidden], details: None.into(), ..sample(7) };
        let brought = Put { brought: true, ..sample(9) };
        vec![whole, spilled, packed, long, bare, only_hidden, brought]
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
