//! Entities: calls, signals, and critical sections with their rules.
//!
//! A section begins when its lock is granted and ends when it is released, by the guest or with the execution. While it lasts, only its
//! entities may be called (another one could wait for this orchestration in turn) and each of them once at a time, none of them may be
//! signalled (the signal would be stuck behind the lock), no child may be started (it could want what its parent has locked), and no
//! other section may be asked for (two orchestrations could then wait for each other). While a lock is waited for, no entity may be called
//! at all. Code that breaks a rule fails as if it had panicked.
//!
//! A lock that is not wanted any more is given back at once, and so is one that is waited for when the execution ends. If the grant was on
//! its way by then, or the scheduler is one that does not take back what was asked for, it comes all the same, and is given back again.
//!
//! Answers name the request that they answer. Which request belongs to which action is learnt from the history, or, of actions that
//! are new, from what the turn sends.

use std::collections::HashMap;

use super::super::action::Decision;
use super::super::entity::{self, EntityContent, EntityMessage};
use super::super::guest::{Guest, GuestFault};
use super::super::history::{Recorded, RecordedKind};
use super::super::seed::Streams;
use super::{Action, Session, Stop};
use crate::abi::{EntityId, EntityOperation, Failure, OpId, Outcome};

#[derive(Debug, Default)]
pub(super) struct Entities {
    /// The actions that wait for an answer, by their requests.
    requests: HashMap<String, i32>,
    /// The critical section that the orchestrator is in, or waits for.
    section: Option<Section>,
    /// The entities of locks that are not wanted any more and were not granted until now, by their ops. These stay open: the grant may come.
    cancelled: HashMap<OpId, Vec<String>>,
}

/// A critical section that was asked for and is not over.
#[derive(Debug)]
struct Section {
    op: OpId,
    entities: Vec<String>,
    /// The request that was granted; none while it is waited for.
    granted: Option<String>,
    /// The latest call of each entity that was made in it. The one before it had been answered or given up by then.
    calls: HashMap<String, OpId>,
}

impl Section {
    fn new(op: OpId, entities: Vec<String>) -> Self {
        Self { op, entities, granted: None, calls: HashMap::new() }
    }

    fn called(&mut self, op: OpId, entity: &str) {
        self.calls.insert(entity.to_owned(), op);
    }

    fn latest_call(&self, entity: &str) -> Option<OpId> {
        self.calls.get(entity).copied()
    }
}

impl Entities {
    /// The history, or a turn, says by which id an action will be answered.
    pub(super) fn expect(&mut self, action: i32, request: &str) {
        self.requests.insert(request.to_owned(), action);
    }

    /// The recorded action carries the id by which it will be answered.
    pub(super) fn confirm(&mut self, action: i32, recorded: &Recorded) {
        if let (true, Some(request)) = (recorded.kind.is_answered(), &recorded.request) {
            self.expect(action, request);
        }
    }

    /// Gives the messages of a turn their ids.
    pub(super) fn name_requests(&mut self, actions: &mut [Action], streams: &Streams, instance_id: &str) {
        for action in actions {
            let Decision::Entity(message) = &mut action.decision else { continue };
            message.request = streams.request_id(instance_id, action.id);
            if message.kind().is_answered() {
                self.expect(action.id, &message.request);
            }
        }
    }

    /// The section that the orchestrator is in.
    fn current(&self) -> Option<&Section> {
        self.section.as_ref().filter(|section| section.granted.is_some())
    }

    /// Takes the section that this op asked for, if it is the one that the orchestrator is in or waits for.
    fn take(&mut self, op: OpId) -> Option<Section> {
        self.section.take_if(|section| section.op == op)
    }

    /// How many ops are open that nobody waits for.
    pub(super) fn unwanted(&self) -> usize {
        self.cancelled.len()
    }

    /// The request of an action that waits for an answer, if the history or a turn has told it.
    fn request_of(&self, action: i32) -> Option<&String> {
        self.requests.iter().find(|(_, of)| **of == action).map(|(request, _)| request)
    }
}

impl<G: Guest> Session<G> {
    pub(super) fn signal_entity(&mut self, signal: EntityOperation) -> Result<(), Stop> {
        let entity = self.entity_id(&signal.entity)?;
        self.check_payload("the input of entity operation", &signal.operation, signal.input.as_deref())?;
        if self.entities.current().is_some_and(|section| section.entities.contains(&entity)) {
            return Err(self.breach(
                "EntityLocked",
                format!(
                    "the orchestrator signalled the entity `{entity}`, which it has locked: the signal would wait for the lock's end. \
                     Call the operation and wait for it, or signal behind the critical section"
                ),
            ));
        }
        let (operation, input) = (signal.operation, signal.input);
        let scheduled = signal.scheduled.map(Into::into);
        self.send(EntityContent::Signal { entity, operation, input, scheduled });
        Ok(())
    }

    pub(super) fn call_entity(&mut self, op: OpId, call: EntityOperation) -> Result<Decision, Stop> {
        let entity = self.entity_id(&call.entity)?;
        self.check_payload("the input of entity operation", &call.operation, call.input.as_deref())?;
        self.check_call(&entity)?;
        if let Some(section) = &mut self.entities.section {
            section.called(op, &entity);
        }
        let content = EntityContent::Call { entity, operation: call.operation, input: call.input };
        Ok(Decision::Entity(EntityMessage::new(content)))
    }

    fn check_call(&self, entity: &str) -> Result<(), Stop> {
        let Some(section) = &self.entities.section else { return Ok(()) };
        let locked = || section.entities.join(", ");
        if section.granted.is_none() {
            return Err(self.breach(
                "EntityNotLocked",
                format!(
                    "the orchestrator called the entity `{entity}` while it waits for the lock of {}: await the lock before calls, \
                     or call before asking for it",
                    locked()
                ),
            ));
        }
        // They are sorted.
        if section.entities.binary_search_by(|locked| locked.as_str().cmp(entity)).is_err() {
            return Err(self.breach(
                "EntityNotLocked",
                format!(
                    "the orchestrator called the entity `{entity}` from a critical section that has locked {}: only these may be \
                     called there. Lock it together with the others, or call it outside the critical section",
                    locked()
                ),
            ));
        }
        if section.latest_call(entity).is_some_and(|op| self.ledger.awaits(op)) {
            return Err(self.breach(
                "ParallelCalls",
                format!(
                    "the orchestrator called the entity `{entity}` from a critical section before the call before it was answered: wait for \
                     one call of an entity before the next"
                ),
            ));
        }
        Ok(())
    }

    /// A child could want what its parent has locked, and both would wait for ever.
    pub(super) fn check_child(&self, name: &str) -> Result<(), Stop> {
        let Some(section) = self.entities.current() else { return Ok(()) };
        let locked = section.entities.join(", ");
        Err(self.breach(
            "ChildInSection",
            format!(
                "the orchestrator started the child orchestration `{name}` in a critical section that has locked {locked}: start it before \
                 the lock, or after its release"
            ),
        ))
    }

    pub(super) fn lock_entities(&mut self, op: OpId, entities: &[EntityId]) -> Result<Decision, Stop> {
        if let Some(section) = &self.entities.section {
            let (state, locked) =
                (if section.granted.is_some() { "has locked" } else { "waits for" }, section.entities.join(", "));
            return Err(self.breach(
                "NestedLock",
                format!(
                    "the orchestrator asked for a critical section while it {state} {locked}: sections cannot be nested, since two \
                     orchestrations could wait for each other for ever. Lock all entities at once"
                ),
            ));
        }
        if entities.is_empty() {
            return Err(
                self.breach("InvalidLock", "the orchestrator asked for a critical section of no entities".into())
            );
        }
        // Sorted, so that everybody locks in the same order.
        let mut ids = entities.iter().map(|id| self.entity_id(id)).collect::<Result<Vec<_>, _>>()?;
        ids.sort_unstable();
        ids.dedup();
        let entities = ids.clone();
        self.entities.section = Some(Section::new(op, entities));
        Ok(Decision::Entity(EntityMessage::new(EntityContent::Lock { entities: ids })))
    }

    pub(super) fn unlock(&mut self, op: OpId) -> Result<(), Stop> {
        if self.entities.current().is_none_or(|section| section.op != op) {
            return Err(self.breach(
                "NotLocked",
                format!("the orchestrator released the lock of op {op}, which it does not hold"),
            ));
        }
        self.give_back(op);
        Ok(())
    }

    /// The guest does not want this lock any more. False if the op is no lock that it has or waits for.
    ///
    /// What waits for its grant is given back at once, also where the grant is the next event: what is sent must not depend on how events
    /// are grouped.
    pub(super) fn cancel_lock(&mut self, op: OpId) -> bool {
        if self.entities.cancelled.contains_key(&op) {
            return true;
        }
        let Some(section) = self.give_back(op) else { return false };
        if section.granted.is_none() {
            self.entities.cancelled.insert(op, section.entities);
        }
        true
    }

    /// By which id an action will be answered.
    fn request_of(&self, action: i32) -> Option<String> {
        let told = self.entities.request_of(action).cloned();
        told.or_else(|| Some(self.streams.as_ref()?.request_id(&self.instance_id, action)))
    }

    /// An entity has answered, or a lock is granted.
    pub(super) fn answered(&mut self, of: RecordedKind, request: &str, outcome: Outcome) -> Result<(), Stop> {
        let Some(&action) = self.entities.requests.get(request) else { return Ok(()) };
        if of == RecordedKind::EntityLock {
            // What came before may make the guest cancel the lock, or end.
            self.flush()?;
            if self.ended.is_some() {
                return Ok(());
            }
            let Some(awaited) = self.ledger.awaited(action, of) else { return Ok(()) };
            if let Some(entities) = self.entities.cancelled.remove(&awaited.op) {
                self.ledger.close(awaited.op);
                self.entities.requests.remove(request);
                self.unlock_all(&entities, request);
                return Ok(());
            }
            let Some(section) = &mut self.entities.section else { return Ok(()) };
            section.granted = Some(request.to_owned());
        }
        self.entities.requests.remove(request);
        self.resolved(of, action, outcome)
    }

    /// The execution ends: what is locked is released. So is what was asked for: a scheduler may grant it although nobody is left to take it.
    pub(super) fn release_all(&mut self) {
        if let Some(op) = self.entities.section.as_ref().map(|section| section.op) {
            self.give_back(op);
        }
    }

    /// Ends a section, also one that is not granted yet: each entity is released by a message of its own.
    fn give_back(&mut self, op: OpId) -> Option<Section> {
        let section = self.entities.take(op)?;
        let asked = || self.ledger.action_of(op).and_then(|action| self.request_of(action));
        if let Some(request) = section.granted.clone().or_else(asked) {
            self.unlock_all(&section.entities, &request);
        }
        Some(section)
    }

    fn unlock_all(&mut self, entities: &[String], section: &str) {
        for entity in entities {
            self.send(EntityContent::Unlock { entity: entity.clone(), section: section.to_owned() });
        }
    }

    fn send(&mut self, content: EntityContent) {
        self.ledger.emit(Decision::Entity(EntityMessage::new(content)));
    }

    fn entity_id(&self, id: &EntityId) -> Result<String, Stop> {
        entity::protocol_id(id).map_err(|message| self.breach("InvalidEntityId", message))
    }

    /// The orchestrator did what it must not: it fails, as by a panic.
    fn breach(&self, error_type: &str, message: String) -> Stop {
        let error_type = error_type.to_owned();
        self.fault(GuestFault::Trap(Failure {
            error_type,
            message,
            stack: None,
            retriable: false,
            properties: Vec::new(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_remembers_one_call_of_each_entity_however_many_there_are() {
        let mut section = Section::new(1, vec!["@account@a".to_owned(), "@account@b".to_owned()]);
        for op in (2..10_000).step_by(2) {
            section.called(op, "@account@a");
            section.called(op + 1, "@account@b");
        }
        assert_eq!((section.latest_call("@account@a"), section.latest_call("@account@b")), (Some(9_998), Some(9_999)));
        assert_eq!((section.latest_call("@account@c"), section.calls.len()), (None, 2));
    }
}
