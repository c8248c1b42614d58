//! History events as the scheduler makes them.

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

use super::time::Timestamp;

/// The id of events that record no action of the orchestrator.
pub const NO_ACTION: i32 = -1;

/// An event that happened at `at`; `id` is the action's id, or [`NO_ACTION`].
#[must_use]
pub fn event(id: i32, at: Timestamp, event_type: EventType) -> pb::HistoryEvent {
    pb::HistoryEvent { event_id: id, timestamp: Some(at.into()), event_type: Some(event_type) }
}

/// An episode began.
#[must_use]
pub fn orchestrator_started(at: Timestamp) -> pb::HistoryEvent {
    event(NO_ACTION, at, EventType::OrchestratorStarted(pb::OrchestratorStartedEvent {}))
}

/// The execution ended.
#[must_use]
pub fn execution_completed(
    id: i32,
    at: Timestamp,
    status: pb::OrchestrationStatus,
    result: Option<String>,
    failure: Option<pb::TaskFailureDetails>,
) -> pb::HistoryEvent {
    let completed =
        pb::ExecutionCompletedEvent { orchestration_status: status.into(), result, failure_details: failure };
    event(id, at, EventType::ExecutionCompleted(completed))
}

/// Somebody asked for the execution to end.
#[must_use]
pub fn execution_terminated(at: Timestamp, input: Option<String>, recurse: bool) -> pb::HistoryEvent {
    event(NO_ACTION, at, EventType::ExecutionTerminated(pb::ExecutionTerminatedEvent { input, recurse }))
}

/// An external event arrived.
#[must_use]
pub fn event_raised(at: Timestamp, name: String, input: Option<String>) -> pb::HistoryEvent {
    event(NO_ACTION, at, EventType::EventRaised(pb::EventRaisedEvent { name, input }))
}

/// A failure that the scheduler itself has to report.
#[must_use]
pub fn failure(error_type: &str, message: String, is_non_retriable: bool) -> pb::TaskFailureDetails {
    pb::TaskFailureDetails {
        error_type: error_type.into(),
        error_message: message,
        stack_trace: None,
        inner_failure: None,
        is_non_retriable,
        properties: Default::default(),
    }
}
