//! From the messages of the wire to the types of the domain. What a scheduler sends is taken as it is: a client that
//! refused a strange value would hide the instance that people look for.

use std::{collections::BTreeMap, time::SystemTime};

use durawasm_proto::{durabletask as wire, v1};
use prost_types::value::Kind;
use serde_json::Value;
use wire::{OrchestrationStatus as WireStatus, history_event::EventType};

use crate::{
    Description, Details, EventKind, Failure, Fuel, HistoryEvent, Instance, InstanceId, Parked, Payload,
    ReturnedActivity, Status,
};

pub(crate) fn statuses_to_wire(statuses: &[Status]) -> Vec<i32> {
    statuses.iter().map(|&status| status_to_wire(status).into()).collect()
}

pub(crate) fn status_to_wire(status: Status) -> WireStatus {
    match status {
        Status::Pending => WireStatus::Pending,
        Status::Running => WireStatus::Running,
        Status::Suspended => WireStatus::Suspended,
        Status::Completed => WireStatus::Completed,
        Status::Failed => WireStatus::Failed,
        Status::Terminated => WireStatus::Terminated,
        Status::Canceled => WireStatus::Canceled,
        Status::ContinuedAsNew => WireStatus::ContinuedAsNew,
    }
}

fn status(status: WireStatus) -> Status {
    match status {
        WireStatus::Pending => Status::Pending,
        WireStatus::Running => Status::Running,
        WireStatus::Suspended => Status::Suspended,
        WireStatus::Completed => Status::Completed,
        WireStatus::Failed => Status::Failed,
        WireStatus::Terminated => Status::Terminated,
        WireStatus::Canceled => Status::Canceled,
        WireStatus::ContinuedAsNew => Status::ContinuedAsNew,
    }
}

/// The instance of an answer; none if it does not exist.
pub(crate) fn instance_from_answer(answer: wire::GetInstanceResponse) -> Option<Instance> {
    answer.orchestration_state.filter(|_| answer.exists).map(instance)
}

pub(crate) fn instance(state: wire::OrchestrationState) -> Instance {
    let status = status(state.orchestration_status());
    Instance {
        id: InstanceId::from_scheduler(state.instance_id),
        name: state.name,
        version: state.version,
        status,
        execution_id: state.execution_id,
        parent: state.parent_instance_id.map(InstanceId::from_scheduler),
        created_at: state.created_timestamp.and_then(time),
        updated_at: state.last_updated_timestamp.and_then(time),
        completed_at: state.completed_timestamp.and_then(time),
        scheduled_at: state.scheduled_start_timestamp.and_then(time),
        input: payload(state.input),
        output: payload(state.output),
        custom_status: payload(state.custom_status),
        failure: state.failure_details.map(failure),
        tags: state.tags.into_iter().collect(),
    }
}

pub(crate) fn parked(parked: v1::Parked) -> Parked {
    Parked {
        reason: parked.reason,
        message: parked.message,
        component: parked.component,
        advice: parked.advice,
        since: parked.since.and_then(time),
        attempts: parked.attempts,
    }
}

pub(crate) fn description(answer: v1::DescribeInstanceResponse) -> Option<Description> {
    let details = Details {
        history_events: answer.history_events,
        history_bytes: answer.history_bytes,
        fuel: answer.fuel.map(|fuel| Fuel {
            last_turn: fuel.episode,
            execution: fuel.execution,
            total: answer.fuel_of_all_executions,
        }),
        inbox_events: answer.inbox_events,
        open_activities: answer.open_activities,
        open_timers: answer.open_timers,
        open_children: answer.open_children,
        waiting_for: non_empty(answer.waiting_for),
        parked: answer.parked.map(parked),
        worker: non_empty(answer.worker_id),
        returned_episodes: answer.returned_episodes,
        returned_activities: answer
            .returned_activities
            .into_iter()
            .map(|returned| ReturnedActivity { event: returned.event, name: returned.name, times: returned.times })
            .collect(),
    };
    answer.state.map(|state| Description { instance: instance(state), details: Some(details) })
}

pub(crate) fn events(events: Vec<wire::HistoryEvent>, first: u64) -> Vec<HistoryEvent> {
    (first..).zip(events).map(|(position, event)| self::event(event, position)).collect()
}

fn event(event: wire::HistoryEvent, position: u64) -> HistoryEvent {
    HistoryEvent {
        position,
        event_id: event.event_id,
        timestamp: event.timestamp.and_then(time),
        kind: event.event_type.map_or(EventKind::Unknown, kind),
    }
}

fn kind(event: EventType) -> EventKind {
    match event {
        EventType::ExecutionStarted(started) => EventKind::ExecutionStarted {
            name: started.name,
            version: started.version,
            input: payload(started.input),
            parent: started
                .parent_instance
                .and_then(|parent| parent.orchestration_instance)
                .map(|parent| InstanceId::from_scheduler(parent.instance_id)),
        },
        EventType::ExecutionCompleted(completed) => EventKind::ExecutionCompleted {
            status: status(completed.orchestration_status()),
            result: payload(completed.result),
            failure: completed.failure_details.map(failure),
        },
        EventType::ExecutionTerminated(terminated) => {
            EventKind::ExecutionTerminated { output: payload(terminated.input), recursive: terminated.recurse }
        }
        EventType::ExecutionSuspended(suspended) => EventKind::ExecutionSuspended { reason: suspended.input },
        EventType::ExecutionResumed(resumed) => EventKind::ExecutionResumed { reason: resumed.input },
        EventType::ExecutionRewound(rewound) => EventKind::ExecutionRewound { reason: rewound.reason },
        EventType::OrchestratorStarted(_) => EventKind::OrchestratorStarted,
        EventType::OrchestratorCompleted(_) => EventKind::OrchestratorCompleted,
        EventType::TaskScheduled(task) => {
            EventKind::TaskScheduled { name: task.name, version: task.version, input: payload(task.input) }
        }
        EventType::TaskCompleted(task) => {
            EventKind::TaskCompleted { scheduled_id: task.task_scheduled_id, result: payload(task.result) }
        }
        EventType::TaskFailed(task) => {
            EventKind::TaskFailed { scheduled_id: task.task_scheduled_id, failure: task.failure_details.map(failure) }
        }
        EventType::SubOrchestrationInstanceCreated(child) => EventKind::SubOrchestrationInstanceCreated {
            instance_id: InstanceId::from_scheduler(child.instance_id),
            name: child.name,
            version: child.version,
            input: payload(child.input),
        },
        EventType::SubOrchestrationInstanceCompleted(child) => EventKind::SubOrchestrationInstanceCompleted {
            scheduled_id: child.task_scheduled_id,
            result: payload(child.result),
        },
        EventType::SubOrchestrationInstanceFailed(child) => EventKind::SubOrchestrationInstanceFailed {
            scheduled_id: child.task_scheduled_id,
            failure: child.failure_details.map(failure),
        },
        EventType::TimerCreated(timer) => EventKind::TimerCreated { fire_at: timer.fire_at.and_then(time) },
        EventType::TimerFired(timer) => EventKind::TimerFired { timer_id: timer.timer_id },
        EventType::EventSent(sent) => EventKind::EventSent {
            instance_id: InstanceId::from_scheduler(sent.instance_id),
            name: sent.name,
            input: payload(sent.input),
        },
        EventType::EventRaised(raised) => EventKind::EventRaised { name: raised.name, input: payload(raised.input) },
        EventType::EntityOperationSignaled(signal) => EventKind::EntityOperationSignaled {
            entity: signal.target_instance_id.unwrap_or_default(),
            operation: signal.operation,
            input: payload(signal.input),
        },
        EventType::EntityOperationCalled(call) => EventKind::EntityOperationCalled {
            request_id: call.request_id,
            entity: call.target_instance_id.unwrap_or_default(),
            operation: call.operation,
            input: payload(call.input),
        },
        EventType::EntityOperationCompleted(completed) => {
            EventKind::EntityOperationCompleted { request_id: completed.request_id, output: payload(completed.output) }
        }
        EventType::EntityOperationFailed(failed) => EventKind::EntityOperationFailed {
            request_id: failed.request_id,
            failure: failed.failure_details.map(failure),
        },
        EventType::EntityLockRequested(lock) => {
            EventKind::EntityLockRequested { critical_section: lock.critical_section_id, entities: lock.lock_set }
        }
        EventType::EntityLockGranted(lock) => {
            EventKind::EntityLockGranted { critical_section: lock.critical_section_id }
        }
        EventType::EntityUnlockSent(unlock) => EventKind::EntityUnlockSent {
            critical_section: unlock.critical_section_id,
            entity: unlock.target_instance_id.unwrap_or_default(),
        },
        EventType::ContinueAsNew(_) => EventKind::ContinueAsNew,
        EventType::GenericEvent(note) => EventKind::Note { text: note.data },
        EventType::HistoryState(_) => EventKind::Unknown,
    }
}

pub(crate) fn failure(details: wire::TaskFailureDetails) -> Failure {
    Failure {
        error_type: details.error_type,
        message: details.error_message,
        stack: details.stack_trace.and_then(non_empty),
        retriable: !details.is_non_retriable,
        properties: details.properties.into_iter().map(|(name, value)| (name, json(value))).collect(),
        cause: details.inner_failure.map(|inner| Box::new(failure(*inner))),
    }
}

fn json(value: prost_types::Value) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(value),
        Some(Kind::NumberValue(value)) => serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number),
        Some(Kind::StringValue(value)) => Value::String(value),
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(json).collect()),
        Some(Kind::StructValue(value)) => Value::Object(
            value.fields.into_iter().collect::<BTreeMap<_, _>>().into_iter().map(|(k, v)| (k, json(v))).collect(),
        ),
    }
}

fn payload(text: Option<String>) -> Option<Payload> {
    text.map(Payload::from_text)
}

/// A point in time. The epoch itself stands for "not set" with some schedulers.
pub(crate) fn time(timestamp: prost_types::Timestamp) -> Option<SystemTime> {
    SystemTime::try_from(timestamp).ok().filter(|&time| time != SystemTime::UNIX_EPOCH)
}

fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}
