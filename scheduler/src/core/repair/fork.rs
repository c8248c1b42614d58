//! Fork: a new instance begins with a part of another one's history.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use durawasm_proto::durabletask as pb;
use durawasm_proto::tag;
use pb::history_event::EventType;

use super::super::ids::{InstanceId, MAX_INSTANCE_ID_BYTES, Position};
use super::super::message::{ForkRequest, Refusal, Reply, StartRequest};
use super::super::partition::{Lookup, Partition};
use super::super::record::StoredEvent;
use super::super::time::Timestamp;
use super::super::{events, rewrite};
use super::{Cut, Stop, beginning, forget_move, outside_section, place_to_cut};

/// The longest id of a fork: there is room behind it for `:fork-` and a position.
const MAX_FORK_ID_BYTES: usize = MAX_INSTANCE_ID_BYTES - 24;
/// How many results can be given at once.
const MAX_RESULTS: usize = 10_000;

impl Partition {
    pub(super) fn fork(&mut self, fork: ForkRequest, lookup: &dyn Lookup) -> Result<Reply, Stop> {
        if fork.instance.is_entity() {
            let text = format!("`{}`: ids that begin with `@` belong to entities; choose another one", fork.instance);
            return Err(Refusal::Invalid(text).into());
        }
        if fork.instance.as_str().len() > MAX_FORK_ID_BYTES {
            let text = format!("the id of a fork has at most {MAX_FORK_ID_BYTES} bytes: its children's begin with it");
            return Err(Refusal::Invalid(text).into());
        }
        if fork.results.len() > MAX_RESULTS {
            let text = format!("a fork can be given at most {MAX_RESULTS} results, these are {}", fork.results.len());
            return Err(Refusal::Invalid(text).into());
        }
        for (_, result) in &fork.results {
            self.check_payload("a result", result.as_deref())?;
        }
        self.check_execution(&fork.source, fork.execution.as_deref(), lookup)?;
        let history = self.read_history(&fork.source, lookup)?;
        if let Some(existing) = self.find(&fork.instance, lookup)? {
            let status = existing.record.status.word();
            return Err(Refusal::AlreadyExists(fork.instance, status).into());
        }
        let (kept, at) = place_to_cut(&fork.source, &history, fork.at, true)?;
        outside_section(&fork.source, &history[..kept], at)?;
        let substitutes = substitutes(&fork.source, &history, kept, fork.results, self.now)?;
        let Some(source) = self.instances.get(&fork.source) else {
            return Err(Refusal::NotFound(fork.source).into());
        };
        let record = &source.record;
        let mut tags = record.tags.clone();
        if kept > 0 {
            tags.entry(tag::SEED_OF.to_owned()).or_insert_with(|| fork.source.as_str().to_owned());
        } else {
            tags.remove(tag::SEED_OF);
        }
        if kept == 0 || fork.version.is_some() {
            forget_move(&mut tags);
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
        let note = format!("forked from `{}` before event {at}", fork.source);
        let mut begin = beginning(source, history, Cut { kept, at, substitutes, note }, self.now);
        if kept == 0
            && let Some(started) = rewrite::started_mut(&mut begin.inbox)
        {
            // It answers to nobody. (Code that has begun was told of a parent, and goes on with what it was told.)
            started.parent_instance = None;
        }
        self.create(start, None);
        let id = fork.instance;
        let Some(mut instance) = self.instances.remove(&id) else { return Err(Refusal::NotFound(id).into()) };
        disown(&mut begin.history, &id);
        let created = self.begin_again(&mut instance, begin);
        let open: BTreeSet<Position> = instance.children.keys().copied().collect();
        let record = instance.record.clone();
        self.instances.insert(id.clone(), instance);
        for (position, (action_id, event)) in created.into_iter().filter(|(position, _)| open.contains(position)) {
            self.call_child(&record, position, action_id, &event);
        }
        self.offer_open_activities(&id);
        self.save(&id);
        Ok(Reply::Repaired(id, kept as Position))
    }
}

/// Gives children that have not completed ids of the fork's own: those that the history names are the other one's. Tries under one id
/// stay tries under one id.
fn disown(history: &mut [StoredEvent], fork: &InstanceId) {
    let completed: BTreeSet<Position> = history
        .iter()
        .filter(|e| matches!(e.event.event_type, Some(EventType::SubOrchestrationInstanceCompleted(_))))
        .filter_map(|e| e.answers)
        .collect();
    let mut own: HashMap<String, String> = HashMap::new();
    for (position, stored) in (0..).zip(history) {
        if let Some(EventType::SubOrchestrationInstanceCreated(created)) = &mut stored.event.event_type
            && !completed.contains(&position)
            // What cannot be an id cannot be one here either: the call fails again.
            && InstanceId::parse(&created.instance_id).is_ok_and(|child| !child.is_entity())
        {
            let other = std::mem::take(&mut created.instance_id);
            created.instance_id = own.entry(other).or_insert_with(|| format!("{fork}:fork-{position}")).clone();
        }
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
    let answered: BTreeSet<Position> = history[..cut].iter().filter_map(|e| e.answers).collect();
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
        if given.contains_key(&position) {
            return Err(invalid("its call was given one already"));
        }
        if answered.contains(&position) {
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
