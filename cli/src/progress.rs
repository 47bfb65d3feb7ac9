//! Progress on standard error, for people who wait at a terminal; nothing elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// Less than this is stored before anybody could read of it.
const LARGE: u64 = 64 << 20;

#[derive(Clone)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// For a task over so many bytes.
    pub(crate) fn of_bytes(doing: &'static str, bytes: u64) -> Progress {
        if bytes < LARGE {
            return Progress(ProgressBar::hidden());
        }
        Progress::with(doing, bytes, "{msg} {wide_bar} {bytes}/{total_bytes}")
    }

    /// For a task of which nothing is known.
    pub(crate) fn waiting(doing: &'static str) -> Progress {
        // Draws nothing where standard error is no terminal.
        let bar = ProgressBar::new_spinner().with_message(doing);
        bar.enable_steady_tick(Duration::from_millis(100));
        Progress(bar)
    }

    /// For a task of so many steps.
    pub(crate) fn of_steps(doing: &'static str, steps: u64) -> Progress {
        Progress::with(doing, steps, "{msg} {wide_bar} {pos}/{len}")
    }

    fn with(doing: &'static str, len: u64, template: &str) -> Progress {
        let bar = ProgressBar::new(len).with_message(doing);
        let style = ProgressStyle::with_template(template);
        Progress(style.map_or(bar.clone(), |style| bar.with_style(style)))
    }

    pub(crate) fn at(&self, step: u64) {
        self.0.set_position(step);
    }

    pub(crate) fn finish(self) {
        self.0.finish_and_clear();
    }
}
