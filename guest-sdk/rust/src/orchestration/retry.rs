//! Trying again after a failure.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use super::awaitable::Timer;
use super::instance::Instance;
pub(crate) use crate::bindings::exports::durawasm::workflow::orchestrator::RetryPolicy as Policy;
use crate::{Error, Result};

/// When to try a call again: `Retry::attempts(5).first(Duration::from_secs(1)).backoff(2.0)`.
///
/// A failure that says that it is not retriable, or whose type is named with [`Retry::not_on`], is not tried again.
#[derive(Clone, Debug)]
#[must_use = "a policy does nothing until it is given to a call"]
pub struct Retry {
    attempts: u32,
    first: Duration,
    backoff: f64,
    max_interval: Option<Duration>,
    timeout: Option<Duration>,
    not_on: Vec<String>,
}

/// Three attempts.
impl Default for Retry {
    fn default() -> Self {
        Self::attempts(3)
    }
}

impl Retry {
    /// So many tries in all, the first included (0 counts as 1). The wait after the first failure is one second, and doubles with
    /// each further one.
    pub fn attempts(attempts: u32) -> Self {
        Self {
            attempts: attempts.max(1),
            first: Duration::from_secs(1),
            backoff: 2.0,
            max_interval: None,
            timeout: None,
            not_on: Vec::new(),
        }
    }

    /// The wait after the first failure.
    pub fn first(mut self, interval: Duration) -> Self {
        self.first = interval;
        self
    }

    /// By what the wait is multiplied after each failure. What is below 1 counts as 1.
    pub fn backoff(mut self, factor: f64) -> Self {
        // `max` also replaces NaN.
        self.backoff = factor.max(1.0);
        self
    }

    /// No wait is longer than this.
    pub fn max_interval(mut self, interval: Duration) -> Self {
        self.max_interval = Some(interval);
        self
    }

    /// Looked at when a try has failed: there is no further one if this long has passed since the first began.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Failures of this type are not tried again.
    pub fn not_on(mut self, error_type: impl Into<String>) -> Self {
        self.not_on.push(error_type.into());
        self
    }

    pub(crate) fn into_policy(self) -> Policy {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Policy {
            max_attempts: self.attempts,
            first_interval: millis(self.first),
            backoff: self.backoff,
            max_interval: self.max_interval.map(millis),
            timeout: self.timeout.map(millis),
            non_retriable: self.not_on,
        }
    }
}

/// A call that is tried again for as long as a predicate says so, made by [`Call::retry_if`](super::Call::retry_if).
#[must_use = "nothing is tried again without `.await`"]
pub struct Retrying<T>(Pin<Box<dyn Future<Output = Result<T>>>>);

impl<T> Retrying<T> {
    pub(crate) fn new(tries: impl Future<Output = Result<T>> + 'static) -> Self {
        Self(Box::pin(tries))
    }
}

impl<T> Future for Retrying<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

/// The first call was issued by the caller; each further one by `call_again`.
pub(crate) async fn with_predicate<T, C: Future<Output = Result<T>>>(
    instance: Rc<Instance>,
    mut call: C,
    call_again: impl Fn() -> C,
    policy: Policy,
    mut again: impl FnMut(&Error) -> bool,
) -> Result<T> {
    let deadline = policy.timeout.map(|timeout| instance.now.get() + Duration::from_millis(timeout));
    let mut attempts = 1;
    loop {
        let error = match call.await {
            Ok(output) => return Ok(output),
            Err(error) => error,
        };
        // The same rules as the host's for policies without a predicate.
        let now = instance.now.get();
        let allowed = attempts < policy.max_attempts
            && deadline.is_none_or(|deadline| now < deadline)
            && error.is_retriable()
            && !policy.non_retriable.iter().any(|kind| kind == error.error_type());
        if !allowed || !again(&error) {
            return Err(error);
        }
        Timer::new(&instance, now + interval(&policy, attempts)).await;
        attempts += 1;
        call = call_again();
    }
}

/// The wait after the `attempts`th failure.
fn interval(policy: &Policy, attempts: u32) -> Duration {
    let exponent = i32::try_from(attempts.saturating_sub(1)).unwrap_or(i32::MAX);
    let longest = policy.max_interval.unwrap_or(u64::MAX);
    // A cast of a float stops at the ends of the integer's range.
    let millis = (policy.first_interval as f64 * policy.backoff.powi(exponent)) as u64;
    Duration::from_millis(millis.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_grow_by_the_backoff_up_to_the_longest() {
        let policy = Retry::attempts(9)
            .first(Duration::from_millis(100))
            .backoff(3.0)
            .max_interval(Duration::from_millis(1_000))
            .into_policy();
        let waits: Vec<_> = (1..=4).map(|attempts| interval(&policy, attempts).as_millis()).collect();
        assert_eq!(waits, [100, 300, 900, 1_000]);
        assert_eq!(interval(&policy, u32::MAX).as_millis(), 1_000);
    }

    #[test]
    fn a_policy_is_always_valid() {
        let policy = Retry::attempts(0).backoff(f64::NAN).first(Duration::MAX).into_policy();
        assert_eq!((policy.max_attempts, policy.backoff, policy.first_interval), (1, 1.0, u64::MAX));
    }
}
