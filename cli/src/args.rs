//! The command line: what may be written, and what the help says about it.

use crate::out::human;
use clap::{ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueHint};
use std::{ffi::OsString, path::PathBuf, time::Duration};

#[cfg(feature = "remote")]
#[path = "args_remote.rs"]
pub(crate) mod remote;

/// The first line of the help, of the man page and of README.md's section.
pub(crate) const EXAMPLE: &str =
    "plugcache run -o plugin.so -s plugin.c -- cc -shared -fPIC -o plugin.so plugin.c";

/// Below the help and in the man page.
const AFTER: &str = "\
The store is that of --store, else of PLUGCACHE_DIR, else in the user's cache directory.
PLUGCACHE_DISABLE=1 makes `run` run its command and nothing else.

Exit codes: 0 success, 1 failure, 2 wrong usage, 3 miss, 4 damage found, 5 busy or timed out.
`run` ends with its command's own code; 125 if plugcache itself failed or a required hit is
missing, 126 if the command cannot be started, 127 if there is none, 128 + n for signal n.";

/// Compiles nothing twice: wraps a compiler, and looks into stores of compiled plugins.
#[derive(Parser)]
#[command(name = "plugcache", version, before_help = EXAMPLE, after_help = AFTER, max_term_width = 100)]
pub(crate) struct Cli {
    /// Directory of the store [default: PLUGCACHE_DIR, else in the user's cache directory]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) store: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Runs a command, unless what it makes is in the store
    ///
    /// The key is the sources in order, the command line, the named environment variables and the contents of the tools.
    /// On a hit the outputs are put in their places and nothing is printed; on a miss the command runs, and if it succeeds
    /// its outputs are stored. Many at once with the same key run it once.
    Run(Late<RunArgs>),
    /// Stores files that were made elsewhere
    Put(Late<PutArgs>),
    /// Prints where the stored file lies
    Path(Late<PathArgs>),
    /// Copies stored files to where they are wanted
    Get(Late<GetArgs>),
    /// Prints the source digest; its verbs keep the keys that sign
    Key(Late<KeyVerbArgs>),
    /// Says whether a key hits, and if not, why not and what to do
    Explain(Late<ExplainArgs>),
    /// Lists the entries of the store
    Ls(Json),
    /// Shows all that is recorded with an entry
    Show(Late<ShowArgs>),
    /// What the store holds and what it was good for
    Stats(Late<PageArgs>),
    /// What fills the store, by label
    Du(Late<PageArgs>),
    /// Drops entries
    Forget(Late<ForgetArgs>),
    /// Drops all entries; what is in use stays usable
    Clear(Json),
    /// Reads everything that is stored, proves it, and sets aside what is damaged
    Scrub(Late<ScrubArgs>),
    /// Brings the store within limits, and removes what killed processes left behind
    Sweep(Late<SweepArgs>),
    /// Writes the list of entries anew, from whatever of it can be read
    Rebuild(Json),
    /// Writes entries into a directory of their own, for an image or another machine
    Export(Late<ExportArgs>),
    /// Takes in what another store or an export has and this one does not
    Import(Late<ImportArgs>),
    /// Looks for what keeps a store from working, and says what to do
    Doctor(Json),
    /// The tier that is an S3 bucket: what it is at, what goes there, what comes
    #[cfg(feature = "remote")]
    Remote(Late<remote::RemoteArgs>),
    /// Prints the completions of a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Prints the manual page (roff)
    Man,
}

/// The flags of a verb, made when it is called: to make those of all verbs takes longer than a hit.
pub(crate) struct Late<T>(pub(crate) T);

impl<T: Args> Args for Late<T> {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.defer(flags_of::<T>)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        command.defer(T::augment_args_for_update)
    }
}

/// What a verb is said to do stays: the comment of a part of its flags would take its place.
fn flags_of<T: Args>(verb: clap::Command) -> clap::Command {
    let (about, long_about) = (verb.get_about().cloned(), verb.get_long_about().cloned());
    let of = |text| clap::builder::Resettable::from(text);
    T::augment_args(verb).about(of(about)).long_about(of(long_about))
}

impl<T: FromArgMatches> FromArgMatches for Late<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Late<T>, clap::Error> {
        T::from_arg_matches(matches).map(Late)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

#[derive(Args)]
pub(crate) struct Json {
    /// Print JSON, as docs/json.md describes it
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is in the key, but for the command.
#[derive(Args)]
pub(crate) struct KeyArgs {
    /// A source file; the order counts, and so do their names and contents, not their directories
    #[arg(short, long = "source", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) sources: Vec<PathBuf>,
    /// Whatever else the result depends on
    #[arg(short, long, value_name = "LABEL=VALUE", value_parser = pair)]
    pub(crate) context: Vec<(String, String)>,
    /// An environment variable that the result depends on
    #[arg(short, long, value_name = "ENVVAR", value_parser = variable)]
    pub(crate) env: Vec<String>,
    /// Record the values of these variables as they are, not only their digests
    #[arg(long)]
    pub(crate) show_env: bool,
    /// A program that does the work, identified by content [default: COMMAND's]
    #[arg(long = "tool", value_name = "PATH", value_hint = ValueHint::ExecutablePath)]
    pub(crate) tools: Vec<PathBuf>,
    /// The working directory is a part of the key
    #[arg(long)]
    pub(crate) key_cwd: bool,
    /// What the result is made for, such as a version of a plugin interface
    #[arg(long, value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) exec_id: Option<String>,
    /// What people call it; no part of the key [default: the first source]
    #[arg(long, value_name = "NAME")]
    pub(crate) label: Option<String>,
}

#[derive(Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// A file that the command makes
    #[arg(short, long = "output", value_name = "FILE", required = true, value_parser = output, value_hint = ValueHint::FilePath)]
    pub(crate) outputs: Vec<PathBuf>,
    /// A depfile that the command writes (`cc -MD`): what it names must be unchanged for the next hit
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) depfile: Option<PathBuf>,
    /// Run the command even on a hit, and replace what is stored
    #[arg(long, group = "how")]
    pub(crate) refresh: bool,
    /// Do not run the command: a miss is an error (125)
    #[arg(long, group = "how")]
    pub(crate) require_hit: bool,
    /// Only run the command
    #[arg(long, group = "how")]
    pub(crate) no_store: bool,
    /// Store what it prints on both streams too, and print it again on a hit
    #[arg(long)]
    pub(crate) capture: bool,
    /// Say on standard error: hit or miss, and why
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// The command that makes the outputs
    #[arg(last = true, required = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
}

/// The command whose key is meant.
#[derive(Args)]
pub(crate) struct OfCommand {
    /// The command of `run` whose key is meant
    #[arg(last = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Args)]
pub(crate) struct PutArgs {
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    #[command(flatten)]
    pub(crate) json: Json,
    /// The files to store; the first one is what `path` and `get` give
    #[arg(required = true, value_name = "ARTIFACT", value_parser = output, value_hint = ValueHint::FilePath)]
    pub(crate) artifacts: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) of: OfCommand,
}

/// How long to wait for somebody else who is building it.
#[derive(Args)]
pub(crate) struct Wait {
    /// Wait this long for somebody else who is making it just now [default: not at all]
    #[arg(long, value_name = "TIME", value_parser = human::parse_span)]
    pub(crate) wait: Option<Duration>,
}

#[derive(Args)]
pub(crate) struct PathArgs {
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    #[command(flatten)]
    pub(crate) wait: Wait,
    /// All files of the entry, not only the first one
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) json: Json,
    #[command(flatten)]
    pub(crate) of: OfCommand,
}

#[derive(Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    #[command(flatten)]
    pub(crate) wait: Wait,
    /// Where the next file of the entry goes, in the order in which they were stored
    #[arg(short, long = "output", value_name = "FILE", required = true, value_parser = output, value_hint = ValueHint::FilePath)]
    pub(crate) outputs: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) json: Json,
    #[command(flatten)]
    pub(crate) of: OfCommand,
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct KeyVerbArgs {
    #[cfg(feature = "remote")]
    #[command(subcommand)]
    pub(crate) verb: Option<remote::KeyCommand>,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    #[command(flatten)]
    pub(crate) json: Json,
    #[command(flatten)]
    pub(crate) of: OfCommand,
}

#[derive(Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    #[command(flatten)]
    pub(crate) json: Json,
    #[command(flatten)]
    pub(crate) of: OfCommand,
}

#[derive(Args)]
pub(crate) struct ShowArgs {
    /// Its key, or enough of the beginning of it
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args)]
pub(crate) struct ForgetArgs {
    /// Their keys, or enough of the beginning of each
    #[arg(required = true, value_name = "KEY")]
    pub(crate) keys: Vec<String>,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args)]
pub(crate) struct ScrubArgs {
    /// Read no more than this in a second [default: as fast as it goes]
    #[arg(long, value_name = "SIZE", value_parser = human::parse_size)]
    pub(crate) bytes_per_second: Option<u64>,
    /// Stop after so much; the report says where to go on
    #[arg(long, value_name = "SIZE", value_parser = human::parse_size)]
    pub(crate) max_bytes: Option<u64>,
    /// Go on where an earlier one stopped
    #[arg(long, value_name = "CURSOR")]
    pub(crate) from: Option<String>,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args)]
pub(crate) struct SweepArgs {
    /// Let entries go until their files take no more than this
    #[arg(long, value_name = "SIZE", value_parser = human::parse_size)]
    pub(crate) max_bytes: Option<u64>,
    /// Let entries go until there are no more than this
    #[arg(long, value_name = "N")]
    pub(crate) max_files: Option<u64>,
    /// Let entries go that were not used for this long, such as 30d
    #[arg(long, value_name = "TIME", value_parser = human::parse_span)]
    pub(crate) idle: Option<Duration>,
    /// Change nothing, and say what would go
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args)]
pub(crate) struct ExportArgs {
    /// A directory that is empty or not there yet
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// Only the entries of this label (and of others, if given several times)
    #[arg(long, value_name = "NAME")]
    pub(crate) label: Vec<String>,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args)]
pub(crate) struct ImportArgs {
    /// The directory of the other store
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) json: Json,
}

#[derive(Args)]
pub(crate) struct PageArgs {
    #[command(flatten)]
    pub(crate) json: Json,
    /// Write a page for a browser to this file instead; it needs no network
    #[arg(long, value_name = "FILE", conflicts_with = "json", value_hint = ValueHint::FilePath)]
    pub(crate) html: Option<PathBuf>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (label, value) =
        text.split_once('=').filter(|(label, _)| !label.is_empty()).ok_or("write LABEL=VALUE")?;
    Ok((label.into(), value.into()))
}

fn variable(name: &str) -> Result<String, String> {
    if name.is_empty() || name.contains('=') {
        Err("this is no variable's name".into())
    } else {
        Ok(name.into())
    }
}

/// A path that can be a file's. Those that cannot are names of what `run --capture` stores.
fn output(path: &str) -> Result<PathBuf, String> {
    let is_file = PathBuf::from(path).file_name().is_some() && !path.ends_with('/');
    if is_file { Ok(path.into()) } else { Err("this is no file's name".into()) }
}
