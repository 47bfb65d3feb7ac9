//! Bugs that can be planted, to show that the tests see them.
//!
//! Each is one line at the spot where it could have been made: `if planted::is(Bug::..)`. Compiled only for tests
//! and fuzzing, and even there nothing is planted until a test says so; in any other build [`is`] is a constant
//! `false` and nothing of it is left. `tests/planted` has a test for each.

/// A mistake that could have been made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(any(test, fuzzing, feature = "__sim")),
    expect(unreachable_pub, reason = "re-exported for the tests of this repository")
)]
#[repr(u8)]
pub enum Bug {
    /// `Durability::Sync` renames an object whose bytes were not synced.
    RenameBeforeSync = 1,
    /// `Durability::Sync` does not sync the directory of an object.
    DirNotSynced,
    /// A frame's length is believed before its checksum.
    LengthBelieved,
    /// An object that already has the name is taken for right.
    ExistingTrusted,
    /// Every object counts as vouched.
    StampIgnored,
    /// Readers read past a SEAL.
    SealIgnored,
    /// A new object is not leased until its PUT has been read back.
    LeaseNotHeld,
    /// **remove** does not look whether the name still leads to the inode it has locked.
    NameNotRechecked,
    /// A failed fsync is tried again, and the second answer believed.
    SyncRetried,
    /// The rest of a short write to a log is written behind it.
    ShortWriteCompleted,
    /// Staged files have a name that can be foretold.
    StagedNameForetold,
    /// Symlinks below the store are followed.
    #[cfg_attr(
        all(any(plugcache_portable, not(target_os = "linux")), not(any(test, fuzzing, feature = "__sim"))),
        expect(dead_code, reason = "planted in the Linux world alone")
    )]
    SymlinkFollowed,
    /// After verifying, the object is opened again by its name.
    VerifiedThenReopened,
    /// What a compaction takes in was listed and read before it had the lock.
    ListedBeforeLock,
    /// A compaction removes its inputs before its output is durable.
    InputsUnlinkedEarly,
    /// A PUT counts without having been read back.
    PutNotReadBack,
    /// A DROP goes to whatever its key leads to now.
    DropByKey,
    /// A TOUCH brings a dropped entry of the segment back.
    TouchResurrects,
    /// A look at the manifest counts although its names have changed meanwhile.
    LookNotRepeated,
    /// A log that was just made, or whose name was taken, is appended to without another listing.
    MadeLogTrusted,
    /// Two listings without a name are taken for an empty store.
    NothingBelieved,
    /// A compaction removes its inputs in the wrong order.
    UnlinkedHighestFirst,
    /// A compaction leaves what an earlier one has not removed.
    LeftoversStay,
    /// The highest log is appended to although a lower one has no SEAL.
    LowerLogsNotSealed,
    /// Whoever finds two open logs follows the higher one.
    HighestLogFollowed,
    /// **add** keeps an object that lost its name between being opened and being locked.
    KeptNotRechecked,
    /// An object that lost its last name between being opened and being locked is handed out.
    UnlinkedLeased,
    /// An object that somebody holds exclusively is a miss.
    BusyIsMissing,
    /// A staged file is used that a sweep took before it was locked.
    StagedNotRechecked,
    /// **remove** does not look under its lock whether the reason still holds.
    ReasonNotRechecked,
    /// The digest of what a tier sends is not looked at.
    ReceivedBelieved,
    /// A scrub counts an object that it could not read as checked.
    UnreadableChecked,
    /// A rebuild takes entries of a damaged segment in that the logs have dropped since.
    RebuildResurrects,
    /// What was forgotten above a layer is looked for in it all the same.
    MaskIgnored,
    /// A sum of counts is added to what it stands for.
    CountedTwice,
    /// A memo is believed whatever boot it is of.
    MemoBootIgnored,
    /// A file that was touched a moment ago is remembered.
    MemoOfYoungFiles,
    /// A string of a segment that is damaged in both its places is taken for an empty one.
    ItemEmpty,
    /// Forgetting drops an entry before it hides what lies below.
    DroppedBeforeMasked,
    /// What a find brings here counts although its source digest was forgotten meanwhile.
    BroughtUnmasked,
    /// What a find brings here takes the place of what was added meanwhile.
    BroughtReplaces,
    /// Copied objects are not leased until their entry is there.
    TakenInUnleased,
}

#[cfg(any(test, fuzzing, feature = "__sim"))]
impl Bug {
    /// All of them.
    pub const ALL: [Bug; 42] = [
        Bug::RenameBeforeSync,
        Bug::DirNotSynced,
        Bug::LengthBelieved,
        Bug::ExistingTrusted,
        Bug::StampIgnored,
        Bug::SealIgnored,
        Bug::LeaseNotHeld,
        Bug::NameNotRechecked,
        Bug::SyncRetried,
        Bug::ShortWriteCompleted,
        Bug::StagedNameForetold,
        Bug::SymlinkFollowed,
        Bug::VerifiedThenReopened,
        Bug::ListedBeforeLock,
        Bug::InputsUnlinkedEarly,
        Bug::PutNotReadBack,
        Bug::DropByKey,
        Bug::TouchResurrects,
        Bug::LookNotRepeated,
        Bug::MadeLogTrusted,
        Bug::NothingBelieved,
        Bug::UnlinkedHighestFirst,
        Bug::LeftoversStay,
        Bug::LowerLogsNotSealed,
        Bug::HighestLogFollowed,
        Bug::KeptNotRechecked,
        Bug::UnlinkedLeased,
        Bug::BusyIsMissing,
        Bug::StagedNotRechecked,
        Bug::ReasonNotRechecked,
        Bug::ReceivedBelieved,
        Bug::UnreadableChecked,
        Bug::RebuildResurrects,
        Bug::MaskIgnored,
        Bug::CountedTwice,
        Bug::MemoBootIgnored,
        Bug::MemoOfYoungFiles,
        Bug::ItemEmpty,
        Bug::DroppedBeforeMasked,
        Bug::BroughtUnmasked,
        Bug::BroughtReplaces,
        Bug::TakenInUnleased,
    ];
}

#[cfg(any(test, fuzzing, feature = "__sim"))]
static PLANTED: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Plants a bug in the whole process, instead of any other; `None` takes it out.
#[cfg(any(test, fuzzing, feature = "__sim"))]
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as u8), std::sync::atomic::Ordering::SeqCst);
}

/// Whether this bug is planted.
#[cfg(any(test, fuzzing, feature = "__sim"))]
pub(crate) fn is(bug: Bug) -> bool {
    PLANTED.load(std::sync::atomic::Ordering::Relaxed) == bug as u8
}

/// Whether this bug is planted: never, outside tests.
#[cfg(not(any(test, fuzzing, feature = "__sim")))]
pub(crate) const fn is(_: Bug) -> bool {
    false
}
