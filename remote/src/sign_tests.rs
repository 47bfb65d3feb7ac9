//! Entries that are believed, and all that are not.

use std::time::UNIX_EPOCH;

use super::*;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn key_of(text: &str) -> TierKey {
    let digest = |text: &str| *ObjectDigest::of_bytes(text.as_bytes()).as_bytes();
    TierKey::new(SourceDigest::from_bytes(digest(text)), digest("exec"))
}

fn parcel() -> Parcel {
    let object =
        |text: &str| ParcelObject { digest: ObjectDigest::of_bytes(text.as_bytes()), len: text.len() as u64 };
    Parcel {
        entry: vec![7; 300],
        objects: vec![object("plugin"), object("its symbols")],
        cost: Duration::from_millis(1500),
        label: "greet".into(),
    }
}

fn entry() -> Entry {
    Entry::of_parcel(&name("main"), &key_of("a"), &parcel(), &[Form::Zstd, Form::Raw], "ci-7", now())
}

struct Case {
    signer: SecretKey,
    trust: Trust,
}

fn case() -> Case {
    let signer = SecretKey::random().unwrap();
    let trust = Trust::nobody().and(&name("main"), signer.public());
    Case { signer, trust }
}

impl Case {
    fn check(&self, bytes: &[u8]) -> Result<Entry, Refusal> {
        verify(bytes, (&name("main"), &key_of("a")), &self.trust, now())
    }
}

#[test]
fn an_entry_reads_back_as_it_was_signed_and_is_short() {
    let case = case();
    let bytes = entry().sign(&case.signer).unwrap();
    assert!(bytes.len() < 2048, "{}", bytes.len());
    let read = case.check(&bytes).unwrap();
    assert_eq!(read, entry());
    assert_eq!(read.to_parcel(), parcel());
    assert_eq!(read.sign(&case.signer).unwrap(), bytes, "one encoding per value");
}

#[test]
fn no_flipped_bit_and_no_cut_is_believed() {
    let case = case();
    let right = entry().sign(&case.signer).unwrap();
    for at in 0..right.len() {
        for bit in 0..8 {
            let mut wrong = right.clone();
            wrong[at] ^= 1 << bit;
            assert!(case.check(&wrong).is_err(), "bit {bit} of byte {at}");
        }
        assert!(case.check(&right[..at]).is_err(), "cut at {at}");
    }
    assert_eq!(case.check(&[&right[..], &[0]].concat()), Err(Refusal::Malformed));
}

#[test]
fn each_reason_not_to_believe_is_told_from_the_others() {
    let case = case();
    let signed = entry().sign(&case.signer).unwrap();
    let stranger = SecretKey::random().unwrap();
    assert_eq!(case.check(&entry().unsigned()), Err(Refusal::Unsigned));
    assert_eq!(case.check(&entry().sign(&stranger).unwrap()), Err(Refusal::UnknownKey));
    let mut forged = entry().sign(&stranger).unwrap();
    let id = forged.len() - 80;
    forged[id..id + 16].copy_from_slice(case.signer.id().as_bytes());
    assert_eq!(case.check(&forged), Err(Refusal::WrongSignature));
    let revoked = Case { trust: case.trust.clone().but_not(case.signer.id()), ..case };
    assert_eq!(revoked.check(&signed), Err(Refusal::RevokedKey));
    assert_eq!(revoked.check(b"<html>"), Err(Refusal::Malformed));
}

#[test]
fn an_entry_is_believed_in_its_namespace_under_its_key_and_nowhere_else() {
    let case = case();
    let signed = entry().sign(&case.signer).unwrap();
    let trust = case.trust.clone().and(&name("other"), case.signer.public());
    let elsewhere = verify(&signed, (&name("other"), &key_of("a")), &trust, now());
    assert_eq!(elsewhere, Err(Refusal::OtherNamespace));
    assert_eq!(verify(&signed, (&name("main"), &key_of("b")), &trust, now()), Err(Refusal::OtherKey));
    let mut other_exec = key_of("a");
    other_exec.exec[31] ^= 1;
    assert_eq!(verify(&signed, (&name("main"), &other_exec), &trust, now()), Err(Refusal::OtherKey));
}

#[test]
fn an_entry_is_believed_from_its_creation_to_its_expiry() {
    let case = case();
    let signed = entry().sign(&case.signer).unwrap();
    let at = |now: SystemTime| verify(&signed, (&name("main"), &key_of("a")), &case.trust, now).map(|_| ());
    let second = Duration::from_secs(1);
    assert_eq!(at(now() - CLOCK_TOLERANCE), Ok(()));
    assert_eq!(at(now() - CLOCK_TOLERANCE - second), Err(Refusal::Future));
    assert_eq!(at(now() + LIFETIME - second), Ok(()));
    assert_eq!(at(now() + LIFETIME), Err(Refusal::Expired));
}

#[test]
fn no_signer_can_state_a_longer_life_than_all_have() {
    let case = case();
    let mut long = entry();
    long.expires = now() + 10 * LIFETIME;
    let signed = long.sign(&case.signer).unwrap();
    let later = verify(&signed, (&name("main"), &key_of("a")), &case.trust, now() + LIFETIME);
    assert_eq!(later, Err(Refusal::Expired));
}

#[test]
fn a_signature_of_another_domain_is_no_signature_of_an_entry() {
    let case = case();
    let bytes = seal(b"another domain\0", entry().statement().unwrap(), &case.signer);
    assert_eq!(case.check(&bytes), Err(Refusal::WrongSignature));
}

#[test]
fn an_entry_that_is_too_long_is_not_signed() {
    let mut long = entry();
    long.parcel = vec![0; ENTRY_BYTES_MAX];
    assert_eq!(long.sign(&case().signer), None);
}
