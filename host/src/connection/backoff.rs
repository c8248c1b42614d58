//! Waiting between tries: longer each time, and never the same for two workers.

use std::time::Duration;

use rand::RngExt as _;

const FIRST: Duration = Duration::from_millis(50);
const LAST: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Backoff {
    ceiling: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { ceiling: FIRST }
    }
}

impl Backoff {
    /// The next wait: between half the ceiling and the ceiling, which doubles.
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.ceiling.mul_f64(rand::rng().random_range(0.5..1.0));
        self.ceiling = (self.ceiling * 2).min(LAST);
        wait
    }

    /// It worked: begin with short waits again.
    pub(super) fn reset(&mut self) {
        self.ceiling = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..20).map(|_| backoff.next()).collect();
        assert!(waits[0] <= FIRST && waits[19] >= LAST / 2 && waits.iter().all(|wait| *wait <= LAST));
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
