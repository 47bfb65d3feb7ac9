//! The memo in the store: what one process has digested no other reads again, and whatever happens to the memo, or
//! to whoever writes it, no digest is another than that of the bytes that are there.

use super::{
    ROOT, check, config, disk_with_store,
    faults::ERRNOS,
    model::{After, Model},
    open,
    turns::{Part, in_turns},
    workload::LAZY,
};
use plugcache::{
    __sim::{self, At, Disk, Failure, Fault, Process, Step, Verb, torn_lengths},
    NO_OPTIONS, SourceDigest, Sources, SourcesBuilder, Store, Toolchain,
};
use std::{path::Path, time::Duration};

/// Where the sources lie.
pub(super) const SRC: &str = "/src";
const MEMO: &str = "/home/u/store/v1/memo";
const FILES: usize = 12;

fn paths(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("{SRC}/{number:02}.c")).collect()
}

fn of(numbers: std::ops::Range<usize>) -> SourcesBuilder {
    Sources::new("memo/1", &Toolchain::none(), NO_OPTIONS).files(paths(numbers))
}

/// A store, and sources that have been left alone for an hour; nobody has digested them.
fn disk_with_sources() -> Disk {
    let disk = disk_with_store();
    disk.plant_dir(SRC);
    paths(0..FILES).iter().for_each(|path| disk.plant_file(path, path));
    rest(&disk);
    disk
}

fn rest(disk: &Disk) {
    disk.advance_clock(Duration::from_secs(3600));
}

fn store(process: &Process) -> Store {
    open(process, config(0, LAZY.durability).memo(true)).unwrap()
}

/// The digest that a new process has of all, and what it did for it.
fn digest(disk: &Disk) -> (SourceDigest, Vec<Step>) {
    let process = disk.process();
    let sources = of(0..FILES).digest_with(&store(&process)).unwrap();
    (sources.digest(), process.trace())
}

/// The digest of what is there, by reading all of it.
fn truth(disk: &Disk) -> SourceDigest {
    __sim::digest(disk.snapshot().process(), of(0..FILES)).unwrap().digest()
}

/// Somebody writes all sources anew, each as a version of this number.
pub(super) fn edit(disk: &Disk, version: u8) {
    disk.plant_dir(SRC);
    paths(0..FILES).iter().for_each(|path| disk.plant_file(path, format!("{path}, {version}")));
}

/// Other bytes in all sources, under the times that they have.
pub(super) fn rewrite(disk: &Disk, bytes: &[u8]) {
    paths(0..FILES).iter().for_each(|path| disk.damage(path, 0, bytes));
}

/// Digests all sources, if that can be done; whatever the memo says, the digest is that of what is there.
pub(super) fn digests_right(disk: &Disk, store: &Store) -> Result<bool, String> {
    let digest = |digested: Result<Sources, _>| digested.ok().map(|sources: Sources| sources.digest());
    let Some(by_memo) = digest(of(0..FILES).digest_with(store)) else { return Ok(false) };
    let read = digest(__sim::digest(disk.snapshot().process(), of(0..FILES)));
    if read == Some(by_memo) { Ok(true) } else { Err("a digest is not that of what is there".into()) }
}

/// The same for a new process, which may find a memo in whatever state.
pub(super) fn is_memo_right(disk: &Disk) -> Result<(), String> {
    let opened = open(&disk.process(), config(0, LAZY.durability).memo(true));
    digests_right(disk, &opened.map_err(|error| error.to_string())?).map(drop)
}

fn opened(trace: &[Step]) -> usize {
    let is_open = |step: &&Step| matches!(step.verb, Verb::OpenSource) && step.path.starts_with(SRC);
    trace.iter().filter(is_open).count()
}

fn is_exchange(step: &Step) -> bool {
    step.verb == Verb::Rename && step.to.as_ref().is_some_and(|to| to.ends_with("memo"))
}

/// A new process is right.
fn assert_right(disk: &Disk, what: &dyn Fn() -> String) {
    let truth = truth(disk);
    assert_eq!(digest(&disk.snapshot()).0, truth, "{}\n{}", what(), disk.story());
}

#[test]
fn what_one_process_has_read_no_other_reads_again() {
    let disk = disk_with_sources();
    let (first, trace) = digest(&disk);
    assert_eq!((first, opened(&trace)), (truth(&disk), FILES));
    let (second, trace) = digest(&disk);
    assert_eq!((second, opened(&trace)), (first, 0));
    assert!(trace.iter().all(|step| !step.verb.writes()), "nothing new is nothing to write: {trace:?}");
    disk.overwrite(&paths(0..1)[0], 0, b"another");
    let (third, trace) = digest(&disk);
    assert_eq!((third, opened(&trace)), (truth(&disk), 1));
    assert_ne!(third, first);
}

#[test]
fn a_file_touched_less_than_two_seconds_before_it_was_digested_is_read_again_by_the_next_process() {
    let disk = disk_with_sources();
    paths(0..FILES).iter().for_each(|path| disk.plant_file(path, "young"));
    disk.advance_clock(Duration::from_millis(1900));
    assert_eq!(opened(&digest(&disk).1), FILES);
    assert!(!disk.exists(MEMO));
    assert_eq!(opened(&digest(&disk).1), FILES);
    rest(&disk);
    assert_eq!(opened(&digest(&disk).1), FILES);
    assert_eq!(opened(&digest(&disk).1), 0);
}

#[test]
fn nothing_is_remembered_over_a_boot_or_without_a_boot_id() {
    let disk = disk_with_sources();
    digest(&disk);
    disk.set_boot_id(Some([9; 16]));
    assert_eq!(opened(&digest(&disk).1), FILES);
    assert_eq!(opened(&digest(&disk).1), 0);
    disk.set_boot_id(None);
    assert_eq!(opened(&digest(&disk).1), FILES);
}

#[test]
fn a_handle_without_memo_or_only_for_reading_writes_none() {
    for (is_memo, is_readonly) in [(false, false), (true, true)] {
        let disk = disk_with_sources();
        let process = disk.process();
        let config = config(0, LAZY.durability).memo(is_memo).readonly(is_readonly);
        let store = open(&process, config).unwrap();
        for _ in 0..2 {
            assert_eq!(of(0..FILES).digest_with(&store).unwrap().digest(), truth(&disk));
        }
        assert!(!disk.exists(MEMO));
        assert!(process.trace().iter().all(|step| !step.verb.writes()));
        let expected = if is_memo { FILES } else { 2 * FILES };
        assert_eq!(opened(&process.trace()), expected);
    }
    let disk = disk_with_sources();
    digest(&disk);
    let readonly = open(&disk.process(), config(0, LAZY.durability).memo(true).readonly(true)).unwrap();
    disk.set_read_only(true);
    let process = disk.process();
    drop(readonly);
    let readonly = open(&process, config(0, LAZY.durability).memo(true).readonly(true)).unwrap();
    assert_eq!(of(0..FILES).digest_with(&readonly).unwrap().digest(), truth(&disk));
    assert_eq!(opened(&process.trace()), 0, "a read-only handle believes what others wrote");
}

#[test]
fn killed_torn_or_cut_while_the_memo_is_exchanged_no_digest_is_wrong() {
    let start = disk_with_sources();
    start.settle();
    digest(&start);
    // Known by the memo that is there; what is new is not on the medium yet.
    paths(0..6).iter().for_each(|path| start.plant_file(path, "edited"));
    rest(&start);
    let disk = start.snapshot();
    disk.record();
    let (_, trace) = digest(&disk);
    assert!(trace.iter().any(is_exchange), "{trace:?}");
    let (mut cuts, moments) = (0, disk.recorded());
    for moment in &moments {
        let what = || format!("killed after {}", moment.step);
        assert_right(&moment.disk, &what);
        check::check(&moment.disk.snapshot(), &Model::default(), After::Kill).unwrap();
        for cut in moment.disk.power_cuts(100) {
            assert_right(&cut, &|| format!("cut after {}", moment.step));
            cuts += 1;
        }
    }
    for (at, step) in (1..).zip(&trace).filter(|(_, step)| step.verb == Verb::Write) {
        for keep in torn_lengths(step.bytes) {
            let disk = start.snapshot();
            let process = disk.process();
            process.tear(at, keep);
            drop(of(0..FILES).digest_with(&store(&process)));
            assert_right(&disk, &|| format!("{keep} bytes of {step}"));
        }
    }
    // Create, mode, write, unlink, rename.
    assert!(moments.len() >= 5 && cuts > 350, "{} moments, {cuts} cuts", moments.len());
}

#[test]
fn any_call_that_fails_while_the_memo_is_read_or_written_costs_no_more_than_reading() {
    let start = disk_with_sources();
    paths(0..6).iter().for_each(|path| start.plant_file(path, "edited"));
    rest(&start);
    let (_, trace) = digest(&start.snapshot());
    let failures = ERRNOS.map(|(_, number)| Failure::Errno(number));
    for (at, step) in (1..).zip(&trace).filter(|(_, step)| step.path.starts_with(ROOT)) {
        for failure in failures.into_iter().chain([Failure::ShortWrite(100), Failure::ShortRead(100)]) {
            let fits = match failure {
                Failure::Errno(_) => !matches!(step.verb, Verb::Close | Verb::Pause),
                Failure::ShortWrite(_) => step.verb == Verb::Write,
                Failure::ShortRead(_) => step.verb == Verb::ReadAt,
            };
            if !fits {
                continue;
            }
            let disk = start.snapshot();
            let process = disk.process();
            process.fail(Fault { at: At::Verb(at), failure });
            let config = config(0, LAZY.durability).memo(true);
            if let Ok(store) = open(&process, config) {
                let sources = of(0..FILES).digest_with(&store).unwrap();
                assert_eq!(sources.digest(), truth(&disk), "{failure:?} at {step}");
            }
            assert_right(&disk, &|| format!("after {failure:?} at {step}"));
            check::canaries(&disk).unwrap();
        }
    }
}

#[test]
fn of_two_that_exchange_the_memo_at_once_neither_makes_a_digest_wrong() {
    let start = disk_with_sources();
    let half = |numbers: std::ops::Range<usize>| -> Part<'static> {
        Box::new(move |process: &Process| drop(of(numbers.clone()).digest_with(&store(process)).unwrap()))
    };
    let mut fewest = FILES;
    for steps in 1..120 {
        let disk = start.snapshot();
        in_turns(
            &disk,
            vec![half(0..6), half(6..FILES)],
            &[(0, &|process| process.steps() >= steps), (1, &|_| false), (0, &|_| false)],
        );
        let (digest, trace) = digest(&disk);
        assert_eq!(digest, truth(&disk), "the first was stopped after {steps}");
        fewest = fewest.min(opened(&trace));
        assert!(opened(&trace) <= 6, "one of them has written what it learned");
    }
    assert_eq!(fewest, 0, "who comes later keeps what the other wrote");
}

#[test]
fn no_damage_to_the_memo_makes_a_digest_wrong() {
    let disk = disk_with_sources();
    let (right, _) = digest(&disk);
    let bytes = disk.read_file(MEMO).unwrap();
    for at in (0..bytes.len()).step_by(5) {
        let damaged = disk.snapshot();
        damaged.overwrite(MEMO, at, [!bytes[at]]);
        assert_eq!(digest(&damaged).0, right, "byte {at}");
        let cut = disk.snapshot();
        cut.truncate(MEMO, at);
        assert_eq!(digest(&cut).0, right, "cut at {at}");
    }
}

#[test]
fn what_else_has_the_name_of_the_memo_is_no_memo() {
    let plants: [&dyn Fn(&Disk); 4] = [
        &|disk| disk.plant_dir(MEMO),
        &|disk| disk.plant_fifo(MEMO),
        &|disk| disk.plant_symlink(MEMO, "/home/u/canary"),
        &|disk| disk.plant_file(MEMO, [7; 5000]),
    ];
    for plant in plants {
        let disk = disk_with_sources();
        plant(&disk);
        for _ in 0..2 {
            assert_eq!(digest(&disk).0, truth(&disk));
        }
        check::canaries(&disk).unwrap();
    }
}

#[test]
fn a_handle_that_learns_a_little_at_a_time_writes_seldom() {
    let disk = disk_with_store();
    let file = |number: usize| format!("{SRC}/plugin-{number}/a.c");
    for number in 0..300 {
        disk.plant_dir(Path::new(&file(number)).parent().unwrap());
        disk.plant_file(file(number), "x");
    }
    rest(&disk);
    let process = disk.process();
    let store = store(&process);
    for number in 0..300 {
        Sources::new("memo/1", &Toolchain::none(), NO_OPTIONS)
            .file(file(number))
            .digest_with(&store)
            .unwrap();
    }
    let exchanges = process.trace().iter().filter(|step| is_exchange(step)).count();
    assert!((1..=6).contains(&exchanges), "{exchanges}");
}

#[test]
fn a_tool_that_is_unchanged_is_not_read_by_the_next_process() {
    let disk = disk_with_store();
    disk.plant_dir(SRC);
    let images = ["true", "false", "env"].map(|name| {
        let path = format!("{SRC}/{name}");
        disk.plant_file(&path, std::fs::read(Path::new("/usr/bin").join(name)).unwrap());
        disk.chmod(&path, 0o755);
        path
    });
    // An image without a build id, identified by its content.
    let bare = format!("{SRC}/bare");
    disk.plant_file(&bare, [&b"\x7fELF and nothing that is understood"[..], &[0; 200_000]].concat());
    disk.chmod(&bare, 0o755);
    rest(&disk);
    let identify = |disk: &Disk| {
        let process = disk.process();
        let store = store(&process);
        let of = |path: &String| Toolchain::of_program_with(path, &store).unwrap();
        let tools: Vec<Toolchain> = images.iter().chain([&bare]).map(of).collect();
        (tools, opened(&process.trace()))
    };
    let (first, read) = identify(&disk);
    assert!(read >= 4);
    assert!(first[3].files().all(|(_, identity)| identity.starts_with("blake3:")), "{first:?}");
    // The first has written what it learned of three, and so little more did not pay.
    assert_eq!(identify(&disk).0, first);
    assert_eq!(identify(&disk), (first.clone(), 0));
    // As a source it is something else than as a tool.
    let as_source = Toolchain::of_files_with("my", [&images[0]], &store(&disk.process())).unwrap();
    assert!(as_source.files().all(|(_, identity)| identity.starts_with("blake3:")), "{as_source:?}");
    disk.plant_file(&images[0], std::fs::read("/usr/bin/env").unwrap());
    disk.chmod(&images[0], 0o755);
    let (changed, read) = identify(&disk);
    assert!(changed[0] != first[0] && changed[1..] == first[1..] && read > 0);
}
