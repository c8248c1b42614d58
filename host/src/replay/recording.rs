//! A history as somebody hands it over, cut into what a session takes.

use durawasm_proto::durabletask as wire;
use wire::OrchestrationStatus;
use wire::history_event::EventType;

use crate::orchestration::{
    Action, Decision, EventKind, Guest, HistoryEvent, Park, ParkReason, Recorded, Session, history_event,
};

/// A history, and the instance that it is of.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The instance's id: its random numbers follow from it.
    pub instance_id: String,
    /// The committed events of one execution, from the first, as `StreamInstanceHistory` gives them.
    pub events: Vec<wire::HistoryEvent>,
}

/// What a session is to apply.
pub(super) struct Pass {
    pub(super) instance_id: String,
    pub(super) orchestrator: String,
    pub(super) past: Vec<HistoryEvent>,
    /// The episode in which the execution ended, if it has.
    pub(super) last: Option<LastEpisode>,
}

/// The last episode of an execution that has ended. It is run as if it were new: a guest that panicked there, or a scheduler that
/// ended the execution itself, is no disagreement.
pub(super) struct LastEpisode {
    pub(super) incoming: Vec<HistoryEvent>,
    pub(super) events: usize,
    /// The actions that it led to: their places in the history, ids, and what they were.
    recorded: Vec<(u64, i32, Recorded)>,
    /// Whether the orchestrator decided how it ended, and not somebody from outside.
    decided: bool,
}

impl Recording {
    pub(super) fn pass(self) -> Result<Pass, Park> {
        let Self { instance_id, events } = self;
        let orchestrator = events.iter().find_map(|event| match &event.event_type {
            Some(EventType::ExecutionStarted(started)) => Some(started.name.clone()),
            _ => None,
        });
        let Some(orchestrator) = orchestrator else {
            return Err(Park::new(
                ParkReason::History,
                match events.len() {
                    0 => "the history is empty: the instance has not begun".to_owned(),
                    events => format!("there is no executionStarted among the {events} events of the history"),
                },
                "take the history of an execution that has begun, from its first event",
            ));
        };
        let decided = events.last().and_then(|event| match &event.event_type {
            // What the scheduler or the user ended carries no id of an action of the code.
            Some(EventType::ExecutionCompleted(completed)) => {
                Some(event.event_id > 0 && completed.orchestration_status() != OrchestrationStatus::Terminated)
            }
            _ => None,
        });
        let mut past: Vec<HistoryEvent> = events.into_iter().map(history_event).collect();
        let last = decided.and_then(|decided| {
            let first = past.iter().rposition(|event| event.kind == EventKind::EpisodeStarted)?;
            Some(LastEpisode::new(past.split_off(first), first, decided))
        });
        Ok(Pass { instance_id, orchestrator, past, last })
    }
}

impl LastEpisode {
    fn new(episode: Vec<HistoryEvent>, first: usize, decided: bool) -> Self {
        let mut last = Self { incoming: Vec::new(), events: episode.len(), recorded: Vec::new(), decided };
        for (at, event) in episode.into_iter().enumerate() {
            match event.kind {
                EventKind::Recorded(recorded) => last.recorded.push(((first + at) as u64, event.id, recorded)),
                EventKind::Completed => {}
                _ => last.incoming.push(event),
            }
        }
        last
    }

    /// Whether these actions are what the history holds.
    pub(super) fn compare<G: Guest>(&self, session: &Session<G>, actions: &[Action]) -> Result<(), Park> {
        if !self.decided {
            return Ok(());
        }
        let ends = actions.iter().any(|action| matches!(action.decision, Decision::Complete(_)));
        let mut calls = actions.iter().filter(|action| !matches!(action.decision, Decision::Complete(_)));
        for (position, id, recorded) in &self.recorded {
            let call = calls.next();
            let fits = |call: &&Action| {
                call.id == *id && call.decision.kind() == Some(recorded.kind) && call.decision.name() == recorded.name
            };
            if call.filter(fits).is_none() {
                return Err(session.disagrees(*position, Some((*id, recorded)), call));
            }
        }
        let end = self.recorded.last().map_or(session.position(), |(position, ..)| position + 1);
        match calls.next() {
            Some(more) => Err(session.disagrees(end, None, Some(more))),
            None if !ends => Err(session.disagrees(end, None, None)),
            None => Ok(()),
        }
    }
}
