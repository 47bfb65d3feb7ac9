//! `key new`, `show`, `trust`, `revoke`: keys that sign, and whom this machine believes.

use crate::{
    args::remote::{KeyCommand, KeyFileArgs, RevokeArgs, TrustArgs, TrustFile},
    exit::{Done, Exit, Fail},
    out::Out,
    place::absolute,
    tier::{Settings, default_dir},
};
use plugcache_remote::{KeyId, PublicKey, SecretKey, revoke, trust};
use serde::Serialize;
use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

#[derive(Serialize)]
struct Shown {
    file: String,
    id: String,
    public: String,
}

#[derive(Serialize)]
struct Trusted {
    file: String,
    namespace: String,
    id: String,
}

#[derive(Serialize)]
struct Revoked {
    file: String,
    id: String,
}

pub(crate) fn keys(verb: &KeyCommand) -> Done {
    match verb {
        KeyCommand::New(args) => new(args),
        KeyCommand::Show(args) => show(args),
        KeyCommand::Trust(args) => add(args),
        KeyCommand::Revoke(args) => remove(args),
    }
}

fn new(args: &KeyFileArgs) -> Done {
    let file = key_file(args)?;
    make_parent(&file)?;
    let key = SecretKey::generate(&file).map_err(|error| Fail::of(&error))?;
    print("key-new", args, &file, &key)
}

fn show(args: &KeyFileArgs) -> Done {
    let file = key_file(args)?;
    let key = SecretKey::load(&file).map_err(|error| Fail::of(&error))?;
    print("key-show", args, &file, &key)
}

/// Of the secret half not a byte.
fn print(verb: &str, args: &KeyFileArgs, file: &Path, key: &SecretKey) -> Done {
    let shown = Shown {
        file: file.display().to_string(),
        id: key.id().to_string(),
        public: key.public().to_string(),
    };
    let mut out = Out::new();
    if args.json.json {
        out.json(verb, &shown)?;
    } else {
        out.line(format!("public {}", shown.public))?;
        out.line(format!("id     {}", shown.id))?;
        out.line(format!("file   {}", shown.file))?;
    }
    out.finish()?;
    Ok(Exit::Success)
}

fn add(args: &TrustArgs) -> Done {
    let key: PublicKey = args.key.parse().map_err(Fail::usage)?;
    let file = trust_file(&args.file)?;
    make_parent(&file)?;
    trust(&file, &args.namespace, &key, &args.note).map_err(|error| Fail::of(&error))?;
    let (id, namespace) = (key.id().to_string(), args.namespace.to_string());
    let mut out = Out::new();
    if args.json.json {
        out.json("key-trust", &Trusted { file: file.display().to_string(), namespace, id })?;
    } else {
        out.line(format!("{id} is believed in {namespace}: {}", file.display()))?;
    }
    out.finish()?;
    Ok(Exit::Success)
}

fn remove(args: &RevokeArgs) -> Done {
    let of_public = |_| args.key.parse().map(|key: PublicKey| key.id());
    let wrong =
        |_| Fail::usage("name a key by its id, 32 hexadecimal digits, or its public half, 64 of them");
    let id: KeyId = args.key.parse().or_else(of_public).map_err(wrong)?;
    let file = trust_file(&args.file)?;
    make_parent(&file)?;
    revoke(&file, &id, &args.reason).map_err(|error| Fail::of(&error))?;
    let mut out = Out::new();
    if args.json.json {
        out.json("key-revoke", &Revoked { file: file.display().to_string(), id: id.to_string() })?;
    } else {
        out.line(format!("{id} is believed nowhere any more: {}", file.display()))?;
    }
    out.finish()?;
    Ok(Exit::Success)
}

fn key_file(args: &KeyFileArgs) -> Result<PathBuf, Fail> {
    let of_settings = |settings: Settings| {
        let beside = settings.file.with_file_name("key");
        settings.publish.map_or(beside, |publish| publish.key)
    };
    file_or(args.file.as_deref(), of_settings, "key")
}

fn trust_file(args: &TrustFile) -> Result<PathBuf, Fail> {
    file_or(args.path.as_deref(), |settings| settings.trust, "trust")
}

/// The file that was named, else that of the configuration, else the usual one.
fn file_or(
    named: Option<&Path>,
    of_settings: impl FnOnce(Settings) -> PathBuf,
    usual: &str,
) -> Result<PathBuf, Fail> {
    if let Some(named) = named {
        return Ok(absolute(named));
    }
    if let Some(settings) = Settings::find().map_err(Fail::new)? {
        return Ok(absolute(&of_settings(settings)));
    }
    let dir = default_dir().ok_or_else(|| Fail::new("there is no home directory: name the file"))?;
    Ok(dir.join(usual))
}

/// Its owner's alone: who can write to it decides what is believed.
fn make_parent(file: &Path) -> Result<(), Fail> {
    let Some(parent) = file.parent() else { return Ok(()) };
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(parent);
    made.map_err(Fail::doing("make", parent))
}
