//! What an orchestrator decides, in a short form.

use std::time::Duration;

use durawasm_proto::durabletask as pb;
use pb::orchestrator_action::OrchestratorActionType as Kind;

fn action(id: i32, kind: Kind) -> pb::OrchestratorAction {
    pb::OrchestratorAction { id, orchestrator_action_type: Some(kind) }
}

/// Calls an activity.
pub(crate) fn call(id: i32, name: &str) -> pb::OrchestratorAction {
    call_with(id, name, |_| {})
}

pub(crate) fn call_with(
    id: i32,
    name: &str,
    change: impl FnOnce(&mut pb::ScheduleTaskAction),
) -> pb::OrchestratorAction {
    let mut task = pb::ScheduleTaskAction { name: name.into(), ..Default::default() };
    change(&mut task);
    action(id, Kind::ScheduleTask(task))
}

/// Sets a timer; microseconds since 1970.
pub(crate) fn timer(id: i32, fire_at: i64) -> pb::OrchestratorAction {
    action(id, Kind::CreateTimer(pb::CreateTimerAction { fire_at: Some(at(fire_at)) }))
}

/// Starts a child.
pub(crate) fn child(id: i32, instance: &str, name: &str) -> pb::OrchestratorAction {
    child_with(id, instance, name, |_| {})
}

pub(crate) fn child_with(
    id: i32,
    instance: &str,
    name: &str,
    change: impl FnOnce(&mut pb::CreateSubOrchestrationAction),
) -> pb::OrchestratorAction {
    let mut child =
        pb::CreateSubOrchestrationAction { instance_id: instance.into(), name: name.into(), ..Default::default() };
    change(&mut child);
    action(id, Kind::CreateSubOrchestration(child))
}

/// Sends an event to another instance.
pub(crate) fn send(id: i32, target: &str, name: &str, data: &str) -> pb::OrchestratorAction {
    let instance = Some(pb::OrchestrationInstance { instance_id: target.into(), execution_id: None });
    action(id, Kind::SendEvent(pb::SendEventAction { instance, name: name.into(), data: Some(data.into()) }))
}

fn to_entity(id: i32, message: pb::send_entity_message_action::EntityMessageType) -> pb::OrchestratorAction {
    action(id, Kind::SendEntityMessage(pb::SendEntityMessageAction { entity_message_type: Some(message) }))
}

/// Calls an entity. The request's id is made of the action's.
pub(crate) fn call_entity(id: i32, target: &str, operation: &str, input: &str) -> pb::OrchestratorAction {
    to_entity(
        id,
        pb::send_entity_message_action::EntityMessageType::EntityOperationCalled(pb::EntityOperationCalledEvent {
            request_id: request(id),
            operation: operation.into(),
            input: Some(input.into()),
            target_instance_id: Some(target.into()),
            ..Default::default()
        }),
    )
}

/// Signals an entity, perhaps for a later time: microseconds since 1970.
pub(crate) fn signal_entity(id: i32, target: &str, operation: &str, due: Option<i64>) -> pb::OrchestratorAction {
    to_entity(
        id,
        pb::send_entity_message_action::EntityMessageType::EntityOperationSignaled(pb::EntityOperationSignaledEvent {
            request_id: request(id),
            operation: operation.into(),
            scheduled_time: due.map(at),
            input: None,
            target_instance_id: Some(target.into()),
        }),
    )
}

/// Wants to lock entities.
pub(crate) fn lock(id: i32, section: &str, entities: &[&str]) -> pb::OrchestratorAction {
    to_entity(
        id,
        pb::send_entity_message_action::EntityMessageType::EntityLockRequested(pb::EntityLockRequestedEvent {
            critical_section_id: section.into(),
            lock_set: entities.iter().map(|id| (*id).into()).collect(),
            position: 0,
            parent_instance_id: None,
        }),
    )
}

/// Releases an entity.
pub(crate) fn unlock(id: i32, section: &str, entity: &str) -> pb::OrchestratorAction {
    to_entity(
        id,
        pb::send_entity_message_action::EntityMessageType::EntityUnlockSent(pb::EntityUnlockSentEvent {
            critical_section_id: section.into(),
            parent_instance_id: None,
            target_instance_id: Some(entity.into()),
        }),
    )
}

/// The id of a request that an action makes.
pub(crate) fn request(action: i32) -> String {
    format!("00000000-0000-0000-0000-{action:012}")
}

/// Asks another instance to end.
pub(crate) fn end_other(id: i32, target: &str, reason: &str, recurse: bool) -> pb::OrchestratorAction {
    let reason = Some(reason.into());
    let terminate = pb::TerminateOrchestrationAction { instance_id: target.into(), reason, recurse };
    action(id, Kind::TerminateOrchestration(terminate))
}

/// Ends.
pub(crate) fn end_with(
    id: i32,
    status: pb::OrchestrationStatus,
    change: impl FnOnce(&mut pb::CompleteOrchestrationAction),
) -> pb::OrchestratorAction {
    let mut complete = pb::CompleteOrchestrationAction { orchestration_status: status.into(), ..Default::default() };
    change(&mut complete);
    action(id, Kind::CompleteOrchestration(complete))
}

pub(crate) fn complete(id: i32, result: &str) -> pb::OrchestratorAction {
    end_with(id, pb::OrchestrationStatus::Completed, |c| c.result = Some(result.into()))
}

pub(crate) fn terminated(id: i32, result: &str) -> pb::OrchestratorAction {
    end_with(id, pb::OrchestrationStatus::Terminated, |c| c.result = Some(result.into()))
}

pub(crate) fn failed(id: i32, failure: pb::TaskFailureDetails) -> pb::OrchestratorAction {
    end_with(id, pb::OrchestrationStatus::Failed, |c| c.failure_details = Some(failure))
}

pub(crate) fn continue_as_new(id: i32, input: &str) -> pb::OrchestratorAction {
    end_with(id, pb::OrchestrationStatus::ContinuedAsNew, |c| c.result = Some(input.into()))
}

pub(crate) fn rewind(id: i32, new_history: Vec<pb::HistoryEvent>) -> pb::OrchestratorAction {
    action(id, Kind::RewindOrchestration(pb::RewindOrchestrationAction { new_history }))
}

/// A failure with everything that one can hold.
pub(crate) fn failure(message: &str) -> pb::TaskFailureDetails {
    let text = |text: &str| prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(text.into())) };
    pb::TaskFailureDetails {
        error_type: "Custom.Error".into(),
        error_message: message.into(),
        stack_trace: Some("at line 1\n  at line 2".into()),
        inner_failure: Some(Box::new(pb::TaskFailureDetails {
            error_type: "Inner".into(),
            error_message: "the cause".into(),
            ..Default::default()
        })),
        is_non_retriable: true,
        properties: [("key".to_owned(), text("value"))].into(),
    }
}

/// A trace context that says where it comes from.
pub(crate) fn trace(from: &str) -> pb::TraceContext {
    pb::TraceContext {
        trace_parent: format!("00-0af7651916cd43dd8448eb211c80319c-{from:0>16}-01"),
        span_id: format!("{from:0>16}"),
        trace_state: Some("vendor=1".into()),
    }
}

/// A time from microseconds since 1970.
pub(crate) fn at(micros: i64) -> prost_types::Timestamp {
    durawasm_scheduler::core::time::Timestamp::from_micros(micros).into()
}

/// Microseconds since 1970, a while from now.
pub(crate) fn from_now(wait: Duration) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from((now + wait).as_micros()).expect("before the year 292,277")
}
