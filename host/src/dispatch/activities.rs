//! Running activities: many at a time, each in an instance of its own.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use durawasm_proto::durabletask as wire;
use futures::FutureExt as _;
use tokio::sync::Semaphore;

use super::Owed;
use crate::abi::activity;
use crate::connection::{Abandoned, Answer, GuestLogs};
use crate::orchestration::{FIRST_ATTEMPT, convert};
use crate::registry::RegistryHandle;

pub(crate) struct Activities {
    registry: RegistryHandle,
    permits: Arc<Semaphore>,
    runtime: tokio::runtime::Handle,
}

/// How long an activity that nothing here can run is kept before it goes back: filters make this rare.
const UNROUTABLE_DELAY: Duration = Duration::from_secs(5);

impl Activities {
    pub(crate) fn new(registry: RegistryHandle, at_a_time: u32) -> Self {
        Self {
            registry,
            permits: Arc::new(Semaphore::new(at_a_time as usize)),
            runtime: tokio::runtime::Handle::current(),
        }
    }

    pub(super) fn take(self: &Arc<Self>, request: wire::ActivityRequest, token: String, owed: Owed) {
        let activities = Arc::clone(self);
        self.runtime.spawn(async move {
            let permits = Arc::clone(&activities.permits);
            // Fails only if the semaphore is closed, which it never is.
            let _permit = permits.acquire_owned().await;
            let what = (request.name.clone(), token.clone());
            match AssertUnwindSafe(activities.run(request, token)).catch_unwind().await {
                Ok((answer, logs)) => owed.answer(answer, logs),
                Err(_) => {
                    let (name, token) = what;
                    tracing::error!(
                        activity = name,
                        "the host itself failed while it ran an activity; the work item goes back"
                    );
                    owed.answer(Answer::Abandon(Abandoned::Activity, token), None);
                }
            }
        });
    }

    async fn run(&self, mut request: wire::ActivityRequest, token: String) -> (Answer, Option<GuestLogs>) {
        let version = request.version.as_deref().filter(|version| !version.is_empty());
        let registry = self.registry.current();
        let found = registry
            .activity(&request.name, version)
            .and_then(|component| Some((component, component.activity_code()?)));
        let Some((component, code)) = found else {
            tracing::warn!(
                activity = request.name,
                version,
                "no component here has this activity; the work item goes back for another worker"
            );
            tokio::time::sleep(UNROUTABLE_DELAY).await;
            return (Answer::Abandon(Abandoned::Activity, token), None);
        };
        let (instance_id, execution_id) = match request.orchestration_instance {
            Some(instance) => (instance.instance_id, instance.execution_id.unwrap_or_default()),
            None => Default::default(),
        };
        let call_id = |task: i32| format!("{instance_id}/{execution_id}/{task}");
        let first_attempt = request.tags.remove(FIRST_ATTEMPT).and_then(|task| task.parse().ok());
        let first_attempt = call_id(first_attempt.unwrap_or(request.task_id));
        let context = activity::Context {
            name: request.name,
            call_id: call_id(request.task_id),
            instance_id,
            version: request.version,
            tags: convert::tags(request.tags),
        };
        // One line a run: what a user counts who wants to know how often an activity ran.
        tracing::debug!(
            target: "durawasm::activity",
            call_id = context.call_id,
            instance = context.instance_id,
            activity = context.name,
            "started"
        );
        let run = code.run(&context, &first_attempt, request.input).await;
        let (result, failure_details) = match run.outcome {
            Ok(output) => (output, None),
            Err(failures) => (None, convert::failure_details(failures)),
        };
        let logs = (!run.logs.is_empty()).then(|| GuestLogs {
            instance: context.instance_id.clone(),
            component: component.program().label(),
            name: context.name,
            lines: run.logs,
        });
        let response = wire::ActivityResponse {
            instance_id: context.instance_id,
            task_id: request.task_id,
            result,
            failure_details,
            completion_token: token,
        };
        (Answer::Activity(Box::new(response)), logs)
    }
}
