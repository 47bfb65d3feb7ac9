//! Which entries go first when a store is over its limits. Pure: no file, no clock, no digest.
//!
//! Used by whoever keeps `max_files` and `max_bytes`: after an add, and as a chore. The rule, one victim
//! after the other until the limits hold or nobody may go any more:
//!
//! 1. the entry whose full list of source paths is shared by the most entries,
//! 2. then the one whose list of basenames is shared by the most,
//! 3. then the one unused for longest: by day, then by use within this handle, then by order of adding.
//!
//! So old versions of one edited file go before the only version of another, however old that one is. The
//! counts are those of the entries still there: taking a victim lowers them for its siblings.
//!
//! An entry at or after one's own PUT is never a victim (two adders at the cap would drop each other's
//! entry), but it counts: towards the sharing, and towards the limits.
//!
//! Cost: O(n log n) for any number of victims. Taking one entry lowers the first count of its *path group*
//! and the second of its *name group* alone, so each group is ranked as a whole, and at most one group per
//! level changes its place per victim.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

/// What retention knows of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    /// The put id.
    pub(crate) id: u64,
    /// Hash of the full list of source paths.
    pub(crate) paths: u64,
    /// Hash of the list of basenames. Equal lists of paths have equal lists of basenames.
    pub(crate) names: u64,
    /// The day of the last use, by anyone.
    pub(crate) day: u32,
    /// The place of its last use among the uses by this handle; 0 if this handle has not used it.
    pub(crate) used: u64,
    /// The place of its PUT among all PUTs; no two entries share one.
    pub(crate) order: u64,
    /// The objects it names. One that several entries name takes its room once.
    pub(crate) objects: &'a [Object],
}

/// An object as far as retention cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// Tells objects apart: eight bytes of the digest will do. If two collide, the sum is short by one.
    pub(crate) id: u64,
    /// Length in bytes.
    pub(crate) len: u64,
}

/// What a store may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Entries.
    pub(crate) max_files: u64,
    /// Bytes of the distinct objects that entries name.
    pub(crate) max_bytes: u64,
}

/// The put ids to drop so that `items` keep to `limits`, first victim first; as few as the order allows.
/// The limits stay exceeded only if the entries at or after `own_order` exceed them alone.
///
/// A victim is chosen by rank only: one whose objects others name too goes in its turn although no byte
/// becomes free.
pub(crate) fn victims(items: &[Item<'_>], limits: Limits, own_order: u64) -> Vec<u64> {
    let mut load = Load::of(items);
    if load.fits(limits) {
        return Vec::new();
    }
    let mut ranks = Ranks::of(items, own_order);
    let mut victims = Vec::new();
    while !load.fits(limits)
        && let Some(victim) = ranks.take_first()
    {
        load.remove(victim);
        victims.push(victim.id);
    }
    victims
}

/// What is stored: the two quantities that the limits bound.
struct Load {
    files: u64,
    bytes: u64,
    /// How many entries name an object.
    uses: HashMap<u64, u64>,
}

impl Load {
    fn of(items: &[Item<'_>]) -> Load {
        let mut load = Load { files: 0, bytes: 0, uses: HashMap::new() };
        for item in items {
            load.files += 1;
            for object in item.objects {
                let uses = load.uses.entry(object.id).or_default();
                if *uses == 0 {
                    // Lengths come from disk: absurd ones must not overflow into a small sum.
                    load.bytes = load.bytes.saturating_add(object.len);
                }
                *uses += 1;
            }
        }
        load
    }

    fn fits(&self, limits: Limits) -> bool {
        self.files <= limits.max_files && self.bytes <= limits.max_bytes
    }

    fn remove(&mut self, item: &Item<'_>) {
        self.files -= 1;
        for object in item.objects {
            let Some(uses) = self.uses.get_mut(&object.id) else { continue };
            *uses -= 1;
            if *uses == 0 {
                self.uses.remove(&object.id);
                self.bytes = self.bytes.saturating_sub(object.len);
            }
        }
    }
}

/// Smaller is unused for longer.
type Age = (u32, u64, u64);

fn age(item: &Item<'_>) -> Age {
    (item.day, item.used, item.order)
}

/// The entries of one list of source paths.
struct PathGroup<'a> {
    /// How many there are, protected ones included.
    count: u64,
    /// The index of its name group.
    name_group: usize,
    /// Those that may go, the longest unused at the end.
    candidates: Vec<&'a Item<'a>>,
}

/// The place of a path group within its name group. The greatest goes first; the index ends every tie.
type PathRank = (u64, Reverse<Age>, usize);

/// The entries of one list of basenames.
#[derive(Default)]
struct NameGroup {
    /// How many there are, protected ones included.
    count: u64,
    /// Its path groups that have candidates.
    ranked: BTreeSet<PathRank>,
}

/// The place of a name group among all: that of its first path group, with its own count in between.
type NameRank = (u64, u64, Reverse<Age>, usize);

/// All candidates, ranked.
struct Ranks<'a> {
    paths: Vec<PathGroup<'a>>,
    names: Vec<NameGroup>,
    ranked: BTreeSet<NameRank>,
}

impl<'a> Ranks<'a> {
    fn of(items: &'a [Item<'a>], own_order: u64) -> Ranks<'a> {
        let mut ranks = Ranks { paths: Vec::new(), names: Vec::new(), ranked: BTreeSet::new() };
        ranks.group(items, own_order);
        for index in 0..ranks.paths.len() {
            ranks.paths[index].candidates.sort_unstable_by_key(|item| Reverse(age(item)));
            ranks.rank_paths(index);
        }
        for index in 0..ranks.names.len() {
            ranks.rank_names(index);
        }
        ranks
    }

    fn group(&mut self, items: &'a [Item<'a>], own_order: u64) {
        let mut index_of_names = HashMap::new();
        // Keyed by both hashes: if two lists of paths collide, their names still tell them apart, and every
        // path group lies within one name group.
        let mut index_of_paths = HashMap::new();
        for item in items {
            let name_group = *index_of_names.entry(item.names).or_insert_with(|| {
                self.names.push(NameGroup::default());
                self.names.len() - 1
            });
            let path_group = *index_of_paths.entry((item.paths, item.names)).or_insert_with(|| {
                self.paths.push(PathGroup { count: 0, name_group, candidates: Vec::new() });
                self.paths.len() - 1
            });
            self.names[name_group].count += 1;
            self.paths[path_group].count += 1;
            if item.order < own_order {
                self.paths[path_group].candidates.push(item);
            }
        }
    }

    /// Puts a path group into its place; one without candidates has none.
    fn rank_paths(&mut self, index: usize) {
        let group = &self.paths[index];
        if let Some(oldest) = group.candidates.last() {
            self.names[group.name_group].ranked.insert((group.count, Reverse(age(oldest)), index));
        }
    }

    /// Puts a name group into its place; one without candidates has none.
    fn rank_names(&mut self, index: usize) {
        let group = &self.names[index];
        if let Some((shared, oldest, _)) = group.ranked.last() {
            self.ranked.insert((*shared, group.count, *oldest, index));
        }
    }

    /// Takes the entry that goes first, and ranks its two groups anew; no other group's counts changed.
    fn take_first(&mut self) -> Option<&'a Item<'a>> {
        let (.., name_group) = self.ranked.pop_last()?;
        let (.., path_group) = self.names[name_group].ranked.pop_last()?;
        let victim = self.paths[path_group].candidates.pop()?;
        self.paths[path_group].count -= 1;
        self.names[name_group].count -= 1;
        self.rank_paths(path_group);
        self.rank_names(name_group);
        Some(victim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use std::hash::{DefaultHasher, Hash, Hasher};

    const NO_LIMIT: Limits = Limits { max_files: u64::MAX, max_bytes: u64::MAX };

    fn item(id: u64, objects: &[Object]) -> Item<'_> {
        Item { id, paths: id, names: id, day: 0, used: 0, order: id, objects }
    }

    fn hash(value: impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        hasher.finish()
    }

    /// The rule as it is written, everything counted anew for every victim.
    fn by_recounting(items: &[Item<'_>], limits: Limits, own_order: u64) -> Vec<u64> {
        let mut left = items.to_vec();
        let mut victims = Vec::new();
        loop {
            let objects: HashMap<u64, u64> =
                left.iter().flat_map(|item| item.objects).map(|object| (object.id, object.len)).collect();
            let fits =
                left.len() as u64 <= limits.max_files && objects.values().sum::<u64>() <= limits.max_bytes;
            let same_names = |one: &Item<'_>| left.iter().filter(|other| other.names == one.names).count();
            let same_paths = |one: &Item<'_>| {
                left.iter().filter(|other| (other.paths, other.names) == (one.paths, one.names)).count()
            };
            let first = left
                .iter()
                .enumerate()
                .filter(|(_, one)| one.order < own_order)
                .max_by_key(|(_, one)| (same_paths(one), same_names(one), Reverse(age(one))));
            match first {
                Some((index, _)) if !fits => victims.push(left.remove(index).id),
                _ => return victims,
            }
        }
    }

    /// Adds `path#content` entries one by one to a store of `max_files` and returns what is left after each.
    fn after_each_add(max_files: u64, adds: &[(&str, &str)]) -> Vec<String> {
        let mut kept: Vec<Item<'_>> = Vec::new();
        let mut lines = Vec::new();
        for (order, (_, source)) in (0..).zip(adds) {
            let path = source.split_once('#').expect("path#content").0;
            let name = path.rsplit_once('/').expect("an absolute path").1;
            kept.push(Item { paths: hash(path), names: hash(name), used: order + 1, ..item(order, &[]) });
            let gone = victims(&kept, Limits { max_files, ..NO_LIMIT }, order);
            kept.retain(|item| !gone.contains(&item.id));
            let left: Vec<&str> = kept.iter().map(|item| adds[item.id as usize].0).collect();
            lines.push(left.join(","));
        }
        lines
    }

    #[test]
    fn of_two_files_with_one_name_the_older_goes_before_a_file_of_another_name() {
        let adds = [("A", "/T/test.ml#1"), ("B", "/T/test2.ml#1"), ("C", "/T/plugins/test.ml#2")];
        assert_eq!(after_each_add(2, &adds), ["A", "A,B", "B,C"]);
    }

    #[test]
    fn versions_of_one_edited_file_go_before_the_only_version_of_another() {
        let adds = [
            ("P", "/p/prod.ml#1"),
            ("a1", "/p/a.ml#1"),
            ("a2", "/p/a.ml#2"),
            ("a3", "/p/a.ml#3"),
            ("a4", "/p/a.ml#4"),
            ("b1", "/p/b.ml#1"),
        ];
        assert_eq!(after_each_add(3, &adds), ["P", "P,a1", "P,a1,a2", "P,a2,a3", "P,a3,a4", "P,a4,b1"]);
    }

    #[test]
    fn a_shared_path_counts_before_a_name_that_more_entries_share() {
        let adds = [
            ("m1", "/d1/m.ml#1"),
            ("m2", "/d2/m.ml#2"),
            ("m3", "/d3/m.ml#3"),
            ("e1", "/x/e.ml#1"),
            ("e2", "/x/e.ml#2"),
        ];
        assert_eq!(after_each_add(4, &adds), ["m1", "m1,m2", "m1,m2,m3", "m1,m2,m3,e1", "m1,m2,m3,e2"]);
    }

    #[test]
    fn a_store_within_its_limits_has_no_victims() {
        let object = [Object { id: 1, len: 100 }];
        let limits = Limits { max_files: 2, max_bytes: 100 };
        assert_eq!(victims(&[item(1, &object), item(2, &object)], limits, u64::MAX), [0; 0]);
    }

    #[test]
    fn an_object_that_two_entries_name_takes_its_room_once() {
        let (shared, other) = ([Object { id: 1, len: 60 }], [Object { id: 2, len: 60 }]);
        let items = [item(1, &shared), item(2, &shared), item(3, &other)];
        assert_eq!(victims(&items, Limits { max_bytes: 120, ..NO_LIMIT }, u64::MAX), [0; 0]);
        assert_eq!(victims(&items, Limits { max_bytes: 119, ..NO_LIMIT }, u64::MAX), [1, 2]);
    }

    #[test]
    fn what_this_handle_used_goes_after_what_it_did_not_use_on_the_same_day() {
        let items = [
            Item { used: 2, ..item(1, &[]) },
            Item { used: 1, ..item(2, &[]) },
            item(3, &[]),
            Item { day: 1, ..item(0, &[]) },
        ];
        assert_eq!(victims(&items, Limits { max_files: 0, ..NO_LIMIT }, u64::MAX), [3, 2, 1, 0]);
    }

    #[test]
    fn nothing_at_or_after_the_own_put_is_a_victim_even_at_a_cap_of_nothing() {
        let items = [item(1, &[]), item(2, &[]), item(3, &[])];
        assert_eq!(victims(&items, Limits { max_files: 0, max_bytes: 0 }, 2), [1]);
    }

    #[test]
    fn absurd_lengths_do_not_wrap_round_to_a_small_sum() {
        let (one, two) = ([Object { id: 1, len: u64::MAX }], [Object { id: 2, len: 2 }]);
        let limits = Limits { max_bytes: 10, ..NO_LIMIT };
        assert_eq!(victims(&[item(1, &one), item(2, &two)], limits, 2), [1]);
    }

    #[test]
    fn a_hundred_thousand_versions_of_one_file_are_dropped_within_seconds() {
        let items: Vec<_> = (0..100_000).map(|id| Item { paths: 7, names: 7, ..item(id, &[]) }).collect();
        let gone = victims(&items, Limits { max_files: 10, ..NO_LIMIT }, u64::MAX);
        assert_eq!(gone, (0..99_990).collect::<Vec<_>>());
    }

    /// Few values of everything, so that groups, ties and shared objects are common.
    fn stores() -> impl Strategy<Value = Vec<(u64, u64, u32, u64, Vec<u64>)>> {
        vec((0..5u64, 0..3u64, 0..3u32, 0..4u64, vec(0..6u64, 0..3)), 0..24)
    }

    proptest! {
        #[test]
        fn the_victims_are_those_of_recounting_everything_for_each(
            store in stores(),
            max_files in 0..26u64,
            max_bytes in 0..80u64,
            own_order in 0..26u64,
        ) {
            let objects: Vec<Vec<Object>> = store
                .iter()
                .map(|entry| entry.4.iter().map(|&id| Object { id, len: 3 * id + 1 }).collect())
                .collect();
            let items: Vec<Item<'_>> = (0..).zip(&store).zip(&objects)
                .map(|((order, &(paths, names, day, used, _)), objects)| {
                    Item { id: 1000 + order, paths, names, day, used, order, objects }
                })
                .collect();
            let limits = Limits { max_files, max_bytes };
            prop_assert_eq!(victims(&items, limits, own_order), by_recounting(&items, limits, own_order));
        }
    }
}
