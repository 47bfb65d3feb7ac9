//! Keys of signers, and whom a reader trusts: two files in plain text, both watched closely.
//!
//! ```text
//! plugcache secret key 1           plugcache trust 1
//! id 0f3a..                        # the release jobs
//! public 9c41..                    trust main 9c41..
//! secret 77be..                    revoke 0f3a.. stolen in May
//! ```
//!
//! Who can write the second file decides what hosts execute, as surely as who can read the first.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use crate::{
    guarded::{self, Guard, GuardError},
    hex,
    name::Name,
};

const SECRET_HEAD: &str = "plugcache secret key 1";
const TRUST_HEAD: &str = "plugcache trust 1";

/// Names a key: the first 16 bytes of the BLAKE3 of its public half.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 16]);

impl KeyId {
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> KeyId {
        KeyId(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::of(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<KeyId, KeyError> {
        hex::to(text).map(KeyId).ok_or(KeyError::BadText("a key id is 32 lower-case hexadecimal digits"))
    }
}

/// What a reader is given of a key: 64 hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// What entries name it by.
    pub fn id(&self) -> KeyId {
        let hash = blake3::hash(self.0.as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hash.as_bytes()[..16]);
        KeyId(id)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::of(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<PublicKey, KeyError> {
        let key = hex::to(text).and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
        // Under a key of small order one signature fits many statements.
        let key = key.filter(|key| !key.is_weak());
        key.map(PublicKey)
            .ok_or(KeyError::BadText("a public key is 64 lower-case hexadecimal digits of ed25519"))
    }
}

/// A key that signs. Its secret half is shown by nothing but [`generate`](SecretKey::generate)'s file.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// Makes a key and writes it into a new file, which its owner alone may read.
    ///
    /// # Errors
    /// The file is there, its directory can be written by others, or whatever the system answers.
    pub fn generate(path: &Path) -> Result<SecretKey, KeyError> {
        let key = SecretKey::random()?;
        let (id, public, secret) = (key.id(), key.public(), hex::of(key.0.as_bytes()));
        let text = format!("{SECRET_HEAD}\nid {id}\npublic {public}\nsecret {secret}\n");
        guarded::create(path, text.as_bytes())?;
        Ok(key)
    }

    /// A key that lies in no file.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn random() -> Result<SecretKey, KeyError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|_| KeyError::BadText("the system gave no random numbers"))?;
        let key = SecretKey(SigningKey::from_bytes(&secret));
        secret.fill(0);
        Ok(key)
    }

    /// Reads the file of a key.
    ///
    /// # Errors
    /// Anybody but its owner, who is this user, can read or write it; it is a link; it is no such file.
    pub fn load(path: &Path) -> Result<SecretKey, KeyError> {
        let text = guarded::read(path, Guard::Secret)?;
        let lines: Vec<_> = text.lines().collect();
        let bad = KeyError::BadText("this is no file of a secret key, or not a whole one");
        let [SECRET_HEAD, id, public, secret] = lines[..] else { return Err(bad) };
        let field = |line: &str, name: &str| line.strip_prefix(name).map(str::to_owned);
        let (Some(id), Some(public), Some(secret)) =
            (field(id, "id "), field(public, "public "), field(secret, "secret "))
        else {
            return Err(bad);
        };
        let key = hex::to(&secret).map(|bytes| SecretKey(SigningKey::from_bytes(&bytes)));
        let right = |key: &SecretKey| key.public().to_string() == public && key.id().to_string() == id;
        key.filter(right).ok_or(bad)
    }

    /// The half that readers get.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// What entries name it by.
    pub fn id(&self) -> KeyId {
        self.public().id()
    }

    pub(crate) fn sign(&self, domain: &[u8], statement: &[u8]) -> [u8; 64] {
        self.0.sign(&[domain, statement].concat()).to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.id())
    }
}

/// Whom a reader trusts, in which namespace.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    keys: HashMap<(Name, KeyId), PublicKey>,
    revoked: HashSet<KeyId>,
}

/// What a reader thinks of a key.
pub(crate) enum Standing {
    Trusted(VerifyingKey),
    Revoked,
    Unknown,
}

impl Trust {
    /// Trusts nobody.
    pub fn nobody() -> Trust {
        Trust::default()
    }

    /// The same, and `key` in `namespace`.
    #[must_use]
    pub fn and(mut self, namespace: &Name, key: PublicKey) -> Trust {
        self.keys.insert((namespace.clone(), key.id()), key);
        self
    }

    /// The same, but for this key, in every namespace and for ever: nothing that is said later brings it back.
    #[must_use]
    pub fn but_not(mut self, key: KeyId) -> Trust {
        self.revoked.insert(key);
        self
    }

    /// Reads a file of trust.
    ///
    /// # Errors
    /// Others can write it, it is a link, or a line of it is not understood: then nobody is trusted.
    pub fn load(path: &Path) -> Result<Trust, KeyError> {
        Trust::parse(&guarded::read(path, Guard::Readable)?)
    }

    fn parse(text: &str) -> Result<Trust, KeyError> {
        let mut lines = text.lines();
        if lines.next() != Some(TRUST_HEAD) {
            return Err(KeyError::BadText("this is no file of trust of this version"));
        }
        lines.try_fold(Trust::nobody(), |trust, line| trust.read_line(line))
    }

    fn read_line(self, line: &str) -> Result<Trust, KeyError> {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        match words[..] {
            [] => Ok(self),
            [first, ..] if first.starts_with('#') => Ok(self),
            ["trust", namespace, key, ..] => {
                let namespace = namespace.parse().map_err(|_| KeyError::BadLine(line.into()))?;
                Ok(self.and(&namespace, key.parse().map_err(|_| KeyError::BadLine(line.into()))?))
            }
            ["revoke", id, ..] => Ok(self.but_not(id.parse().map_err(|_| KeyError::BadLine(line.into()))?)),
            _ => Err(KeyError::BadLine(line.into())),
        }
    }

    /// Whether entries of this key are believed in this namespace.
    pub fn believes(&self, namespace: &Name, key: &KeyId) -> bool {
        matches!(self.standing(namespace, key), Standing::Trusted(_))
    }

    /// How many keys are believed in a namespace.
    pub fn keys_in(&self, namespace: &Name) -> usize {
        let here = self.keys.keys().filter(|(name, _)| name == namespace);
        here.filter(|(_, id)| !self.revoked.contains(id)).count()
    }

    pub(crate) fn standing(&self, namespace: &Name, id: &KeyId) -> Standing {
        if self.revoked.contains(id) {
            return Standing::Revoked;
        }
        match self.keys.get(&(namespace.clone(), *id)) {
            Some(key) => Standing::Trusted(key.0),
            None => Standing::Unknown,
        }
    }
}

/// Adds a key to a file of trust, which is made if there is none; `note` is for people.
///
/// # Errors
/// As [`Trust::load`]; then the file stays as it was.
pub fn trust(path: &Path, namespace: &Name, key: &PublicKey, note: &str) -> Result<(), KeyError> {
    add_line(path, &format!("trust {namespace} {key} {}", one_line(note)))
}

/// Adds to a file of trust that a key is believed no more.
///
/// # Errors
/// As [`Trust::load`]; then the file stays as it was.
pub fn revoke(path: &Path, key: &KeyId, reason: &str) -> Result<(), KeyError> {
    add_line(path, &format!("revoke {key} {}", one_line(reason)))
}

fn one_line(note: &str) -> String {
    note.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn add_line(path: &Path, line: &str) -> Result<(), KeyError> {
    let mut text = match guarded::read(path, Guard::Readable) {
        Err(GuardError::Missing(_)) => format!("{TRUST_HEAD}\n"),
        read => read?,
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text.extend([line.trim_end(), "\n"]);
    Trust::parse(&text)?;
    Ok(guarded::replace(path, text.as_bytes())?)
}

/// Why a key or a file of trust cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file is not safe, not there, or could not be read or written.
    #[error(transparent)]
    File(#[from] GuardError),
    /// The text is not what it should be.
    #[error("{0}")]
    BadText(&'static str),
    /// A line of a file of trust is not understood: nothing of the file is used.
    #[error("this line of a file of trust is not understood: {0:?}")]
    BadLine(String),
}

impl KeyError {
    /// The file that others could read or write, if that is what is wrong.
    pub fn unsafe_file(&self) -> Option<&PathBuf> {
        match self {
            KeyError::File(GuardError::Unsafe { path, .. }) => Some(path),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
