//! Every schedule of a few processes, one after the other, or as many as differ in few preemptions.
//!
//! A depth-first walk over the choices of [`super::Controller::run`], after the bounded search of Musuvathi
//! and Qadeer (CHESS, 2007): most bugs need two preemptions at most. Equal states reached by different
//! schedules are not merged.

/// The walk. Call [`Schedules::choose`] from `Controller::run`, and [`Schedules::advance`] after each run.
#[derive(Clone, Debug, Default)]
pub struct Schedules {
    /// The choices of this run, and among how many each was made.
    path: Vec<(usize, usize)>,
    /// How many of them have been made.
    depth: usize,
    preemptions: usize,
    preemptions_max: Option<usize>,
    last: Option<usize>,
    finished: u64,
}

impl Schedules {
    /// All schedules.
    pub fn all() -> Schedules {
        Schedules::default()
    }

    /// The schedules in which a process that could go on is interrupted at most so many times. One that
    /// pauses, ends or is stopped is not interrupted.
    pub fn with_preemptions(preemptions_max: usize) -> Schedules {
        Schedules { preemptions_max: Some(preemptions_max), ..Schedules::default() }
    }

    /// The position of the process that goes next.
    pub fn choose(&mut self, runnable: &[usize]) -> usize {
        // The process that went last comes first, so that the first schedule of all has no preemption.
        let stay = self.last.and_then(|last| runnable.iter().position(|number| *number == last));
        let is_bound = stay.is_some() && self.preemptions_max.is_some_and(|max| self.preemptions >= max);
        let options = if is_bound { 1 } else { runnable.len() };
        if self.depth == self.path.len() {
            self.path.push((0, options));
        }
        let chosen = self.path[self.depth].0.min(runnable.len().saturating_sub(1));
        self.depth += 1;
        self.preemptions += usize::from(stay.is_some() && chosen > 0);
        let position = match stay {
            Some(stay) if chosen == 0 => stay,
            Some(stay) if chosen <= stay => chosen - 1,
            _ => chosen,
        };
        self.last = runnable.get(position).copied();
        position
    }

    /// Makes the next run a new one; `false` if there is none.
    pub fn advance(&mut self) -> bool {
        self.finished += 1;
        self.path.truncate(self.depth);
        (self.depth, self.preemptions, self.last) = (0, 0, None);
        while let Some((chosen, options)) = self.path.pop() {
            if chosen + 1 < options {
                self.path.push((chosen + 1, options));
                return true;
            }
        }
        false
    }

    /// How many runs have ended.
    pub fn finished(&self) -> u64 {
        self.finished
    }
}
