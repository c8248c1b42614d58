//! One entity in memory: its row, its state, its queue, and who has its current batch.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

use super::super::dispatch::{Route, Ticket};
use super::super::ids::{BatchSeq, RunId, StreamId};
use super::super::payload;
use super::super::token::WorkKind;
use super::{EntityLock, EntityRecord, LoadedEntity, QueueEntry, entity_name};

/// Who works on an entity.
#[derive(Debug, PartialEq, Eq)]
pub enum EntityTurn {
    /// Nobody.
    Idle,
    /// A worker, once one takes the next batch from the queue.
    Queued(Ticket),
    /// Nobody until a time has come.
    Delayed(Ticket),
    /// A worker has a batch.
    Sent(SentBatch),
}

/// A batch that a worker has.
#[derive(Debug, PartialEq, Eq)]
pub struct SentBatch {
    /// The worker's stream.
    pub stream: StreamId,
    /// The delivery's number.
    pub attempt: u64,
    /// Its operations, by their sequences in the queue, in order.
    pub operations: Vec<u64>,
}

/// What an entity could do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Run operations.
    Operations,
    /// Be locked for the request with this sequence.
    Lock(u64),
    /// Nothing.
    Nothing,
}

/// How much goes into a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchLimits {
    pub(super) operations: usize,
    pub(super) bytes: usize,
}

/// An entity that the core works on.
#[derive(Debug)]
pub struct Entity {
    /// Its row, as the batch of the store that is being filled has it.
    pub record: EntityRecord,
    /// Its state.
    pub state: Option<Arc<str>>,
    /// What waits, by sequence. Operations that a worker has stay here until it answers.
    pub queue: BTreeMap<u64, Arc<QueueEntry>>,
    /// Operations whose time has not come, and answers to calls from outside, by sequence.
    pub held: BTreeMap<u64, Arc<QueueEntry>>,
    /// Calls from outside by their ids: the sequence of the operation, or of its answer.
    pub(super) outside: HashMap<String, u64>,
    /// Bytes of the answers to calls from outside.
    pub(super) answer_bytes: usize,
    /// Calls of the lock's holder in the queue: they may run while everything else waits.
    holders_calls: usize,
    /// Who works on it.
    pub turn: EntityTurn,
    /// The stream that gave the last batch back, to be avoided.
    pub avoid: Option<StreamId>,
    /// How often in a row a worker lost a batch or gave it back.
    pub returns: u32,
    /// How often in a row a batch was lost with its stream.
    pub losses: u32,
    /// How often in a row its worker's answer made no sense.
    pub refusals: u32,
    /// So many of the next operations come one by one, so that one which spoils its batch is alone.
    pub careful: usize,
    /// The batch of the store that has its last change: until that is on disk no worker sees it, and it stays in memory.
    pub last_batch: BatchSeq,
    /// Changes with each use, so that a stale place in the line for eviction is recognised.
    pub stamp: u64,
}

impl Entity {
    /// A new one, or one from the store.
    #[must_use]
    pub fn new(loaded: LoadedEntity) -> Self {
        let LoadedEntity { record, state, queue } = loaded;
        let entries = queue.into_iter().map(|entry| (entry.seq, Arc::new(entry)));
        let (held, queue) = entries.partition(|(_, entry): &(u64, Arc<QueueEntry>)| entry.is_held());
        let mut entity = Self {
            record,
            state,
            queue,
            held,
            outside: HashMap::new(),
            answer_bytes: 0,
            holders_calls: 0,
            turn: EntityTurn::Idle,
            avoid: None,
            returns: 0,
            losses: 0,
            refusals: 0,
            careful: 0,
            last_batch: BatchSeq(0),
            stamp: 0,
        };
        entity.count_holders_calls();
        let entries: Vec<_> = entity.queue.values().chain(entity.held.values()).cloned().collect();
        entries.iter().for_each(|entry| entity.note_outside(entry));
        entity
    }

    /// What a worker must be able to run to take its batches.
    #[must_use]
    pub fn route(&self) -> Route {
        Route { kind: WorkKind::Entity, name: entity_name(&self.record.id).into(), version: "".into() }
    }

    /// Whether a worker has a batch of it.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        matches!(self.turn, EntityTurn::Sent(_))
    }

    /// What it could do next if nobody worked on it.
    pub(super) fn next(&self) -> Next {
        if self.record.lock.is_some() {
            return if self.holders_calls > 0 { Next::Operations } else { Next::Nothing };
        }
        match self.queue.first_key_value() {
            None => Next::Nothing,
            Some((seq, entry)) if entry.lock_request().is_some() => Next::Lock(*seq),
            Some(_) => Next::Operations,
        }
    }

    /// The operations of the next batch: from the front of the queue to the first request for the lock, or while it is locked the
    /// holder's calls.
    pub(super) fn next_batch(&self, limits: BatchLimits) -> Vec<u64> {
        let holder = self.record.lock.as_ref().map(|lock| lock.run);
        let runnable = |entry: &QueueEntry| holder.is_none() || is_call_of(entry, holder);
        let wanted = if self.careful > 0 { 1 } else { limits.operations.max(1) };
        let wanted = if holder.is_some() { wanted.min(self.holders_calls) } else { wanted };
        let mut batch = Vec::new();
        let mut bytes = 0;
        for (seq, entry) in &self.queue {
            if batch.len() == wanted || (holder.is_none() && entry.lock_request().is_some()) {
                break;
            }
            if !runnable(entry) {
                continue;
            }
            bytes += payload::event_weight(&entry.event);
            if bytes > limits.bytes && !batch.is_empty() {
                break;
            }
            batch.push(*seq);
        }
        batch
    }

    /// Puts something at the end of the queue, or with `held` among what waits for its time.
    pub(super) fn push(
        &mut self,
        event: pb::HistoryEvent,
        caller: Option<super::CallSite>,
        held: bool,
    ) -> Arc<QueueEntry> {
        let seq = self.record.queue_next + if held { QueueEntry::HELD } else { 0 };
        self.record.queue_next += 1;
        let entry = Arc::new(QueueEntry { seq, event, caller });
        self.note_outside(&entry);
        if held {
            self.record.held_operations += 1;
            self.held.insert(seq, Arc::clone(&entry));
            return entry;
        }
        match entry.lock_request() {
            Some(_) => self.record.queued_requests += 1,
            None => self.record.queued_operations += 1,
        }
        if is_call_of(&entry, self.record.lock.as_ref().map(|lock| lock.run)) {
            self.holders_calls += 1;
        }
        self.queue.insert(seq, Arc::clone(&entry));
        entry
    }

    /// Takes something out of the queue.
    pub(super) fn take(&mut self, seq: u64) -> Option<Arc<QueueEntry>> {
        let entry = self.queue.remove(&seq)?;
        self.forget_outside(&entry);
        match entry.lock_request() {
            Some(_) => self.record.queued_requests -= 1,
            None => self.record.queued_operations -= 1,
        }
        if is_call_of(&entry, self.record.lock.as_ref().map(|lock| lock.run)) {
            self.holders_calls -= 1;
        }
        Some(entry)
    }

    /// Takes something out of what waits for its time.
    pub(super) fn take_held(&mut self, seq: u64) -> Option<Arc<QueueEntry>> {
        let entry = self.held.remove(&seq)?;
        self.forget_outside(&entry);
        self.record.held_operations -= 1;
        Some(entry)
    }

    /// Puts another entry in the place of one that is in the queue.
    pub(super) fn replace(&mut self, entry: Arc<QueueEntry>) {
        let place = if entry.is_held() { &mut self.held } else { &mut self.queue };
        place.insert(entry.seq, entry);
        self.count_holders_calls();
    }

    fn note_outside(&mut self, entry: &QueueEntry) {
        let Some(id) = entry.outside() else { return };
        self.outside.insert(id.to_owned(), entry.seq);
        if entry.is_answer() {
            self.answer_bytes += payload::event_weight(&entry.event);
        }
    }

    fn forget_outside(&mut self, entry: &QueueEntry) {
        let Some(id) = entry.outside() else { return };
        self.outside.remove(id);
        if entry.is_answer() {
            self.answer_bytes -= payload::event_weight(&entry.event);
        }
    }

    /// Locks or unlocks it.
    pub(super) fn set_lock(&mut self, lock: Option<EntityLock>) {
        self.record.lock = lock.map(Box::new);
        self.count_holders_calls();
    }

    fn count_holders_calls(&mut self) {
        let holder = self.record.lock.as_ref().map(|lock| lock.run);
        self.holders_calls = match holder {
            Some(_) => self.queue.values().filter(|entry| is_call_of(entry, holder)).count(),
            None => 0,
        };
    }
}

/// Whether this is a call of the execution that holds a lock.
fn is_call_of(entry: &QueueEntry, holder: Option<RunId>) -> bool {
    let called = matches!(entry.event.event_type, Some(EventType::EntityOperationCalled(_)));
    called && holder.is_some() && entry.caller.map(|caller| caller.run) == holder
}

#[cfg(test)]
mod tests {
    use super::super::CallSite;
    use super::*;
    use crate::core::events;
    use crate::core::ids::{InstanceId, InstanceKey};
    use crate::core::time::Timestamp;

    const ALL: BatchLimits = BatchLimits { operations: 100, bytes: usize::MAX };

    fn entity() -> Entity {
        let record = EntityRecord {
            key: InstanceKey(1),
            id: InstanceId::trusted("@e@k"),
            created_at: Timestamp::default(),
            modified_at: Timestamp::default(),
            has_state: false,
            queue_next: 0,
            queued_operations: 0,
            queued_requests: 0,
            held_operations: 0,
            lock: None,
        };
        Entity::new(LoadedEntity { record, state: None, queue: Vec::new() })
    }

    fn push(entity: &mut Entity, event_type: EventType, run: Option<u64>) -> u64 {
        let caller = run.map(|run| CallSite { run: RunId(run), position: 0 });
        entity.push(events::event(-1, Timestamp::default(), event_type), caller, false).seq
    }

    fn signal(entity: &mut Entity) -> u64 {
        push(entity, EventType::EntityOperationSignaled(Default::default()), None)
    }

    fn call(entity: &mut Entity, run: u64) -> u64 {
        push(entity, EventType::EntityOperationCalled(Default::default()), Some(run))
    }

    fn request(entity: &mut Entity, run: u64) -> u64 {
        push(entity, EventType::EntityLockRequested(Default::default()), Some(run))
    }

    fn lock(run: u64) -> Option<EntityLock> {
        Some(EntityLock { holder: InstanceId::trusted("o"), run: RunId(run), section: "s".into() })
    }

    #[test]
    fn operations_before_a_request_run_first_and_those_after_it_wait() {
        let mut entity = entity();
        let before = [signal(&mut entity), call(&mut entity, 7)];
        let wanted = request(&mut entity, 8);
        let after = [signal(&mut entity), call(&mut entity, 8), call(&mut entity, 7)];
        assert_eq!((entity.next(), entity.next_batch(ALL)), (Next::Operations, before.to_vec()));
        for seq in before {
            entity.take(seq);
        }
        assert_eq!(entity.next(), Next::Lock(wanted));
        entity.take(wanted);
        entity.set_lock(lock(8));
        assert_eq!((entity.next(), entity.next_batch(ALL)), (Next::Operations, vec![after[1]]));
        entity.take(after[1]);
        assert_eq!(entity.next(), Next::Nothing, "only the holder's calls run");
        let late = call(&mut entity, 8);
        assert_eq!(entity.next_batch(ALL), vec![late]);
        entity.take(late);
        entity.set_lock(None);
        assert_eq!((entity.next(), entity.next_batch(ALL)), (Next::Operations, vec![after[0], after[2]]));
    }

    #[test]
    fn a_batch_is_bounded_and_has_one_operation_if_it_must_be_alone() {
        let mut entity = entity();
        let all: Vec<u64> = (0..10).map(|_| signal(&mut entity)).collect();
        let size = payload::event_weight(&entity.queue[&0].event);
        assert_eq!(entity.next_batch(BatchLimits { operations: 4, bytes: usize::MAX }), all[..4]);
        assert_eq!(entity.next_batch(BatchLimits { operations: 100, bytes: 3 * size }), all[..3]);
        assert_eq!(entity.next_batch(BatchLimits { operations: 100, bytes: 0 }), all[..1], "at least one");
        entity.careful = 1;
        assert_eq!(entity.next_batch(ALL), all[..1]);
    }
}
