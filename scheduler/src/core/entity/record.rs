//! What the store keeps of an entity.

use std::sync::Arc;

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

use super::super::ids::{InstanceId, InstanceKey, Position, RunId};
use super::super::time::Timestamp;

/// One entity as the store keeps it. Its state and its queue are rows of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityRecord {
    /// Its number in the store, from the same numbers as those of instances and executions.
    pub key: InstanceKey,
    /// Its id.
    pub id: InstanceId,
    /// When its first message came.
    pub created_at: Timestamp,
    /// When a batch was last committed, or its state was purged; before that, when it was created.
    pub modified_at: Timestamp,
    /// Whether there is a state.
    pub has_state: bool,
    /// The sequence of the next entry of the queue.
    pub queue_next: u64,
    /// Operations in the queue, those that a worker has included.
    pub queued_operations: u64,
    /// Requests for its lock in the queue.
    pub queued_requests: u64,
    /// Operations whose time has not come, and answers to calls from outside that nobody has acknowledged.
    pub held_operations: u64,
    /// Who has locked it.
    pub lock: Option<Box<EntityLock>>,
}

impl EntityRecord {
    /// Whether recovery must look at it: there is something in its queue. (The time of held operations brings it back by itself.)
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.queued_operations + self.queued_requests > 0
    }

    /// Whether clients see it: it has a state, or is locked, or something is in its queue.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        self.has_state || self.is_active() || self.lock.is_some()
    }

    /// Whether nothing is left of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.is_shown() && self.held_operations == 0
    }

    /// Its execution's id on the wire: an entity has one execution for as long as it is stored.
    #[must_use]
    pub fn execution(&self) -> String {
        format!("{:032x}", self.key.0)
    }

    /// The number under which its timers are kept. No execution has the same.
    #[must_use]
    pub const fn timers(&self) -> RunId {
        RunId(self.key.0)
    }
}

/// The lock of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityLock {
    /// The orchestration that holds it.
    pub holder: InstanceId,
    /// Its execution.
    pub run: RunId,
    /// Its critical section.
    pub section: String,
}

/// Where something was called: an execution and the position in its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallSite {
    /// The execution.
    pub run: RunId,
    /// Where in its history.
    pub position: Position,
}

/// An operation, or a request for the lock, that waits for an entity.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueEntry {
    /// Its place in the order of arrival. From [`QueueEntry::HELD`] on: its time has not come, and it is not in the queue yet.
    pub seq: u64,
    /// `entityOperationSignaled`, `entityOperationCalled` or `entityLockRequested`, as workers see it. Or what is held for a client:
    /// `entityOperationCompleted` or `entityOperationFailed`.
    pub event: pb::HistoryEvent,
    /// Which orchestration is to be answered; a signal has none, nor has a call from outside.
    pub caller: Option<CallSite>,
}

impl QueueEntry {
    /// The first sequence of operations whose time has not come.
    pub const HELD: u64 = 1 << 62;

    /// Whether its time has not come.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.seq >= Self::HELD
    }

    /// The id of the call from outside that this is, or that it answers.
    #[must_use]
    pub fn outside(&self) -> Option<&str> {
        match self.event.event_type.as_ref()? {
            EventType::EntityOperationCalled(called) if self.caller.is_none() => Some(&called.request_id),
            EventType::EntityOperationCompleted(completed) => Some(&completed.request_id),
            EventType::EntityOperationFailed(failed) => Some(&failed.request_id),
            _ => None,
        }
    }

    /// Whether it answers a call from outside.
    #[must_use]
    pub const fn is_answer(&self) -> bool {
        matches!(
            self.event.event_type,
            Some(EventType::EntityOperationCompleted(_) | EventType::EntityOperationFailed(_))
        )
    }

    /// The request for the lock that this is, if it is one.
    #[must_use]
    pub fn lock_request(&self) -> Option<&pb::EntityLockRequestedEvent> {
        match &self.event.event_type {
            Some(EventType::EntityLockRequested(request)) => Some(request),
            _ => None,
        }
    }
}

/// What an execution has locked, or wants to lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CriticalSection {
    /// Its id, from the worker.
    pub id: String,
    /// The entities that are still locked, or are to be, in their order.
    pub entities: Vec<InstanceId>,
    /// Whether it has begun.
    pub granted: bool,
}

/// What a store holds of an entity that the core must work on.
#[derive(Clone, Debug)]
pub struct LoadedEntity {
    /// Its row.
    pub record: EntityRecord,
    /// Its state.
    pub state: Option<Arc<str>>,
    /// Its queue, in order, and behind it what is held.
    pub queue: Vec<QueueEntry>,
}
