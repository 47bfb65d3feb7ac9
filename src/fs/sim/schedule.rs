//! A scheduler for simulated processes: a test decides whose next verb goes, so every interleaving can be
//! tried, and tried again.
//!
//! Each process runs on a thread of its own, but only one thread ever runs: the others wait at the door of
//! their next verb. What a thread does between two verbs belongs to the verb before. Preemption between
//! verbs is all there is to see, because verbs are atomic and processes share nothing but the disk. Threads
//! of one process, fork and weak memory are not modelled.

use super::{
    disk::{Disk, USER, lock},
    process::Process,
};
use std::{
    fmt, panic,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// What one process runs.
pub type Body<'a> = Box<dyn FnOnce(Process) + Send + 'a>;

/// Runs processes on one disk under a schedule.
#[derive(Clone, Debug)]
pub struct Controller {
    disk: Disk,
    steps_max: usize,
}

/// How a scheduled run went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whose verb went, in order: the whole schedule.
    pub turns: Vec<usize>,
    /// Whether every process that was not stopped came to its end within the limit of steps.
    pub is_complete: bool,
}

impl Controller {
    /// A run may take 100,000 steps: a polling loop that never pauses would take all of them.
    pub fn new(disk: &Disk) -> Controller {
        Controller { disk: disk.clone(), steps_max: 100_000 }
    }

    /// After so many steps, everyone is killed and the run is not complete.
    pub fn steps_max(self, steps_max: usize) -> Controller {
        Controller { steps_max, ..self }
    }

    /// Runs each body as a process on a thread of its own until all have ended or are stopped (then the
    /// stopped ones are killed). Whenever all wait, `choose` gets the numbers of those that can go, in
    /// ascending order, and answers with a position in that list (taken modulo its length); it may look at
    /// the disk and kill processes. The same answers give the same run. A process that has just paused is not
    /// offered again before another has taken a step, unless nobody else can go. A panic of a body goes on here.
    pub fn run<'a>(&self, bodies: Vec<Body<'a>>, mut choose: impl FnMut(&[usize]) -> usize) -> Report {
        let room = Arc::new(Room::new(bodies.len()));
        let mut report = Report { turns: Vec::new(), is_complete: false };
        thread::scope(|scope| {
            // If `choose` panics, the threads must not wait for ever.
            let mut open_doors = OpenDoors { room: &room, processes: Vec::new() };
            let mut threads = Vec::new();
            for (number, body) in bodies.into_iter().enumerate() {
                let seat = Seat { room: room.clone(), number };
                let process = Process::start(&self.disk, USER, Some(seat.clone()));
                open_doors.processes.push(process.clone());
                threads.push(scope.spawn(move || {
                    let _ended = Leaving(seat);
                    body(process);
                }));
                room.wait_until_quiet(number);
            }
            report.is_complete = room.run(self.steps_max, &mut report.turns, &mut choose);
            drop(open_doors);
            for thread in threads {
                if let Err(payload) = thread.join() {
                    panic::resume_unwind(payload);
                }
            }
        });
        report
    }
}

/// The state of one process in a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Waiting,
    Ended,
}

#[derive(Debug)]
struct Board {
    phases: Vec<Phase>,
    stopped: Vec<bool>,
    yielded: Vec<bool>,
    /// All doors are open: the run is over, and who is left is dead.
    is_over: bool,
}

struct Room {
    board: Mutex<Board>,
    /// One for each thread, and the last one for the controller.
    bells: Vec<Condvar>,
}

impl Room {
    fn new(count: usize) -> Room {
        let board = Board {
            phases: vec![Phase::Running; count],
            stopped: vec![false; count],
            yielded: vec![false; count],
            is_over: false,
        };
        Room { board: Mutex::new(board), bells: (0..=count).map(|_| Condvar::new()).collect() }
    }

    /// Sleeps until `is_ready`.
    fn wait(&self, bell: usize, is_ready: impl Fn(&Board) -> bool) -> MutexGuard<'_, Board> {
        let mut board = lock(&self.board);
        while !is_ready(&board) {
            board = self.bells[bell].wait(board).unwrap_or_else(PoisonError::into_inner);
        }
        board
    }

    fn controller_bell(&self) -> usize {
        self.bells.len() - 1
    }

    fn wait_until_quiet(&self, number: usize) {
        drop(self.wait(self.controller_bell(), |board| board.phases[number] != Phase::Running));
    }

    /// Gives out turns; says whether all came to an end.
    fn run(&self, max: usize, turns: &mut Vec<usize>, choose: &mut dyn FnMut(&[usize]) -> usize) -> bool {
        loop {
            let runnable = lock(&self.board).runnable();
            if runnable.is_empty() {
                return true;
            }
            if turns.len() >= max {
                return false;
            }
            let number = runnable[choose(&runnable) % runnable.len()];
            turns.push(number);
            lock(&self.board).grant(number);
            self.bells[number].notify_one();
            self.wait_until_quiet(number);
        }
    }
}

impl Board {
    fn runnable(&self) -> Vec<usize> {
        let can_go = |number: &usize| self.phases[*number] == Phase::Waiting && !self.stopped[*number];
        let all: Vec<usize> = (0..self.phases.len()).filter(can_go).collect();
        let keen: Vec<usize> = all.iter().copied().filter(|number| !self.yielded[*number]).collect();
        if keen.is_empty() { all } else { keen }
    }

    fn grant(&mut self, number: usize) {
        self.phases[number] = Phase::Running;
        for (other, yielded) in self.yielded.iter_mut().enumerate() {
            *yielded &= other == number;
        }
    }
}

/// Ends a run: kills who is left and lets all threads run out. The processes are kept here and not in the
/// room, which each of them holds: a finished run must not keep its disk.
struct OpenDoors<'a> {
    room: &'a Room,
    processes: Vec<Process>,
}

impl Drop for OpenDoors<'_> {
    fn drop(&mut self) {
        let phases = lock(&self.room.board).phases.clone();
        let left = self.processes.iter().zip(phases).filter(|(_, phase)| *phase != Phase::Ended);
        left.for_each(|(process, _)| process.kill());
        lock(&self.room.board).is_over = true;
        self.room.bells.iter().for_each(Condvar::notify_all);
    }
}

/// Tells the controller that a body has ended, also by a panic.
struct Leaving(Seat);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.set_phase(Phase::Ended);
    }
}

/// The place of a process in a schedule.
#[derive(Clone)]
pub(super) struct Seat {
    room: Arc<Room>,
    number: usize,
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seat({})", self.number)
    }
}

impl Seat {
    fn set_phase(&self, phase: Phase) {
        lock(&self.room.board).phases[self.number] = phase;
        self.room.bells[self.room.controller_bell()].notify_one();
    }

    /// Waits at the door of a verb.
    pub(super) fn wait_for_turn(&self) {
        // While a panic unwinds, destructors still close what is open: nobody waits for them.
        if thread::panicking() || lock(&self.room.board).is_closed_for(self.number) {
            return;
        }
        self.set_phase(Phase::Waiting);
        drop(
            self.room.wait(self.number, |board| board.is_over || board.phases[self.number] == Phase::Running),
        );
    }

    /// Never goes again.
    pub(super) fn stop(&self) {
        lock(&self.room.board).stopped[self.number] = true;
    }

    /// Lets others go first.
    pub(super) fn yield_turn(&self) {
        lock(&self.room.board).yielded[self.number] = true;
    }
}

impl Board {
    /// Whether a process is no longer scheduled: the run is over, or its body has ended and what it left
    /// behind (an open artifact, say) is used by the test itself.
    fn is_closed_for(&self, number: usize) -> bool {
        self.is_over || self.phases[number] == Phase::Ended
    }
}
