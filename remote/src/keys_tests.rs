//! Keys and trust: what is read back, and what is refused.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;

fn dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    dir
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_generated_key_is_loaded_as_the_same_and_is_never_overwritten() {
    let dir = dir();
    let path = dir.path().join("key");
    let made = SecretKey::generate(&path).unwrap();
    let loaded = SecretKey::load(&path).unwrap();
    assert_eq!((made.public(), made.id()), (loaded.public(), loaded.id()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(SecretKey::generate(&path).is_err());
    assert_eq!(SecretKey::load(&path).unwrap().id(), made.id());
}

#[test]
fn a_secret_that_others_could_read_or_exchange_is_refused() {
    let dir = dir();
    let path = dir.path().join("key");
    SecretKey::generate(&path).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o602, 0o644, 0o610] {
        set_mode(&path, mode);
        assert_eq!(SecretKey::load(&path).unwrap_err().unsafe_file(), Some(&path), "{mode:o}");
    }
    set_mode(&path, 0o600);
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(SecretKey::load(&link).unwrap_err().unsafe_file(), Some(&link));
    for mode in [0o770, 0o707, 0o1777] {
        set_mode(dir.path(), mode);
        assert!(SecretKey::load(&path).unwrap_err().unsafe_file().is_some(), "{mode:o}");
    }
    set_mode(dir.path(), 0o755);
    assert!(SecretKey::load(&path).is_ok());
}

#[test]
fn a_damaged_file_of_a_key_is_refused_whatever_its_damage() {
    let dir = dir();
    let path = dir.path().join("key");
    SecretKey::generate(&path).unwrap();
    let right = fs::read(&path).unwrap();
    for at in 0..right.len() {
        let mut wrong = right.clone();
        wrong[at] ^= 1;
        // The end of the last line may be spelled in several ways, which say the same.
        if at + 1 < right.len() {
            fs::write(&path, &wrong).unwrap();
            assert!(SecretKey::load(&path).is_err(), "byte {at}");
        }
        fs::write(&path, &right[..at]).unwrap();
        assert!(SecretKey::load(&path).is_err() || at + 1 == right.len(), "cut at {at}");
    }
}

#[test]
fn nothing_prints_the_secret() {
    let dir = dir();
    let path = dir.path().join("key");
    let key = SecretKey::generate(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let secret = text.split_once("secret ").unwrap().1.split_once("secret ").unwrap().1.trim();
    assert_eq!(secret.len(), 64);
    assert!(!format!("{key:?}").contains(secret));
}

#[test]
fn trust_is_per_namespace_and_a_revoked_key_stays_revoked() {
    let dir = dir();
    let path = dir.path().join("trust");
    let (main, other) = ("main".parse().unwrap(), "other".parse().unwrap());
    let (first, second) = (SecretKey::random().unwrap(), SecretKey::random().unwrap());
    trust(&path, &main, &first.public(), "the release\njobs").unwrap();
    trust(&path, &main, &second.public(), "").unwrap();
    let standing =
        |namespace: &Name, key: &SecretKey| Trust::load(&path).unwrap().standing(namespace, &key.id());
    assert!(matches!(standing(&main, &first), Standing::Trusted(_)));
    assert!(matches!(standing(&main, &second), Standing::Trusted(_)));
    assert!(matches!(standing(&other, &first), Standing::Unknown));
    revoke(&path, &first.id(), "lost").unwrap();
    trust(&path, &main, &first.public(), "").unwrap();
    assert!(matches!(standing(&main, &first), Standing::Revoked));
    assert!(matches!(standing(&main, &second), Standing::Trusted(_)));
}

#[test]
fn a_file_of_trust_that_others_can_write_or_nobody_understands_trusts_nobody() {
    let dir = dir();
    let path = dir.path().join("trust");
    let key = SecretKey::random().unwrap().public();
    trust(&path, &"main".parse().unwrap(), &key, "").unwrap();
    for mode in [0o664, 0o646] {
        set_mode(&path, mode);
        assert_eq!(Trust::load(&path).unwrap_err().unsafe_file(), Some(&path), "{mode:o}");
    }
    set_mode(&path, 0o644);
    for line in [
        "trust main",
        "trust main 00",
        "trust ../x 00",
        "revok 00",
        &format!("trust main {}", "0".repeat(64)),
    ] {
        fs::write(&path, format!("{TRUST_HEAD}\n{line}\n")).unwrap();
        assert!(matches!(Trust::load(&path), Err(KeyError::BadLine(_))), "{line}");
    }
    fs::write(&path, "plugcache trust 2\n").unwrap();
    assert!(matches!(Trust::load(&path), Err(KeyError::BadText(_))));
}
