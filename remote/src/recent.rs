//! What was learned moments before, bounded in time and number.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// 4,096 entries of 2 KiB are 8 MiB.
const KEPT_MAX: usize = 4096;

/// Values, each until its time is over, or until many newer ones came.
pub(crate) struct Recent<K, V>(Mutex<Kept<K, V>>);

struct Kept<K, V> {
    values: HashMap<K, (V, Duration)>,
    order: VecDeque<K>,
}

impl<K: Copy + Eq + Hash, V: Clone> Recent<K, V> {
    pub(crate) fn new() -> Recent<K, V> {
        Recent(Mutex::new(Kept { values: HashMap::new(), order: VecDeque::new() }))
    }

    pub(crate) fn put(&self, key: K, value: V, until: Duration) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.values.insert(key, (value, until)).is_none() {
            kept.order.push_back(key);
        }
        while kept.order.len() > KEPT_MAX {
            if let Some(oldest) = kept.order.pop_front() {
                kept.values.remove(&oldest);
            }
        }
    }

    pub(crate) fn get(&self, key: &K, now: Duration) -> Option<V> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.values.get(key).filter(|(_, until)| now < *until).map(|(value, _)| value.clone())
    }

    pub(crate) fn forget(&self, key: &K) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.values.remove(key).is_some() {
            kept.order.retain(|other| other != key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_kept_until_its_time_or_until_many_came_after_it() {
        let recent = Recent::new();
        let second = Duration::from_secs(1);
        recent.put(0, 'a', second);
        assert_eq!(recent.get(&0, Duration::ZERO), Some('a'));
        assert_eq!(recent.get(&0, second), None);
        for key in 1..=KEPT_MAX {
            recent.put(key, 'b', second);
        }
        assert_eq!(recent.get(&0, Duration::ZERO), None);
        recent.forget(&1);
        recent.put(1, 'c', second);
        assert_eq!(recent.get(&1, Duration::ZERO), Some('c'));
    }
}
