//! The actions of simulated orchestrators, and how they compare with what a history holds.

use durawasm_proto::durabletask as pb;
use durawasm_scheduler::core::time::Timestamp;
use pb::history_event::EventType;
use pb::orchestrator_action::OrchestratorActionType as Action;

use crate::plan::{activity, wire_tags};
use crate::spec::Spec;

pub(crate) fn schedule(input: String) -> Action {
    let (name, version) = activity(input.split('#').next().unwrap_or_default());
    Action::ScheduleTask(pb::ScheduleTaskAction {
        name: name.into(),
        version,
        input: Some(input),
        ..Default::default()
    })
}

pub(crate) fn timer(due: Timestamp) -> Action {
    Action::CreateTimer(pb::CreateTimerAction { fire_at: Some(due.into()) })
}

/// A child; without an id the scheduler makes one.
pub(crate) fn child(id: Option<String>, spec: &Spec) -> Action {
    Action::CreateSubOrchestration(pb::CreateSubOrchestrationAction {
        instance_id: id.unwrap_or_default(),
        name: spec.name().into(),
        version: spec.version(),
        input: Some(spec.to_string()),
        tags: wire_tags(spec),
        ..Default::default()
    })
}

pub(crate) fn terminate(instance_id: String, recurse: bool) -> Action {
    let reason = Some("doomed".into());
    Action::TerminateOrchestration(pb::TerminateOrchestrationAction { instance_id, reason, recurse })
}

pub(crate) fn send(target: String, name: String, data: String) -> Action {
    let instance = pb::OrchestrationInstance { instance_id: target, execution_id: None };
    Action::SendEvent(pb::SendEventAction { instance: Some(instance), name, data: Some(data) })
}

/// Whether a history holds an event for the action.
pub(crate) fn is_recorded(action: &pb::OrchestratorAction) -> bool {
    !matches!(action.orchestrator_action_type, Some(Action::TerminateOrchestration(_)))
}

/// Whether an event records an action.
pub(crate) fn is_action(kind: &EventType) -> bool {
    matches!(
        kind,
        EventType::TaskScheduled(_)
            | EventType::TimerCreated(_)
            | EventType::SubOrchestrationInstanceCreated(_)
            | EventType::EventSent(_)
            | EventType::ExecutionCompleted(_)
    )
}

/// Name and payload of an external event.
pub(crate) fn raised(event: &pb::HistoryEvent) -> Option<(String, String)> {
    match &event.event_type {
        Some(EventType::EventRaised(e)) => Some((e.name.clone(), e.input.clone().unwrap_or_default())),
        _ => None,
    }
}

/// An action and the event that records it have the same description.
pub(crate) fn describe(action: &pb::OrchestratorAction) -> String {
    match action.orchestrator_action_type.as_ref() {
        Some(Action::ScheduleTask(t)) => format!("task {} {:?} {:?}", t.name, t.version, t.input),
        Some(Action::CreateTimer(t)) => format!("timer {:?}", t.fire_at),
        Some(Action::CreateSubOrchestration(c)) => format!("child {} {:?} {:?}", c.name, c.version, c.input),
        Some(Action::SendEvent(s)) => format!("send {} {:?}", s.name, s.data),
        other => format!("{other:?}"),
    }
}

pub(crate) fn describe_event(event: &EventType) -> String {
    match event {
        EventType::TaskScheduled(t) => format!("task {} {:?} {:?}", t.name, t.version, t.input),
        EventType::TimerCreated(t) => format!("timer {:?}", t.fire_at),
        EventType::SubOrchestrationInstanceCreated(c) => format!("child {} {:?} {:?}", c.name, c.version, c.input),
        EventType::EventSent(s) => format!("send {} {:?}", s.name, s.input),
        other => format!("{other:?}"),
    }
}
