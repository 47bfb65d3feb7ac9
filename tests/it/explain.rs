//! Why did this miss? Each reason, as a host and as a person gets it; and the modes that need the answer.

use crate::common::{Place, key, named};
use plugcache::{
    __sim, Added, BuildError, Claim, DroppedBy, Exec, How, LoadFailed, LoadOrBuildError, Mode, NO_OPTIONS,
    ObjectDigest, Outputs, Recorded, Sources, SourcesBuilder, Store, SweepOptions, Toolchain, Why,
};
use std::{fs, time::Duration};

fn add(store: &Store, sources: &Sources, bytes: &str) {
    assert_eq!(store.add(sources, Outputs::bytes("out.so", bytes)).unwrap(), Added::Stored);
}

fn with(toolchain: &str, options: &[&str], text: &str) -> SourcesBuilder {
    Sources::new("test/1", &Toolchain::of_value("cc", toolchain), options).bytes("greet.c", text)
}

/// What a store says that has `was` and is asked for `now`.
#[track_caller]
fn explained(was: SourcesBuilder, now: SourcesBuilder) -> Why {
    let (place, now) = (Place::new(), now.digest().unwrap());
    let store = place.store();
    add(&store, &was.digest().unwrap(), "x");
    assert!(store.find(&now).is_none());
    let explanation = store.explain(&now);
    assert!(!explanation.is_hit() && explanation.nearest.is_some(), "{explanation:?}");
    assert_eq!(explanation.also, [], "{explanation}");
    explanation.why
}

fn shown(text: &str) -> Recorded {
    Recorded::Shown(text.into())
}

#[test]
fn a_hit_and_what_was_never_seen_are_explained() {
    let place = Place::new();
    let store = place.store();
    assert_eq!(store.explain(&named("a")).why, Why::NeverSeen, "there is no store yet");
    add(&store, &named("a"), "x");
    let explanation = store.explain(&named("a"));
    assert!(explanation.is_hit() && explanation.unstorable.is_none(), "{explanation:?}");
    assert_eq!(explanation.nearest.unwrap().label(), "a");
    let other = Sources::new("another", &Toolchain::none(), NO_OPTIONS).bytes("b", "b").digest().unwrap();
    let explanation = store.explain(&other);
    assert_eq!((&explanation.why, explanation.nearest.is_none()), (&Why::NeverSeen, true));
    assert!(explanation.to_string().contains("the first build stores it"), "{explanation}");
    // Of the same kind, but neither label nor names: compared with, not taken for the same plugin.
    let explanation = store.explain(&named("c"));
    assert_eq!((&explanation.why, explanation.also.len()), (&Why::NeverSeen, 0));
    assert_eq!(explanation.nearest.unwrap().label(), "a");
}

#[test]
fn the_source_that_changed_is_named_with_when_it_was_last_right() {
    let place = Place::new();
    let (one, two) = (place.write("one.c", "1"), place.write("two.c", "2"));
    let store = place.store();
    add(&store, &key([&one, &two]).digest().unwrap(), "x");
    let made = store.entries().next().unwrap().made();
    fs::write(&two, "changed").unwrap();
    let explanation = store.explain(&key([&one, &two]).digest().unwrap());
    let Why::SourceChanged { name, path, was, now, last_right } = explanation.why.clone() else {
        panic!("{explanation:?}")
    };
    assert_eq!((name.to_str(), path), (Some("two.c"), Some(two.clone())));
    assert_eq!((was, now), (Some(ObjectDigest::of_bytes(b"2")), Some(ObjectDigest::of_bytes(b"changed"))));
    assert_eq!((last_right, explanation.also.len()), (made, 0));
    let text = explanation.to_string();
    assert!(text.starts_with(&format!("{} changed (last right on 2", two.display())), "{text}");
    let three = place.write("three.c", "3");
    fs::write(&two, "2").unwrap();
    let more = store.explain(&key([&one, &three]).label("one.c").digest().unwrap());
    let is = |why: &Why, wanted: &str, is_new: bool| {
        matches!(why, Why::SourceChanged { name, was, now, .. }
            if name == wanted && was.is_none() == is_new && now.is_none() != is_new)
    };
    assert!(is(&more.why, "three.c", true) && is(&more.also[0], "two.c", false), "{more:?}");
    let turned = store.explain(&key([&two, &one]).label("one.c").digest().unwrap());
    assert_eq!((turned.why, turned.also.len()), (Why::SourcesReordered, 0));
}

#[test]
fn a_value_that_differs_is_shown_from_what_to_what_and_a_hidden_one_only_said_to_differ() {
    let base = || with("1", &["-O2"], "x");
    let name = || "abi".to_owned();
    assert_eq!(
        explained(base().context_shown("abi", "3"), base().context_shown("abi", "4")),
        Why::ContextChanged { name: name(), was: shown("3"), now: shown("4") }
    );
    assert_eq!(
        explained(base(), base().context_shown("abi", "4")),
        Why::ContextChanged { name: name(), was: Recorded::Unset, now: shown("4") }
    );
    let hidden = explained(base().context("abi", "s3cret"), base().context("abi", "t0ken"));
    assert_eq!(hidden, Why::ContextChanged { name: name(), was: Recorded::Hidden, now: Recorded::Hidden });
    assert_eq!(hidden.to_string(), "the context value abi differs");
    let unset = explained(base().env("PLUGCACHE_IS_NEVER_SET"), base());
    let Why::EnvChanged { was: Recorded::Unset, now: Recorded::Unset, .. } = unset else {
        panic!("{unset:?}")
    };
    assert_eq!(
        explained(base(), with("2", &["-O2"], "x")),
        Why::ToolchainChanged { name: "cc".into(), was: shown("1"), now: shown("2") }
    );
    assert_eq!(
        explained(base(), with("1", &["-O3", "-g"], "x")),
        Why::OptionsChanged { was: vec![shown("-O2")], now: vec![shown("-O3"), shown("-g")] }
    );
    let kind = |kind| Sources::new(kind, &Toolchain::none(), NO_OPTIONS).bytes("greet.c", "x");
    assert_eq!(
        explained(kind("a/1"), kind("a/2")),
        Why::KindChanged { was: "a/1".into(), now: "a/2".into() }
    );
}

#[test]
fn it_is_compared_with_the_entry_that_differs_least_of_those_that_have_the_label() {
    let place = Place::new();
    let store = place.store();
    for (toolchain, text) in [("1", "old"), ("2", "x"), ("1", "older")] {
        add(&store, &with(toolchain, &[], text).digest().unwrap(), text);
    }
    assert!(__sim::compact(&store), "in a segment as in a log");
    add(&store, &with("2", &["-g"], "y").label("another").digest().unwrap(), "y");
    let explanation = store.explain(&with("3", &[], "x").digest().unwrap());
    let why = Why::ToolchainChanged { name: "cc".into(), was: shown("2"), now: shown("3") };
    assert_eq!((&explanation.why, &explanation.also[..]), (&why, &[][..]));
    let labelled = store.explain(&with("3", &[], "x").label("another").digest().unwrap());
    assert_eq!((labelled.nearest.unwrap().label(), labelled.also.len()), ("another", 2));
}

#[test]
fn a_discovered_input_that_changed_is_named() {
    let place = Place::new();
    let (source, header) = (place.write("x.c", "x"), place.write("x.h", "1"));
    crate::common::let_the_file_clock_tick();
    let (store, sources) = (place.store(), key([&source]).digest().unwrap());
    let built = store.get_or_build(&sources, |build| {
        build.also_read(&header);
        build.write("x.so", "x")
    });
    assert_eq!(built.unwrap().how, How::Built);
    fs::write(&header, "2").unwrap();
    let why = store.explain(&sources).why;
    let Why::InputChanged { path, was, now, .. } = why else { panic!("{why:?}") };
    let digests = (was, now) == (ObjectDigest::of_bytes(b"1"), Some(ObjectDigest::of_bytes(b"2")));
    assert!(digests && path == header);
    fs::remove_file(&header).unwrap();
    assert!(matches!(store.explain(&sources).why, Why::InputChanged { now: None, .. }));
}

#[test]
fn what_another_executable_made_is_said_to_be_that() {
    let place = Place::new();
    add(&place.store(), &named("a"), "x");
    let other = Store::open(place.config().exec(Exec::Given(b"other".to_vec())).build()).unwrap();
    let Why::OtherExec { made_by, this } = other.explain(&named("a")).why else { panic!() };
    assert!(made_by == place.store().entries().next().unwrap().exec_id() && made_by != this);
}

#[test]
fn what_was_dropped_is_said_to_be_with_when_and_why_also_after_compactions() {
    let place = Place::new();
    let store = Store::open(place.config().max_files(2).build()).unwrap();
    for name in ["a", "b", "c"] {
        add(&store, &named(name), name);
    }
    assert_eq!(store.forget(&named("b").digest()).unwrap(), 1);
    add(&store, &named("d"), "d");
    assert!(store.reject(&store.find(&named("d")).unwrap(), "no symbol"));
    let rule = |store: &Store, name| match store.explain(&named(name)).why {
        Why::Dropped { when, rule } => {
            let ago = std::time::SystemTime::now().duration_since(when).unwrap();
            assert!(ago < Duration::from_secs(600), "{ago:?}");
            rule
        }
        why => panic!("{name}: {why:?}"),
    };
    let all = |store: &Store| ["a", "b", "d"].map(|name| rule(store, name));
    let expected = [DroppedBy::MaxFiles, DroppedBy::Request, DroppedBy::Rejection];
    assert_eq!(all(&store), expected);
    assert!(store.explain(&named("a")).to_string().contains("raise `max_files`"));
    for _ in 0..3 {
        assert!(__sim::compact(&store));
        assert_eq!(all(&place.spectator()), expected);
    }
    // Another executable's entry of the same key was never there.
    let other = Store::open(place.config().exec(Exec::Given(b"other".to_vec())).build()).unwrap();
    assert_eq!(other.explain(&named("a")).why, Why::NeverSeen);
    add(&store, &named("a"), "a");
    assert!(store.explain(&named("a")).is_hit());
    let report = store.sweep(SweepOptions::new().max_files(0)).unwrap();
    assert_eq!(report.dropped.max_files, 2);
}

#[test]
fn a_damaged_object_is_explained_before_and_after_it_was_set_aside_and_changes_nothing() {
    let place = Place::new();
    let store = place.store();
    add(&store, &named("a"), "right");
    let object = place.store_dir().join("v1/objects").join(&place.objects()[0]);
    fs::remove_file(&object).unwrap();
    fs::write(&object, "wrong").unwrap();
    let digest = ObjectDigest::of_bytes(b"right");
    let before = store.explain(&named("a"));
    assert_eq!(before.why, Why::Damaged { object: digest, set_aside: None });
    assert_eq!((place.objects().len(), store.stats().misses), (1, 0));
    assert!(store.find(&named("a")).is_none());
    let after = store.explain(&named("a"));
    let Why::Damaged { object, set_aside: Some(path) } = after.why.clone() else { panic!("{after:?}") };
    assert_eq!((object, fs::read(&path).unwrap()), (digest, b"wrong".to_vec()));
    assert!(after.to_string().contains(&path.display().to_string()), "{after}");
}

#[test]
fn a_store_that_cannot_be_used_says_why_and_one_that_stores_nothing_too() {
    let off = Store::disabled("by whim");
    assert_eq!(off.explain(&named("a")).why, Why::Unusable { why: "by whim".into() });
    let place = Place::new();
    add(&place.store(), &named("a"), "x");
    let explanation = place.spectator().explain(&named("b"));
    assert_eq!(explanation.unstorable.as_deref(), Some("the store is read-only"));
    let closed = place.store();
    closed.close();
    assert_eq!(closed.explain(&named("a")).why, Why::Unusable { why: "it was closed".into() });
}

#[test]
fn an_explanation_is_read_by_machines() {
    let place = Place::new();
    let store = place.store();
    add(&store, &with("1", &[], "x").digest().unwrap(), "x");
    let explanation = store.explain(&with("2", &[], "x").digest().unwrap());
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["why"]["toolchain-changed"]["was"]["shown"], "1");
    assert_eq!(json["nearest"]["label"], "greet.c");
    assert_eq!(
        serde_json::to_value(store.explain(&with("1", &[], "x").digest().unwrap())).unwrap()["why"],
        "hit"
    );
}

/// A store of this place in a mode.
fn in_mode(place: &Place, mode: Mode) -> Store {
    Store::open(place.config().mode(mode).build()).unwrap()
}

#[test]
fn a_required_hit_that_misses_is_an_error_that_explains_itself_and_nothing_is_built() {
    let place = Place::new();
    add(&place.store(), &with("1", &[], "x").digest().unwrap(), "x");
    let store = in_mode(&place, Mode::RequireHit);
    let hit = store.get_or_build(&with("1", &[], "x").digest().unwrap(), |_| Err("built"));
    assert_eq!(hit.unwrap().how, How::Hit);
    let sources = with("2", &[], "x").digest().unwrap();
    let is_toolchain = |why: &Why| matches!(why, Why::ToolchainChanged { .. });
    let missed = store.get_or_build(&sources, |_| Err("built")).unwrap_err();
    let text = missed.to_string();
    assert!(text.contains("a hit was required") && text.contains("changed from \"1\" to \"2\""), "{text}");
    let BuildError::RequiredHit(explanation) = missed else { panic!("{text}") };
    assert!(is_toolchain(&explanation.why));
    let loaded = store.load_or_build(&sources, |_| Err("built"), |_| Ok::<_, LoadFailed<()>>(()));
    let Err(LoadOrBuildError::RequiredHit(explanation)) = loaded else { panic!() };
    assert!(is_toolchain(&explanation.why));
    let claimed = store.claim(&sources).unwrap_err();
    assert!(claimed.to_string().contains("a hit was required"), "{claimed}");
}

#[test]
fn a_refreshing_handle_finds_nothing_builds_all_and_replaces_what_is_stored() {
    let place = Place::new();
    add(&place.store(), &named("a"), "old");
    let store = in_mode(&place, Mode::Refresh);
    assert!(store.find(&named("a")).is_none());
    assert!(matches!(store.claim(&named("a")).unwrap(), Claim::Build(_)));
    let built = store.get_or_build(&named("a"), |build| build.write("out.so", "new")).unwrap();
    assert_eq!(built.how, How::Built);
    assert_eq!(place.store().find(&named("a")).unwrap().primary().read().unwrap(), b"new");
    assert_eq!((store.stats().entries, store.stats().handle.misses.by_mode), (1, 3));
}

#[test]
fn a_handle_that_is_off_touches_nothing_and_every_build_runs() {
    let place = Place::new();
    let store = in_mode(&place, Mode::Off);
    for _ in 0..2 {
        let got = store.get_or_build(&named("a"), |build| build.write("out.so", "x")).unwrap();
        assert!(matches!(got.how, How::Uncached(_)), "{:?}", got.how);
        assert_eq!(got.artifact.primary().read().unwrap(), b"x");
    }
    assert!(!place.store_dir().exists());
}

#[test]
fn a_comparing_handle_reports_what_a_build_did_not_give_twice_and_replaces_nothing() {
    let place = Place::new();
    let store = in_mode(&place, Mode::Compare);
    let build = |first: &'static str, second: Option<&'static str>| {
        let got = store.get_or_build(&named("a"), |build| {
            build.write("a.so", first)?;
            second.map_or(Ok(()), |text| build.write("a.map", text))
        });
        let got = got.unwrap();
        assert_eq!(got.artifact.primary().read().unwrap(), first.as_bytes());
        got.how
    };
    assert_eq!(build("1", Some("m")), How::Built, "what is not stored yet is stored");
    let How::Compared(same) = build("1", Some("m")) else { panic!() };
    assert!(same.is_same(), "{same}");
    let How::Compared(differs) = build("2", None) else { panic!() };
    let digest = |text: &str| Some(ObjectDigest::of_bytes(text.as_bytes()));
    let seen: Vec<_> =
        differs.differences.iter().map(|d| (d.name.to_str().unwrap(), d.stored, d.built)).collect();
    assert_eq!(seen, [("a.map", digest("m"), None), ("a.so", digest("1"), digest("2"))]);
    assert_eq!(differs.to_string(), "not what is stored: a.map, a.so");
    let added = store.add(&named("a"), Outputs::bytes("a.so", "1").and_bytes("a.map", "m")).unwrap();
    assert!(matches!(added, Added::Compared(same) if same.is_same()));
    assert_eq!(place.store().find(&named("a")).unwrap().primary().read().unwrap(), b"1");
    assert_eq!((store.stats().entries, store.stats().handle.compared, place.objects().len()), (1, 3, 2));
    place.assert_nothing_in_progress();
}
