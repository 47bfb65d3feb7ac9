//! Target over the memo of unchanged files.

use super::world::{ROOT, V1, assert_canaries, base};
use plugcache::{
    __sim::{self, Disk},
    Config, Exec, NO_OPTIONS, Sources, SourcesBuilder, Store, Toolchain,
};
use std::{sync::LazyLock, time::Duration};

const FILES: u8 = 5;

fn sources() -> SourcesBuilder {
    let paths = (0..FILES).map(|number| format!("/src/{number}"));
    Sources::new("fuzz/1", &Toolchain::none(), NO_OPTIONS).files(paths)
}

fn store(disk: &Disk) -> Store {
    let config = Config::builder(ROOT).exec(Exec::Independent).build();
    __sim::open(disk.process(), config).expect("the memo keeps no store from opening")
}

/// A store whose memo knows all files, and what they are.
static KNOWN: LazyLock<(Disk, Sources)> = LazyLock::new(|| {
    let disk = base();
    disk.plant_dir("/src");
    (0..FILES).for_each(|number| disk.plant_file(format!("/src/{number}"), [number; 40]));
    disk.advance_clock(Duration::from_secs(60));
    let sources = sources().digest_with(&store(&disk)).expect("the files are there");
    (disk, sources)
});

/// Whatever the memo holds, a digest is that of the bytes that are there, and the memo is replaced by a right one.
///
/// Input: 0 and a whole memo; or else edits of a right one, each a place (two bytes, little-endian) and a byte.
pub fn memo(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    let (disk, right) = (KNOWN.0.snapshot(), &KNOWN.1);
    let path = format!("{V1}/memo");
    let bytes = disk.read_file(&path).expect("the memo was written");
    if kind == 0 {
        disk.plant_file(&path, rest);
    } else {
        for [low, high, byte] in rest.as_chunks().0 {
            let at = usize::from(u16::from_le_bytes([*low, *high])) % bytes.len();
            disk.overwrite(&path, at, [*byte]);
        }
    }
    for _ in 0..2 {
        assert_eq!(&sources().digest_with(&store(&disk)).expect("the files are there"), right);
    }
    assert_canaries(&disk);
}
