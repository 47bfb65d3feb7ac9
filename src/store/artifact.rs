//! What a store hands out: an artifact is the lease on its objects.

use std::{
    ffi::OsStr,
    fmt, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    output::{HeldOutput, Output, Paths},
    root::Root,
    scratch::Scratch,
};
use crate::{
    format::record::{Details, Put},
    fs::Fs,
    sources::Sources,
    sync::{Arc, OnceLock},
};

/// A ready artifact. While a clone of it lives its files stay, whatever the store does: nothing that is leased
/// is evicted, swept or set aside.
///
/// Clones are cheap and share one lease, and so do all artifacts of one entry that a handle hands out while one
/// of them lives. Costs one open file per output.
#[derive(Clone)]
pub struct Artifact {
    pub(super) held: Arc<Held>,
    /// Not part of what is held: the store may have been renamed between two finds.
    paths: Paths,
}

pub(super) struct Held {
    pub(super) fs: Fs,
    /// The entry; `None` for an artifact that is not stored.
    pub(super) put: Option<Arc<Put>>,
    pub(super) outputs: Vec<HeldOutput>,
    pub(super) sources: OnceLock<Sources>,
    /// Details that did not fit the entry's frame.
    pub(super) spilled: Option<Details>,
    /// Of an artifact that is not stored; else the entry has it.
    pub(super) label: String,
    pub(super) made: SystemTime,
    pub(super) cost: Duration,
    pub(super) is_own_exec: bool,
    /// Where the objects lie; `None` for an artifact that is not stored.
    pub(super) root: Option<Arc<Root>>,
    /// Where outputs lie that are not in the store, or could not be leased there: goes with the last clone.
    pub(super) _scratch: Vec<Scratch>,
}

impl Artifact {
    pub(super) fn new(held: Held) -> Artifact {
        Artifact::share(Arc::new(held))
    }

    pub(super) fn share(held: Arc<Held>) -> Artifact {
        Artifact { held, paths: OnceLock::new() }
    }

    pub(super) fn put(&self) -> Option<&Arc<Put>> {
        self.held.put.as_ref()
    }

    pub(super) fn is_of_layer(&self) -> bool {
        self.held.root.as_ref().is_some_and(|root| root.is_layer)
    }

    /// The path of the first output; valid while a clone of this artifact lives. See [`Output::path`].
    pub fn path(&self) -> &Path {
        self.primary().path()
    }

    /// The first output.
    pub fn primary(&self) -> Output<'_> {
        Output::new(&self.held, 0, &self.paths)
    }

    /// The output of this name.
    pub fn output(&self, name: impl AsRef<OsStr>) -> Option<Output<'_>> {
        self.outputs().find(|output| output.name() == name.as_ref())
    }

    /// All outputs, in the order in which the build named them.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = Output<'_>> {
        (0..self.held.outputs.len()).map(|number| Output::new(&self.held, number, &self.paths))
    }

    /// Copies every output into `dir` under its name, and says where they are. Existing files are replaced, by
    /// renaming.
    ///
    /// # Errors
    /// A name that is not a plain file name, or whatever the system answers.
    pub fn copy_all_to(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.outputs()
            .map(|output| {
                let plain = Path::new(output.name()).file_name() == Some(output.name());
                if !plain {
                    let problem = format!("the output's name {:?} is not a file name", output.name());
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
                }
                let to = dir.join(output.name());
                output.copy_to(&to).map(|()| to)
            })
            .collect()
    }

    /// The sources as they were recorded when the artifact was added: paths are those of the first host.
    pub fn sources(&self) -> &Sources {
        self.held.sources.get_or_init(|| {
            let inline = self.held.put.as_ref().and_then(|put| put.details());
            let details = self.held.spilled.as_ref().or(inline);
            let recipe = details.map(|details| details.recipe.clone()).unwrap_or_default();
            Sources::from_recipe(recipe, self.label().to_owned())
        })
    }

    /// Whether this executable made it (by exec id); the other case needs `try_old_cache_with_new_exec`.
    pub fn was_compiled_by_current_exec(&self) -> bool {
        self.held.is_own_exec
    }

    /// The label given with the sources.
    pub fn label(&self) -> &str {
        self.put().map_or(&self.held.label, |put| &put.label)
    }

    /// When it was made, by the wall clock of its maker; for people.
    pub fn made(&self) -> SystemTime {
        self.held.made
    }

    /// How long its build took: what a hit saves.
    pub fn cost(&self) -> Duration {
        self.held.cost
    }

    /// Whether a find has taken its entry from a layer or a [tier](crate::Tier), and nobody has added it here since. What
    /// was [imported](crate::Store::import) is this store's own, wherever it came from.
    pub fn was_brought(&self) -> bool {
        self.put().is_some_and(|put| put.brought)
    }

    /// Whether it lies in the store; if not, its files go with the last clone.
    pub fn is_stored(&self) -> bool {
        self.held.put.is_some()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("label", &self.label).finish_non_exhaustive()
    }
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outputs: Vec<_> = self.outputs().collect();
        f.debug_struct("Artifact").field("label", &self.label()).field("outputs", &outputs).finish()
    }
}
