//! Waiting for an instance: one long call, made again when the connection breaks.

use std::time::Duration;

use crate::long_call::{Unanswered, held_until};
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
        let ask = |until| {
            let request = held_until(Client::question(id, wait.payloads), until);
            let mut tasks = self.services().tasks;
            async move {
                match goal {
                    Goal::Start => tasks.wait_for_instance_start(request).await,
                    Goal::Completion => tasks.wait_for_instance_completion(request).await,
                }
            }
        };
        match self.long_call(wait.timeout, wait.patience, ask).await {
            Ok(answer) => convert::instance_from_answer(answer.into_inner()).ok_or_else(|| self.no_such_instance(id)),
            Err(Unanswered::TimedOut) => Err(self.timed_out(id, wait, goal)),
            Err(Unanswered::Failed(error)) => Err(error),
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
