//! Comparing what a build gives with what is stored: [`Mode::Compare`](crate::Mode::Compare).

use std::{collections::BTreeMap, ffi::OsString, fmt};

use super::{
    Inner,
    add::{NotAdded, id_of},
    outputs::{Outputs, Owned},
};
use crate::{
    digest::ObjectDigest,
    error::NoOutput,
    error::Skip,
    format::record::{Discovered, Put},
    fs,
    manifest::Refused,
    objects,
    sources::Sources,
    sync::Arc,
};

/// What a build gave, compared with what the store has for the same sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Comparison {
    /// Outputs that are not the same in both, by name; none: the build gave the same again.
    pub differences: Vec<Difference>,
}

/// An output that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Its name.
    pub name: OsString,
    /// BLAKE3 of what is stored; `None`: there is no such output.
    pub stored: Option<ObjectDigest>,
    /// BLAKE3 of what was built; `None`: there is no such output.
    pub built: Option<ObjectDigest>,
}

impl Comparison {
    /// Whether the build gave the same again.
    pub fn is_same(&self) -> bool {
        self.differences.is_empty()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_same() {
            return f.write_str("the same as stored");
        }
        let names: Vec<_> = self.differences.iter().map(|one| one.name.display().to_string()).collect();
        write!(f, "not what is stored: {}", names.join(", "))
    }
}

impl Inner {
    /// `None`: nothing is stored that this could be compared with, which is an own entry that read the same files.
    pub(super) fn compare(
        &self,
        sources: &Sources,
        outputs: &Outputs,
        discovered: &[Discovered],
    ) -> Result<Option<Comparison>, NotAdded> {
        let Some(root) = self.root().map_err(super::skip_of)? else {
            return Ok(None);
        };
        root.manifest.refresh().map_err(|none| Skip::from(Refused::from(none)))?;
        let exec = self.exec().map_err(Skip::Disabled)?;
        let id = id_of(discovered);
        let of_source = root.manifest.of_source(sources.digest().as_bytes());
        let Some(put) = of_source.into_iter().find(|put| put.exec == exec && put.discovered_id == id) else {
            return Ok(None);
        };
        let stored = stored(&put);
        let built = self.built(outputs)?;
        let names: std::collections::BTreeSet<_> = stored.keys().chain(built.keys()).collect();
        let differs = names.into_iter().filter(|name| stored.get(*name) != built.get(*name));
        let difference = |name: &OsString| Difference {
            name: name.clone(),
            stored: stored.get(name).copied(),
            built: built.get(name).copied(),
        };
        Ok(Some(Comparison { differences: differs.map(difference).collect() }))
    }

    fn built(&self, outputs: &Outputs) -> Result<BTreeMap<OsString, ObjectDigest>, NotAdded> {
        let digest = |name: &OsString, owned: &Owned| match owned {
            Owned::Bytes(bytes) | Owned::Packed(bytes) => Ok(ObjectDigest::of_bytes(bytes)),
            Owned::File(path) => {
                let found = self.fs.open_source(path).and_then(|file| objects::hash_of(&file));
                found.map_err(|error| {
                    let problem = format!("{}: {error}", path.display());
                    NotAdded::NoOutput(NoOutput { name: name.clone(), problem })
                })
            }
        };
        outputs.named.iter().map(|(name, owned)| Ok((name.clone(), digest(name, owned)?))).collect()
    }
}

fn stored(put: &Arc<Put>) -> BTreeMap<OsString, ObjectDigest> {
    let outputs = put.visible().iter();
    outputs.map(|output| (fs::text_of(&output.name), ObjectDigest::from_bytes(output.object))).collect()
}
