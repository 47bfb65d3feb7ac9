//! One object: fetched, proved, unpacked and stored, beside a bare GET whose bytes are thrown away.

use std::{
    cell::RefCell,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use object_store::{
    ClientOptions, ObjectStore, ObjectStoreExt as _, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};
use plugcache::{Fetched, TierKey};

use crate::{
    engine::{KEY_ID, SECRET, client_at},
    is_quick,
    measure::{Side, Spread, median, processor_time, rounds, seconds},
    place::{Kind, Machine, Place},
};

/// The target of the ratio.
pub const TARGET: f64 = 1.2;

pub struct Row {
    kind: Kind,
    len: usize,
    stored: u64,
    fetch: Spread,
    bare: Spread,
    /// Of as many bytes as there are unpacked; `None`: those are the same.
    unpacked: Option<Spread>,
    /// Processor time of this process, without the engine's: ours, and the bare one's.
    work: [f64; 2],
}

/// The client that ours stands on, with a runtime like ours.
struct Bare {
    store: Arc<AmazonS3>,
    runtime: tokio::runtime::Runtime,
}

impl Bare {
    fn new(place: &Place) -> Bare {
        // Ours chooses the process's provider of TLS, without which none is made.
        drop(client_at(place.far.addresses[0]));
        let store = AmazonS3Builder::new()
            .with_access_key_id(KEY_ID)
            .with_secret_access_key(SECRET)
            .with_bucket_name("fleet")
            .with_region("garage")
            .with_endpoint(format!("http://{}", place.far.addresses[0]))
            .with_client_options(ClientOptions::new().with_allow_http(true))
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .build()
            .unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Bare { store: Arc::new(store), runtime }
    }

    fn get(&self, path: &str) -> (Duration, u64) {
        let (store, path) = (self.store.clone(), Path::from(path));
        let begun = Instant::now();
        let task = self.runtime.spawn(async move {
            let mut pieces = store.get(&path).await.unwrap().into_stream();
            let mut len = 0;
            while let Some(piece) = pieces.next().await {
                len += piece.unwrap().len() as u64;
            }
            len
        });
        let len = self.runtime.block_on(task).unwrap();
        (begun.elapsed(), len)
    }

    /// The paths of all objects.
    fn objects(&self) -> Vec<String> {
        let below = Path::from("v1/cas");
        self.runtime.block_on(async {
            self.store.list(Some(&below)).map(|meta| meta.unwrap().location.to_string()).collect().await
        })
    }
}

/// Publishes one object; its key, and where it lies.
fn published(place: &Place, bare: &Bare, kind: Kind, len: usize) -> (TierKey, String) {
    let before = bare.objects();
    let published = place.publish(kind, len, 1);
    let mut new = bare.objects();
    new.retain(|path| !before.contains(path));
    assert_eq!(new.len(), 1, "{new:?}");
    (published.keys[0], new.remove(0))
}

pub fn measure(place: &Place) -> Vec<Row> {
    let bare = Bare::new(place);
    let lens: &[usize] =
        if is_quick() { &[16 << 10, 1 << 20] } else { &[16 << 10, 256 << 10, 4 << 20, 64 << 20] };
    // What is fetched first by each machine: its directories and its connection are made then, and not timed.
    let first = place.publish(Kind::Noise, 1000, 1).keys[0];
    let mut rows = Vec::new();
    for &len in lens {
        let noise = published(place, &bare, Kind::Noise, len);
        let program = published(place, &bare, Kind::Program, len);
        for (kind, (key, path)) in [(Kind::Noise, &noise), (Kind::Program, &program)] {
            eprintln!("{kind:?}, {len} bytes");
            rows.push(row(place, &bare, (kind, len), (first, *key), (path, &noise.1)));
        }
    }
    rows
}

/// Only as long as `noise`, the object that no packing made shorter, are the bytes of a packed one when unpacked.
fn row(
    place: &Place,
    bare: &Bare,
    (kind, len): (Kind, usize),
    (first, key): (TierKey, TierKey),
    (path, noise): (&str, &str),
) -> Row {
    let remote = place.reader(place.far.addresses[0]);
    let work: [RefCell<Vec<f64>>; 2] = Default::default();
    let fetch = || {
        let machine = Machine::new(place);
        let store = machine.store(&remote);
        assert_eq!(store.fetch(&first).unwrap(), Fetched::Now);
        let (begun, before) = (Instant::now(), processor_time());
        assert_eq!(store.fetch(&key).unwrap(), Fetched::Now);
        let took = begun.elapsed();
        work[0].borrow_mut().push((processor_time() - before).as_secs_f64());
        took
    };
    let get = || {
        let before = processor_time();
        let took = bare.get(path).0;
        work[1].borrow_mut().push((processor_time() - before).as_secs_f64());
        took
    };
    let stored = bare.get(path).1;
    let mut sides: Vec<Side<'_>> = vec![Box::new(fetch), Box::new(get)];
    if kind == Kind::Program {
        sides.push(Box::new(|| bare.get(noise).0));
    }
    let spreads = rounds(&mut sides);
    drop(sides);
    let (fetch, bare, unpacked) = (spreads[0], spreads[1], spreads.get(2).copied());
    Row { kind, len, stored, fetch, bare, unpacked, work: work.map(|times| median(times.into_inner())) }
}

pub fn table(rows: &[Row]) -> String {
    let mut table = String::from(
        "| object | in the bucket | fetched, proved, stored | bare GET of that | ratio | at most | | bare GET of as many unpacked | ratio | processor time of both clients |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let ratio = row.fetch.median / row.bare.median;
        let met = if ratio <= TARGET { "met" } else { "missed" };
        let unpacked = row.unpacked.map_or(String::from("the same |"), |unpacked| {
            format!("{unpacked} | {:.2}", row.fetch.median / unpacked.median)
        });
        let what = if row.kind == Kind::Noise { "noise" } else { "program" };
        table += &format!(
            "| {} of {what} | {} | {} | {} | {ratio:.2} | {TARGET} | {met} | {unpacked} | {}, {} |\n",
            size(row.len as u64),
            size(row.stored),
            row.fetch,
            row.bare,
            seconds(row.work[0]),
            seconds(row.work[1])
        );
    }
    table
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    if bytes < 1 << 20 {
        format!("{} KiB", bytes.div_ceil(1 << 10))
    } else {
        format!("{:.1} MiB", bytes as f64 / (1u64 << 20) as f64)
    }
}
