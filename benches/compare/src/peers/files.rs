//! Plain files named by key: what most hosts write themselves.

use super::{Key, Peer};
use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

struct Files {
    dir: PathBuf,
    path: PathBuf,
}

/// Makes the directories that keys are spread over. A process that comes to a store which is there looks for the last
/// one only.
pub fn make_shards(dir: &Path) {
    if !dir.join("ff").exists() {
        (0..=255).for_each(|shard| fs::create_dir_all(dir.join(format!("{shard:02x}"))).unwrap());
    }
}

pub fn open(dir: &Path) -> Box<dyn Peer> {
    make_shards(dir);
    Box::new(Files { dir: dir.to_owned(), path: PathBuf::new() })
}

/// Written under a name that no other process or thread chooses, then renamed.
pub fn write_aside(path: &Path, bytes: &[u8]) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let aside = path.with_extension(format!("{}-{number}", std::process::id()));
    fs::write(&aside, bytes).unwrap();
    fs::rename(&aside, path).unwrap();
}

impl Peer for Files {
    fn put(&mut self, key: &Key, bytes: Vec<u8>) {
        write_aside(&self.dir.join(key.path()), &bytes);
    }

    fn get(&mut self, key: &Key, bytes: &mut Vec<u8>) -> bool {
        self.path.clone_from(&self.dir);
        self.path.push(key.path());
        bytes.clear();
        fs::File::open(&self.path).is_ok_and(|mut file| file.read_to_end(bytes).is_ok())
    }

    fn has(&mut self, key: &Key) -> bool {
        self.dir.join(key.path()).exists()
    }
}
