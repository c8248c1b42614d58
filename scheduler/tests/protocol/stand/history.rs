//! Histories as text: what matters for the order and the ids, one line an event.

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

/// Microseconds since 1970.
pub(crate) fn micros(time: Option<&prost_types::Timestamp>) -> i64 {
    durawasm_scheduler::core::time::Timestamp::from(*time.expect("a time")).as_micros()
}

pub(crate) fn brief(events: &[pb::HistoryEvent]) -> Vec<String> {
    events.iter().map(brief_event).collect()
}

/// `name#id detail`: the id of the action (left out if -1), or `->id` of the action that the event answers.
pub(crate) fn brief_event(event: &pb::HistoryEvent) -> String {
    use EventType as E;
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let failure =
        |failure: &Option<pb::TaskFailureDetails>| failure.as_ref().map_or("-".into(), |f| f.error_message.clone());
    let (name, detail) = match event.event_type.as_ref().expect("every event has a type") {
        E::OrchestratorStarted(_) => ("orchestratorStarted", String::new()),
        E::ExecutionStarted(e) => ("executionStarted", format!(" {}({})", e.name, text(&e.input))),
        E::ExecutionCompleted(e) => {
            let word = e.orchestration_status().as_str_name().trim_start_matches("ORCHESTRATION_STATUS_");
            ("executionCompleted", format!(" {word} {}", text(&e.result)))
        }
        E::ExecutionTerminated(e) => {
            ("executionTerminated", format!(" {}{}", text(&e.input), if e.recurse { " recurse" } else { "" }))
        }
        E::TaskScheduled(e) => ("taskScheduled", format!(" {}({})", e.name, text(&e.input))),
        E::TaskCompleted(e) => ("taskCompleted", format!("->{} {}", e.task_scheduled_id, text(&e.result))),
        E::TaskFailed(e) => ("taskFailed", format!("->{} {}", e.task_scheduled_id, failure(&e.failure_details))),
        E::SubOrchestrationInstanceCreated(e) => ("childCreated", format!(" {} {}", e.instance_id, e.name)),
        E::SubOrchestrationInstanceCompleted(e) => {
            ("childCompleted", format!("->{} {}", e.task_scheduled_id, text(&e.result)))
        }
        E::SubOrchestrationInstanceFailed(e) => {
            ("childFailed", format!("->{} {}", e.task_scheduled_id, failure(&e.failure_details)))
        }
        E::TimerCreated(_) => ("timerCreated", String::new()),
        E::TimerFired(e) => ("timerFired", format!("->{}", e.timer_id)),
        E::EventSent(e) => ("eventSent", format!(" {} {}({})", e.instance_id, e.name, text(&e.input))),
        E::EventRaised(e) => ("eventRaised", format!(" {}({})", e.name, text(&e.input))),
        E::ExecutionSuspended(e) => ("executionSuspended", format!(" {}", text(&e.input))),
        E::ExecutionResumed(e) => ("executionResumed", format!(" {}", text(&e.input))),
        E::ExecutionRewound(e) => ("executionRewound", format!(" {}", text(&e.reason))),
        E::EntityOperationSignaled(e) => {
            ("entitySignaled", format!(" {} {}({})", text(&e.target_instance_id), e.operation, text(&e.input)))
        }
        E::EntityOperationCalled(e) => {
            ("entityCalled", format!(" {} {}({})", text(&e.target_instance_id), e.operation, text(&e.input)))
        }
        E::EntityOperationCompleted(e) => ("entityCompleted", format!("->{} {}", e.request_id, text(&e.output))),
        E::EntityOperationFailed(e) => ("entityFailed", format!("->{} {}", e.request_id, failure(&e.failure_details))),
        E::EntityLockRequested(e) => ("lockRequested", format!(" {} {}", e.critical_section_id, e.lock_set.join(" "))),
        E::EntityLockGranted(e) => ("lockGranted", format!(" {}", e.critical_section_id)),
        E::EntityUnlockSent(e) => ("unlockSent", format!(" {} {}", e.critical_section_id, text(&e.target_instance_id))),
        other => panic!("an event that no worker expects: {other:?}"),
    };
    let id = if event.event_id == -1 { String::new() } else { format!("#{}", event.event_id) };
    format!("{name}{id}{detail}")
}
