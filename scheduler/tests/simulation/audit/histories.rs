//! Histories: they grow at their end, what answers fits what asks, and time moves on.

use durawasm_proto::durabletask as pb;
use durawasm_scheduler::core::ids::Position;
use durawasm_scheduler::core::record::{InstanceRecord, Status, StoredEvent};
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::store::Store;
use pb::history_event::EventType;

use super::Audit;

impl Audit {
    pub(super) fn grow(&mut self, record: &InstanceRecord, first: Position, events: &[StoredEvent]) {
        let id = &record.id;
        let history = self.histories.entry(record.run).or_default();
        assert_eq!(history.len() as u64, first, "{id}: the history does not grow at its end");
        if first == 0 && record.base.is_none() {
            // No turn has made it.
            self.rewritten.insert(record.run);
        }
        for stored in events {
            let kind = stored.event.event_type.as_ref().expect("an event has a type");
            let last = history.last().and_then(|e| e.event.event_type.as_ref());
            assert!(!matches!(last, Some(EventType::ExecutionCompleted(_))), "{id}: history goes on after its end");
            let begun = history.iter().any(|e| matches!(e.event.event_type, Some(EventType::ExecutionStarted(_))));
            let at: Timestamp = stored.event.timestamp.expect("a time").into();
            match kind {
                EventType::OrchestratorStarted(_) => {
                    let before = history.iter().rev().find(|e| is_turn(e)).and_then(|e| e.event.timestamp);
                    let increases = before.is_none_or(|b| Timestamp::from(b) < at);
                    assert!(increases, "{id}: orchestratorStarted does not increase");
                    // A turn takes a microsecond at least, and many may follow on each other.
                    let soon = Timestamp::from_micros(self.clock.as_micros() + 1_000);
                    assert!(at <= soon, "{id}: a turn began in the future, at {at:?}, when it was {:?}", self.clock);
                }
                EventType::ExecutionStarted(_) => {
                    assert!(!begun, "{id}: an execution has two starts");
                    let turn = history.iter().rev().find(|e| is_turn(e)).and_then(|e| e.event.timestamp);
                    if let (Some(due), Some(turn)) = (record.scheduled_start, turn)
                        && record.status != Status::Terminated
                    {
                        assert!(Timestamp::from(turn) >= due, "{id}: it started before its time");
                    }
                }
                EventType::GenericEvent(_) | EventType::ExecutionRewound(_) => {}
                other => assert!(begun, "{id}: {other:?} comes before the start"),
            }
            assert!(is_turn(stored) || !history.is_empty(), "{id}: a history begins with {kind:?}");
            if let Some(position) = stored.answers {
                let question = usize::try_from(position).ok().and_then(|at| history.get(at));
                let question = question.unwrap_or_else(|| panic!("{id}: {kind:?} answers what is not there"));
                assert!(answers(&question.event, kind), "{id}: {kind:?} does not answer {:?}", question.event);
                let first = self.answered.entry(record.run).or_default().insert(position);
                assert!(first, "{id}: position {position} is answered twice");
            } else {
                assert!(!is_answer(kind), "{id}: nobody knows what {kind:?} answers");
            }
            history.push(stored.clone());
        }
    }

    /// What clients see of a history is what was written, and never changes.
    pub(crate) fn compare(&self, store: &dyn Store) {
        for (run, written) in &self.histories {
            let mut read: Vec<StoredEvent> = Vec::new();
            loop {
                let page = store.history(*run, read.len() as u64, 4_000).expect("the store reads");
                if page.is_empty() {
                    break;
                }
                read.extend(page);
            }
            assert!(read == *written, "the store holds another history of {run:?} than was written");
        }
    }
}

fn is_turn(stored: &StoredEvent) -> bool {
    matches!(stored.event.event_type, Some(EventType::OrchestratorStarted(_)))
}

fn is_answer(kind: &EventType) -> bool {
    matches!(
        kind,
        EventType::TaskCompleted(_)
            | EventType::TaskFailed(_)
            | EventType::TimerFired(_)
            | EventType::SubOrchestrationInstanceCompleted(_)
            | EventType::SubOrchestrationInstanceFailed(_)
    )
}

fn answers(question: &pb::HistoryEvent, answer: &EventType) -> bool {
    let id = question.event_id;
    match (question.event_type.as_ref(), answer) {
        (Some(EventType::TaskScheduled(_)), EventType::TaskCompleted(a)) => a.task_scheduled_id == id,
        (Some(EventType::TaskScheduled(_)), EventType::TaskFailed(a)) => a.task_scheduled_id == id,
        (Some(EventType::TimerCreated(q)), EventType::TimerFired(a)) => a.timer_id == id && a.fire_at == q.fire_at,
        (
            Some(EventType::SubOrchestrationInstanceCreated(_)),
            EventType::SubOrchestrationInstanceCompleted(pb::SubOrchestrationInstanceCompletedEvent {
                task_scheduled_id,
                ..
            })
            | EventType::SubOrchestrationInstanceFailed(pb::SubOrchestrationInstanceFailedEvent {
                task_scheduled_id,
                ..
            }),
        ) => *task_scheduled_id == id,
        _ => false,
    }
}
