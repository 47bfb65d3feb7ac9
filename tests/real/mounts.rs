//! File systems of our own: images and memory, mounted for one test, gone with it.
//!
//! `main` has put this process into a mount namespace of its own, so that nothing stays mounted and no loop
//! device attached even if it is killed.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use crate::{
    bed,
    harness::{self, Skipped},
};

/// Says that this process is inside its own mount namespace.
const INSIDE: &str = "PLUGCACHE_REAL_INSIDE";

/// Starts this process again where its mounts are nobody else's, if it may.
pub(crate) fn enter_namespace() {
    if env::var_os(INSIDE).is_some() || harness::need_root().is_err() {
        return;
    }
    let mut again = Command::new("unshare");
    again.args(["--mount", "--propagation", "private", "--"]).arg(env::current_exe().unwrap());
    // Returns only where there is no such program: then the guards must do.
    let _ = again.args(env::args_os().skip(1)).env(INSIDE, "1").exec();
}

fn run(program: &str, args: &[&OsStr]) -> Result<(), Skipped> {
    let why = |text: String| Skipped(format!("{program} {args:?}: {}", text.trim()));
    let output = Command::new(program).args(args).output().map_err(|error| why(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(why(text)) }
}

/// A file system in a file.
pub(crate) struct Image {
    temp: tempfile::TempDir,
    kind: &'static str,
    pub(crate) options: String,
}

impl Image {
    pub(crate) fn new(kind: &'static str, bytes: u64, mkfs: &[&str]) -> Result<Image, Skipped> {
        harness::need_root()?;
        let program = format!("mkfs.{kind}");
        harness::need(&[&program, "mount", "umount"])?;
        let temp = bed::temp();
        let path = temp.path().join("image");
        File::create(&path).unwrap().set_len(bytes).unwrap();
        fs::create_dir(temp.path().join("at")).unwrap();
        let args: Vec<&OsStr> = ["-q"].iter().chain(mkfs).map(OsStr::new).chain([path.as_os_str()]).collect();
        run(&program, &args)?;
        Ok(Image { temp, kind, options: "loop".into() })
    }

    pub(crate) fn mount(&self) -> Result<Mount, Skipped> {
        Mount::new(self.kind, &self.options, self.temp.path().join("image"), &self.temp.path().join("at"))
    }
}

/// Something mounted; unmounted when it is dropped.
pub(crate) struct Mount {
    at: PathBuf,
    /// Where it is mounted, if that is a directory of its own.
    _temp: Option<tempfile::TempDir>,
}

impl Mount {
    pub(crate) fn new(
        kind: &str,
        options: &str,
        device: impl AsRef<OsStr>,
        at: &Path,
    ) -> Result<Mount, Skipped> {
        let args = [OsStr::new("-t"), kind.as_ref(), "-o".as_ref(), options.as_ref(), device.as_ref()];
        run("mount", &[&args[..], &[at.as_os_str()]].concat())?;
        Ok(Mount { at: at.to_owned(), _temp: None })
    }

    /// A file system in memory.
    pub(crate) fn tmpfs(options: &str) -> Result<Mount, Skipped> {
        harness::need_root()?;
        let temp = bed::temp();
        let mut mount = Mount::new("tmpfs", &format!("mode=700,{options}"), "tmpfs", temp.path())?;
        mount._temp = Some(temp);
        Ok(mount)
    }

    /// Two directories of `below` as one.
    pub(crate) fn overlay(below: &Path) -> Result<Mount, Skipped> {
        harness::need_root()?;
        for name in ["lower", "upper", "work", "at"] {
            fs::create_dir_all(below.join(name)).unwrap();
        }
        let dir = |name: &str| below.join(name).display().to_string();
        let options = format!("lowerdir={},upperdir={},workdir={}", dir("lower"), dir("upper"), dir("work"));
        Mount::new("overlay", &options, "overlay", &below.join("at"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.at
    }

    /// The device behind it, such as `loop3`.
    pub(crate) fn device(&self) -> String {
        let table = fs::read_to_string("/proc/self/mounts").unwrap();
        let at = self.at.to_str().unwrap();
        let line = table.lines().rev().find(|line| line.split(' ').nth(1) == Some(at)).unwrap();
        line.split(' ').next().unwrap().rsplit('/').next().unwrap().to_owned()
    }

    /// Cuts the power: from this call on nothing reaches the disk any more. `flush_log`: but for the file
    /// system's journal, with or without the data that it speaks of.
    pub(crate) fn cut_power(&self, flush_log: bool) {
        let dir = File::open(&self.at).unwrap();
        const FS_IOC_SHUTDOWN: rustix::ioctl::Opcode = rustix::ioctl::opcode::read::<u32>(b'X', 125);
        let how = if flush_log { 1 } else { 2 };
        #[expect(unsafe_code, reason = "an ioctl has no other form")]
        // SAFETY: the kernel reads the one u32 that this opcode is declared with, and writes nothing.
        let cut =
            unsafe { rustix::ioctl::ioctl(&dir, rustix::ioctl::Setter::<FS_IOC_SHUTDOWN, u32>::new(how)) };
        cut.unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmount = |args: &[&str]| {
            let mut umount = Command::new("umount");
            umount.args(args).arg(&self.at).output().is_ok_and(|output| output.status.success())
        };
        // A process that was killed a moment ago may still hold it.
        for _ in 0..100 {
            if unmount(&[]) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        unmount(&["-l"]);
    }
}
