//! Stores that go away, cannot be written, or are no stores.

use super::*;
use plugcache::{Mode, Skip, Trust};
use std::{fs, process::Command};

#[test]
fn a_module_outlives_eviction_clear_and_the_whole_store() {
    type Blow = fn(&Host, &Path);
    let blows: [(&str, Blow); 3] = [
        ("eviction", |host, dir| {
            let small = Host::with(config(dir).to_builder().max_files(1).build(), wasmtime::Config::new());
            let other = wat::parse_str(ANSWER.replace("\"memory\"", "\"other\"")).unwrap();
            small.load(&other);
            assert!(
                host.store.find(&host.loader.module_sources(answer_wasm())).is_none(),
                "it was not evicted"
            );
        }),
        ("clear", |host, _| assert_eq!(host.store.clear().unwrap(), 1)),
        ("rm -rf", |_, dir| fs::remove_dir_all(dir).unwrap()),
    ];
    for (what, blow) in blows {
        for warm in [false, true] {
            let (_dir, dir) = place();
            let host = Host::new(&dir);
            if warm {
                host.load(&answer_wasm());
            }
            let loaded = host.loader.load_module(answer_wasm()).unwrap();
            // A handle of wasmtime's own outlives the lease too.
            let module = wasmtime::Module::clone(&loaded);
            blow(&host, &dir);
            // A new instance maps its memory from the artifact's file anew.
            assert_eq!(answer(&host.engine, &loaded), 42, "{what}, warm: {warm}");
            drop(loaded);
            drop(host.store.clear());
            assert_eq!(answer(&host.engine, &module), 42, "{what}, warm: {warm}, without the lease");
        }
    }
}

#[test]
fn a_leased_module_keeps_its_object_and_after_it_the_object_goes() {
    let (_dir, dir) = place();
    let host = Host::new(&dir);
    let loaded = host.loader.load_module(answer_wasm()).unwrap();
    let object = object(&dir);
    host.store.clear().unwrap();
    assert!(object.exists() && loaded.artifact().is_some_and(|artifact| artifact.path() == object));
}

#[test]
fn a_store_that_was_deleted_is_made_anew_by_the_next_load() {
    let (_dir, dir) = place();
    let host = Host::new(&dir);
    host.load(&answer_wasm());
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(host.load(&answer_wasm()).0, How::Built);
    assert_eq!(host.load(&answer_wasm()), (How::Hit, 0));
}

#[test]
fn a_read_only_store_gives_what_it_has_and_compiles_the_rest() {
    let (_dir, dir) = place();
    let readonly = config(&dir).to_builder().readonly(true).build();
    let empty = Host::with(readonly.clone(), wasmtime::Config::new());
    assert_eq!(empty.load(&answer_wasm()).0, How::Uncached(Skip::ReadOnly));
    assert!(!dir.exists());
    Host::new(&dir).load(&answer_wasm());
    assert_eq!(Host::with(readonly, wasmtime::Config::new()).load(&answer_wasm()), (How::Hit, 0));
}

#[test]
fn a_store_that_cannot_be_used_is_a_compile_each_time_and_no_error() {
    let (dir, _) = place();
    let file = dir.path().join("file");
    fs::write(&file, "in the way").unwrap();
    for dir in [file.as_path(), Path::new("/proc/none"), Path::new("")] {
        let host = Host::with(config(dir), wasmtime::Config::new());
        for _ in 0..2 {
            let (how, compiled) = host.load(&answer_wasm());
            assert!(matches!(how, How::Uncached(_)), "{}: {how}", dir.display());
            assert!(compiled > 0);
        }
    }
}

#[test]
fn a_store_that_others_may_write_to_is_not_used() {
    let (_dir, dir) = place();
    let host = Host::new(&dir);
    host.load(&answer_wasm());
    for trust in [Trust::Group, Trust::Anyone] {
        let loose = config(&dir).to_builder().trust(trust).build();
        let (how, compiled) = Host::with(loose, wasmtime::Config::new()).load(&answer_wasm());
        assert!(matches!(how, How::Uncached(_)) && how.to_string().contains("others may write"), "{how}");
        assert!(compiled > 0);
    }
}

#[test]
fn a_required_hit_that_misses_is_an_error_that_says_so() {
    let (_dir, dir) = place();
    let required = config(&dir).to_builder().mode(Mode::RequireHit).build();
    let error = Host::with(required.clone(), wasmtime::Config::new()).loader.load_module(answer_wasm());
    assert!(error.err().unwrap().to_string().contains("a hit was required"));
    Host::new(&dir).load(&answer_wasm());
    assert_eq!(Host::with(required, wasmtime::Config::new()).load(&answer_wasm()), (How::Hit, 0));
}

/// Nothing can be mapped executable there, and nothing is wrong with the artifact.
#[test]
fn on_a_file_system_without_execution_a_hit_is_loaded_by_a_copy() {
    let (dir, _) = place();
    let mount = |arguments: &[&str]| {
        Command::new("mount").args(arguments).arg(dir.path()).status().is_ok_and(|status| status.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "noexec,mode=700", "plugcache-noexec"]) {
        println!("skipped: mounting needs root");
        return;
    }
    struct Mounted<'a>(&'a Path);
    impl Drop for Mounted<'_> {
        fn drop(&mut self) {
            assert!(
                Command::new("umount").arg("-l").arg(self.0).status().is_ok_and(|status| status.success())
            );
        }
    }
    let _mounted = Mounted(dir.path());
    let host = Host::new(&dir.path().join("store"));
    let module = host.loader.load_module(answer_wasm()).unwrap();
    assert_eq!((module.how(), answer(&host.engine, &module)), (&How::Built, 42));
    assert!((2..=8).contains(&host.compiled()));
    assert_eq!(host.load(&answer_wasm()), (How::Hit, 0));
}
