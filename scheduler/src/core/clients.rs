//! What clients ask for: start, raise, terminate, suspend, resume, describe.

use std::collections::BTreeMap;
use std::sync::Arc;

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

use super::events;
use super::ids::{ExecutionId, InstanceId, RunId};
use super::instance::{Instance, Turn};
use super::message::{Change, Description, Effect, Refusal, Reply, StartRequest};
use super::partition::{Lookup, Partition};
use super::payload::weight;
use super::record::{InstanceRecord, ParentLink, Status, TimerRecord};

type Answer = Result<Reply, Refusal>;

/// How many troubled activities of an instance are shown at most.
const SHOWN_ACTIVITIES: usize = 100;

impl Partition {
    pub(super) fn start(&mut self, start: StartRequest, lookup: &dyn Lookup) -> Answer {
        if start.name.is_empty() {
            return Err(Refusal::Invalid("the name of the orchestrator is missing".into()));
        }
        if start.instance.is_entity() {
            let text = format!("`{}`: ids that begin with `@` belong to entities; choose another one", start.instance);
            return Err(Refusal::Invalid(text));
        }
        self.check_payload("the input", start.input.as_deref())?;
        if let Some(replaceable) = &start.replaceable {
            let live = [Status::Running, Status::Pending, Status::Suspended];
            if live.iter().any(|s| replaceable.contains(s)) && !replaceable.contains(&Status::Terminated) {
                let text = "the reuse policy lets a running instance be replaced, which terminates it, but not a \
                            TERMINATED one: add TERMINATED to the policy or take the running statuses out";
                return Err(Refusal::Invalid(text.into()));
            }
        }
        if !start.fresh
            && let Some(existing) = self.find(&start.instance, lookup)?
        {
            let status = existing.record.status;
            if !start.replaceable.as_ref().is_some_and(|r| r.contains(&status)) {
                return Err(Refusal::AlreadyExists(start.instance, status.word()));
            }
            self.replace(&start.instance);
        }
        let id = start.instance.clone();
        self.create(start, None);
        Ok(Reply::Started(id))
    }

    /// Takes an instance away to make room for one with the same id. What it has at workers becomes void; its parent and
    /// those who wait for it learn that it was terminated.
    pub(super) fn replace(&mut self, id: &InstanceId) {
        let Some(mut old) = self.instances.remove(id) else { return };
        self.leave_section(&mut old);
        if !old.record.status.is_terminal() {
            let failure = events::failure("Terminated", format!("instance `{id}` was replaced by a new one"), false);
            self.tell_parent(&mut old, Err(failure));
        }
        self.timers.remove_run(old.record.run);
        self.batch.drop_instance(old.record.key, old.record.run);
        self.parked.remove(id);
        self.gone.insert(id.clone(), self.batch_seq);
        self.effect(self.batch_seq, Effect::Changed(id.clone(), Change::Over(None)));
    }

    /// Makes a new instance. Nothing of that id is there.
    pub(super) fn create(&mut self, start: StartRequest, parent: Option<ParentLink>) {
        self.gone.remove(&start.instance);
        let key = self.new_key();
        let (run, mut execution) = self.new_run();
        if let Some(chosen) = start.execution.as_deref().filter(|e| !e.is_empty()) {
            execution = ExecutionId::new(chosen);
        }
        let now = self.now;
        let scheduled = start.scheduled_start.filter(|at| *at > now);
        let started = pb::ExecutionStartedEvent {
            name: start.name.clone(),
            version: start.version.clone(),
            input: start.input,
            orchestration_instance: Some(pb::OrchestrationInstance {
                instance_id: start.instance.as_str().into(),
                execution_id: Some(execution.as_str().into()),
            }),
            parent_instance: parent.as_ref().map(|p| p.info.clone()),
            scheduled_start_timestamp: scheduled.map(Into::into),
            parent_trace_context: start.trace.clone(),
            orchestration_span_id: None,
            tags: start.tags.clone().into_iter().collect(),
        };
        let record = InstanceRecord {
            key,
            id: start.instance.clone(),
            run,
            execution,
            name: start.name,
            version: start.version,
            status: Status::Pending,
            created_at: now,
            updated_at: now,
            completed_at: None,
            scheduled_start: scheduled,
            custom_status: None,
            inherited_status: false,
            parent,
            tags: start.tags,
            trace: None,
            caller_trace: start.trace.map(Box::new),
            history_len: 0,
            history_bytes: 0,
            last_episode_at: super::time::Timestamp::MIN,
            base: None,
            inbox_next: 0,
            inbox_len: 0,
            open_activities: 0,
            open_children: 0,
            parked: None,
            fuel: None,
            section: None,
        };
        let mut instance = Box::new(Instance::new(record, Vec::new()));
        let event = events::event(events::NO_ACTION, now, EventType::ExecutionStarted(Box::new(started)));
        Self::push_inbox(&mut self.batch, &mut instance, event, None);
        if let Some(due) = scheduled {
            let timer = TimerRecord {
                run,
                position: TimerRecord::START,
                due,
                timer_id: events::NO_ACTION,
                instance: start.instance.clone(),
            };
            self.batch.put_timer(timer.clone());
            self.timers.insert(timer);
        }
        self.instances.insert(start.instance.clone(), instance);
        self.save(&start.instance);
        self.effect(self.batch_seq, Effect::Changed(start.instance, Change::Progress));
    }

    pub(super) fn raise(
        &mut self,
        id: &InstanceId,
        name: String,
        input: Option<String>,
        lookup: &dyn Lookup,
    ) -> Answer {
        if name.is_empty() {
            return Err(Refusal::Invalid("the name of the event is missing".into()));
        }
        self.check_payload("the event's payload", input.as_deref())?;
        let event = events::event_raised(self.now, name, input);
        self.post(id, event, lookup)
    }

    pub(super) fn terminate(
        &mut self,
        id: &InstanceId,
        output: Option<String>,
        recurse: bool,
        lookup: &dyn Lookup,
    ) -> Answer {
        self.check_payload("the output", output.as_deref())?;
        let event = events::execution_terminated(self.now, output, recurse);
        let answer = self.post(id, event, lookup)?;
        // It goes before a delay that an earlier failure of the worker has brought.
        if let Some(instance) = self.instances.get_mut(id)
            && matches!(instance.turn, Turn::Delayed(_))
        {
            instance.turn = Turn::Idle;
        }
        Ok(answer)
    }

    pub(super) fn suspend(&mut self, id: &InstanceId, reason: Option<String>, lookup: &dyn Lookup) -> Answer {
        self.check_payload("the reason", reason.as_deref())?;
        self.hold(id, Status::Suspended, reason, lookup)
    }

    pub(super) fn resume(&mut self, id: &InstanceId, reason: Option<String>, lookup: &dyn Lookup) -> Answer {
        self.check_payload("the reason", reason.as_deref())?;
        self.hold(id, Status::Running, reason, lookup)
    }

    /// Suspends or resumes: the status changes at once, the worker learns of it with its next episode.
    fn hold(&mut self, id: &InstanceId, to: Status, reason: Option<String>, lookup: &dyn Lookup) -> Answer {
        let now = self.now;
        let Some(instance) = self.find(id, lookup)? else { return Err(Refusal::NotFound(id.clone())) };
        let status = instance.record.status;
        let suspend = to == Status::Suspended;
        if status.is_terminal() || (status == Status::Suspended) == suspend {
            return Ok(Reply::Done);
        }
        let begun = instance.record.last_episode_at > super::time::Timestamp::MIN;
        instance.record.status = if suspend || begun { to } else { Status::Pending };
        let event_type = if suspend {
            EventType::ExecutionSuspended(pb::ExecutionSuspendedEvent { input: reason })
        } else {
            EventType::ExecutionResumed(pb::ExecutionResumedEvent { input: reason })
        };
        if suspend && matches!(instance.turn, Turn::Queued(_) | Turn::Delayed(_)) {
            instance.turn = Turn::Idle;
        }
        let answer = self.post(id, events::event(events::NO_ACTION, now, event_type), lookup);
        self.effect(self.batch_seq, Effect::Changed(id.clone(), Change::Progress));
        answer
    }

    /// Puts an event from outside into the inbox of whatever execution is current. An instance that has ended takes none.
    pub(super) fn post(&mut self, id: &InstanceId, event: pb::HistoryEvent, lookup: &dyn Lookup) -> Answer {
        if self.find(id, lookup)?.is_none() {
            return Err(Refusal::NotFound(id.clone()));
        }
        let Some(instance) = self.instances.get_mut(id) else { return Err(Refusal::NotFound(id.clone())) };
        if instance.record.status.is_terminal() {
            return Ok(Reply::Done);
        }
        Self::push_inbox(&mut self.batch, instance, event, None);
        self.save(id);
        Ok(Reply::Done)
    }

    pub(super) fn describe(&mut self, id: &InstanceId, lookup: &dyn Lookup) -> Answer {
        self.find(id, lookup)?;
        let Some(instance) = self.instances.get(id) else { return Ok(Reply::Described(None)) };
        let record = instance.record.clone();
        let (unserved, worker) = match &instance.turn {
            Turn::Queued(_) => (Some(self.route_of(instance)), None),
            Turn::Sent(_) => (None, instance.worker.clone()),
            Turn::Idle | Turn::Delayed(_) => (None, None),
        };
        let unserved = unserved.filter(|route| !self.dispatcher.is_served(route));
        let activity = || instance.activities.values().find(|open| !self.dispatcher.is_served(&open.route));
        let (unserved, inherited_version) = match unserved {
            Some(route) => (Some(route), false),
            None => activity().map_or((None, false), |open| {
                (Some(open.route.clone()), open.request.version.is_none() && !open.route.version.is_empty())
            }),
        };
        let returned_episodes = instance.returns;
        let returned = instance.activities.iter().filter(|(_, open)| open.returns > 0);
        let returned_activities =
            returned.map(|(at, open)| (*at, open.route.name.clone(), open.returns)).take(SHOWN_ACTIVITIES).collect();
        let description = Description {
            open_timers: self.timers.count(record.run),
            record,
            unserved,
            inherited_version,
            worker,
            returned_episodes,
            returned_activities,
        };
        Ok(Reply::Described(Some(Box::new(description))))
    }

    /// The activities that were called and not answered, by name and version. Whatever has one is in memory.
    pub(super) fn count_open_activities(&self) -> BTreeMap<(Arc<str>, Arc<str>), usize> {
        let mut counts = BTreeMap::new();
        for route in self.instances.values().flat_map(|instance| instance.activities.values()).map(|open| &open.route) {
            *counts.entry((Arc::clone(&route.name), Arc::clone(&route.version))).or_default() += 1;
        }
        counts
    }

    /// Refuses a payload over the limit.
    pub(super) fn check_payload(&self, what: &str, payload: Option<&str>) -> Result<(), Refusal> {
        let (limit, size) = (self.limits.payload_bytes, payload.map_or(0, weight));
        if size > limit {
            let text = format!(
                "{what} has {size} bytes, the limit is {limit}: keep large data elsewhere and pass a reference to it"
            );
            return Err(Refusal::TooLarge(text));
        }
        Ok(())
    }

    /// Forgets the timers of an execution, here and in the store.
    pub(super) fn drop_timers(&mut self, run: RunId) {
        if self.timers.count(run) > 0 {
            self.timers.remove_run(run);
            self.batch.end_run(run);
        }
    }
}
