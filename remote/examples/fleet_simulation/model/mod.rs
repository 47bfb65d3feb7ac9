//! The fleet as a model: what machines, publishers and engines do, without bytes, files or time that passes.
//!
//! It decides what `remote/src` and the store would decide, from the same facts: which request follows which, and when
//! something is fresh, old or gone. `remote/tests/it/model.rs` runs real stores and this side by side and demands the same
//! counts; `fleet_simulation` then runs it for a million machines. Nothing here is random: the same events give the same
//! counts.
//!
//! ```text
//! World       machines, releases, whose turn it is          world.rs
//!   Engine    what lies in one site's bucket, since when    engine.rs
//!   Counts    what was asked, sent and built                counts.rs
//! ```

mod counts;
mod engine;
mod world;

pub(crate) use counts::Counts;
pub(crate) use world::World;

/// One second, in the unit of all times here: milliseconds since the simulation began.
pub(crate) const SECOND: u64 = 1000;
/// One day. Days begin at multiples of it.
pub(crate) const DAY: u64 = 24 * 3600 * SECOND;

/// The numbers that the client, the store and the lifecycle rules go by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// An entry is believed for this long, and removed then.
    pub(crate) entry_lifetime: u64,
    /// An object is put again from this age on by whoever publishes an entry over it; entries are renewed from it on.
    pub(crate) fresh: u64,
    /// An object is removed at this age.
    pub(crate) object_lifetime: u64,
    /// That there is no entry is believed for this long within one process.
    pub(crate) absent_for: u64,
    /// A bundle is longer by this than its entries, each of which has 4 bytes more in it: the names in it, the times and
    /// the signature.
    pub(crate) bundle_head: u64,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            entry_lifetime: 21 * DAY,
            fresh: 7 * DAY,
            object_lifetime: 30 * DAY,
            absent_for: 30 * SECOND,
            // Namespace and name of a bundle of four letters each.
            bundle_head: 17 + 2 * (4 + 4) + 16 + 4 + 81,
        }
    }
}

/// One object of an artifact, as it lies in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// Its bytes there.
    pub(crate) stored: u64,
    /// Whether those are packed.
    pub(crate) packed: bool,
}

/// What one build of one plugin gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// The bytes of its entry.
    pub(crate) entry: u64,
    /// No other version shares one of them.
    pub(crate) objects: Vec<Object>,
}

/// Who brings what to the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writers {
    /// Nobody asks it or brings anything: each machine compiles for itself.
    Nobody,
    /// One job for each site; hosts only take.
    Publishers,
    /// Every host brings what it builds, and renews what it uses.
    Everybody,
}

/// What a host does about a plugin that nobody has built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lacking {
    /// It builds it, as long as the start says that this takes.
    Builds,
    /// It cannot, and asks again after this time.
    Waits(u64),
}

/// A fleet.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How many there are.
    pub(crate) machines: u32,
    /// Each with an engine and, where there are publishers, a publisher of its own. Machine `m` is at site `m % sites`.
    pub(crate) sites: u32,
    /// Of each machine.
    pub(crate) plugins: u16,
    /// Who brings.
    pub(crate) writers: Writers,
    /// Whether publishers end with a bundle, and hosts begin with it.
    pub(crate) bundle: bool,
    /// What hosts do that lack something.
    pub(crate) lacking: Lacking,
    /// Artifacts that the store of a machine holds. Fewer than plugins: each start pushes out what it needs next.
    pub(crate) room: u32,
    /// The numbers.
    pub(crate) rules: Rules,
}
