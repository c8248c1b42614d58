//! Messages to entities, and their answers, between the wire and a session's own types.

use durawasm_proto::durabletask as wire;
use wire::send_entity_message_action::EntityMessageType;

use super::super::entity::{EntityContent, EntityMessage, lock_name, operation_name};
use super::super::history::{EventKind, Recorded, RecordedKind};
use super::{failure_details, failures, timestamp};
use crate::abi::Outcome;

pub(super) fn called(event: wire::EntityOperationCalledEvent) -> EventKind {
    let name = operation_name(event.target_instance_id.as_deref().unwrap_or_default(), &event.operation);
    recorded(RecordedKind::EntityCall, name, event.request_id)
}

pub(super) fn signalled(event: wire::EntityOperationSignaledEvent) -> EventKind {
    let name = operation_name(event.target_instance_id.as_deref().unwrap_or_default(), &event.operation);
    recorded(RecordedKind::EntitySignal, name, event.request_id)
}

pub(super) fn lock_requested(event: wire::EntityLockRequestedEvent) -> EventKind {
    recorded(RecordedKind::EntityLock, lock_name(&event.lock_set), event.critical_section_id)
}

pub(super) fn unlock_sent(event: wire::EntityUnlockSentEvent) -> EventKind {
    let name = event.target_instance_id.unwrap_or_default();
    recorded(RecordedKind::EntityUnlock, name, event.critical_section_id)
}

fn recorded(kind: RecordedKind, name: String, request: String) -> EventKind {
    EventKind::Recorded(Recorded { kind, name, request: Some(request) })
}

pub(super) fn completed(event: wire::EntityOperationCompletedEvent) -> EventKind {
    answered(RecordedKind::EntityCall, event.request_id, Ok(event.output))
}

pub(super) fn failed(event: wire::EntityOperationFailedEvent) -> EventKind {
    answered(RecordedKind::EntityCall, event.request_id, Err(failures(event.failure_details)))
}

pub(super) fn granted(event: wire::EntityLockGrantedEvent) -> EventKind {
    answered(RecordedKind::EntityLock, event.critical_section_id, Ok(None))
}

fn answered(of: RecordedKind, request: String, outcome: Outcome) -> EventKind {
    EventKind::Answered { of, request, outcome }
}

/// The action that sends a message of this instance.
pub(super) fn action(message: EntityMessage, instance_id: &str) -> wire::SendEntityMessageAction {
    let EntityMessage { request, content, .. } = message;
    let parent = Some(instance_id.to_owned());
    let message = match content {
        EntityContent::Call { entity, operation, input } => {
            EntityMessageType::EntityOperationCalled(wire::EntityOperationCalledEvent {
                request_id: request,
                operation,
                scheduled_time: None,
                input,
                parent_instance_id: parent,
                // The scheduler knows it, and fills it in.
                parent_execution_id: None,
                target_instance_id: Some(entity),
            })
        }
        EntityContent::Signal { entity, operation, input, scheduled } => {
            EntityMessageType::EntityOperationSignaled(wire::EntityOperationSignaledEvent {
                request_id: request,
                operation,
                scheduled_time: scheduled.map(timestamp),
                input,
                target_instance_id: Some(entity),
            })
        }
        EntityContent::Lock { entities } => EntityMessageType::EntityLockRequested(wire::EntityLockRequestedEvent {
            critical_section_id: request,
            lock_set: entities,
            position: 0,
            parent_instance_id: parent,
        }),
        EntityContent::Unlock { entity, section } => EntityMessageType::EntityUnlockSent(wire::EntityUnlockSentEvent {
            critical_section_id: section,
            parent_instance_id: parent,
            target_instance_id: Some(entity),
        }),
    };
    wire::SendEntityMessageAction { entity_message_type: Some(message) }
}

/// How an operation ended.
pub(crate) fn operation_result(
    outcome: Outcome,
    started: prost_types::Timestamp,
    ended: prost_types::Timestamp,
) -> wire::OperationResult {
    use wire::operation_result::ResultType;
    let result = match outcome {
        Ok(result) => ResultType::Success(wire::OperationResultSuccess {
            result,
            start_time_utc: Some(started),
            end_time_utc: Some(ended),
        }),
        Err(failures) => ResultType::Failure(wire::OperationResultFailure {
            failure_details: failure_details(failures),
            start_time_utc: Some(started),
            end_time_utc: Some(ended),
        }),
    };
    wire::OperationResult { result_type: Some(result) }
}
