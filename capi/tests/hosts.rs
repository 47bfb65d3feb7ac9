//! The library as users of C have it: installed, found by pkg-config, compiled against with warnings as errors, run as
//! it is, under valgrind and with AddressSanitizer. What a machine does not have is skipped, and says so.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};
use tempfile::TempDir;

const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn plugins() -> PathBuf {
    root().join("../examples/plugin_host/plugins")
}

/// How many plugins are single files, of which the example hosts compile each.
fn plugin_count() -> usize {
    let names =
        fs::read_dir(plugins()).expect("there are plugins").map(|entry| entry.expect("an entry").path());
    names.filter(|path| path.extension() == Some(OsStr::new("c"))).count()
}

/// Where the library is installed for all tests, below the directory of cargo.
fn installed() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let this = env::current_exe().expect("this test has a name");
        let profile = this.ancestors().nth(2).expect("it lies in PROFILE/deps");
        let prefix = profile.join("installed");
        let name = profile.file_name().expect("a profile has a name");
        let done = Command::new("make")
            .args(["-C", env!("CARGO_MANIFEST_DIR"), "install"])
            .arg(format!("PREFIX={}", prefix.display()))
            .arg(format!("PROFILE={}", name.display()))
            .arg(format!("CARGO_TARGET_DIR={}", profile.parent().expect("of target").display()))
            .env_remove("DESTDIR")
            .output()
            .expect("make runs");
        assert!(done.status.success(), "{}", text(&done));
        prefix
    })
}

fn text(done: &Output) -> String {
    format!(
        "{}{}{}",
        done.status,
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    )
}

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|done| done.status.success());
    if !found {
        println!("skipped: there is no {program}");
    }
    found
}

fn pkg_config(arguments: &[&str]) -> Vec<String> {
    let done = Command::new("pkg-config")
        .args(arguments)
        .arg("plugcache")
        .env("PKG_CONFIG_PATH", installed().join("lib/pkgconfig"))
        .output()
        .expect("pkg-config runs");
    assert!(done.status.success(), "{}", text(&done));
    String::from_utf8_lossy(&done.stdout).split_whitespace().map(String::from).collect()
}

/// Compiles a program of tests/c.
fn compile(compiler: &str, standard: &str, source: &str, more: &[&str], to: &Path) {
    let done = Command::new(compiler)
        .arg(standard)
        .args(STRICT)
        .args(more)
        .arg("-g")
        .arg(root().join("tests/c").join(source))
        .arg("-o")
        .arg(to)
        .args(pkg_config(&["--cflags", "--libs"]))
        .arg(format!("-Wl,-rpath,{}", installed().join("lib").display()))
        .arg("-lpthread")
        .output()
        .expect("a compiler runs");
    assert!(done.status.success(), "{}", text(&done));
}

/// How a program is run.
#[derive(Clone, Copy, PartialEq)]
enum Under {
    Nothing,
    Valgrind,
    AddressSanitizer,
}

impl Under {
    fn flags(self) -> &'static [&'static str] {
        match self {
            Under::AddressSanitizer => &["-fsanitize=address", "-fno-omit-frame-pointer"],
            _ => &[],
        }
    }

    fn command(self, program: &Path) -> Command {
        if self != Under::Valgrind {
            return Command::new(program);
        }
        let mut command = Command::new("valgrind");
        command.args(["--quiet", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=all"]);
        command.arg("--errors-for-leak-kinds=definite,indirect,possible");
        command.arg(format!("--suppressions={}", root().join("tests/c/valgrind.supp").display()));
        command.arg(program);
        command
    }
}

fn is_had(under: Under) -> bool {
    let probe = || {
        let place = TempDir::new().expect("a directory");
        let (source, program) = (place.path().join("a.c"), place.path().join("a"));
        fs::write(&source, "int main(void) { return 0; }").expect("it can be written");
        let built =
            Command::new("cc").arg("-fsanitize=address").arg(&source).arg("-o").arg(&program).output();
        let ran = built.is_ok_and(|done| done.status.success())
            && Command::new(&program).output().is_ok_and(|done| done.status.success());
        if !ran {
            println!("skipped: this C compiler has no AddressSanitizer that works");
        }
        ran
    };
    match under {
        Under::Nothing => true,
        Under::Valgrind => has("valgrind"),
        Under::AddressSanitizer => probe(),
    }
}

fn good(command: &mut Command) -> String {
    let done = command.output().expect("it runs");
    assert!(done.status.success(), "{command:?}: {}", text(&done));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn run_program(source: &str, under: Under) {
    if !is_had(under) {
        return;
    }
    let place = TempDir::new().expect("a directory");
    let program = place.path().join("program");
    compile("cc", "-std=c99", source, under.flags(), &program);
    let said = good(under.command(&program).arg(place.path().join("store")));
    assert!(said.contains("all right"), "{said}");
}

#[test]
fn every_function_does_what_the_header_says() {
    run_program("api.c", Under::Nothing);
}

#[test]
fn every_function_is_used_without_an_error_or_a_leak_under_valgrind() {
    run_program("api.c", Under::Valgrind);
}

#[test]
fn every_function_is_used_without_an_error_or_a_leak_with_address_sanitizer() {
    run_program("api.c", Under::AddressSanitizer);
}

#[test]
fn threads_share_stores_sources_and_artifacts_and_have_their_own_errors() {
    run_program("threads.c", Under::Nothing);
}

#[test]
fn threads_that_share_leave_no_error_and_no_leak_under_valgrind() {
    run_program("threads.c", Under::Valgrind);
}

#[test]
fn the_header_is_cpp_too_and_links() {
    if !has("c++") {
        return;
    }
    let place = TempDir::new().expect("a directory");
    for standard in ["-std=c++11", "-std=c++17"] {
        let program = place.path().join(standard);
        compile("c++", standard, "cpp.cpp", &[], &program);
        good(&mut Command::new(program));
    }
}

#[test]
fn programs_that_link_statically_need_no_shared_library() {
    let place = TempDir::new().expect("a directory");
    let program = place.path().join("program");
    let static_libs = pkg_config(&["--static", "--libs"]);
    let others = static_libs.iter().filter(|flag| flag.as_str() != "-lplugcache" && !flag.starts_with("-L"));
    let mut link = Command::new("cc");
    link.arg("-std=c99")
        .arg(root().join("tests/c/api.c"))
        .arg("-o")
        .arg(&program)
        .args(pkg_config(&["--cflags"]));
    good(link.arg(installed().join("lib/libplugcache.a")).args(others));
    assert!(good(Command::new(&program).arg(place.path().join("store"))).contains("all right"));
}

#[test]
fn the_soname_has_the_version_that_decides_compatibility() {
    let version = env!("CARGO_PKG_VERSION");
    let mut parts = version.split('.');
    let (major, minor) = (parts.next().expect("a major"), parts.next().expect("a minor"));
    let short = if major == "0" { format!("0.{minor}") } else { major.to_owned() };
    assert_eq!(pkg_config(&["--modversion"]), [version]);
    let lib = installed().join("lib");
    for name in ["libplugcache.so".to_owned(), format!("libplugcache.so.{short}")] {
        let real = fs::canonicalize(lib.join(&name)).expect("it leads somewhere");
        assert_eq!(real.file_name(), Some(OsStr::new(&format!("libplugcache.so.{version}"))), "{name}");
    }
    if has("readelf") {
        let dynamic = good(Command::new("readelf").arg("-d").arg(lib.join("libplugcache.so")));
        assert!(dynamic.contains(&format!("Library soname: [libplugcache.so.{short}]")), "{dynamic}");
    }
    // One version for both: what the library can, its C interface can.
    let workspace = fs::read_to_string(root().join("../Cargo.toml")).expect("it is there");
    assert!(workspace.contains(&format!("\nversion = \"{version}\"\n")), "the library has another version");
}

#[test]
fn only_functions_of_the_header_are_exported() {
    if !has("nm") {
        return;
    }
    let symbols =
        good(Command::new("nm").args(["-D", "--defined-only"]).arg(installed().join("lib/libplugcache.so")));
    let names: Vec<_> = symbols.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert!(names.len() > 50, "{names:?}");
    let others: Vec<_> = names.iter().filter(|name| !name.starts_with("plugcache_")).collect();
    assert!(others.is_empty(), "{others:?}");
}

/// Runs the example host twice on one store: the first run compiles each plugin, the second none.
fn host_twice(under: Under) {
    if !is_had(under) {
        return;
    }
    let place = TempDir::new().expect("a directory");
    let host = root().join("examples/host");
    for name in ["host.c", "Makefile"] {
        fs::copy(host.join(name), place.path().join(name)).expect("it can be copied");
    }
    let mut make = Command::new("make");
    make.arg("-C").arg(place.path()).env("PKG_CONFIG_PATH", installed().join("lib/pkgconfig"));
    good(make.arg("CC=cc").env("CFLAGS", under.flags().join(" ")).env("LDFLAGS", under.flags().join(" ")));
    for compilers in [plugin_count(), 0] {
        let mut run = under.command(&place.path().join("host"));
        let said = good(run.arg(plugins()).arg(place.path().join("store")));
        assert!(said.ends_with(&format!("store: {}\n", place.path().join("store").display())), "{said}");
        assert!(said.contains(&format!("\ncompilers started: {compilers}\n")), "{said}");
        assert!(said.contains("my initialiser runs"), "{said}");
    }
}

#[test]
fn the_host_in_c_compiles_the_first_time_and_never_again() {
    host_twice(Under::Nothing);
}

#[test]
fn the_host_in_c_has_no_error_and_no_leak_under_valgrind() {
    host_twice(Under::Valgrind);
}

#[test]
fn the_host_in_c_has_no_error_and_no_leak_with_address_sanitizer() {
    host_twice(Under::AddressSanitizer);
}

#[test]
fn the_makefile_of_the_host_has_ten_lines() {
    let makefile = fs::read_to_string(root().join("examples/host/Makefile")).expect("it is there");
    assert!(makefile.lines().count() <= 10, "{}", makefile.lines().count());
}

#[test]
fn the_host_in_python_needs_no_build_and_shares_the_library() {
    if !has("python3") {
        return;
    }
    let place = TempDir::new().expect("a directory");
    for compilers in [plugin_count(), 0] {
        let mut run = Command::new("python3");
        run.arg(root().join("examples/host.py")).arg(plugins()).arg(place.path().join("store"));
        let said = good(run.env("PLUGCACHE_LIBRARY", installed().join("lib/libplugcache.so")));
        assert!(said.contains(&format!("\ncompilers started: {compilers}\n")), "{said}");
        assert!(said.contains("my initialiser runs"), "{said}");
    }
}
