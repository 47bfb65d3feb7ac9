//! Events for the model: who starts when, which disks are new, when releases come. Then what the engines are asked in
//! each ten seconds.
//!
//! Starts of a machine come independently of each other, as often as the time of day says; a release can make every
//! machine start once more, spread evenly over a time. A start asks for all that it lacks at once: how long a download
//! takes on a busy line is not in the model.

use crate::{
    model::{Counts, DAY, Lacking, Object, Rules, SECOND, Settings, Version, World, Writers},
    random::Random,
};

/// The length of a bucket of a series.
pub const STEP: u64 = 10 * SECOND;

/// A fleet, and what happens to it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// For people.
    pub name: String,
    /// Other numbers, other events.
    pub seed: u64,
    /// How long, in days.
    pub days: u64,
    /// See [`Settings`].
    pub machines: u32,
    pub sites: u32,
    pub plugins: u16,
    pub writers: Writers,
    pub bundle: bool,
    /// `Some`: hosts cannot build and ask again after so many seconds.
    pub poll_seconds: Option<u64>,
    /// Artifacts that fit into the store of a machine.
    pub room: u32,
    /// Of one machine, on average.
    pub starts_per_day: f64,
    /// How much busier the busiest hour is than the average; 0: all hours are alike.
    pub swing: f64,
    /// Seconds since the beginning, and how many plugins are new. The first, at 0, has all and is there on all disks.
    pub releases: Vec<(u64, u16)>,
    /// Every machine starts once within so many seconds after a release; 0: a release is taken at the next start.
    pub restart_within: u64,
    /// So many seconds after a release begin its publishers; before 0: they are through before it comes.
    pub publish_after: u64,
    /// Share of the machines whose disk is new, each day.
    pub disks_per_day: f64,
    /// Share of the starts on an empty disk.
    pub empty_starts: f64,
    /// What a build takes.
    pub build_seconds: u64,
    /// Of an artifact: the median of its bytes, and how far they spread (of their logarithm).
    pub bytes_median: f64,
    pub bytes_sigma: f64,
    /// How much shorter zstd makes the bytes.
    pub ratio: f64,
    /// Whether what is old is removed.
    pub lifecycle: bool,
}

/// Of an entry with an object and two or three source files; remote/tests/it/model.rs knows some without files.
const ENTRY_BYTES: u64 = 600;

/// Ten seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Step {
    pub starts: u32,
    pub gets: u32,
    pub heads: u32,
    pub puts: u32,
    pub built: u32,
    pub down: u64,
    pub up: u64,
}

/// What came out.
pub struct Outcome {
    pub scenario: Scenario,
    /// Without the first filling of disks and buckets.
    pub counts: Counts,
    /// Of the whole fleet, from the beginning.
    pub steps: Vec<Step>,
    /// Files and bytes in one site's bucket at the end of each day.
    pub stored: Vec<(u64, u64)>,
}

impl Scenario {
    fn settings(&self) -> Settings {
        Settings {
            machines: self.machines,
            sites: self.sites,
            plugins: self.plugins,
            writers: self.writers,
            bundle: self.bundle,
            lacking: self.poll_seconds.map_or(Lacking::Builds, |seconds| Lacking::Waits(seconds * SECOND)),
            room: self.room,
            rules: Rules::default(),
        }
    }

    /// Starts of the whole fleet in a second, at this time of day.
    fn rate(&self, at: f64) -> f64 {
        let angle = (at / 86_400.0 - 14.0 / 24.0) * std::f64::consts::TAU;
        self.mean_rate() * (1.0 + self.swing * angle.cos())
    }

    fn mean_rate(&self) -> f64 {
        f64::from(self.machines) * self.starts_per_day / 86_400.0
    }

    /// Runs it.
    pub fn run(&self) -> Outcome {
        Run::new(self).run()
    }
}

struct Run<'a> {
    scenario: &'a Scenario,
    random: Random,
    world: World,
    outcome: Outcome,
    /// What was counted when the last step ended.
    before: Counts,
    end: u64,
}

/// Days that go by before the first: publishers fill the buckets, machines their disks, and entries get their ages.
const DAYS_BEFORE: u64 = 1;

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario) -> Run<'a> {
        let world = World::new(scenario.settings());
        let outcome = Outcome {
            scenario: scenario.clone(),
            counts: Counts::default(),
            steps: Vec::new(),
            stored: Vec::new(),
        };
        let (random, before) = (Random::new(scenario.seed), Counts::default());
        Run { scenario, random, world, outcome, before, end: DAYS_BEFORE * DAY }
    }

    fn run(mut self) -> Outcome {
        let scenario = self.scenario;
        self.release(scenario.plugins);
        self.publish(0);
        (0..scenario.machines).for_each(|machine| self.world.start(machine, DAY / 2, 0));
        self.world.run_until(self.end);
        self.before = self.world.counts();
        let begun = self.before;
        let mut sources = self.sources();
        let last = (DAYS_BEFORE + scenario.days) * DAY;
        loop {
            let (at, which) = sources.next();
            if at >= last {
                break;
            }
            self.steps_until(at);
            self.happens(which, at, &mut sources);
        }
        self.steps_until(last);
        self.outcome.counts = self.world.counts() - begun;
        self.outcome
    }

    fn sources(&mut self) -> Sources {
        let (scenario, begin) = (self.scenario, DAYS_BEFORE * DAY);
        let mut planned = Vec::new();
        for &(seconds, changed) in scenario.releases.iter().filter(|(seconds, _)| *seconds > 0) {
            let at = begin + seconds * SECOND;
            planned.push((at, What::Release(changed)));
            if scenario.writers == Writers::Publishers {
                planned.push((at + scenario.publish_after * SECOND, What::Publish));
            }
        }
        for day in 0..scenario.days {
            let night = begin + day * DAY + 3 * 3600 * SECOND;
            planned.extend([(night, What::Publish), (night + SECOND, What::Collect)]);
        }
        planned.sort_by_key(|(at, _)| *at);
        planned.reverse();
        let mut sources = Sources { planned, start: begin as f64, disk: begin, restarts: Vec::new() };
        self.draw_start(&mut sources);
        self.draw_disk(&mut sources);
        sources
    }

    /// The next start of any machine: of as many as the busiest hour has, some are none.
    fn draw_start(&mut self, sources: &mut Sources) {
        let scenario = self.scenario;
        let most = scenario.mean_rate() * (1.0 + scenario.swing);
        loop {
            // With its fraction: a million machines start every few milliseconds.
            sources.start += self.random.until_next(most) * 1000.0;
            let rate = scenario.rate(sources.start / 1000.0);
            if self.random.share() * most < rate {
                return;
            }
        }
    }

    fn draw_disk(&mut self, sources: &mut Sources) {
        let rate = f64::from(self.scenario.machines) * self.scenario.disks_per_day / 86_400.0;
        let wait = if rate > 0.0 { (self.random.until_next(rate) * 1000.0) as u64 } else { u64::MAX / 2 };
        sources.disk += wait;
    }

    fn happens(&mut self, what: What, at: u64, sources: &mut Sources) {
        let build = self.scenario.build_seconds * SECOND;
        match what {
            What::Start => {
                let machine = self.random.below(self.scenario.machines);
                if self.scenario.empty_starts > 0.0 && self.random.share() < self.scenario.empty_starts {
                    self.world.wipe(machine);
                }
                self.world.start(machine, at, build);
                self.draw_start(sources);
            }
            What::Restart(machine) => self.world.start(machine, at, build),
            What::Disk => {
                let machine = self.random.below(self.scenario.machines);
                self.world.wipe(machine);
                self.draw_disk(sources);
            }
            What::Release(changed) => {
                self.release(changed);
                self.restart(at, sources);
            }
            What::Publish => self.publish(at),
            What::Collect if self.scenario.lifecycle => self.world.collect(at),
            What::Collect => {}
        }
    }

    /// A release in which so many plugins are new.
    fn release(&mut self, changed: u16) {
        let all = self.scenario.plugins;
        let first = self.random.below(all.into()) as u16;
        let versions: Vec<_> = (0..changed.min(all))
            .map(|number| {
                let Scenario { bytes_median, bytes_sigma, ratio, .. } = self.scenario;
                let bytes = bytes_median * (self.random.normal() * bytes_sigma).exp();
                let object = Object { stored: (bytes / ratio) as u64, packed: true };
                ((first + number) % all, Version { entry: ENTRY_BYTES, objects: vec![object] })
            })
            .collect();
        self.world.release(versions);
    }

    /// Every machine once, in an order of its own each time.
    fn restart(&mut self, at: u64, sources: &mut Sources) {
        let within = self.scenario.restart_within * SECOND;
        if within == 0 {
            return;
        }
        let mut starts: Vec<_> = (0..self.scenario.machines)
            .map(|machine| (at + (self.random.share() * within as f64) as u64, machine))
            .collect();
        starts.sort_unstable();
        starts.reverse();
        sources.restarts = starts;
    }

    fn publish(&mut self, at: u64) {
        if self.scenario.writers == Writers::Publishers {
            let build = self.scenario.build_seconds * SECOND;
            // With as much time as it takes, where the release waits for them.
            let build = if self.scenario.publish_after == 0 { 0 } else { build };
            (0..self.scenario.sites).for_each(|site| {
                let publisher = self.world.publisher(site);
                self.world.start(publisher, at, build);
            });
        }
    }

    /// Closes all steps that end by then, and days.
    fn steps_until(&mut self, at: u64) {
        while self.end + STEP <= at {
            self.end += STEP;
            self.world.run_until(self.end - 1);
            let now = self.world.counts();
            let of = now - self.before;
            self.before = now;
            self.outcome.steps.push(Step {
                starts: of.starts as u32,
                gets: of.gets() as u32,
                heads: of.heads() as u32,
                puts: of.puts() as u32,
                built: of.built as u32,
                down: of.bytes_down,
                up: of.bytes_up,
            });
            if self.end.is_multiple_of(DAY) {
                self.outcome.stored.push(self.world.stored(0));
            }
        }
    }
}

/// What may happen next.
enum What {
    Start,
    Restart(u32),
    Disk,
    Release(u16),
    Publish,
    Collect,
}

/// Times of what may happen next.
struct Sources {
    /// The latest first.
    planned: Vec<(u64, What)>,
    start: f64,
    disk: u64,
    /// The latest first.
    restarts: Vec<(u64, u32)>,
}

impl Sources {
    /// The first of all, taken out if it is drawn only once.
    fn next(&mut self) -> (u64, What) {
        let planned = self.planned.last().map_or(u64::MAX, |(at, _)| *at);
        let restart = self.restarts.last().map_or(u64::MAX, |(at, _)| *at);
        let first = (self.start as u64).min(self.disk).min(planned).min(restart);
        if planned == first
            && let Some(planned) = self.planned.pop()
        {
            return planned;
        }
        if restart == first
            && let Some((at, machine)) = self.restarts.pop()
        {
            return (at, What::Restart(machine));
        }
        if self.disk == first { (first, What::Disk) } else { (first, What::Start) }
    }
}
