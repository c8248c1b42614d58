//! Histories as another process gets them: as the protocol carries them.

use durawasm_host::abi::{Failures, Outcome};
use durawasm_host::orchestration::{EventKind, HistoryEvent, RecordedKind, Time, history_event};
use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;
use prost::Message as _;
use prost_types::value::Kind;

/// A history as bytes.
pub fn encode(history: &[HistoryEvent]) -> Vec<u8> {
    pb::HistoryChunk { events: history.iter().map(event).collect() }.encode_to_vec()
}

/// What the bytes say.
pub fn decode(bytes: &[u8]) -> Vec<HistoryEvent> {
    pb::HistoryChunk::decode(bytes).unwrap().events.into_iter().map(history_event).collect()
}

fn event(event: &HistoryEvent) -> pb::HistoryEvent {
    pb::HistoryEvent {
        event_id: event.id,
        timestamp: Some(timestamp(event.time)),
        event_type: Some(kind(event.id, &event.kind)),
    }
}

fn timestamp(time: Time) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.seconds, nanos: time.nanos.cast_signed() }
}

fn kind(id: i32, kind: &EventKind) -> EventType {
    match kind {
        EventKind::EpisodeStarted => EventType::OrchestratorStarted(pb::OrchestratorStartedEvent {}),
        EventKind::ExecutionStarted(started) => EventType::ExecutionStarted(Box::new(pb::ExecutionStartedEvent {
            name: started.name.clone(),
            version: started.version.clone(),
            input: started.input.clone(),
            parent_instance: started.parent.as_ref().map(|parent| pb::ParentInstanceInfo {
                name: Some(parent.name.clone()),
                version: parent.version.clone(),
                orchestration_instance: Some(pb::OrchestrationInstance {
                    instance_id: parent.instance_id.clone(),
                    execution_id: None,
                }),
                ..Default::default()
            }),
            tags: started.tags.iter().cloned().collect(),
            ..Default::default()
        })),
        EventKind::Recorded(recorded) => {
            let name = recorded.name.clone();
            match recorded.kind {
                RecordedKind::Activity => {
                    EventType::TaskScheduled(pb::TaskScheduledEvent { name, ..Default::default() })
                }
                RecordedKind::Timer => EventType::TimerCreated(pb::TimerCreatedEvent::default()),
                other => panic!("no case does this: {other:?}"),
            }
        }
        EventKind::Resolved { of: RecordedKind::Timer, action, .. } => {
            EventType::TimerFired(pb::TimerFiredEvent { fire_at: None, timer_id: *action })
        }
        EventKind::Resolved { action, outcome, .. } => resolved(*action, outcome),
        EventKind::EventRaised { name, input } => {
            EventType::EventRaised(pb::EventRaisedEvent { name: name.clone(), input: input.clone() })
        }
        EventKind::Suspended => EventType::ExecutionSuspended(pb::ExecutionSuspendedEvent::default()),
        EventKind::Resumed => EventType::ExecutionResumed(pb::ExecutionResumedEvent::default()),
        other => panic!("no case has this in its history: {other:?} ({id})"),
    }
}

fn resolved(action: i32, outcome: &Outcome) -> EventType {
    match outcome {
        Ok(result) => {
            EventType::TaskCompleted(pb::TaskCompletedEvent { task_scheduled_id: action, result: result.clone() })
        }
        Err(failures) => {
            EventType::TaskFailed(pb::TaskFailedEvent { task_scheduled_id: action, failure_details: details(failures) })
        }
    }
}

fn details(failures: &Failures) -> Option<pb::TaskFailureDetails> {
    failures.iter().rev().fold(None, |inner, failure| {
        let property = |(name, text): &(String, String)| (name.clone(), value(serde_json::from_str(text).unwrap()));
        Some(pb::TaskFailureDetails {
            error_type: failure.error_type.clone(),
            error_message: failure.message.clone(),
            stack_trace: failure.stack.clone(),
            inner_failure: inner.map(Box::new),
            is_non_retriable: !failure.retriable,
            properties: failure.properties.iter().map(property).collect(),
        })
    })
}

fn value(json: serde_json::Value) -> prost_types::Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        serde_json::Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap()),
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
