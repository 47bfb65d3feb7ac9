//! Hits, misses, and what is no plugin at all.

use super::*;
use plugcache_wasmtime::LoadError;
use wasmtime::{ModuleVersionStrategy, OptLevel, component::Component};

#[test]
fn a_warm_load_compiles_nothing_in_this_handle_and_in_a_new_one() {
    let (_dir, dir) = place();
    let (wasm, host) = (answer_wasm(), Host::new(&dir));
    let (how, compiled) = host.load(&wasm);
    assert_eq!(how, How::Built);
    assert!(compiled >= 2, "the count is not looked at: {compiled}");
    assert_eq!(host.load(&wasm), (How::Hit, 0));
    assert_eq!(Host::new(&dir).load(&wasm), (How::Hit, 0));
}

#[test]
fn a_warm_module_is_mapped_from_the_object() {
    let (_dir, dir) = place();
    let (wasm, host) = (answer_wasm(), Host::new(&dir));
    for how in [How::Built, How::Hit] {
        let module = host.loader.load_module(&wasm).unwrap();
        assert_eq!(*module.how(), how);
        let code = module.image_range().start as usize;
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let object = object(&dir);
        let mapped = maps.lines().filter(|line| line.ends_with(object.to_str().unwrap())).any(|line| {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let address = |text| usize::from_str_radix(text, 16).unwrap();
            (address(from)..address(to)).contains(&code)
        });
        assert!(mapped, "{how}: {code:x} is not in {}\n{maps}", object.display());
    }
}

#[test]
fn an_engine_that_compiles_otherwise_misses_and_one_that_does_not_hits() {
    let (_dir, dir) = place();
    let wasm = answer_wasm();
    type Change = fn(&mut wasmtime::Config);
    let changes: [(&str, Change); 7] = [
        ("nothing", |_| ()),
        ("optimisation", |config| {
            config.cranelift_opt_level(OptLevel::None);
        }),
        ("fuel", |config| {
            config.consume_fuel(true);
        }),
        ("epochs", |config| {
            config.epoch_interruption(true);
        }),
        ("canonical NaNs", |config| {
            config.cranelift_nan_canonicalization(true);
        }),
        ("guard pages", |config| {
            config.memory_guard_size(1 << 16);
        }),
        ("no version", |config| {
            config.module_version(ModuleVersionStrategy::None).unwrap();
        }),
    ];
    for round in [How::Built, How::Hit] {
        for (name, change) in &changes {
            let mut engine = wasmtime::Config::new();
            change(&mut engine);
            let host = Host::with(config(&dir), engine);
            let module = host.loader.load_module(&wasm).unwrap();
            assert_eq!(*module.how(), round, "{name}");
        }
    }
    let mut engine = wasmtime::Config::new();
    engine.max_wasm_stack(1 << 18);
    assert_eq!(Host::with(config(&dir), engine).load(&wasm), (How::Hit, 0), "a limit at run time");
}

#[test]
fn other_wasm_misses() {
    let (_dir, dir) = place();
    let host = Host::new(&dir);
    host.load(&answer_wasm());
    let other = wat::parse_str(ANSWER.replace("\"memory\"", "\"other\"")).unwrap();
    assert_eq!(host.load(&other).0, How::Built);
}

#[test]
fn a_file_is_known_by_its_bytes_and_not_by_its_name() {
    let (dir, store) = place();
    let host = Host::new(&store);
    for (name, how) in [("a.wasm", How::Built), ("b.wasm", How::Hit)] {
        let path = dir.path().join(name);
        std::fs::write(&path, answer_wasm()).unwrap();
        assert_eq!(*host.loader.load_module_file(&path).unwrap().how(), how);
    }
    assert_eq!(host.load(&answer_wasm()).0, How::Hit);
    assert_eq!(host.store.entries().next().unwrap().label(), "a.wasm");
}

#[test]
fn a_file_that_changes_is_loaded_as_what_it_is_now() {
    let (dir, store) = place();
    let path = dir.path().join("plugin.wasm");
    let host = Host::new(&store);
    for (answer_is, how) in [(42, How::Built), (7, How::Built), (42, How::Hit), (7, How::Hit)] {
        let text = ANSWER.replace("\\2a", &format!("\\{answer_is:02x}"));
        std::fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
        let module = host.loader.load_module_file(&path).unwrap();
        assert_eq!((answer(&host.engine, &module), module.how()), (answer_is, &how));
    }
}

#[test]
fn a_file_that_is_missing_is_an_error_that_names_it() {
    let (dir, store) = place();
    let error = Host::new(&store).loader.load_module_file(dir.path().join("none.wasm")).err().unwrap();
    assert!(matches!(error, LoadError::Read { .. }));
    assert!(error.to_string().contains("none.wasm"), "{error}");
}

#[test]
fn bad_wasm_is_an_error_each_time_and_nothing_of_it_is_stored() {
    let (_dir, dir) = place();
    let host = Host::new(&dir);
    let invalid = b"\0asm\x01\0\0\0\x0a\x05\x01\x03\0\x6a\x0b"; // code without a function of that number
    for bad in [&b""[..], b"\0asm", &invalid[..], &answer_wasm()[..40], b"\x7fELF and so on"] {
        for _ in 0..2 {
            let error = host.loader.load_module(bad).err().unwrap();
            assert!(matches!(error, LoadError::Compile(_)), "{error}");
            assert!(host.loader.load_component(bad).is_err());
        }
    }
    assert_eq!(host.store.entries().count(), 0);
    assert!(!dir.join("v1/objects").exists() || files_below(&dir.join("v1/objects")).is_empty());
}

#[test]
fn what_another_version_refused_to_compile_is_tried_again() {
    let (_dir, dir) = place();
    let host = Host::new(&dir);
    let simd = wat::parse_str(
        "(module (func (export \"answer\") (result i32) (i32x4.extract_lane 0 (v128.const i32x4 42 0 0 0))))",
    );
    let simd = simd.unwrap();
    let mut without = wasmtime::Config::new();
    without.wasm_relaxed_simd(false).wasm_simd(false);
    let poor = Host::with(config(&dir), without);
    assert!(matches!(poor.loader.load_module(&simd), Err(LoadError::Compile(_))));
    assert_eq!(host.load(&simd).0, How::Built);
    assert!(matches!(poor.loader.load_module(&simd), Err(LoadError::Compile(_))), "it found another's");
}

const COMPONENT: &str = r#"(component
    (core module $m (func (export "answer") (result i32) i32.const 42))
    (core instance $i (instantiate $m))
    (func (export "answer") (result s32) (canon lift (core func $i "answer"))))"#;

#[test]
fn a_component_is_stored_mapped_and_never_taken_for_a_module() {
    let (_dir, dir) = place();
    let wasm = wat::parse_str(COMPONENT).unwrap();
    for how in [How::Built, How::Hit] {
        let host = Host::new(&dir);
        let component = host.loader.load_component(&wasm).unwrap();
        assert_eq!((component.how(), host.compiled() == 0), (&how, how == How::Hit));
        assert_eq!(component_answer(&host.engine, &component), 42);
        assert!(matches!(host.loader.load_module(&wasm), Err(LoadError::Compile(_))));
        assert!(matches!(host.loader.load_component(answer_wasm()), Err(LoadError::Compile(_))));
        assert_eq!(host.store.lookup(&host.loader.component_sources(&wasm)).unwrap().label(), "component");
    }
}

fn component_answer(engine: &Engine, component: &Component) -> i32 {
    let mut run = wasmtime::Store::new(engine, ());
    let linker = wasmtime::component::Linker::new(engine);
    let instance = linker.instantiate(&mut run, component).unwrap();
    instance.get_typed_func::<(), (i32,)>(&mut run, "answer").unwrap().call(&mut run, ()).unwrap().0
}
