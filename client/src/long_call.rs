//! Calls that the scheduler holds until there is an answer, made again when they are cut off.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{Request, Status};

use crate::{Client, Error, ErrorKind};

/// A server may limit a call of its own accord, or be stopping; this is how long to hold back before asking again.
const PAUSE: Duration = Duration::from_millis(200);

/// How long one call asks the server to hold it. Every call states a deadline, since some servers fail without one.
const LONGEST_CALL: Duration = Duration::from_secs(300);

/// A call that was held for longer than it takes to find that nobody is there had reached somebody.
const HELD: Duration = Duration::from_secs(1);

/// How a call ends without an answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// The caller's time is up.
    TimedOut,
    /// Asking again would not help, or there was no contact for too long.
    Failed(Error),
}

impl Client {
    /// Asks until there is an answer: for as long as `timeout` says, and for as long as there was contact with the scheduler within `patience`.
    /// `ask` is told until when it is to be held.
    pub(crate) async fn long_call<T, F: Future<Output = Result<T, Status>>>(
        &self,
        timeout: Option<Duration>,
        patience: Duration,
        ask: impl Fn(Instant) -> F,
    ) -> Result<T, Unanswered> {
        let begun = Instant::now();
        let deadline = timeout.map(|timeout| begun + timeout);
        let mut last_contact = begun;
        loop {
            let asked = Instant::now();
            let until = asked + LONGEST_CALL;
            let until = deadline.map_or(until, |deadline| deadline.min(until));
            let answer = timeout_at(until, ask(until)).await;
            let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("the call was held to its end")));
            let error = match answer {
                Ok(answer) => return Ok(answer),
                Err(status) => self.hub_missing(status),
            };
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Err(Unanswered::TimedOut);
            }
            let held = now.duration_since(asked) > self.connection().connect_timeout + HELD;
            match error.kind() {
                // The scheduler's own limit, not ours.
                ErrorKind::TimedOut => last_contact = now,
                ErrorKind::Unavailable if held => last_contact = now,
                ErrorKind::Unavailable if now.duration_since(last_contact) < patience => {}
                _ => return Err(Unanswered::Failed(error)),
            }
            let next = now + PAUSE;
            sleep_until(deadline.map_or(next, |deadline| deadline.min(next))).await;
        }
    }
}

/// A request that says until when it may be held.
pub(crate) fn held_until<T>(message: T, until: Instant) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(until.saturating_duration_since(Instant::now()));
    request
}
