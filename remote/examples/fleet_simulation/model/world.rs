//! Machines, their stores, releases, and what waits: a start runs until it has to wait for a build, and is taken up again
//! when that is done.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{Counts, DAY, Lacking, SECOND, Settings, Version, Writers, engine::Engine};

/// What a machine has: all plugins of one release, for a start ends with all of them.
#[derive(Clone, Copy, Default)]
struct Machine {
    /// The release; 0: nothing, for its disk is new.
    has: u32,
    /// The day of its last start, from 1.
    day: u16,
    is_starting: bool,
}

/// A start that is not at its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Starting {
    machine: u32,
    release: u32,
    /// What it had when it began.
    had: u32,
    /// The plugin whose turn it is.
    next: u16,
    build: u64,
    is_building: bool,
    is_first_of_day: bool,
    /// For each plugin, whether a bundle told of its entry; empty: of none.
    known: Vec<bool>,
    /// Until when there is nothing under the key of `next`.
    absent_until: u64,
    /// Whether it published or renewed anything.
    has_written: bool,
}

/// The fleet.
pub(crate) struct World {
    settings: Settings,
    machines: Vec<Machine>,
    engines: Vec<Engine>,
    versions: Vec<Version>,
    /// Of each release, from 1: the version of each plugin.
    releases: Vec<Vec<u32>>,
    waiting: BinaryHeap<Reverse<(u64, u64, Starting)>>,
    /// Of what waits, so that equal times keep their order.
    number: u64,
    counts: Counts,
}

impl World {
    /// Machines with empty disks and empty buckets. There is nothing to start before the first release.
    pub(crate) fn new(settings: Settings) -> World {
        let publishers = if settings.writers == Writers::Publishers { settings.sites } else { 0 };
        let machines = vec![Machine::default(); (settings.machines + publishers) as usize];
        let engines = (0..settings.sites).map(|_| Engine::new(settings.rules)).collect();
        World {
            settings,
            machines,
            engines,
            versions: Vec::new(),
            releases: vec![Vec::new()],
            waiting: BinaryHeap::new(),
            number: 0,
            counts: Counts::default(),
        }
    }

    /// The machine that publishes at a site.
    pub(crate) fn publisher(&self, site: u32) -> u32 {
        self.settings.machines + site
    }

    /// What was counted until now.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Files and bytes in the bucket of a site.
    pub(crate) fn stored(&self, site: u32) -> (u64, u64) {
        self.engines[site as usize].stored(&self.versions)
    }

    /// From now on starts are of a new release, in which these plugins are new. The first has all of them.
    pub(crate) fn release(&mut self, changed: impl IntoIterator<Item = (u16, Version)>) {
        let mut release = self.releases.last().cloned().unwrap_or_default();
        release.resize(self.settings.plugins.into(), u32::MAX);
        for (plugin, version) in changed {
            release[usize::from(plugin)] = self.versions.len() as u32;
            self.engines.iter_mut().for_each(|engine| engine.learn(&version));
            self.versions.push(version);
        }
        assert!(!release.contains(&u32::MAX), "the first release has all plugins");
        self.releases.push(release);
    }

    /// A machine gets a new disk.
    pub(crate) fn wipe(&mut self, machine: u32) {
        let machine = &mut self.machines[machine as usize];
        if !machine.is_starting {
            *machine = Machine::default();
        }
    }

    /// Clears up all buckets.
    pub(crate) fn collect(&mut self, now: u64) {
        self.run_until(now);
        self.engines.iter_mut().for_each(|engine| engine.collect(now));
    }

    /// Goes on with what waits, up to this time.
    pub(crate) fn run_until(&mut self, now: u64) {
        while self.waiting.peek().is_some_and(|Reverse((at, ..))| *at <= now)
            && let Some(Reverse((at, _, starting))) = self.waiting.pop()
        {
            self.go_on(starting, at);
        }
    }

    /// A host starts on a machine, and needs every plugin of the newest release, one after the other; what it builds takes
    /// it this long.
    pub(crate) fn start(&mut self, machine: u32, now: u64, build: u64) {
        self.run_until(now);
        self.counts.starts += 1;
        let release = (self.releases.len() - 1) as u32;
        let today = (now / DAY) as u16 + 1;
        let (writes, room, plugins) = (self.writes(machine), self.settings.room, self.settings.plugins);
        let at = &mut self.machines[machine as usize];
        if at.is_starting {
            return;
        }
        if room < plugins.into() {
            at.has = 0;
        }
        let (had, is_first_of_day) = (at.has, at.day != today);
        at.day = today;
        if had == release && !(writes && is_first_of_day) {
            self.counts.local += u64::from(plugins);
            return;
        }
        at.is_starting = true;
        let mut starting = Starting {
            machine,
            release,
            had,
            next: 0,
            build,
            is_building: false,
            is_first_of_day,
            known: Vec::new(),
            absent_until: 0,
            has_written: false,
        };
        if self.settings.bundle && had != release && !self.is_publisher(machine) {
            starting.known = self.pull(&starting, now);
        }
        self.go_on(starting, now);
    }

    fn is_publisher(&self, machine: u32) -> bool {
        machine >= self.settings.machines
    }

    fn writes(&self, machine: u32) -> bool {
        self.is_publisher(machine) || self.settings.writers == Writers::Everybody
    }

    fn site(&self, machine: u32) -> usize {
        let site = if self.is_publisher(machine) { machine - self.settings.machines } else { machine };
        (site % self.settings.sites) as usize
    }

    fn pull(&mut self, starting: &Starting, now: u64) -> Vec<bool> {
        let site = self.site(starting.machine);
        let bundle = self.engines[site].get_bundle(starting.release, now, &mut self.counts);
        let Some(bundle) = bundle else { return Vec::new() };
        let plugins = usize::from(self.settings.plugins);
        (0..plugins).map(|plugin| bundle.knows(plugin, &self.settings.rules, now)).collect()
    }

    /// Runs until it is through or has to wait.
    fn go_on(&mut self, mut starting: Starting, now: u64) {
        if starting.is_building {
            self.has_built(&mut starting, now);
            starting.next += 1;
        }
        while starting.next < self.settings.plugins {
            if !self.load(&mut starting, now) {
                return self.wait(starting, now);
            }
            starting.next += 1;
            starting.absent_until = 0;
        }
        let machine = &mut self.machines[starting.machine as usize];
        (machine.has, machine.is_starting) = (starting.release, false);
        if self.is_publisher(starting.machine) && self.settings.bundle && starting.has_written {
            let site = self.site(starting.machine);
            let of = &self.releases[starting.release as usize];
            self.engines[site].publish_bundle(starting.release, of, &self.versions, now, &mut self.counts);
        }
    }

    /// One plugin; `false`: it is not there yet.
    fn load(&mut self, starting: &mut Starting, now: u64) -> bool {
        let plugin = usize::from(starting.next);
        let id = self.releases[starting.release as usize][plugin];
        let (site, writes) = (self.site(starting.machine), self.writes(starting.machine));
        let engine = &mut self.engines[site];
        let (version, counts) = (&self.versions[id as usize], &mut self.counts);
        if starting.had != 0 && self.releases[starting.had as usize][plugin] == id {
            counts.local += 1;
            if writes && starting.is_first_of_day {
                let before = counts.renewed;
                engine.renew(id, version, now, counts);
                starting.has_written |= counts.renewed > before;
            }
            return true;
        }
        let is_asked = self.settings.writers != Writers::Nobody;
        if is_asked && now < starting.absent_until {
            counts.absent_remembered += 1;
            return false;
        }
        let is_known = starting.known.get(plugin).is_some_and(|known| *known);
        let is_there = is_asked && (is_known || engine.get_entry(id, version, now, counts));
        if is_there && engine.get_objects(id, version, counts) {
            counts.fetched += 1;
            return true;
        }
        starting.absent_until = now + self.settings.rules.absent_for;
        if !self.is_waiting(starting.machine) && starting.build == 0 {
            self.has_built(starting, now);
            return true;
        }
        false
    }

    fn is_waiting(&self, machine: u32) -> bool {
        matches!(self.settings.lacking, Lacking::Waits(_)) && !self.is_publisher(machine)
    }

    /// The plugin whose turn it is was built.
    fn has_built(&mut self, starting: &mut Starting, now: u64) {
        let id = self.releases[starting.release as usize][usize::from(starting.next)];
        self.counts.built += 1;
        if self.writes(starting.machine) {
            let site = self.site(starting.machine);
            self.engines[site].publish(id, &self.versions[id as usize], now, &mut self.counts);
            starting.has_written = true;
        }
        starting.is_building = false;
        starting.absent_until = 0;
    }

    fn wait(&mut self, mut starting: Starting, now: u64) {
        let pause = match self.settings.lacking {
            Lacking::Waits(pause) if !self.is_publisher(starting.machine) => pause,
            _ => {
                starting.is_building = true;
                starting.build
            }
        };
        self.number += 1;
        // A wait of no time would never end.
        self.waiting.push(Reverse((now + pause.max(SECOND / 1000), self.number, starting)));
    }
}
