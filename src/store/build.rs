//! A build in progress: where it works, what it made, what it read.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use super::{
    Inner,
    add::{Committed, NotAdded},
    artifact::{Artifact, Held},
    get::{Got, How},
    inputs::Inputs,
    observe::Event,
    output::{Content, HeldOutput},
    outputs::{Outputs, Ready},
    scratch::Scratch,
};
use crate::{
    error::{NoOutput, Skip},
    flight::Ticket,
    fs::{self, Fs, Kind},
    objects::{self, Lent},
    sources::{Sources, parse_depfile},
    sync::{Arc, OnceLock},
};

/// What file systems take for a name.
const FILE_NAME_BYTES_MAX: usize = 255;

/// What the file of an output is called whose name cannot be that of a file.
fn numbered(number: usize) -> OsString {
    format!("output-{number}").into()
}

/// A build in progress, and the right to it: nobody else builds the same until this is dropped.
#[derive(Debug)]
pub struct Build {
    store: Arc<Inner>,
    sources: Sources,
    /// Why the artifact cannot be stored, if that is known already.
    unstorable: Option<Skip>,
    outputs: Vec<(OsString, Made)>,
    inputs: Inputs,
    started: Instant,
    // Declared before the ticket: the directory goes before the next builder comes.
    scratch: Scratch,
    watched: Watched,
    _ticket: Option<Ticket>,
}

/// Tells observers of the end of a build, also of one that is given up.
#[derive(Debug)]
struct Watched {
    store: Arc<Inner>,
    sources: Sources,
    started: Instant,
    succeeded: bool,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let (took, succeeded) = (self.started.elapsed(), self.succeeded);
        self.store.watch.tell(|| Event::BuildEnded { sources: &self.sources, took, succeeded });
    }
}

/// Where a build has put an output.
#[derive(Clone, Debug)]
enum Made {
    File(PathBuf),
    /// In memory, to be packed.
    Packed(Vec<u8>),
}

impl Build {
    /// `flight`: the right to build, or why there is none to be had.
    pub(super) fn new(
        store: Arc<Inner>,
        sources: &Sources,
        flight: Result<Option<Ticket>, Skip>,
    ) -> io::Result<Build> {
        let (ticket, unstorable) = match flight {
            Ok(ticket) => (ticket, None),
            Err(skip) => (None, Some(skip)),
        };
        let staged = match &unstorable {
            Some(skip) => Err(skip.clone()),
            None => store
                .root_for_writing()
                .and_then(|root| Scratch::in_staging(&store.fs, &root.dir, &root.path).map_err(Skip::from)),
        };
        let scratch = match staged {
            Ok(scratch) => scratch,
            Err(_) => Scratch::temporary()?,
        };
        let inputs = Inputs::since(scratch.mark(&store.fs).ok());
        store.watch.tell(|| Event::BuildBegan { sources });
        let started = Instant::now();
        Ok(Build {
            watched: Watched { store: store.clone(), sources: sources.clone(), started, succeeded: false },
            store,
            sources: sources.clone(),
            unstorable,
            outputs: Vec::new(),
            inputs,
            started,
            scratch,
            _ticket: ticket,
        })
    }

    /// A directory of this build alone, which goes with it; the compiler may leave there what it likes.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// Declares an output and says where to write it. The first one declared is the primary one.
    ///
    /// The path ends in `name` if that is a plain file name of up to 255 bytes (and not, of all names, one like
    /// `output-3` that an output without such a name was given before).
    pub fn output(&mut self, name: impl AsRef<OsStr>) -> PathBuf {
        let name = name.as_ref();
        let known = self.outputs.iter().position(|(known, _)| known == name);
        if let Some((_, Made::File(path))) = known.and_then(|place| self.outputs.get(place)) {
            return path.clone();
        }
        let bytes = fs::bytes_of(name);
        let plain = Path::new(name).file_name() == Some(name)
            && !bytes.contains(&0)
            && bytes.len() <= FILE_NAME_BYTES_MAX;
        let mut number = self.outputs.len();
        let mut path = self.dir().join(if plain { name.to_owned() } else { numbered(number) });
        // A name may look like a number that another output was given: two outputs never share a file.
        while self.outputs.iter().any(|(_, made)| matches!(made, Made::File(taken) if *taken == path)) {
            number += 1;
            path = self.dir().join(numbered(number));
        }
        self.declare(name, Made::File(path.clone()));
        path
    }

    /// Declares an output that the build leaves at `path`, a place of the caller's choice, absolute or below the
    /// working directory: for compilers that write where they are told. It is copied into the store and stays
    /// the caller's. Where nothing is stored it is the artifact's own path: keep it as long as the artifact.
    pub fn output_at(&mut self, name: impl AsRef<OsStr>, path: impl AsRef<Path>) {
        let path = path.as_ref();
        // Fails only for an empty path or without a working directory: then the path itself names nothing.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        self.declare(name.as_ref(), Made::File(path));
    }

    fn declare(&mut self, name: &OsStr, made: Made) {
        match self.outputs.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = made,
            None => self.outputs.push((name.to_owned(), made)),
        }
    }

    /// Declares an output of these bytes that is to be packed into the entry: see
    /// [`Outputs::packed`](crate::Outputs::packed).
    pub fn write_packed(&mut self, name: impl AsRef<OsStr>, bytes: impl Into<Vec<u8>>) {
        self.declare(name.as_ref(), Made::Packed(bytes.into()));
    }

    /// Declares an output and writes it.
    pub fn write(&mut self, name: impl AsRef<OsStr>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let path = self.output(name);
        let below = path.file_name().unwrap_or_default();
        self.scratch.write(&self.store.fs, below.as_ref(), bytes.as_ref()).map(drop)
    }

    /// Reports a file that the build reads beside its sources: it must be unchanged for the next hit.
    ///
    /// A file that changed since the build began makes the artifact unstorable, for nobody knows which version
    /// went into it. Files in [`dir`](Build::dir) and the sources themselves need no report and are passed over.
    pub fn also_read(&mut self, path: impl AsRef<Path>) -> &mut Self {
        self.inputs.report(path.as_ref());
        self
    }

    /// Reports all that a depfile in make syntax names, as `cc -MD -MF` writes it. Several add up.
    ///
    /// # Errors
    /// The depfile cannot be read, or is none.
    pub fn depfile(&mut self, path: impl AsRef<Path>) -> io::Result<&mut Self> {
        let file = self.store.fs.open_source(path.as_ref())?;
        let text = objects::read_all(&file)?;
        let paths =
            parse_depfile(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        for path in paths {
            self.inputs.report(fs::text_of(&path).as_ref());
        }
        Ok(self)
    }

    /// Stores what was built and hands it out. Trouble with the store is no error: the artifact is then
    /// [`How::Uncached`].
    ///
    /// # Errors
    /// No output was declared, or one is missing or no regular file.
    pub fn finish(mut self) -> Result<Got, NoOutput> {
        let mut outputs = Outputs::none().cost(self.started.elapsed());
        for (name, made) in &self.outputs {
            outputs = match made {
                Made::File(path) => outputs.and_file(name, path),
                Made::Packed(bytes) => outputs.and_packed(name, bytes.as_slice()),
            };
        }
        let added = match &self.unstorable {
            Some(skip) => Err(NotAdded::Skipped(skip.clone())),
            None => self
                .inputs
                .discovered(&self.store, &self.sources, self.scratch.path())
                .map_err(NotAdded::Skipped)
                .and_then(|discovered| self.store.add(&self.sources, &outputs, discovered, Lent::ToHost)),
        };
        self.watched.succeeded = !matches!(added, Err(NotAdded::NoOutput(_)));
        match added {
            Ok(committed) => {
                let names = self.outputs.iter().map(|(name, _)| name.as_os_str());
                let artifact = self.store.artifact_of(&self.sources, names, committed);
                let store = self.store.clone();
                // Those who wait for this build do not wait for the tier.
                drop(self);
                store.offer(&artifact);
                Ok(Got { artifact, how: How::Built })
            }
            Err(NotAdded::NoOutput(problem)) => Err(problem),
            Err(NotAdded::Skipped(skip)) => self.uncached(&outputs, How::Uncached(skip)),
            Err(NotAdded::Compared(comparison)) => self.uncached(&outputs, How::Compared(comparison)),
        }
    }

    /// The artifact from scratch: it owns the directory from here on.
    fn uncached(self, outputs: &Outputs, how: How) -> Result<Got, NoOutput> {
        let held = self
            .outputs
            .iter()
            .map(|(name, made)| match made {
                Made::File(path) => held_file(&self.store.fs, name, path)
                    .map_err(|error| NoOutput { name: name.clone(), problem: error.to_string() }),
                Made::Packed(bytes) => Ok(HeldOutput::packed(name.clone(), bytes)),
            })
            .collect::<Result<_, _>>()?;
        let cost_ms = u64::try_from(outputs.cost.as_millis()).unwrap_or(u64::MAX);
        let held = self.store.held(&self.sources, held, cost_ms);
        let artifact = Artifact::new(Held { _scratch: vec![self.scratch], ..held });
        Ok(Got { artifact, how })
    }
}

impl Inner {
    /// What was just committed, with the leases that it was committed under.
    pub(super) fn artifact_of<'a>(
        &self,
        sources: &Sources,
        names: impl Iterator<Item = &'a OsStr>,
        committed: Committed,
    ) -> Artifact {
        let Committed { root, put, outputs: ready, spilled } = committed;
        let visible = put.visible().len();
        let outputs = names.zip(ready).take(visible);
        let outputs = outputs.map(|(name, ready)| held_ready(name, ready)).collect();
        let held = self.held(sources, outputs, put.cost_ms);
        let artifact = Artifact::new(Held { put: Some(put), root: Some(root), spilled, ..held });
        self.live.note(&artifact);
        artifact
    }

    fn held(&self, sources: &Sources, outputs: Vec<HeldOutput>, cost_ms: u64) -> Held {
        Held {
            fs: self.fs.clone(),
            put: None,
            outputs,
            sources: OnceLock::from(sources.clone()),
            spilled: None,
            label: sources.label().to_owned(),
            made: SystemTime::UNIX_EPOCH + Duration::from_millis(self.now_ms()),
            cost: Duration::from_millis(cost_ms),
            is_own_exec: true,
            root: None,
            _scratch: Vec::new(),
        }
    }
}

fn held_ready(name: &OsStr, ready: Ready) -> HeldOutput {
    match ready {
        Ready::Published(published) => HeldOutput {
            name: name.to_owned().into(),
            digest: published.digest,
            len: published.lease.len(),
            executable: published.executable,
            content: Content::Object(published.lease),
        },
        Ready::Packed(_, bytes) => HeldOutput::packed(name.to_owned(), &bytes),
    }
}

fn held_file(files: &Fs, name: &OsStr, path: &Path) -> io::Result<HeldOutput> {
    let file = files.open_source(path)?;
    let stat = file.stat()?;
    if stat.kind != Kind::File {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(HeldOutput {
        name: name.to_owned().into(),
        digest: objects::hash_of(&file)?,
        len: stat.len,
        executable: stat.mode & 0o111 != 0,
        content: Content::Outside(file, path.to_owned()),
    })
}
