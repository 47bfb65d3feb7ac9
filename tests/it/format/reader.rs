//! A second reader of format v1, written from docs/format.md alone: nothing of the crate is in it. A file for each
//! chapter.
//!
//! It notes every field that it reads, with its place, so that the worked example can be printed from what was
//! read. Slow and plain on purpose.

mod frames;
mod listing;
mod logs;
mod memo;
mod put;
mod records;
mod segments;
mod state;
mod words;

pub(crate) use self::{
    frames::{Frame, frame_at},
    listing::listing,
    logs::frames_of_log,
    memo::memo,
    put::{Put, details_of},
    records::{Record, record_of},
    segments::Segment,
    state::entries_of,
};
