//! Real compilers behind `run`: what comes out of the store is what they made, and can be loaded.

use crate::common::{Ended, Place, have};
use std::{fs, process::Command};

/// Runs a wrapped compiler twice, and once more after a change of its source.
fn twice(place: &Place, source: &str, output: &str, words: &str, changed: &str) {
    let run = || place.run(&format!("run -v -s {source} -o {output} -- {words}"));
    run().ends(0).says("stored");
    let made = fs::read(place.path(output)).unwrap();
    fs::remove_file(place.path(output)).unwrap();
    run().ends(0).says("plugcache: hit");
    assert_eq!(fs::read(place.path(output)).unwrap(), made);
    let before = fs::read(place.path(source)).unwrap();
    place.write(source, changed);
    run().ends(0).says("miss");
    assert_ne!(fs::read(place.path(output)).unwrap(), made);
    place.write(source, before);
    run().ends(0).says("plugcache: hit");
    assert_eq!(fs::read(place.path(output)).unwrap(), made);
}

/// Prints what the function `answer` of a library gives.
fn answer(place: &Place, library: &str) -> String {
    place.write(
        "load.c",
        "#include <dlfcn.h>\n#include <stdio.h>\nint main(int c, char **v) { void *l = dlopen(v[1], RTLD_NOW);\n\
         if (!l) { puts(dlerror()); return 1; }\nprintf(\"%d\", ((int (*)(void))dlsym(l, \"answer\"))()); return 0; }\n",
    );
    let cc = Command::new("cc").args(["-o", "load", "load.c", "-ldl"]).current_dir(place.path("")).status();
    assert!(cc.unwrap().success());
    let ended = Ended::of(Command::new(place.path("load")).arg(place.path(library)));
    ended.ends(0);
    ended.out
}

#[test]
fn a_library_of_cc_comes_out_of_the_store() {
    let place = Place::new();
    place.write("plugin.c", "int answer(void) { return 42; }\n");
    let words = "cc -shared -fPIC -o plugin.so plugin.c";
    twice(&place, "plugin.c", "plugin.so", words, "int answer(void) { return 43; }\n");
    assert_eq!(answer(&place, "plugin.so"), "42");
}

#[test]
fn a_library_of_rustc_comes_out_of_the_store() {
    if !have("rustc", &["--version"]) {
        return;
    }
    let place = Place::new();
    let source =
        |number: i32| format!("#[unsafe(no_mangle)] pub extern \"C\" fn answer() -> i32 {{ {number} }}\n");
    place.write("plugin.rs", source(42));
    let words = "rustc --edition 2024 --crate-type cdylib -o plugin.so plugin.rs";
    twice(&place, "plugin.rs", "plugin.so", words, &source(43));
    assert_eq!(answer(&place, "plugin.so"), "42");
}

#[test]
fn a_plugin_of_ocamlopt_comes_out_of_the_store_and_is_loaded_by_dynlink() {
    if !have("ocamlfind", &["ocamlopt", "-version"]) {
        return;
    }
    let place = Place::new();
    place.write("plugin.ml", "let () = print_string \"forty-two\"\n");
    let words = "ocamlfind ocamlopt -shared -o plugin.cmxs plugin.ml";
    twice(&place, "plugin.ml", "plugin.cmxs", words, "let () = print_string \"other\"\n");
    place.write("host.ml", "let () = Dynlink.loadfile Sys.argv.(1)\n");
    let built = Command::new("ocamlfind")
        .args(["ocamlopt", "-package", "dynlink", "-linkpkg", "-o", "host", "host.ml"])
        .current_dir(place.path(""))
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let load = |path: &str| Ended::of(Command::new(place.path("host")).arg(path)).out;
    assert_eq!(load(place.path("plugin.cmxs").to_str().unwrap()), "forty-two");
    // And from the store itself.
    let path = place.out(&format!("path -s plugin.ml -- {words}"));
    assert_eq!(load(path.trim_end()), "forty-two");
}
