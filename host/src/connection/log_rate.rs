//! How many lines of guests are shown: a component that writes more than its rate does not drown what others say.
//!
//! Each component has a bucket of lines that fills at the rate. What does not fit is dropped and counted, and one line says how many.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use lru::LruCache;

/// Lines of one component per second, over time.
pub(crate) const LINES_PER_SECOND: u32 = 1_000;
/// Lines of one component at once, after a while of silence.
pub(crate) const BURST: u32 = 10_000;

/// Not more often is it said how many were dropped.
const REPORT_EVERY: Duration = Duration::from_secs(1);
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(1_024).expect("not zero");

#[derive(Debug)]
pub(super) struct LogRate {
    buckets: LruCache<String, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    lines: f64,
    filled: Instant,
    dropped: u64,
    reported: Option<Instant>,
}

/// What becomes of some lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    /// So many of them, from the first, may be shown.
    pub(super) lines: usize,
    /// So many were dropped since this was said last; zero if there is nothing to say.
    pub(super) dropped: u64,
}

impl Default for LogRate {
    fn default() -> Self {
        Self { buckets: LruCache::new(REMEMBERED) }
    }
}

impl LogRate {
    /// A component wants to show this many lines.
    pub(super) fn admit(&mut self, component: &str, lines: usize, now: Instant) -> Admitted {
        let full = || Bucket { lines: f64::from(BURST), filled: now, dropped: 0, reported: None };
        let bucket = self.buckets.get_or_insert_mut_ref(component, full);
        let passed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.lines = (bucket.lines + passed * f64::from(LINES_PER_SECOND)).min(f64::from(BURST));
        bucket.filled = now;
        let admitted = lines.min(bucket.lines as usize);
        bucket.lines -= admitted as f64;
        bucket.dropped += (lines - admitted) as u64;
        let due = bucket.reported.is_none_or(|reported| now.saturating_duration_since(reported) >= REPORT_EVERY);
        let dropped = if due { std::mem::take(&mut bucket.dropped) } else { 0 };
        if dropped > 0 {
            bucket.reported = Some(now);
        }
        Admitted { lines: admitted, dropped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_has_its_burst_then_its_rate_and_others_are_not_touched() {
        let (mut rate, start) = (LogRate::default(), Instant::now());
        let all = BURST as usize;
        assert_eq!(rate.admit("a", all, start), Admitted { lines: all, dropped: 0 });
        assert_eq!(rate.admit("a", 5, start), Admitted { lines: 0, dropped: 5 });
        assert_eq!(rate.admit("b", 5, start), Admitted { lines: 5, dropped: 0 });
        let later = start + Duration::from_millis(100);
        assert_eq!(rate.admit("a", 200, later).lines, LINES_PER_SECOND as usize / 10);
    }

    #[test]
    fn what_is_dropped_is_said_at_once_and_then_every_second_and_never_twice() {
        let (mut rate, start) = (LogRate::default(), Instant::now());
        rate.admit("a", BURST as usize, start);
        let mut said = rate.admit("a", 100, start).dropped;
        assert_eq!(said, 100);
        let mut shown = 0;
        for tick in 1..=2_500_u64 {
            let admitted = rate.admit("a", 10, start + Duration::from_millis(tick));
            shown += admitted.lines as u64;
            said += admitted.dropped;
        }
        said += rate.admit("a", 0, start + Duration::from_secs(10)).dropped;
        assert_eq!(shown + said, 100 + 25_000);
    }
}
