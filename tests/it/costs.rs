//! What an operation costs, in system calls and in instructions: numbers that no other work on the machine moves.
//!
//! Each is the difference of two runs of `examples/costs.rs`, divided by how many operations the longer one makes
//! more. More than is pinned here, with a margin, is a failure; less is printed, and the pins should follow.
//! docs/performance.md shows the same table.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The operation of `examples/costs.rs`, what people call it, system calls, instructions.
struct Pin(&'static str, &'static str, u64, u64);

/// Instructions as callgrind counts them. Valgrind 3.19 has no `openat2`, so each opening below a directory is
/// counted with the walk of three `openat` that takes its place.
const PINS: [Pin; 12] = [
    Pin("lookup", "lookup", 0, 300),
    Pin("hit", "find, and drop the artifact", 5, 4_660),
    Pin("held", "find of an artifact that is held, and drop", 2, 1_880),
    Pin("read", "find, read_into 4 KiB, and drop", 6, 4_770),
    Pin("packed", "find of a packed output of 256 bytes, and drop", 1, 2_850),
    Pin("miss", "find, miss", 2, 1_020),
    Pin("open", "open, find, and drop both; 100 entries", 33, 62_300),
    Pin("open-log", "open, find, and drop both; 100 entries, all in the log", 29, 344_000),
    Pin("add", "add of 4 KiB", 19, 63_900),
    Pin("add-packed", "add of a packed output of 256 bytes", 6, 37_500),
    Pin("digest", "digest of 100 unchanged files", 108, 252_000),
    Pin("digest-fresh", "open, digest of 100 unchanged files, and drop both", 136, 305_000),
];

/// Compilers and allocators differ by so much.
const MARGIN_PERCENT: u64 = 5;
/// The counts of the two runs; in neither does the log grow so long that it is compacted.
const RUNS: [u64; 2] = [30, 110];

fn table() -> String {
    let mut table = String::from("| operation | system calls | instructions |\n|---|---|---|\n");
    for Pin(_, name, calls, instructions) in PINS {
        writeln!(table, "| {name} | {calls} | {} |", with_commas(instructions)).unwrap();
    }
    table
}

fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The example as users build it. The directory is that of this test binary, so that nothing is built twice.
fn costs() -> PathBuf {
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--example", "costs", "--target-dir"])
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success());
    target.join("release/examples/costs")
}

/// Whether a tool is there and may do its work; says so if not.
fn works(tool: &str) -> bool {
    let done = Command::new(tool).arg("true").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let works = done.is_ok_and(|status| status.success());
    if !works {
        println!("skipped: {tool} is missing or may not trace");
    }
    works
}

/// The difference per operation of what `count` makes of two runs.
fn per_operation(operation: &str, count: impl Fn(&Path, u64) -> u64) -> u64 {
    // Not deeper for one user than for another: opening looks at every directory on the way.
    let temp = tempfile::tempdir_in("/tmp").unwrap();
    let [few, many] = RUNS.map(|runs| count(&temp.path().join(format!("{operation}-{runs:03}")), runs));
    (many - few + (RUNS[1] - RUNS[0]) / 2) / (RUNS[1] - RUNS[0])
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn system_calls(costs: &Path, operation: &str) -> u64 {
    per_operation(operation, |dir, runs| {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-c", "-U", "calls,name"]).arg(costs).arg(operation);
        let output = run(command.arg(runs.to_string()).arg(dir));
        let text = String::from_utf8(output.stderr).unwrap();
        let total = text.lines().find_map(|line| line.trim().strip_suffix(" total"));
        total.unwrap_or_else(|| panic!("no total: {text}")).trim().parse().unwrap()
    })
}

fn instructions(costs: &Path, operation: &str) -> u64 {
    per_operation(operation, |dir, runs| {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(costs).arg(operation);
        let output = run(command.arg(runs.to_string()).arg(dir));
        let text = String::from_utf8(output.stderr).unwrap();
        let collected = text.lines().find_map(|line| line.split_once("Collected :"));
        let (_, count) = collected.unwrap_or_else(|| panic!("no count: {text}"));
        count.trim().parse().unwrap()
    })
}

/// Prints each count beside its pin; `most` is what a pin allows.
fn compare(what: &str, most: impl Fn(&Pin) -> (u64, u64), count: impl Fn(&str) -> u64) {
    let mut over = Vec::new();
    for pin in &PINS {
        let (pinned, most) = most(pin);
        let counted = count(pin.0);
        let line = format!("{}: {counted} {what}, pinned {pinned}", pin.1);
        println!("{line}");
        if counted > most {
            over.push(line);
        }
    }
    assert!(over.is_empty(), "dearer than they were:\n{}", over.join("\n"));
}

#[test]
fn no_operation_makes_more_system_calls_than_are_pinned() {
    if works("strace") {
        let costs = costs();
        compare("system calls", |pin| (pin.2, pin.2), |operation| system_calls(&costs, operation));
    }
}

#[test]
fn no_operation_takes_more_instructions_than_are_pinned() {
    if works("valgrind") {
        let costs = costs();
        let most = |pin: &Pin| (pin.3, pin.3 + pin.3 * MARGIN_PERCENT / 100);
        compare("instructions", most, |operation| instructions(&costs, operation));
    }
}

/// Recipes of three sources in one directory, each content another, one option of each entry's own: versions of ten
/// plugins. (If no two entries had a name in common it would be some 30 bytes more.)
#[test]
fn an_entry_takes_at_most_300_bytes_of_a_segment_beside_its_objects() {
    use plugcache::{Added, Config, Exec, Outputs, Sources, Store, Toolchain};
    const ENTRIES: usize = 500;
    let temp = tempfile::tempdir().unwrap();
    let plugins = temp.path().join("a directory of plugins");
    fs::create_dir(&plugins).unwrap();
    let store = temp.path().join("store");
    let store = Store::open(Config::builder(&store).exec(Exec::Given(b"host".to_vec())).build()).unwrap();
    for number in 0..ENTRIES {
        let paths =
            ["source", "header", "other"].map(|name| plugins.join(format!("{name}-{}.c", number % 10)));
        paths.iter().for_each(|path| fs::write(path, number.to_string()).unwrap());
        let options = ["-O2", "-fPIC", "-shared", &format!("-DNUMBER={number}")].map(str::to_owned);
        let key = Sources::new("host/1", &Toolchain::of_value("cc", "compiler 1"), options).files(&paths);
        let added = store.add(&key.digest().unwrap(), Outputs::bytes("plugin.so", number.to_le_bytes()));
        assert_eq!(added.unwrap(), Added::Stored);
    }
    let sizes = |prefix: &str| {
        let files = fs::read_dir(temp.path().join("store/v1")).unwrap().map(|entry| entry.unwrap());
        let files = files.filter(|file| file.file_name().to_str().unwrap().starts_with(prefix));
        files.map(|file| file.metadata().unwrap().len() as usize).sum::<usize>() / ENTRIES
    };
    let in_log = sizes("log.");
    assert!(plugcache::__sim::compact(&store));
    let in_segment = sizes("seg.");
    println!("{in_log} bytes in the log, {in_segment} in a segment");
    assert!(in_segment <= 300 && in_log <= 512, "{in_log} in the log, {in_segment} in a segment");
}

#[test]
fn the_page_on_performance_shows_the_pinned_counts() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
    let page = fs::read_to_string(path).unwrap();
    assert!(page.contains(&table()), "docs/performance.md should show\n{}", table());
}
