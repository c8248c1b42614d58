//! One orchestration instance kept warm.
//!
//! [`Session::apply`] is all there is: past events, whose actions the history has already recorded, and new events,
//! whose actions become the turn. A cold start is the same pass as a warm one with more past events.
//!
//! In what follows a *resolution* is the end of something that the guest waits for. Each resolution is delivered as if it came
//! alone: after it, buffered external events are routed and retries are decided. Resolutions share a call of the guest
//! only where that cannot be seen, that is, while no external event lies in the buffer and nothing has to be emitted
//! by the host itself.

mod commands;

use std::collections::HashSet;
use std::sync::Arc;

use super::action::{Completion, Decision, Status, Turn};
use super::divergence::Place;
use super::external::{ExternalEvents, Raised};
use super::guest::{Guest, GuestFault};
use super::history::{EventKind, ExecutionStarted, HistoryEvent, Recorded, RecordedKind, Time};
use super::ledger::Ledger;
use super::park::{Park, ParkReason};
use super::seed::Streams;
use crate::abi::orchestrator::{Context, Parent};
use crate::abi::{Failure, OpId, Outcome, Resolution};

/// What a session must know of the component that it runs.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The component's name.
    pub component: String,
    /// The component's version.
    pub version: String,
    /// The activities that the component exports: called without a version, they get the component's.
    pub activities: HashSet<String>,
}

impl Program {
    /// Name and version, for people.
    pub fn label(&self) -> String {
        format!("{} {}", self.component, self.version)
    }
}

/// What an orchestrator may not exceed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one payload: input, output, event, custom status.
    pub payload: usize,
    /// Commands that one call of the guest may answer with.
    pub commands: usize,
    /// Resolutions handed over in one call. Has no influence on what happens.
    pub batch: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { payload: 1 << 20, commands: 100_000, batch: 512 }
    }
}

/// One orchestration instance kept warm.
#[derive(Debug)]
pub struct Session<G> {
    guest: G,
    instance_id: String,
    name: String,
    program: Arc<Program>,
    limits: Limits,
    ledger: Ledger,
    external: ExternalEvents,
    /// The time of the current episode.
    now: Time,
    first_episode: Option<Time>,
    streams: Option<Streams>,
    /// The version that the instance was given.
    version: Option<String>,
    /// Resolutions that have not been handed to the guest yet.
    batch: Vec<Resolution>,
    /// Events that wait for the end of a suspension.
    held: Option<Vec<HistoryEvent>>,
    custom_status: Option<String>,
    /// How the guest ended the execution.
    ended: Option<Ended>,
    position: u64,
    replaying: bool,
    /// Whether the history was rewound, so that recorded actions may be missing from it.
    rewound: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ended {
    keep_events: bool,
}

/// Why a pass over events stops before its end.
enum Stop {
    /// The user's code failed: the instance fails.
    Fail(Box<Failure>),
    Park(Park),
}

impl From<Park> for Stop {
    fn from(park: Park) -> Self {
        Self::Park(park)
    }
}

impl<G: Guest> Session<G> {
    /// A session at the very beginning of an execution.
    pub fn new(guest: G, instance_id: impl Into<String>, program: Arc<Program>, limits: Limits) -> Self {
        Self {
            guest,
            instance_id: instance_id.into(),
            name: String::new(),
            program,
            limits,
            ledger: Ledger::default(),
            external: ExternalEvents::default(),
            now: Time::default(),
            first_episode: None,
            streams: None,
            version: None,
            batch: Vec::new(),
            held: None,
            custom_status: None,
            ended: None,
            position: 0,
            replaying: false,
            rewound: false,
        }
    }

    /// Applies events that are committed and then events that are new, and says what the new ones led to.
    ///
    /// After an error the session must be dropped.
    pub fn apply(
        &mut self,
        past: impl IntoIterator<Item = HistoryEvent>,
        new: impl IntoIterator<Item = HistoryEvent>,
    ) -> Result<Turn, Park> {
        let result = self.replay(past).and_then(|()| self.live(new));
        match result {
            Ok(()) => {}
            Err(Stop::Park(park)) => return Err(park),
            Err(Stop::Fail(failure)) => {
                self.batch.clear();
                self.complete(Completion { failures: vec![*failure], ..Completion::new(Status::Failed, None) });
            }
        }
        Ok(self.turn())
    }

    /// Says that the history was rewound, before its events are applied: recorded actions may be missing from it.
    pub fn allow_holes(&mut self) {
        self.rewound = true;
    }

    /// How many actions were emitted since the execution began.
    pub fn emitted(&self) -> i32 {
        self.ledger.emitted()
    }

    /// How many events were applied since the execution began.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How many ops wait for the result of an action.
    pub fn open_ops(&self) -> usize {
        self.ledger.open()
    }

    /// What the session knows of its component.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The orchestrator's name; empty before the execution starts.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The guest behind the session.
    pub fn guest(&self) -> &G {
        &self.guest
    }

    fn replay(&mut self, past: impl IntoIterator<Item = HistoryEvent>) -> Result<(), Stop> {
        let mut past = past.into_iter().peekable();
        if past.peek().is_none() {
            return Ok(());
        }
        self.replaying = true;
        for event in past {
            self.event(event)?;
        }
        self.flush()?;
        self.check_all_recorded()?;
        self.replaying = false;
        // What the guest logged in the past was emitted then.
        self.guest.take_logs();
        Ok(())
    }

    fn live(&mut self, new: impl IntoIterator<Item = HistoryEvent>) -> Result<(), Stop> {
        for event in new {
            self.event(event)?;
        }
        self.flush()
    }

    fn turn(&mut self) -> Turn {
        let mut actions = self.ledger.take_unconfirmed();
        if let Some(Ended { keep_events: true }) = self.ended
            && let Some(Decision::Complete(completion)) = actions.last_mut().map(|action| &mut action.decision)
        {
            completion.carryover =
                self.external.take_buffered().into_iter().map(|event| (event.name, event.input)).collect();
        }
        Turn {
            actions,
            custom_status: self.custom_status.clone(),
            ended: self.ended.is_some(),
            logs: self.guest.take_logs(),
        }
    }

    fn event(&mut self, event: HistoryEvent) -> Result<(), Stop> {
        let position = self.position;
        self.position += 1;
        match event.kind {
            EventKind::EpisodeStarted => {
                self.flush()?;
                if self.replaying {
                    self.check_all_recorded()?;
                }
                self.now = self.now.max(event.time);
                self.first_episode.get_or_insert(event.time);
            }
            EventKind::ExecutionStarted(started) => self.start(*started)?,
            EventKind::Recorded(recorded) => {
                self.flush()?;
                self.confirm(position, event.id, &recorded)?;
            }
            EventKind::Resolved { .. } | EventKind::EventRaised { .. } => match &mut self.held {
                Some(held) if self.ended.is_none() => held.push(event),
                _ => self.deliver(event)?,
            },
            EventKind::Suspended => {
                self.held.get_or_insert_default();
            }
            EventKind::Resumed => {
                for event in self.held.take().unwrap_or_default() {
                    self.deliver(event)?;
                }
            }
            EventKind::Terminated { output } => {
                self.flush()?;
                if self.ended.is_none() {
                    self.complete(Completion::new(Status::Terminated, output));
                }
            }
            EventKind::Completed => {
                self.flush()?;
                self.ledger.confirm_end();
            }
            EventKind::Rewound => self.rewound = true,
            EventKind::Skipped => {}
        }
        Ok(())
    }

    fn start(&mut self, started: ExecutionStarted) -> Result<(), Stop> {
        let broken = |message: &str| {
            Park::new(
                ParkReason::History,
                message,
                "the scheduler sent a history that no execution can have: report it",
            )
        };
        let Some(first_episode) = self.first_episode else {
            return Err(broken("the history does not begin with orchestratorStarted").into());
        };
        if self.streams.is_some() {
            return Err(broken("the history holds executionStarted twice").into());
        }
        let streams = Streams::new(&self.instance_id, first_episode);
        self.name.clone_from(&started.name);
        let context = Context {
            name: started.name,
            instance_id: self.instance_id.clone(),
            version: started.version.clone(),
            input: started.input,
            now: self.now.into(),
            seed: streams.sdk(),
            parent: started.parent.map(|parent| Parent {
                instance_id: parent.instance_id,
                name: parent.name,
                version: parent.version,
            }),
            tags: started.tags,
        };
        self.version = started.version;
        let commands = self.guest.start(&streams, self.now, context).map_err(|fault| self.fault(fault))?;
        self.streams = Some(streams);
        self.commands(commands)?;
        self.route_buffered()
    }

    /// Something arrived that the guest may wait for.
    fn deliver(&mut self, event: HistoryEvent) -> Result<(), Stop> {
        match event.kind {
            EventKind::Resolved { of, action, outcome } => self.resolved(of, action, outcome),
            EventKind::EventRaised { name, input } => {
                self.flush()?;
                let raised = Raised { name, input };
                if self.ended.is_some() {
                    self.external.keep(raised);
                } else if let Some((op, event)) = self.external.raise(raised) {
                    self.hand_event(op, event)?;
                    self.route_buffered()?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn resolved(&mut self, of: RecordedKind, action: i32, outcome: Outcome) -> Result<(), Stop> {
        // A result that comes twice, or for what was cancelled, or for what nobody called.
        let Some(awaited) = self.ledger.awaited(action, of) else { return Ok(()) };
        let op = awaited.op;
        let may_retry = outcome.is_err() && self.ledger.retry(op).is_some();
        if awaited.between_attempts || may_retry {
            // The host is about to decide and to emit: what came before must have had its effect.
            self.flush()?;
            if self.ended.is_some() || self.ledger.awaited(action, of).is_none() {
                return Ok(());
            }
        }
        if awaited.between_attempts {
            self.try_again(op);
            return Ok(());
        }
        if let Err(failures) = &outcome
            && let Some(delay) = self.ledger.retry(op).and_then(|retry| retry.next_delay(failures, self.now))
        {
            self.ledger.emit_again(op, Decision::Timer { fire_at: self.now.plus_millis(delay) }, true);
            return Ok(());
        }
        self.ledger.close(op);
        self.batch.push(Resolution { op, now: self.now.into(), outcome });
        if self.external.has_buffered() || self.batch.len() >= self.limits.batch {
            self.flush()?;
        }
        Ok(())
    }

    fn try_again(&mut self, op: OpId) {
        let action = self.ledger.next_action();
        let Some(retry) = self.ledger.retry(op) else { return };
        retry.attempted();
        let mut call = retry.call.clone();
        if retry.derived_id
            && let Decision::Child { instance_id, .. } = &mut call
            && let Some(streams) = &self.streams
        {
            *instance_id = streams.child_id(&self.instance_id, action);
        }
        self.ledger.emit_again(op, call, false);
    }

    /// Hands over what has gathered, and then buffered events that found a waiter.
    fn flush(&mut self) -> Result<(), Stop> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.resume(&batch)?;
        // The next batch uses the same memory.
        self.batch = batch;
        self.batch.clear();
        self.route_buffered()
    }

    fn route_buffered(&mut self) -> Result<(), Stop> {
        while self.ended.is_none()
            && let Some((op, event)) = self.external.next_match()
        {
            self.hand_event(op, event)?;
        }
        Ok(())
    }

    fn hand_event(&mut self, op: OpId, event: Raised) -> Result<(), Stop> {
        self.resume(&[Resolution { op, now: self.now.into(), outcome: Ok(event.input) }])
    }

    fn resume(&mut self, resolutions: &[Resolution]) -> Result<(), Stop> {
        if self.ended.is_some() {
            return Ok(());
        }
        let commands = self.guest.resume(self.now, resolutions).map_err(|fault| self.fault(fault))?;
        self.commands(commands)
    }

    fn confirm(&mut self, position: u64, id: i32, recorded: &Recorded) -> Result<(), Stop> {
        if recorded.kind == RecordedKind::EntityMessage {
            return Err(commands::no_entities().into());
        }
        self.ledger.confirm(id, recorded, self.rewound).map_err(|mismatch| {
            let component = self.program.label();
            Stop::Park(Place { position, episode: self.now, component: &component }.recorded(id, recorded, &mismatch))
        })
    }

    fn check_all_recorded(&self) -> Result<(), Park> {
        match self.ledger.first_unconfirmed() {
            Some(action) if !self.rewound => {
                let component = self.program.label();
                let position = self.position.saturating_sub(1);
                Err(Place { position, episode: self.now, component: &component }.unrecorded(action))
            }
            _ => Ok(()),
        }
    }

    fn fault(&self, fault: GuestFault) -> Stop {
        match fault {
            GuestFault::Trap(failure) if self.replaying => Stop::Park(Park::new(
                ParkReason::ReplayTrap,
                format!(
                    "component {} failed while it replayed what it had done before: {}: {}",
                    self.program.label(),
                    failure.error_type,
                    failure.message
                ),
                "deploy the version of the component that the instance began with, or a corrected one",
            )),
            GuestFault::Trap(failure) => Stop::Fail(Box::new(failure)),
            GuestFault::Limit(limit, message) => Stop::Park(Park::new(
                if limit == "stack" { ParkReason::Stack } else { ParkReason::Memory },
                message,
                format!("let the orchestrator hold less at a time, or raise the host's {limit} limit"),
            )),
            GuestFault::Deadline(message) => Stop::Park(Park::new(
                ParkReason::Deadline,
                message,
                "look for an endless loop in the orchestrator; move long computations into an activity",
            )),
            GuestFault::Contract(message) => Stop::Park(Park::contract(message)),
        }
    }
}
