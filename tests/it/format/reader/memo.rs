//! Chapter "The memo".

use super::words::hex;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Device, inode, length, modification and change time, what, value.
type Remembered = (u64, u64, u64, [(i64, u32); 2], u32, [u8; 32]);

pub(crate) struct Memo {
    pub(crate) boot: String,
    pub(crate) records: Vec<Remembered>,
}

/// All that it says. `None` if it is none.
pub(crate) fn memo(bytes: &[u8]) -> Option<Memo> {
    let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let slots = usize::try_from(number(32)?).ok()?;
    if bytes[..8] != *b"\xF7pmemo\x00\x01"
        || number(56)? != xxh3_64_with_seed(&bytes[..56], 0)
        || bytes.len() != 64 + slots.checked_mul(96)?
    {
        return None;
    }
    let mut records = Vec::new();
    for at in (64..bytes.len()).step_by(96) {
        if number(at + 88)? != xxh3_64_with_seed(&bytes[at..at + 88], number(8)?) {
            continue;
        }
        let half = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let times = [(number(at + 24)? as i64, half(at + 40)?), (number(at + 32)? as i64, half(at + 44)?)];
        let value = bytes[at + 56..at + 88].try_into().ok()?;
        records.push((number(at)?, number(at + 8)?, number(at + 16)?, times, half(at + 48)?, value));
    }
    records.sort_unstable();
    Some(Memo { boot: hex(&bytes[16..32]), records })
}
