//! What lies in the bucket of one site, and since when; and what a client asks for one purpose.

use std::collections::BTreeMap;

use super::{Counts, Rules, SECOND, Version};

/// The bucket of one site.
pub(super) struct Engine {
    rules: Rules,
    /// When the entry of each version was put; its signer writes whole seconds.
    entries: Vec<Option<u64>>,
    /// When each object of each version was put.
    objects: Vec<Vec<Option<u64>>>,
    /// By release.
    bundles: BTreeMap<u32, Bundle>,
}

/// The entries of a release in one file.
pub(super) struct Bundle {
    put: u64,
    bytes: u64,
    /// When each plugin's entry in it was created.
    created: Vec<u64>,
}

impl Bundle {
    /// Whether the entry of this plugin is believed.
    pub(super) fn knows(&self, plugin: usize, rules: &Rules, now: u64) -> bool {
        now < self.created[plugin] + rules.entry_lifetime
    }
}

fn created(put: u64) -> u64 {
    put / SECOND * SECOND
}

impl Engine {
    pub(super) fn new(rules: Rules) -> Engine {
        Engine { rules, entries: Vec::new(), objects: Vec::new(), bundles: BTreeMap::new() }
    }

    /// Makes room for a version that may be published.
    pub(super) fn learn(&mut self, version: &Version) {
        self.entries.push(None);
        self.objects.push(vec![None; version.objects.len()]);
    }

    /// Asks for an entry; whether one came that is believed.
    pub(super) fn get_entry(&self, id: u32, version: &Version, now: u64, counts: &mut Counts) -> bool {
        match self.entries[id as usize] {
            Some(put) => {
                counts.get_entry += 1;
                counts.bytes_down += version.entry;
                now < created(put) + self.rules.entry_lifetime
            }
            None => {
                counts.get_entry_absent += 1;
                false
            }
        }
    }

    /// Brings the objects of a version; whether all were there.
    pub(super) fn get_objects(&self, id: u32, version: &Version, counts: &mut Counts) -> bool {
        for (object, put) in version.objects.iter().zip(&self.objects[id as usize]) {
            if put.is_none() {
                counts.get_object_absent += 1;
                return false;
            }
            counts.get_object += 1;
            counts.bytes_down += object.stored;
        }
        true
    }

    /// The bundle of a release, if it is there and believed.
    pub(super) fn get_bundle(&self, release: u32, now: u64, counts: &mut Counts) -> Option<&Bundle> {
        let Some(bundle) = self.bundles.get(&release) else {
            counts.get_bundle_absent += 1;
            return None;
        };
        counts.get_bundle += 1;
        counts.bytes_down += bundle.bytes;
        (now < created(bundle.put) + self.rules.entry_lifetime).then_some(bundle)
    }

    /// Objects that are not there or not fresh, and then the entry.
    pub(super) fn publish(&mut self, id: u32, version: &Version, now: u64, counts: &mut Counts) {
        for (object, put) in version.objects.iter().zip(&mut self.objects[id as usize]) {
            // A client asks for the packed form first: what it is stored as, it knows when it has packed it.
            if !object.packed {
                counts.head_object_absent += 1;
            }
            match *put {
                Some(_) => counts.head_object += 1,
                None => counts.head_object_absent += 1,
            }
            if put.is_none_or(|put| now - put >= self.rules.fresh) {
                counts.put_object += 1;
                counts.bytes_up += object.stored;
                *put = Some(now);
            }
        }
        counts.put_entry += 1;
        counts.bytes_up += version.entry;
        self.entries[id as usize] = Some(now);
    }

    /// What a machine that writes does about an entry that it uses for the first time in a day.
    pub(super) fn renew(&mut self, id: u32, version: &Version, now: u64, counts: &mut Counts) {
        let is_believed = self.get_entry(id, version, now, counts);
        let put = self.entries[id as usize].filter(|_| is_believed);
        if put.is_some_and(|put| now - created(put) >= self.rules.fresh) {
            self.publish(id, version, now, counts);
            counts.renewed += 1;
        }
    }

    /// Reads all entries of a release and puts them together; nothing if one of them is not believed.
    pub(super) fn publish_bundle(
        &mut self,
        release: u32,
        of: &[u32],
        versions: &[Version],
        now: u64,
        counts: &mut Counts,
    ) {
        let (mut bytes, mut times) = (self.rules.bundle_head, Vec::with_capacity(of.len()));
        for &id in of {
            let version = &versions[id as usize];
            let is_believed = self.get_entry(id, version, now, counts);
            let Some(put) = self.entries[id as usize].filter(|_| is_believed) else { return };
            bytes += 4 + version.entry;
            times.push(created(put));
        }
        counts.put_bundle += 1;
        counts.bytes_up += bytes;
        self.bundles.insert(release, Bundle { put: now, bytes, created: times });
    }

    /// Removes what is too old to be believed or named.
    pub(super) fn collect(&mut self, now: u64) {
        let Rules { entry_lifetime, object_lifetime, .. } = self.rules;
        let gone = |put: &Option<u64>, age: u64| put.is_some_and(|put| now - put > age);
        self.entries.iter_mut().filter(|put| gone(put, entry_lifetime)).for_each(|put| *put = None);
        let objects = self.objects.iter_mut().flatten();
        objects.filter(|put| gone(put, object_lifetime)).for_each(|put| *put = None);
        self.bundles.retain(|_, bundle| now - bundle.put <= entry_lifetime);
    }

    /// Files and bytes that lie there.
    pub(super) fn stored(&self, versions: &[Version]) -> (u64, u64) {
        let entries = self.entries.iter().zip(versions).filter(|(put, _)| put.is_some());
        let objects = self.objects.iter().zip(versions).flat_map(|(puts, version)| {
            puts.iter()
                .zip(&version.objects)
                .filter(|(put, _)| put.is_some())
                .map(|(_, object)| object.stored)
        });
        let bundles = self.bundles.values().map(|bundle| bundle.bytes);
        let all = entries.map(|(_, version)| version.entry).chain(objects).chain(bundles);
        all.fold((0, 0), |(files, sum), bytes| (files + 1, sum + bytes))
    }
}
