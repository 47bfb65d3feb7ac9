//! Runs the tests one after the other, and prints what each has counted or why it was skipped.
//!
//! Understands what `cargo test` and its relatives pass on: filters, `--exact`, `--skip`, `--list`.

use std::{
    env, panic,
    process::{Command, ExitCode, Stdio},
    str::FromStr,
    time::Instant,
};

/// A sentence that can be false, and its proof.
pub(crate) type Test = (&'static str, fn() -> Outcome);

/// What was counted, or why nothing was done. Failing is a panic.
pub(crate) type Outcome = Result<String, Skipped>;

/// Why a test cannot run here.
pub(crate) struct Skipped(pub String);

/// Names the tests of a module.
#[macro_export]
macro_rules! tests {
    ($module:literal: $($test:ident),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::harness::Test] =
            &[$((concat!($module, "::", stringify!($test)), $test)),*];
    };
}

#[derive(Default)]
struct Wanted {
    filters: Vec<String>,
    skips: Vec<String>,
    exact: bool,
    list: bool,
    none: bool,
}

impl Wanted {
    fn from_args() -> Wanted {
        let mut wanted = Wanted::default();
        let mut args = env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--exact" => wanted.exact = true,
                "--list" => wanted.list = true,
                // None of these tests is ignored.
                "--ignored" => wanted.none = true,
                "--skip" => wanted.skips.extend(args.next()),
                // What shapes the run or the output of the usual harness.
                "--test-threads" | "--format" | "--color" | "-Z" | "--logfile" => drop(args.next()),
                _ if arg.starts_with('-') => {}
                _ => wanted.filters.push(arg),
            }
        }
        wanted
    }

    fn has(&self, name: &str) -> bool {
        let fits = |text: &String| if self.exact { name == text } else { name.contains(text.as_str()) };
        let filtered = self.filters.is_empty() || self.filters.iter().any(fits);
        filtered && !self.none && !self.skips.iter().any(fits)
    }
}

pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let wanted = Wanted::from_args();
    let chosen: Vec<_> = tests.iter().filter(|(name, _)| wanted.has(name)).collect();
    if wanted.list {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", chosen.len());
    let begin = Instant::now();
    let (mut failed, mut skipped) = (Vec::new(), 0);
    for (name, test) in &chosen {
        let began = Instant::now();
        let outcome = match panic::catch_unwind(test) {
            Ok(Ok(counted)) => format!("ok: {counted}"),
            Ok(Err(Skipped(why))) => {
                skipped += 1;
                format!("skipped: {why}")
            }
            Err(_) => {
                failed.push(*name);
                "FAILED".to_owned()
            }
        };
        println!("test {name} ... {outcome} ({:.1} s)", began.elapsed().as_secs_f32());
    }
    failed.iter().for_each(|name| println!("failed: {name}"));
    let (result, passed) = (if failed.is_empty() { "ok" } else { "FAILED" }, chosen.len() - skipped);
    println!(
        "\ntest result: {result}. {} passed; {} failed; {skipped} skipped; {} filtered out; {:.1} s\n",
        passed - failed.len(),
        failed.len(),
        tests.len() - chosen.len(),
        begin.elapsed().as_secs_f32(),
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Skips unless these programs are there.
pub(crate) fn need(programs: &[&str]) -> Result<(), Skipped> {
    for program in programs {
        let mut asked = Command::new("sh");
        asked.args(["-c", &format!("command -v {program}")]).stdout(Stdio::null());
        if !asked.status().is_ok_and(|status| status.success()) {
            return Err(Skipped(format!("{program} is not installed")));
        }
    }
    Ok(())
}

pub(crate) fn need_root() -> Result<(), Skipped> {
    let root = rustix::process::geteuid().is_root();
    if root { Ok(()) } else { Err(Skipped("only root may mount".into())) }
}

/// A number from the environment, or the one that fits three minutes.
pub(crate) fn count<T: FromStr + Copy>(variable: &str, usual: T) -> T {
    env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
