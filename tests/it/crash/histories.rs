//! Random histories: several processes with handles of several executables, evictions, small logs that rotate or
//! compact, clocks that jump, failing calls, kills and power cuts, against the model.
//!
//! What a failed sync has lost, no process knows but the one whose sync it was: until the next power cut nothing
//! counts as durable then. [`super::faults`] has failed syncs in the only process at work.
//!
//! `PLUGCACHE_SEED=n` replays one history; `PLUGCACHE_HISTORIES=n` plays so many (from that seed on), 0 without
//! end.

use super::{
    bound,
    check::check,
    config, disk_with_store, empty_disk,
    faults::{ERRNOS, LOSING},
    find, in_parallel,
    model::{After, Key, Model, State},
    open,
    pins::HISTORIES,
    workload::{Done, LAZY, Op, SYNC, Setup, World},
    workloads::{COMPACTS, ROTATES},
};
use plugcache::__sim::{At, Disk, Failure, Fault, Random};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Operations per history.
const OPERATIONS: usize = 30;
/// Processes at a time.
const PROCESSES: usize = 3;

/// One history, and all that has become of it.
struct History {
    random: Random,
    disk: Disk,
    worlds: Vec<World>,
    model: Model,
    setups: [Setup; 2],
    /// A sync may have failed and lost what was not synced.
    is_lossy: bool,
    told: Vec<String>,
    counts: Counts,
}

/// What happened in histories, so that none of it is never.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    histories: usize,
    operations: usize,
    kills: usize,
    cuts: usize,
    faults: usize,
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.histories += other.histories;
        self.operations += other.operations;
        self.kills += other.kills;
        self.cuts += other.cuts;
        self.faults += other.faults;
    }
}

/// Something the matter with one call, or with all from it on.
fn fault(random: &mut Random) -> Fault {
    let n = 1 + random.below(60);
    let at = if random.below(2) == 0 { At::Verb(n) } else { At::From(n) };
    let failure = match random.below(12) {
        0 => Failure::ShortWrite(random.below(100)),
        1 if at == At::Verb(n) => Failure::ShortRead(1 + random.below(100)),
        _ => Failure::Errno(ERRNOS[random.below(ERRNOS.len())].1),
    };
    Fault { at, failure }
}

impl History {
    fn new(seed: u64) -> History {
        let mut random = Random::new(seed);
        let disk = if random.below(4) == 0 { empty_disk(seed) } else { disk_with_store() };
        disk.set_inode_reuse(random.below(2) == 0);
        disk.set_clock_coarse(random.below(3) == 0);
        let sizes = [&[][..], ROTATES, COMPACTS, &[]][random.below(4)];
        sizes.iter().for_each(|(name, bytes)| disk.set_size(name, *bytes));
        let max_files = [3, 4096][random.below(2)];
        let setups = [LAZY, SYNC].map(|setup| Setup { max_files, ..setup });
        let (worlds, model, told, counts) = Default::default();
        let mut history = History { random, disk, worlds, model, setups, is_lossy: false, told, counts };
        history.start();
        history
    }

    /// New processes for all.
    fn start(&mut self) {
        self.worlds = (0..PROCESSES).map(|_| self.new_world()).collect();
    }

    fn new_world(&mut self) -> World {
        let mut world = World::on(self.disk.clone(), Model::default());
        let setup = self.setups[self.random.below(4) / 3];
        // Opening is the first operation, and cannot fail without a fault.
        world.run(Op::Open(setup)).unwrap();
        world
    }

    fn key(&mut self) -> Key {
        let file = self.random.below(3) as u8;
        (10 * file + self.random.below(3) as u8, self.random.below(4) as u8 / 3)
    }

    fn op(&mut self) -> Op {
        let key = self.key();
        let number = 2 + self.random.below(7) as u8;
        let is_capped = self.setups[0].max_files < 100;
        match self.random.below(24) {
            0..8 => Op::Add(key, number),
            8..10 => Op::Get(key, number),
            10..14 => Op::Find(key),
            14..16 => Op::Forget(key),
            16..18 => Op::Compact,
            18 => Op::Sync,
            19 => Op::Hours(30),
            20 => Op::Hours(1),
            21 if !is_capped => Op::Damage(number),
            22 => Op::Open(self.setups[self.random.below(2)]),
            _ => Op::Settle,
        }
    }

    /// Runs an operation in one of the processes, perhaps to its death, perhaps with calls that fail.
    fn step(&mut self) -> Result<(), String> {
        let op = self.op();
        let who = self.random.below(PROCESSES);
        let (dies, fails) = (self.random.below(8) == 0, self.random.below(8) == 0);
        let at = 1 + self.random.below(60);
        let setup = self.setups[self.random.below(2)];
        let fault = fault(&mut self.random);
        let world = &mut self.worlds[who];
        std::mem::swap(&mut world.model, &mut self.model);
        // A compactor elsewhere may refuse what was asked for.
        world.is_strict = !dies && !fails && !matches!(op, Op::Compact);
        if dies {
            world.process.kill_after(at);
        }
        if fails {
            world.process.fail(fault);
            self.is_lossy |= LOSING.map(Failure::Errno).contains(&fault.failure);
        }
        world.is_lossy = self.is_lossy;
        let done = world.run(op);
        world.process.heal();
        let how = [(dies, format!(" killed after {at}")), (fails, format!(" with {fault:?}"))];
        let how: String = how.into_iter().filter_map(|(is_so, how)| is_so.then_some(how)).collect();
        self.told.push(format!("{who} ({:?}): {op:?}{how} {done:?}", world.durability()));
        std::mem::swap(&mut world.model, &mut self.model);
        let is_dead = !world.process.is_alive();
        self.counts.operations += 1;
        self.counts.kills += usize::from(dies);
        self.counts.faults += usize::from(fails);
        // A handle that found the store forbidden to write, or that a sync failed, keeps to that.
        if dies || is_dead || fails {
            world.process.kill();
            *world = World::on(self.disk.clone(), Model::default());
            world.run(Op::Open(setup))?;
        }
        done.map(|_: Done| ())
    }

    fn cut(&mut self) -> Result<(), String> {
        let seed = self.random.next_u64();
        self.counts.cuts += 1;
        self.is_lossy = false;
        self.worlds.clear();
        self.disk = self.disk.power_cut(seed);
        let found = self.look(After::Cut).map_err(|why| format!("{why}\n{}", self.disk.story()))?;
        self.told.push(format!("power cut: {found:?}\n{}", self.disk.story()));
        self.model.found_after_cut(&found);
        self.start();
        Ok(())
    }

    /// Everything that a find shows now, judged; on the disk itself, as a host would.
    fn look(&self, after: After) -> Result<BTreeMap<Key, State>, String> {
        check(&self.disk.snapshot(), &self.model, after)?;
        let mut found = BTreeMap::new();
        for key in self.model.keys() {
            let store =
                open(&self.disk.process(), config(key.1, LAZY.durability)).map_err(|e| e.to_string())?;
            found.insert(key, find(&store, key.0)?);
        }
        Ok(found)
    }

    fn run(&mut self) -> Result<(), String> {
        for _ in 0..OPERATIONS {
            match self.random.below(20) {
                0 => self.cut()?,
                1 => self.disk.advance_clock(Duration::from_secs(self.random.below(1 << 20) as u64)),
                2 => drop(self.look(After::Kill)?),
                _ => self.step()?,
            }
        }
        self.look(After::Kill)?;
        self.counts.histories += 1;
        self.cut()
    }
}

fn play(seed: u64) -> Result<Counts, String> {
    let mut history = History::new(seed);
    let went = catch_unwind(AssertUnwindSafe(|| history.run()));
    let why = match went {
        Ok(Ok(())) => return Ok(history.counts),
        Ok(Err(why)) => why,
        Err(_) => "it panicked".into(),
    };
    Err(format!("PLUGCACHE_SEED={seed}: {why}\n{}", history.told.join("\n")))
}

#[test]
fn no_random_history_loses_what_was_acknowledged_or_finds_what_was_not_put() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = number("PLUGCACHE_SEED");
    let daily = if seed.is_some() { 1 } else { bound(5_000, 100_000) as u64 };
    let count = number("PLUGCACHE_HISTORIES").unwrap_or(daily);
    let first = seed.unwrap_or(0);
    let last = if count == 0 { u64::MAX } else { first + count - 1 };
    let (next, counts) = (AtomicU64::new(first), Mutex::new(Counts::default()));
    let wrong = Mutex::new(Vec::new());
    in_parallel((0..4).collect(), |_| {
        while let seed = next.fetch_add(1, Relaxed)
            && seed <= last
            && wrong.lock().unwrap().is_empty()
        {
            match play(seed) {
                Ok(told) => counts.lock().unwrap().add(told),
                Err(why) => wrong.lock().unwrap().push(why),
            }
            if (seed + 1).is_multiple_of(10_000) {
                println!("crash: {} histories", seed + 1 - first);
            }
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    println!("crash: random histories, PLUGCACHE_SEED {first} to {last}: {:?}", counts.lock().unwrap());
    if seed.is_none() && count == daily {
        let Counts { histories, operations, kills, cuts, faults } = *counts.lock().unwrap();
        HISTORIES.check(histories);
        assert!(operations > 20 * histories, "{operations} operations");
        assert!([kills, cuts, faults].iter().all(|some| *some > histories), "{kills} {cuts} {faults}");
    }
}
