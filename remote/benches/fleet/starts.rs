//! Starts of a host: all its plugins from its own store, from a bucket one after the other, from a bucket by a bundle.

use std::time::Instant;

use plugcache::How;

use crate::{
    compile::Compiler,
    far::DISTANCES,
    is_quick,
    measure::{Side, Spread, rounds, seconds},
    place::{Kind, Machine, Place, Published, load, pull},
    throughput::size,
};

pub struct Row {
    pub plugins: usize,
    pub len: usize,
    pub millis: u64,
    pub own: Spread,
    pub singly: Spread,
    pub bundle: Spread,
    /// The first compiler, if there is one, for as many plugins.
    pub compiler: Option<f64>,
}

pub fn measure(place: &Place, compilers: &[Compiler]) -> Vec<Row> {
    let lens: &[usize] = if is_quick() { &[16 << 10] } else { &[16 << 10, 256 << 10, 4 << 20] };
    let mut rows = Vec::new();
    for plugins in if is_quick() { [1, 5] } else { [1, 50] } {
        for &len in lens {
            let published = place.publish(Kind::Program, len, plugins);
            for (number, millis) in DISTANCES.into_iter().enumerate() {
                eprintln!("{plugins} plugins of {len} bytes, {millis} ms away");
                let spreads = row(place, &published, number);
                let compiler = compilers.first().map(|compiler| compiler.spread.median * plugins as f64);
                let [own, singly, bundle] = spreads;
                rows.push(Row { plugins, len, millis, own, singly, bundle, compiler });
            }
        }
    }
    rows
}

/// Each start is a new client and a new handle, as in a new process.
fn row(place: &Place, published: &Published, distance: usize) -> [Spread; 3] {
    let address = place.far.addresses[distance];
    let old = Machine::new(place);
    let remote = place.reader(address);
    pull(&old.store(&remote), &remote, published);
    let own = || {
        let begun = Instant::now();
        let remote = place.reader(address);
        load(&old.store(&remote), published, &How::Hit);
        begun.elapsed()
    };
    let singly = || {
        let machine = Machine::new(place);
        let begun = Instant::now();
        let remote = place.reader(address);
        load(&machine.store(&remote), published, &How::Fetched);
        begun.elapsed()
    };
    let bundle = || {
        let machine = Machine::new(place);
        let begun = Instant::now();
        let remote = place.reader(address);
        let store = machine.store(&remote);
        pull(&store, &remote, published);
        load(&store, published, &How::Hit);
        begun.elapsed()
    };
    let mut sides: [Side<'_>; 3] = [Box::new(own), Box::new(singly), Box::new(bundle)];
    let spreads = rounds(&mut sides);
    [spreads[0], spreads[1], spreads[2]]
}

pub fn table(rows: &[Row]) -> String {
    let mut table = String::from(
        "| plugins | each | away | own store | bucket, one by one | bucket, bundle | compiled with cc | compiled / bundle |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let (compiled, ratio) = row.compiler.map_or((String::new(), String::new()), |time| {
            (seconds(time), format!("{:.1}", time / row.bundle.median))
        });
        table += &format!(
            "| {} | {} | {} ms | {} | {} | {} | {compiled} | {ratio} |\n",
            row.plugins,
            size(row.len as u64),
            row.millis,
            row.own,
            row.singly,
            row.bundle
        );
    }
    table
}
