//! The workloads: each is prepared without crashes, then crashed at every verb.

use super::{
    disk_with_store, empty_disk,
    model::Model,
    workload::{LAZY, Op, Op::*, SYNC, Setup, prepare},
};
use plugcache::__sim::Disk;

/// A few operations worth crashing, and what lies there before them.
pub(super) struct Workload {
    pub(super) name: &'static str,
    before: &'static [Op],
    ops: &'static [Op],
    /// On a disk without a store.
    from_nothing: bool,
    /// Sizes at which the manifest does something, made so small that the operations reach them.
    sizes: &'static [(&'static str, u64)],
}

const fn workload(name: &'static str, before: &'static [Op], ops: &'static [Op]) -> Workload {
    Workload { name, before, ops, from_nothing: false, sizes: &[] }
}

/// Two entries fill a log. Each takes 384 bytes, or 448 with two outputs; the header takes 64.
pub(super) const ROTATES: &[(&str, u64)] = &[("LOG_BYTES_FULL", 600)];
/// An add behind two entries compacts, and looks for litter.
pub(super) const COMPACTS: &[(&str, u64)] = &[("LOG_BYTES_COMPACT", 1000), ("LITTER_EVERY", 1)];

const A: (u8, u8) = (1, 0);
const B: (u8, u8) = (2, 0);
const C: (u8, u8) = (13, 0);
/// The same sources as A for another executable.
const A2: (u8, u8) = (1, 1);

const THREE: Setup = Setup { max_files: 3, ..LAZY };
const MEMO: Setup = Setup { memo: true, ..LAZY };

/// All of them. Each runs with lazy handles and with synced ones.
pub(super) static WORKLOADS: [Workload; 26] = [
    workload("add of new bytes", &[Add(B, 4)], &[Add(A, 2), Find(A)]),
    workload("add of two outputs of several pages", &[], &[Add(A, 7)]),
    workload("add of bytes that are there", &[Add(B, 2)], &[Add(A, 2), Add(A2, 2)]),
    workload("replace", &[Add(A, 2), Add(B, 6)], &[Add(A, 4), Hours(1), Add(A, 6), Add(B, 4)]),
    workload(
        "forget",
        &[Add(A, 2), Add(A2, 3), Add(B, 2)],
        &[Hours(1), Forget(A), Find(B), Forget(B), Add(A, 2)],
    ),
    workload("build", &[Add(B, 4)], &[Get(A, 3), Get(A, 3), Get(B, 9)]),
    workload("find the next day", &[Add(A, 3), Settle], &[Hours(24), Find(A), Find(A)]),
    workload(
        "find in the next boot",
        &[Add(A, 3), Add(B, 4)],
        &[Open(LAZY), NewBoot, Find(A), Find(B), Find(A)],
    ),
    workload(
        "compaction",
        &[Add(A, 2), Add(B, 4), Add(A, 6), Add(C, 8), Forget(C), Hours(1)],
        &[Compact, Add(C, 2), Find(A)],
    ),
    workload(
        "a second compaction",
        &[Add(A, 2), Add(B, 4), Compact, Add(A, 6), Add(C, 8)],
        &[Open(LAZY), Compact, Forget(B), Compact],
    ),
    workload(
        "eviction",
        &[Open(THREE), Add((11, 0), 2), Add((12, 0), 4), Add(A, 6), Hours(1)],
        &[Open(THREE), Add(B, 8), Add((3, 0), 10)],
    ),
    workload(
        "packed outputs",
        &[Add(A, 2), Add(B, 10)],
        &[Add(C, 5), Add(A, 20), Find(C), Compact, Find(B), Forget(C), Add(B, 30)],
    ),
    workload("damage", &[Add(A, 2), Add(A2, 2), Add(B, 4)], &[Damage(2), Find(A), Add(B, 2), Find(A2)]),
    workload(
        "scrub",
        &[Add(A, 2), Add(B, 4), Compact, Add(C, 5), Add(A, 6), Hours(1)],
        &[Damage(4), Scrub, Find(B), Add(B, 4), Scrub],
    ),
    workload(
        "rebuild",
        &[Add(A, 2), Add(B, 4), Compact, Add(C, 6), Add(A, 8), Hours(1)],
        &[Rebuild, Add(B, 2), Find(C)],
    ),
    workload(
        "rebuild of what is damaged",
        &[Add(A, 2), Add(B, 4), Compact, Forget(B), Add(C, 6), Hours(1), Settle],
        &[DamageSegment, Rebuild, Find(C), Add(A, 3)],
    ),
    workload("sync", &[Add(A, 2)], &[Add(B, 4), Add(A, 6), Sync, Forget(B), Sync, Add(B, 9)]),
    workload("litter", &[Add(A, 2), Add(B, 4), Forget(B), Hours(1)], &[Sweep, Add(B, 4)]),
    // Each handle that is closed writes down what it has counted, and a compaction sums it up.
    workload(
        "counting",
        &[Add(A, 2), Add(B, 4), Open(LAZY), Find(A)],
        &[Open(LAZY), Find(A), Forget(B), Compact, Open(LAZY), Compact, Find(A)],
    ),
    // What was digested is written down; then all is edited, and what is written takes the place of the first memo.
    workload(
        "digest",
        &[Edit(0), Hours(1), Settle],
        &[Open(MEMO), Digest, Add(A, 2), Open(MEMO), Digest, Find(A)],
    ),
    workload(
        "digest what was edited",
        &[Edit(0), Hours(1), Open(MEMO), Digest, Settle, Edit(1), Hours(1)],
        &[Open(MEMO), Digest, Open(MEMO), Digest, LoseSources, Open(MEMO), Digest],
    ),
    workload("digest what is young", &[Edit(0)], &[Open(MEMO), Digest, Rewrite, Open(MEMO), Digest]),
    Workload { from_nothing: true, ..workload("creation", &[], &[Add(A, 2), Add(B, 2)]) },
    Workload {
        sizes: ROTATES,
        ..workload(
            "rotation",
            &[Add(A, 2), Add(B, 4)],
            &[Add(C, 6), Add(A, 4), Find(B), Add(B, 8), Find(A), Forget(C)],
        )
    },
    Workload {
        sizes: ROTATES,
        ..workload(
            "rotations between compactions",
            &[Add(A, 2), Compact, Add(B, 4), Add(C, 3)],
            &[Add(A, 4), Compact, Find(B), Add(B, 8), Add(C, 5), Add(A, 6)],
        )
    },
    Workload {
        sizes: COMPACTS,
        ..workload("compaction by an add", &[Add(A, 2), Add(B, 4)], &[Add(C, 6), Find(A), Add(B, 2)])
    },
];

impl Workload {
    /// The disk before it, what may be on it, and what is to be done.
    pub(super) fn start(&self, setup: Setup) -> (Disk, Model, Vec<Op>) {
        let base = if self.from_nothing { empty_disk(2) } else { disk_with_store() };
        let (disk, model) = prepare(&base, &with(setup, self.before));
        self.sizes.iter().for_each(|(name, bytes)| disk.set_size(name, *bytes));
        (disk, model, with(setup, self.ops))
    }
}

/// The same operations with handles of this durability.
fn with(setup: Setup, ops: &[Op]) -> Vec<Op> {
    let durability = setup.durability;
    let change = |op: &Op| match op {
        Open(own) => Open(Setup { durability, ..*own }),
        op => *op,
    };
    [Open(setup)].into_iter().chain(ops.iter().map(change)).collect()
}

/// Both kinds of handles, named.
const SETUPS: [(&str, Setup); 2] = [("lazy", LAZY), ("synced", SYNC)];

/// Every workload with every kind of handle.
pub(super) fn jobs() -> Vec<(&'static Workload, (&'static str, Setup))> {
    WORKLOADS.iter().flat_map(|workload| SETUPS.map(|setup| (workload, setup))).collect()
}
