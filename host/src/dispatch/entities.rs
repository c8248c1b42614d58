//! Running batches of entity operations: many entities at a time, each batch in an instance of its own.
//!
//! There are two forms of work items, of which the older one says less; both become a [`Batch`].

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use durawasm_proto::durabletask as wire;
use prost::Message as _;
use wire::history_event::EventType;

use super::Owed;
use super::effects::{Effects, Job, Ran};
use crate::abi::entity;
use crate::connection::{Abandoned, Answer, GuestLogs, Reserve};
use crate::orchestration::{convert, parse_id, protocol_id};
use crate::registry::RegistryHandle;

pub(crate) struct Entities {
    registry: RegistryHandle,
    effects: Effects,
}

/// A batch of operations on one entity, in whichever form it came.
pub(super) struct Batch {
    instance_id: String,
    state: Option<String>,
    operations: Vec<Requested>,
    /// The older form is answered without saying who waits for what: the scheduler knows.
    older: bool,
}

struct Requested {
    operation: String,
    request_id: String,
    input: Option<String>,
    /// Whether nobody waits for its result. The older form does not tell: somebody may.
    signal: bool,
    /// Who waits for the result.
    destination: Option<wire::OrchestrationInstance>,
}

/// Bytes of results and actions after which no further operation is begun. Peers take messages of 4 MiB at least.
const MAX_ANSWER: usize = 1 << 20;

impl Entities {
    pub(crate) fn new(registry: RegistryHandle, at_a_time: u32) -> Self {
        Self { registry, effects: Effects::new(at_a_time) }
    }

    pub(super) fn take(self: &Arc<Self>, batch: Batch, token: String, owed: Owed) {
        let job = Job { kind: Abandoned::Entity, name: batch.instance_id.clone(), token: token.clone() };
        let entities = Arc::clone(self);
        self.effects.spawn(job, owed, async move { entities.run(batch, token).await });
    }

    async fn run(&self, batch: Batch, token: String) -> Ran {
        let registry = self.registry.current();
        let id = parse_id(&batch.instance_id)?;
        let component = registry.entity(&id.name.to_lowercase())?;
        let code = component.entity_code()?;
        let name = id.name.clone();
        let begun = Instant::now();
        let mut reserve = Reserve::default();
        let mut running = code.batch(id, batch.state);
        let mut bytes = 0;
        let mut result = wire::EntityBatchResult { completion_token: token, ..Default::default() };
        for requested in batch.operations {
            // A batch that takes longer than one operation may, or whose answer becomes too large for a message, is answered with
            // what is done: the rest stays queued, first.
            let long = begun.elapsed() > code.limits().deadline || bytes > MAX_ANSWER;
            if !result.results.is_empty() && long {
                break;
            }
            let started = SystemTime::now();
            let Requested { operation, request_id, input, signal, destination } = requested;
            tracing::debug!(
                target: "durawasm::entity",
                entity = batch.instance_id,
                operation,
                request_id,
                "started"
            );
            let operation = entity::Operation {
                name: operation,
                input,
                signal,
                id: request_id.clone(),
                now: convert::time(started.into()).into(),
            };
            let run = running.run(&operation).await;
            let done = convert::operation_result(run.outcome, started.into(), SystemTime::now().into());
            bytes += done.encoded_len();
            result.results.push(done);
            for action in run.actions {
                let id = i32::try_from(result.actions.len()).unwrap_or(i32::MAX);
                let Some(action) = action_of(id, action, started) else { continue };
                bytes += action.encoded_len();
                result.actions.push(action);
            }
            if result.results.len() == 1 {
                reserve.first_actions = result.actions.len();
                reserve.before = run.former;
            } else if reserve.first.is_none() {
                reserve.first = run.former;
            }
            if !batch.older {
                result.operation_infos.push(wire::OperationInfo { request_id, response_destination: destination });
            }
        }
        let (state, lines) = running.end();
        result.entity_state = state;
        let logs = (!lines.is_empty()).then(|| GuestLogs {
            instance: batch.instance_id,
            component: component.program().label(),
            name,
            lines,
        });
        Some((Answer::Entity(Box::new(result), Arc::new(reserve)), logs))
    }
}

fn action_of(id: i32, action: entity::Action, now: SystemTime) -> Option<wire::OperationAction> {
    use wire::operation_action::OperationActionType;
    let scheduled = |time: Option<crate::abi::Timestamp>| time.map(|time| convert::timestamp(time.into()));
    let action = match action {
        entity::Action::Signal(signal) => OperationActionType::SendSignal(wire::SendSignalAction {
            // The sandbox has checked it.
            instance_id: protocol_id(&signal.entity).ok()?,
            name: signal.operation,
            input: signal.input,
            scheduled_time: scheduled(signal.scheduled),
            request_time: Some(now.into()),
            parent_trace_context: None,
        }),
        entity::Action::StartOrchestration(start) => {
            OperationActionType::StartNewOrchestration(wire::StartNewOrchestrationAction {
                instance_id: start.instance_id.unwrap_or_default(),
                name: start.name,
                version: start.version,
                input: start.input,
                scheduled_time: scheduled(start.scheduled),
                request_time: Some(now.into()),
                parent_trace_context: None,
            })
        }
    };
    Some(wire::OperationAction { id, operation_action_type: Some(action) })
}

impl From<wire::EntityRequest> for Batch {
    fn from(request: wire::EntityRequest) -> Self {
        Self {
            instance_id: request.instance_id,
            state: request.entity_state,
            // What is no operation gets no result.
            operations: request.operation_requests.into_iter().filter_map(requested).collect(),
            older: false,
        }
    }
}

fn requested(event: wire::HistoryEvent) -> Option<Requested> {
    match event.event_type? {
        EventType::EntityOperationSignaled(event) => Some(Requested {
            operation: event.operation,
            request_id: event.request_id,
            input: event.input,
            signal: true,
            destination: None,
        }),
        EventType::EntityOperationCalled(event) => Some(Requested {
            operation: event.operation,
            request_id: event.request_id,
            input: event.input,
            signal: false,
            destination: event.parent_instance_id.map(|instance_id| wire::OrchestrationInstance {
                instance_id,
                execution_id: event.parent_execution_id,
            }),
        }),
        _ => None,
    }
}

impl From<wire::EntityBatchRequest> for Batch {
    fn from(request: wire::EntityBatchRequest) -> Self {
        let requested = |operation: wire::OperationRequest| Requested {
            operation: operation.operation,
            request_id: operation.request_id,
            input: operation.input,
            // Somebody may wait: who, only the scheduler knows.
            signal: false,
            destination: None,
        };
        Self {
            instance_id: request.instance_id,
            state: request.entity_state,
            operations: request.operations.into_iter().map(requested).collect(),
            older: true,
        }
    }
}
