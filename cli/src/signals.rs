//! ^C and its like: they end the command at once, but for the moments in which something would be left half done.
//!
//! While a [`Hold`] lives a signal is only noted; when it goes, the command ends as the signal would have ended it.
//! A terminal sends ^C to the command that `run` started too, so that one decides; SIGTERM and SIGHUP, which come to
//! one process, are passed on to it.

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid},
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag, low_level,
};
use std::{
    io,
    process::{Child, ExitStatus},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

const ENDING: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];
/// How soon a signal is passed on.
const POLL: Duration = Duration::from_millis(50);

struct State {
    /// Whether a signal ends the process at once.
    at_once: Arc<AtomicBool>,
    /// The last one that came meanwhile; 0: none.
    came: Arc<AtomicUsize>,
}

static STATE: OnceLock<State> = OnceLock::new();

fn state() -> &'static State {
    STATE.get_or_init(|| {
        let state = State { at_once: Arc::new(AtomicBool::new(true)), came: Arc::default() };
        for signal in ENDING {
            // Where a handler cannot be had, the signal ends the process: as without all this.
            let _ = flag::register_conditional_default(signal, state.at_once.clone());
            let _ = flag::register_usize(signal, state.came.clone(), signal as usize);
        }
        state
    })
}

/// Whether a signal came while one of them was held.
pub(crate) fn came() -> bool {
    state().came.load(Ordering::SeqCst) != 0
}

/// While it lives, signals wait.
pub(crate) struct Hold(());

impl Hold {
    pub(crate) fn new() -> Hold {
        state().at_once.store(false, Ordering::SeqCst);
        Hold(())
    }

    /// Whether one came.
    pub(crate) fn is_over(&self) -> bool {
        came()
    }

    /// What came is answered: it ends nothing.
    pub(crate) fn forgive(&self) {
        state().came.store(0, Ordering::SeqCst);
    }

    /// Waits for a child's end, and passes on what came to this process alone.
    pub(crate) fn wait(&self, child: &mut Child) -> io::Result<ExitStatus> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let is_over = AtomicBool::new(false);
        let pass_on = || {
            while !is_over.load(Ordering::SeqCst) {
                thread::park_timeout(POLL);
                // The child is not reaped before this thread has ended: its number is its own.
                let came = state().came.load(Ordering::SeqCst) as i32;
                let signal = Signal::from_named_raw(came).filter(|_| came != SIGINT);
                if let (Some(signal), Some(pid)) = (signal, pid) {
                    self.forgive();
                    // It may have ended just now.
                    let _ = kill_process(pid, signal);
                }
            }
        };
        thread::scope(|scope| {
            // Without a thread nothing is passed on, and all else is as it was.
            let passing = thread::Builder::new().spawn_scoped(scope, pass_on);
            if let Some(pid) = pid {
                let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
                while waitid(WaitId::Pid(pid), ended).is_err_and(|error| error == Errno::INTR) {}
            }
            is_over.store(true, Ordering::SeqCst);
            if let Ok(passing) = passing {
                passing.thread().unpark();
            }
        });
        child.wait()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let state = state();
        state.at_once.store(true, Ordering::SeqCst);
        let came = state.came.load(Ordering::SeqCst);
        if came != 0 {
            // Ends the process as if there had been no handler.
            let _ = low_level::emulate_default_handler(came as i32);
        }
    }
}
