//! Histories that go on from an earlier point: before a failure, or before a turn.
//!
//! Pure functions on lists of events. What follows from them for instances is in [`repair`](super::repair).

use std::collections::{BTreeSet, HashMap, HashSet};

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

use super::ids::{InstanceId, Position};
use super::record::StoredEvent;

/// What is left of a history.
#[derive(Debug, Default)]
pub(super) struct Rewritten {
    /// The events, in their old order.
    pub(super) events: Vec<StoredEvent>,
    /// Where those that are left stand now, by where they stood.
    pub(super) moved: HashMap<Position, Position>,
}

/// A history to before its failure: without failed activities and the events that called them, so that they are called again;
/// without the failures of children, which are to answer again; and without its end.
///
/// The wire protocol's rewind leaves the same events (there it is a worker that does the rewriting).
pub(super) fn before_failure(history: Vec<StoredEvent>) -> Rewritten {
    let mut gone = BTreeSet::new();
    let asked: BTreeSet<Position> = children_to_ask_again(&history).into_iter().map(|(position, _)| position).collect();
    for (position, stored) in (0..).zip(&history) {
        match &stored.event.event_type {
            Some(EventType::TaskFailed(_)) => gone.extend([Some(position), stored.answers].into_iter().flatten()),
            Some(EventType::SubOrchestrationInstanceFailed(_)) => {
                gone.extend(stored.answers.filter(|p| asked.contains(p)).map(|_| position));
            }
            Some(EventType::ExecutionCompleted(_)) => {
                gone.insert(position);
            }
            _ => {}
        }
    }
    without(history, &gone)
}

/// Children of a failed execution that are to answer when it is rewound, with the positions of their creation: those that failed, and
/// those that had not answered. Of a child that was tried several times under one id, the last try.
pub(super) fn children_to_ask_again(history: &[StoredEvent]) -> Vec<(Position, InstanceId)> {
    let completed: BTreeSet<Position> = history
        .iter()
        .filter(|e| matches!(e.event.event_type, Some(EventType::SubOrchestrationInstanceCompleted(_))))
        .filter_map(|e| e.answers)
        .collect();
    let last: HashMap<InstanceId, Position> =
        created_children(history).map(|(position, child)| (child, position)).collect();
    created_children(history)
        .filter(|(position, child)| !completed.contains(position) && last.get(child) == Some(position))
        .collect()
}

/// Children that a history has created, with the positions.
pub(super) fn created_children(history: &[StoredEvent]) -> impl Iterator<Item = (Position, InstanceId)> {
    (0..).zip(history).filter_map(|(position, stored)| match &stored.event.event_type {
        Some(EventType::SubOrchestrationInstanceCreated(created)) => {
            Some((position, InstanceId::trusted(&created.instance_id)))
        }
        _ => None,
    })
}

/// A history without some of its events, and without what answers them.
fn without(history: Vec<StoredEvent>, gone: &BTreeSet<Position>) -> Rewritten {
    let mut left = Rewritten::default();
    for (position, mut stored) in (0..).zip(history) {
        if gone.contains(&position) {
            continue;
        }
        if let Some(answered) = stored.answers {
            let Some(now) = left.moved.get(&answered) else { continue };
            stored.answers = Some(*now);
        }
        left.moved.insert(position, left.events.len() as Position);
        left.events.push(stored);
    }
    left
}

/// Where the turn begins that an event is part of: at its `orchestratorStarted`.
pub(super) fn turn_start(history: &[StoredEvent], at: usize) -> usize {
    let begins = |e: &StoredEvent| matches!(e.event.event_type, Some(EventType::OrchestratorStarted(_)));
    history[..=at.min(history.len() - 1)].iter().rposition(begins).unwrap_or(0)
}

/// What was called in a history and is answered neither in it nor by what has arrived since, with the positions: activities, children,
/// timers and operations of entities.
pub(super) fn open_calls<'h>(
    history: &'h [StoredEvent],
    arrived: impl IntoIterator<Item = &'h StoredEvent>,
) -> impl Iterator<Item = (Position, &'h StoredEvent)> {
    let answered: HashSet<Position> = history.iter().chain(arrived).filter_map(|e| e.answers).collect();
    let calls = (0..).zip(history).filter(|(_, stored)| is_call(&stored.event));
    calls.filter(move |(position, _)| !answered.contains(position))
}

fn is_call(event: &pb::HistoryEvent) -> bool {
    matches!(
        event.event_type,
        Some(
            EventType::TaskScheduled(_)
                | EventType::SubOrchestrationInstanceCreated(_)
                | EventType::TimerCreated(_)
                | EventType::EntityOperationCalled(_)
        )
    )
}

/// Whether an event came from outside, to whatever execution is current.
pub(super) fn is_external(event: &pb::HistoryEvent) -> bool {
    matches!(event.event_type, Some(EventType::EventRaised(_)))
}

/// Whether an execution with this history is held.
pub(super) fn is_suspended(history: &[StoredEvent]) -> bool {
    let last = history.iter().rev().find_map(|e| match e.event.event_type {
        Some(EventType::ExecutionSuspended(_)) => Some(true),
        Some(EventType::ExecutionResumed(_)) => Some(false),
        _ => None,
    });
    last.unwrap_or(false)
}

/// Whether an execution with this history has locked entities, or wants to.
pub(super) fn is_in_section(history: &[StoredEvent]) -> bool {
    let mut sections = Sections::default();
    history.iter().for_each(|stored| sections.see(&stored.event));
    sections.is_in_one()
}

/// Whether an execution ended in a critical section, or in the turn in which it entered or left one.
pub(super) fn ended_in_section(history: &[StoredEvent]) -> bool {
    if history.is_empty() {
        return false;
    }
    let (before, last) = history.split_at(turn_start(history, history.len() - 1));
    let locks = |e: &StoredEvent| {
        matches!(
            e.event.event_type,
            Some(EventType::EntityLockRequested(_) | EventType::EntityLockGranted(_) | EventType::EntityUnlockSent(_))
        )
    };
    is_in_section(before) || last.iter().any(locks)
}

/// Whether something failed that was called in a critical section, and would be called again.
pub(super) fn failed_in_section(history: &[StoredEvent]) -> bool {
    let failed: HashSet<Position> = history
        .iter()
        .filter(|e| {
            matches!(e.event.event_type, Some(EventType::TaskFailed(_) | EventType::SubOrchestrationInstanceFailed(_)))
        })
        .filter_map(|e| e.answers)
        .collect();
    let mut sections = Sections::default();
    for (position, stored) in (0..).zip(history) {
        sections.see(&stored.event);
        if failed.contains(&position) && sections.is_in_one() {
            return true;
        }
    }
    false
}

/// Critical sections that are open at a point of a history.
#[derive(Default)]
struct Sections<'h>(HashMap<&'h str, usize>);

impl<'h> Sections<'h> {
    fn see(&mut self, event: &'h pb::HistoryEvent) {
        match &event.event_type {
            Some(EventType::EntityLockRequested(request)) => {
                let entities: HashSet<&String> = request.lock_set.iter().collect();
                self.0.insert(&request.critical_section_id, entities.len());
            }
            Some(EventType::EntityUnlockSent(unlock)) => {
                if let Some(left) = self.0.get_mut(unlock.critical_section_id.as_str()) {
                    *left = left.saturating_sub(1);
                }
            }
            _ => {}
        }
    }

    fn is_in_one(&self) -> bool {
        self.0.values().any(|left| *left > 0)
    }
}

/// The event that began an execution.
pub(super) fn started(history: &[StoredEvent]) -> Option<&pb::ExecutionStartedEvent> {
    history.iter().find_map(|e| match &e.event.event_type {
        Some(EventType::ExecutionStarted(started)) => Some(&**started),
        _ => None,
    })
}

/// As [`started`], to change it.
pub(super) fn started_mut(history: &mut [StoredEvent]) -> Option<&mut pb::ExecutionStartedEvent> {
    history.iter_mut().find_map(|e| match &mut e.event.event_type {
        Some(EventType::ExecutionStarted(started)) => Some(&mut **started),
        _ => None,
    })
}

/// The event that ended an execution.
pub(super) fn completed(history: &[StoredEvent]) -> Option<&pb::ExecutionCompletedEvent> {
    history.last().and_then(|e| match &e.event.event_type {
        Some(EventType::ExecutionCompleted(completed)) => Some(completed),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::events::{event, orchestrator_started};
    use crate::core::time::Timestamp;

    fn stored(event_type: EventType, answers: Option<Position>) -> StoredEvent {
        StoredEvent { event: event(1, Timestamp::from_micros(1), event_type), answers }
    }

    fn turn() -> StoredEvent {
        StoredEvent { event: orchestrator_started(Timestamp::from_micros(1)), answers: None }
    }

    fn scheduled(name: &str) -> StoredEvent {
        stored(EventType::TaskScheduled(pb::TaskScheduledEvent { name: name.into(), ..Default::default() }), None)
    }

    fn history() -> Vec<StoredEvent> {
        vec![
            turn(),
            stored(EventType::ExecutionStarted(Box::default()), None),
            scheduled("good"),
            scheduled("bad"),
            stored(EventType::SubOrchestrationInstanceCreated(Default::default()), None),
            turn(),
            stored(EventType::TaskFailed(Default::default()), Some(3)),
            stored(EventType::TaskCompleted(Default::default()), Some(2)),
            turn(),
            stored(EventType::SubOrchestrationInstanceFailed(Default::default()), Some(4)),
            stored(EventType::ExecutionCompleted(Default::default()), None),
        ]
    }

    #[test]
    fn a_history_before_its_failure_keeps_what_succeeded_and_the_answers_point_at_it() {
        let left = before_failure(history());
        let names: Vec<&str> = left
            .events
            .iter()
            .map(|e| match e.event.event_type {
                Some(EventType::OrchestratorStarted(_)) => "turn",
                Some(EventType::ExecutionStarted(_)) => "start",
                Some(EventType::TaskScheduled(_)) => "call",
                Some(EventType::TaskCompleted(_)) => "result",
                Some(EventType::SubOrchestrationInstanceCreated(_)) => "child",
                _ => "other",
            })
            .collect();
        assert_eq!(names, ["turn", "start", "call", "child", "turn", "result", "turn"]);
        assert_eq!(left.events[5].answers, Some(2));
        let open: Vec<Position> = open_calls(&left.events, []).map(|(at, _)| at).collect();
        assert_eq!(open, [3], "the child is to answer again");
        assert_eq!((left.moved.get(&4), left.moved.get(&3)), (Some(&3), None));
    }

    #[test]
    fn the_turn_of_an_event_begins_at_its_orchestrator_started() {
        let history = history();
        for (at, start) in [(0, 0), (4, 0), (5, 5), (7, 5), (8, 8), (10, 8), (99, 8)] {
            assert_eq!(turn_start(&history, at), start, "event {at}");
        }
    }
}
