//! Waiting for an instance: one long call, made again when the connection breaks.

use std::time::Duration;

use durawasm_proto::durabletask as wire;
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{Request, Response, Status};

use crate::{Client, Error, ErrorKind, Instance, InstanceId, convert};

/// How to wait for an instance.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// How long. None: for ever.
    pub timeout: Option<Duration>,
    /// Whether the instance's input and output are wanted.
    pub payloads: bool,
    /// For how long to go on when the scheduler cannot be reached: it may be restarting.
    pub patience: Duration,
}

impl Default for Wait {
    /// For ever, with payloads, and half a minute of patience with a scheduler that is away.
    fn default() -> Wait {
        Wait { timeout: None, payloads: true, patience: Duration::from_secs(30) }
    }
}

impl Wait {
    /// Waits for this long at most.
    pub fn at_most(timeout: Duration) -> Wait {
        Wait { timeout: Some(timeout), ..Wait::default() }
    }
}

#[derive(Clone, Copy)]
enum Goal {
    Start,
    Completion,
}

/// A server may limit a wait of its own accord; this is how long to hold back before asking again.
const PAUSE: Duration = Duration::from_millis(200);

/// How long one call asks the server to hold it. Every call states a deadline, since some servers fail without one.
const LONGEST_CALL: Duration = Duration::from_secs(300);

impl Client {
    /// Waits until an instance has begun.
    pub async fn wait_for_start(&self, id: &InstanceId, wait: &Wait) -> Result<Instance, Error> {
        self.wait(id, wait, Goal::Start).await
    }

    /// Waits until an instance has ended. An orchestration that failed is not an error of this call: see
    /// [`Instance::status`].
    pub async fn wait_for_completion(&self, id: &InstanceId, wait: &Wait) -> Result<Instance, Error> {
        self.wait(id, wait, Goal::Completion).await
    }

    async fn wait(&self, id: &InstanceId, wait: &Wait, goal: Goal) -> Result<Instance, Error> {
        let begun = Instant::now();
        let deadline = wait.timeout.map(|timeout| begun + timeout);
        let mut last_contact = begun;
        loop {
            let asked = Instant::now();
            let until = asked + LONGEST_CALL;
            let until = deadline.map_or(until, |deadline| deadline.min(until));
            let answer = timeout_at(until, self.ask(id, wait, goal, until)).await;
            let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("the call was held to its end")));
            let error = match answer {
                Ok(answer) => {
                    return convert::instance_from_answer(answer.into_inner()).ok_or_else(|| self.no_such_instance(id));
                }
                Err(status) => self.hub_missing(status),
            };
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Err(self.timed_out(id, wait, goal));
            }
            match error.kind() {
                // The scheduler's own limit, not ours.
                ErrorKind::TimedOut => last_contact = now,
                // A call that was held for a while had reached somebody.
                ErrorKind::Unavailable if now.duration_since(asked) > Duration::from_secs(1) => last_contact = now,
                ErrorKind::Unavailable if now.duration_since(last_contact) < wait.patience => {}
                _ => return Err(error),
            }
            let next = now + PAUSE;
            sleep_until(deadline.map_or(next, |deadline| deadline.min(next))).await;
        }
    }

    async fn ask(
        &self,
        id: &InstanceId,
        wait: &Wait,
        goal: Goal,
        until: Instant,
    ) -> Result<Response<wire::GetInstanceResponse>, Status> {
        let mut request = Request::new(Client::question(id, wait.payloads));
        request.set_timeout(until.saturating_duration_since(Instant::now()));
        let mut tasks = self.services().tasks;
        match goal {
            Goal::Start => tasks.wait_for_instance_start(request).await,
            Goal::Completion => tasks.wait_for_instance_completion(request).await,
        }
    }

    fn timed_out(&self, id: &InstanceId, wait: &Wait, goal: Goal) -> Error {
        let what = match goal {
            Goal::Start => "begun",
            Goal::Completion => "ended",
        };
        let after = humantime::format_duration(wait.timeout.unwrap_or_default());
        Error::new(ErrorKind::TimedOut, format!("the instance `{id}` has not {what} after {after}"))
    }
}
