//! How often an instance has failed to go on, and how long to wait before the next try.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;

/// A call that takes too long may be the fault of a busy machine: it is tried this often before the instance is parked.
pub(super) const DEADLINE_TRIES: u32 = 3;

const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(60);
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

#[derive(Debug)]
pub(super) struct Patience {
    tries: LruCache<String, u32>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { tries: LruCache::new(REMEMBERED) }
    }
}

impl Patience {
    /// The instance failed to go on: how often in a row, and how long to wait before the next try.
    pub(super) fn failed(&mut self, instance_id: &str) -> (u32, Duration) {
        let tries = self.tries.get_or_insert_mut(instance_id.to_owned(), || 0);
        *tries = tries.saturating_add(1);
        (*tries, FIRST.saturating_mul(1 << (*tries - 1).min(10)).min(LAST))
    }

    /// The instance went on.
    pub(super) fn went_on(&mut self, instance_id: &str) {
        if !self.tries.is_empty() {
            self.tries.pop(instance_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_are_forgotten_once_it_goes_on() {
        let mut patience = Patience::default();
        let waits: Vec<_> = (0..8).map(|_| patience.failed("a").1.as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        patience.went_on("a");
        assert_eq!(patience.failed("a"), (1, FIRST));
    }
}
