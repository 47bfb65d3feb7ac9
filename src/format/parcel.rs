//! The bytes of an entry on its way between stores (docs/format.md, "Parcels"): a version, and the payload of a PUT with
//! all strings in place and without what is one machine's alone. Pure; nothing here panics on any bytes.

use super::{
    put,
    record::{Details, Put, Stamp},
    wire::{Strings, in_place},
};

/// The first byte. What begins with another is a later version's.
const VERSION: u8 = 1;

/// No entry is longer. Details travel in it, whatever their length: 16 MiB hold the paths and digests of 100,000 files.
pub(crate) const ENTRY_BYTES_MAX: usize = 16 << 20;

impl Put {
    /// The entry as every machine would have it that made it of the same files: without ids, times and stamps, and
    /// without how it came here.
    pub(crate) fn without_times(&self) -> Put {
        let own = self.clone();
        let mut put = Put { put_id: 0, brought: false, order: 0, day: 0, made_ms: 0, cost_ms: 0, ..own };
        put.outputs.iter_mut().for_each(|output| output.stamp = Stamp::default());
        put
    }
}

/// The entry, with the details in it, wherever `put` has them; `None` if it is too long to travel.
pub(crate) fn encode(put: &Put, details: &Details) -> Option<Vec<u8>> {
    let mut whole = put.without_times();
    whole.outputs.truncate(put.visible().len());
    whole.details = Some(details.clone()).into();
    let mut bytes = vec![VERSION];
    bytes.extend(put::encode(&whole, &mut in_place));
    (bytes.len() <= ENTRY_BYTES_MAX).then_some(bytes)
}

/// The entry; or why it is none, for people.
pub(crate) fn decode(bytes: &[u8]) -> Result<Put, &'static str> {
    if bytes.len() > ENTRY_BYTES_MAX {
        return Err("the entry is too long");
    }
    match bytes.split_first() {
        Some((&VERSION, payload)) => {
            let put = put::decode(payload, Strings::InPlace).ok_or("the entry is damaged")?;
            // Also what has ids, times or stamps: each entry has one spelling.
            let is_spelled = put.details().is_some() && put.without_times() == put;
            is_spelled.then_some(put).ok_or("the entry is not written as entries are that travel")
        }
        Some(_) => Err("the entry is of another version of this library"),
        None => Err("the entry is empty"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::{DETAILS_NAME, OutputRecord, tests::put as sample};

    #[test]
    fn an_entry_reads_back_without_what_is_one_machines_alone() {
        let put = sample(3);
        let details = put.details().unwrap().clone();
        let bytes = encode(&put, &details).unwrap();
        assert_eq!(decode(&bytes), Ok(put.without_times()));
        let elsewhere = Put { put_id: 9, day: 1, made_ms: 5, cost_ms: 8, ..put.clone() };
        assert_eq!(encode(&elsewhere, &details).unwrap(), bytes);
    }

    #[test]
    fn details_that_lie_in_an_object_travel_in_the_entry() {
        let put = sample(3);
        let details = put.details().unwrap().clone();
        let mut spilled = Put { details: None.into(), ..put.clone() };
        spilled.outputs.push(OutputRecord { name: DETAILS_NAME.to_vec(), ..put.outputs[0].clone() });
        assert_eq!(encode(&spilled, &details), encode(&put, &details));
    }

    #[test]
    fn what_is_cut_lengthened_or_of_another_version_or_machine_is_refused() {
        let put = sample(3);
        let details = put.details().unwrap().clone();
        let bytes = encode(&put, &details).unwrap();
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "cut to {len}");
        }
        assert!(decode(&[&bytes[..], &[0]].concat()).is_err());
        for version in (0..=u8::MAX).filter(|version| *version != VERSION) {
            assert!(decode(&[&[version], &bytes[1..]].concat()).is_err(), "version {version}");
        }
        let with_times = [&[VERSION][..], &put::encode(&put, &mut in_place)].concat();
        assert!(decode(&with_times).is_err());
        let without = Put { details: None.into(), ..put.without_times() };
        assert!(decode(&[&[VERSION][..], &put::encode(&without, &mut in_place)].concat()).is_err());
    }
}
