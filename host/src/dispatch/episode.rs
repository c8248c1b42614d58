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
use crate::deployment::OnMismatch;
use crate::orchestration::convert::Answered;
use crate::orchestration::warmth::{Base, Fingerprint, Warm, WarmSessions};
use crate::orchestration::{EventKind, Fuel, HistoryEvent, Park, ParkReason, Session, convert, rewind, trace};
use crate::registry::{LoadedComponent, RegistryHandle, Route};
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
}

/// What becomes of an item.
pub(super) enum Outcome {
    /// An answer, what the episode cost if guest code was run, and what the guest logged.
    Answer(wire::OrchestratorResponse, Option<Fuel>, Option<GuestLogs>),
    /// The past events have to be fetched first.
    NeedsHistory(wire::OrchestratorRequest),
    /// No component here takes an instance of this version: it is left to another host. Why.
    Reject(String),
    /// The instance cannot go on: why, and in which component.
    Park(Park, String),
}

impl Episodes {
    pub(crate) fn new(registry: RegistryHandle, max_sessions: usize, max_bytes: usize) -> Self {
        Self { registry, warm: Mutex::new(WarmSessions::new(max_sessions, max_bytes)), counts: Mutex::default() }
    }

    pub(crate) fn warmth(&self) -> Warmth {
        let (sessions, bytes) = self.warm.lock().size();
        let (warm, cold) = *self.counts.lock();
        Warmth { sessions, bytes, warm, cold }
    }

    /// Runs one episode. `fetched` says that the past events are complete, however they came.
    pub(super) fn run(&self, mut request: wire::OrchestratorRequest, token: &str, fetched: bool) -> Outcome {
        if let Some(output) = take_termination(&mut request.new_events) {
            // What the session knows is of no more use.
            drop(self.warm.lock().take(&request.instance_id));
            return Outcome::Answer(convert::terminated(answered(&mut request, token), output), None, None);
        }
        let execution_id = request.execution_id.clone().unwrap_or_default();
        let Properties { base_token, position, fuel: recorded, version: moved_to } = properties(&request);
        let omitted = !fetched
            && request.past_events.is_empty()
            && (request.requires_history_streaming || position.is_some_and(|position| position > 0));
        if rewind::is_new(&request.new_events) {
            drop(self.warm.lock().take(&request.instance_id));
            if omitted {
                return Outcome::NeedsHistory(request);
            }
            if rewind::is_asked(&request.past_events, &request.new_events) {
                return Outcome::Answer(rewritten(request, token), None, None);
            }
        }
        let started_trace = started_trace(&request);
        let past: Vec<HistoryEvent> =
            std::mem::take(&mut request.past_events).into_iter().map(convert::history_event).collect();
        let base = match base_token {
            Some(token) => Some(Base::Token(token)),
            // Without the past events there is nothing to compare.
            None if omitted => None,
            None => Some(Base::Past(fingerprint(&past))),
        };
        let taken = self.warm.lock().take(&request.instance_id);
        let warm = taken.filter(|warm| {
            let is_moved = moved_to.as_ref().is_some_and(|version| *version != warm.session.program().version);
            !is_moved && base.as_ref().is_some_and(|base| warm.stands_at(&execution_id, base))
        });
        if warm.is_none() && omitted {
            return Outcome::NeedsHistory(request);
        }
        self.count(warm.is_some());

        let new: Vec<HistoryEvent> =
            std::mem::take(&mut request.new_events).into_iter().map(convert::history_event).collect();
        let answered = answered(&mut request, token);
        let instance_id = answered.instance_id.clone();
        let (mut warm, past) = match warm {
            Some(warm) => (warm, Vec::new()),
            None => match self.cold(&instance_id, execution_id, moved_to, &past, &new) {
                Ok(session) => (Warm { trace: started_trace, ..session }, past),
                Err(Cold::Park(park)) => return Outcome::Park(park, String::new()),
                Err(Cold::Mismatch(why, OnMismatch::Reject)) => return Outcome::Reject(why),
                Err(Cold::Mismatch(why, OnMismatch::Fail)) => {
                    return Outcome::Answer(convert::failed(answered, VERSION_MISMATCH, why), None, None);
                }
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
        if let Some(recorded) = recorded
            && recorded != turn.fuel.execution - turn.fuel.episode
        {
            tracing::warn!(
                instance = instance_id,
                component = label,
                recorded,
                replayed = turn.fuel.execution - turn.fuel.episode,
                "the past of an orchestration did not cost what was recorded for it: another engine or SDK version may count otherwise; \
                 else its code does not depend on its history alone"
            );
        }
        let fuel = Some(turn.fuel);
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
        let calls = trace::of_calls(warm.trace.as_ref(), answered.trace.as_ref());
        let current = warm.session.program().version.clone();
        let response = convert::response(answered, turn, calls, || {
            self.registry.current().next_version(&name, &current).map(str::to_owned)
        });
        if !ended {
            token.clone_into(&mut warm.answered);
            let evicted = self.warm.lock().keep(instance_id, warm);
            // Giving memory back takes a while; the lock is free by now.
            drop(evicted);
        }
        Outcome::Answer(response, fuel, logs)
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
        moved_to: Option<String>,
        past: &[HistoryEvent],
        new: &[HistoryEvent],
    ) -> Result<Warm<Orchestrator>, Cold> {
        let started = past.iter().chain(new).find_map(|event| match &event.kind {
            EventKind::ExecutionStarted(started) => Some(started),
            _ => None,
        });
        let Some(started) = started else {
            return Err(Cold::Park(Park::new(
                ParkReason::History,
                "the work item holds no executionStarted, neither in the past nor in the new events",
                "the scheduler sent a history that no execution can have: report it",
            )));
        };
        let version = moved_to.as_deref().or(started.version.as_deref());
        let component = self.component(&started.name, version)?;
        let Some(code) = component.orchestrator_code() else {
            return Err(Cold::Park(no_version(&started.name, version)));
        };
        let guest = Orchestrator::new(Arc::clone(code));
        let program = Arc::clone(component.program());
        let session = Session::new(guest, instance_id, program, code.limits().session()).moved_to(moved_to);
        Ok(Warm { session, execution_id, trace: None, answered: String::new(), applied: Fingerprint::default() })
    }

    fn component(&self, name: &str, version: Option<&str>) -> Result<Arc<LoadedComponent>, Cold> {
        match self.registry.current().orchestrator(name, version) {
            Route::To(component) => Ok(Arc::clone(component)),
            Route::Mismatch(newest, becomes) => Err(Cold::Mismatch(mismatch(name, version, newest), becomes)),
            Route::Nowhere => Err(Cold::Park(no_version(name, version))),
        }
    }
}

/// Why no session can begin.
enum Cold {
    Park(Park),
    /// No component here takes instances of this version.
    Mismatch(String, OnMismatch),
}

/// The type of the failure of instances that no version takes, as the SDKs name it.
const VERSION_MISMATCH: &str = "VersionMismatch";

fn mismatch(name: &str, version: Option<&str>, newest: &LoadedComponent) -> String {
    let of = match version {
        Some(version) => format!("version {version}"),
        None => "no version".to_owned(),
    };
    format!(
        "the instance of orchestrator `{name}` has {of}, which no component of this host takes; the newest that could is {} with the \
         strategy `{}`",
        newest.program().label(),
        newest.versioning().strategy
    )
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

/// What the answer repeats of the item.
fn answered(request: &mut wire::OrchestratorRequest, token: &str) -> Answered {
    Answered {
        instance_id: std::mem::take(&mut request.instance_id),
        completion_token: token.to_owned(),
        trace: request.orchestration_trace_context.take(),
    }
}

/// The answer to a scheduler that leaves it to workers to rewrite the histories of failed executions.
fn rewritten(mut request: wire::OrchestratorRequest, token: &str) -> wire::OrchestratorResponse {
    let answered = answered(&mut request, token);
    tracing::info!(instance = answered.instance_id, "an orchestration is rewound to before its failure");
    let execution_id = uuid::Uuid::new_v4().simple().to_string();
    convert::rewound(answered, rewind::rewritten(request.past_events, request.new_events, &execution_id))
}

/// The trace context with which the execution was started, if the item tells its beginning.
fn started_trace(request: &wire::OrchestratorRequest) -> Option<wire::TraceContext> {
    request.past_events.iter().chain(&request.new_events).find_map(|event| match &event.event_type {
        Some(EventType::ExecutionStarted(started)) => started.parent_trace_context.clone(),
        _ => None,
    })
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

/// What our scheduler states of the base of an item.
struct Properties {
    /// The token of the last committed turn.
    base_token: Option<String>,
    /// How many events are committed.
    position: Option<u64>,
    /// What the committed turns have cost.
    fuel: Option<u64>,
    /// The version that the instance was moved to.
    version: Option<String>,
}

fn properties(request: &wire::OrchestratorRequest) -> Properties {
    let text = |key: &str| match request.properties.get(key)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text.clone()),
        Kind::NumberValue(number) => Some(format!("{number:.0}")),
        _ => None,
    };
    let number = |key: &str| text(key)?.parse().ok();
    Properties {
        base_token: text(property::BASE_TOKEN),
        position: number(property::BASE_POSITION),
        fuel: number(property::BASE_FUEL),
        version: text(property::VERSION),
    }
}

#[cfg(test)]
mod tests;
