//! Whatever a tier says and sends, it is right bytes or a miss.

use plugcache::{Added, Fetched, How, Outputs, Parcel, ScrubOptions, Store};

use super::{
    super::damage::{Place, bytes, found, get, sources},
    memory::{Lie, Memory, key, open},
};

fn must_be_clean(place: &Place, case: &str) {
    let store = place.open();
    assert!(store.scrub(ScrubOptions::new()).unwrap().is_clean(), "{case}");
    let staged = std::fs::read_dir(place.v1("staging")).map_or(0, Iterator::count);
    assert_eq!(staged, 0, "{case}: something is left in staging");
}

#[test]
fn wrong_short_long_or_no_bytes_and_no_answer_are_a_miss_and_leave_nothing() {
    let lies = [Lie::FlippedBit, Lie::Short, Lie::TooLong, Lie::Nothing, Lie::FailsHalfway, Lie::Silent];
    for lie in lies {
        let tier = Memory::with(2);
        let place = Place::new();
        let store = open(&place, &tier);
        tier.lies(lie);
        assert!(store.find(&sources(1)).is_none(), "{lie:?}");
        let counts = store.stats().handle;
        assert_eq!((counts.tier_errors, counts.fetched, store.entries().count()), (1, 0, 0), "{lie:?}");
        assert!(store.explain(&sources(1)).tier.is_some(), "{lie:?}");
        assert!(!place.object(1).exists());
        must_be_clean(&place, &format!("{lie:?}"));
        // One object is right, and the other is not: none is kept for the entry.
        assert_eq!(get(&store, 1).how, How::Built, "{lie:?}");
        tier.lies(Lie::No);
        assert_eq!(found(&open(&place, &tier), 2), [0, 1], "{lie:?}");
        must_be_clean(&place, &format!("{lie:?}"));
    }
}

/// Fetches what `change` has made of the parcel of plugin 0 and says whether it was taken. If it was, the bytes are right.
fn is_taken(
    place: &Place,
    tier: &Memory,
    store: &Store,
    change: impl FnOnce(&mut Parcel),
    case: &str,
) -> bool {
    let right = tier.parcel(0);
    tier.change(0, change);
    let fetched = store.fetch(&key(0));
    let taken = matches!(fetched, Ok(Fetched::Now));
    assert!(taken || fetched.is_err(), "{case}: {fetched:?}");
    let plain = place.open();
    let artifact = plain.find(&sources(0));
    assert_eq!(artifact.is_some(), taken, "{case}");
    if let Some(artifact) = artifact {
        assert_eq!(artifact.primary().read_verified().unwrap(), bytes(0), "{case}");
        // Without the tier, so that no mask is made.
        assert_eq!(plain.forget(&sources(0).digest()).unwrap(), 1, "{case}");
    }
    tier.change(0, |parcel| *parcel = right);
    taken
}

#[test]
fn an_entry_cut_anywhere_or_changed_in_any_byte_is_refused_or_leads_to_right_bytes() {
    let tier = Memory::with(1);
    let place = Place::new();
    let store = open(&place, &tier);
    let len = tier.parcel(0).entry.len();
    for cut in 0..len {
        let cut_off = |parcel: &mut Parcel| parcel.entry.truncate(cut);
        assert!(!is_taken(&place, &tier, &store, cut_off, &format!("cut to {cut}")));
    }
    let mut taken = 0;
    for at in 0..len {
        for flip in [1, 0x80] {
            let case = format!("byte {at} ^ {flip}");
            let change = |parcel: &mut Parcel| parcel.entry[at] ^= flip;
            let is_key = (9..41).contains(&at);
            let was = is_taken(&place, &tier, &store, change, &case);
            assert!(!(was && (is_key || at == 0)), "{case}");
            taken += usize::from(was);
        }
    }
    // Labels, names and the like may be anything.
    assert!(taken < len, "{taken} of {len}");
    assert!(!is_taken(&place, &tier, &store, |parcel| parcel.entry.push(0), "longer"));
    let huge = |parcel: &mut Parcel| parcel.entry.resize((16 << 20) + 1, 0);
    assert!(!is_taken(&place, &tier, &store, huge, "huge"));
    assert!(is_taken(&place, &tier, &store, |_| {}, "as it was"));
    must_be_clean(&place, "after all of it");
}

#[test]
fn an_entry_of_another_key_of_another_version_or_with_other_objects_is_refused() {
    let tier = Memory::with(2);
    let place = Place::new();
    let store = open(&place, &tier);
    let other = tier.parcel(1);
    type Change<'a> = Box<dyn Fn(&mut Parcel) + 'a>;
    let wrong: [(&str, Change<'_>); 9] = [
        ("swapped", Box::new(|parcel| *parcel = other.clone())),
        ("the entry swapped", Box::new(|parcel| parcel.entry = other.entry.clone())),
        ("the objects swapped", Box::new(|parcel| parcel.objects = other.objects.clone())),
        ("a later version", Box::new(|parcel| parcel.entry[0] = 2)),
        ("nothing", Box::new(|parcel| parcel.entry.clear())),
        ("no objects", Box::new(|parcel| parcel.objects.clear())),
        ("an object twice", Box::new(|parcel| parcel.objects.push(parcel.objects[0]))),
        ("a shorter object", Box::new(|parcel| parcel.objects[0].len -= 1)),
        ("an endless object", Box::new(|parcel| parcel.objects[0].len = u64::MAX)),
    ];
    for (case, change) in wrong {
        let sent = tier.sent();
        assert!(!is_taken(&place, &tier, &store, change, case));
        assert_eq!(tier.sent(), sent, "{case}: objects were asked for");
    }
    let slow = |parcel: &mut Parcel| (parcel.cost, parcel.label) = (std::time::Duration::MAX, "other".into());
    assert!(is_taken(&place, &tier, &store, slow, "what is for people"));
    assert_eq!(store.stats().handle.tier_errors, 9);
}

#[test]
fn one_wrong_object_of_several_spoils_the_entry_and_no_wrong_object_is_ever_published() {
    let (tier, place, other) = (Memory::new(), Place::new(), Place::new());
    let outputs = (0..8).fold(Outputs::bytes("0", bytes(100)), |outputs, number| {
        outputs.and_bytes(format!("{number}.o"), bytes(number))
    });
    assert_eq!(open(&place, &tier).add(&sources(0), outputs), Ok(Added::Stored));
    let store = open(&other, &tier);
    for lie in [Lie::FlippedBit, Lie::FailsHalfway, Lie::TooLong] {
        tier.lies(lie);
        assert!(store.fetch(&key(0)).is_err());
        assert_eq!(store.entries().count(), 0);
        must_be_clean(&other, &format!("{lie:?}"));
    }
    tier.lies(Lie::No);
    assert_eq!(store.fetch(&key(0)).unwrap(), Fetched::Now);
    assert_eq!(store.find(&sources(0)).unwrap().outputs().len(), 9);
}
