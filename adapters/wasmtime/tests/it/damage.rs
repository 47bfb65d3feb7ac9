//! Whatever is wrong with a stored artifact: one recompile, and a hit from then on.

use super::*;
use plugcache::{Added, Outputs};
use std::{
    fs::{self, OpenOptions},
    os::unix::{fs::FileExt as _, fs::PermissionsExt as _},
};

/// After the damage one load compiles, and the next hits.
#[track_caller]
fn one_recompile(host: &Host, what: &str) {
    let wasm = answer_wasm();
    let (how, compiled) = host.load(&wasm);
    assert_eq!(how, How::Built, "{what}");
    assert!((2..=8).contains(&compiled), "{what}: {compiled} functions compiled");
    assert_eq!(host.load(&wasm), (How::Hit, 0), "{what}");
    assert_eq!(host.store.entries().count(), 1, "{what}");
}

fn writable(path: &Path) -> fs::File {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    OpenOptions::new().write(true).open(path).unwrap()
}

#[test]
fn a_damaged_object_is_one_recompile() {
    let (_dir, dir) = place();
    Host::new(&dir).load(&answer_wasm());
    let len = fs::metadata(object(&dir)).unwrap().len();
    for at in [0, 20, len / 2, len - 1] {
        let file = writable(&object(&dir));
        file.write_at(b"\xff\x13", at).unwrap();
        one_recompile(&Host::new(&dir), &format!("damaged at {at}"));
    }
}

#[test]
fn a_truncated_or_missing_object_is_one_recompile() {
    let (_dir, dir) = place();
    Host::new(&dir).load(&answer_wasm());
    let len = fs::metadata(object(&dir)).unwrap().len();
    for keep in [0, 64, len / 2, len - 1] {
        writable(&object(&dir)).set_len(keep).unwrap();
        one_recompile(&Host::new(&dir), &format!("cut to {keep}"));
    }
    fs::remove_file(object(&dir)).unwrap();
    one_recompile(&Host::new(&dir), "removed");
}

#[test]
fn an_artifact_that_wasmtime_refuses_is_one_recompile() {
    let (_dir, dir) = place();
    let host = Host::new(&dir);
    let wasm = answer_wasm();
    let mut other = wasmtime::Config::new();
    other.consume_fuel(true);
    let other = Engine::new(&other).unwrap();
    let component = wat::parse_str("(component)").unwrap();
    let wrong: [(&str, Vec<u8>); 6] = [
        ("nothing", Vec::new()),
        ("text", b"not an artifact".to_vec()),
        ("the head of an ELF file", b"\x7fELF\x02\x01\x01".to_vec()),
        ("the wasm itself", wasm.clone()),
        ("another engine's", other.precompile_module(&wasm).unwrap()),
        ("a component", host.engine.precompile_component(&component).unwrap()),
    ];
    for (what, bytes) in wrong {
        let added = host.store.add(&host.loader.module_sources(&wasm), Outputs::bytes("module.cwasm", bytes));
        assert_eq!(added.unwrap(), Added::Stored, "{what}");
        host.compiled();
        one_recompile(&host, what);
    }
}

#[test]
fn an_artifact_that_wasmtime_refuses_is_still_loaded_from_a_store_that_cannot_be_changed() {
    let (_dir, dir) = place();
    let host = Host::new(&dir);
    let sources = host.loader.module_sources(answer_wasm());
    assert_eq!(host.store.add(&sources, Outputs::bytes("x", "wrong")).unwrap(), Added::Stored);
    let readonly = config(&dir).to_builder().readonly(true).build();
    let (how, compiled) = Host::with(readonly, wasmtime::Config::new()).load(&answer_wasm());
    assert!(matches!(how, How::Uncached(_)), "{how}");
    assert!((2..=8).contains(&compiled), "{compiled} functions compiled");
}

#[test]
fn an_engine_for_another_machine_is_an_error_after_one_compile() {
    let (_dir, dir) = place();
    let mut engine = wasmtime::Config::new();
    let target = if cfg!(target_arch = "x86_64") { "x86_64-pc-windows-msvc" } else { "aarch64-apple-darwin" };
    engine.target(target).unwrap();
    let host = Host::with(config(&dir), engine);
    let error = host.loader.load_module(answer_wasm()).err().unwrap();
    assert!(matches!(error, plugcache_wasmtime::LoadError::Load(_)), "{error}");
    assert!((2..=8).contains(&host.compiled()));
}
