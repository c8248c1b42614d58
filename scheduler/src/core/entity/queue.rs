//! How operations get into an entity's queue, now or at their time, and what follows from what is in it.

use std::sync::Arc;

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

use super::super::delivery::Delivery;
use super::super::events;
use super::super::ids::{InstanceId, RunId};
use super::super::message::{Effect, Refusal, StartRequest};
use super::super::partition::{Lookup, Partition};
use super::super::record::TimerRecord;
use super::super::time::Timestamp;
use super::locks::LockMessage;
use super::state::Next;
use super::{CallSite, Entity, EntityRecord, EntityTurn, LoadedEntity, QueueEntry};

/// A message to an entity, or from one.
#[derive(Debug)]
pub enum EntityMessage {
    /// An operation, perhaps for later.
    Operation {
        /// The entity.
        target: InstanceId,
        /// The operation, as workers see it.
        event: Box<pb::HistoryEvent>,
        /// Who waits for its result.
        caller: Option<CallSite>,
        /// Not before this time.
        due: Option<Timestamp>,
    },
    /// An operation that an earlier execution of its caller has called: if it still waits, the new execution gets its result; else it is
    /// called again.
    Recall {
        /// The entity.
        target: InstanceId,
        /// The operation, as workers see it.
        event: Box<pb::HistoryEvent>,
        /// The execution that called it.
        earlier: RunId,
        /// Who waits for its result now.
        caller: CallSite,
    },
    /// A request for locks.
    Lock(Box<LockMessage>),
    /// The end of a critical section, or of its request, for one entity: of which execution, and which section.
    Unlock(InstanceId, RunId, String),
    /// The answer to a call or to a request for locks: to which instance, for which call.
    Answer(InstanceId, CallSite, Box<EventType>),
    /// An orchestration that an entity starts.
    Start(Box<StartRequest>),
}

impl Partition {
    pub(in super::super) fn deliver_to_entity(
        &mut self,
        message: EntityMessage,
        lookup: &dyn Lookup,
    ) -> Result<(), Refusal> {
        match message {
            EntityMessage::Operation { target, event, caller, due } => {
                self.enqueue(&target, *event, caller, due, lookup)
            }
            EntityMessage::Recall { target, event, earlier, caller } => {
                self.recall(&target, *event, earlier, caller, lookup)
            }
            EntityMessage::Lock(request) => self.request_locks(*request, lookup),
            EntityMessage::Unlock(target, run, section) => self.unlock(&target, run, &section, lookup),
            EntityMessage::Answer(instance, call, answer) => self.answer_call(&instance, call, *answer, lookup),
            EntityMessage::Start(start) => self.start(*start, lookup).map(drop),
        }
    }

    /// An entity, from memory or from the store.
    pub(super) fn find_entity(&mut self, id: &InstanceId, lookup: &dyn Lookup) -> Result<Option<&mut Entity>, Refusal> {
        if !self.entities.contains_key(id) {
            if self.gone.contains_key(id) {
                return Ok(None);
            }
            match lookup.load_entity(id) {
                Ok(None) => return Ok(None),
                Ok(Some(loaded)) => self.admit_entity(loaded),
                Err(why) => return Err(Refusal::Damaged(id.clone(), why)),
            }
        }
        Ok(self.entities.get_mut(id).map(Box::as_mut))
    }

    /// An entity, which is made if it is not there.
    pub(super) fn find_or_make_entity(&mut self, id: &InstanceId, lookup: &dyn Lookup) -> Result<&mut Entity, Refusal> {
        if self.find_entity(id, lookup)?.is_none() {
            self.gone.remove(id);
            let record = EntityRecord {
                key: self.new_key(),
                id: id.clone(),
                created_at: self.now,
                modified_at: self.now,
                has_state: false,
                queue_next: 0,
                queued_operations: 0,
                queued_requests: 0,
                held_operations: 0,
                lock: None,
            };
            self.admit_entity(LoadedEntity { record, state: None, queue: Vec::new() });
        }
        self.entities.get_mut(id).map(Box::as_mut).ok_or_else(|| Refusal::NotFound(id.clone()))
    }

    pub(in super::super) fn admit_entity(&mut self, loaded: LoadedEntity) {
        let id = loaded.record.id.clone();
        self.entities.insert(id.clone(), Box::new(Entity::new(loaded)));
        self.touched.push(id);
    }

    /// Puts an operation into an entity's queue, or if it is for later among those that wait for their time.
    pub(super) fn enqueue(
        &mut self,
        target: &InstanceId,
        event: pb::HistoryEvent,
        caller: Option<CallSite>,
        due: Option<Timestamp>,
        lookup: &dyn Lookup,
    ) -> Result<(), Refusal> {
        let due = due.filter(|due| *due > self.now);
        let entity = self.find_or_make_entity(target, lookup)?;
        let entry = entity.push(event, caller, due.is_some());
        let (key, run, position) = (entity.record.key, entity.record.timers(), entry.seq);
        self.batch.put_queue(key, entry);
        if let Some(due) = due {
            let timer = TimerRecord { run, position, due, timer_id: events::NO_ACTION, instance: target.clone() };
            self.batch.put_timer(timer.clone());
            self.timers.insert(timer);
        }
        self.save_entity(target);
        Ok(())
    }

    /// Puts an operation into the queue whose time has come.
    pub(in super::super) fn enqueue_held(&mut self, timer: &TimerRecord, lookup: &dyn Lookup) {
        let found = match self.find_entity(&timer.instance, lookup) {
            Ok(entity) => entity.filter(|entity| entity.record.timers() == timer.run),
            Err(why) => {
                // Its row stays where it is, so that it comes after a repair.
                self.effect(self.batch_seq, Effect::Warn(format!("a scheduled operation was not delivered: {why}")));
                return;
            }
        };
        let moved = found.and_then(|entity| {
            let held = entity.take_held(timer.position)?;
            // An answer that nobody has acknowledged has been kept for long enough.
            let due = (!held.is_answer()).then(|| entity.push(held.event.clone(), held.caller, false));
            Some((entity.record.key, due))
        });
        self.batch.delete_timer(timer.run, timer.position);
        if let Some((key, due)) = moved {
            self.batch.delete_queue(key, timer.position);
            if let Some(entry) = due {
                self.batch.put_queue(key, entry);
            }
            self.save_entity(&timer.instance);
        }
    }

    fn recall(
        &mut self,
        target: &InstanceId,
        event: pb::HistoryEvent,
        earlier: RunId,
        caller: CallSite,
        lookup: &dyn Lookup,
    ) -> Result<(), Refusal> {
        let request = request_id(&event).to_owned();
        let entity = self.find_or_make_entity(target, lookup)?;
        let is_it = |entry: &&Arc<QueueEntry>| {
            entry.caller.is_some_and(|c| c.run == earlier) && request_id(&entry.event) == request
        };
        let Some(entry) = entity.queue.values().chain(entity.held.values()).find(is_it) else {
            return self.enqueue(target, event, Some(caller), None, lookup);
        };
        let entry = Arc::new(QueueEntry { seq: entry.seq, event, caller: Some(caller) });
        let key = entity.record.key;
        entity.replace(Arc::clone(&entry));
        self.batch.change_queue(key, entry);
        self.save_entity(target);
        Ok(())
    }

    /// Tells an orchestration what it waits for, if it still does.
    fn answer_call(
        &mut self,
        id: &InstanceId,
        call: CallSite,
        answer: EventType,
        lookup: &dyn Lookup,
    ) -> Result<(), Refusal> {
        let now = self.now;
        if self.find(id, lookup)?.is_none() {
            return Ok(());
        }
        let Some(instance) = self.instances.get_mut(id) else { return Ok(()) };
        if instance.record.run != call.run || instance.record.status.is_terminal() {
            return Ok(());
        }
        if let (EventType::EntityLockGranted(_), Some(section)) = (&answer, &mut instance.record.section) {
            section.granted = true;
        }
        let event = events::event(events::NO_ACTION, now, answer);
        Self::push_inbox(&mut self.batch, instance, event, Some(call.position));
        self.save(id);
        Ok(())
    }

    /// Writes an entity's row with the current batch and remembers to look at it after the input.
    pub(super) fn save_entity(&mut self, id: &InstanceId) {
        if let Some(entity) = self.entities.get_mut(id) {
            entity.last_batch = self.batch_seq;
            self.batch.put_entity(&entity.record);
        }
        self.touched.push(id.clone());
    }

    /// After an input: gives an entity that has something to do a worker or its lock, and lets one go that has not.
    pub(in super::super) fn settle_entity(&mut self, id: &InstanceId, lookup: &dyn Lookup) {
        let stamp = self.new_stamp();
        let Some(entity) = self.entities.get_mut(id) else { return };
        entity.stamp = stamp;
        if entity.is_sent() {
            return;
        }
        match entity.next() {
            Next::Operations => {
                if entity.turn == EntityTurn::Idle {
                    self.offer_batch(id);
                }
            }
            Next::Lock(seq) => {
                entity.turn = EntityTurn::Idle;
                self.grant_if_ready(id, seq, lookup);
            }
            Next::Nothing => {
                entity.turn = EntityTurn::Idle;
                if entity.record.is_empty() {
                    self.batch.drop_entity(entity.record.key);
                    self.entities.remove(id);
                    self.gone.insert(id.clone(), self.batch_seq);
                } else {
                    self.rest(id.clone(), stamp);
                }
            }
        }
    }

    /// Sends a message to an entity, or from one.
    pub(super) fn send(&mut self, message: EntityMessage) {
        self.deliveries.push_back(Delivery::Entity(message));
    }
}

/// The id of an operation's request.
fn request_id(event: &pb::HistoryEvent) -> &str {
    match &event.event_type {
        Some(EventType::EntityOperationCalled(called)) => &called.request_id,
        Some(EventType::EntityOperationSignaled(signaled)) => &signaled.request_id,
        _ => "",
    }
}
