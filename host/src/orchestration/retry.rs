//! Retry policies. The host does the waiting and the trying again; every attempt and every wait is in the history.

use super::action::Decision;
use super::history::Time;
use crate::abi::{Failures, RetryPolicy};

/// The tag with which a further attempt at an activity names the first one, by its action id. Matching does not look at tags, and
/// activities do not see it: the host derives from it what must be the same for all attempts.
pub(crate) const FIRST_ATTEMPT: &str = "durawasm.first-attempt";

/// A call that may be tried again.
#[derive(Debug)]
pub(super) struct Retry {
    policy: RetryPolicy,
    /// The call, to be made again.
    pub(super) call: Decision,
    /// When the first attempt was made.
    first: Time,
    /// How many attempts were made.
    attempts: u32,
}

impl Retry {
    pub(super) fn new(policy: RetryPolicy, call: Decision, now: Time) -> Self {
        Self { policy, call, first: now, attempts: 1 }
    }

    /// The first attempt has this action id.
    pub(super) fn began(&mut self, action: i32) {
        if let Decision::Activity { tags, .. } = &mut self.call {
            tags.retain(|(name, _)| name != FIRST_ATTEMPT);
            tags.push((FIRST_ATTEMPT.to_owned(), action.to_string()));
        }
    }

    pub(super) fn attempted(&mut self) {
        self.attempts += 1;
    }

    /// After a failure: how many milliseconds to wait before the next attempt, or none if there is no next one.
    pub(super) fn next_delay(&self, failures: &Failures, now: Time) -> Option<u64> {
        let policy = &self.policy;
        let outermost = failures.first();
        let allowed = self.attempts < policy.max_attempts
            && outermost.is_none_or(|failure| failure.retriable && !policy.non_retriable.contains(&failure.error_type))
            && policy.timeout.is_none_or(|timeout| now.millis_since(self.first) < timeout);
        allowed.then(|| {
            let exponent = i32::try_from(self.attempts - 1).unwrap_or(i32::MAX);
            // Float to integer saturates, and what is not a number becomes zero.
            let delay = (policy.first_interval as f64 * policy.backoff.max(1.0).powi(exponent)) as u64;
            delay.min(policy.max_interval.unwrap_or(u64::MAX))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Failure;

    fn failure(error_type: &str, retriable: bool) -> Failures {
        vec![Failure {
            error_type: error_type.to_owned(),
            message: "no".to_owned(),
            stack: None,
            retriable,
            properties: Vec::new(),
        }]
    }

    fn retry(attempts: u32) -> Retry {
        let policy = RetryPolicy {
            max_attempts: 5,
            first_interval: 100,
            backoff: 2.0,
            max_interval: Some(350),
            timeout: Some(10_000),
            non_retriable: vec!["Fatal".to_owned()],
        };
        Retry { attempts, ..Retry::new(policy, Decision::Timer { fire_at: Time::default() }, Time::default()) }
    }

    #[test]
    fn delays_grow_by_the_factor_up_to_the_maximum() {
        let delays: Vec<_> = (1..=5).map(|n| retry(n).next_delay(&failure("E", true), Time::default())).collect();
        assert_eq!(delays, [Some(100), Some(200), Some(350), Some(350), None]);
    }

    #[test]
    fn a_failure_that_says_so_is_not_tried_again() {
        assert_eq!(retry(1).next_delay(&failure("E", false), Time::default()), None);
        assert_eq!(retry(1).next_delay(&failure("Fatal", true), Time::default()), None);
    }

    #[test]
    fn nothing_is_tried_again_after_the_total_timeout() {
        assert!(retry(1).next_delay(&failure("E", true), Time { seconds: 9, nanos: 999_000_000 }).is_some());
        assert_eq!(retry(1).next_delay(&failure("E", true), Time { seconds: 10, nanos: 0 }), None);
    }

    #[test]
    fn further_attempts_at_an_activity_name_the_first_one() {
        let tags = vec![("team".to_owned(), "blue".to_owned())];
        let call = Decision::Activity { name: "a".to_owned(), version: None, input: None, tags: tags.clone() };
        let mut retry = Retry { call, ..retry(1) };
        retry.began(7);
        let Decision::Activity { tags: further, .. } = &retry.call else { panic!("still an activity") };
        assert_eq!(further[..1], tags);
        assert_eq!(further[1], (FIRST_ATTEMPT.to_owned(), "7".to_owned()));
    }

    #[test]
    fn an_absurd_policy_gives_a_delay_and_no_panic() {
        let mut retry = retry(4_000_000);
        retry.policy = RetryPolicy { max_attempts: u32::MAX, backoff: f64::NAN, max_interval: None, ..retry.policy };
        assert_eq!(retry.next_delay(&failure("E", true), Time::default()), Some(100));
        retry.policy.backoff = f64::INFINITY;
        assert_eq!(retry.next_delay(&failure("E", true), Time::default()), Some(u64::MAX));
    }
}
