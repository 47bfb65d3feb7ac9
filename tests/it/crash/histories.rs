//! Random histories: several processes with handles of several executables, evictions, clocks that jump, kills
//! and power cuts, against the model.
//!
//! `PLUGCACHE_SEED=n` replays one history; `PLUGCACHE_HISTORIES=n` plays so many (from that seed on), 0 without
//! end.

use super::{
    bound,
    check::check,
    config, disk_with_store, empty_disk, find,
    model::{After, Key, Model, State},
    open,
    workload::{Done, LAZY, Op, SYNC, Setup, World},
};
use plugcache::__sim::{Disk, Random};
use std::{collections::BTreeMap, time::Duration};

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
    told: Vec<String>,
}

impl History {
    fn new(seed: u64) -> History {
        let mut random = Random::new(seed);
        let disk = if random.below(4) == 0 { empty_disk(seed) } else { disk_with_store() };
        disk.set_inode_reuse(random.below(2) == 0);
        disk.set_clock_coarse(random.below(3) == 0);
        let max_files = [3, 4096][random.below(2)];
        let setups = [LAZY, SYNC].map(|setup| Setup { max_files, ..setup });
        let mut history =
            History { random, disk, worlds: Vec::new(), model: Model::default(), setups, told: Vec::new() };
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

    /// Runs an operation in one of the processes, perhaps to its death.
    fn step(&mut self) -> Result<(), String> {
        let op = self.op();
        let who = self.random.below(PROCESSES);
        let dies = self.random.below(8) == 0;
        let at = 1 + self.random.below(60);
        let setup = self.setups[self.random.below(2)];
        let world = &mut self.worlds[who];
        std::mem::swap(&mut world.model, &mut self.model);
        // Damage, a clock that jumps and a compactor elsewhere may refuse what was asked for.
        world.is_strict = !dies && !matches!(op, Op::Compact);
        if dies {
            world.process.kill_after(at);
        }
        let done = world.run(op);
        self.told.push(format!(
            "{who} ({:?}): {op:?}{} {done:?}",
            world.durability(),
            if dies { format!(" killed after {at}") } else { String::new() }
        ));
        std::mem::swap(&mut world.model, &mut self.model);
        let is_dead = !world.process.is_alive();
        if dies || is_dead {
            world.process.kill();
            *world = World::on(self.disk.clone(), Model::default());
            world.run(Op::Open(setup))?;
        }
        done.map(|_: Done| ())
    }

    fn cut(&mut self) -> Result<(), String> {
        let seed = self.random.next_u64();
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
        self.cut()
    }
}

fn play(seed: u64) {
    let mut history = History::new(seed);
    if let Err(why) = history.run() {
        panic!("PLUGCACHE_SEED={seed}: {why}\n{}", history.told.join("\n"));
    }
}

#[test]
fn no_random_history_loses_what_was_acknowledged_or_finds_what_was_not_put() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let first = number("PLUGCACHE_SEED");
    let daily = if first.is_some() { 1 } else { bound(250, 100_000) as u64 };
    let count = number("PLUGCACHE_HISTORIES").unwrap_or(daily);
    let first = first.unwrap_or(0);
    let mut seed = first;
    while count == 0 || seed - first < count {
        play(seed);
        seed += 1;
        if seed.is_multiple_of(10_000) {
            println!("crash: {seed} histories");
        }
    }
    let last = seed - 1;
    println!("crash: random histories of {OPERATIONS} operations, PLUGCACHE_SEED {first} to {last}");
}
