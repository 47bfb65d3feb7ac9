//! Every call failing, in every way, once and from then on: the outcome is Skipped, an error or a miss, and with
//! the fault lifted everything that was acknowledged is there (I15).
//!
//! Bounds: in the daily run each verb of each workload meets some of the failures, turn by turn; in the long
//! run all of them.

use super::{
    bound,
    check::check,
    in_parallel,
    model::{After, Model},
    pins::FAULTS,
    workload::{Op, Setup, World, record},
    workloads::{Workload, jobs},
};
use plugcache::__sim::{At, Disk, Failure, Fault, Process, Verb};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
};

/// What can be the matter with a call, by its Linux number.
pub(super) const ERRNOS: [(&str, i32); 12] = [
    ("EPERM", 1),
    ("EINTR", 4),
    ("EIO", 5),
    ("ENOMEM", 12),
    ("EACCES", 13),
    ("EXDEV", 18),
    ("EMFILE", 24),
    ("EFBIG", 27),
    ("ENOSPC", 28),
    ("EROFS", 30),
    ("ESTALE", 116),
    ("EDQUOT", 122),
];

/// Those with which a failed sync has lost what was not synced: EIO, ENOSPC, EDQUOT.
pub(super) const LOSING: [i32; 3] = [5, 28, 122];

/// All failures of one verb, with their names.
fn failures() -> Vec<(String, Failure)> {
    let errnos = ERRNOS.map(|(name, number)| (name.to_owned(), Failure::Errno(number)));
    let short = [0, 1, 64, 100].map(|keep| (format!("a write of {keep}"), Failure::ShortWrite(keep)));
    // No bytes at all mean the end of the file: no kernel says that before it.
    let read = [1, 64, 100].map(|keep| (format!("a read of {keep}"), Failure::ShortRead(keep)));
    errnos.into_iter().chain(short).chain(read).collect()
}

/// One run of a workload with one fault in it.
fn run(
    setup: Setup,
    (disk, model, ops): (&Disk, &Model, &[Op]),
    fault: &Fault,
    is_sync: bool,
) -> Result<(), String> {
    let Fault { at, failure } = *fault;
    let plan = move |process: &Process, before: usize| {
        let at = match at {
            At::Verb(n) if n > before => At::Verb(n - before),
            At::Verb(_) => return,
            At::From(n) => At::From(n.saturating_sub(before).max(1)),
        };
        process.fail(Fault { at, failure });
    };
    let mut world = World::on(disk.snapshot(), model.clone()).with_plan(Box::new(plan));
    // A directory whose sync failed is known to the handle that asked for it. One that comes after it, where nothing
    // could be written down either, may call durable what rests on it.
    let is_followed = ops.iter().skip(1).any(|op| matches!(op, Op::Open(_)));
    let is_losing = LOSING.map(Failure::Errno).contains(&failure);
    world.is_lossy = is_followed && is_losing && matches!(at, At::From(_));
    world.is_behind = matches!(fault, Fault { at: At::From(_), failure: Failure::ShortRead(_) });
    for op in ops {
        world.run(*op)?;
    }
    world.process.heal();
    // A handle that found the store forbidden to write keeps to reading: a new one looks again.
    let forbids = [Failure::Errno(1), Failure::Errno(13), Failure::Errno(30)].contains(&failure);
    if forbids {
        world.run(Op::Open(setup))?;
        world.process.heal();
    }
    // The same process goes on once the trouble is over, and others come.
    world.is_strict = true;
    let key = (230, 0);
    match world.run(Op::Add(key, 231)) {
        // What a sync of the directory tree has lost no later one brings back: this handle stores nothing more.
        Err(why) if is_sync && why.contains("an earlier sync failed") => {}
        Err(why) => return Err(format!("after the fault: {why}")),
        Ok(_) => world.run(Op::Find(key)).map(|_| ()).map_err(|why| format!("after the fault: {why}"))?,
    }
    check(&world.disk.snapshot(), &world.model, After::Kill)?;
    for cut in world.disk.power_cuts(bound(2, 8)) {
        check(&cut, &world.model, After::Cut).map_err(|why| format!("then cut: {why}\n{}", cut.story()))?;
    }
    Ok(())
}

/// All faults of one workload.
fn fail_everywhere(workload: &Workload, (kind, setup): (&str, Setup), wrong: &Mutex<Vec<String>>) -> usize {
    let (disk, model, ops) = workload.start(setup);
    let past = record(&disk, &model, &ops).unwrap();
    let mut count = 0;
    // Workloads that list or make 256 directories do the same thing over and over.
    let stride = if past.verbs > 400 { bound(401, 1) } else { bound(5, 1) };
    for verb in 1..=past.verbs {
        let kind_of = past.verb(verb);
        for (number, (name, failure)) in failures().into_iter().enumerate() {
            let fits = match failure {
                Failure::Errno(_) => !matches!(kind_of, Verb::Close | Verb::Pause),
                Failure::ShortWrite(_) => kind_of == Verb::Write,
                Failure::ShortRead(_) => kind_of == Verb::ReadAt,
            };
            for at in [At::Verb(verb), At::From(verb)] {
                let turn = 2 * number + 5 * verb + usize::from(at == At::From(verb));
                if !fits || !turn.is_multiple_of(stride) {
                    continue;
                }
                count += 1;
                let is_sync = matches!(kind_of, Verb::SyncDir | Verb::SyncFs) || at == At::From(verb);
                let went = catch_unwind(AssertUnwindSafe(|| {
                    run(setup, (&disk, &model, &ops), &Fault { at, failure }, is_sync)
                }));
                let why = match went {
                    Ok(Ok(())) => continue,
                    Ok(Err(why)) => why,
                    Err(_) => "it panicked".into(),
                };
                let step = past.step(verb);
                wrong
                    .lock()
                    .unwrap()
                    .push(format!("{} ({kind}), {name} {at:?} = {step}: {why}", workload.name));
            }
        }
    }
    count
}

#[test]
fn any_call_that_fails_costs_at_most_the_operation_it_was_made_for() {
    let wrong = Mutex::new(Vec::new());
    let count = Mutex::new(0);
    in_parallel(jobs(), |(workload, setup)| {
        let faults = fail_everywhere(workload, setup, &wrong);
        *count.lock().unwrap() += faults;
    });
    let (wrong, count) = (wrong.into_inner().unwrap(), count.into_inner().unwrap());
    println!("crash: {count} runs with a failing call");
    let shown: Vec<_> = wrong.iter().take(30).cloned().collect();
    assert!(wrong.is_empty(), "{} of {count}\n{}", wrong.len(), shown.join("\n\n"));
    FAULTS.check(count);
}
