//! Histories that earlier releases wrote, with the components of their time: every later host replays them to the same end. So do the same
//! components as they are built today, and hosts that would decide otherwise where the decision was theirs.
//!
//! `tests/histories/RELEASE/` holds them; see `tests/examples/record_histories.rs`. A difference here means that instances in
//! flight would be parked by an upgrade of the host: it is never the recorded file that is wrong.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

mod support;

use std::sync::Arc;

use durawasm_host::orchestration::{
    Decision, Defaults, EventKind, HistoryEvent, Limits, RecordedKind, Session, Status, history_event,
};
use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::Orchestrator;
use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;
use support::recorded::{History, components, histories, releases};

/// The events before the last episode, those of the last episode, and the end.
fn split(history: &History) -> (Vec<HistoryEvent>, Vec<HistoryEvent>, pb::ExecutionCompletedEvent) {
    let mut events = history.events.clone();
    let Some(EventType::ExecutionCompleted(end)) = events.pop().and_then(|e| e.event_type) else {
        panic!("{}: the history has no end", history.file.display());
    };
    let last = events.iter().rposition(|e| matches!(e.event_type, Some(EventType::OrchestratorStarted(_)))).unwrap();
    let new = events.split_off(last);
    let domain = |events: Vec<pb::HistoryEvent>| events.into_iter().map(history_event).collect();
    (domain(events), domain(new), end)
}

/// Replays a history to its recorded end.
fn replays(history: &History, component: &LoadedComponent, defaults: Defaults) {
    let shown = history.file.display();
    let (past, new, end) = split(history);
    let guest = Orchestrator::new(Arc::clone(component.orchestrator_code().unwrap()));
    let id = history.instance_id.clone();
    let mut session =
        Session::new(guest, id, Arc::clone(component.program()), Limits::default()).with_defaults(defaults);
    let turn = session.apply(past, new).unwrap_or_else(|park| panic!("{shown}: {park:?}"));
    let Some(Decision::Complete(completion)) = turn.actions.last().map(|action| &action.decision) else {
        panic!("{shown}: it does not end: {turn:?}");
    };
    let completed = end.orchestration_status() == pb::OrchestrationStatus::Completed;
    assert_eq!(completion.status == Status::Completed, completed, "{shown}");
    assert_eq!(completion.result, end.result, "{shown}");
    let message = |details: &pb::TaskFailureDetails| details.error_message.clone();
    let failure = completion.failures.first().map(|failure| failure.message.clone());
    assert_eq!(failure, end.failure_details.as_ref().map(message), "{shown}");
}

/// Each history with its component, and how many there are.
fn each(today: bool, mut check: impl FnMut(&History, &LoadedComponent)) {
    let mut replayed = 0;
    for release in releases() {
        let components = components(&release, today);
        for history in histories(&release) {
            check(&history, history.component(&components));
            replayed += 1;
        }
    }
    assert!(replayed >= 26, "{replayed} histories were found");
}

#[test]
fn every_recorded_history_replays_to_its_recorded_end() {
    each(false, |history, component| replays(history, component, Defaults::default()));
}

#[test]
fn every_recorded_history_replays_on_its_component_as_it_is_built_today() {
    each(true, |history, component| replays(history, component, Defaults::default()));
}

/// None of them is what any host of ours decides.
fn other_defaults() -> Defaults {
    Defaults { retry_jitter: 86_400_000, child_version: Some("9.9.9".to_owned()) }
}

#[test]
fn a_host_with_other_defaults_replays_what_this_one_has_recorded() {
    each(false, |history, component| replays(history, component, other_defaults()));
}

/// The same history as a host would have recorded it that makes up other times, versions and ids.
fn as_of_another_host(history: &History) -> History {
    let later = |time: &mut Option<prost_types::Timestamp>| {
        if let Some(time) = time {
            time.seconds += 86_400;
        }
    };
    let renamed = |id: &mut String| *id = format!("{id} of another host");
    let mut history = history.clone();
    for event in &mut history.events {
        match event.event_type.as_mut().unwrap() {
            EventType::TimerCreated(timer) => later(&mut timer.fire_at),
            EventType::TimerFired(timer) => later(&mut timer.fire_at),
            EventType::TaskScheduled(task) => task.version = Some("9.9.9".to_owned()),
            EventType::SubOrchestrationInstanceCreated(child) => {
                child.version = Some("9.9.9".to_owned());
                renamed(&mut child.instance_id);
            }
            EventType::EntityOperationCalled(call) => renamed(&mut call.request_id),
            EventType::EntityOperationSignaled(signal) => renamed(&mut signal.request_id),
            EventType::EntityOperationCompleted(answer) => renamed(&mut answer.request_id),
            EventType::EntityOperationFailed(answer) => renamed(&mut answer.request_id),
            EventType::EntityLockRequested(lock) => renamed(&mut lock.critical_section_id),
            EventType::EntityLockGranted(lock) => renamed(&mut lock.critical_section_id),
            EventType::EntityUnlockSent(unlock) => renamed(&mut unlock.critical_section_id),
            _ => {}
        }
    }
    history
}

#[test]
fn this_host_replays_what_one_with_other_defaults_has_recorded() {
    each(false, |history, component| replays(&as_of_another_host(history), component, Defaults::default()));
}

#[test]
fn the_recorded_histories_have_what_an_orchestrator_can_decide() {
    let mut recorded = Vec::new();
    let mut versions = Vec::new();
    let mut retried = false;
    each(false, |history, _| {
        let mut failed = false;
        for event in &history.events {
            match event.event_type.as_ref().unwrap() {
                EventType::SubOrchestrationInstanceCreated(child) => versions.extend(child.version.clone()),
                EventType::TaskFailed(_) => failed = true,
                EventType::TimerCreated(_) => retried |= failed,
                _ => {}
            }
            if let EventKind::Recorded(one) = history_event(event.clone()).kind {
                recorded.push(one.kind);
            }
        }
    });
    for kind in [
        RecordedKind::Activity,
        RecordedKind::Child,
        RecordedKind::Timer,
        RecordedKind::EntityCall,
        RecordedKind::EntitySignal,
        RecordedKind::EntityLock,
        RecordedKind::EntityUnlock,
    ] {
        assert!(recorded.contains(&kind), "{kind:?}");
    }
    assert!(retried, "a wait between two attempts");
    assert!(versions.contains(&"2.0.0".to_owned()), "a child of a version: {versions:?}");
}
