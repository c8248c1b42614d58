//! How executions end: with a result, by a termination, or with a next generation.

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

use super::batch::Batch;
use super::delivery::Delivery;
use super::events;
use super::ids::InstanceId;
use super::instance::{Instance, Turn};
use super::message::{Change, Effect};
use super::partition::Partition;
use super::record::{InboxEntry, Status, StoredEvent, TimerRecord};
use super::repair;
use super::workers::SUSPICIOUS_RETURNS;

/// What is written at the end of an execution.
pub(super) struct Ending {
    pub(super) status: Status,
    pub(super) result: Option<String>,
    pub(super) failure: Option<pb::TaskFailureDetails>,
    pub(super) action_id: i32,
}

impl Partition {
    /// Ends an execution: the last event, the status, and everybody who waits for it.
    pub(super) fn end(
        &mut self,
        instance: &mut Instance,
        mut history: Vec<StoredEvent>,
        ending: Ending,
        recurse: bool,
    ) {
        let now = self.now;
        let Ending { status, result, failure, action_id } = ending;
        if status == Status::Terminated && recurse {
            for (position, child) in &instance.children {
                let (child, run, reason) = (child.clone(), instance.record.run, result.clone());
                self.deliveries.push_back(Delivery::TerminateChild(child, run, *position, reason));
            }
        }
        let outcome = match (status, &failure) {
            (Status::Completed, _) => Ok(result.clone()),
            (_, Some(failure)) => Err(failure.clone()),
            (_, None) => {
                let word = status.word();
                let text = format!("instance `{}` was {word}", instance.record.id);
                Err(events::failure(if status == Status::Failed { "Failed" } else { "Terminated" }, text, false))
            }
        };
        self.tell_parent(instance, outcome);
        let event = events::execution_completed(action_id, now, status.to_wire(), result, failure);
        history.push(StoredEvent { event, answers: None });
        self.append(instance, history);
        let record = &mut instance.record;
        record.status = status;
        record.completed_at = Some(now);
        record.open_children = 0;
        record.parked = None;
        let run = record.run;
        self.leave_section(instance);
        instance.children.clear();
        Self::clear_inbox(&mut self.batch, instance);
        self.parked.remove(&instance.record.id);
        self.drop_timers(run);
    }

    /// Begins another execution of an instance, with an empty history. Nothing of the old one is left but what is in the inbox.
    pub(super) fn next_execution(&mut self, instance: &mut Instance) {
        self.leave_section(instance);
        let record = &mut instance.record;
        self.timers.remove_run(record.run);
        self.batch.drop_run(record.run);
        (record.run, record.execution) = self.new_run();
        record.scheduled_start = None;
        record.trace = None;
        record.base = None;
        if let Some(fuel) = &mut record.fuel {
            fuel.execution = None;
        }
        record.history_len = 0;
        record.history_bytes = 0;
        record.open_activities = 0;
        record.open_children = 0;
        instance.activities.clear();
        instance.children.clear();
    }

    /// The next generation: same instance, new execution, empty history.
    pub(super) fn continue_as_new(
        &mut self,
        instance: &mut Instance,
        complete: pb::CompleteOrchestrationAction,
        custom_status: Option<String>,
    ) {
        let now = self.now;
        if let Some(fuel) = &mut instance.record.fuel {
            fuel.earlier = fuel.total();
        }
        self.next_execution(instance);
        let record = &mut instance.record;
        record.version = complete.new_version.or_else(|| record.version.take());
        if !complete.tags.is_empty() {
            record.tags = complete.tags.into_iter().collect();
        }
        repair::forget_move(&mut record.tags);
        record.custom_status = custom_status.or_else(|| record.custom_status.take());
        record.inherited_status = record.custom_status.is_some();
        let started = pb::ExecutionStartedEvent {
            name: record.name.clone(),
            version: record.version.clone(),
            input: complete.result,
            orchestration_instance: Some(pb::OrchestrationInstance {
                instance_id: record.id.as_str().into(),
                execution_id: Some(record.execution.as_str().into()),
            }),
            parent_instance: record.parent.as_ref().map(|p| p.info.clone()),
            scheduled_start_timestamp: None,
            parent_trace_context: record.caller_trace.as_deref().cloned(),
            orchestration_span_id: None,
            tags: record.tags.clone().into_iter().collect(),
        };
        // What arrived meanwhile comes after what was carried over. Results for the old execution are void.
        let late: Vec<InboxEntry> = instance.inbox.drain(..).collect();
        instance.record.inbox_len = 0;
        let event = events::event(events::NO_ACTION, now, EventType::ExecutionStarted(Box::new(started)));
        Self::push_inbox(&mut self.batch, instance, event, None);
        for mut carried in complete.carryover_events {
            carried.timestamp = carried.timestamp.or(Some(now.into()));
            carried.event_id = events::NO_ACTION;
            Self::push_inbox(&mut self.batch, instance, carried, None);
        }
        for entry in late {
            self.batch.delete_inbox(instance.record.key, entry.seq);
            let begins = matches!(entry.stored.event.event_type, Some(EventType::ExecutionStarted(_)));
            if entry.stored.answers.is_none() && !begins {
                Self::push_inbox(&mut self.batch, instance, entry.stored.event, None);
            }
        }
    }

    /// Ends an instance that somebody asked to end and that no connected worker can run, or that workers keep giving back.
    pub(super) fn end_unserved(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get(id) else { return };
        let waits = !matches!(instance.turn, Turn::Sent(_)) && !instance.record.status.is_terminal();
        if !waits || !instance.is_terminating() {
            return;
        }
        // Nor is code begun before its time only to be ended.
        let early = self.timers.contains(instance.record.run, TimerRecord::START);
        let hopeless = early || instance.record.parked.is_some() || instance.returns >= SUSPICIOUS_RETURNS;
        if !hopeless && self.dispatcher.is_served(&self.route_of(instance)) {
            return;
        }
        self.end_without_worker(id);
    }

    /// Ends an instance whose end was asked for, as a worker would. Nobody else has it.
    pub(super) fn end_without_worker(&mut self, id: &InstanceId) {
        let Some(mut instance) = self.instances.remove(id) else { return };
        instance.turn = Turn::Idle;
        let started_at = self.now.max(instance.record.last_episode_at.next());
        instance.record.last_episode_at = started_at;
        let mut history = vec![StoredEvent { event: events::orchestrator_started(started_at), answers: None }];
        let all = instance.inbox.len();
        self.consume(&mut instance, all, &mut history);
        let mut asked = history.iter().filter_map(|e| match &e.event.event_type {
            Some(EventType::ExecutionTerminated(t)) => Some(t.clone()),
            _ => None,
        });
        let (result, first) = asked.next().map_or((None, false), |t| (t.input, t.recurse));
        let recurse = first || asked.any(|t| t.recurse);
        let ending = Ending { status: Status::Terminated, result, failure: None, action_id: events::NO_ACTION };
        self.end(&mut instance, history, ending, recurse);
        self.instances.insert(id.clone(), instance);
        self.effect(self.batch_seq, Effect::Changed(id.clone(), Change::Over(Some(Status::Terminated))));
        self.save(id);
    }

    /// Drops what has arrived for an instance that has ended; but as long as activities of it are open, the answers of the others
    /// are kept.
    pub(super) fn clear_inbox(batch: &mut Batch, instance: &mut Instance) {
        let keeps = instance.record.open_activities > 0;
        instance.inbox.retain(|entry| {
            let answer =
                matches!(entry.stored.event.event_type, Some(EventType::TaskCompleted(_) | EventType::TaskFailed(_)));
            let stays = keeps && answer && entry.stored.answers.is_some();
            if !stays {
                batch.delete_inbox(instance.record.key, entry.seq);
            }
            stays
        });
        instance.record.inbox_len = instance.inbox.len() as u64;
    }
}
