//! Between the wire and a session's own types: events in, answers out. Payloads are moved, not copied.

mod entities;

use std::collections::HashMap;

use durawasm_proto::durabletask as wire;
use wire::history_event::EventType;
use wire::orchestrator_action::OrchestratorActionType;

use super::action::{Action, Completion, Decision, Status, Turn};
use super::failure;
use super::history::{EventKind, ExecutionStarted, HistoryEvent, ParentInstance, Recorded, RecordedKind, Time};
use crate::abi::{Failure, Failures, NextVersion, Outcome, Tag};

pub(crate) use entities::operation_result;

/// An event as it came over the wire.
pub fn history_event(event: wire::HistoryEvent) -> HistoryEvent {
    HistoryEvent {
        id: event.event_id,
        time: event.timestamp.map(time).unwrap_or_default(),
        kind: event.event_type.map_or(EventKind::Skipped, kind),
    }
}

fn kind(event: EventType) -> EventKind {
    match event {
        EventType::OrchestratorStarted(_) => EventKind::EpisodeStarted,
        EventType::ExecutionStarted(started) => EventKind::ExecutionStarted(Box::new(execution_started(*started))),
        EventType::ExecutionTerminated(event) => EventKind::Terminated { output: event.input },
        EventType::ExecutionCompleted(_) => EventKind::Completed,
        EventType::ExecutionSuspended(_) => EventKind::Suspended,
        EventType::ExecutionResumed(_) => EventKind::Resumed,
        EventType::ExecutionRewound(_) => EventKind::Rewound,
        EventType::TaskScheduled(event) => recorded(RecordedKind::Activity, event.name),
        EventType::SubOrchestrationInstanceCreated(event) => recorded(RecordedKind::Child, event.name),
        EventType::TimerCreated(_) => recorded(RecordedKind::Timer, String::new()),
        EventType::EventSent(event) => recorded(RecordedKind::SentEvent, event.name),
        EventType::EntityOperationSignaled(event) => entities::signalled(event),
        EventType::EntityOperationCalled(event) => entities::called(event),
        EventType::EntityLockRequested(event) => entities::lock_requested(event),
        EventType::EntityUnlockSent(event) => entities::unlock_sent(event),
        EventType::EntityOperationCompleted(event) => entities::completed(event),
        EventType::EntityOperationFailed(event) => entities::failed(event),
        EventType::EntityLockGranted(event) => entities::granted(event),
        EventType::TaskCompleted(event) => resolved(RecordedKind::Activity, event.task_scheduled_id, Ok(event.result)),
        EventType::TaskFailed(event) => {
            resolved(RecordedKind::Activity, event.task_scheduled_id, Err(failures(event.failure_details)))
        }
        EventType::SubOrchestrationInstanceCompleted(event) => {
            resolved(RecordedKind::Child, event.task_scheduled_id, Ok(event.result))
        }
        EventType::SubOrchestrationInstanceFailed(event) => {
            resolved(RecordedKind::Child, event.task_scheduled_id, Err(failures(event.failure_details)))
        }
        EventType::TimerFired(event) => resolved(RecordedKind::Timer, event.timer_id, Ok(None)),
        EventType::EventRaised(event) => EventKind::EventRaised { name: event.name, input: event.input },
        EventType::OrchestratorCompleted(_)
        | EventType::GenericEvent(_)
        | EventType::HistoryState(_)
        | EventType::ContinueAsNew(_) => EventKind::Skipped,
    }
}

fn recorded(kind: RecordedKind, name: String) -> EventKind {
    EventKind::Recorded(Recorded::new(kind, name))
}

fn resolved(of: RecordedKind, action: i32, outcome: Outcome) -> EventKind {
    EventKind::Resolved { of, action, outcome }
}

fn execution_started(event: wire::ExecutionStartedEvent) -> ExecutionStarted {
    ExecutionStarted {
        name: event.name,
        version: event.version.filter(|version| !version.is_empty()),
        input: event.input,
        parent: event.parent_instance.map(|parent| ParentInstance {
            instance_id: parent.orchestration_instance.map(|instance| instance.instance_id).unwrap_or_default(),
            name: parent.name.unwrap_or_default(),
            version: parent.version.filter(|version| !version.is_empty()),
        }),
        tags: tags(event.tags),
    }
}

/// Tags in the order of their names: a map's own order is different in every process.
pub(crate) fn tags(tags: HashMap<String, String>) -> Vec<Tag> {
    let mut tags: Vec<_> = tags.into_iter().collect();
    tags.sort_unstable();
    tags
}

pub(crate) fn time(timestamp: prost_types::Timestamp) -> Time {
    Time { seconds: timestamp.seconds, nanos: timestamp.nanos.clamp(0, 999_999_999).cast_unsigned() }
}

pub(crate) fn timestamp(time: Time) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.seconds, nanos: time.nanos.cast_signed() }
}

/// Failure details as a list, outermost first. Never empty.
pub(crate) fn failures(details: Option<wire::TaskFailureDetails>) -> Failures {
    let mut list = Vec::new();
    let mut next = details.map(Box::new);
    while let Some(details) = next {
        let mut properties: Vec<_> =
            details.properties.into_iter().map(|(name, value)| (name, json(value).to_string())).collect();
        properties.sort_unstable();
        list.push(Failure {
            error_type: details.error_type,
            message: details.error_message,
            stack: details.stack_trace,
            retriable: !details.is_non_retriable,
            properties,
        });
        next = details.inner_failure;
    }
    if list.is_empty() {
        list.push(Failure {
            error_type: "Unknown".to_owned(),
            message: "it failed without saying why".to_owned(),
            stack: None,
            retriable: true,
            properties: Vec::new(),
        });
    }
    list
}

/// A list of failures as nested details, within the bounds of what can be sent.
pub(crate) fn failure_details(mut failures: Failures) -> Option<wire::TaskFailureDetails> {
    failure::bound(&mut failures);
    failures.into_iter().rev().fold(None, |inner, failure| {
        Some(wire::TaskFailureDetails {
            error_type: failure.error_type,
            error_message: failure.message,
            stack_trace: failure.stack,
            inner_failure: inner.map(Box::new),
            is_non_retriable: !failure.retriable,
            properties: failure
                .properties
                .into_iter()
                // What is not JSON travels as text.
                .map(|(name, text)| (name, value(serde_json::from_str(&text).unwrap_or(text.into()))))
                .collect(),
        })
    })
}

fn json(value: prost_types::Value) -> serde_json::Value {
    use prost_types::value::Kind;
    match value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        // Whole numbers are written without a fraction, as people write them.
        Some(Kind::NumberValue(value)) if value.fract() == 0.0 && value.abs() < 9e15 => (value as i64).into(),
        Some(Kind::NumberValue(value)) => value.into(),
        Some(Kind::StringValue(value)) => value.into(),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(json).collect(),
        Some(Kind::StructValue(fields)) => fields.fields.into_iter().map(|(name, value)| (name, json(value))).collect(),
    }
}

fn value(json: serde_json::Value) -> prost_types::Value {
    use prost_types::value::Kind;
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        serde_json::Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(value) => Kind::StringValue(value),
        serde_json::Value::Array(values) => {
            Kind::ListValue(prost_types::ListValue { values: values.into_iter().map(value).collect() })
        }
        serde_json::Value::Object(fields) => Kind::StructValue(prost_types::Struct {
            fields: fields.into_iter().map(|(name, json)| (name, value(json))).collect(),
        }),
    };
    prost_types::Value { kind: Some(kind) }
}

/// What an answer repeats from the work item that it answers.
#[derive(Clone, Debug, Default)]
pub struct Answered {
    /// The instance.
    pub instance_id: String,
    /// The item's token.
    pub completion_token: String,
    /// The orchestration's own span.
    pub trace: Option<wire::OrchestrationTraceContext>,
}

/// The answer to a work item. `calls` is the trace context of what the turn calls. `default_version` is asked when the next generation
/// runs on the default version.
pub fn response(
    answered: Answered,
    turn: Turn,
    calls: Option<wire::TraceContext>,
    default_version: impl Fn() -> Option<String>,
) -> wire::OrchestratorResponse {
    let instance_id = &answered.instance_id;
    wire::OrchestratorResponse {
        actions: turn
            .actions
            .into_iter()
            .map(|action| self::action(action, instance_id, calls.as_ref(), &default_version))
            .collect(),
        instance_id: answered.instance_id,
        custom_status: turn.custom_status,
        completion_token: answered.completion_token,
        orchestration_trace_context: answered.trace,
        ..Default::default()
    }
}

fn action(
    action: Action,
    instance_id: &str,
    calls: Option<&wire::TraceContext>,
    default_version: &impl Fn() -> Option<String>,
) -> wire::OrchestratorAction {
    let decision = match action.decision {
        Decision::Activity { name, version, input, tags } => {
            OrchestratorActionType::ScheduleTask(wire::ScheduleTaskAction {
                name,
                version,
                input,
                tags: tags.into_iter().collect(),
                parent_trace_context: calls.cloned(),
            })
        }
        Decision::Child { instance_id, name, version, input, tags } => {
            OrchestratorActionType::CreateSubOrchestration(wire::CreateSubOrchestrationAction {
                instance_id,
                name,
                version,
                input,
                parent_trace_context: calls.cloned(),
                tags: tags.into_iter().collect(),
            })
        }
        Decision::Timer { fire_at } => {
            OrchestratorActionType::CreateTimer(wire::CreateTimerAction { fire_at: Some(timestamp(fire_at)) })
        }
        Decision::SendEvent { instance_id, name, payload } => {
            OrchestratorActionType::SendEvent(wire::SendEventAction {
                instance: Some(wire::OrchestrationInstance { instance_id, execution_id: None }),
                name,
                data: payload,
            })
        }
        Decision::Entity(message) => OrchestratorActionType::SendEntityMessage(entities::action(message, instance_id)),
        Decision::Complete(completion) => {
            OrchestratorActionType::CompleteOrchestration(self::completion(*completion, default_version))
        }
    };
    wire::OrchestratorAction { id: action.id, orchestrator_action_type: Some(decision) }
}

fn completion(
    completion: Completion,
    default_version: &impl Fn() -> Option<String>,
) -> wire::CompleteOrchestrationAction {
    use wire::OrchestrationStatus as Wire;
    let status = match completion.status {
        Status::Completed => Wire::Completed,
        Status::Failed => Wire::Failed,
        Status::Terminated => Wire::Terminated,
        Status::ContinuedAsNew => Wire::ContinuedAsNew,
    };
    wire::CompleteOrchestrationAction {
        orchestration_status: status.into(),
        result: completion.result,
        new_version: completion.next_version.and_then(|version| match version {
            NextVersion::Exact(version) => Some(version),
            NextVersion::Default | NextVersion::Keep => default_version(),
        }),
        carryover_events: completion
            .carryover
            .into_iter()
            .map(|(name, input)| wire::HistoryEvent {
                event_id: -1,
                timestamp: Some(prost_types::Timestamp::from(std::time::SystemTime::now())),
                event_type: Some(EventType::EventRaised(wire::EventRaisedEvent { name, input })),
            })
            .collect(),
        failure_details: failure_details(completion.failures),
        ..Default::default()
    }
}

/// The answer that fails an instance for a reason that is not its code's. Nothing can mend it by trying again.
pub(crate) fn failed(answered: Answered, error_type: &str, message: String) -> wire::OrchestratorResponse {
    let error_type = error_type.to_owned();
    let failure = Failure { error_type, message, stack: None, retriable: false, properties: Vec::new() };
    let completion = Completion { failures: vec![failure], ..Completion::new(Status::Failed, None) };
    let action = Action { id: -1, decision: Decision::Complete(Box::new(completion)) };
    response(answered, Turn { actions: vec![action], ..Turn::default() }, None, || None)
}

/// The answer to a request to terminate: nothing of the guest is needed for it.
pub(crate) fn terminated(answered: Answered, output: Option<String>) -> wire::OrchestratorResponse {
    let completion = Completion::new(Status::Terminated, output);
    // No replay says which action would be next; the protocol's mark for "no action of the code" is -1.
    let action = Action { id: -1, decision: Decision::Complete(Box::new(completion)) };
    response(answered, Turn { actions: vec![action], ..Turn::default() }, None, || None)
}

/// The answer to a request to rewind: the history that the execution goes on with.
pub(crate) fn rewound(answered: Answered, new_history: Vec<wire::HistoryEvent>) -> wire::OrchestratorResponse {
    let rewind = OrchestratorActionType::RewindOrchestration(wire::RewindOrchestrationAction { new_history });
    let mut response = response(answered, Turn::default(), None, || None);
    response.actions.push(wire::OrchestratorAction { id: -1, orchestrator_action_type: Some(rewind) });
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(message: &str) -> Failure {
        Failure {
            error_type: "E".to_owned(),
            message: message.to_owned(),
            stack: Some("at x".to_owned()),
            retriable: message != "root",
            properties: vec![("a".to_owned(), r#"{"x":[1,null,"y"]}"#.to_owned()), ("b".to_owned(), "2.5".to_owned())],
        }
    }

    #[test]
    fn failures_survive_the_way_to_the_wire_and_back() {
        let list = vec![failure("outer"), failure("middle"), failure("root")];
        let wire = failure_details(list.clone());
        assert_eq!(wire.as_ref().unwrap().error_message, "outer");
        assert!(
            wire.as_ref().unwrap().inner_failure.as_ref().unwrap().inner_failure.as_ref().unwrap().is_non_retriable
        );
        assert_eq!(failures(wire), list);
    }

    #[test]
    fn numbers_in_the_properties_of_failures_become_the_same_text_in_every_release() {
        // Guests see these texts, and a replay by a newer host must show them the same ones.
        let texts =
            [0.1, 1.0, -0.0, 1e15, 9e15, 1e16, 1e300, 5e-324, 1.5e-7, 123_456_789.125, f64::NAN].map(|number| {
                json(prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(number)) }).to_string()
            });
        let expected = [
            "0.1",
            "1",
            "0",
            "1000000000000000",
            "9000000000000000.0",
            "1e+16",
            "1e+300",
            "5e-324",
            "1.5e-7",
            "123456789.125",
            "null",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn the_largest_and_deepest_failure_fits_into_a_message_and_can_be_read() {
        use prost::Message as _;
        let numbers = |count: usize| format!("[{}1]", "1,".repeat(count));
        let worst = Failure {
            error_type: "E".repeat(1 << 20),
            message: "m".repeat(1 << 20),
            stack: Some("s".repeat(1 << 20)),
            retriable: true,
            properties: vec![
                ("deep".to_owned(), format!("{}1{}", r#"{"a":"#.repeat(12), "}".repeat(12))),
                ("too deep".to_owned(), format!("{}1{}", r#"{"a":"#.repeat(60), "}".repeat(60))),
                ("many".to_owned(), numbers(5000)),
            ],
        };
        let completion = Completion { failures: vec![worst; 1000], ..Completion::new(Status::Failed, None) };
        let turn = Turn {
            actions: vec![Action { id: 0, decision: Decision::Complete(Box::new(completion)) }],
            ..Turn::default()
        };
        let response = response(Answered::default(), turn, None, || None);
        let kind = Some(durawasm_proto::v1::answer::Kind::Orchestration(response));
        let answers = vec![durawasm_proto::v1::Answer { sequence: 1, kind, fuel: None }];
        let frame = durawasm_proto::v1::WorkerFrame { answers, ..Default::default() };
        let bytes = frame.encode_to_vec();
        assert!(bytes.len() < 3_900_000, "{} bytes", bytes.len());
        assert_eq!(durawasm_proto::v1::WorkerFrame::decode(bytes.as_slice()).unwrap(), frame);
    }

    #[test]
    fn a_failure_without_details_is_still_a_failure() {
        assert_eq!(failures(None).len(), 1);
    }

    #[test]
    fn events_that_mean_nothing_to_an_orchestrator_are_skipped() {
        let event = wire::HistoryEvent { event_id: -1, timestamp: None, event_type: None };
        assert_eq!(history_event(event).kind, EventKind::Skipped);
    }

    #[test]
    fn the_default_version_of_the_next_generation_is_stated() {
        let next =
            Completion { next_version: Some(NextVersion::Default), ..Completion::new(Status::ContinuedAsNew, None) };
        assert_eq!(completion(next, &|| Some("2.0.0".to_owned())).new_version.as_deref(), Some("2.0.0"));
    }
}
