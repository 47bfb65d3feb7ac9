//! The command `plugcache`: for people who wrap a compiler with it, for people who look into stores, and for scripts.
//!
//! ```text
//! args.rs      the command line            verbs/     what each verb does
//! key.rs       flags -> sources            outputs.rs files put in their places
//! tools.rs     command -> toolchain        place.rs   which store
//! exit.rs      codes and failures          out/       JSON, tables, numbers, colour
//! signals.rs   ^C                          html/      the page of `du` and `stats`
//! tier/        where the tier is           no_tier.rs nowhere, without the feature `remote`
//! ```
//!
//! Built on the public API of the library alone. What it keeps: the build is never harmed by the store (`run`),
//! standard output is data, and every code that a script sees is one of `exit.rs`.
#![expect(
    clippy::disallowed_methods,
    reason = "the rule is the library's: this command works with the caller's files, and by the clock"
)]

mod args;
mod entries;
mod exit;
mod html;
mod key;
mod out;
mod outputs;
mod place;
mod progress;
mod signals;
#[cfg(feature = "remote")]
mod tier;
#[cfg(not(feature = "remote"))]
#[path = "no_tier.rs"]
mod tier;
mod tools;
mod verbs;

#[cfg(feature = "remote")]
use args::KeyVerbArgs;
use args::{Cli, Late, Verb};
use clap::Parser as _;
use exit::{Done, Exit, Fail};
use std::{env, ffi::OsString, process::ExitCode};
use verbs::{doctor, drop, du, explain, find, ls, put, run, scrub, stats, sweep, texts, transfer};

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => ExitCode::from(code(cli)),
        Err(error) => {
            // Nobody may be there to read it.
            let _ = error.print();
            match error.exit_code() {
                0 => ExitCode::SUCCESS,
                // 2 could be the command's own.
                _ if is_run(env::args_os()) => ExitCode::from(exit::RUN_FAILED),
                _ => ExitCode::from(Exit::Usage as u8),
            }
        }
    }
}

fn code_of(done: Done) -> Exit {
    match done {
        Ok(exit) => exit,
        Err(Fail::NobodyReads) => Exit::Success,
        Err(Fail::Told(exit, message)) => {
            exit::tell(message);
            exit
        }
    }
}

fn code(cli: Cli) -> u8 {
    let store = cli.store.as_deref();
    let done = match cli.verb {
        Verb::Run(Late(args)) => return run::run(&args, store),
        Verb::Put(Late(args)) => put::put(&args, store),
        Verb::Path(Late(args)) => find::path(&args, store),
        Verb::Get(Late(args)) => find::get(&args, store),
        #[cfg(feature = "remote")]
        Verb::Key(Late(KeyVerbArgs { verb: Some(verb), .. })) => verbs::keys::keys(&verb),
        Verb::Key(Late(args)) => find::key(&args, store),
        Verb::Explain(Late(args)) => explain::explain(&args, store),
        Verb::Ls(args) => ls::ls(&args, store),
        Verb::Show(Late(args)) => ls::show(&args, store),
        Verb::Stats(Late(args)) => stats::stats(&args, store),
        Verb::Du(Late(args)) => du::du(&args, store),
        Verb::Forget(Late(args)) => drop::forget(&args, store),
        Verb::Clear(args) => drop::clear(&args, store),
        Verb::Scrub(Late(args)) => scrub::scrub(&args, store),
        Verb::Sweep(Late(args)) => sweep::sweep(&args, store),
        Verb::Rebuild(args) => scrub::rebuild(&args, store),
        Verb::Export(Late(args)) => transfer::export(&args, store),
        Verb::Import(Late(args)) => transfer::import(&args, store),
        Verb::Doctor(args) => doctor::doctor(&args, store),
        #[cfg(feature = "remote")]
        Verb::Remote(Late(args)) => verbs::remote::remote(&args.verb, store),
        Verb::Completions { shell } => texts::completions(shell),
        Verb::Man => texts::man(),
    };
    code_of(done) as u8
}

/// Whether a command line that could not be understood was one of `run`: its first word that is no flag.
fn is_run(words: impl Iterator<Item = OsString>) -> bool {
    let mut words = words.skip(1);
    while let Some(word) = words.next() {
        match word.as_encoded_bytes() {
            b"--store" => drop_one(&mut words),
            [b'-', ..] => {}
            word => return word == b"run",
        }
    }
    false
}

fn drop_one(words: &mut impl Iterator<Item = OsString>) {
    let _its_value = words.next();
}
