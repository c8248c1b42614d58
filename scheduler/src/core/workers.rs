//! Workers: streams that come and go, activities, and work that is given back.

use std::time::Duration;

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

use super::dispatch::{StreamInfo, Ticket, Work};
use super::entity::EntityTurn;
use super::events;
use super::ids::{InstanceId, Position, StreamId};
use super::instance::{Stay, Turn};
use super::message::{ActivityOutcome, Effect, Refusal, Reply};
use super::partition::{Lookup, Partition};
use super::payload::weight;
use super::record::{Parked, TimerRecord};
use super::token::{Token, WorkKind};

/// The wait after the first return of an item, doubled with each further one…
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// …up to this.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// A stream that breaks gives its episodes back at once; from this many returns in a row on, the item itself is under suspicion.
pub(super) const SUSPICIOUS_RETURNS: u32 = 3;
/// How many timers one tick fires at most, so that other inputs are not held up.
const TIMERS_PER_TICK: usize = 1_000;

pub(super) fn backoff(returns: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(1 << returns.saturating_sub(1).min(16)).min(LONGEST_BACKOFF)
}

impl Partition {
    pub(super) fn connect(&mut self, stream: StreamId, info: StreamInfo) {
        self.dispatcher.connect(stream, info);
        self.try_parked();
    }

    pub(super) fn change_offer(&mut self, stream: StreamId, info: StreamInfo) {
        self.dispatcher.change(stream, info);
        self.try_parked();
        self.end_orphans();
    }

    /// A worker may have now what the parked instances lack.
    fn try_parked(&mut self) {
        for id in std::mem::take(&mut self.parked) {
            if let Some(instance) = self.instances.get_mut(&id) {
                if matches!(instance.turn, Turn::Delayed(_)) {
                    instance.turn = Turn::Idle;
                }
                self.touched.push(id);
            }
        }
    }

    pub(super) fn disconnect(&mut self, stream: StreamId) {
        for (attempt, work) in self.dispatcher.disconnect(stream) {
            match work {
                Work::Episode(id) => self.take_back_episode(&id, attempt, None, true),
                Work::Activity(id, _, position) => {
                    let grace = self.limits.activity_grace;
                    self.take_back_activity(&id, position, attempt, Some(grace));
                }
                Work::Batch(id) => self.take_back_batch(&id, attempt, true),
            }
        }
        self.lose_questions(stream);
        self.end_orphans();
    }

    /// Gives a worker that is about to end nothing more.
    pub(super) fn drain(&mut self, stream: StreamId) {
        self.dispatcher.drain(stream);
        self.end_orphans();
    }

    /// What waits for a worker that has gone, and was asked to end, is ended without one.
    fn end_orphans(&mut self) {
        let orphans: Vec<InstanceId> = self
            .dispatcher
            .unserved()
            .filter_map(|work| match work {
                Work::Episode(id) => Some(id),
                Work::Activity(..) | Work::Batch(_) => None,
            })
            .filter(|id| self.instances.get(*id).is_some_and(|i| i.is_terminating()))
            .cloned()
            .collect();
        self.touched.extend(orphans);
    }

    pub(super) fn complete_activity(&mut self, token: &Token, outcome: ActivityOutcome) -> Result<Reply, Refusal> {
        self.release(token);
        let (now, limit) = (self.now, self.limits.payload_bytes);
        let Some(instance) = self.instances.get_mut(&token.instance) else { return Ok(Reply::Void) };
        if token.kind != WorkKind::Activity || instance.record.run != token.run {
            return Ok(Reply::Void);
        }
        // Whichever delivery the answer comes from: what matters is that nobody answered before.
        let Some(open) = instance.activities.remove(&token.position) else { return Ok(Reply::Void) };
        instance.record.open_activities -= 1;
        // If the instance has ended nobody hears of the result. But while other activities of it are open it must be known that
        // this one is not, because recovery takes for open what nothing answers.
        let outcome = if instance.record.status.is_terminal() { Ok(None) } else { outcome };
        let event = events::event(events::NO_ACTION, now, activity_event(&open.request, outcome, limit));
        Self::push_inbox(&mut self.batch, instance, event, Some(token.position));
        if instance.record.status.is_terminal() {
            Self::clear_inbox(&mut self.batch, instance);
        }
        self.save(&token.instance);
        Ok(Reply::Done)
    }

    pub(super) fn abandon(&mut self, token: &Token, parked: Option<Parked>) -> Result<Reply, Refusal> {
        self.release(token);
        if token.incarnation != self.identity.incarnation {
            return Ok(Reply::Void);
        }
        match token.kind {
            WorkKind::Orchestration => self.take_back_episode(&token.instance, token.attempt, parked, false),
            WorkKind::Activity => self.take_back_activity(&token.instance, token.position, token.attempt, None),
            WorkKind::Entity => self.take_back_batch(&token.instance, token.attempt, false),
        }
        Ok(Reply::Done)
    }

    /// The slot of an attempt is free again, whatever its answer is worth. A token that was not given out like this frees nothing: the
    /// item that it takes the number from would be forgotten when its stream breaks.
    pub(super) fn release(&mut self, token: &Token) {
        let is_its = match self.dispatcher.work(token.attempt) {
            Some(Work::Episode(id)) => token.kind == WorkKind::Orchestration && *id == token.instance,
            Some(Work::Activity(id, run, position)) => {
                token.kind == WorkKind::Activity
                    && (id, *run, *position) == (&token.instance, token.run, token.position)
            }
            Some(Work::Batch(id)) => token.kind == WorkKind::Entity && *id == token.instance,
            None => false,
        };
        if is_its && token.incarnation == self.identity.incarnation {
            self.dispatcher.release(token.attempt);
        }
    }

    /// An episode comes back without an answer: given back, refused, or lost with its stream.
    pub(super) fn take_back_episode(&mut self, id: &InstanceId, attempt: u64, parked: Option<Parked>, lost: bool) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(id) else { return };
        let Turn::Sent(episode) = &instance.turn else { return };
        if episode.attempt != attempt {
            return;
        }
        instance.avoid = Some(episode.stream);
        instance.worker = None;
        instance.returns += 1;
        // A worker that gives it back has received it.
        instance.losses = if lost { instance.losses + 1 } else { 0 };
        let returns = instance.returns;
        let at_once = lost && returns < SUSPICIOUS_RETURNS;
        instance.turn = Turn::Idle;
        if let Some(parked) = parked {
            let before = instance.record.parked.as_ref().filter(|p| p.reason == parked.reason);
            let since = before.map_or(now, |p| p.since);
            let attempts = before.map_or(0, |p| p.attempts) + 1;
            instance.record.parked = Some(Parked { since, attempts, ..parked });
            self.parked.insert(id.clone());
            self.save(id);
        }
        if !at_once {
            let ticket = self.delay(Work::Episode(id.clone()), backoff(returns));
            if let Some(instance) = self.instances.get_mut(id)
                && !instance.is_terminating()
            {
                instance.turn = Turn::Delayed(ticket);
            }
        }
        self.touched.push(id.clone());
    }

    /// An activity comes back without a result. With a grace it may still be answered by the worker whose stream broke.
    fn take_back_activity(&mut self, id: &InstanceId, position: Position, attempt: u64, grace: Option<Duration>) {
        let Some(instance) = self.instances.get_mut(id) else { return };
        let Some(open) = instance.activities.get_mut(&position) else { return };
        let Stay::Sent(stream, sent) = open.stay else { return };
        if sent != attempt {
            return;
        }
        open.returns += 1;
        open.losses = if grace.is_some() { open.losses + 1 } else { 0 };
        let wait = match grace {
            Some(grace) if open.returns < SUSPICIOUS_RETURNS => grace,
            Some(grace) => grace.max(backoff(open.returns)),
            None => backoff(open.returns),
        };
        instance.avoid = Some(stream);
        self.hold_activity(id, position, wait);
    }

    /// Offers an activity after a while, unless it is answered before.
    pub(super) fn hold_activity(&mut self, id: &InstanceId, position: Position, wait: Duration) {
        let Some(run) = self.instances.get(id).map(|i| i.record.run) else { return };
        let ticket = self.delay(Work::Activity(id.clone(), run, position), wait);
        if let Some(open) = self.instances.get_mut(id).and_then(|i| i.activities.get_mut(&position)) {
            open.stay = Stay::Delayed(ticket);
        }
    }

    /// Sends an activity to a worker with room, or queues it.
    pub(super) fn offer_activity(&mut self, id: &InstanceId, position: Position, avoid: Option<StreamId>) {
        let Some(open) = self.instances.get(id).and_then(|i| i.activities.get(&position)) else { return };
        let route = open.route.clone();
        match self.dispatcher.place(&route, None, avoid) {
            Some(stream) => self.send_activity(stream, id, position),
            None => {
                let Some(instance) = self.instances.get_mut(id) else { return };
                let work = Work::Activity(id.clone(), instance.record.run, position);
                let ticket = self.dispatcher.enqueue(&route, work);
                if let Some(open) = instance.activities.get_mut(&position) {
                    open.stay = Stay::Queued(ticket);
                }
            }
        }
    }

    fn send_activity(&mut self, stream: StreamId, id: &InstanceId, position: Position) {
        let Some(mut instance) = self.instances.remove(id) else { return };
        let token = self.new_token(WorkKind::Activity, id, instance.record.run, position);
        if let Some(open) = instance.activities.get_mut(&position) {
            open.stay = Stay::Sent(stream, token.attempt);
            let work = Work::Activity(id.clone(), token.run, position);
            self.dispatcher.occupy(stream, WorkKind::Activity, token.attempt, work);
            let (request, losses) = (open.request.clone(), open.losses);
            self.effect(instance.history_batch, Effect::SendActivity(stream, token, request, losses));
        }
        self.instances.insert(id.clone(), instance);
    }

    /// Gives waiting work to streams that have room.
    pub(super) fn hand_out(&mut self) {
        loop {
            let (instances, entities) = (&self.instances, &self.entities);
            let next = self.dispatcher.next(|work, ticket| match work {
                Work::Batch(id) => entities.get(id).is_some_and(|e| Self::is_batch_queued(e, ticket)),
                work => is_current(instances, work, ticket),
            });
            match next {
                None => return,
                Some((stream, Work::Episode(id))) => self.send_episode(stream, &id),
                Some((stream, Work::Activity(id, _, position))) => self.send_activity(stream, &id, position),
                Some((stream, Work::Batch(id))) => self.send_batch(stream, &id),
            }
        }
    }

    pub(super) fn tick(&mut self, lookup: &dyn Lookup) {
        self.repair_postponed(lookup);
        self.expire_questions();
        while let Some((&(at, ticket), _)) = self.delayed.first_key_value() {
            if at > self.now {
                break;
            }
            let Some((_, work)) = self.delayed.pop_first() else { break };
            self.undelay(work, ticket);
        }
        for _ in 0..TIMERS_PER_TICK {
            let Some(timer) = self.timers.pop_due(self.now) else { return };
            self.fire(timer, lookup);
        }
    }

    fn undelay(&mut self, work: Work, ticket: Ticket) {
        match work {
            Work::Episode(id) => {
                if let Some(instance) = self.instances.get_mut(&id)
                    && matches!(instance.turn, Turn::Delayed(t) if t == ticket)
                {
                    instance.turn = Turn::Idle;
                    self.touched.push(id);
                }
            }
            Work::Batch(id) => {
                if let Some(entity) = self.entities.get_mut(&id)
                    && entity.turn == EntityTurn::Delayed(ticket)
                {
                    entity.turn = EntityTurn::Idle;
                    self.touched.push(id);
                }
            }
            Work::Activity(id, run, position) => {
                let Some(instance) = self.instances.get(&id) else { return };
                let stay = instance.activities.get(&position).map(|open| open.stay);
                if instance.record.run == run && stay == Some(Stay::Delayed(ticket)) {
                    let avoid = instance.avoid;
                    self.offer_activity(&id, position, avoid);
                }
            }
        }
    }

    fn fire(&mut self, timer: TimerRecord, lookup: &dyn Lookup) {
        if timer.instance.is_entity() {
            return self.enqueue_held(&timer, lookup);
        }
        let now = self.now;
        let run = match self.find(&timer.instance, lookup) {
            Ok(instance) => instance.map(|i| (i.record.run, i.record.status)),
            Err(why) => {
                // Its row stays where it is, so that the timer fires after a repair.
                self.effect(self.batch_seq, Effect::Warn(format!("a timer was not delivered: {why}")));
                return;
            }
        };
        self.batch.delete_timer(timer.run, timer.position);
        let Some(instance) = self.instances.get_mut(&timer.instance) else { return };
        let Some((run, status)) = run else { return };
        if run != timer.run || status.is_terminal() {
            return;
        }
        if timer.position != TimerRecord::START {
            let fired = pb::TimerFiredEvent { fire_at: Some(timer.due.into()), timer_id: timer.timer_id };
            let event = events::event(events::NO_ACTION, now, EventType::TimerFired(fired));
            Self::push_inbox(&mut self.batch, instance, event, Some(timer.position));
        }
        self.save(&timer.instance);
    }
}

/// Whether a place in a queue still stands for something that waits.
fn is_current(
    instances: &std::collections::HashMap<InstanceId, Box<super::instance::Instance>>,
    work: &Work,
    ticket: Ticket,
) -> bool {
    match work {
        Work::Episode(id) => instances.get(id).is_some_and(|i| Partition::is_queued(i, ticket)),
        Work::Activity(id, run, position) => instances
            .get(id)
            .filter(|i| i.record.run == *run)
            .and_then(|i| i.activities.get(position))
            .is_some_and(|open| open.stay == Stay::Queued(ticket)),
        Work::Batch(_) => false,
    }
}

/// The event that tells the orchestrator how an activity ended.
fn activity_event(request: &pb::ActivityRequest, outcome: ActivityOutcome, limit: usize) -> EventType {
    let task_scheduled_id = request.task_id;
    let failure = match outcome {
        Ok(result) if result.as_deref().is_none_or(|r| weight(r) <= limit) => {
            return EventType::TaskCompleted(pb::TaskCompletedEvent { task_scheduled_id, result });
        }
        Ok(result) => {
            let size = result.as_deref().map_or(0, weight);
            let text = format!(
                "activity `{}` returned {size} bytes, the limit is {limit}: keep large data elsewhere and return a \
                 reference to it",
                request.name
            );
            events::failure("PayloadTooLarge", text, true)
        }
        Err(failure) => events::bounded(failure),
    };
    EventType::TaskFailed(pb::TaskFailedEvent { task_scheduled_id, failure_details: Some(failure) })
}
