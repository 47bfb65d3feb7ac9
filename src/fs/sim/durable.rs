//! The durable side of a volume: what a sync does, what a failed one does, and how a cut puts inodes back.

use super::{
    inode::{Body, Index, Inode, Name, set},
    outcome::Outcome,
    volume::{ROOT, Volume},
};
use std::{collections::HashSet, sync::Arc};

/// Orphans after which the table is searched for inodes that nothing can reach any more.
const ORPHANS_MAX: usize = 512;

impl Volume {
    /// Makes what an inode holds durable: the bytes, length and mode of a file, the names of a directory.
    pub(super) fn sync(&mut self, index: Index) {
        self.persist(index, |inode| match &mut inode.body {
            Body::File(file) => file.sync(inode.meta),
            Body::Dir(dir) => dir.sync(),
            Body::Symlink(_) | Body::Fifo => {}
        });
    }

    /// A sync of an inode (of all, without one) failed: what was un-synced will not be written by a later one.
    pub(super) fn lose(&mut self, index: Option<Index>) {
        for index in self.dirty(index) {
            self.persist(index, |inode| match &mut inode.body {
                Body::File(file) => file.lose(),
                Body::Dir(dir) => dir.lose(),
                Body::Symlink(_) | Body::Fifo => {}
            });
        }
    }

    /// Makes everything durable.
    pub(super) fn sync_all(&mut self) {
        for index in self.dirty(None) {
            self.sync(index);
        }
    }

    /// Changes an inode, and no stamp.
    pub(super) fn persist(&mut self, index: Index, f: impl FnOnce(&mut Inode)) {
        self.version += 1;
        if let Some(inode) = self.slot(index).and_then(Option::as_mut) {
            f(Arc::make_mut(inode));
        }
    }

    /// The inodes with un-synced changes, of these (of all, without one).
    pub(super) fn dirty(&self, only: Option<Index>) -> Vec<Index> {
        let is_dirty = |index: &Index| match self.get(*index).map(|inode| &inode.body) {
            Some(Body::File(file)) => file.is_dirty(),
            Some(Body::Dir(dir)) => !dir.pending.is_empty(),
            _ => false,
        };
        match only {
            Some(index) => Some(index).into_iter().filter(is_dirty).collect(),
            None => self.indices().filter(is_dirty).collect(),
        }
    }

    /// Forgets everything un-synced in an inode.
    pub(super) fn rewind(&mut self, index: Index) {
        self.persist(index, |inode| match &mut inode.body {
            Body::File(file) => {
                file.live = file.durable.clone();
                file.pending.clear();
                file.has_lost = false;
                inode.meta = file.durable_meta;
            }
            Body::Dir(dir) => {
                dir.live = dir.durable.clone();
                dir.pending.clear();
            }
            Body::Symlink(_) | Body::Fifo => {}
        });
    }

    /// Lets this be what is left of a file.
    pub(super) fn leave_file(&mut self, index: Index, outcome: &Outcome) {
        self.persist(index, |inode| {
            inode.meta = outcome.meta;
            if let Body::File(file) = &mut inode.body {
                file.live = outcome.bytes.clone();
                file.durable = outcome.bytes.clone();
                file.durable_meta = outcome.meta;
            }
        });
    }

    /// Lets a name have this meaning, now and on the medium.
    pub(super) fn leave_name(&mut self, dir: Index, name: &Name, to: Option<Index>) {
        self.persist(dir, |inode| {
            if let Body::Dir(dir) = &mut inode.body {
                dir.durable = Arc::default();
                set(Arc::make_mut(&mut dir.live), name, to);
                dir.durable = dir.live.clone();
            }
        });
    }

    /// Drops every inode that no name leads to, and makes link counts and parents true again. Returns the
    /// number of names of each inode.
    pub(super) fn keep_reachable(&mut self) -> Vec<u64> {
        let mut names = vec![0; self.end()];
        let mut parents = vec![None; self.end()];
        let mut doubles = Vec::new();
        let mut todo = vec![ROOT];
        names[ROOT] = 1;
        while let Some(index) = todo.pop() {
            let Ok(dir) = self.dir(index) else { continue };
            for (name, child) in dir.live.iter() {
                let is_dir = self.dir(*child).is_ok();
                if is_dir && names[*child] > 0 {
                    doubles.push((index, name.clone()));
                    continue;
                }
                names[*child] += 1;
                if is_dir {
                    parents[*child] = Some(index);
                    todo.push(*child);
                }
            }
        }
        for (dir, name) in doubles {
            self.leave_name(dir, &name, None);
        }
        self.numbers_free = Arc::default();
        for index in self.indices().collect::<Vec<_>>() {
            self.settle_inode(index, names[index], parents[index]);
        }
        if self.reuse_numbers {
            self.part_numbers();
        }
        self.orphans = 0;
        names
    }

    fn settle_inode(&mut self, index: Index, names: u64, parent: Option<Index>) {
        let Some(inode) = self.get(index) else { return };
        if names == 0 {
            return self.drop_inode(index);
        }
        let has_other_parent = matches!(&inode.body, Body::Dir(dir) if dir.parent != parent);
        if inode.links != names || has_other_parent {
            self.persist(index, |inode| {
                inode.links = names;
                if let Body::Dir(dir) = &mut inode.body {
                    dir.parent = parent;
                }
            });
        }
    }

    /// Where a number was used again before its first bearer was gone from the medium, both may be there
    /// now: the later one gets a number of its own.
    fn part_numbers(&mut self) {
        let mut seen = HashSet::new();
        for index in self.indices().collect::<Vec<_>>() {
            if self.get(index).is_some_and(|inode| !seen.insert(inode.number)) {
                let number = self.new_number();
                self.persist(index, |inode| inode.number = number);
            }
        }
    }

    /// Drops the inodes that nothing leads to, if enough of them have come together. `open` are those that
    /// descriptions hold.
    pub(super) fn tidy(&mut self, open: &[Index]) {
        if self.orphans < ORPHANS_MAX {
            return;
        }
        self.orphans = 0;
        let mut reached = vec![false; self.end()];
        let mut todo: Vec<Index> = open.to_vec();
        todo.push(ROOT);
        while let Some(index) = todo.pop() {
            if reached.get(index).copied().unwrap_or(true) {
                continue;
            }
            reached[index] = true;
            if let Ok(dir) = self.dir(index) {
                todo.extend(dir.live.values().chain(dir.durable.values()));
                todo.extend(dir.pending.iter().filter_map(|change| change.to));
                todo.extend(dir.parent);
            }
        }
        for index in self.indices().filter(|index| !reached[*index]).collect::<Vec<_>>() {
            self.drop_inode(index);
        }
    }
}
