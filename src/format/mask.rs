//! A mask: the entry by which a store hides what the layers below it say of a source digest. It is an ordinary PUT of an
//! exec id that no program has, so that every reader keeps it, and moves it into segments.

use super::record::{Details, OutputRecord, Put, PutId};
use crate::digest::ObjectDigest;

/// No program's: those are hashes.
const EXEC: [u8; 32] = *b"plugcache: hides what lies below";

impl Put {
    /// Hides this source digest.
    pub(crate) fn mask(source: [u8; 32], put_id: PutId, day: u32) -> Put {
        let nothing = OutputRecord {
            name: b"mask".to_vec(),
            object: *ObjectDigest::of_bytes(&[]).as_bytes(),
            len: 0,
            executable: false,
            stamp: [0; 16],
            packed: Some(Vec::new()),
        };
        Put {
            put_id,
            source,
            exec: EXEC,
            discovered_id: [0; 16],
            brought: false,
            order: 0,
            day,
            made_ms: 0,
            cost_ms: 0,
            paths: 0,
            names: 0,
            label: String::new(),
            outputs: vec![nothing],
            details: Some(Details::default()).into(),
        }
    }

    /// Whether it is no entry for anybody to find.
    pub(crate) fn is_mask(&self) -> bool {
        self.exec == EXEC
    }
}
