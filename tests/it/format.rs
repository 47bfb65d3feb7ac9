//! docs/format.md against the bytes: its worked example, decoded by a reader that was written from it alone,
//! and the golden store, read by that reader and by the library.

pub(crate) mod reader;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use plugcache::{Added, Config, Exec, How, Outputs, Sources, Store, Toolchain};
use reader::{Frame, Record, Segment, frame_at, frames_of_log, record_of};
use xxhash_rust::xxh3::xxh3_128;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn document() -> PathBuf {
    root().join("docs/format.md")
}

/// The text between two marks of the document, without its fences.
fn marked(document: &str, mark: &str) -> String {
    let (from, to) = (format!("<!-- {mark} -->\n```text\n"), format!("```\n<!-- end of {mark} -->"));
    let start = document.find(&from).unwrap_or_else(|| panic!("no {from}")) + from.len();
    let end = start + document[start..].find(&to).unwrap_or_else(|| panic!("no {to}"));
    document[start..end].to_owned()
}

/// The document with another text between two marks.
pub(crate) fn with_marked(document: &str, mark: &str, text: &str) -> String {
    let old = marked(document, mark);
    let from = format!("<!-- {mark} -->\n```text\n");
    document.replace(&format!("{from}{old}"), &format!("{from}{text}"))
}

/// As `hexdump -C` prints: a row that equals the one before it is left out, with one `*` for all of them.
pub(crate) fn hexdump(bytes: &[u8]) -> String {
    let mut dump = String::new();
    let mut before: Option<&[u8]> = None;
    let mut starred = false;
    for (number, row) in bytes.chunks(16).enumerate() {
        if before == Some(row) {
            dump.push_str(if starred { "" } else { "*\n" });
            starred = true;
            continue;
        }
        (before, starred) = (Some(row), false);
        write!(dump, "{:08x} ", number * 16).unwrap();
        for (column, byte) in row.iter().enumerate() {
            write!(dump, "{}{byte:02x}", if column == 8 { "  " } else { " " }).unwrap();
        }
        let shown =
            row.iter().map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { *byte } else { b'.' });
        writeln!(dump, "  |{}|", String::from_utf8(shown.collect()).unwrap()).unwrap();
    }
    writeln!(dump, "{:08x}", bytes.len()).unwrap();
    dump
}

/// The inverse of [`hexdump`].
fn bytes_of(dump: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    for line in dump.lines().filter(|line| *line != "*") {
        let (offset, rest) = line.split_at(8);
        let offset = usize::from_str_radix(offset, 16).unwrap();
        while bytes.len() < offset {
            bytes.extend_from_within(bytes.len() - 16..);
        }
        let digits = rest.split('|').next().unwrap().split_whitespace();
        bytes.extend(digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()));
    }
    bytes
}

/// The worked log and segment of the document.
fn worked() -> (String, Vec<u8>, Vec<u8>) {
    let text = fs::read_to_string(document()).unwrap();
    let (log, segment) = (bytes_of(&marked(&text, "log dump")), bytes_of(&marked(&text, "segment dump")));
    (text, log, segment)
}

fn with_header(bytes: &[u8], rest: Vec<Frame>) -> Vec<Frame> {
    [vec![frame_at(bytes, 0, 0).unwrap()], rest].concat()
}

/// What the document says of the worked log.
pub(crate) fn listing_of_log(bytes: &[u8]) -> String {
    reader::listing(&with_header(bytes, frames_of_log(bytes).0), record_of)
}

/// What the document says of the worked segment.
pub(crate) fn listing_of_segment(bytes: &[u8]) -> String {
    let segment = Segment::open(bytes, 1, 1).unwrap();
    let mut text = reader::listing(&with_header(bytes, Vec::new()), record_of);
    text += &reader::listing(&segment.frames(), |frame| segment.record_of(frame));
    for (number, (tag, frame)) in segment.index().enumerate().filter(|(_, slot)| slot.1 != 0) {
        let at = segment.index_at() + 8 * number;
        writeln!(text, "{at:>6} {:>5}  index slot {number:<11} tag 0x{tag:08x}, frame {frame}", 8).unwrap();
    }
    text + &reader::listing(std::slice::from_ref(&segment.footer_frame), record_of)
}

fn records(frames: &[Frame]) -> Vec<Record> {
    frames.iter().map(|frame| record_of(frame).unwrap().0).collect()
}

/// BLAKE3 in its key derivation mode over pieces.
fn derive(purpose: &str, pieces: &[&[u8]]) -> [u8; 32] {
    blake3::derive_key(purpose, &pieces.concat())
}

fn text(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u64).to_le_bytes()[..], bytes].concat()
}

#[test]
fn the_worked_log_decodes_to_what_the_document_says() {
    let (document, log, _) = worked();
    assert_eq!(marked(&document, "log listing"), listing_of_log(&log));
    let (frames, sealed) = frames_of_log(&log);
    assert!(sealed);
    let records = records(&frames);
    let [
        Record::Put(greet),
        Record::Put(other),
        Record::Count { upto: 0, counts: first, .. },
        Record::Touch(touch),
        Record::Drop { put_id, key, reason: 0, .. },
        Record::Count { upto: 0, counts, dropped, .. },
        Record::Seal,
    ] = &records[..]
    else {
        panic!("{records:?}");
    };
    assert_eq!((&key.0[..], &key.1[..]), (&other.source[..16], &other.exec[..8]));
    // Two adds; then a hit, of what took no time to build.
    assert_eq!((&first[..], &counts[..], &dropped[..]), (&[(2, 2)][..], &[(0, 1)][..], &[][..]));
    assert_eq!((greet.label.as_str(), other.label.as_str()), ("greet.c", "other.c"));
    assert_eq!((touch.put_id, *put_id), (greet.put_id, other.put_id));
    assert_eq!(greet.outputs[0].object, *blake3::hash(b"HELLO").as_bytes());
}

#[test]
fn the_worked_segment_decodes_to_what_the_document_says() {
    let (document, log, bytes) = worked();
    assert_eq!(marked(&document, "segment listing"), listing_of_segment(&bytes));
    let segment = Segment::open(&bytes, 1, 1).unwrap();
    assert!(segment.sums_are_right());
    let Record::Put(greet) = &records(&frames_of_log(&log).0)[0] else { panic!("no PUT") };
    let Record::Touch(touch) = &records(&frames_of_log(&log).0)[3] else { panic!("no TOUCH") };
    let found = segment.probe(&greet.source);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].put_id, found[0].order), (greet.put_id, 1));
    assert_eq!(found[0].outputs[0].stamp, touch.stamps[0]);
    assert_eq!(segment.probe(&[0; 32]), []);
}

#[test]
fn the_hashes_of_the_worked_entry_are_made_as_the_document_says() {
    let (_, log, _) = worked();
    let Record::Put(greet) = &records(&frames_of_log(&log).0)[0] else { panic!("no PUT") };
    let hash = |bytes: &[u8]| blake3::hash(bytes).as_bytes().to_vec();
    let u64_of = |number: u64| number.to_le_bytes().to_vec();
    let source = [
        text(b"example/1"),
        u64_of(3),
        [vec![0], text(b"cc"), hash(b"example compiler 1")].concat(),
        [vec![1], text(b""), hash(b"-O2")].concat(),
        [vec![2], text(b"motd"), hash(b"secret")].concat(),
        u64_of(1),
        [text(b"greet.c"), hash(b"hello")].concat(),
    ];
    assert_eq!(greet.source, derive("plugcache 2026-11-23 source digest v1", &[&source.concat()]));
    assert_eq!(greet.exec, derive("plugcache 2026-11-23 exec id v1", &[&[3], &text(b"")]));
    let list = derive("plugcache 2026-11-23 list for retention v1", &[&text(b"greet.c")]);
    let list = u64::from_le_bytes(list[..8].try_into().unwrap());
    assert_eq!((greet.paths, greet.names), (list, list));
    assert_eq!(greet.discovered_id, [0; 16]);
}

fn open(dir: &Path) -> Store {
    let exec = Exec::Given(b"host".to_vec());
    Store::open(Config::builder(dir).exec(exec).boot_id([0x42; 16]).build()).unwrap()
}

fn sources(number: usize, options: &[String]) -> Sources {
    let tool = Toolchain::of_value("tool", "1");
    Sources::new("format/1", &tool, options).bytes("source", number.to_string()).digest().unwrap()
}

#[test]
fn stamp_exec_id_and_lock_file_are_made_as_the_document_says() {
    let temp = tempfile::tempdir().unwrap();
    let v1 = temp.path().join("v1");
    let (store, sources) = (open(temp.path()), sources(0, &[]));
    let exec = derive("plugcache 2026-11-23 exec id v1", &[&[2], &text(b"host")]);
    let key = derive("plugcache 2026-11-23 build in progress v1", &[sources.digest().as_bytes(), &exec]);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let built = store.get_or_build(&sources, |build| {
        assert!(v1.join("inflight").join(hex(&key)).exists());
        build.write("out", "artifact")
    });
    assert_eq!(built.unwrap().how, How::Built);
    let put = &reader::entries_of(&v1)[0];
    assert_eq!((put.source, put.exec), (*sources.digest().as_bytes(), exec));
    let object = hex(&put.outputs[0].object);
    let stat = fs::metadata(v1.join("objects").join(&object[..2]).join(&object[2..])).unwrap();
    assert_eq!((stat.mtime(), stat.mtime_nsec(), stat.mode() & 0o777), (1, 0, 0o444));
    let time = |sec: i64, nsec: i64| [&sec.to_le_bytes()[..], &(nsec as u32).to_le_bytes()].concat();
    let stamped = [
        vec![0x42; 16],
        [stat.dev(), stat.ino(), stat.len()].map(u64::to_le_bytes).concat(),
        time(1, 0),
        time(stat.ctime(), stat.ctime_nsec()),
    ];
    assert_eq!(stamped.concat().len(), 64);
    assert_eq!(put.outputs[0].stamp, xxh3_128(&stamped.concat()).to_le_bytes());
}

#[test]
fn the_reader_of_the_document_finds_in_a_segment_of_hundreds_and_in_the_log_what_the_library_put() {
    let temp = tempfile::tempdir().unwrap();
    let store = open(temp.path());
    for number in 0..300 {
        if number == 250 {
            assert!(plugcache::__sim::compact(&store));
        }
        let added = store.add(&sources(number, &[]), Outputs::bytes("out", number.to_string()));
        assert_eq!(added.unwrap(), Added::Stored);
    }
    let digests: Vec<_> = (0..300).map(|number| *sources(number, &[]).digest().as_bytes()).collect();
    let found: Vec<_> = reader::entries_of(&temp.path().join("v1")).iter().map(|put| put.source).collect();
    assert_eq!(found, digests);
    let bytes = fs::read(temp.path().join("v1/seg.1-1")).unwrap();
    let segment = Segment::open(&bytes, 1, 1).unwrap();
    assert_eq!((segment.footer.entries, segment.footer.index_slots), (250, 358));
    for digest in &digests[..250] {
        assert_eq!(segment.probe(digest).len(), 1);
    }
    for digest in &digests[250..] {
        assert_eq!(segment.probe(digest), []);
    }
    let puts = segment.puts();
    assert!(puts.is_sorted_by_key(|put| (put.day, put.order)));
    let orders: std::collections::BTreeSet<_> = puts.iter().map(|put| put.order).collect();
    assert!(orders.into_iter().eq(1..=250));
}

#[test]
fn details_too_long_for_a_frame_are_an_object_of_their_own_and_a_rejection_says_why() {
    let temp = tempfile::tempdir().unwrap();
    let (store, v1) = (open(temp.path()), temp.path().join("v1"));
    let options: Vec<String> = (0..300).map(|number| format!("-D{number}={}", "x".repeat(240))).collect();
    let sources = sources(0, &options);
    assert_eq!(store.add(&sources, Outputs::bytes("out", "artifact")).unwrap(), Added::Stored);
    let put = &reader::entries_of(&v1)[0];
    let (last, object) = (&put.outputs[1], blake3::Hash::from_bytes(put.outputs[1].object).to_hex());
    assert_eq!((put.details.as_ref(), last.name.as_slice()), (None, &b"\0details"[..]));
    let bytes = fs::read(v1.join("objects").join(&object[..2]).join(&object[2..])).unwrap();
    let details = reader::details_of(&bytes).unwrap();
    assert_eq!((details.fields.len(), details.parts.len(), bytes.len() as u64), (301, 1, last.len));
    let artifact = store.find(&sources).unwrap();
    assert_eq!(artifact.outputs().len(), 1);
    assert!(store.reject(&artifact, "it does not load"));
    let (frames, _) = frames_of_log(&fs::read(v1.join("log.1")).unwrap());
    let why = Some("it does not load".to_owned());
    let Some(Record::Drop { put_id, key, when, reason: 1, why: told }) = records(&frames).pop() else {
        panic!()
    };
    let mut starts = ([0; 16], [0; 8]);
    starts.0.copy_from_slice(&put.source[..16]);
    starts.1.copy_from_slice(&put.exec[..8]);
    assert_eq!((put_id, key, told), (put.put_id, starts, why));
    assert!(when >= put.made_ms / 1000 * 1000, "{when}");
}

#[test]
fn a_dump_reads_back_the_bytes_it_shows() {
    let bytes: Vec<u8> = (0..640).map(|i: usize| if i / 64 == 3 { 0 } else { (i * 7) as u8 }).collect();
    assert_eq!(bytes_of(&hexdump(&bytes)), bytes);
}

#[test]
fn every_purpose_of_the_code_and_every_limit_of_the_document_is_in_the_other() {
    let document = fs::read_to_string(document()).unwrap();
    let mut files = BTreeMap::new();
    sources_below(&root().join("src"), &mut files);
    let mut missing = Vec::new();
    for source in files.values() {
        for (start, _) in source.match_indices("\"plugcache 2026-11-23 ") {
            let purpose = source[start + 1..].split('"').next().unwrap();
            if !document.contains(purpose) {
                missing.push(purpose.to_owned());
            }
        }
    }
    let constants: Vec<&str> = files.values().flat_map(|source| source.lines()).collect();
    let limits = document.split("\n## Limits\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = limits.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut count = 0;
    for row in rows {
        let cells: Vec<&str> = row.split("` | ").collect();
        let [name, value, _] = cells[..] else { panic!("{row}") };
        let is_it = |line: &&str| {
            line.contains(&format!("const {name}: ")) && line.ends_with(&format!(" = {};", &value[1..]))
        };
        if !constants.iter().any(is_it) {
            missing.push(format!("const {name} = {value}"));
        }
        count += 1;
    }
    assert!(count >= 16 && missing.is_empty(), "{count} limits, {missing:#?}");
}

fn sources_below(dir: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources_below(&path, files);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            files.insert(path, text);
        }
    }
}

/// R12a: what all COUNT frames of the logs say together.
fn counted(v1: &Path) -> BTreeMap<u8, u64> {
    let names = fs::read_dir(v1).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut logs: Vec<u64> = names.filter_map(|name| name.strip_prefix("log.")?.parse().ok()).collect();
    logs.sort_unstable();
    let mut sums: BTreeMap<u64, BTreeMap<u8, u64>> = BTreeMap::new();
    for log in logs {
        let (frames, _) = frames_of_log(&fs::read(v1.join(format!("log.{log}"))).unwrap());
        for record in records(&frames) {
            let Record::Count { upto, counts, .. } = record else { continue };
            let place = if upto == 0 { log } else { upto };
            if upto > 0 && upto < log {
                sums.retain(|stands_for, _| *stands_for > upto);
            }
            let sum = sums.entry(place).or_default();
            counts.into_iter().for_each(|(what, number)| *sum.entry(what).or_default() += number);
        }
    }
    let mut all = BTreeMap::new();
    for (what, number) in sums.into_values().flatten() {
        *all.entry(what).or_default() += number;
    }
    all
}

#[test]
fn the_reader_of_the_document_counts_what_the_library_counts_before_and_after_compactions() {
    let place = tempfile::tempdir().unwrap();
    let open = || Store::open(Config::builder(place.path()).exec(Exec::Independent).build()).unwrap();
    for round in 1..5 {
        let store = open();
        assert_eq!(store.add(&sources(round, &[]), Outputs::bytes("out", "x")).unwrap(), Added::Stored);
        assert!(store.find(&sources(round, &[])).is_some() && store.find(&sources(99, &[])).is_none());
        if round > 2 {
            assert!(plugcache::__sim::compact(&store));
        }
        drop(store);
        let stats = open().stats().store;
        let (rounds, counts) = (round as u64, counted(&place.path().join("v1")));
        assert_eq!(counts, [(0, rounds), (2, rounds), (3, rounds)].into());
        assert_eq!((stats.hits, stats.adds, stats.misses.never_seen), (rounds, rounds, rounds));
    }
}
