//! Directed interleavings: who goes, and until when. The tests of the planted bugs use this file too.

use plugcache::__sim::{Body, Controller, Disk, Process, Verb};
use std::sync::Mutex;

/// What one process does.
pub(crate) type Part<'a> = Box<dyn FnOnce(&Process) + Send + 'a>;

/// A process, and when it has gone far enough.
pub(crate) type Turn<'a> = (usize, &'a dyn Fn(&Process) -> bool);

/// Who goes, as a list of (process, until): each goes until its condition holds or it has ended; then all the
/// others.
pub(crate) fn in_turns<'a>(disk: &Disk, bodies: Vec<Part<'a>>, turns: &[Turn<'_>]) {
    let processes = Mutex::new(vec![None; bodies.len()]);
    let bodies = bodies.into_iter().enumerate().map(|(number, body)| {
        let processes = &processes;
        Box::new(move |process: Process| {
            processes.lock().unwrap()[number] = Some(process.clone());
            body(&process);
        }) as Body<'_>
    });
    let mut turn = 0;
    let report = Controller::new(disk).run(bodies.collect(), |can| {
        while let Some((number, is_done)) = turns.get(turn) {
            let process = processes.lock().unwrap()[*number].clone();
            match can.iter().position(|other| other == number) {
                Some(position) if !process.is_some_and(|process| is_done(&process)) => return position,
                _ => turn += 1,
            }
        }
        0
    });
    assert!(report.is_complete);
}

/// Whether the last verb of a process was this, on a path with this in it.
pub(crate) fn has_just(process: &Process, verb: Verb, part: &str) -> bool {
    process.trace().last().is_some_and(|step| step.verb == verb && step.path.to_string_lossy().contains(part))
}
