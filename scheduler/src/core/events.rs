//! History events as the scheduler makes them.

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;
use prost::Message as _;

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

/// An execution goes on from before its failure.
#[must_use]
pub fn execution_rewound(at: Timestamp, reason: Option<String>, parent_execution: Option<String>) -> pb::HistoryEvent {
    let rewound = pb::ExecutionRewoundEvent { reason, parent_execution_id: parent_execution, ..Default::default() };
    event(NO_ACTION, at, EventType::ExecutionRewound(Box::new(rewound)))
}

/// A note for people.
#[must_use]
pub fn note(at: Timestamp, text: String) -> pb::HistoryEvent {
    event(NO_ACTION, at, EventType::GenericEvent(pb::GenericEvent { data: Some(text) }))
}

/// Whether an event says something that only durawasm's own workers and people care for. Workers of some SDKs fail an instance whose
/// history has an event that they do not know.
#[must_use]
pub fn is_annotation(event: &pb::HistoryEvent) -> bool {
    matches!(event.event_type, Some(EventType::ExecutionRewound(_) | EventType::GenericEvent(_)))
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

/// How many causes of a failure are kept, and how deep the values of its properties may be. Messages of more than a hundred levels
/// cannot be read, and a failure lies deeper in what is stored than in the answer that brought it.
const LEVELS: usize = 24;

/// How long a message or a stack may be: a history event must fit into the 4 MiB that clients accept.
const TEXT_BYTES: usize = 64 << 10;

fn shorten(text: &mut String) {
    if text.len() > TEXT_BYTES {
        text.truncate(text.floor_char_boundary(TEXT_BYTES));
        text.push('…');
    }
}

/// A failure without what lies deeper than anybody looks: it can be read wherever it is put.
#[must_use]
pub fn bounded(mut failure: pb::TaskFailureDetails) -> pb::TaskFailureDetails {
    let mut level = &mut failure;
    for _ in 0..LEVELS {
        shorten(&mut level.error_message);
        if let Some(stack) = &mut level.stack_trace {
            shorten(stack);
        }
        level.properties.retain(|_, value| is_shallow(value, LEVELS / 2) && value.encoded_len() <= TEXT_BYTES);
        match level.inner_failure.as_deref_mut() {
            Some(_) => level = level.inner_failure.as_deref_mut().expect("it is there"),
            None => return failure,
        }
    }
    level.properties.clear();
    level.inner_failure = None;
    failure
}

fn is_shallow(value: &prost_types::Value, levels: usize) -> bool {
    use prost_types::value::Kind;
    match &value.kind {
        Some(Kind::ListValue(list)) => levels > 0 && list.values.iter().all(|v| is_shallow(v, levels - 1)),
        Some(Kind::StructValue(fields)) => levels > 0 && fields.fields.values().all(|v| is_shallow(v, levels - 1)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_with_very_many_causes_can_still_be_read_back() {
        let mut nested = failure("Inner", "the first".into(), false);
        for number in 0..90 {
            let mut outer = failure("Outer", number.to_string(), false);
            outer.inner_failure = Some(Box::new(nested));
            nested = outer;
        }
        let kept = bounded(nested);
        assert_eq!((kept.error_type.as_str(), kept.error_message.as_str()), ("Outer", "89"));
        let event = execution_completed(1, Timestamp::MIN.next(), pb::OrchestrationStatus::Failed, None, Some(kept));
        let chunk = pb::HistoryChunk { events: vec![event] };
        assert_eq!(pb::HistoryChunk::decode(chunk.encode_to_vec().as_slice()).unwrap(), chunk);
    }
}
