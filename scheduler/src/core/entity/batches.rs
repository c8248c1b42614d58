//! Batches of operations: to a worker, and back.

use std::sync::Arc;

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

use super::super::dispatch::Work;
use super::super::events;
use super::super::ids::{InstanceId, StreamId};
use super::super::message::{Effect, Refusal, Reply};
use super::super::partition::Partition;
use super::super::token::{Token, WorkKind};
use super::super::workers::{SUSPICIOUS_RETURNS, backoff};
use super::state::BatchLimits;
use super::{EntityMessage, EntityTurn, QueueEntry, SentBatch, outcome};

/// How many answers in a row may make no sense before an operation that is alone in its batch fails.
const MOST_REFUSALS: u32 = 5;

/// A batch to send to a worker.
#[derive(Clone, Debug)]
pub struct BatchItem {
    /// What the answer must carry.
    pub token: Token,
    /// The execution's id on the wire.
    pub execution: String,
    /// The state before it.
    pub state: Option<Arc<str>>,
    /// The operations, in order.
    pub operations: Vec<Arc<QueueEntry>>,
    /// How often in a row the entity's batches were lost with their streams.
    pub losses: u32,
}

impl Partition {
    /// Sends an entity's next batch to a worker with room, or queues it.
    pub(super) fn offer_batch(&mut self, id: &InstanceId) {
        let Some(entity) = self.entities.get(id) else { return };
        let route = entity.route();
        match self.dispatcher.place(&route, None, entity.avoid) {
            Some(stream) => self.send_batch(stream, id),
            None => {
                let ticket = self.dispatcher.enqueue(&route, Work::Batch(id.clone()));
                if let Some(entity) = self.entities.get_mut(id) {
                    entity.turn = EntityTurn::Queued(ticket);
                }
            }
        }
    }

    pub(in super::super) fn send_batch(&mut self, stream: StreamId, id: &InstanceId) {
        let limits = BatchLimits { operations: self.limits.entity_operations, bytes: self.limits.new_event_bytes };
        let Some(entity) = self.entities.get(id) else { return };
        let operations = entity.next_batch(limits);
        let token = self.new_token(WorkKind::Entity, id, entity.record.timers(), 0);
        let Some(entity) = self.entities.get_mut(id) else { return };
        if operations.is_empty() {
            entity.turn = EntityTurn::Idle;
            self.touched.push(id.clone());
            return;
        }
        let item = BatchItem {
            token: token.clone(),
            execution: entity.record.execution(),
            state: entity.state.clone(),
            operations: operations.iter().filter_map(|seq| entity.queue.get(seq).cloned()).collect(),
            losses: entity.losses,
        };
        entity.turn = EntityTurn::Sent(SentBatch { stream, attempt: token.attempt, operations });
        // Operations have effects: what causes them must be on disk, and so must the state that they begin with.
        let after = entity.last_batch;
        self.dispatcher.occupy(stream, WorkKind::Entity, token.attempt, Work::Batch(id.clone()));
        self.effect(after, Effect::SendBatch(stream, Box::new(item)));
    }

    pub(in super::super) fn complete_batch(
        &mut self,
        token: &Token,
        mut result: pb::EntityBatchResult,
    ) -> Result<Reply, Refusal> {
        let incarnation = self.identity.incarnation;
        let limit = self.limits.payload_bytes;
        let entity = self.entities.get_mut(&token.instance);
        let entity = entity.filter(|e| e.record.timers() == token.run && incarnation == token.incarnation);
        let Some((entity, sent)) = entity.and_then(|entity| match &entity.turn {
            EntityTurn::Sent(batch) if batch.attempt == token.attempt => {
                let count = batch.operations.len();
                Some((entity, count))
            }
            _ => None,
        }) else {
            self.release(token);
            return Ok(Reply::Void);
        };
        if let Err(why) = outcome::check(&token.instance, &result, sent) {
            entity.refusals += 1;
            if sent == 1 && entity.refusals >= MOST_REFUSALS {
                // It would have such an answer for ever, and all that waits behind it would wait for ever.
                let result = outcome::refused("InvalidResult", why.clone(), entity.state.as_deref());
                self.release(token);
                self.commit_batch(&token.instance, result);
            } else {
                self.give_batch_back(token);
            }
            return Err(Refusal::Invalid(why));
        }
        if result.failure_details.is_some() || result.requires_state || result.results.is_empty() {
            // It says that nothing happened. (Each batch has the state with it: it is not the state that it lacks.)
            self.give_batch_back(token);
            return Ok(Reply::Done);
        }
        if let Some(why) = outcome::too_large(&result, limit) {
            if sent > 1 {
                // One of them is to blame. One by one it shows which.
                entity.careful = entity.careful.max(sent);
                entity.turn = EntityTurn::Idle;
                self.release(token);
                self.touched.push(token.instance.clone());
                return Ok(Reply::Done);
            }
            result = outcome::refused("PayloadTooLarge", why, entity.state.as_deref());
        }
        self.release(token);
        self.commit_batch(&token.instance, result);
        Ok(Reply::Done)
    }

    /// One transaction: operations end, their callers are answered, the state changes, and what was sent is on its way.
    fn commit_batch(&mut self, id: &InstanceId, result: pb::EntityBatchResult) {
        let Some(entity) = self.entities.get_mut(id) else { return };
        let EntityTurn::Sent(sent) = std::mem::replace(&mut entity.turn, EntityTurn::Idle) else { return };
        let key = entity.record.key;
        entity.returns = 0;
        entity.losses = 0;
        entity.refusals = 0;
        entity.avoid = None;
        entity.careful = entity.careful.saturating_sub(result.results.len());
        let (mut answers, mut kept) = (Vec::new(), Vec::new());
        // What has no result was not run, and stays where it is: in front.
        for (seq, result) in sent.operations.into_iter().zip(result.results) {
            let Some(entry) = entity.take(seq) else { continue };
            self.batch.delete_queue(key, seq);
            let Some(EventType::EntityOperationCalled(called)) = &entry.event.event_type else { continue };
            let answer = outcome::answer(called.request_id.clone(), result);
            let Some(caller) = entry.caller else {
                kept.push(answer);
                continue;
            };
            let instance = InstanceId::trusted(called.parent_instance_id.as_deref().unwrap_or_default());
            answers.push(EntityMessage::Answer(instance, caller, Box::new(answer)));
        }
        let state: Option<Arc<str>> = result.entity_state.filter(|state| !state.is_empty()).map(Into::into);
        if state != entity.state {
            entity.record.has_state = state.is_some();
            self.batch.put_state(key, state.clone());
            entity.state = state;
        }
        entity.record.modified_at = self.now;
        answers.into_iter().for_each(|answer| self.send(answer));
        kept.into_iter().for_each(|answer| self.keep_answer(id, answer));
        for action in result.actions {
            self.act_for_entity(id, action);
        }
        self.save_entity(id);
    }

    fn act_for_entity(&mut self, id: &InstanceId, action: pb::OperationAction) {
        let request = self.new_request_id();
        match outcome::message(action, request, self.now) {
            Ok(message) => self.send(message),
            Err(why) => self.effect(self.batch_seq, Effect::Warn(format!("entity `{id}`: {why}"))),
        }
    }

    fn give_batch_back(&mut self, token: &Token) {
        self.release(token);
        self.take_back_batch(&token.instance, token.attempt, false);
    }

    /// A batch comes back without an answer: given back, refused, or lost with its stream.
    pub(in super::super) fn take_back_batch(&mut self, id: &InstanceId, attempt: u64, lost: bool) {
        let Some(entity) = self.entities.get_mut(id) else { return };
        let EntityTurn::Sent(sent) = &entity.turn else { return };
        if sent.attempt != attempt {
            return;
        }
        entity.avoid = Some(sent.stream);
        entity.returns += 1;
        entity.losses = if lost { entity.losses + 1 } else { 0 };
        let (returns, operations) = (entity.returns, sent.operations.len());
        entity.turn = EntityTurn::Idle;
        if returns >= SUSPICIOUS_RETURNS && operations > 1 {
            entity.careful = entity.careful.max(operations);
        }
        if !lost || returns >= SUSPICIOUS_RETURNS {
            let ticket = self.delay(Work::Batch(id.clone()), backoff(returns));
            if let Some(entity) = self.entities.get_mut(id) {
                entity.turn = EntityTurn::Delayed(ticket);
            }
        }
        self.touched.push(id.clone());
    }

    /// An id for a request that nobody has given one: a UUID, which some workers insist on.
    pub(in super::super) fn new_request_id(&mut self) -> String {
        let (run, _) = self.new_run();
        uuid::Uuid::from_u64_pair(self.identity.salt, run.0).to_string()
    }

    /// An operation as workers see it.
    pub(super) fn operation(&self, event_type: EventType) -> Box<pb::HistoryEvent> {
        Box::new(events::event(events::NO_ACTION, self.now, event_type))
    }
}
