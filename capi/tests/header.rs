//! include/plugcache.h is what cbindgen makes of the sources now.
//!
//! `PLUGCACHE_WRITE=1 cargo test --test header` writes it.

use std::{env, fs, path::Path};

/// In the order in which a reader needs them.
const SOURCES: [&str; 5] = ["border", "key", "store", "artifact", "build"];

fn generated() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml is right");
    let builder = SOURCES.iter().fold(cbindgen::Builder::new().with_config(config), |builder, name| {
        builder.with_src(root.join("src").join(name).with_extension("rs"))
    });
    let mut text = Vec::new();
    builder.generate().expect("the sources can be parsed").write(&mut text);
    String::from_utf8(text).expect("a header is text")
}

#[test]
fn the_committed_header_is_the_one_that_the_sources_make() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/plugcache.h");
    let generated = generated();
    if env::var_os("PLUGCACHE_WRITE").is_some() {
        fs::write(&path, &generated).expect("the header can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "write it anew: PLUGCACHE_WRITE=1 cargo test --test header");
}

#[test]
fn every_exported_function_is_in_the_header_and_goes_through_the_guard() {
    let header = generated();
    let mut exported = 0;
    for name in SOURCES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name).with_extension("rs");
        let source = fs::read_to_string(path).expect("it is there");
        for after in source.split("#[unsafe(no_mangle)]\n").skip(1) {
            let (signature, body) = after.split_once("{\n").expect("a function has a body");
            let name = signature.split("fn ").nth(1).and_then(|rest| rest.split('(').next()).expect("a name");
            assert!(header.contains(&format!("{name}(")), "{name} is not in the header");
            let body = body.split("\n}\n").next().expect("it ends");
            // These look at memory of this thread or at a number, and cannot panic.
            let is_plain = ["plugcache_version", "plugcache_artifact_how"].contains(&name)
                || name.starts_with("plugcache_last_error_");
            let guarded = body.contains("guard(|| ") || body.contains("release(");
            assert!(is_plain || guarded, "{name} does not go through the guard");
            exported += 1;
        }
    }
    assert!(exported > 50, "only {exported} functions were looked at");
}
