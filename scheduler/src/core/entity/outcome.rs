//! What an answer to a batch says, and whether it makes sense.

use std::collections::BTreeMap;

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;
use pb::operation_action::OperationActionType as Action;
use pb::operation_result::ResultType;

use super::super::events;
use super::super::ids::InstanceId;
use super::super::message::StartRequest;
use super::super::payload::weight;
use super::super::time::Timestamp;
use super::{EntityMessage, entity_id};

/// Refuses an answer that makes no sense.
pub(super) fn check(id: &InstanceId, result: &pb::EntityBatchResult, sent: usize) -> Result<(), String> {
    let count = result.results.len();
    if count > sent {
        return Err(format!("the batch of entity `{id}` had {sent} operations, and the answer has {count} results"));
    }
    if let Some(at) = result.results.iter().position(|result| result.result_type.is_none()) {
        return Err(format!("result {at} of entity `{id}` is neither a success nor a failure"));
    }
    if let Some(at) = result.actions.iter().position(|action| action.operation_action_type.is_none()) {
        return Err(format!("action {at} of entity `{id}` has no type"));
    }
    Ok(())
}

/// What of an answer is over the limit, if something is.
pub(super) fn too_large(result: &pb::EntityBatchResult, limit: usize) -> Option<String> {
    let payload = |what: &str, payload: &Option<String>| {
        let size = payload.as_deref().map_or(0, weight);
        (size > limit).then(|| {
            format!(
                "{what} has {size} bytes, the limit is {limit}: keep large data elsewhere and keep a reference to it"
            )
        })
    };
    let of_result = |result: &pb::OperationResult| match &result.result_type {
        Some(ResultType::Success(success)) => payload("the result of the operation", &success.result),
        _ => None,
    };
    let of_action = |action: &pb::OperationAction| match action.operation_action_type.as_ref()? {
        Action::SendSignal(signal) => payload(&format!("the input of the signal `{}`", signal.name), &signal.input),
        Action::StartNewOrchestration(start) => {
            payload(&format!("the input of the orchestration `{}`", start.name), &start.input)
        }
    };
    payload("the state of the entity", &result.entity_state)
        .or_else(|| result.results.iter().find_map(of_result))
        .or_else(|| result.actions.iter().find_map(of_action))
}

/// What is committed of a single operation whose answer cannot be: that it failed, and nothing else.
pub(super) fn refused(error_type: &str, why: String, state: Option<&str>) -> pb::EntityBatchResult {
    let failure_details = Some(events::failure(error_type, why, true));
    let failure = pb::OperationResultFailure { failure_details, ..Default::default() };
    pb::EntityBatchResult {
        results: vec![pb::OperationResult { result_type: Some(ResultType::Failure(failure)) }],
        entity_state: state.map(str::to_owned),
        ..Default::default()
    }
}

/// What the caller of an operation is told.
pub(super) fn answer(request_id: String, result: pb::OperationResult) -> EventType {
    match result.result_type {
        Some(ResultType::Success(success)) => EventType::EntityOperationCompleted(pb::EntityOperationCompletedEvent {
            request_id,
            output: success.result,
        }),
        Some(ResultType::Failure(failure)) => failed(request_id, failure.failure_details),
        None => failed(request_id, None),
    }
}

fn failed(request_id: String, failure: Option<pb::TaskFailureDetails>) -> EventType {
    let nothing = || events::failure("Failed", "the worker said nothing of why the operation failed".into(), false);
    let failure_details = Some(events::bounded(failure.unwrap_or_else(nothing)));
    EventType::EntityOperationFailed(pb::EntityOperationFailedEvent { request_id, failure_details })
}

/// What an operation sends on.
pub(super) fn message(action: pb::OperationAction, fresh_id: String, now: Timestamp) -> Result<EntityMessage, String> {
    match action.operation_action_type {
        Some(Action::SendSignal(signal)) => {
            let target = entity_id(&signal.instance_id)
                .map_err(|why| format!("its signal `{}` was not sent: {why}", signal.name))?;
            let event_type = EventType::EntityOperationSignaled(pb::EntityOperationSignaledEvent {
                request_id: fresh_id,
                operation: signal.name,
                scheduled_time: signal.scheduled_time,
                input: signal.input,
                target_instance_id: Some(target.as_str().into()),
            });
            let event = Box::new(events::event(events::NO_ACTION, now, event_type));
            let due = signal.scheduled_time.map(Timestamp::not_before);
            Ok(EntityMessage::Operation { target, event, caller: None, due })
        }
        Some(Action::StartNewOrchestration(start)) => {
            let fresh = start.instance_id.is_empty();
            let text = if fresh { fresh_id.replace('-', "") } else { start.instance_id };
            let instance = InstanceId::parse(&text)
                .map_err(|why| format!("it could not start the orchestration `{}`: {why}", start.name))?;
            Ok(EntityMessage::Start(Box::new(StartRequest {
                instance,
                fresh,
                execution: None,
                name: start.name,
                version: start.version,
                input: start.input,
                scheduled_start: start.scheduled_time.map(Timestamp::not_before),
                tags: BTreeMap::new(),
                trace: start.parent_trace_context,
                replaceable: None,
            })))
        }
        None => Err("an action has no type".into()),
    }
}
