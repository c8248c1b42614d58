//! What an episode decides: actions for the scheduler.

use super::entity::EntityMessage;
use super::guest::LogLine;
use super::history::{RecordedKind, Time};
use crate::abi::{Failures, NextVersion, Tag};

/// All that one episode decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    /// New actions, in the order of the guest's commands.
    pub actions: Vec<Action>,
    /// The custom status, which every answer repeats.
    pub custom_status: Option<String>,
    /// Whether the execution has ended: the session is of no more use.
    pub ended: bool,
    /// What the guest logged in this episode.
    pub logs: Vec<LogLine>,
    /// What the episode cost.
    pub fuel: Fuel,
}

/// What an orchestrator's computing has cost, in units of fuel: about one for each WebAssembly instruction. It depends on the history and
/// on the component alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fuel {
    /// The latest episode.
    pub episode: u64,
    /// The execution from its beginning to the end of that episode, the making of the component instance included.
    pub execution: u64,
}

/// A decision and its id.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Dense, from 1, in the order of emission.
    pub id: i32,
    /// What was decided.
    pub decision: Decision,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Call an activity.
    Activity {
        /// Its name.
        name: String,
        /// Its version.
        version: Option<String>,
        /// Its input.
        input: Option<String>,
        /// Tags for the call.
        tags: Vec<Tag>,
    },
    /// Start a child.
    Child {
        /// Its instance id; empty until the turn ends if the guest chose none.
        instance_id: String,
        /// Its orchestrator's name.
        name: String,
        /// Its version; none for the default.
        version: Option<String>,
        /// Its input.
        input: Option<String>,
        /// Tags for the child.
        tags: Vec<Tag>,
    },
    /// Set a timer.
    Timer {
        /// When it is due.
        fire_at: Time,
    },
    /// Send an event to another instance.
    SendEvent {
        /// The target.
        instance_id: String,
        /// The event's name.
        name: String,
        /// Its payload.
        payload: Option<String>,
    },
    /// A message to an entity.
    Entity(EntityMessage),
    /// End the execution.
    Complete(Box<Completion>),
}

impl Decision {
    /// The kind of event that this leaves in the history; none for a completion.
    pub fn kind(&self) -> Option<RecordedKind> {
        match self {
            Self::Activity { .. } => Some(RecordedKind::Activity),
            Self::Child { .. } => Some(RecordedKind::Child),
            Self::Timer { .. } => Some(RecordedKind::Timer),
            Self::SendEvent { .. } => Some(RecordedKind::SentEvent),
            Self::Entity(message) => Some(message.kind()),
            Self::Complete(_) => None,
        }
    }

    /// The name that matching compares; empty for what has none.
    pub fn name(&self) -> &str {
        match self {
            Self::Activity { name, .. } | Self::Child { name, .. } | Self::SendEvent { name, .. } => name,
            Self::Entity(message) => &message.name,
            Self::Timer { .. } | Self::Complete(_) => "",
        }
    }

    /// For people.
    pub fn describe(&self) -> String {
        match self.kind() {
            Some(kind) => kind.describe(self.name()),
            None => "the end of the orchestration".to_owned(),
        }
    }
}

/// How an execution ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The status.
    pub status: Status,
    /// The output, or the input of the next generation.
    pub result: Option<String>,
    /// Why it failed; empty unless it did.
    pub failures: Failures,
    /// The version of the next generation, for `ContinuedAsNew`.
    pub next_version: Option<NextVersion>,
    /// External events that nobody waited for, which go over to the next generation: names and payloads.
    pub carryover: Vec<(String, Option<String>)>,
}

impl Completion {
    /// An end with this status and result, and nothing else.
    pub fn new(status: Status, result: Option<String>) -> Self {
        Self { status, result, failures: Vec::new(), next_version: None, carryover: Vec::new() }
    }
}

/// The statuses with which an execution ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It returned.
    Completed,
    /// It returned an error, or its code panicked.
    Failed,
    /// It was terminated.
    Terminated,
    /// It goes on as a new execution.
    ContinuedAsNew,
}
