//! Fork: a new instance begins with a part of another one's history.

use std::collections::BTreeMap;

use durawasm_proto::durabletask as pb;
use durawasm_proto::tag;
use pb::history_event::EventType;

use super::super::ids::{InstanceId, Position};
use super::super::message::{ForkRequest, Refusal, Reply, StartRequest};
use super::super::partition::{Lookup, Partition};
use super::super::record::StoredEvent;
use super::super::time::Timestamp;
use super::super::{events, rewrite};
use super::{Stop, beginning, cut, open_children};

impl Partition {
    pub(super) fn fork(&mut self, fork: ForkRequest, lookup: &dyn Lookup) -> Result<Reply, Stop> {
        if fork.instance.is_entity() {
            let text = format!("`{}`: ids that begin with `@` belong to entities; choose another one", fork.instance);
            return Err(Refusal::Invalid(text).into());
        }
        for (_, result) in &fork.results {
            self.check_payload("a result", result.as_deref())?;
        }
        let history = self.read_history(&fork.source, lookup)?;
        if let Some(existing) = self.find(&fork.instance, lookup)? {
            let status = existing.record.status.word();
            return Err(Refusal::AlreadyExists(fork.instance, status).into());
        }
        let (cut, at) = cut(&fork.source, &history, fork.at, true)?;
        let results = substitutes(&fork.source, &history, cut, fork.results, self.now)?;
        let Some(source) = self.instances.get(&fork.source) else {
            return Err(Refusal::NotFound(fork.source).into());
        };
        let record = &source.record;
        let mut tags = record.tags.clone();
        if cut > 0 {
            tags.entry(tag::SEED_OF.to_owned()).or_insert_with(|| fork.source.as_str().to_owned());
        } else {
            tags.remove(tag::SEED_OF);
        }
        let started = rewrite::started(&history);
        let start = StartRequest {
            instance: fork.instance.clone(),
            fresh: true,
            execution: None,
            name: record.name.clone(),
            version: fork.version.or_else(|| record.version.clone()),
            input: started.and_then(|s| s.input.clone()),
            scheduled_start: None,
            tags,
            trace: started.and_then(|s| s.parent_trace_context.clone()),
            replaceable: None,
        };
        let note = events::note(self.now, format!("forked from `{}` before event {at}", fork.source));
        let mut begin = beginning(source, history, cut, at, &results, note);
        self.create(start, None);
        let id = fork.instance;
        let Some(mut instance) = self.instances.remove(&id) else { return Err(Refusal::NotFound(id).into()) };
        // The children that are open belong to the other one: this one starts its own.
        let open = open_children(&begin);
        for (position, _) in &open {
            let stored = usize::try_from(*position).ok().and_then(|p| begin.history.get_mut(p));
            if let Some(EventType::SubOrchestrationInstanceCreated(created)) =
                stored.and_then(|s| s.event.event_type.as_mut())
                // What cannot be an id cannot be one here either: the call fails again.
                && InstanceId::parse(&created.instance_id).is_ok_and(|child| !child.is_entity())
            {
                created.instance_id = format!("{id}:fork-{position}");
            }
        }
        self.begin_again(&mut instance, begin);
        let record = instance.record.clone();
        self.instances.insert(id.clone(), instance);
        for (position, _) in open {
            let link = self.link_of(&record, position);
            self.start_again(&id, position, link);
        }
        self.offer_open_activities(&id);
        self.save(&id);
        Ok(Reply::Repaired(id, cut as Position))
    }
}

/// What calls are to have returned, as events, by the position of the call.
fn substitutes(
    id: &InstanceId,
    history: &[StoredEvent],
    cut: usize,
    results: Vec<(Position, Option<String>)>,
    now: Timestamp,
) -> Result<BTreeMap<Position, StoredEvent>, Refusal> {
    let mut given = BTreeMap::new();
    for (event, result) in results {
        let invalid =
            |why: &str| Refusal::Invalid(format!("event {event} of instance `{id}` can be given no result: {why}"));
        let index = usize::try_from(event).unwrap_or(usize::MAX);
        let Some(named) = history.get(index) else { return Err(invalid("there is no such event")) };
        let position = named.answers.unwrap_or(event);
        let call = usize::try_from(position).ok().filter(|p| *p < cut);
        let Some(call) = call.and_then(|p| history.get(p)) else {
            return Err(invalid("its call is in the part of the history that is undone"));
        };
        if history[..cut].iter().any(|e| e.answers == Some(position)) {
            return Err(invalid(
                "the part of the history that is kept has its answer: choose an earlier event to fork at",
            ));
        }
        let task_scheduled_id = call.event.event_id;
        let event_type = match &call.event.event_type {
            Some(EventType::TaskScheduled(_)) => {
                EventType::TaskCompleted(pb::TaskCompletedEvent { task_scheduled_id, result })
            }
            Some(EventType::SubOrchestrationInstanceCreated(_)) => {
                EventType::SubOrchestrationInstanceCompleted(pb::SubOrchestrationInstanceCompletedEvent {
                    task_scheduled_id,
                    result,
                })
            }
            _ => return Err(invalid("it is neither the call of an activity or a child nor the answer to one")),
        };
        let event = events::event(events::NO_ACTION, now, event_type);
        given.insert(position, StoredEvent { event, answers: Some(position) });
    }
    Ok(given)
}
