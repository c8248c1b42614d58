//! The turns of a history: where each begins, and which calls were open there. What `reset` and `fork` count by.
//!
//! A turn is a run of the orchestrator: `orchestratorStarted`, what had arrived, and what it then decided.

use std::collections::HashMap;

use crate::{EventKind, HistoryEvent, InstanceId};

/// The turns of one execution's history, and its calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    starts: Vec<u64>,
    events: u64,
    calls: Vec<Call>,
}

/// A call of an activity or a sub-orchestration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The position of the event that made it.
    pub event: u64,
    /// What was called.
    pub name: String,
    /// The instance that it started, if it started one.
    pub child: Option<InstanceId>,
    /// The positions of the events that answered it. The first counts; others were duplicates.
    pub answers: Vec<u64>,
}

impl Turns {
    /// Reads a history from its first event on.
    pub fn of<'a>(history: impl IntoIterator<Item = &'a HistoryEvent>) -> Turns {
        let mut turns = Turns::default();
        // Action ids may repeat: a result belongs to the latest call before it.
        let mut latest: HashMap<i32, usize> = HashMap::new();
        for event in history {
            turns.events = event.position + 1;
            match &event.kind {
                EventKind::OrchestratorStarted => turns.starts.push(event.position),
                EventKind::TaskScheduled { name, .. } => {
                    latest.insert(event.event_id, turns.calls.len());
                    turns.calls.push(Call::new(event.position, name, None));
                }
                EventKind::SubOrchestrationInstanceCreated { name, instance_id, .. } => {
                    latest.insert(event.event_id, turns.calls.len());
                    turns.calls.push(Call::new(event.position, name, Some(instance_id)));
                }
                EventKind::TaskCompleted { scheduled_id, .. }
                | EventKind::TaskFailed { scheduled_id, .. }
                | EventKind::SubOrchestrationInstanceCompleted { scheduled_id, .. }
                | EventKind::SubOrchestrationInstanceFailed { scheduled_id, .. } => {
                    if let Some(&call) = latest.get(scheduled_id) {
                        turns.calls[call].answers.push(event.position);
                    }
                }
                _ => {}
            }
        }
        turns
    }

    /// How many events the history has.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// How many turns it has.
    pub fn count(&self) -> usize {
        self.starts.len()
    }

    /// The number of the turn that an event is part of; the first is 1. None: there is no such event.
    pub fn turn_of(&self, event: u64) -> Option<usize> {
        (event < self.events).then(|| self.starts.partition_point(|&start| start <= event).max(1))
    }

    /// Where the turn of an event begins: how many events are kept if it is undone. None: there is no such event.
    pub fn start_of(&self, event: u64) -> Option<u64> {
        // What comes before the first turn, in the history of another scheduler, counts as part of it.
        let turn = self.turn_of(event)?;
        Some(if turn == 1 { 0 } else { self.starts[turn - 1] })
    }

    /// The call that an event made or answered.
    pub fn call(&self, event: u64) -> Option<&Call> {
        self.calls.iter().find(|call| call.event == event || call.answers.contains(&event))
    }

    /// All calls, in the order of their events.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Whether a call is made again if the instance goes on from before an event: it was made before the turn of that
    /// event, and not answered before the event itself. (Answers that came earlier in the same turn are kept.)
    pub fn is_repeated_from(&self, call: &Call, event: u64) -> bool {
        call.event < self.start_of(event).unwrap_or(event) && !call.is_answered_before(event)
    }
}

impl Call {
    fn new(event: u64, name: &str, child: Option<&InstanceId>) -> Call {
        Call { event, name: name.to_owned(), child: child.cloned(), answers: Vec::new() }
    }

    /// Whether there is an answer before an event.
    pub fn is_answered_before(&self, event: u64) -> bool {
        self.answers.iter().any(|&answer| answer < event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(kinds: Vec<(i32, EventKind)>) -> Vec<HistoryEvent> {
        (0..)
            .zip(kinds)
            .map(|(position, (event_id, kind))| HistoryEvent { position, event_id, timestamp: None, kind })
            .collect()
    }

    fn called(name: &str) -> EventKind {
        EventKind::TaskScheduled { name: name.into(), version: None, input: None }
    }

    fn returned(scheduled_id: i32) -> EventKind {
        EventKind::TaskCompleted { scheduled_id, result: None }
    }

    fn started() -> EventKind {
        EventKind::ExecutionStarted { name: "x".into(), version: None, input: None, parent: None }
    }

    fn three_turns() -> Turns {
        Turns::of(&history(vec![
            (-1, EventKind::OrchestratorStarted),
            (-1, started()),
            (1, called("a")),
            (2, called("b")),
            (-1, EventKind::OrchestratorStarted),
            (-1, returned(1)),
            (1, called("a")),
            (-1, EventKind::OrchestratorStarted),
            (-1, returned(1)),
        ]))
    }

    #[test]
    fn an_event_belongs_to_the_turn_that_began_last() {
        let turns = three_turns();
        assert_eq!(turns.count(), 3);
        assert_eq!((turns.turn_of(0), turns.start_of(0)), (Some(1), Some(0)));
        assert_eq!((turns.turn_of(3), turns.start_of(3)), (Some(1), Some(0)));
        assert_eq!((turns.turn_of(4), turns.start_of(6)), (Some(2), Some(4)));
        assert_eq!((turns.turn_of(8), turns.start_of(8)), (Some(3), Some(7)));
        assert_eq!((turns.turn_of(9), turns.start_of(9)), (None, None));
        assert_eq!(Turns::default().turn_of(0), None);
    }

    #[test]
    fn a_result_belongs_to_the_latest_call_with_its_id() {
        let turns = three_turns();
        assert_eq!(turns.call(5).map(|call| call.event), Some(2));
        assert_eq!(turns.call(8).map(|call| call.event), Some(6));
        assert_eq!(turns.call(4), None);
    }

    #[test]
    fn calls_are_repeated_unless_they_were_answered_before_the_event() {
        let turns = three_turns();
        let repeated = |event| {
            let calls = turns.calls().iter().filter(|call| turns.is_repeated_from(call, event));
            calls.map(|call| call.event).collect::<Vec<_>>()
        };
        assert_eq!(repeated(3), Vec::<u64>::new());
        assert_eq!(repeated(5), [2, 3]);
        // The answer at 5 came before the event, in the same turn.
        assert_eq!(repeated(6), [3]);
        assert_eq!(repeated(8), [3, 6]);
        assert_eq!(repeated(9), [3]);
    }
}
