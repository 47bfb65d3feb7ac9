//! Plugins that a real compiler makes, and how one knows that the right one runs: its answer is computed from all the
//! bytes that it holds.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::ensure;
use libloading::Library;
use plugcache::{Artifact, Build, LoadFailed, Sources, Toolchain};

/// What goes beside the code, so that an object takes a while to come: noise, which nothing packs, and a pattern.
const BYTES: [usize; 4] = [20_000, 100_000, 500_000, 1_500_000];

/// One plugin, where its sources lie.
pub(crate) struct Plugin {
    pub(crate) name: String,
    source: PathBuf,
    data: PathBuf,
    /// What it answers if every byte of it is right.
    pub(crate) answer: u64,
}

/// Writes the sources of this many plugins into a new directory.
pub(crate) fn write(dir: &Path, count: usize) {
    fs::create_dir(dir).unwrap();
    for number in 0..count {
        let (name, data) = (name(number), data(number));
        let place = |end: &str| dir.join(format!("{name}.{end}"));
        fs::write(place("c"), source(number, &place("bin"))).unwrap();
        fs::write(place("answer"), answer(number, &data).to_string()).unwrap();
        fs::write(place("bin"), data).unwrap();
    }
}

fn name(number: usize) -> String {
    format!("plugin{number}")
}

/// The plugins of a directory that [`write`] has made.
pub(crate) fn read(dir: &Path) -> Vec<Plugin> {
    let count = fs::read_dir(dir).unwrap().count() / 3;
    let plugin = |number| {
        let name = name(number);
        let place = |end: &str| dir.join(format!("{name}.{end}"));
        let answer = fs::read_to_string(place("answer")).unwrap().parse().unwrap();
        Plugin { source: place("c"), data: place("bin"), answer, name }
    };
    (0..count).map(plugin).collect()
}

fn data(number: usize) -> Vec<u8> {
    let len = BYTES[number % BYTES.len()];
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    // Every other one is packed in the bucket.
    if number % 2 == 1 {
        bytes.iter_mut().for_each(|byte| *byte &= 3);
    }
    bytes
}

fn answer(number: usize, data: &[u8]) -> u64 {
    data.iter().fold(number as u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

fn source(number: usize, data: &Path) -> String {
    format!(
        r#"#include <stdint.h>
__asm__(".pushsection .rodata\n"
        "data_begin: .incbin \"{}\"\n"
        "data_end:\n"
        ".popsection\n");
extern const unsigned char data_begin[] __attribute__((visibility("hidden")));
extern const unsigned char data_end[] __attribute__((visibility("hidden")));
uint64_t answer(void)
{{
    uint64_t sum = {number};
    for (const unsigned char *at = data_begin; at < data_end; at++)
        sum = sum * 31 + *at;
    return sum;
}}
"#,
        data.display()
    )
}

pub(crate) fn compiler() -> anyhow::Result<Toolchain> {
    Ok(Toolchain::of_program("cc")?)
}

impl Plugin {
    pub(crate) fn sources(&self, compiler: &Toolchain) -> anyhow::Result<Sources> {
        let files = [&self.source, &self.data];
        Ok(Sources::new("fleet/1", compiler, ["-shared"]).files(files).label(&self.name).digest()?)
    }

    /// Starts the compiler, which is noted in `compiled`.
    pub(crate) fn compile(&self, build: &mut Build, by: &str, compiled: &Path) -> anyhow::Result<()> {
        let mut log = OpenOptions::new().append(true).create(true).open(compiled)?;
        // One write, so that lines of processes that compile at once do not mix.
        log.write_all(format!("{by} {}\n", self.name).as_bytes())?;
        compile(&self.source, build, &self.name)
    }

    /// Compiles the attacker's file in its place.
    pub(crate) fn compile_instead(&self, evil: &Path, build: &mut Build) -> anyhow::Result<()> {
        compile(evil, build, &self.name)
    }
}

fn compile(source: &Path, build: &mut Build, name: &str) -> anyhow::Result<()> {
    let (output, report) = (build.output(format!("{name}.so")), build.dir().join("report.d"));
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-MD", "-MF"]).arg(&report).arg("-o").arg(output).arg(source);
    let done = cc.output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    build.depfile(&report)?;
    Ok(())
}

/// The source of a plugin that leaves a file at `canary` as soon as it is loaded.
pub(crate) fn evil(canary: &Path) -> String {
    format!(
        r#"#include <stdint.h>
#include <stdio.h>
__attribute__((constructor)) static void begin(void)
{{
    FILE *canary = fopen("{}", "a");
    if (canary) {{
        fputs("an attacker's code was loaded\n", canary);
        fclose(canary);
    }}
}}
uint64_t answer(void) {{ return 666; }}
"#,
        canary.display()
    )
}

/// What a plugin that is loaded answers, and the library that must stay.
pub(crate) type Answer = (u64, Library);

#[expect(unsafe_code, reason = "a plugin is code in another language behind a C interface")]
pub(crate) fn call(artifact: &Artifact) -> Result<Answer, LoadFailed<libloading::Error>> {
    // SAFETY: the plugins of this test are its own, and the evil one does no more than leave a file.
    let library = unsafe { Library::new(artifact.path()) }.map_err(LoadFailed::Artifact)?;
    // SAFETY: both sources above give it this type.
    let answer = unsafe { library.get::<unsafe extern "C" fn() -> u64>("answer") };
    // SAFETY: it takes nothing, and its library is loaded.
    let answer = answer.map(|answer| unsafe { answer() }).map_err(LoadFailed::Artifact)?;
    Ok((answer, library))
}
