//! One client of a bucket: its limits, its breaker, and the one way in which anything is asked. The rest of the crate
//! says what is asked, in `fetch.rs`, `publish.rs` and `bundle.rs`.

use std::{sync::Arc, time::Duration};

use crate::{
    bucket::{Bucket, BucketError, Limits},
    clock::{Clock, jittered},
    count::{Counters, one},
    gate::{Gate, Shut},
    keys::{SecretKey, Trust},
    name::Name,
    paths::Prefix,
};

/// How long answers may take. The defaults are for an engine in the same region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Until the first byte of an answer; 1 s.
    pub first_byte: Duration,
    /// Between two pieces of an answer; 2 s.
    pub stall: Duration,
    /// A whole lookup, entry and objects, never takes longer; 5 s.
    pub lookup_max: Duration,
    /// .. and may always take this long, however quick the build was; 1 s.
    pub lookup_min: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        let seconds = Duration::from_secs;
        Deadlines {
            first_byte: seconds(1),
            stall: seconds(2),
            lookup_max: seconds(5),
            lookup_min: seconds(1),
        }
    }
}

impl Deadlines {
    /// For a lookup that saves a build of this cost: a quarter of that, within the bounds.
    pub(crate) fn lookup(&self, cost: Duration) -> Duration {
        (cost / 4).max(self.lookup_min).min(self.lookup_max)
    }
}

/// Who publishes, and where.
#[derive(Debug)]
pub struct Publisher {
    /// The namespace.
    pub namespace: Name,
    /// Signs every entry.
    pub key: SecretKey,
    /// For people: the job or the machine.
    pub builder: String,
}

/// The moment at which nobody waits any longer, by the clock of the client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget(pub(crate) Duration);

/// Why a call gave nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It is not there: an answer, and no failure of the engine.
    NotFound,
    /// It was not asked.
    Shut(Shut),
    Failed(BucketError),
}

pub(crate) struct Client {
    pub(crate) bucket: Box<dyn Bucket>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) gate: Gate,
    pub(crate) counters: Counters,
    pub(crate) deadlines: Deadlines,
    pub(crate) prefix: Prefix,
    pub(crate) trust: Trust,
    /// Searched in this order.
    pub(crate) namespaces: Vec<Name>,
    pub(crate) publisher: Option<Publisher>,
}

impl Client {
    pub(crate) fn budget(&self, time: Duration) -> Budget {
        Budget(self.clock.now() + time)
    }

    /// For bringing this many bytes, which nobody waits for who wants to build: 256 KiB in a second at least.
    pub(crate) fn budget_of_upload(&self, bytes: usize) -> Budget {
        self.budget(Duration::from_secs(10 + (bytes as u64 >> 18)))
    }

    fn limits(&self, budget: Budget) -> Option<Limits> {
        let total = budget.0.saturating_sub(self.clock.now());
        let Deadlines { first_byte, stall, .. } = self.deadlines;
        (!total.is_zero()).then_some(Limits { first_byte, stall, total })
    }

    /// Asks once, and once more if that may help.
    pub(crate) fn call<T>(
        &self,
        budget: Budget,
        mut ask: impl FnMut(&Limits) -> Result<T, BucketError>,
    ) -> Result<T, Failure> {
        let first = match self.call_once(budget, &mut ask) {
            Err(Failure::Failed(error)) if error.is_passing() => error,
            answer => return answer,
        };
        self.clock.pause(jittered(Duration::from_millis(20)));
        match self.call_once(budget, &mut ask) {
            // The reason for which there was no second try says less than the first.
            Err(Failure::Shut(Shut::Resting)) => Err(Failure::Failed(first)),
            answer => answer,
        }
    }

    fn call_once<T>(
        &self,
        budget: Budget,
        ask: &mut impl FnMut(&Limits) -> Result<T, BucketError>,
    ) -> Result<T, Failure> {
        let late = Failure::Failed(BucketError::TooSlow("the time for it is over"));
        let limits = self.limits(budget).ok_or(late)?;
        self.gate.enter(self.clock.now()).map_err(Failure::Shut)?;
        let answer = ask(&limits);
        match &answer {
            // These are answers: the engine is there.
            Ok(_) | Err(BucketError::NotFound | BucketError::TooLong | BucketError::Sink(_)) => {
                self.gate.passed();
            }
            Err(BucketError::OutOfTime) => self.gate.late(self.clock.now()),
            Err(error) => {
                one(&self.counters.failures);
                self.gate.failed(error, self.clock.now());
            }
        }
        answer.map_err(|error| match error {
            BucketError::NotFound => Failure::NotFound,
            error => Failure::Failed(error),
        })
    }
}
