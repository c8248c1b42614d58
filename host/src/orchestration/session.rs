//! One orchestration instance kept warm.
//!
//! [`Session::apply`] is all there is: past events, whose actions the history has already recorded, and new events,
//! whose actions become the turn. A cold start is the same pass as a warm one with more past events.
//!
//! In what follows a *resolution* is the end of something that the guest waits for. Each resolution is delivered as if it came
//! alone: after it, buffered external events are routed and retries are decided. Resolutions share a call of the guest
//! only where that cannot be seen, that is, while no external event lies in the buffer and nothing has to be emitted
//! by the host itself.

mod checks;
mod commands;
mod delivery;
mod entities;

use std::collections::HashSet;
use std::sync::Arc;

use durawasm_proto::tag;

use super::action::{Action, Completion, Decision, Fuel, Status, Turn};
use super::external::ExternalEvents;
use super::guest::{Guest, GuestFault, Question};
use super::history::{EventKind, ExecutionStarted, HistoryEvent, Time};
use super::ledger::Ledger;
use super::park::{Park, ParkReason};
use super::seed::Streams;
use crate::abi::orchestrator::{Context, Parent};
use crate::abi::{Failure, Outcome, Resolution};
use checks::Matching;
use entities::Entities;

/// What a session must know of the component that it runs.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The component's name.
    pub component: String,
    /// The component's version.
    pub version: String,
    /// The activities that the component exports: called without a version, they get the component's.
    pub activities: HashSet<String>,
    /// The version of children that are called without one; none: the scheduler decides.
    pub default_version: Option<String>,
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
    /// Calls, timers, children and events that may be waited for at the same time.
    pub pending: usize,
    /// Fuel of one episode; none: as much as it wants. What the history already holds is counted and never limited.
    pub fuel: Option<u64>,
    /// Resolutions handed over in one call. A guest that keeps the contract does the same whatever this is; but a guest can see how
    /// long its list is, so that a host never uses anything but the default, which is frozen. Tests do.
    /// It also decides how fuel is counted: see `docs/limits.md`.
    pub batch: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { payload: 16 << 20, commands: 100_000, pending: 100_000, fuel: Some(FUEL), batch: 1 }
    }
}

/// What a host decides where the code, its caller and the scheduler leave it open. A history holds what was decided, so that a host with
/// other defaults replays it. Ours are the default; tests have others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// How many milliseconds longer than its policy says each wait between two attempts is.
    pub retry_jitter: u64,
    /// The version of children that are started without one. None: it is left to the scheduler.
    pub child_version: Option<String>,
}

/// About one to eight seconds of computing: a million times what a small honest episode takes.
pub(crate) const FUEL: u64 = 10_000_000_000;

/// Tags that begin like this are durawasm's own, and no guest sees them.
const OWN_TAGS: &str = "durawasm.";

/// One orchestration instance kept warm.
#[derive(Debug)]
pub struct Session<G> {
    guest: G,
    instance_id: String,
    name: String,
    program: Arc<Program>,
    limits: Limits,
    defaults: Defaults,
    ledger: Ledger,
    external: ExternalEvents,
    entities: Entities,
    /// The time of the current episode.
    now: Time,
    first_episode: Option<Time>,
    streams: Option<Streams>,
    /// The version that the instance was given.
    version: Option<String>,
    /// The version that it was moved to since. What its code is told stays what it was.
    moved_to: Option<String>,
    /// Resolutions that have not been handed to the guest yet.
    batch: Vec<Resolution>,
    /// Events that wait for the end of a suspension.
    held: Option<Vec<HistoryEvent>>,
    custom_status: Option<String>,
    /// How the guest ended the execution.
    ended: Option<Ended>,
    position: u64,
    replaying: bool,
    matching: Matching,
    /// How the guest's code failed, after which the guest cannot be called any more.
    failure: Option<Failure>,
    /// What the guest had used when the current episode began.
    fuel_before: u64,
    /// What each episode used, if somebody wants to know.
    fuel_of_episodes: Option<Vec<u64>>,
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
            defaults: Defaults::default(),
            ledger: Ledger::default(),
            external: ExternalEvents::default(),
            entities: Entities::default(),
            now: Time::default(),
            first_episode: None,
            streams: None,
            version: None,
            moved_to: None,
            batch: Vec::new(),
            held: None,
            custom_status: None,
            ended: None,
            position: 0,
            replaying: false,
            matching: Matching::Strict,
            failure: None,
            fuel_before: 0,
            fuel_of_episodes: None,
        }
    }

    /// The same session with other defaults.
    #[must_use]
    pub fn with_defaults(self, defaults: Defaults) -> Self {
        Self { defaults, ..self }
    }

    /// The same for an instance that was moved to another version in the middle of its execution, if it was.
    #[must_use]
    pub fn moved_to(self, version: Option<String>) -> Self {
        Self { moved_to: version, ..self }
    }

    /// Remembers from now on what each episode costs: see [`Session::fuel_of_episodes`].
    pub fn record_fuel(&mut self) {
        self.fuel_of_episodes.get_or_insert_default();
    }

    /// What each episode cost, in the order of the history, if that was asked for before.
    pub fn fuel_of_episodes(&self) -> Vec<u64> {
        let ended = self.fuel_of_episodes.as_deref().unwrap_or_default();
        let latest = self.first_episode.filter(|_| self.fuel_of_episodes.is_some()).map(|_| self.fuel().episode);
        ended.iter().copied().chain(latest).collect()
    }

    /// What the latest episode and the whole execution have cost until now.
    pub fn fuel(&self) -> Fuel {
        let execution = self.guest.fuel();
        Fuel { episode: execution - self.fuel_before, execution }
    }

    /// Applies events that are committed and then events that are new, and says what the new ones led to.
    ///
    /// After an error the session must be dropped.
    pub fn apply(
        &mut self,
        past: impl IntoIterator<Item = HistoryEvent>,
        new: impl IntoIterator<Item = HistoryEvent>,
    ) -> Result<Turn, Park> {
        let (past, new): (Vec<_>, Vec<_>) = (past.into_iter().collect(), new.into_iter().collect());
        self.look_for_rewind(past.iter().chain(&new));
        let result = self.replay(past).and_then(|()| self.live(new));
        match result {
            Ok(()) => {}
            Err(Stop::Park(park)) => return Err(park),
            Err(Stop::Fail(failure)) => {
                self.batch.clear();
                self.failure = Some((*failure).clone());
                self.complete(Completion { failures: vec![*failure], ..Completion::new(Status::Failed, None) });
            }
        }
        Ok(self.turn())
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
        self.ledger.open() - self.entities.unwanted()
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

    /// How the guest's code failed, if it panicked or trapped: it cannot be asked any more.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Asks the guest what it makes of all that was applied. The session is of no more use then.
    pub fn ask(mut self, question: &Question) -> Result<Option<Outcome>, GuestFault> {
        self.guest.answer(self.now, question)
    }

    fn replay(&mut self, past: Vec<HistoryEvent>) -> Result<(), Stop> {
        if past.is_empty() {
            return Ok(());
        }
        self.replaying = true;
        self.guest.refuel(None);
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

    fn live(&mut self, new: Vec<HistoryEvent>) -> Result<(), Stop> {
        self.guest.refuel(self.limits.fuel);
        for event in new {
            self.event(event)?;
        }
        self.flush()
    }

    fn turn(&mut self) -> Turn {
        let mut actions = self.ledger.take_unconfirmed();
        if let Some(streams) = &self.streams {
            for action in &mut actions {
                // The guest chose no id.
                if let Decision::Child { instance_id, .. } = &mut action.decision
                    && instance_id.is_empty()
                {
                    *instance_id = streams.child_id(&self.instance_id, action.id);
                }
            }
            self.entities.name_requests(&mut actions, streams, &self.instance_id);
        }
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
            fuel: self.fuel(),
        }
    }

    fn event(&mut self, event: HistoryEvent) -> Result<(), Stop> {
        let position = self.position;
        self.position += 1;
        match event.kind {
            EventKind::EpisodeStarted => {
                self.flush()?;
                self.episode_begins(position)?;
                self.fuel_begins();
                self.now = self.now.max(event.time);
                self.first_episode.get_or_insert(event.time);
            }
            EventKind::ExecutionStarted(started) => self.start(*started)?,
            EventKind::Recorded(recorded) => {
                self.flush()?;
                self.confirm(position, event.id, &recorded)?;
            }
            EventKind::Resolved { .. } | EventKind::Answered { .. } | EventKind::EventRaised { .. } => {
                match &mut self.held {
                    Some(held) if self.ended.is_none() => held.push(event),
                    _ => self.deliver(event)?,
                }
            }
            EventKind::Suspended => {
                // What came before may have ended the execution: then nothing is held.
                self.flush()?;
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
            EventKind::Rewound | EventKind::Skipped => {}
        }
        Ok(())
    }

    /// An episode begins: what it uses is counted, and limited if it is a new one.
    fn fuel_begins(&mut self) {
        let used = self.guest.fuel();
        if self.first_episode.is_some()
            && let Some(episodes) = &mut self.fuel_of_episodes
        {
            episodes.push(used - self.fuel_before);
        }
        self.fuel_before = used;
        self.guest.refuel(self.limits.fuel.filter(|_| !self.replaying));
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
        // A fork goes on with the random numbers of the instance whose history it began with.
        let seed_of = started.tags.iter().find(|(name, _)| name == tag::SEED_OF).map(|(_, id)| id.as_str());
        let streams = Streams::new(seed_of.unwrap_or(&self.instance_id), first_episode);
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
            tags: started.tags.into_iter().filter(|(name, _)| !name.starts_with(OWN_TAGS)).collect(),
        };
        self.version = started.version;
        let commands = self.guest.start(&streams, self.now, context).map_err(|fault| self.fault(fault))?;
        self.streams = Some(streams);
        self.commands(commands)?;
        self.route_buffered()
    }
}
