//! What was read, in words: for the worked example.

use super::{frames::Frame, records::Record, words::Noted};
use std::fmt::Write as _;

/// Every frame of a file and every field of it, in words.
pub(crate) fn listing(
    frames: &[Frame],
    record_of: impl Fn(&Frame) -> Option<(Record, Vec<Noted>)>,
) -> String {
    const KINDS: [&str; 8] = ["?", "HEADER", "PUT", "TOUCH", "DROP", "SEAL", "FOOTER", "COUNT"];
    let mut text = String::new();
    for frame in frames {
        let (_, noted) = record_of(frame).expect("a known record");
        let kind = match frame.kind {
            16 => "ENTRY",
            17 => "ITEM",
            kind => KINDS[usize::from(kind)],
        };
        let (at, len, payload) = (frame.at, frame.len, frame.payload.len());
        let value = format!("payload {payload}, checksum 0x{:016x}", frame.checksum);
        writeln!(text, "{at:>6} {len:>5}  {kind:<22} {value}").unwrap();
        for Noted(at, len, name, value) in noted {
            writeln!(text, "{at:>6} {len:>5}    {name:<20} {value}").unwrap();
        }
    }
    text
}
