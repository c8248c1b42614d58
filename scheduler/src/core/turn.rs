//! Turns: an episode goes to a worker, and its answer becomes history.

use std::collections::BTreeMap;
use std::sync::Arc;

use durawasm_proto::{durabletask as pb, v1};
use pb::history_event::EventType;
use pb::orchestrator_action::OrchestratorActionType as Action;
use pb::send_entity_message_action::EntityMessageType;

use super::delivery::Delivery;
use super::dispatch::Work;
use super::ending::Ending;
use super::entity::{SectionRule, check_message};
use super::ids::{InstanceId, Position, StreamId};
use super::instance::{Episode, Instance, Turn, open_activity};
use super::message::{Change, Effect, EpisodeItem, Refusal, Reply};
use super::partition::Partition;
use super::record::{InboxEntry, Parked, Status, StoredEvent, TimerRecord, TurnId};
use super::token::{Token, WorkKind};
use super::{chunks, events, payload, repair};

/// Parts of one answer that are kept at most, so that a worker cannot fill the memory.
const MAX_CHUNKS: usize = 4_096;
/// …and their size.
const MAX_CHUNK_BYTES: usize = 128 << 20;
/// The type of the failure of an execution that made a payload over the limit.
const TOO_LARGE: &str = "PayloadTooLarge";

impl Partition {
    /// Sends an instance's next episode to a worker with room, or queues it.
    pub(super) fn offer_episode(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get(id) else { return };
        let route = self.route_of(instance);
        match self.dispatcher.place(&route, instance.worker.as_deref(), instance.avoid) {
            Some(stream) => self.send_episode(stream, id),
            None => {
                let ticket = self.dispatcher.enqueue(&route, Work::Episode(id.clone()));
                if let Some(instance) = self.instances.get_mut(id) {
                    instance.turn = Turn::Queued(ticket);
                }
            }
        }
    }

    pub(super) fn send_episode(&mut self, stream: StreamId, id: &InstanceId) {
        // Not all of what is known of the stream: with many versions its filters are long.
        let Some(info) = self.dispatcher.stream(stream).map(|info| (Arc::clone(&info.worker), info.extended)) else {
            return;
        };
        let (worker, extended) = info;
        let Some(mut instance) = self.instances.remove(id) else { return };
        self.pin(&mut instance, stream);
        let record = &instance.record;
        let mut started_at = self.now.max(record.last_episode_at.next());
        if !self.timers.contains(record.run, TimerRecord::START) {
            started_at = started_at.max(record.scheduled_start.unwrap_or(started_at));
        }
        let token = self.new_token(WorkKind::Orchestration, id, instance.record.run, 0);
        let mut new_events = vec![events::orchestrator_started(started_at)];
        let mut bytes = 0;
        let mut taken = 0;
        for entry in instance.inbox.iter().take(self.limits.new_events) {
            bytes += payload::event_weight(&entry.stored.event);
            if bytes > self.limits.new_event_bytes && taken > 0 {
                break;
            }
            taken += 1;
            if !extended && events::is_annotation(&entry.stored.event) {
                continue;
            }
            if let Some(EventType::TimerFired(fired)) = &entry.stored.event.event_type {
                // Also if the clock was set back since.
                started_at = started_at.max(fired.fire_at.map_or(started_at, Into::into));
            }
            new_events.push(entry.stored.event.clone());
        }
        new_events[0] = events::orchestrator_started(started_at);
        let warm = extended && instance.worker.as_deref() == Some(&*worker) && !instance.wants_history;
        let base = instance.record.base.map(|turn| Token {
            kind: WorkKind::Orchestration,
            attempt: turn.attempt,
            incarnation: turn.incarnation,
            ..token.clone()
        });
        instance.turn = Turn::Sent(Episode {
            stream,
            attempt: token.attempt,
            started_at,
            taken,
            unannotated: !extended,
            chunks: BTreeMap::new(),
            chunk_bytes: 0,
        });
        instance.worker = Some(worker);
        self.dispatcher.occupy(stream, WorkKind::Orchestration, token.attempt, Work::Episode(id.clone()));
        let item = EpisodeItem {
            token,
            execution: instance.record.execution.as_str().into(),
            run: instance.record.run,
            past: instance.record.history_len,
            past_bytes: instance.record.history_bytes,
            warm,
            base: base.filter(|_| extended),
            fuel: instance.record.fuel.and_then(|fuel| fuel.execution),
            new_events,
            trace: instance.record.trace.clone(),
            version: repair::moved_to(&instance.record).map(str::to_owned),
            losses: instance.losses,
        };
        // All of its past is on disk by then; the new events may still be on their way there, because the answer can only be
        // written behind them.
        self.effect(instance.history_batch, Effect::SendEpisode(stream, Box::new(item)));
        self.instances.insert(id.clone(), instance);
    }

    pub(super) fn complete_episode(
        &mut self,
        token: &Token,
        mut response: pb::OrchestratorResponse,
        fuel: Option<v1::Fuel>,
    ) -> Result<Reply, Refusal> {
        let current = |instance: &Instance| match &instance.turn {
            Turn::Sent(e) => {
                (e.attempt, instance.record.run, self.identity.incarnation)
                    == (token.attempt, token.run, token.incarnation)
            }
            _ => false,
        };
        let Some(instance) = self.instances.get_mut(&token.instance).filter(|i| current(i)) else {
            self.release(token);
            return Ok(Reply::Void);
        };
        if response.is_partial {
            let Turn::Sent(episode) = &mut instance.turn else { return Ok(Reply::Void) };
            let index = response.chunk_index.unwrap_or(0);
            // One that is sent again takes the place of the first.
            let before = episode.chunks.get(&index).map_or(0, payload::answer_weight);
            episode.chunk_bytes += payload::answer_weight(&response);
            episode.chunk_bytes -= before;
            if episode.chunks.len() >= MAX_CHUNKS || episode.chunk_bytes > MAX_CHUNK_BYTES {
                self.give_back(token);
                let text = format!("an answer has at most {MAX_CHUNKS} parts and {} MiB", MAX_CHUNK_BYTES >> 20);
                return Err(Refusal::TooLarge(text));
            }
            episode.chunks.insert(index, response);
            return Ok(Reply::Done);
        }
        if response.requires_history && instance.wants_history {
            // It had the history: it is not the history that it lacks.
            self.give_back(token);
            return Ok(Reply::Done);
        }
        if response.requires_history {
            instance.wants_history = true;
            instance.turn = Turn::Idle;
            self.release(token);
            self.touched.push(token.instance.clone());
            return Ok(Reply::Done);
        }
        if let Turn::Sent(episode) = &mut instance.turn {
            if let Some(missing) = chunks::missing(episode) {
                self.give_back(token);
                return Err(Refusal::Invalid(format!("the answer lacks part {missing}: send all of its parts again")));
            }
            chunks::join(episode, &mut response);
        }
        if let Err(why) = self.check_response(token, &response) {
            self.give_back(token);
            return Err(why);
        }
        if let Some(instance) = self.instances.get(&token.instance)
            && let Turn::Sent(episode) = &instance.turn
            && episode.taken > 0
            && response.actions.is_empty()
            && consumed(instance, episode, response.num_events_processed) == 0
        {
            // It says that it did nothing. Asked again at once, it would say so for ever.
            self.give_back(token);
            return Ok(Reply::Done);
        }
        self.release(token);
        if let Some(parked) = self.parks(token, &response) {
            self.take_back_episode(&token.instance, token.attempt, Some(parked), false);
            return Ok(Reply::Done);
        }
        let Some(mut instance) = self.instances.remove(&token.instance) else { return Ok(Reply::Void) };
        let Turn::Sent(episode) = std::mem::replace(&mut instance.turn, Turn::Idle) else { return Ok(Reply::Void) };
        self.commit_turn(instance, episode, response, fuel);
        Ok(Reply::Done)
    }

    fn give_back(&mut self, token: &Token) {
        self.release(token);
        self.take_back_episode(&token.instance, token.attempt, None, false);
    }

    /// Refuses an answer that makes no sense. Ids of actions may repeat and leave gaps: that is not an error.
    fn check_response(&self, token: &Token, response: &pb::OrchestratorResponse) -> Result<(), Refusal> {
        let id = &token.instance;
        if !response.instance_id.is_empty() && response.instance_id != id.as_str() {
            let text = format!("the token is of instance `{id}`, the answer of `{}`", response.instance_id);
            return Err(Refusal::Invalid(text));
        }
        for action in &response.actions {
            match &action.orchestrator_action_type {
                None => return Err(Refusal::Invalid(format!("action {} of `{id}` has no type", action.id))),
                Some(Action::SendEntityMessage(message)) if message.entity_message_type.is_none() => {
                    let text = format!("action {} of `{id}` sends no message to an entity", action.id);
                    return Err(Refusal::Invalid(text));
                }
                Some(Action::RewindOrchestration(_)) => {
                    let text = format!("`{id}` answers with a rewind that nobody asked for");
                    return Err(Refusal::Invalid(text));
                }
                Some(_) => {}
            }
        }
        let ends =
            |a: &&pb::OrchestratorAction| matches!(a.orchestrator_action_type, Some(Action::CompleteOrchestration(_)));
        if response.actions.iter().filter(ends).count() > 1 {
            return Err(Refusal::Invalid(format!("`{id}` answers with two completions")));
        }
        Ok(())
    }

    /// Whether an instance waits, because of what its code decided, until a limit is higher. Workers that know parking park for a payload
    /// over their own limit; so it makes no difference which of the two limits is the lower one. Workers of the standard protocol
    /// know nothing of the kind: their instances fail.
    fn parks(&self, token: &Token, response: &pb::OrchestratorResponse) -> Option<Parked> {
        let instance = self.instances.get(&token.instance)?;
        let Turn::Sent(episode) = &instance.turn else { return None };
        if !self.dispatcher.stream(episode.stream).is_some_and(|info| info.extended) {
            return None;
        }
        let message =
            self.impossible(instance, response).filter(|failure| failure.error_type == TOO_LARGE)?.error_message;
        Some(Parked {
            reason: "payload".to_owned(),
            message,
            component: String::new(),
            advice: "pass a reference to large data instead of the data; or raise `--payload-limit` of the scheduler and of the host"
                .to_owned(),
            since: self.now,
            attempts: 0,
        })
    }

    /// Why an execution cannot go on with what its code decided, if so: then it fails.
    fn impossible(&self, instance: &Instance, response: &pb::OrchestratorResponse) -> Option<pb::TaskFailureDetails> {
        let mut section = SectionRule::new(instance.record.section.as_deref());
        let too_large = |what: &str, payload: &Option<String>| match self.check_payload(what, payload.as_deref()) {
            Err(Refusal::TooLarge(text)) => Some(events::failure(TOO_LARGE, text, true)),
            _ => None,
        };
        let mut action = |action: &pb::OrchestratorAction| match action.orchestrator_action_type.as_ref()? {
            Action::ScheduleTask(a) => too_large(&format!("the input of activity `{}`", a.name), &a.input),
            Action::CreateSubOrchestration(a) => too_large(&format!("the input of child `{}`", a.name), &a.input),
            Action::SendEvent(a) => too_large(&format!("the event `{}`", a.name), &a.data),
            Action::CompleteOrchestration(a) => too_large("the output", &a.result).or_else(|| {
                a.carryover_events.iter().find_map(|carried| match &carried.event_type {
                    Some(EventType::EventRaised(raised)) => too_large("a carried event", &raised.input),
                    // Anything else would make a history that no worker can read.
                    _ => {
                        Some(events::failure("InvalidAction", "only external events can be carried over".into(), true))
                    }
                })
            }),
            Action::SendEntityMessage(message) => check_message(message, &mut section, self.limits.payload_bytes),
            _ => None,
        };
        too_large("the custom status", &response.custom_status)
            .or_else(|| response.actions.iter().find_map(&mut action))
    }

    /// One transaction: new events and actions become history, and everything that follows from them.
    fn commit_turn(
        &mut self,
        mut instance: Box<Instance>,
        episode: Episode,
        mut response: pb::OrchestratorResponse,
        fuel: Option<v1::Fuel>,
    ) {
        if let Some(failure) = self.impossible(&instance, &response) {
            let completion = pb::CompleteOrchestrationAction {
                orchestration_status: pb::OrchestrationStatus::Failed.into(),
                failure_details: Some(failure),
                ..Default::default()
            };
            let action = Action::CompleteOrchestration(completion);
            response.actions = vec![pb::OrchestratorAction { id: -1, orchestrator_action_type: Some(action) }];
            response.custom_status = None;
        }
        let consumed = consumed(&instance, &episode, response.num_events_processed);
        let mut history = vec![StoredEvent { event: events::orchestrator_started(episode.started_at), answers: None }];
        self.consume(&mut instance, consumed, &mut history);
        let terminations = history.iter().filter_map(|e| match &e.event.event_type {
            Some(EventType::ExecutionTerminated(terminated)) => Some(terminated),
            _ => None,
        });
        let recurse = terminations.clone().any(|terminated| terminated.recurse);
        let asked_to_end = terminations.clone().next().map(|terminated| terminated.input.clone());

        let record = &mut instance.record;
        record.last_episode_at = episode.started_at;
        record.base = Some(TurnId { incarnation: self.identity.incarnation, attempt: episode.attempt });
        record.parked = None;
        record.count_fuel(fuel.map(|fuel| (fuel.episode, fuel.execution)));
        if record.status == Status::Pending {
            record.status = Status::Running;
        }
        record.trace = response.orchestration_trace_context;
        instance.returns = 0;
        instance.losses = 0;
        instance.avoid = None;
        instance.wants_history = false;
        self.parked.remove(&instance.record.id);

        let mut completion = None;
        let mut continues = response.actions.iter().any(is_continue_as_new);
        for action in response.actions {
            let Some(kind) = action.orchestrator_action_type else { continue };
            if let Action::CompleteOrchestration(complete) = kind {
                completion = Some((action.id, complete));
            } else if !continues || outlives(&kind) {
                self.act(&mut instance, &mut history, action.id, kind);
            }
        }
        if let Some(result) = asked_to_end.filter(|_| continues) {
            // Code that continued as new before it got to the termination has not seen it. Its next generation would not either.
            let terminated = pb::OrchestrationStatus::Terminated.into();
            let complete =
                pb::CompleteOrchestrationAction { orchestration_status: terminated, result, ..Default::default() };
            completion = completion.map(|(action_id, _)| (action_id, complete));
            continues = false;
        }
        let id = instance.record.id.clone();
        match completion {
            Some((_, complete)) if continues => {
                self.continue_as_new(&mut instance, complete, response.custom_status);
            }
            Some((action_id, complete)) => {
                instance.record.answer_custom_status(response.custom_status);
                let number = complete.orchestration_status;
                let status = pb::OrchestrationStatus::try_from(number).ok().and_then(Status::from_wire);
                // A status that is not an end, or unknown, is the worker's mistake; the user sees it as a failure.
                let mistake = || {
                    let text = format!("its worker ended it with the status {number}, which is not one of an end");
                    events::failure("InvalidCompletion", text, true)
                };
                let (status, failure) = match status.filter(|s| s.is_terminal()) {
                    Some(status) => (status, complete.failure_details),
                    None => (Status::Failed, Some(complete.failure_details.unwrap_or_else(mistake))),
                };
                let failure = failure.map(events::bounded);
                let ending = Ending { status, result: complete.result, failure, action_id };
                self.end(&mut instance, history, ending, recurse);
            }
            None => {
                instance.record.answer_custom_status(response.custom_status);
                self.append(&mut instance, history);
            }
        }
        let status = instance.record.status;
        let change = if status.is_terminal() { Change::Over(Some(status)) } else { Change::Progress };
        self.effect(self.batch_seq, Effect::Changed(id.clone(), change));
        let calls: Vec<Position> = new_calls(&instance);
        self.instances.insert(id.clone(), instance);
        for position in calls {
            self.offer_activity(&id, position, None);
        }
        self.save(&id);
    }

    /// Moves events from the inbox's front to the history.
    pub(super) fn consume(&mut self, instance: &mut Instance, count: usize, history: &mut Vec<StoredEvent>) {
        for InboxEntry { seq, stored } in instance.inbox.drain(..count) {
            self.batch.delete_inbox(instance.record.key, seq);
            history.push(stored);
        }
        instance.record.inbox_len = instance.inbox.len() as u64;
        if instance.inbox.is_empty() {
            // It may rest for long.
            instance.inbox = std::collections::VecDeque::new();
        }
    }

    pub(super) fn append(&mut self, instance: &mut Instance, history: Vec<StoredEvent>) {
        let record = &mut instance.record;
        let first = record.history_len;
        record.history_len += history.len() as u64;
        record.history_bytes += history.iter().map(|e| payload::event_weight(&e.event) as u64).sum::<u64>();
        self.batch.append(record.run, first, history);
        instance.history_batch = self.batch_seq;
    }

    /// One action: its history event, and its effect.
    fn act(&mut self, instance: &mut Instance, history: &mut Vec<StoredEvent>, action_id: i32, action: Action) {
        let now = self.now;
        let position = instance.record.history_len + history.len() as u64;
        let event_type = match action {
            Action::ScheduleTask(task) => {
                let scheduled = pb::TaskScheduledEvent {
                    name: task.name,
                    version: task.version,
                    input: task.input,
                    parent_trace_context: task.parent_trace_context,
                    tags: task.tags,
                };
                let open = open_activity(&instance.record, action_id, &scheduled);
                instance.activities.insert(position, open);
                instance.record.open_activities += 1;
                EventType::TaskScheduled(scheduled)
            }
            Action::CreateTimer(timer) => {
                let due = timer.fire_at.map_or(now, super::time::Timestamp::not_before);
                let record = TimerRecord {
                    run: instance.record.run,
                    position,
                    due,
                    timer_id: action_id,
                    instance: instance.record.id.clone(),
                };
                self.batch.put_timer(record.clone());
                self.timers.insert(record);
                EventType::TimerCreated(pb::TimerCreatedEvent { fire_at: Some(due.into()) })
            }
            Action::CreateSubOrchestration(child) => self.create_child(instance, position, action_id, child),
            Action::SendEvent(send) => {
                let target = send.instance.map(|i| i.instance_id).unwrap_or_default();
                if let Ok(id) = InstanceId::parse(&target) {
                    self.deliveries.push_back(Delivery::Event(id, send.name.clone(), send.data.clone()));
                }
                EventType::EventSent(pb::EventSentEvent { instance_id: target, name: send.name, input: send.data })
            }
            Action::TerminateOrchestration(terminate) => {
                if let Ok(id) = InstanceId::parse(&terminate.instance_id) {
                    self.deliveries.push_back(Delivery::Terminate(id, terminate.reason, terminate.recurse));
                }
                return;
            }
            Action::SendEntityMessage(message) => match message.entity_message_type {
                Some(message) => self.send_entity_message(instance, position, message),
                None => return,
            },
            Action::CompleteOrchestration(_) | Action::RewindOrchestration(_) => return,
        };
        history.push(StoredEvent { event: events::event(action_id, now, event_type), answers: None });
    }

    fn create_child(
        &mut self,
        instance: &mut Instance,
        position: Position,
        action_id: i32,
        child: pb::CreateSubOrchestrationAction,
    ) -> EventType {
        let record = &mut instance.record;
        let id = match child.instance_id.is_empty() {
            true => format!("{}:{action_id:04x}", record.id),
            false => child.instance_id,
        };
        record.open_children += 1;
        let created = pb::SubOrchestrationInstanceCreatedEvent {
            instance_id: id,
            name: child.name,
            version: child.version,
            input: child.input,
            parent_trace_context: child.parent_trace_context,
            tags: child.tags,
        };
        instance.children.insert(position, InstanceId::trusted(&created.instance_id));
        self.call_child(&instance.record, position, action_id, &created);
        EventType::SubOrchestrationInstanceCreated(created)
    }
}

/// How many entries of the inbox an answer has processed. It counts what the worker was shown, `orchestratorStarted` included.
fn consumed(instance: &Instance, episode: &Episode, processed: Option<i32>) -> usize {
    let Some(processed) = processed else { return episode.taken };
    let mut shown = usize::try_from(processed).unwrap_or(0).saturating_sub(1);
    let hidden = |entry: &InboxEntry| episode.unannotated && events::is_annotation(&entry.stored.event);
    let mut consumed = 0;
    for entry in instance.inbox.iter().take(episode.taken) {
        if !hidden(entry) {
            if shown == 0 {
                break;
            }
            shown -= 1;
        }
        consumed += 1;
    }
    consumed
}

fn is_continue_as_new(action: &pb::OrchestratorAction) -> bool {
    matches!(&action.orchestrator_action_type, Some(Action::CompleteOrchestration(c))
        if c.orchestration_status() == pb::OrchestrationStatus::ContinuedAsNew)
}

/// Whether an action still has an effect when the execution continues as new: what could only answer the old one has none.
fn outlives(action: &Action) -> bool {
    match action {
        Action::ScheduleTask(_) | Action::CreateTimer(_) => false,
        Action::SendEntityMessage(m) => {
            !matches!(m.entity_message_type, Some(EntityMessageType::EntityLockRequested(_)))
        }
        _ => true,
    }
}

/// Activities that were called in this turn and are not on their way yet.
fn new_calls(instance: &Instance) -> Vec<Position> {
    let unsent = |stay| matches!(stay, super::instance::Stay::Delayed(0));
    let all = instance.activities.iter().rev();
    let mut calls: Vec<Position> = all.take_while(|(_, open)| unsent(open.stay)).map(|(at, _)| *at).collect();
    calls.reverse();
    calls
}
