//! When a log has grown enough to become a segment.
//!
//! Whoever opens the store replays the log, some 700 ns for each frame; whoever compacts it writes the whole segment
//! anew. So a log may grow with the segment below it, by an eighth: over its life an entry is then written some eight
//! times, and a store of a few hundred entries opens as fast as one of a few.

/// What the append left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grown {
    No,
    /// The log has reached the size at which it should be compacted.
    Yes,
}

/// A shorter log is not worth a segment...
pub(super) const LOG_BYTES_MIN: u64 = 64 * 1024;
/// ... nor is one of fewer frames, which are long ones then: packed outputs, read as fast as memory is.
pub(super) const LOG_FRAMES_MIN: u64 = 128;
/// The logs may have an eighth of the segment's bytes.
const SEGMENT_PARTS: u64 = 8;
/// Replaying so many frames costs about 1 ms at open.
pub(super) const LOG_FRAMES_COMPACT: u64 = 1400;
/// Nor is a log read that is longer, however few its frames are: chosen, not measured.
pub(super) const LOG_BYTES_COMPACT: u64 = 4 << 20;

/// What is known of the open log and the segment below it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) log_bytes: u64,
    pub(super) log_frames: u64,
    pub(super) segment_bytes: u64,
}

/// `bytes_max`: [`LOG_BYTES_COMPACT`], unless a test says otherwise.
pub(super) fn judge(now: Sizes, bytes_max: u64) -> Grown {
    let bytes = (now.segment_bytes / SEGMENT_PARTS).max(LOG_BYTES_MIN);
    let is_worth_it = now.log_bytes >= bytes && now.log_frames >= LOG_FRAMES_MIN;
    if is_worth_it || now.log_frames >= LOG_FRAMES_COMPACT || now.log_bytes >= bytes_max {
        Grown::Yes
    } else {
        Grown::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appends frames of one length to a store that compacts when it should: the most frames that a log had, and how
    /// many bytes were written for each that was appended.
    fn lived(frames: u64, frame_bytes: u64) -> (u64, f64) {
        let mut now = Sizes { log_bytes: 0, log_frames: 0, segment_bytes: 0 };
        let (mut longest, mut written) = (0, 0);
        for _ in 0..frames {
            now.log_bytes += frame_bytes;
            now.log_frames += 1;
            written += frame_bytes;
            longest = longest.max(now.log_frames);
            if judge(now, LOG_BYTES_COMPACT) == Grown::Yes {
                let segment_bytes = now.segment_bytes + now.log_bytes;
                now = Sizes { log_bytes: 0, log_frames: 0, segment_bytes };
                written += segment_bytes;
            }
        }
        (longest, written as f64 / (frames * frame_bytes) as f64)
    }

    #[test]
    fn a_store_of_a_few_thousand_entries_replays_a_few_hundred_at_most() {
        let (longest, _) = lived(2000, 384);
        assert!(longest <= 250, "{longest}");
        let (longest, _) = lived(100_000, 384);
        assert_eq!(longest, LOG_FRAMES_COMPACT);
    }

    #[test]
    fn an_entry_is_written_a_bounded_number_of_times_up_to_ten_thousand() {
        for (frames, frame_bytes) in [(1000, 384), (10_000, 384), (1000, 4096), (8000, 4096)] {
            let (_, times) = lived(frames, frame_bytes);
            assert!(times < 12.0, "{frames} frames of {frame_bytes} bytes: {times}");
        }
    }

    #[test]
    fn no_log_has_more_frames_or_bytes_than_it_may() {
        for frame_bytes in [64, 384, 4096, 64 * 1024] {
            let (longest, _) = lived(20_000, frame_bytes);
            assert!(longest <= LOG_FRAMES_COMPACT && (longest - 1) * frame_bytes < LOG_BYTES_COMPACT);
        }
    }
}
