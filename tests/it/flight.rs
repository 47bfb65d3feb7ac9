//! One build for any number of threads and processes, and what becomes of it when it fails, panics, dies or
//! asks for itself.

use crate::common::{
    Child, Compiler, Place, all_at_once, config, named, say, set_dir_modes, text, wait_for_go,
};
use plugcache::{
    Build, BuildError, Busy, Claim, Got, How, LoadFailed, LoadOrBuildError, Skip, Sources, Store,
};
use std::{
    convert::Infallible,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

/// Longer than any machine takes to let everybody ask, so that all of them ask while it is built.
const COMPILE: Duration = Duration::from_millis(300);

/// Builds what a parent asks for: store, compiler, name, and how many milliseconds it takes.
pub(crate) fn build(arguments: &[String]) {
    let [store, compiler, name, millis] = arguments else { panic!("{arguments:?}") };
    let store = Store::open(config(Path::new(store)).build()).unwrap();
    let compile = Compiler::at(compiler).makes(name);
    let pause = Duration::from_millis(millis.parse().unwrap());
    say("ready");
    wait_for_go();
    let got = store.get_or_build(&named(name), |build| {
        thread::sleep(pause);
        compile(build)
    });
    let got = got.unwrap();
    assert_eq!(text(&got.artifact), *name);
    say(got.how.to_string());
}

/// Begins to build and goes on until it is killed: store, name.
pub(crate) fn never_finish(arguments: &[String]) {
    let [store, name] = arguments else { panic!("{arguments:?}") };
    let store = Store::open(config(Path::new(store)).build()).unwrap();
    let got = store.get_or_build(&named(name), |build| {
        build.write("half.so", "hal")?;
        say("building");
        wait_for_go();
        Err(io::Error::other("nobody killed me"))
    });
    panic!("{got:?}");
}

fn one_builds_and_all_others_wait(hows: &[String]) {
    let count = |how: &str| hows.iter().filter(|other| *other == how).count();
    assert_eq!(count("built"), 1, "{hows:?}");
    assert_eq!(count("waited") + count("hit"), hows.len() - 1, "{hows:?}");
    assert!(count("waited") > hows.len() / 2, "most asked too late: {hows:?}");
}

#[test]
fn sixty_four_threads_that_ask_for_the_same_at_once_build_it_once() {
    let place = Place::new();
    let (shared, compiler, barrier) = (place.store(), place.compiler(), Barrier::new(64));
    let ask = |store: Store| {
        barrier.wait();
        let got = store.get_or_build(&named("a"), |build| {
            thread::sleep(COMPILE);
            compiler.makes("a")(build)
        });
        let got = got.unwrap();
        assert_eq!(text(&got.artifact), "a");
        got.how.to_string()
    };
    let hows: Vec<String> = thread::scope(|scope| {
        // Half of them through one handle, half through one of their own each.
        let handles = (0..64).map(|n| if n % 2 == 0 { shared.clone() } else { place.store() });
        let threads: Vec<_> = handles.map(|store| scope.spawn(|| ask(store))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    one_builds_and_all_others_wait(&hows);
    assert_eq!(compiler.runs(), 1);
    place.assert_nothing_in_progress();
}

#[test]
fn forty_processes_that_ask_for_the_same_at_once_build_it_once() {
    let place = Place::new();
    let (store, compiler) = (place.store_dir(), place.compiler());
    let (said, _) = all_at_once(40, |_| Child::start("build", &[&store, &compiler.path(), &"a", &"300"]));
    one_builds_and_all_others_wait(&said.concat());
    assert_eq!(compiler.runs(), 1);
    assert_eq!(place.objects().len(), 1);
    place.assert_nothing_in_progress();
}

#[test]
fn forty_processes_that_ask_for_forty_artifacts_do_not_wait_for_each_other() {
    let place = Place::new();
    let (store, compiler) = (place.store_dir(), place.compiler());
    let (said, took) = all_at_once(40, |n| {
        Child::start("build", &[&store, &compiler.path(), &format!("plugin {n}"), &"500"])
    });
    assert_eq!(said.concat(), ["built"; 40]);
    assert_eq!(place.store().entries().count(), 40);
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_killed_builder_frees_those_that_wait_for_it_at_once() {
    let place = Place::new();
    let (store, compiler) = (place.store_dir(), place.compiler());
    let mut builder = Child::start("never finish", &[&store, &"a"]);
    builder.expect("building");
    let ask = || Child::start("build", &[&store, &compiler.path(), &"a", &"0"]);
    let mut waiting: Vec<Child> = (0..4).map(|_| ask()).collect();
    for child in &mut waiting {
        child.expect("ready");
        child.go();
    }
    assert!(matches!(place.store().claim(&named("a")).unwrap(), Claim::Busy(_)));
    thread::sleep(COMPILE);
    assert_eq!(compiler.runs(), 0, "somebody did not wait");
    builder.kill();
    let killed = Instant::now();
    let hows: Vec<String> = waiting.into_iter().flat_map(Child::end).collect();
    // By default a waiting builder gives up after ten minutes.
    assert!(killed.elapsed() < Duration::from_secs(5));
    assert_eq!(hows.iter().filter(|how| *how == "built").count(), 1, "{hows:?}");
    assert_eq!(compiler.runs(), 1);
    // Its scratch directory is litter for the next sweep.
    assert_eq!((place.below("inflight").len(), place.below("staging").len()), (0, 1));
}

#[test]
fn a_panicking_build_leaves_nothing_behind_and_the_next_one_builds() {
    let place = Place::new();
    let (store, compiler) = (place.store(), place.compiler());
    let panicking = |build: &mut Build| -> io::Result<()> {
        build.write("plugin.so", "half")?;
        fs::write(build.dir().join("temporary.o"), "more")?;
        std::panic::panic_any("on purpose");
    };
    let panicked = catch_unwind(AssertUnwindSafe(|| store.get_or_build(&named("a"), panicking)));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"on purpose"));
    place.assert_nothing_in_progress();
    assert_eq!((place.objects().len(), store.entries().count()), (0, 0));
    assert_eq!(compiler.get(&store, &named("a")).how, How::Built);
}

/// An error that is no `std::error::Error` and cannot be cloned.
#[derive(Debug, PartialEq)]
struct OfTheHost(u32);

#[test]
fn a_failing_build_leaves_nothing_behind_and_its_error_reaches_the_caller_unchanged() {
    let place = Place::new();
    let (store, compiler) = (place.store(), place.compiler());
    let mut number = 0;
    let mut failing = |build: &mut Build| {
        build.write("plugin.so", "half").unwrap();
        fs::create_dir_all(build.dir().join("deep/deeper")).unwrap();
        number += 1;
        Err(OfTheHost(number))
    };
    let error = store.get_or_build(&named("a"), &mut failing).unwrap_err();
    assert!(matches!(error, BuildError::Build(OfTheHost(1))), "{error:?}");
    place.assert_nothing_in_progress();
    let load = |_: &_| Ok::<(), LoadFailed<Infallible>>(());
    let error = store.load_or_build(&named("a"), &mut failing, load).unwrap_err();
    assert!(matches!(error, LoadOrBuildError::Build(OfTheHost(2))), "{error:?}");
    place.assert_nothing_in_progress();
    assert_eq!((place.objects().len(), store.entries().count()), (0, 0));
    assert_eq!(compiler.get(&store, &named("a")).how, How::Built);
}

#[test]
fn a_build_without_a_usable_output_is_an_error_that_names_it() {
    let place = Place::new();
    let store = place.store();
    let no_output = |build: &dyn Fn(&mut Build)| {
        let got = store.get_or_build(&named("a"), |b| {
            build(b);
            Ok::<(), Infallible>(())
        });
        let Err(BuildError::NoOutput(problem)) = got else { panic!("{got:?}") };
        place.assert_nothing_in_progress();
        problem.name
    };
    assert_eq!(no_output(&|_| ()), "");
    assert_eq!(
        no_output(&|b| {
            b.output("plugin.so");
        }),
        "plugin.so"
    );
    assert_eq!(no_output(&|b| fs::create_dir(b.output("plugin.so")).unwrap()), "plugin.so");
    assert_eq!(store.entries().count(), 0);
}

#[test]
fn a_build_that_asks_for_its_own_key_is_told_so_and_one_that_asks_for_others_is_served() {
    let place = Place::new();
    let (store, compiler) = (place.store(), place.compiler());
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let inner = |sources: &Sources| store.get_or_build(sources, compiler.makes("inner"));
    let got = store.get_or_build(&a, |build| {
        let nested = store.clone().get_or_build(&b, |build| {
            for own in [&a, &b] {
                let again = inner(own);
                assert!(matches!(again, Err(BuildError::Recursive(key)) if key == own.digest()), "{again:?}");
            }
            assert_eq!(inner(&c).unwrap().how, How::Built);
            compiler.makes("b")(build)
        });
        assert_eq!(nested.unwrap().how, How::Built);
        // No longer its own: what was built meanwhile is there.
        assert_eq!(inner(&b).unwrap().how, How::Hit);
        compiler.makes("a")(build)
    });
    assert_eq!(got.unwrap().how, How::Built);
    assert_eq!(compiler.runs(), 3);
    assert_eq!(inner(&a).unwrap().how, How::Hit);
}

#[test]
fn a_claim_never_waits_and_dropping_a_build_frees_the_next() {
    let place = Place::new();
    let (store, other) = (place.store(), place.store());
    let Claim::Build(build) = store.claim(&named("a")).unwrap() else { panic!("another claim") };
    // By default it would wait for ten minutes.
    for handle in [&store, &other] {
        let Claim::Busy(busy) = handle.claim(&named("a")).unwrap() else { panic!("another claim") };
        assert!(matches!(busy.wait(Duration::from_millis(20)).unwrap(), Claim::Busy(_)));
    }
    assert!(matches!(other.claim(&named("b")).unwrap(), Claim::Build(_)));
    drop(build);
    place.assert_nothing_in_progress();
    let Claim::Build(build) = other.claim(&named("a")).unwrap() else { panic!("another claim") };
    drop(build);
}

const fn is_send_and_static<T: Send + 'static>() {}
const _: () = is_send_and_static::<Build>();
const _: () = is_send_and_static::<Busy>();
const _: () = is_send_and_static::<Claim>();
const _: () = is_send_and_static::<Got>();

#[test]
fn a_claimed_build_is_finished_on_another_thread_and_whoever_waits_gets_it() {
    let place = Place::new();
    let store = place.store();
    let Claim::Build(mut build) = store.claim(&named("a")).unwrap() else { panic!("another claim") };
    let Claim::Busy(busy) = store.claim(&named("a")).unwrap() else { panic!("another claim") };
    let finishing = thread::spawn(move || {
        build.write("plugin.so", "a").unwrap();
        build.finish().unwrap().how
    });
    let Claim::Hit(artifact) = busy.wait(Duration::from_secs(60)).unwrap() else { panic!("another claim") };
    assert_eq!(text(&artifact), "a");
    assert_eq!(finishing.join().unwrap(), How::Built);
    assert!(matches!(store.claim(&named("a")).unwrap(), Claim::Hit(_)));
    place.assert_nothing_in_progress();
}

#[test]
fn whoever_has_waited_long_enough_builds_by_itself() {
    let place = Place::new();
    let compiler = place.compiler();
    let Claim::Build(mut slow) = place.store().claim(&named("a")).unwrap() else { panic!("another claim") };
    let impatient = place.config().build_wait_max(Duration::from_millis(30)).build();
    let impatient = Store::open(impatient).unwrap();
    assert_eq!(compiler.get(&impatient, &named("a")).how, How::Built);
    assert_eq!(compiler.get(&place.store(), &named("a")).how, How::Hit);
    slow.write("plugin.so", "slow").unwrap();
    assert_eq!(slow.finish().unwrap().how, How::Built);
    assert_eq!(text(&place.store().find(&named("a")).unwrap()), "slow");
    assert_eq!(impatient.entries().count(), 1);
}

/// The artifact of a store that does not work is as good as any, and its files go with its last clone.
#[track_caller]
fn is_usable_and_goes_with_the_last_clone(got: Got, content: &str) {
    assert!(!got.artifact.is_stored());
    assert_eq!(text(&got.artifact), content);
    let path = got.artifact.path().to_owned();
    let clone = got.artifact.clone();
    drop(got);
    assert_eq!(fs::read_to_string(&path).unwrap(), content);
    drop(clone);
    assert!(!path.exists() && !path.parent().unwrap().exists(), "{path:?}");
}

#[test]
fn a_disabled_store_gives_a_usable_artifact_and_says_why_it_is_not_kept() {
    let (place, store) = (Place::new(), Store::disabled("it is Sunday"));
    let compiler = place.compiler();
    let got = compiler.get(&store, &named("a"));
    assert_eq!(got.how, How::Uncached(Skip::Disabled("it is Sunday".into())));
    assert_eq!(got.how.to_string(), "not stored: there is no store: it is Sunday");
    is_usable_and_goes_with_the_last_clone(got, "a");
    // Nobody knows of anybody else's builds.
    assert_eq!(compiler.get(&store, &named("a")).how, How::Uncached(Skip::Disabled("it is Sunday".into())));
    assert_eq!(compiler.runs(), 2);
}

/// As a user whose store, and then whose home, can be read only.
pub(crate) fn build_in_a_read_only_store(_: &[String]) {
    let home = Place::new();
    let (store, compiler) = (home.store(), home.compiler());
    assert_eq!(compiler.get(&store, &named("before")).how, How::Built);
    set_dir_modes(&home.store_dir(), 0o500);
    for store in [store, home.store()] {
        assert_eq!(compiler.get(&store, &named("before")).how, How::Hit);
        let got = compiler.get(&store, &named("a"));
        assert!(matches!(&got.how, How::Uncached(Skip::NoPermission(_))), "{:?}", got.how);
        is_usable_and_goes_with_the_last_clone(got, "a");
    }
    set_dir_modes(&home.path(""), 0o500);
    let nowhere = home.path("nowhere");
    let got = compiler.get(&Store::open(config(&nowhere).build()).unwrap(), &named("a"));
    assert_eq!(got.how, How::Uncached(Skip::NoPermission(nowhere)));
    is_usable_and_goes_with_the_last_clone(got, "a");
    set_dir_modes(&home.path(""), 0o700);
    say(compiler.runs().to_string());
}

#[test]
fn where_nothing_can_be_written_what_is_stored_hits_and_the_rest_is_built_and_not_kept() {
    let (child, _copy) = Child::start_unprivileged("build in a read-only store", &[]);
    assert_eq!(child.end(), ["4"]);
}
