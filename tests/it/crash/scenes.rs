//! Processes that meet on one disk: the table of scenes. How one is played and judged stands in [`super::stage`].

use super::{
    model::Key,
    workload::{LAZY, Op, Setup},
    workloads::ROTATES,
};
use plugcache::__sim::Listings;

/// What one process does, one after the other, each from its own handle. If it begins by opening one, that is no
/// operation but says how.
type Role = &'static [Op];

/// Processes that meet on one disk.
#[derive(Clone, Copy)]
pub(super) struct Scene {
    pub(super) name: &'static str,
    pub(super) before: &'static [Op],
    pub(super) roles: &'static [Role],
    /// How those open the store who do not say it, and how it is looked at in the end.
    pub(super) setup: Setup,
    /// Whether a layer and another store lie beside it.
    pub(super) has_neighbours: bool,
    /// Sizes at which the manifest does something, made so small that the operations reach them.
    pub(super) sizes: &'static [(&'static str, u64)],
    /// What listings show of names that come and go meanwhile.
    pub(super) listings: Listings,
}

pub(super) const A: Key = (1, 0);
pub(super) const B: Key = (2, 0);
pub(super) const C: Key = (13, 0);
pub(super) const D: Key = (24, 0);

pub(super) const TWO: Setup = Setup { max_files: 2, ..LAZY };

use Op::{Add, Compact, Damage, Find, Forget, Hours, Sweep};

/// What most scenes have in common.
pub(super) const LAZY_SCENE: Scene = Scene {
    name: "",
    before: &[],
    roles: &[],
    setup: LAZY,
    has_neighbours: false,
    sizes: &[],
    listings: Listings::AtOnce,
};

pub(super) const SCENES: [Scene; 16] = [
    Scene {
        name: "two writers and a compactor",
        before: &[Add(C, 6), Add(D, 8), Forget(D)],
        roles: &[&[Add(A, 2)], &[Add(B, 4)], &[Compact]],
        ..LAZY_SCENE
    },
    Scene {
        name: "two writers make the log after a compaction",
        before: &[Op::LoseLogs],
        roles: &[&[Add(A, 2)], &[Add(B, 4)], &[Compact]],
        ..LAZY_SCENE
    },
    Scene {
        name: "an adder, a builder and a sweep of litter",
        before: &[Add(C, 2), Hours(1), Forget(C)],
        roles: &[&[Add(A, 2), Find(A)], &[Op::Get(B, 4)], &[Sweep]],
        ..LAZY_SCENE
    },
    Scene {
        name: "two compactors and a writer",
        before: &[Add(C, 6), Compact, Add(C, 8)],
        roles: &[&[Compact], &[Compact], &[Add(A, 2), Find(C)]],
        ..LAZY_SCENE
    },
    Scene {
        name: "a finder, a writer and a compactor",
        before: &[Add(C, 6), Add(D, 8)],
        roles: &[&[Find(C), Find(A), Find(D), Find(C)], &[Add(A, 2), Add(A, 4)], &[Compact, Compact]],
        ..LAZY_SCENE
    },
    Scene {
        name: "the same key from two writers",
        before: &[Add(A, 6)],
        roles: &[&[Add(A, 2), Find(C)], &[Add(A, 4)], &[Compact]],
        ..LAZY_SCENE
    },
    Scene {
        name: "adders of the bytes that somebody drops",
        before: &[Add(C, 2), Hours(1)],
        roles: &[&[Add(A, 2), Find(A)], &[Add(B, 2)], &[Forget(C)]],
        ..LAZY_SCENE
    },
    Scene {
        name: "an adder of bytes and their dropper",
        before: &[Add(C, 2), Hours(1)],
        roles: &[&[Add(A, 2), Find(A)], &[Forget(C)]],
        ..LAZY_SCENE
    },
    Scene {
        name: "finders and a dropper of what they find",
        before: &[Add(C, 2), Add(D, 2), Hours(1)],
        roles: &[&[Find(C), Find(D)], &[Forget(C)], &[Find(D)]],
        ..LAZY_SCENE
    },
    Scene {
        name: "a finder and the dropper of the last entry",
        before: &[Add(C, 2), Hours(1)],
        roles: &[&[Find(C), Find(C)], &[Forget(C)]],
        ..LAZY_SCENE
    },
    Scene {
        name: "eviction by two at the cap",
        before: &[Add(C, 2), Hours(1)],
        roles: &[&[Add(A, 4)], &[Add(B, 6)]],
        setup: TWO,
        ..LAZY_SCENE
    },
    Scene {
        name: "a damaged object, an adder of its bytes and two finders",
        before: &[Add(C, 2), Damage(2)],
        roles: &[&[Add(A, 2), Find(A)], &[Find(C), Find(C)], &[Find(C)]],
        ..LAZY_SCENE
    },
    Scene {
        name: "builders of the same",
        before: &[Add(C, 6)],
        roles: &[&[Op::Get(A, 2)], &[Op::Get(A, 2)], &[Compact]],
        ..LAZY_SCENE
    },
    Scene {
        name: "two writers of full logs and a compactor",
        before: &[Add(C, 6), Add(D, 8)],
        roles: &[&[Add(A, 2), Find(C)], &[Add(B, 4)], &[Compact]],
        sizes: ROTATES,
        ..LAZY_SCENE
    },
    Scene {
        name: "two writers and a compactor, listings as on btrfs",
        before: &[Add(C, 6), Add(D, 8), Forget(D)],
        roles: &[&[Add(A, 2), Find(C)], &[Add(B, 4)], &[Compact]],
        listings: Listings::SinceOpening,
        ..LAZY_SCENE
    },
    Scene {
        name: "a finder, a writer and a compactor, listings torn",
        before: &[Add(C, 6), Add(D, 8)],
        roles: &[&[Find(C), Find(A), Find(D), Find(C)], &[Add(A, 2), Add(A, 4)], &[Compact, Compact]],
        sizes: ROTATES,
        listings: Listings::Torn,
        ..LAZY_SCENE
    },
];
