//! Each operation beside its floor twin, the bare system calls of `benches/twins`.
//!
//! ```text
//! cargo bench --bench floor                        all rows: absolute figures by criterion, then the table of ratios
//! cargo bench --bench floor -- ratios [ROW]        the table alone, of the rows whose name contains ROW
//! cargo bench --bench floor -- criterion [ROW]     the absolute figures alone
//! cargo bench --bench floor -- calls ROW           the system calls of one operation, beside those of the twin
//! cargo bench --bench floor -- make DIR ENTRIES    a store of that many entries, for benches/compare
//! ```
//!
//! A ratio is that of two medians of rounds that took turns within one run. The state is warm unless a row says
//! otherwise. With `PLUGCACHE_BENCH_WRITE=1` the table goes into docs/performance.md and its picture beside it.
//! `PLUGCACHE_BENCH_DIR` says where the stores are made (else the temporary directory of the system),
//! `PLUGCACHE_BENCH_QUICK=1` leaves out what takes minutes (10^6 entries, 1 GiB). Only `PLUGCACHE_BENCH_COLD=1` drops
//! the caches of the machine.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on should stop right there")]
#![expect(clippy::disallowed_methods, reason = "the rule is the library's: the floor is the bare system")]

mod bench;
mod calls;
mod child;
mod page;
mod place;
mod rows_add;
mod rows_digest;
mod rows_find;
mod rows_many;
mod rows_open;
mod rows_packed;
#[path = "../twins/mod.rs"]
mod twins;

use bench::{Bench, Task};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).filter(|word| *word != "--bench").collect();
    // `cargo bench` says so; `cargo test --benches` says nothing, and wants to know whether all of it works.
    let is_test = words.len() == arguments.len() && words.is_empty();
    match words[..] {
        ["child", ref rest @ ..] => return child::main(rest),
        ["calls", row] => return calls::print(row),
        ["make", dir, entries] => return place::make_large(dir.as_ref(), entries.parse().unwrap()),
        _ => {}
    }
    let filter = |rest: &[&str]| rest.first().copied().unwrap_or_default().to_owned();
    let task = match words[..] {
        ["trace", side, row] => Task::Trace { ours: side == "ours", row: row.to_owned() },
        ["ratios", ref rest @ ..] => Task::Measure { ratios: true, criterion: false, filter: filter(rest) },
        ["criterion", ref rest @ ..] => {
            Task::Measure { ratios: false, criterion: true, filter: filter(rest) }
        }
        [] if is_test => Task::Once,
        ref rest => Task::Measure { ratios: true, criterion: true, filter: filter(rest) },
    };
    let mut bench = Bench::new(task);
    rows_find::run(&mut bench);
    rows_open::run(&mut bench);
    rows_digest::run(&mut bench);
    rows_add::run(&mut bench);
    rows_packed::run(&mut bench);
    rows_many::run(&mut bench);
    rows_open::run_cold(&mut bench);
    bench.finish();
}
