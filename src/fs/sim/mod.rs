//! A simulated disk that can kill a process at any verb and cut the power after any verb.
//!
//! For tests and fuzzing alone; the rest of the crate meets it only as `fs::Fs::Sim`. A [`Disk`] is a tree of
//! inodes in memory, under a simulated kernel; a [`Process`] on it is a world for the crate.
//!
//! **Modelled.** Names (per directory) and bytes, length and mode (per file) each have a live and a durable
//! state, and un-synced changes of them survive a power cut independently of each other. Open descriptions,
//! `flock`, unlinked files that live on, append, links, modes, owners, two kinds of clock, a full disk, a
//! read-only mount, error numbers, short reads and writes, failed syncs that lose what they were to write,
//! symlinks and FIFOs, interleavings of several processes at every verb, listings that are torn by what others
//! do to the directory meanwhile ([`Listings`]).
//!
//! ```text
//! inode, volume, durable   what a disk holds, live and on the medium; the clock, the room
//! walk                     from paths to inodes
//! disk, process            descriptions and locks; the one gate that every verb goes through
//! verbs, handles           the verbs
//! faults, plant            what a test does to a process, and to the disk from outside
//! outcome, power           what a power cut leaves of a file, and of all
//! schedule, explore        whose verb goes next; all such choices
//! ```
//!
//! **Not modelled.** Groups, umask, ACLs; mode and owner of anything but a file being undone by a power cut;
//! room for names; holes and shared blocks; several file systems; bytes seen through a map that was made
//! before they were written; names that come and go within one listing and show in it; verbs that take effect
//! and fail all the same; a `write` that another process sees half done (a process killed within one is); fork;
//! several threads of one process. A cut may leave more ruin here than ext4 or xfs would (they move a name
//! in one transaction, and order some renames after data), never less of what this list does not exclude.

mod disk;
mod durable;
mod errno;
mod explore;
mod faults;
mod handles;
mod inode;
mod outcome;
mod plant;
mod power;
mod process;
mod random;
mod schedule;
#[cfg(test)]
mod tests;
mod verbs;
mod volume;
mod walk;

pub use disk::{Disk, Moment, USER};
pub use errno::is_dead;
pub use explore::Schedules;
pub use faults::{At, Failure, Fault, Step, Verb, torn_lengths};
pub use handles::{Dir, File, SourceDir};
pub use power::PowerCuts;
pub use process::Process;
pub use random::Random;
pub use schedule::{Body, Controller, Report};
pub use volume::Listings;
