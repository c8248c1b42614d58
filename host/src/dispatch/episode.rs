//! One orchestrator work item from request to answer.
//!
//! This is the only place that decides between going on with a warm session and replaying. It does no I/O: what has to be
//! fetched first is asked for.

use std::sync::Arc;

use durawasm_proto::{durabletask as wire, property};
use parking_lot::Mutex;
use prost_types::value::Kind;
use wire::history_event::EventType;

use crate::connection::GuestLogs;
use crate::orchestration::warmth::{Base, Fingerprint, Warm, WarmSessions};
use crate::orchestration::{EventKind, HistoryEvent, Limits, Park, ParkReason, Session, convert};
use crate::registry::{LoadedComponent, RegistryHandle};
use crate::sandbox::Orchestrator;

/// The sessions that are kept warm, and how often that helped.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Warmth {
    /// Sessions that are kept.
    pub sessions: usize,
    /// The bytes of guest memory that they hold.
    pub bytes: usize,
    /// Items that went on with a warm session.
    pub warm: u64,
    /// Items for which the past was replayed, or that had none.
    pub cold: u64,
}

/// Runs episodes. Shared by all threads.
pub(crate) struct Episodes {
    registry: RegistryHandle,
    warm: Mutex<WarmSessions<Orchestrator>>,
    counts: Mutex<(u64, u64)>,
    limits: Limits,
}

/// What becomes of an item.
pub(super) enum Outcome {
    /// An answer, and what the guest logged.
    Answer(wire::OrchestratorResponse, Option<GuestLogs>),
    /// The past events have to be fetched first.
    NeedsHistory(wire::OrchestratorRequest),
    /// The instance cannot go on: why, and in which component.
    Park(Park, String),
}

impl Episodes {
    pub(crate) fn new(registry: RegistryHandle, limits: Limits, max_sessions: usize, max_bytes: usize) -> Self {
        Self {
            registry,
            warm: Mutex::new(WarmSessions::new(max_sessions, max_bytes)),
            counts: Mutex::default(),
            limits,
        }
    }

    pub(crate) fn warmth(&self) -> Warmth {
        let (sessions, bytes) = self.warm.lock().size();
        let (warm, cold) = *self.counts.lock();
        Warmth { sessions, bytes, warm, cold }
    }

    /// Runs one episode. `fetched` says that the past events are complete, however they came.
    pub(super) fn run(&self, mut request: wire::OrchestratorRequest, token: &str, fetched: bool) -> Outcome {
        let trace = request.orchestration_trace_context.take();
        if let Some(output) = take_termination(&mut request.new_events) {
            // What the session knows is of no more use.
            drop(self.warm.lock().take(&request.instance_id));
            let response = convert::terminated(request.instance_id, token.to_owned(), trace, output);
            return Outcome::Answer(response, None);
        }
        let execution_id = request.execution_id.clone().unwrap_or_default();
        let (base_token, position) = base_properties(&request);
        let omitted = !fetched
            && request.past_events.is_empty()
            && (request.requires_history_streaming || position.is_some_and(|position| position > 0));
        let past: Vec<HistoryEvent> =
            std::mem::take(&mut request.past_events).into_iter().map(convert::history_event).collect();
        let base = match base_token {
            Some(token) => Some(Base::Token(token)),
            // Without the past events there is nothing to compare.
            None if omitted => None,
            None => Some(Base::Past(fingerprint(&past))),
        };
        let taken = self.warm.lock().take(&request.instance_id);
        let warm = taken.filter(|warm| base.as_ref().is_some_and(|base| warm.stands_at(&execution_id, base)));
        if warm.is_none() && omitted {
            request.orchestration_trace_context = trace;
            return Outcome::NeedsHistory(request);
        }
        self.count(warm.is_some());

        let new: Vec<HistoryEvent> = request.new_events.into_iter().map(convert::history_event).collect();
        let instance_id = request.instance_id;
        let (mut warm, past) = match warm {
            Some(warm) => (warm, Vec::new()),
            None => match self.cold(&instance_id, execution_id, &past, &new) {
                Ok(session) => (session, past),
                Err(park) => return Outcome::Park(park, String::new()),
            },
        };
        for event in past.iter().chain(&new) {
            warm.applied.add(event);
        }
        let label = warm.session.program().label();
        let mut turn = match warm.session.apply(past, new) {
            Ok(turn) => turn,
            Err(park) => return Outcome::Park(park, label),
        };
        let lines = std::mem::take(&mut turn.logs);
        let name = warm.session.name().to_owned();
        let logs = (!lines.is_empty()).then(|| GuestLogs {
            instance: instance_id.clone(),
            component: label,
            name: name.clone(),
            lines,
        });
        let ended = turn.ended;
        warm.applied.add_recorded(turn.actions.len());
        let response = convert::response(instance_id.clone(), token.to_owned(), trace, turn, || {
            self.registry.current().orchestrator(&name, None).map(|component| component.version().to_owned())
        });
        if !ended {
            token.clone_into(&mut warm.answered);
            let evicted = self.warm.lock().keep(instance_id, warm);
            // Giving memory back takes a while; the lock is free by now.
            drop(evicted);
        }
        Outcome::Answer(response, logs)
    }

    fn count(&self, warm: bool) {
        let mut counts = self.counts.lock();
        if warm { counts.0 += 1 } else { counts.1 += 1 }
    }

    /// A session at the very beginning.
    fn cold(
        &self,
        instance_id: &str,
        execution_id: String,
        past: &[HistoryEvent],
        new: &[HistoryEvent],
    ) -> Result<Warm<Orchestrator>, Park> {
        let started = past.iter().chain(new).find_map(|event| match &event.kind {
            EventKind::ExecutionStarted(started) => Some(started),
            _ => None,
        });
        let Some(started) = started else {
            return Err(Park::new(
                ParkReason::History,
                "the work item holds no executionStarted, neither in the past nor in the new events",
                "the scheduler sent a history that no execution can have: report it",
            ));
        };
        let component = self.component(&started.name, started.version.as_deref())?;
        let Some(code) = component.orchestrator_code() else {
            return Err(no_version(&started.name, started.version.as_deref()));
        };
        let guest = Orchestrator::new(Arc::clone(code));
        let session = Session::new(guest, instance_id, Arc::clone(component.program()), self.limits);
        Ok(Warm { session, execution_id, answered: String::new(), applied: Fingerprint::default() })
    }

    fn component(&self, name: &str, version: Option<&str>) -> Result<Arc<LoadedComponent>, Park> {
        self.registry.current().orchestrator(name, version).cloned().ok_or_else(|| no_version(name, version))
    }
}

fn no_version(name: &str, version: Option<&str>) -> Park {
    let wanted = match version {
        Some(version) => format!("version {version} of orchestrator `{name}`"),
        None => format!("orchestrator `{name}`"),
    };
    Park::new(
        ParkReason::NoVersion,
        format!("no component on this host has {wanted}"),
        "deploy the component that has it; the instance goes on by itself then",
    )
}

fn fingerprint(past: &[HistoryEvent]) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    for event in past {
        fingerprint.add(event);
    }
    fingerprint
}

/// The output that a request to terminate asks for, if there is one among the new events.
fn take_termination(events: &mut [wire::HistoryEvent]) -> Option<Option<String>> {
    events.iter_mut().find_map(|event| match &mut event.event_type {
        Some(EventType::ExecutionTerminated(terminated)) => Some(terminated.input.take()),
        _ => None,
    })
}

/// The base that our scheduler states: the token of the last committed turn, and how many events there are.
fn base_properties(request: &wire::OrchestratorRequest) -> (Option<String>, Option<u64>) {
    let text = |key: &str| match request.properties.get(key)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text.clone()),
        Kind::NumberValue(number) => Some(format!("{number:.0}")),
        _ => None,
    };
    (text(property::BASE_TOKEN), text(property::BASE_POSITION).and_then(|position| position.parse().ok()))
}

#[cfg(test)]
mod tests;
