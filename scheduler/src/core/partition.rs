//! A partition: the instances that it owns, their timers, and the work that waits.
//!
//! [`Partition::handle`] is the only way in. It changes memory, fills the current [`Batch`], and lists [`Pending`] effects, each
//! with the batch that must be on disk first. What happens per kind of input is in the sibling modules `clients`, `workers`, `turn`
//! and `delivery`; this one holds what they share.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use super::batch::Batch;
use super::delivery::Delivery;
use super::dispatch::{Dispatcher, Ticket, Work};
use super::entity::{Entity, EntityTurn, LoadedEntity};
use super::ids::{BatchSeq, ExecutionId, InstanceId, InstanceKey, Position, RequestId, RunId};
use super::instance::{Instance, Turn};
use super::message::{Effect, Input, Pending, Refusal, Reply};
use super::questions::Asked;
use super::record::{InboxEntry, LoadedInstance, StoredEvent, TimerRecord};
use super::repair::Postponed;
pub use super::surroundings::{Census, Identity, Limits, Lookup};
use super::time::Timestamp;
use super::timers::Timers;
use super::token::{Token, WorkKind};
use super::versions::Defaults;

/// The state machine of a partition. See the module's text.
pub struct Partition {
    pub(super) identity: Identity,
    pub(super) limits: Limits,
    /// Boxed: the table has room for as many as there ever were at once.
    pub(super) instances: HashMap<InstanceId, Box<Instance>>,
    /// Entities in memory.
    pub(super) entities: HashMap<InstanceId, Box<Entity>>,
    pub(super) timers: Timers,
    pub(super) dispatcher: Dispatcher,
    /// What orchestrations without a version begin on.
    pub(super) defaults: Defaults,
    /// Work that a worker gave back or lost, until it is queued again.
    pub(super) delayed: BTreeMap<(Timestamp, Ticket), Work>,
    /// Parked instances, to be tried again when a worker connects.
    pub(super) parked: BTreeSet<InstanceId>,
    /// Messages between instances that are still to be delivered within this input.
    pub(super) deliveries: VecDeque<Delivery>,
    /// Repairs that wait for something to be on disk.
    pub(super) postponed: Vec<Postponed>,
    /// Questions that were asked, by number: whom, and who waits.
    pub(super) questions: BTreeMap<u64, Asked>,
    /// Clients that wait for an entity's answer, by the entity and the call.
    pub(super) callers: HashMap<(InstanceId, String), RequestId>,
    /// How many questions were asked.
    pub(super) asked: u64,
    /// The batch that is being filled.
    pub(super) batch: Batch,
    pub(super) batch_seq: BatchSeq,
    pub(super) effects: Vec<Pending>,
    pub(super) now: Timestamp,
    /// Instances that this input changed.
    pub(super) touched: Vec<InstanceId>,
    counter: u64,
    attempts: u64,
    delays: Ticket,
    stamps: u64,
    /// Instances that were taken away by a batch that is not on disk yet: the store still shows them.
    pub(super) gone: HashMap<InstanceId, BatchSeq>,
    /// Ended instances, to be let go when their last batch is on disk.
    ended: VecDeque<(BatchSeq, InstanceId, u64)>,
    /// Idle instances in the order of their last use.
    idle: VecDeque<(InstanceId, u64)>,
    pub(super) committed: BatchSeq,
}

impl Partition {
    /// A partition that goes on from what a store recovered. The effects of the first inputs include the work that was open.
    #[must_use]
    pub fn recover(
        identity: Identity,
        limits: Limits,
        now: Timestamp,
        active: Vec<LoadedInstance>,
        entities: Vec<LoadedEntity>,
        timers: Vec<TimerRecord>,
    ) -> Self {
        let mut partition = Self {
            identity,
            limits,
            instances: HashMap::new(),
            entities: HashMap::new(),
            timers: Timers::default(),
            dispatcher: Dispatcher::default(),
            defaults: Defaults::default(),
            delayed: BTreeMap::new(),
            parked: BTreeSet::new(),
            deliveries: VecDeque::new(),
            postponed: Vec::new(),
            questions: BTreeMap::new(),
            callers: HashMap::new(),
            asked: 0,
            batch: Batch::default(),
            batch_seq: BatchSeq(1),
            effects: Vec::new(),
            now,
            touched: Vec::new(),
            counter: 0,
            attempts: 0,
            delays: 0,
            stamps: 0,
            gone: HashMap::new(),
            ended: VecDeque::new(),
            idle: VecDeque::new(),
            committed: BatchSeq(0),
        };
        for timer in timers {
            partition.timers.insert(timer);
        }
        for loaded in active {
            partition.admit(loaded);
        }
        for loaded in entities {
            partition.admit_entity(loaded);
        }
        partition
    }

    /// Takes in one input at time `now`. A `now` before an earlier one counts as that one.
    pub fn handle(&mut self, input: Input, now: Timestamp, lookup: &dyn Lookup) {
        self.now = self.now.max(now);
        match input {
            // Numbers of executions may be the same in two hubs, and so may ids.
            Input::CompleteEpisode(request, token, _, _)
            | Input::CompleteActivity(request, token, _)
            | Input::CompleteBatch(request, token, _)
            | Input::Abandon(request, token, _)
                if token.hub != self.identity.hub =>
            {
                self.reply(request, Ok(Reply::Void));
            }
            Input::Start(request, start) => {
                let answer = self.start(*start, lookup);
                self.reply(request, answer);
            }
            Input::Raise(request, id, name, input) => {
                let answer = self.raise(&id, name, input, lookup);
                self.reply(request, answer);
            }
            Input::Terminate(request, id, output, recurse) => {
                let answer = self.terminate(&id, output, recurse, lookup);
                self.reply(request, answer);
            }
            Input::Suspend(request, id, reason) => {
                let answer = self.suspend(&id, reason, lookup);
                self.reply(request, answer);
            }
            Input::Resume(request, id, reason) => {
                let answer = self.resume(&id, reason, lookup);
                self.reply(request, answer);
            }
            Input::Purge(request, ids) => {
                let answer = self.purge(ids, lookup);
                self.reply(request, answer);
            }
            Input::ForceTerminate(request, ids, reason) => {
                let answer = self.force_terminate(ids, reason, lookup);
                self.reply(request, answer);
            }
            Input::Repair(request, repair) => self.attempt_repair(request, *repair, lookup),
            Input::Ask(request, id, name, input) => {
                if let Err(why) = self.ask(request, &id, name, input, lookup) {
                    self.reply(request, Err(why));
                }
            }
            Input::AnswerQuestion(stream, number, outcome) => self.answer_question(stream, number, *outcome),
            Input::CountHosts(request, routes) => {
                let (counts, all) = self.dispatcher.count_hosts(&routes);
                self.reply(request, Ok(Reply::Hosts(counts, all)));
            }
            Input::CountOpenActivities(request) => {
                let open = self.count_open_activities();
                self.reply(request, Ok(Reply::OpenActivities(open)));
            }
            Input::Describe(request, id) => {
                let answer = self.describe(&id, lookup);
                self.reply(request, answer);
            }
            Input::Connect(stream, info) => self.connect(stream, info),
            Input::Offer(stream, info) => self.change_offer(stream, info),
            Input::Drain(stream) => self.drain(stream),
            Input::Defaults(defaults) => self.change_defaults(*defaults),
            Input::Disconnect(stream) => self.disconnect(stream),
            Input::CompleteEpisode(request, token, response, fuel) => {
                let answer = self.complete_episode(&token, *response, fuel);
                self.reply(request, answer);
            }
            Input::CompleteActivity(request, token, outcome) => {
                let answer = self.complete_activity(&token, *outcome);
                self.reply(request, answer);
            }
            Input::CompleteBatch(request, token, result) => {
                let answer = self.complete_batch(&token, *result);
                self.reply(request, answer);
            }
            Input::Signal(request, signal) => {
                let answer = self.signal_entity(*signal, lookup);
                self.reply(request, answer);
            }
            Input::CallEntity(request, call) => {
                if let Err(why) = self.call_from_outside(request, *call, lookup) {
                    self.reply(request, Err(why));
                }
            }
            Input::ForgetAnswers(request, calls) => self.forget_answers(request, calls, lookup),
            Input::CleanEntities { request, entities, remove_empty, release_orphaned } => {
                let answer = self.clean_entities(entities, remove_empty, release_orphaned, lookup);
                self.reply(request, answer);
            }
            Input::Abandon(request, token, parked) => {
                let answer = self.abandon(&token, parked.map(|p| *p));
                self.reply(request, answer);
            }
            Input::Tick => self.tick(lookup),
        }
        self.settle_all(lookup);
        self.hand_out();
    }

    /// When [`Input::Tick`] is wanted next.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        let delayed = self.delayed.first_key_value().map(|((at, _), _)| *at);
        let ready = self.has_ready_repairs().then_some(self.now);
        let question = self.questions.first_key_value().map(|(_, asked)| asked.until);
        [self.timers.next_due(), delayed, ready, question].into_iter().flatten().min()
    }

    /// Whether [`Input::Tick`] is wanted now, whatever the clock says: something that was waited for is on disk.
    #[must_use]
    pub fn has_ready_repairs(&self) -> bool {
        self.postponed.iter().any(|p| p.after <= self.committed)
    }

    /// The batch that was filled, if there is something in it. Later changes go into the next one.
    pub fn take_batch(&mut self) -> Option<(BatchSeq, Batch)> {
        if self.batch.is_empty() {
            return None;
        }
        let seq = self.batch_seq;
        self.batch_seq = BatchSeq(seq.0 + 1);
        Some((seq, std::mem::take(&mut self.batch)))
    }

    /// Whether the batch that is being filled is empty.
    #[must_use]
    pub fn has_nothing_to_write(&self) -> bool {
        self.batch.is_empty()
    }

    /// The number of the batch that is being filled.
    #[must_use]
    pub fn current_batch(&self) -> BatchSeq {
        self.batch_seq
    }

    /// Effects since the last call.
    pub fn take_effects(&mut self) -> Vec<Pending> {
        std::mem::take(&mut self.effects)
    }

    /// All batches up to this one are on disk: memory that the store can give back may go.
    pub fn committed(&mut self, seq: BatchSeq) {
        self.committed = seq;
        self.gone.retain(|_, batch| *batch > seq);
        while let Some((batch, id, stamp)) = self.ended.front() {
            if *batch > seq {
                break;
            }
            if self.instances.get(id).is_some_and(|i| i.stamp == *stamp) {
                self.instances.remove(id);
            }
            self.ended.pop_front();
        }
        while self.idle.len() > self.limits.idle_instances {
            let Some((id, stamp)) = self.idle.pop_front() else { break };
            let last_batch = if id.is_entity() {
                self.entities.get(&id).filter(|e| e.stamp == stamp).map(|e| e.last_batch)
            } else {
                self.instances.get(&id).filter(|i| i.stamp == stamp).map(|i| i.last_batch)
            };
            match last_batch {
                Some(last) if last > seq => {
                    self.idle.push_front((id, stamp));
                    break;
                }
                Some(_) => {
                    self.instances.remove(&id);
                    self.entities.remove(&id);
                }
                None => {}
            }
        }
    }

    /// How many instances are in memory.
    #[must_use]
    pub fn resident(&self) -> usize {
        self.instances.len()
    }

    /// What is in memory beside the store: for operators, and for the simulator, which wants none of it once all is over.
    #[must_use]
    pub fn census(&self) -> Census {
        Census {
            instances: self.instances.len(),
            entities: self.entities.len(),
            operations: self.entities.values().map(|e| e.queue.len()).sum(),
            timers: self.timers.len(),
            delayed: self.delayed.len(),
            parked: self.parked.len(),
            sent: self.dispatcher.sent(),
            waiting: self.postponed.len() + self.questions.len() + self.callers.len(),
        }
    }

    /// The entities in memory, in no order. For the simulator.
    pub fn resident_entities(&self) -> impl Iterator<Item = &Entity> {
        self.entities.values().map(Box::as_ref)
    }

    /// The instances in memory, in no order; and the timers. For the simulator, which compares them with what a recovery finds.
    pub fn contents(&self) -> (impl Iterator<Item = &Instance>, impl Iterator<Item = TimerRecord> + '_) {
        (self.instances.values().map(Box::as_ref), self.timers.iter())
    }

    // ---- what the sibling modules share -------------------------------------------------------------------------------

    pub(super) fn effect(&mut self, after: BatchSeq, effect: Effect) {
        self.effects.push(Pending { after, effect });
    }

    pub(super) fn reply(&mut self, request: RequestId, answer: Result<Reply, Refusal>) {
        // A refusal too tells of a state, so it waits for that state to be on disk.
        self.effect(self.batch_seq, Effect::Reply(request, answer));
    }

    /// An instance, from memory or from the store.
    pub(super) fn find(&mut self, id: &InstanceId, lookup: &dyn Lookup) -> Result<Option<&mut Instance>, Refusal> {
        if !self.instances.contains_key(id) {
            if self.gone.contains_key(id) {
                return Ok(None);
            }
            match lookup.load(id) {
                Ok(None) => return Ok(None),
                Ok(Some(loaded)) => self.admit(loaded),
                Err(why) => return Err(Refusal::Damaged(id.clone(), why)),
            }
        }
        Ok(self.instances.get_mut(id).map(Box::as_mut))
    }

    fn admit(&mut self, loaded: LoadedInstance) {
        let id = loaded.record.id.clone();
        let mut instance = Box::new(Instance::new(loaded.record, loaded.inbox));
        instance.derive_open(&loaded.history);
        if instance.record.parked.is_some() {
            self.parked.insert(id.clone());
        }
        let positions: Vec<Position> = instance.activities.keys().copied().collect();
        self.instances.insert(id.clone(), instance);
        // Activities are open only when the scheduler has just started. Some of them are done, at workers that are about to come
        // back and say so: they get the same grace as after a broken stream.
        for position in positions {
            self.hold_activity(&id, position, self.limits.activity_grace);
        }
        self.touched.push(id);
    }

    pub(super) fn new_key(&mut self) -> InstanceKey {
        InstanceKey(self.count())
    }

    pub(super) fn new_run(&mut self) -> (RunId, ExecutionId) {
        let run = RunId(self.count());
        (run, ExecutionId::new(&format!("{:016x}{:016x}", self.identity.salt, run.0)))
    }

    fn count(&mut self) -> u64 {
        self.counter += 1;
        assert!(self.counter < 1 << 32, "a process has started 2^32 executions: restart it to get a new incarnation");
        self.identity.incarnation.0 << 32 | self.counter
    }

    pub(super) fn new_token(&mut self, kind: WorkKind, id: &InstanceId, run: RunId, position: Position) -> Token {
        self.attempts += 1;
        Token {
            kind,
            hub: self.identity.hub.clone(),
            instance: id.clone(),
            run,
            position,
            attempt: self.attempts,
            incarnation: self.identity.incarnation,
        }
    }

    /// Holds work back for a while; the ticket says for which stay.
    pub(super) fn delay(&mut self, work: Work, wait: Duration) -> Ticket {
        self.delays += 1;
        self.delayed.insert((self.now.after(wait), self.delays), work);
        self.delays
    }

    /// Puts an event into an instance's inbox.
    pub(super) fn push_inbox(
        batch: &mut Batch,
        instance: &mut Instance,
        event: durawasm_proto::durabletask::HistoryEvent,
        answers: Option<Position>,
    ) {
        let record = &mut instance.record;
        let entry = InboxEntry { seq: record.inbox_next, stored: StoredEvent { event, answers } };
        record.inbox_next += 1;
        record.inbox_len += 1;
        batch.put_inbox(record.key, entry.clone());
        if instance.inbox.capacity() == 0 {
            // Most inboxes never hold more, and events are large.
            instance.inbox.reserve_exact(1);
        }
        instance.inbox.push_back(entry);
    }

    /// After an input: writes the rows of the instances that it changed, gives those a turn that want one, and marks those
    /// that rest.
    fn settle_all(&mut self, lookup: &dyn Lookup) {
        loop {
            while let Some(delivery) = self.deliveries.pop_front() {
                self.deliver(delivery, lookup);
            }
            let Some(id) = self.touched.pop() else { break };
            if id.is_entity() {
                self.settle_entity(&id, lookup);
            } else {
                self.settle(&id);
            }
        }
    }

    pub(super) fn new_stamp(&mut self) -> u64 {
        self.stamps += 1;
        self.stamps
    }

    /// Enters what has nothing to do into the line for eviction.
    pub(super) fn rest(&mut self, id: InstanceId, stamp: u64) {
        self.idle.push_back((id, stamp));
    }

    fn settle(&mut self, id: &InstanceId) {
        self.end_unserved(id);
        let stamp = self.new_stamp();
        let Some(instance) = self.instances.get_mut(id) else { return };
        instance.stamp = stamp;
        // The timer says so and not the clock, which may have been set back since the timer fired.
        let early = self.timers.contains(instance.record.run, TimerRecord::START);
        if instance.reserved > self.committed {
            // Whoever reserved it looks at it again when the batch is on disk.
        } else if instance.wants_turn(early) {
            self.offer_episode(id);
        } else if instance.is_at_rest() {
            if instance.record.status.is_terminal() && instance.last_batch <= self.committed {
                self.instances.remove(id);
            } else if instance.record.status.is_terminal() {
                self.ended.push_back((instance.last_batch, id.clone(), instance.stamp));
            } else {
                self.rest(id.clone(), stamp);
            }
        }
    }

    /// Writes an instance's row with the current batch and remembers to look at it after the input.
    pub(super) fn save(&mut self, id: &InstanceId) {
        if let Some(instance) = self.instances.get_mut(id) {
            instance.record.updated_at = self.now;
            instance.last_batch = self.batch_seq;
            self.batch.put_instance(&instance.record);
        }
        self.touched.push(id.clone());
    }

    /// Whether `turn` is a stay in the queue with this ticket.
    pub(super) fn is_queued(instance: &Instance, ticket: Ticket) -> bool {
        matches!(instance.turn, Turn::Queued(t) if t == ticket)
    }

    /// Whether an entity's turn is a stay in the queue with this ticket.
    pub(super) fn is_batch_queued(entity: &Entity, ticket: Ticket) -> bool {
        entity.turn == EntityTurn::Queued(ticket)
    }
}
