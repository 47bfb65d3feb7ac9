//! From sources to artifacts: what the plugins are, what goes into the key of each, how each is compiled.

use anyhow::Context as _;
use plugcache::{Build, Sources, Store, Toolchain};
use std::{
    cell::Cell,
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// What the host and its plugins must agree on beyond the sources: `PLUGIN_ABI`.
const KIND: &str = "plugin-host/abi-1";

/// The options without which no plugin of this host would load.
const NEEDED_FLAGS: [&str; 3] = ["-shared", "-fPIC", "-fvisibility=hidden"];

/// One plugin: its name, and its source files in the order in which they are compiled.
pub(crate) struct PluginSources {
    pub(crate) name: String,
    pub(crate) files: Vec<PathBuf>,
}

/// The plugins of a directory, by name: every file `NAME.c`, and every directory NAME with such files in it.
pub(crate) fn plugins_in(dir: &Path) -> anyhow::Result<Vec<PluginSources>> {
    let mut plugins = Vec::new();
    for path in sorted(dir).with_context(|| format!("cannot list the plugins in {}", dir.display()))? {
        let files = if path.is_dir() {
            sorted(&path)?.into_iter().filter(|file| is_c(file)).collect()
        } else {
            Vec::from_iter(Some(path.clone()).filter(|file| is_c(file)))
        };
        if !files.is_empty() {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            plugins.push(PluginSources { name, files });
        }
    }
    Ok(plugins)
}

#[expect(clippy::disallowed_methods, reason = "the rule is the library's: a host reads its own directories")]
fn sorted(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn is_c(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("c"))
}

/// The C compiler with its options.
pub(crate) struct Compiler {
    program: OsString,
    flags: Vec<String>,
    toolchain: Toolchain,
    started: Cell<u32>,
}

impl Compiler {
    pub(crate) fn new(program: &OsStr, flags: &str) -> anyhow::Result<Compiler> {
        let flags = NEEDED_FLAGS.into_iter().chain(flags.split_whitespace()).map(String::from).collect();
        let toolchain = Toolchain::of_program(program)?;
        Ok(Compiler { program: program.into(), flags, toolchain, started: Cell::new(0) })
    }

    /// How many times a compiler was started.
    pub(crate) fn started(&self) -> u32 {
        self.started.get()
    }

    /// What a plugin is compiled from. Headers are not named here: nobody knows them before the compiler has
    /// run. It reports them, and `build` hands its report on.
    pub(crate) fn sources(&self, plugin: &PluginSources, store: &Store) -> anyhow::Result<Sources> {
        let sources = Sources::new(KIND, &self.toolchain, &self.flags)
            .files(&plugin.files)
            .label(&plugin.name)
            .digest_with(store)?;
        Ok(sources)
    }

    /// Compiles a plugin into the directory of `build`.
    pub(crate) fn build(&self, plugin: &PluginSources, build: &mut Build) -> anyhow::Result<()> {
        let output = build.output(format!("{}.so", plugin.name));
        if let [file] = plugin.files.as_slice() {
            return self.compile(build, &[], file, &output);
        }
        // One start per file: with several files in one start, gcc leaves the report of the last one alone.
        let mut objects = Vec::new();
        for (number, file) in plugin.files.iter().enumerate() {
            let object = build.dir().join(format!("{number}.o"));
            self.compile(build, &["-c"], file, &object)?;
            objects.push(object);
        }
        self.run(Command::new(&self.program).args(&self.flags).args(objects).arg("-o").arg(output))
    }

    fn compile(&self, build: &mut Build, more: &[&str], file: &Path, to: &Path) -> anyhow::Result<()> {
        // `-MD` has it write down every file it read, those of the system included: an update of those
        // changes the artifact too.
        let report = to.with_extension("d");
        let mut command = Command::new(&self.program);
        command.args(more).args(&self.flags).arg("-MD").arg("-MF").arg(&report);
        self.run(command.arg("-o").arg(to).arg(file))?;
        build.depfile(&report).with_context(|| format!("the compiler's report on {}", file.display()))?;
        Ok(())
    }

    fn run(&self, command: &mut Command) -> anyhow::Result<()> {
        self.started.set(self.started.get() + 1);
        let done = command.output().with_context(|| format!("cannot start {}", self.program.display()))?;
        anyhow::ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr).trim_end());
        Ok(())
    }
}
