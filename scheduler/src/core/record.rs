//! What is known of an instance beside its history: one row of the store.

use std::collections::BTreeMap;

use durawasm_proto::durabletask as pb;

use super::entity::CriticalSection;
use super::ids::{ExecutionId, Incarnation, InstanceId, InstanceKey, Position, RunId};
use super::time::Timestamp;

/// The runtime status of an orchestration instance, numbered as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Its code has begun.
    Running,
    /// Ended with an output.
    Completed,
    /// Ended with a failure.
    Failed,
    /// Ended by a cancellation (other SDKs only).
    Canceled,
    /// Ended from outside.
    Terminated,
    /// Accepted; its code has not begun.
    Pending,
    /// Held until it is resumed.
    Suspended,
}

impl Status {
    /// Whether the instance has ended.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled | Self::Terminated)
    }

    /// The number on the wire.
    #[must_use]
    pub const fn to_wire(self) -> pb::OrchestrationStatus {
        match self {
            Self::Running => pb::OrchestrationStatus::Running,
            Self::Completed => pb::OrchestrationStatus::Completed,
            Self::Failed => pb::OrchestrationStatus::Failed,
            Self::Canceled => pb::OrchestrationStatus::Canceled,
            Self::Terminated => pb::OrchestrationStatus::Terminated,
            Self::Pending => pb::OrchestrationStatus::Pending,
            Self::Suspended => pb::OrchestrationStatus::Suspended,
        }
    }

    /// In a word, for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Terminated => "terminated",
            Self::Pending => "pending",
            Self::Suspended => "suspended",
        }
    }

    /// From the wire. Continued-as-new is an event, never the status of an instance at rest: None.
    #[must_use]
    pub const fn from_wire(status: pb::OrchestrationStatus) -> Option<Self> {
        Some(match status {
            pb::OrchestrationStatus::Running => Self::Running,
            pb::OrchestrationStatus::Completed => Self::Completed,
            pb::OrchestrationStatus::Failed => Self::Failed,
            pb::OrchestrationStatus::Canceled => Self::Canceled,
            pb::OrchestrationStatus::Terminated => Self::Terminated,
            pb::OrchestrationStatus::Pending => Self::Pending,
            pb::OrchestrationStatus::Suspended => Self::Suspended,
            pb::OrchestrationStatus::ContinuedAsNew => return None,
        })
    }
}

/// The orchestration that started an instance, and where it waits for the result.
#[derive(Clone, Debug, PartialEq)]
pub struct ParentLink {
    /// The parent.
    pub instance: InstanceId,
    /// The parent's execution: a later one does not get the result.
    pub run: RunId,
    /// Where in the parent's history the child was created.
    pub position: Position,
    /// What the child is told of it, and what its `executionStarted` holds.
    pub info: pb::ParentInstanceInfo,
}

impl ParentLink {
    /// What a child is told of its parent that was created at this position by this action.
    #[must_use]
    pub fn new(parent: &InstanceRecord, position: Position, action_id: i32) -> Self {
        Self {
            instance: parent.id.clone(),
            run: parent.run,
            position,
            info: pb::ParentInstanceInfo {
                task_scheduled_id: action_id,
                name: Some(parent.name.clone()),
                version: parent.version.clone(),
                orchestration_instance: Some(pb::OrchestrationInstance {
                    instance_id: parent.id.as_str().into(),
                    execution_id: Some(parent.execution.as_str().into()),
                }),
            },
        }
    }
}

/// Names a turn (one delivery of an orchestrator work item): what a worker's warm state is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnId {
    /// The store's incarnation when it was sent.
    pub incarnation: Incarnation,
    /// Counts deliveries within the incarnation.
    pub attempt: u64,
}

/// Why an instance waits although a worker was there: see `Park` in `durawasm.v1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Parked {
    /// A stable word.
    pub reason: String,
    /// What happened.
    pub message: String,
    /// Name and version of the component.
    pub component: String,
    /// What to do.
    pub advice: String,
    /// Since when.
    pub since: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
}

/// What the computing of an instance has cost, as its workers counted it: see `Fuel` in `durawasm.v1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FuelUse {
    /// The last committed turn.
    pub turn: u64,
    /// The current execution up to and with that turn. None before its first turn, and while nobody has counted it.
    pub execution: Option<u64>,
    /// All earlier executions together.
    pub earlier: u64,
}

impl FuelUse {
    /// All executions together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.earlier.saturating_add(self.execution.unwrap_or(0))
    }
}

/// One instance as the store keeps it. Input, output and failure are not here: they are in the history (or the
/// inbox), and are read from there when somebody asks.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceRecord {
    /// Its number in the store.
    pub key: InstanceKey,
    /// Its id.
    pub id: InstanceId,
    /// The current execution's number in the store.
    pub run: RunId,
    /// The current execution's id on the wire.
    pub execution: ExecutionId,
    /// The orchestrator's name.
    pub name: String,
    /// The orchestrator's version, if the instance has one.
    pub version: Option<String>,
    /// Where it stands.
    pub status: Status,
    /// When it was accepted. Continue-as-new does not change it.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// Not before this time, if the client said so.
    pub scheduled_start: Option<Timestamp>,
    /// What the orchestrator last set.
    pub custom_status: Option<String>,
    /// Whether an earlier generation set the custom status: it stays until this one sets another.
    pub inherited_status: bool,
    /// Who waits for its end.
    pub parent: Option<ParentLink>,
    /// The client's or the parent's tags.
    pub tags: BTreeMap<String, String>,
    /// The trace context of the worker, given back with each work item of the execution.
    pub trace: Option<pb::OrchestrationTraceContext>,
    /// The trace context of whoever started it, with which each generation begins. Rare, so boxed.
    pub caller_trace: Option<Box<pb::TraceContext>>,
    /// Events in the history of the current execution.
    pub history_len: Position,
    /// Their encoded size.
    pub history_bytes: u64,
    /// The last committed `orchestratorStarted`: the next one is later.
    pub last_episode_at: Timestamp,
    /// The last committed turn of the current execution.
    pub base: Option<TurnId>,
    /// The sequence of the next event of the inbox.
    pub inbox_next: u64,
    /// Events in the inbox. (Once it has ended: answers of activities, until all of them have come.)
    pub inbox_len: u64,
    /// Activities called and not answered.
    pub open_activities: u32,
    /// Children started and not ended.
    pub open_children: u32,
    /// Set while it is parked.
    pub parked: Option<Parked>,
    /// What it has cost, if its workers count that.
    pub fuel: Option<FuelUse>,
    /// The entities that it has locked, or wants to lock.
    pub section: Option<Box<CriticalSection>>,
}

impl InstanceRecord {
    /// Takes over what a worker has counted for a turn, and for the execution up to it.
    pub fn count_fuel(&mut self, counted: Option<(u64, u64)>) {
        match (counted, &mut self.fuel) {
            (Some((turn, execution)), fuel) => {
                let fuel = fuel.get_or_insert_default();
                (fuel.turn, fuel.execution) = (turn, Some(execution));
            }
            // Nobody has counted: what is known is not the whole execution any more.
            (None, Some(fuel)) => {
                fuel.earlier = fuel.total();
                fuel.execution = None;
            }
            (None, None) => {}
        }
    }

    /// Takes over the custom status of a worker's answer. Workers compute it anew in each replay, so that none clears it; but none of them
    /// knows what an earlier generation has set.
    pub fn answer_custom_status(&mut self, status: Option<String>) {
        if status.is_some() || !self.inherited_status {
            self.custom_status = status;
            self.inherited_status = false;
        }
    }

    /// Whether recovery must look at it: there is work to hand out. (Timers bring their instances back by
    /// themselves, and so do events from outside.) Activities that nobody waits for outlive their instance.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.open_activities > 0 || (!self.status.is_terminal() && self.inbox_len > 0)
    }
}

/// An event of a history, with the place that it answers: how the store keeps it. Matching by position is exact where
/// action ids, which some SDKs use again, are not.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// The event as the protocol has it.
    pub event: pb::HistoryEvent,
    /// For results: where in the same history the activity was called, the timer set, or the child created.
    pub answers: Option<Position>,
}

/// An event that has arrived and is not in the history yet.
#[derive(Clone, Debug, PartialEq)]
pub struct InboxEntry {
    /// Its place in the order of arrival.
    pub seq: u64,
    /// The event.
    pub stored: StoredEvent,
}

/// A durable timer of an execution, the delayed start of an instance, or the time of an operation that an entity is to run later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerRecord {
    /// The execution that it belongs to; for an entity see [`EntityRecord::timers`](super::entity::EntityRecord::timers).
    pub run: RunId,
    /// Where in the history it was created; [`TimerRecord::START`] for a delayed start; the sequence of an entity's operation.
    pub position: Position,
    /// When it is due.
    pub due: Timestamp,
    /// The action id of its creation.
    pub timer_id: i32,
    /// The instance.
    pub instance: InstanceId,
}

impl TimerRecord {
    /// The position that stands for a delayed start.
    pub const START: Position = i64::MAX as u64;
}

/// What a store holds of an instance that the core must work on.
#[derive(Clone, Debug)]
pub struct LoadedInstance {
    /// Its row.
    pub record: InstanceRecord,
    /// Its inbox, in order.
    pub inbox: Vec<InboxEntry>,
    /// The history of its current execution if activities or children are open, to find out which; else empty.
    pub history: Vec<StoredEvent>,
}
