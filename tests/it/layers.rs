//! Layers: read-only stores below one's own, never written to, hidden by a forget, copied up if asked for.

use std::{error::Error as _, fs, path::PathBuf, process::Command};

use plugcache::{
    __sim::{self, Disk, Verb},
    Added, Config, ConfigBuilder, Durability, Exec, How, NO_OPTIONS, OpenError, Outputs, Sources, Status,
    Store, Toolchain, Why,
};

use super::damage::{self, Job, Place, bytes, found, get, sources};

pub(crate) const JOBS: &[Job] = &[("use a layer", use_a_layer)];

const COUNT: usize = 4;

/// A store with nothing in it, above a layer with the plugins 0 to `count` - 1.
fn above(count: usize) -> (Place, Place, PathBuf) {
    let (below, upper) = (Place::with(count), Place::new());
    let layer = upper.beside("layer");
    below.open().export(&layer, |_| true).unwrap();
    (below, upper, layer)
}

fn open(config: ConfigBuilder) -> Store {
    Store::open(config.build()).unwrap()
}

#[test]
fn what_ones_own_store_lacks_is_found_in_the_layers_and_the_first_one_that_has_it_counts() {
    let (_, upper, layer) = above(2);
    let other = Place::new();
    for (number, text) in [(1, "the second layer's"), (2, "the second layer's")] {
        assert_eq!(other.open().add(&sources(number), Outputs::bytes("out.so", text)), Ok(Added::Stored));
    }
    let store = open(upper.config().layer(&layer).layer(&other.dir));
    let text = |number| Some(store.find(&sources(number))?.primary().read_verified().unwrap());
    assert_eq!((text(0), text(1)), (Some(bytes(0)), Some(bytes(1))));
    assert_eq!((text(2), text(3)), (Some(b"the second layer's".to_vec()), None));
    assert!(!upper.dir.exists(), "finding makes no store");
    assert_eq!(store.lookup(&sources(2)).unwrap().outputs().len(), 1);
    assert!(store.lookup(&sources(3)).is_none());
    let why = |number| store.explain(&sources(number)).why;
    assert!(matches!((why(0), why(3)), (Why::Hit, Why::NeverSeen)));
    // One's own comes first.
    assert_eq!(store.add(&sources(0), Outputs::bytes("out.so", "one's own")), Ok(Added::Stored));
    assert_eq!(text(0), Some(b"one's own".to_vec()));
    assert_eq!(get(&store, 3).how, How::Built);
    assert_eq!((store.entries().count(), store.stats().hits > 3), (2, true));
    // A layer that is a store in use shows what is added to it.
    assert_eq!(get(&other.open(), 5).how, How::Built);
    assert_eq!(get(&store, 5).how, How::Hit);
}

#[test]
fn a_forgotten_entry_of_a_layer_stays_hidden_from_every_handle_and_across_compactions() {
    let (_, upper, layer) = above(COUNT);
    let store = || open(upper.config().layer(&layer));
    assert_eq!(store().forget(&sources(0).digest()).unwrap(), 1);
    assert_eq!(store().forget(&sources(0).digest()).unwrap(), 0, "there is nothing more to forget");
    assert_eq!(store().forget(&sources(9).digest()).unwrap(), 0);
    let check = |case: &str| {
        assert_eq!(found(&store(), COUNT), [1, 2, 3], "{case}");
        assert!(store().lookup(&sources(0)).is_none(), "{case}");
        assert_eq!(store().entries().count(), 0, "{case}");
    };
    check("forgotten");
    for _ in 0..2 {
        assert!(__sim::compact(&store()));
        check("compacted");
    }
    store().clear().unwrap();
    check("cleared");
    // Limits take no mask for an entry.
    let small = open(upper.config().layer(&layer).max_files(1));
    for number in 10..13 {
        assert_eq!(get(&small, number).how, How::Built);
    }
    assert_eq!((small.entries().count(), found(&store(), COUNT)), (1, vec![1, 2, 3]));
    // Built anew it is one's own, and what was forgotten stays forgotten when that goes.
    assert_eq!(get(&store(), 0).how, How::Built);
    assert_eq!(found(&store(), COUNT), [0, 1, 2, 3]);
    assert_eq!(store().forget(&sources(0).digest()).unwrap(), 1);
    assert_eq!(found(&store(), COUNT), [1, 2, 3]);
    // Without the layer there is nothing to hide; nobody else is told.
    assert_eq!(
        found(&open(Config::builder(&layer).exec(Exec::Independent).readonly(true)), COUNT).len(),
        COUNT
    );
}

#[test]
fn a_handle_and_a_process_that_were_there_before_a_mask_see_it() {
    let (_, upper, layer) = above(COUNT);
    let store = || open(upper.config().layer(&layer));
    // Something of one's own: without a store above there is nothing yet that could be followed.
    assert_eq!(get(&store(), 9).how, How::Built);
    let (reader, empty) = (store(), Place::new());
    let early = open(empty.config().layer(&layer));
    assert_eq!(found(&reader, COUNT), [0, 1, 2, 3]);
    assert_eq!(found(&early, COUNT), [0, 1, 2, 3]);
    assert_eq!(store().forget(&sources(2).digest()).unwrap(), 1);
    assert_eq!(open(empty.config().layer(&layer)).forget(&sources(2).digest()).unwrap(), 1);
    for (case, reader) in [("a store above", &reader), ("none above until then", &early)] {
        assert!(reader.find(&sources(2)).is_none(), "{case}");
        assert_eq!(found(reader, COUNT), [0, 1, 3], "{case}");
        assert!(!matches!(reader.explain(&sources(2)).why, Why::Hit), "{case}");
    }
    // What was handed out before stays; a compaction in between changes nothing.
    let held = reader.find(&sources(1)).unwrap();
    assert_eq!(store().forget(&sources(1).digest()).unwrap(), 1);
    assert!(__sim::compact(&store()));
    assert_eq!((found(&reader, COUNT), held.primary().read().unwrap()), (vec![0, 3], bytes(1)));
}

#[test]
fn an_artifact_of_a_layer_that_does_not_load_is_built_anew_once() {
    let (_, upper, layer) = above(1);
    let store = open(upper.config().layer(&layer));
    let mut builds = 0;
    let mut load = |artifact: &plugcache::Artifact| {
        let text = artifact.primary().read().unwrap();
        if text == b"good" { Ok(()) } else { Err(plugcache::LoadFailed::Artifact("bad")) }
    };
    for _ in 0..2 {
        let build = |b: &mut plugcache::Build| {
            builds += 1;
            b.write("out.so", "good")
        };
        let loaded = store.load_or_build(&sources(0), build, &mut load).unwrap();
        assert_eq!(loaded.artifact.primary().read().unwrap(), b"good");
    }
    assert_eq!(builds, 1);
}

#[test]
fn a_promoted_artifact_that_does_not_load_is_not_promoted_once_more() {
    let (_, upper, layer) = above(2);
    let config = || upper.config().layer(&layer).promote(true);
    let store = open(config());
    assert!(store.reject(&store.find(&sources(0)).unwrap(), "it does not load"));
    for store in [&store, &open(config())] {
        assert_eq!(found(store, 2), [1]);
    }
    assert_eq!((get(&store, 0).how, get(&store, 0).how), (How::Built, How::Hit));
    // One of one's own that does not load lets what lies below alone.
    assert!(store.reject(&store.find(&sources(0)).unwrap(), "neither does this"));
    assert_eq!(get(&store, 0).how, How::Built);
}

#[test]
fn a_promoted_entry_is_found_without_the_layer_and_without_promotion_nothing_is_copied() {
    let (_, upper, layer) = above(COUNT);
    let plain = open(upper.config().layer(&layer));
    assert_eq!(found(&plain, COUNT).len(), COUNT);
    assert!(!upper.dir.exists());
    let store = open(upper.config().layer(&layer).promote(true));
    let artifact = store.find(&sources(1)).unwrap();
    assert!(artifact.path().starts_with(&upper.dir), "{:?}", artifact.path());
    assert_eq!(get(&store, 2).how, How::Hit);
    drop(store);
    assert_eq!(found(&upper.open(), COUNT), [1, 2]);
    assert_eq!(upper.open().entries().count(), 2);
    // Where it cannot be copied it is used where it is.
    let read_only = open(upper.config().layer(&layer).promote(true).readonly(true));
    assert_eq!(found(&read_only, COUNT).len(), COUNT);
}

#[test]
fn a_layer_that_cannot_be_used_is_an_error_that_names_it_and_a_host_that_goes_on_has_no_store() {
    let (_, upper, layer) = above(1);
    let error = |path: &PathBuf| Store::open(upper.config().layer(path).build()).unwrap_err();
    let missing = upper.beside("missing");
    assert!(matches!(error(&missing), OpenError::NoLayer { path } if path == missing));
    let file = upper.beside("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(error(&file), OpenError::NotADirectory { path } if path.starts_with(&file)));
    let newer = upper.beside("newer");
    fs::create_dir_all(newer.join("v1")).unwrap();
    fs::write(newer.join("v1/log.1"), damage::header(0, 7, [0, 0, 1])).unwrap();
    assert!(matches!(error(&newer), OpenError::Newer { path } if path.starts_with(&newer)));
    damage::chmod(&layer.join("v1"), 0o777);
    assert!(matches!(error(&layer), OpenError::Untrusted { path, .. } if path == layer.join("v1")));
    damage::chmod(&layer.join("v1"), 0o755);
    fs::remove_file(layer.join("v1/seg.1-1")).unwrap();
    fs::create_dir(layer.join("v1/log.1")).unwrap();
    assert_eq!(found(&open(upper.config().layer(&layer)), 1), [0; 0], "a damaged one has nothing");
    let store = Store::open_or_disabled(upper.config().layer(&missing).build());
    let Status::Disabled(why) = store.status() else { panic!("{:?}", store.status()) };
    assert!(why.contains(missing.to_str().unwrap()), "{why}");
    assert!(error(&missing).source().is_none());
    assert!(matches!(get(&store, 0).how, How::Uncached(_)));
}

/// Finds, gets, forgets, sweeps, scrubs and compacts above a layer; where that lies is the argument.
fn use_a_layer(dir: &std::path::Path) {
    let upper = tempfile::tempdir().unwrap();
    let config =
        || Config::builder(upper.path().join("store")).exec(Exec::Independent).layer(dir.join("layer"));
    let store = open(config());
    assert_eq!(found(&store, COUNT), [1, 2, 3], "0 is damaged");
    assert_eq!(get(&store, 0).how, How::Built);
    assert_eq!(get(&store, 1).how, How::Hit);
    store.forget(&sources(2).digest()).unwrap();
    assert_eq!(found(&open(config()), COUNT), [0, 1, 3]);
    assert!(__sim::compact(&store));
    __sim::sweep(&store);
    assert!(store.scrub(plugcache::ScrubOptions::new()).unwrap().is_clean());
    let promoting = open(config().promote(true));
    assert_eq!(found(&promoting, COUNT), [0, 1, 3]);
}

#[test]
fn nothing_is_written_to_a_layer_whatever_is_done_above_it() {
    let (_, upper, layer) = above(COUNT);
    let name = plugcache::ObjectDigest::of_bytes(&bytes(0)).to_string();
    let object = layer.join(format!("v1/objects/{}/{}", &name[..2], &name[2..]));
    damage::chmod(&object, 0o644);
    fs::write(&object, "rotten").unwrap();
    let before = damage::state_of(&layer);
    use_a_layer(&upper.beside(""));
    let case = "after everything";
    assert_eq!(damage::state_of(&layer), before, "{case}");
    // And for one who may not write there anyway: a tree of mode 0555.
    assert!(Command::new("chmod").args(["-R", "a-w"]).arg(&layer).status().unwrap().success());
    damage::chmod(&upper.beside(""), 0o755);
    let before = damage::state_of(&layer);
    assert!(Command::new("chown").args(["-R", "65534"]).arg(&layer).status().is_ok());
    damage::as_nobody("use a layer", &upper.beside(""));
    assert_eq!(before.len(), damage::state_of(&layer).len());
    assert!(Command::new("chmod").args(["-R", "u+w"]).arg(&layer).status().unwrap().success());
}

/// A layer with an entry `a` below a store, on a simulated disk, and how many readings a find of it takes in a process
/// of its own.
struct Hashed(Disk);

impl Hashed {
    fn config(dir: &str) -> ConfigBuilder {
        Config::builder(dir).exec(Exec::Given(vec![1])).durability(Durability::Lazy).memo(false)
    }

    fn key(&self, name: &str) -> Sources {
        let builder = Sources::new("l/1", &Toolchain::of_value("t", "1"), NO_OPTIONS).bytes(name, name);
        __sim::digest(self.0.process(), builder).unwrap()
    }

    fn open(&self, config: ConfigBuilder) -> Store {
        __sim::open(self.0.process(), config.build()).unwrap()
    }

    fn new() -> Hashed {
        let hashed = Hashed(Disk::new(1));
        hashed.0.plant_dir("/home/u");
        hashed.0.plant_dir("/srv");
        let below = hashed.open(Hashed::config("/home/u/below"));
        assert_eq!(below.add(&hashed.key("a"), Outputs::bytes("a", vec![7; 3000])), Ok(Added::Stored));
        below.export("/srv/layer".as_ref(), |_| true).unwrap();
        hashed
    }

    fn upper(&self) -> Store {
        self.open(Hashed::config("/home/u/store"))
    }

    fn readings(&self) -> usize {
        let process = self.0.process();
        let config = Hashed::config("/home/u/store").layer("/srv/layer");
        let store = __sim::open(process.clone(), config.build()).unwrap();
        let before = process.steps();
        let artifact = store.find(&self.key("a")).unwrap();
        assert_eq!(artifact.primary().len(), 3000);
        let trace = process.trace();
        let is_of_layer = |step: &&__sim::Step| step.path.starts_with("/srv");
        trace[before..].iter().filter(is_of_layer).filter(|step| step.verb == Verb::ReadAt).count()
    }
}

#[test]
fn what_was_proved_of_a_layer_outlives_compactions_and_is_forgotten_after_a_year() {
    let hashed = Hashed::new();
    assert_eq!(hashed.upper().add(&hashed.key("b"), Outputs::bytes("b", "b")), Ok(Added::Stored));
    assert!(hashed.readings() > 0, "the first find hashes");
    assert_eq!(hashed.readings(), 0);
    for round in 0..3 {
        assert!(__sim::compact(&hashed.upper()), "{round}");
        assert_eq!(hashed.readings(), 0, "after {round} compactions before");
    }
    // Uses do not count: nobody can tell a layer that is gone from one that is seldom asked.
    hashed.0.advance_clock(std::time::Duration::from_secs(366 * 86_400));
    assert_eq!(hashed.readings(), 0, "until somebody compacts");
    assert!(__sim::compact(&hashed.upper()));
    assert!(hashed.readings() > 0, "it is a year old and was carried over");
}

#[test]
fn of_what_was_proved_of_layers_a_compaction_carries_no_more_than_its_bound_over() {
    let hashed = Hashed::new();
    let below = hashed.open(Hashed::config("/home/u/below"));
    let names: Vec<_> = (0..600).map(|number| number.to_string()).collect();
    for name in &names {
        assert_eq!(below.add(&hashed.key(name), Outputs::bytes("o", name.as_bytes())), Ok(Added::Stored));
    }
    below.export("/srv/many".as_ref(), |_| true).unwrap();
    assert_eq!(hashed.upper().add(&hashed.key("own"), Outputs::bytes("b", "b")), Ok(Added::Stored));
    let layered = || hashed.open(Hashed::config("/home/u/store").layer("/srv/many"));
    let store = layered();
    names.iter().for_each(|name| assert!(store.find(&hashed.key(name)).is_some(), "{name}"));
    drop(store);
    assert!(__sim::compact(&hashed.upper()));
    let v1 = "/home/u/store/v1/";
    let log = hashed.0.list(v1).into_iter().find(|name| name.to_string_lossy().starts_with("log.")).unwrap();
    let log = hashed.0.read_file(format!("{v1}{}", log.to_string_lossy())).unwrap();
    let touches = damage::frames(&log).into_iter().filter(|(_, kind, _)| *kind == TOUCH).count();
    assert_eq!(touches, 512);
    assert!(log.len() <= 128 * 1024, "{} bytes", log.len());
}

/// The kind of a frame.
const TOUCH: u8 = 3;

#[test]
fn an_object_of_a_layer_is_hashed_once_in_a_boot_if_there_is_a_store_above() {
    let disk = Disk::new(1);
    disk.plant_dir("/home/u");
    disk.plant_dir("/srv");
    let config =
        |dir: &str| Config::builder(dir).exec(Exec::Given(vec![1])).durability(Durability::Lazy).memo(false);
    let key = |name: &str| {
        let builder = Sources::new("l/1", &Toolchain::of_value("t", "1"), NO_OPTIONS).bytes(name, name);
        __sim::digest(disk.process(), builder).unwrap()
    };
    let below = __sim::open(disk.process(), config("/home/u/below").build()).unwrap();
    assert_eq!(below.add(&key("a"), Outputs::bytes("a", vec![7; 3000])), Ok(Added::Stored));
    below.export("/srv/layer".as_ref(), |_| true).unwrap();
    // How many readings a find takes in a process of its own.
    let readings = || {
        let process = disk.process();
        let store =
            __sim::open(process.clone(), config("/home/u/store").layer("/srv/layer").build()).unwrap();
        let before = process.steps();
        let artifact = store.find(&key("a")).unwrap();
        assert_eq!(artifact.primary().len(), 3000);
        let trace = process.trace();
        trace[before..].iter().filter(|step| step.verb == Verb::ReadAt).count()
    };
    let (first, second) = (readings(), readings());
    assert!(first > 1 && first == second, "without a store above, each process hashes: {first}, {second}");
    let upper = __sim::open(disk.process(), config("/home/u/store").build()).unwrap();
    assert_eq!(upper.add(&key("b"), Outputs::bytes("b", "b")), Ok(Added::Stored));
    let (first, second, third) = (readings(), readings(), readings());
    assert!(second < first && second == third, "{first}, {second}, {third}");
    disk.set_boot_id(Some([9; 16]));
    assert_eq!((readings(), readings()), (first, second));
}
