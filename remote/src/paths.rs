//! Where things lie in a bucket: every path, and what a path says.
//!
//! ```text
//! PREFIX/v1/cas/AA/<blake3>.zst|.raw               objects, shared by all namespaces
//! PREFIX/v1/NAMESPACE/ac/AA/<source><exec>         entries
//! PREFIX/v1/NAMESPACE/bundle/<name>                the entries of a release
//! ```
//!
//! `AA` are the first two digits. No namespace can be called `cas`.

use std::fmt;

use plugcache::{ObjectDigest, SourceDigest, TierKey};

use crate::{
    hex,
    name::{BadName, Name},
    sign::{Form, Stored},
};

/// The name that lies where namespaces do and is none.
const OBJECTS: &str = "cas";

/// The beginning of every path of a fleet in its bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

/// Its steps, with `/` at the end; nothing, for the whole bucket.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Object(ObjectDigest),
    Entry(Name, TierKey),
    Bundle(Name, Name),
}

impl Prefix {
    /// Steps with `/` between them, each a [`Name`]; empty: the whole bucket.
    ///
    /// # Errors
    /// A step is no name.
    pub fn new(text: &str) -> Result<Prefix, BadName> {
        let steps = text.split('/').filter(|step| !step.is_empty());
        let steps: Vec<String> =
            steps.map(|step| step.parse().map(|name: Name| format!("{name}/"))).collect::<Result<_, _>>()?;
        Ok(Prefix(steps.concat()))
    }

    pub(crate) fn root(&self) -> String {
        format!("{}v1", self.0)
    }

    pub(crate) fn object(&self, stored: &Stored) -> String {
        let (digest, end) = (stored.object.digest.to_string(), extension(stored.form));
        format!("{}v1/{OBJECTS}/{}/{digest}.{end}", self.0, &digest[..2])
    }

    pub(crate) fn entry(&self, namespace: &Name, key: &TierKey) -> String {
        let (source, exec) = (key.source, hex::of(&key.exec));
        format!("{}v1/{namespace}/ac/{}/{source}{exec}", self.0, &source.to_string()[..2])
    }

    pub(crate) fn bundle(&self, namespace: &Name, name: &Name) -> String {
        format!("{}v1/{namespace}/bundle/{name}", self.0)
    }

    pub(crate) fn probe(&self, namespace: &Name, number: u64) -> String {
        format!("{}v1/{namespace}/doctor/{number:016x}", self.0)
    }

    /// What lies at a path; `None` for whatever this version would not have put there.
    pub(crate) fn place(&self, path: &str) -> Option<Place> {
        let steps: Vec<_> = path.strip_prefix(&self.0)?.split('/').collect();
        let place = match steps[..] {
            ["v1", OBJECTS, _, file] => {
                let (digest, _) = file.split_once('.')?;
                Place::Object(ObjectDigest::from_bytes(hex::to(digest)?))
            }
            ["v1", namespace, "ac", _, file] => {
                let (source, exec) = file.split_at_checked(64)?;
                let key = TierKey::new(SourceDigest::from_bytes(hex::to(source)?), hex::to(exec)?);
                Place::Entry(namespace.parse().ok()?, key)
            }
            ["v1", namespace, "bundle", name] => Place::Bundle(namespace.parse().ok()?, name.parse().ok()?),
            _ => return None,
        };
        let respelled = match &place {
            Place::Object(digest) => {
                [Form::Raw, Form::Zstd].map(|form| self.object_of(*digest, form)).to_vec()
            }
            Place::Entry(namespace, key) => vec![self.entry(namespace, key)],
            Place::Bundle(namespace, name) => vec![self.bundle(namespace, name)],
        };
        respelled.iter().any(|right| right == path).then_some(place)
    }

    fn object_of(&self, digest: ObjectDigest, form: Form) -> String {
        self.object(&Stored { object: plugcache::ParcelObject { digest, len: 0 }, form })
    }
}

/// Whether a namespace may be called so.
pub(crate) fn is_namespace(name: &Name) -> bool {
    name.as_str() != OBJECTS
}

fn extension(form: Form) -> &'static str {
    match form {
        Form::Raw => "raw",
        Form::Zstd => "zst",
    }
}

#[cfg(test)]
mod tests {
    use plugcache::ParcelObject;

    use super::*;

    #[test]
    fn every_path_says_what_it_leads_to() {
        for prefix in ["", "a/b-c"] {
            let prefix = Prefix::new(prefix).unwrap();
            let digest = ObjectDigest::of_bytes(b"x");
            let name: Name = "main".parse().unwrap();
            let key = TierKey::new(SourceDigest::from_bytes([1; 32]), [2; 32]);
            for form in [Form::Raw, Form::Zstd] {
                let path = prefix.object(&Stored { object: ParcelObject { digest, len: 1 }, form });
                assert_eq!(prefix.place(&path), Some(Place::Object(digest)), "{path}");
            }
            assert_eq!(prefix.place(&prefix.entry(&name, &key)), Some(Place::Entry(name.clone(), key)));
            assert_eq!(prefix.place(&prefix.bundle(&name, &name)), Some(Place::Bundle(name.clone(), name)));
        }
    }

    #[test]
    fn what_this_version_would_not_put_there_is_nothing() {
        let prefix = Prefix::new("p").unwrap();
        let digest = "0".repeat(64);
        for path in [
            format!("p/v1/cas/00/{digest}.tmp"),
            format!("p/v1/cas/11/{digest}.raw"),
            format!("v1/cas/00/{digest}.raw"),
            format!("p/v2/cas/00/{digest}.raw"),
            "p/v1/main/ac/00/é".into(),
            "p/v1/main/note".into(),
        ] {
            assert_eq!(prefix.place(&path), None, "{path}");
        }
        assert!(Prefix::new("a/../b").is_err());
    }
}
