//! Running activities: many at a time, each in an instance of its own.

use std::sync::Arc;

use durawasm_proto::durabletask as wire;

use super::Owed;
use super::effects::{Effects, Job, Ran};
use crate::abi::activity;
use crate::connection::{Abandoned, Answer, GuestLogs};
use crate::orchestration::{FIRST_ATTEMPT, convert};
use crate::registry::RegistryHandle;

pub(crate) struct Activities {
    registry: RegistryHandle,
    effects: Effects,
}

impl Activities {
    pub(crate) fn new(registry: RegistryHandle, at_a_time: u32) -> Self {
        Self { registry, effects: Effects::new(at_a_time) }
    }

    pub(super) fn take(self: &Arc<Self>, request: wire::ActivityRequest, token: String, owed: Owed) {
        let version = request.version.as_deref().filter(|version| !version.is_empty());
        let name = version.map_or_else(|| request.name.clone(), |version| format!("{} {version}", request.name));
        let job = Job { kind: Abandoned::Activity, name, token: token.clone() };
        let activities = Arc::clone(self);
        self.effects.spawn(job, owed, async move { activities.run(request, token).await });
    }

    async fn run(&self, mut request: wire::ActivityRequest, token: String) -> Ran {
        let version = request.version.as_deref().filter(|version| !version.is_empty());
        let registry = self.registry.current();
        let component = registry.activity(&request.name, version)?;
        let code = component.activity_code()?;
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
        Some((Answer::Activity(Box::new(response)), logs))
    }
}
