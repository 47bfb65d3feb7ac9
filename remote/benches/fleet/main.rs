//! How long a machine with an empty disk takes to have its plugins: from its own store, from a bucket that is 0, 20 and
//! 200 ms away, and from a compiler. And a download that is proved, unpacked and stored, beside a bare one of the same
//! bytes. Run it with `cargo bench --bench fleet` in remote/, on a machine that does nothing else.
//!
//! The engine (s3s-fs) is another process, and so is the network: it delays answers, and nothing else. All that is
//! compared is measured in turns, in one run. Variables: `PLUGCACHE_BENCH_QUICK` runs each once and small, which shows that
//! it works and nothing more; `PLUGCACHE_BENCH_WRITE` puts the tables into docs/fleet.md and draws its picture;
//! `PLUGCACHE_BENCH_DOWNLOADS` leaves out all but the downloads.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![allow(unreachable_pub, reason = "modules of one binary")]
#![allow(missing_docs, reason = "nobody imports it")]

mod compile;
#[path = "../../tests/it/engine.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod engine;
mod far;
mod measure;
mod page;
mod place;
mod starts;
mod throughput;

/// Whether each is run once, to see that it works.
pub fn is_quick() -> bool {
    std::env::var_os("PLUGCACHE_BENCH_QUICK").is_some()
}

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    if let [_, role, dir] = &arguments[..]
        && role == far::ROLE
    {
        return far::serve(dir.as_ref());
    }
    // For whoever looks into downloads.
    if std::env::var_os("PLUGCACHE_BENCH_DOWNLOADS").is_some() {
        return println!("{}", throughput::table(&throughput::measure(&place::Place::new())));
    }
    let before = page::load();
    let place = place::Place::new();
    let compilers = compile::measure(&place);
    let throughput = throughput::measure(&place);
    let starts = starts::measure(&place, &compilers);
    let tables = [
        throughput::table(&throughput),
        starts::table(&starts),
        compile::table(&compilers),
        page::about(&before),
    ]
    .join("\n");
    println!("{tables}");
    if std::env::var_os("PLUGCACHE_BENCH_WRITE").is_some() {
        page::write(&tables);
        page::draw(&starts, &compilers);
    }
}
