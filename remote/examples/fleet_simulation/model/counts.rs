//! What is counted.

use std::ops::{AddAssign, Sub};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What happened since the simulation began, in the whole fleet.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counts {
            /// Names and values.
            pub(crate) fn rows(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }

        impl Sub for Counts {
            type Output = Counts;
            fn sub(self, before: Counts) -> Counts {
                Counts { $($name: self.$name - before.$name,)* }
            }
        }

        impl AddAssign for Counts {
            fn add_assign(&mut self, more: Counts) {
                $(self.$name += more.$name;)*
            }
        }
    };
}

counts! {
    /// Starts of hosts and of publishers.
    starts,
    /// Plugins that were in the machine's own store.
    local,
    /// .. that came from the bucket.
    fetched,
    /// .. that were built.
    built,
    /// GETs of entries that were there.
    get_entry,
    /// .. that were not.
    get_entry_absent,
    /// Lookups that asked nobody, because the last answer was "nothing" moments before.
    absent_remembered,
    /// GETs of bundles that were there.
    get_bundle,
    /// .. that were not.
    get_bundle_absent,
    /// GETs of objects.
    get_object,
    /// GETs of objects that an entry names and that are gone: with the right lifetimes there are none.
    get_object_absent,
    /// HEADs of objects that were there.
    head_object,
    /// .. that were not.
    head_object_absent,
    /// PUTs of entries.
    put_entry,
    /// PUTs of objects.
    put_object,
    /// PUTs of bundles.
    put_bundle,
    /// Entries that were renewed.
    renewed,
    /// Bytes of answers.
    bytes_down,
    /// Bytes of PUTs.
    bytes_up,
}

impl Counts {
    /// All GETs.
    pub(crate) fn gets(&self) -> u64 {
        self.get_entry
            + self.get_entry_absent
            + self.get_bundle
            + self.get_bundle_absent
            + self.get_object
            + self.get_object_absent
    }

    /// All HEADs.
    pub(crate) fn heads(&self) -> u64 {
        self.head_object + self.head_object_absent
    }

    /// All PUTs.
    pub(crate) fn puts(&self) -> u64 {
        self.put_entry + self.put_object + self.put_bundle
    }

    /// Plugins that hosts came to have.
    pub(crate) fn uses(&self) -> u64 {
        self.local + self.fetched + self.built
    }
}
