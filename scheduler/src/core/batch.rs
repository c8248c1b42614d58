//! What one atomic write to the store holds.
//!
//! Later changes of the same thing replace earlier ones, and what is written and deleted within one batch is not written at
//! all: an event that arrives and is consumed while an fsync runs costs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::entity::{EntityRecord, QueueEntry};
use super::ids::{InstanceKey, Position, RunId};
use super::record::{InboxEntry, InstanceRecord, StoredEvent, TimerRecord};

/// Events at the end of an execution's history.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// The execution.
    pub run: RunId,
    /// The position of the first event.
    pub first: Position,
    /// The events, in order. Never empty.
    pub events: Vec<StoredEvent>,
}

/// A set of changes that are applied together or not at all.
///
/// A store applies the fields in the order in which they stand here. Keys and runs are never reused, so nothing that is
/// deleted can stand in the way of what is put.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Instances that are gone, with their inbox. (Their history is in `dropped_runs`.)
    pub dropped_instances: BTreeSet<InstanceKey>,
    /// Executions whose history and timers are gone.
    pub dropped_runs: BTreeSet<RunId>,
    /// Executions that have ended: their timers are gone, their history stays.
    pub ended_runs: BTreeSet<RunId>,
    /// New or changed instances.
    pub instances: BTreeMap<InstanceKey, InstanceRecord>,
    /// Inbox entries by instance and sequence: put, or (None) deleted.
    pub inbox: BTreeMap<(InstanceKey, u64), Option<InboxEntry>>,
    /// Timers by execution and position: put, or (None) deleted.
    pub timers: BTreeMap<(RunId, Position), Option<TimerRecord>>,
    /// Growth of histories.
    pub appends: Vec<Append>,
    /// Entities that are gone, with their state and queue.
    pub dropped_entities: BTreeSet<InstanceKey>,
    /// New or changed entities.
    pub entities: BTreeMap<InstanceKey, EntityRecord>,
    /// States of entities: put, or (None) deleted.
    pub states: BTreeMap<InstanceKey, Option<Arc<str>>>,
    /// Entries of the queues of entities, by sequence: put, or (None) deleted.
    pub queues: BTreeMap<(InstanceKey, u64), Option<Arc<QueueEntry>>>,
    /// Entries of queues that only this batch knows.
    new_queues: BTreeSet<(InstanceKey, u64)>,
    /// Inbox entries that only this batch knows: deleting them needs no delete.
    new_inbox: BTreeSet<(InstanceKey, u64)>,
    /// Timers that only this batch knows.
    new_timers: BTreeSet<(RunId, Position)>,
}

impl Batch {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dropped_instances.is_empty()
            && self.dropped_runs.is_empty()
            && self.ended_runs.is_empty()
            && self.instances.is_empty()
            && self.inbox.is_empty()
            && self.timers.is_empty()
            && self.appends.is_empty()
            && self.dropped_entities.is_empty()
            && self.entities.is_empty()
            && self.states.is_empty()
            && self.queues.is_empty()
    }

    /// Puts an instance's row.
    pub fn put_instance(&mut self, record: &InstanceRecord) {
        self.instances.insert(record.key, record.clone());
    }

    /// Deletes an instance with all that belongs to it.
    pub fn drop_instance(&mut self, key: InstanceKey, run: RunId) {
        self.instances.remove(&key);
        let range = (key, u64::MIN)..=(key, u64::MAX);
        let entries: Vec<_> = self.inbox.range(range).map(|(place, _)| *place).collect();
        for place in entries {
            self.inbox.remove(&place);
            self.new_inbox.remove(&place);
        }
        self.dropped_instances.insert(key);
        self.drop_run(run);
    }

    /// Deletes an execution's history and timers.
    pub fn drop_run(&mut self, run: RunId) {
        self.appends.retain(|a| a.run != run);
        self.forget_timers(run);
        self.dropped_runs.insert(run);
    }

    /// Deletes the timers of an execution that has ended.
    pub fn end_run(&mut self, run: RunId) {
        self.forget_timers(run);
        self.ended_runs.insert(run);
    }

    fn forget_timers(&mut self, run: RunId) {
        let range = (run, Position::MIN)..=(run, Position::MAX);
        let keys: Vec<_> = self.timers.range(range).map(|(k, _)| *k).collect();
        for key in keys {
            self.timers.remove(&key);
            self.new_timers.remove(&key);
        }
    }

    /// Puts an event into an instance's inbox.
    pub fn put_inbox(&mut self, key: InstanceKey, entry: InboxEntry) {
        self.new_inbox.insert((key, entry.seq));
        self.inbox.insert((key, entry.seq), Some(entry));
    }

    /// Puts another event in the place of one in an instance's inbox.
    pub fn change_inbox(&mut self, key: InstanceKey, entry: InboxEntry) {
        self.inbox.insert((key, entry.seq), Some(entry));
    }

    /// Takes an event out of an instance's inbox.
    pub fn delete_inbox(&mut self, key: InstanceKey, seq: u64) {
        if self.new_inbox.remove(&(key, seq)) {
            self.inbox.remove(&(key, seq));
        } else {
            self.inbox.insert((key, seq), None);
        }
    }

    /// Puts a timer.
    pub fn put_timer(&mut self, timer: TimerRecord) {
        let key = (timer.run, timer.position);
        self.new_timers.insert(key);
        self.timers.insert(key, Some(timer));
    }

    /// Deletes a timer.
    pub fn delete_timer(&mut self, run: RunId, position: Position) {
        let key = (run, position);
        if self.new_timers.remove(&key) {
            self.timers.remove(&key);
        } else {
            self.timers.insert(key, None);
        }
    }

    /// Puts an entity's row.
    pub fn put_entity(&mut self, record: &EntityRecord) {
        self.entities.insert(record.key, record.clone());
    }

    /// Puts an entity's state, or (None) deletes it.
    pub fn put_state(&mut self, key: InstanceKey, state: Option<Arc<str>>) {
        self.states.insert(key, state);
    }

    /// Deletes an entity with its state and its queue. (It has no timers left.)
    pub fn drop_entity(&mut self, key: InstanceKey) {
        self.entities.remove(&key);
        self.states.remove(&key);
        let entries: Vec<_> = self.queues.range((key, u64::MIN)..=(key, u64::MAX)).map(|(place, _)| *place).collect();
        for place in entries {
            self.queues.remove(&place);
            self.new_queues.remove(&place);
        }
        self.dropped_entities.insert(key);
    }

    /// Puts a new entry into the queue of an entity.
    pub fn put_queue(&mut self, key: InstanceKey, entry: Arc<QueueEntry>) {
        self.new_queues.insert((key, entry.seq));
        self.change_queue(key, entry);
    }

    /// Puts another entry in the place of one of the queue of an entity.
    pub fn change_queue(&mut self, key: InstanceKey, entry: Arc<QueueEntry>) {
        self.queues.insert((key, entry.seq), Some(entry));
    }

    /// Takes an entry out of the queue of an entity.
    pub fn delete_queue(&mut self, key: InstanceKey, seq: u64) {
        if self.new_queues.remove(&(key, seq)) {
            self.queues.remove(&(key, seq));
        } else {
            self.queues.insert((key, seq), None);
        }
    }

    /// Whether an inbox entry is one that no batch before this one had.
    #[must_use]
    pub fn is_new_inbox(&self, key: InstanceKey, seq: u64) -> bool {
        self.new_inbox.contains(&(key, seq))
    }

    /// Whether an entry of a queue is one that no batch before this one had.
    #[must_use]
    pub fn is_new_queue(&self, key: InstanceKey, seq: u64) -> bool {
        self.new_queues.contains(&(key, seq))
    }

    /// Adds events to a history.
    pub fn append(&mut self, run: RunId, first: Position, events: Vec<StoredEvent>) {
        if !events.is_empty() {
            self.appends.push(Append { run, first, events });
        }
    }
}
