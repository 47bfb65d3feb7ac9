//! A fleet of ten thousand and of a million machines on paper: who starts, what is compiled, and what the engines are asked.
//!
//! ```text
//! fleet_simulation                  the tables
//! fleet_simulation --json           everything, by hour and by ten seconds of a release
//! fleet_simulation --write docs     the tables between the marks of docs/fleet.md, and its pictures
//! fleet_simulation --machines N     the table of a fleet of this size
//! ```
//!
//! The same seed gives the same numbers. `model/` decides what a machine does; remote/tests/it/model.rs holds it against
//! real stores. `traffic.rs` decides when, by chance.

#![allow(unreachable_pub, reason = "modules of one binary, and of a test")]
#![allow(missing_docs, reason = "nobody imports it")]

mod model;
mod picture;
mod pictures;
mod random;
mod report;
mod scenarios;
mod traffic;

use std::{fs, path::Path, thread};

use anyhow::{Context as _, Result, bail};

use traffic::{Outcome, Scenario};

const SIZES: [u32; 2] = [10_000, 1_000_000];

/// Runs all of them, as many at once as there are processors.
fn run(scenarios: &[Scenario]) -> Vec<Outcome> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let per_thread = scenarios.len().div_ceil(threads).max(1);
    thread::scope(|scope| {
        let work =
            |some| scope.spawn(move || <[Scenario]>::iter(some).map(Scenario::run).collect::<Vec<_>>());
        let running: Vec<_> = scenarios.chunks(per_thread).map(work).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("it has no reason to fail")).collect()
    })
}

fn tables(sizes: &[u32]) -> String {
    let one = |machines: &u32| {
        let outcomes = run(&scenarios::table(*machines));
        let days = outcomes[0].scenario.days;
        format!("{machines} machines, {days} days:\n\n{}", report::table(&outcomes))
    };
    sizes.iter().map(one).collect::<Vec<_>>().join("\n")
}

const BEGIN: &str = "<!-- simulation: begin -->\n";
const END: &str = "<!-- simulation: end -->";

fn write(docs: &Path) -> Result<()> {
    let path = docs.join("fleet.md");
    let page = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let (before, rest) = page.split_once(BEGIN).context("the mark where the tables begin")?;
    let (_, after) = rest.split_once(END).context("the mark where they end")?;
    let storage = run(&scenarios::storage());
    fs::create_dir_all(docs.join("fleet"))?;
    for (name, svg) in [
        ("requests.svg", pictures::requests(&run(&scenarios::day(SIZES[1])))),
        ("hits.svg", pictures::hits()),
        ("storage.svg", pictures::storage(&storage)),
    ] {
        fs::write(docs.join("fleet").join(name), svg)?;
    }
    fs::write(&path, format!("{before}{BEGIN}\n{}\n{END}{after}", tables(&SIZES)))?;
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => print!("{}", tables(&SIZES)),
        ["--machines", machines] => print!("{}", tables(&[machines.parse()?])),
        ["--json"] => {
            let all: Vec<_> = SIZES.into_iter().flat_map(scenarios::table).collect();
            print!("{}", report::json(&run(&all)));
        }
        ["--write", docs] => write(docs.as_ref())?,
        _ => bail!("usage: fleet_simulation [--json | --write DOCS | --machines N]"),
    }
    Ok(())
}
