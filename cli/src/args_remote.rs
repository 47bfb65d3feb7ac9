//! The command line of `remote` and of `key`'s verbs.

use super::Json;
use clap::{Args, Subcommand, ValueHint};
use plugcache_remote::Name;
use std::path::PathBuf;

/// Below the help of `remote`.
const CONFIGURED: &str = "\
The tier is what PLUGCACHE_REMOTE_CONFIG=FILE says, or plugcache/remote.toml in XDG_CONFIG_HOME
(else ~/.config). PLUGCACHE_REMOTE=off, read-only, read-write or write-through overrides its mode,
AWS_ENDPOINT_URL and AWS_REGION what it says of the engine. Credentials are in AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. docs/fleet.md says how to set up a tier.";

#[derive(Args)]
#[command(after_help = CONFIGURED)]
pub(crate) struct RemoteArgs {
    #[command(subcommand)]
    pub(crate) verb: RemoteVerb,
}

#[derive(Subcommand)]
pub(crate) enum RemoteVerb {
    /// Says where the tier is, whether it answers, and what waits to be brought
    Status(Json),
    Push(PushArgs),
    Pull(PullArgs),
    Prefetch(PrefetchArgs),
    Doctor(DoctorArgs),
    Gc(GcArgs),
}

/// Brings entries of the store to the tier; without any named, what `run` and `put` have queued
#[derive(Args)]
pub(crate) struct PushArgs {
    /// The keys of the entries, or enough of the beginning of each
    #[arg(value_name = "KEY")]
    pub(crate) keys: Vec<String>,
    /// All entries
    #[arg(long, conflicts_with = "keys")]
    pub(crate) all: bool,
    /// The entries of this label (and of others, if given several times)
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    pub(crate) label: Vec<String>,
    /// Then publish one signed index of them under this name, for `pull --bundle`
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) bundle: Option<Name>,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// Brings entries of the tier into the store: all that its namespaces have, or those of a bundle
#[derive(Args)]
pub(crate) struct PullArgs {
    /// Only the entries of this bundle: one lookup, then downloads, many at a time
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) bundle: Option<Name>,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// Brings named entries of the tier into the store, so that what is asked for next is there
#[derive(Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["keys", "bundle"]))]
pub(crate) struct PrefetchArgs {
    /// Whole keys, as `plugcache key` prints them
    #[arg(value_name = "KEY")]
    pub(crate) keys: Vec<plugcache::SourceDigest>,
    /// The entries of this bundle
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) bundle: Option<Name>,
    /// What the entries are made for, as it was given to `run` or `put`
    #[arg(long, value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) exec_id: Option<String>,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// Tries all that hosts need of the tier, and looks at the rules by which its engine removes what is old
#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// Give the engine the rules that it lacks; those of others in the bucket stay
    #[arg(long)]
    pub(crate) fix: bool,
    /// Only print the rules, as `aws s3api put-bucket-lifecycle-configuration` takes them
    #[arg(long, conflicts_with_all = ["fix", "json"])]
    pub(crate) rules: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// Removes what is old from the bucket, where the engine has no rules that do; once a day is enough
#[derive(Args)]
pub(crate) struct GcArgs {
    /// Remove nothing, and say what would go
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// Keys that sign, and whom this machine believes.
#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Makes a key that signs, in a new file that only you can read
    New(KeyFileArgs),
    /// Prints the public half of a key that signs, and its id
    Show(KeyFileArgs),
    Trust(TrustArgs),
    Revoke(RevokeArgs),
}

#[derive(Args)]
pub(crate) struct KeyFileArgs {
    /// The file of the key [default: that of [publish] in remote.toml, else `key` beside it]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// Believes what a key has signed
#[derive(Args)]
pub(crate) struct TrustArgs {
    /// The public half, as `key show` prints it
    #[arg(value_name = "PUBLIC")]
    pub(crate) key: String,
    /// Where it is believed
    #[arg(long, value_name = "NAME", value_parser = name, default_value = "main")]
    pub(crate) namespace: Name,
    /// Whose it is, for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) note: String,
    #[command(flatten)]
    pub(crate) file: TrustFile,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// Believes nothing that a key has signed, in no namespace, whatever else is said of it
#[derive(Args)]
pub(crate) struct RevokeArgs {
    /// Its id, or its public half
    #[arg(value_name = "ID")]
    pub(crate) key: String,
    /// Why, for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) file: TrustFile,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args)]
pub(crate) struct TrustFile {
    /// The file of those who are believed [default: that of remote.toml, else `trust` beside it]
    #[arg(long = "file", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) path: Option<PathBuf>,
}

fn name(text: &str) -> Result<Name, String> {
    text.parse().map_err(|error: plugcache_remote::BadName| error.to_string())
}
