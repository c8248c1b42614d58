//! Rewriting the history of a failed execution, for schedulers that leave it to the worker.
//!
//! Such a scheduler sends the history with its end, and `executionRewound` as new. The answer is no turn but another history: without
//! failures of activities and children, without the calls of the activities that failed, and without the end. The scheduler
//! puts it in place of the old one and sends the instance again.

use std::collections::HashSet;

use durawasm_proto::durabletask as wire;
use wire::history_event::EventType;

/// Whether a work item asks for a rewritten history: it is new that the execution is rewound, and the past holds its end.
pub(crate) fn is_asked(past: &[wire::HistoryEvent], new: &[wire::HistoryEvent]) -> bool {
    is_new(new) && past.iter().any(|event| matches!(event.event_type, Some(EventType::ExecutionCompleted(_))))
}

/// Whether a rewind is among the new events: only the past says what it asks for.
pub(crate) fn is_new(new: &[wire::HistoryEvent]) -> bool {
    new.iter().any(|event| matches!(event.event_type, Some(EventType::ExecutionRewound(_))))
}

/// The history that the execution goes on with, under another id.
pub(crate) fn rewritten(
    past: Vec<wire::HistoryEvent>,
    new: Vec<wire::HistoryEvent>,
    execution_id: &str,
) -> Vec<wire::HistoryEvent> {
    let mut events = past;
    events.extend(new);
    let failed: HashSet<i32> = events
        .iter()
        .filter_map(|event| match &event.event_type {
            Some(EventType::TaskFailed(failed)) => Some(failed.task_scheduled_id),
            _ => None,
        })
        .collect();
    let parent_execution = events.iter().rev().find_map(|event| match &event.event_type {
        Some(EventType::ExecutionRewound(rewound)) => Some(rewound.parent_execution_id.clone()),
        _ => None,
    });
    let parent_execution = parent_execution.flatten().filter(|id| !id.is_empty());
    events.retain(|event| match &event.event_type {
        Some(
            EventType::TaskFailed(_) | EventType::SubOrchestrationInstanceFailed(_) | EventType::ExecutionCompleted(_),
        ) => false,
        Some(EventType::TaskScheduled(_)) => !failed.contains(&event.event_id),
        _ => true,
    });
    for event in &mut events {
        if let Some(EventType::ExecutionStarted(started)) = &mut event.event_type {
            started.orchestration_instance.get_or_insert_default().execution_id = Some(execution_id.to_owned());
            // The parent was rewound as well, and has a new execution.
            if let Some(parent_execution) = &parent_execution
                && let Some(parent) = started.parent_instance.as_mut().and_then(|p| p.orchestration_instance.as_mut())
            {
                parent.execution_id = Some(parent_execution.clone());
            }
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: i32, event_type: EventType) -> wire::HistoryEvent {
        wire::HistoryEvent {
            event_id: id,
            timestamp: Some(prost_types::Timestamp::default()),
            event_type: Some(event_type),
        }
    }

    fn started(parent: bool) -> wire::HistoryEvent {
        let instance = |execution: &str| wire::OrchestrationInstance {
            instance_id: "i".to_owned(),
            execution_id: Some(execution.to_owned()),
        };
        let parent_instance = parent.then(|| wire::ParentInstanceInfo {
            orchestration_instance: Some(instance("old parent")),
            ..Default::default()
        });
        let started = wire::ExecutionStartedEvent {
            orchestration_instance: Some(instance("old")),
            parent_instance,
            ..Default::default()
        };
        event(-1, EventType::ExecutionStarted(Box::new(started)))
    }

    fn episode() -> wire::HistoryEvent {
        event(-1, EventType::OrchestratorStarted(wire::OrchestratorStartedEvent {}))
    }

    fn past(parent: bool) -> Vec<wire::HistoryEvent> {
        let scheduled = |id| event(id, EventType::TaskScheduled(wire::TaskScheduledEvent::default()));
        let child = |id| {
            let created = wire::SubOrchestrationInstanceCreatedEvent::default();
            event(id, EventType::SubOrchestrationInstanceCreated(created))
        };
        vec![
            episode(),
            started(parent),
            scheduled(1),
            scheduled(2),
            child(3),
            event(-1, EventType::TaskCompleted(wire::TaskCompletedEvent { task_scheduled_id: 1, result: None })),
            event(-1, EventType::TaskFailed(wire::TaskFailedEvent { task_scheduled_id: 2, failure_details: None })),
            event(
                -1,
                EventType::SubOrchestrationInstanceFailed(wire::SubOrchestrationInstanceFailedEvent {
                    task_scheduled_id: 3,
                    failure_details: None,
                }),
            ),
            event(4, EventType::ExecutionCompleted(wire::ExecutionCompletedEvent::default())),
        ]
    }

    fn rewound(parent_execution: Option<&str>) -> Vec<wire::HistoryEvent> {
        let rewound = wire::ExecutionRewoundEvent {
            parent_execution_id: parent_execution.map(str::to_owned),
            ..Default::default()
        };
        vec![episode(), event(-1, EventType::ExecutionRewound(Box::new(rewound)))]
    }

    fn executions(history: &[wire::HistoryEvent]) -> (Option<&str>, Option<&str>) {
        let Some(EventType::ExecutionStarted(started)) = &history[1].event_type else { panic!("{:?}", history[1]) };
        let id = |instance: &Option<wire::OrchestrationInstance>| instance.as_ref().unwrap().execution_id.clone();
        let own = started.orchestration_instance.as_ref().unwrap().execution_id.as_deref();
        let parent = started.parent_instance.as_ref().map(|parent| &parent.orchestration_instance);
        assert!(parent.is_none_or(|parent| id(parent).is_some()));
        (own, parent.and_then(|parent| parent.as_ref()?.execution_id.as_deref()))
    }

    #[test]
    fn failures_and_the_calls_that_failed_and_the_end_are_taken_out_and_all_else_is_kept() {
        let history = rewritten(past(false), rewound(None), "new");
        let ids: Vec<_> = history.iter().map(|event| event.event_id).collect();
        // Episode, start, the activity that completed, the child, the result, and the rewind with its episode.
        assert_eq!(ids, [-1, -1, 1, 3, -1, -1, -1]);
        assert!(matches!(history.last().unwrap().event_type, Some(EventType::ExecutionRewound(_))));
        assert_eq!(executions(&history), (Some("new"), None));
    }

    #[test]
    fn a_child_hears_of_its_parents_new_execution() {
        assert_eq!(
            executions(&rewritten(past(true), rewound(Some("new parent")), "new")),
            (Some("new"), Some("new parent"))
        );
        assert_eq!(executions(&rewritten(past(true), rewound(None), "new")), (Some("new"), Some("old parent")));
    }

    #[test]
    fn a_history_is_rewritten_only_when_the_rewind_is_new_and_the_end_is_past() {
        assert!(is_asked(&past(false), &rewound(None)));
        assert!(!is_asked(&past(false), &[episode()]));
        let rewritten = rewritten(past(false), rewound(None), "new");
        assert!(!is_asked(&rewritten, &[episode()]));
        assert!(!is_asked(&rewritten, &rewound(None)));
    }
}
