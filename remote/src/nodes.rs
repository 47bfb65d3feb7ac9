//! Several nodes of one engine that keep the same: which one is asked, and who is asked when that one gives no answer.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use crate::bucket::{BucketError, Limits};

/// Nodes in the order in which they are preferred. All callers stay with the first until it fails, and then with the next:
/// each host pays once for a node that is gone, and not with every call.
pub(crate) struct Nodes<T> {
    nodes: Vec<T>,
    /// Whose turn it is.
    turn: AtomicUsize,
}

/// Why a node gave no answer, and whether the caller has a part of one: then another cannot begin anew.
pub(crate) struct NoAnswer {
    pub(crate) error: BucketError,
    pub(crate) is_begun: bool,
}

impl From<BucketError> for NoAnswer {
    fn from(error: BucketError) -> NoAnswer {
        NoAnswer { error, is_begun: false }
    }
}

impl<T> Nodes<T> {
    pub(crate) fn new(nodes: Vec<T>) -> Nodes<T> {
        Nodes { nodes, turn: AtomicUsize::new(0) }
    }

    /// Asks the node whose turn it is, and as long as none answers the others, all within the time of `limits`. `ask` is
    /// told how many could be asked after this one.
    pub(crate) fn ask<A>(
        &self,
        limits: &Limits,
        mut ask: impl FnMut(&T, Limits, u32) -> Result<A, NoAnswer>,
    ) -> Result<A, BucketError> {
        let (begun, first) = (Instant::now(), self.turn.load(Ordering::Relaxed));
        let count = self.nodes.len();
        let mut failed = None;
        for step in 0..count {
            let total = limits.total.saturating_sub(begun.elapsed());
            if total.is_zero() {
                break;
            }
            let (at, more) = ((first + step) % count, (count - step - 1) as u32);
            let NoAnswer { error, is_begun } = match ask(&self.nodes[at], Limits { total, ..*limits }, more) {
                Ok(answer) => return Ok(answer),
                Err(no) if !may_be_the_nodes(&no.error) => return Err(no.error),
                Err(no) => no,
            };
            self.pass(at);
            if is_begun {
                return Err(error);
            }
            failed = Some(worse(failed, error));
        }
        Err(failed.unwrap_or(BucketError::TooSlow("the time for it is over")))
    }

    /// Of several callers who fail at once the first passes the turn on.
    fn pass(&self, at: usize) {
        let next = (at + 1) % self.nodes.len();
        // Somebody else has done so.
        let _ = self.turn.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Whether another node may answer what this one did not. One that has lost the others says 503; 429 is said for all.
fn may_be_the_nodes(error: &BucketError) -> bool {
    error.is_passing() || matches!(error, BucketError::SlowDown(503))
}

/// A node that asks for patience speaks for the engine; one that cannot be reached for itself.
fn worse(before: Option<BucketError>, now: BucketError) -> BucketError {
    before.filter(|before| matches!(before, BucketError::SlowDown(_))).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, time::Duration};

    use super::*;

    const LIMITS: Limits = Limits {
        first_byte: Duration::from_secs(1),
        stall: Duration::from_secs(1),
        total: Duration::from_secs(9),
    };

    fn dead() -> NoAnswer {
        BucketError::Unreachable("dead".into()).into()
    }

    /// Asks three nodes once, of which each answers as it is told; and which were asked.
    fn asked(
        nodes: &Nodes<u32>,
        answer: impl Fn(u32) -> Result<u32, NoAnswer>,
    ) -> (Result<u32, BucketError>, Vec<u32>) {
        let order = RefCell::new(Vec::new());
        let got = nodes.ask(&LIMITS, |node, _, _| {
            order.borrow_mut().push(*node);
            answer(*node)
        });
        (got, order.into_inner())
    }

    #[test]
    fn a_dead_node_costs_one_call_and_then_the_next_has_its_turn() {
        let nodes = Nodes::new(vec![0, 1, 2]);
        let answer = |node| if node == 0 { Err(dead()) } else { Ok(node) };
        assert!(matches!(asked(&nodes, answer), (Ok(1), order) if order == [0, 1]));
        assert!(matches!(asked(&nodes, answer), (Ok(1), order) if order == [1]));
        let all = |_| Err(dead());
        assert!(
            matches!(asked(&nodes, all), (Err(BucketError::Unreachable(_)), order) if order == [1, 2, 0])
        );
        assert!(matches!(asked(&nodes, Ok), (Ok(1), order) if order == [1]));
    }

    #[test]
    fn of_callers_who_fail_at_once_one_passes_the_turn_on() {
        let nodes = Nodes::new(vec![0, 1, 2]);
        let got = nodes.ask(&LIMITS, |node, _, _| match node {
            0 => {
                // Meanwhile another call has failed at the same node.
                asked(&nodes, |node| if node == 0 { Err(dead()) } else { Ok(node) }).0.unwrap();
                Err(dead())
            }
            node => Ok(*node),
        });
        assert_eq!(got.unwrap(), 1);
        assert!(matches!(asked(&nodes, Ok), (Ok(1), order) if order == [1]));
    }

    #[test]
    fn an_answer_is_an_answer_whatever_it_is() {
        for error in [
            || BucketError::NotFound,
            || BucketError::Misconfigured("403".into()),
            || BucketError::SlowDown(429),
            || BucketError::TooLong,
            || BucketError::OutOfTime,
        ] {
            let nodes = Nodes::new(vec![0, 1, 2]);
            let (got, order) = asked(&nodes, |_| Err(error().into()));
            assert_eq!((got.unwrap_err().to_string(), order), (error().to_string(), vec![0]));
        }
    }

    #[test]
    fn a_node_that_has_lost_the_others_is_passed_over_and_speaks_for_all_if_none_answers() {
        let nodes = Nodes::new(vec![0, 1, 2]);
        let alone = |node| if node == 0 { Err(BucketError::SlowDown(503).into()) } else { Ok(node) };
        assert!(matches!(asked(&nodes, alone), (Ok(1), _)));
        let nodes = Nodes::new(vec![0, 1, 2]);
        let two_dead = |node| Err(if node == 1 { BucketError::SlowDown(503).into() } else { dead() });
        assert!(
            matches!(asked(&nodes, two_dead), (Err(BucketError::SlowDown(503)), order) if order.len() == 3)
        );
    }

    /// The client goes on from there: at the next node, for this one has failed.
    #[test]
    fn half_an_answer_is_not_begun_anew() {
        let nodes = Nodes::new(vec![0, 1, 2]);
        let broken = |_| Err(NoAnswer { is_begun: true, ..dead() });
        assert!(matches!(asked(&nodes, broken), (Err(BucketError::Unreachable(_)), order) if order == [0]));
        assert!(matches!(asked(&nodes, Ok), (Ok(1), _)));
    }

    #[test]
    fn nobody_is_asked_when_the_time_is_over() {
        let nodes = Nodes::new(vec![0, 1]);
        let limits = Limits { total: Duration::from_millis(1), ..LIMITS };
        let mut calls = 0;
        let got: Result<(), _> = nodes.ask(&limits, |_, _, _| {
            calls += 1;
            std::thread::sleep(Duration::from_millis(2));
            Err(dead())
        });
        assert!(matches!(got, Err(BucketError::Unreachable(_))) && calls == 1, "{calls}");
    }
}
