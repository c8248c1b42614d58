//! Instances that go on from an earlier point: rewind, reset, fork, restart; and those that go on with another version.
//!
//! They read histories, which are in the store alone. So everything that they read must be on disk first: a repair that comes too
//! early waits for the batch in question, and no new turn of the instance begins meanwhile. All that follows is one input, and one
//! batch: parent and children are never half repaired.

mod fork;
mod migrate;
mod reset;
mod restart;
mod rewind;

use std::collections::BTreeMap;

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

use super::ids::{BatchSeq, InstanceId, Position, RequestId, RunId};
use super::instance::{Instance, Turn};
use super::message::{Refusal, Repair};
use super::partition::{Lookup, Partition};
use super::record::{InstanceRecord, ParentLink, Status, StoredEvent, TimerRecord};
use super::time::Timestamp;
use super::{events, rewrite};
pub(super) use migrate::{began_with, forget_move, moved_to};

/// A repair that waits until what it reads is on disk.
#[derive(Debug)]
pub(super) struct Postponed {
    pub(super) after: BatchSeq,
    /// The instance in question, which begins no turn until then.
    pub(super) instance: InstanceId,
    pub(super) request: RequestId,
    pub(super) repair: Repair,
}

/// Why a repair does not happen now.
pub(super) enum Stop {
    /// Never.
    Refused(Refusal),
    /// Not before this batch is on disk, because of this instance.
    Later(BatchSeq, InstanceId),
}

impl From<Refusal> for Stop {
    fn from(why: Refusal) -> Self {
        Self::Refused(why)
    }
}

/// What an execution begins with beside its history.
struct Beginning {
    history: Vec<StoredEvent>,
    inbox: Vec<StoredEvent>,
    status: Status,
}

impl Partition {
    /// Does a repair and answers, now or when all that it reads is on disk.
    pub(super) fn attempt_repair(&mut self, request: RequestId, repair: Repair, lookup: &dyn Lookup) {
        let outcome = match repair.clone() {
            Repair::Rewind(id, reason) => self.rewind(&id, reason, lookup),
            Repair::Reset(reset) => self.reset(reset, lookup),
            Repair::Fork(fork) => self.fork(fork, lookup),
            Repair::Restart(id, new) => self.restart(&id, new, lookup),
            Repair::Migrate(migrate) => self.migrate(migrate, lookup),
        };
        match outcome {
            Ok(reply) => self.reply(request, Ok(reply)),
            Err(Stop::Refused(why)) => self.reply(request, Err(why)),
            Err(Stop::Later(after, instance)) => {
                self.postponed.push(Postponed { after, instance, request, repair });
            }
        }
    }

    /// Tries again what waited for a batch that is on disk by now.
    pub(super) fn repair_postponed(&mut self, lookup: &dyn Lookup) {
        let committed = self.committed;
        let ready: Vec<Postponed> = self.postponed.extract_if(.., |p| p.after <= committed).collect();
        for Postponed { instance, request, repair, .. } in ready {
            self.touched.push(instance);
            self.attempt_repair(request, repair, lookup);
        }
    }

    /// The history of an instance's current execution. It must be there.
    fn read_history(&mut self, id: &InstanceId, lookup: &dyn Lookup) -> Result<Vec<StoredEvent>, Stop> {
        let committed = self.committed;
        let Some(instance) = self.find(id, lookup)? else { return Err(Refusal::NotFound(id.clone()).into()) };
        // The rest of it is in memory; the history alone is read. It grows only by turns, so this is waited for once.
        instance.reserved = instance.history_batch;
        let (run, length, written) = (instance.record.run, instance.record.history_len, instance.history_batch);
        self.touched.push(id.clone());
        if written > committed {
            return Err(Stop::Later(written, id.clone()));
        }
        let history = lookup.history(run).map_err(|why| Refusal::Damaged(id.clone(), why))?;
        if history.len() as u64 != length {
            return Err(Refusal::Damaged(id.clone(), "its history lacks events or has too many".into()).into());
        }
        Ok(history)
    }

    /// Refuses what was said of another execution than the current one.
    fn check_execution(&mut self, id: &InstanceId, execution: Option<&str>, lookup: &dyn Lookup) -> Result<(), Stop> {
        let Some(instance) = self.find(id, lookup)? else { return Err(Refusal::NotFound(id.clone()).into()) };
        let current = instance.record.execution.as_str();
        if execution.is_none_or(|said| said == current) {
            return Ok(());
        }
        let text = format!(
            "instance `{id}` is in execution {current} by now, whose events are others: look at its history again"
        );
        Err(Refusal::Precondition(text).into())
    }

    /// The status of what is there under a child's id, if it is still the child that was created at this position.
    fn child_status(
        &mut self,
        child: &InstanceId,
        parent: &InstanceId,
        run: RunId,
        position: Position,
        lookup: &dyn Lookup,
    ) -> Result<Option<Status>, Refusal> {
        let found = self.find(child, lookup)?;
        let mine = |link: &ParentLink| link.instance == *parent && link.run == run && link.position == position;
        let status = found.filter(|c| c.record.parent.as_ref().is_some_and(mine)).map(|c| c.record.status);
        if status.is_some() {
            self.touched.push(child.clone());
        }
        Ok(status)
    }

    /// Makes a new execution of an instance that begins with a history. Returns the events of that history that create children.
    fn begin_again(&mut self, instance: &mut Instance, beginning: Beginning) -> Created {
        let Beginning { mut history, mut inbox, status } = beginning;
        let earlier = instance.record.run;
        self.next_execution(instance);
        set_identity(&mut history, &instance.record);
        set_identity(&mut inbox, &instance.record);
        for entry in instance.inbox.drain(..) {
            self.batch.delete_inbox(instance.record.key, entry.seq);
        }
        let record = &mut instance.record;
        record.status = if history.is_empty() && status == Status::Running { Status::Pending } else { status };
        record.completed_at = None;
        record.parked = None;
        record.inbox_len = 0;
        if let Some(last) = last_episode(&history) {
            record.last_episode_at = record.last_episode_at.max(last);
        }
        self.parked.remove(&record.id);
        instance.turn = Turn::Idle;
        instance.worker = None;
        instance.wants_history = false;
        instance.returns = 0;
        instance.losses = 0;
        for stored in inbox {
            Self::push_inbox(&mut self.batch, instance, stored.event, stored.answers);
        }
        for (position, stored) in rewrite::open_calls(&history, instance.inbox.iter().map(|e| &e.stored)) {
            if let Some(EventType::TimerCreated(timer)) = &stored.event.event_type {
                let due = timer.fire_at.map_or(self.now, Timestamp::not_before);
                let (run, instance) = (instance.record.run, instance.record.id.clone());
                let timer = TimerRecord { run, position, due, timer_id: stored.event.event_id, instance };
                self.batch.put_timer(timer.clone());
                self.timers.insert(timer);
            }
            if let Some(EventType::EntityOperationCalled(called)) = &stored.event.event_type {
                self.call_entity_again(instance, position, called, earlier);
            }
        }
        instance.derive_open(&history);
        instance.record.open_activities = u32::try_from(instance.activities.len()).unwrap_or(u32::MAX);
        instance.record.open_children = u32::try_from(instance.children.len()).unwrap_or(u32::MAX);
        let created = created_children(&history);
        self.append(instance, history);
        created
    }

    fn offer_open_activities(&mut self, id: &InstanceId) {
        let Some(instance) = self.instances.get(id) else { return };
        let open: Vec<Position> = instance.activities.keys().copied().collect();
        for position in open {
            self.offer_activity(id, position, None);
        }
    }

    /// Lets a child that goes on answer another execution of its parent.
    fn relink(&mut self, child: &InstanceId, link: ParentLink) {
        if let Some(instance) = self.instances.get_mut(child) {
            instance.record.parent = Some(link);
            self.save(child);
        }
    }
}

/// The events that create children, by their positions: action ids and what is created.
type Created = BTreeMap<Position, (i32, pb::SubOrchestrationInstanceCreatedEvent)>;

fn created_children(history: &[StoredEvent]) -> Created {
    let created = (0..).zip(history).filter_map(|(position, stored)| match &stored.event.event_type {
        Some(EventType::SubOrchestrationInstanceCreated(created)) => {
            Some((position, (stored.event.event_id, created.clone())))
        }
        _ => None,
    });
    created.collect()
}

/// Refuses to go on in the middle of a critical section: its locks were released, or are another execution's.
fn outside_section(id: &InstanceId, history: &[StoredEvent], at: usize) -> Result<(), Refusal> {
    if rewrite::is_in_section(history) {
        let text = format!(
            "instance `{id}` had locked entities at event {at}, or wanted to: choose an event before or after its critical section"
        );
        return Err(Refusal::Precondition(text));
    }
    Ok(())
}

/// Where to cut a history so that the turn of an event is undone, and the event. With `whole` nothing need be undone.
fn place_to_cut(
    id: &InstanceId,
    history: &[StoredEvent],
    at: Position,
    whole: bool,
) -> Result<(usize, usize), Refusal> {
    let length = history.len();
    let position = usize::try_from(at).unwrap_or(usize::MAX);
    if length == 0 {
        return Err(Refusal::Precondition(format!("instance `{id}` has not begun yet: it has no history")));
    }
    if whole && position == length && rewrite::completed(history).is_none() {
        return Ok((length, length));
    }
    if position >= length {
        return Err(Refusal::Invalid(format!(
            "instance `{id}` has no event {at}: its history has the events 0 to {}",
            length - 1
        )));
    }
    Ok((rewrite::turn_start(history, position), position))
}

/// Where a history is cut, and what is put in the place of what is cut off.
struct Cut {
    /// How many events are kept: whole turns.
    kept: usize,
    /// The event before which to go on; it is in the first turn that is undone.
    at: usize,
    /// Results of calls that are kept.
    substitutes: BTreeMap<Position, StoredEvent>,
    /// What people are told.
    note: String,
}

/// The history up to the cut, and what arrives after it: first a note, then results that had come before the event, results that are given
/// instead, and external events, which cannot be had again.
fn beginning(instance: &Instance, mut history: Vec<StoredEvent>, cut: Cut, now: Timestamp) -> Beginning {
    let Cut { kept: cut, at, substitutes, note } = cut;
    let undone = history.split_off(cut);
    // A history that was rewound has gaps, and the event that says so must not get lost: without it the gaps would be a divergence.
    let is_rewound = |e: &StoredEvent| matches!(e.event.event_type, Some(EventType::ExecutionRewound(_)));
    let waiting = || instance.inbox.iter().map(|e| &e.stored);
    let was_rewound = undone.iter().any(is_rewound) || waiting().any(is_rewound);
    let note = match was_rewound {
        true => events::execution_rewound(now, Some(note), None),
        false => events::note(now, note),
    };
    let mut inbox = Vec::new();
    let kept = |answers: Option<Position>| answers.is_some_and(|p| p < cut as u64 && !substitutes.contains_key(&p));
    for (position, stored) in (cut..).zip(undone) {
        let begins = cut == 0 && matches!(stored.event.event_type, Some(EventType::ExecutionStarted(_)));
        if begins || rewrite::is_external(&stored.event) || (position < at && kept(stored.answers)) {
            inbox.push(stored);
        }
    }
    inbox.extend(substitutes.values().cloned());
    inbox.extend(waiting().filter(|e| rewrite::is_external(&e.event)).cloned());
    // In front, where a worker that does not know it can do without; but nothing comes before the beginning.
    inbox.insert(usize::from(cut == 0), StoredEvent { event: note, answers: None });
    let status = if rewrite::is_suspended(&history) { Status::Suspended } else { Status::Running };
    Beginning { history, inbox, status }
}

/// Lets the event that begins an execution name the instance that it is now part of.
fn set_identity(events: &mut [StoredEvent], record: &InstanceRecord) {
    if let Some(started) = rewrite::started_mut(events) {
        started.orchestration_instance = Some(pb::OrchestrationInstance {
            instance_id: record.id.as_str().into(),
            execution_id: Some(record.execution.as_str().into()),
        });
        started.version = began_with(record).map(str::to_owned);
        started.tags = record.tags.clone().into_iter().collect();
    }
}

fn last_episode(history: &[StoredEvent]) -> Option<Timestamp> {
    history.iter().rev().find_map(|e| match e.event.event_type {
        Some(EventType::OrchestratorStarted(_)) => e.event.timestamp.map(Into::into),
        _ => None,
    })
}
