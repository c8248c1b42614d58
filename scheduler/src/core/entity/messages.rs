//! What orchestrations send to entities: calls, signals, requests for locks, and their release.

use std::collections::BTreeSet;

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;
use pb::send_entity_message_action::EntityMessageType as Message;

use super::super::events;
use super::super::ids::{InstanceId, Position};
use super::super::instance::Instance;
use super::super::partition::Partition;
use super::super::payload::weight;
use super::super::time::Timestamp;
use super::locks::LockMessage;
use super::{CallSite, CriticalSection, EntityMessage, entity_id};

/// How many entities may be locked at once.
const MAX_LOCK_SET: usize = 1_000;

/// The critical section that an execution is in, as its actions enter and leave it one after the other.
pub(in super::super) struct SectionRule(Option<CriticalSection>);

impl SectionRule {
    pub(in super::super) fn new(section: Option<&CriticalSection>) -> Self {
        Self(section.cloned())
    }
}

type Failure = pb::TaskFailureDetails;

/// Why an execution cannot go on with a message that its code sends, if so.
pub(in super::super) fn check_message(
    message: &pb::SendEntityMessageAction,
    rule: &mut SectionRule,
    payload_limit: usize,
) -> Option<Failure> {
    let result = match message.entity_message_type.as_ref()? {
        Message::EntityOperationSignaled(e) => target("signal", &e.operation, e.target_instance_id.as_deref())
            .and_then(|_| check_payload("signal", &e.operation, e.input.as_deref(), payload_limit)),
        Message::EntityOperationCalled(e) => target("call", &e.operation, e.target_instance_id.as_deref())
            .and_then(|id| check_call(&id, &e.operation, rule))
            .and_then(|()| check_payload("call", &e.operation, e.input.as_deref(), payload_limit)),
        Message::EntityLockRequested(e) => enter(e, rule),
        Message::EntityUnlockSent(e) => {
            leave(&mut rule.0, e);
            Ok(())
        }
    };
    result.err().map(|failure| *failure)
}

fn fail<T>(error_type: &str, text: String) -> Result<T, Box<Failure>> {
    Err(Box::new(events::failure(error_type, text, true)))
}

fn target(what: &str, operation: &str, id: Option<&str>) -> Result<InstanceId, Box<Failure>> {
    entity_id(id.unwrap_or_default())
        .or_else(|why| fail("InvalidEntityId", format!("the {what} `{operation}` goes nowhere: {why}")))
}

fn check_payload(what: &str, operation: &str, input: Option<&str>, limit: usize) -> Result<(), Box<Failure>> {
    let size = input.map_or(0, weight);
    if size > limit {
        let text = format!(
            "the input of the {what} `{operation}` has {size} bytes, the limit is {limit}: keep large data elsewhere and pass a \
             reference to it"
        );
        return fail("PayloadTooLarge", text);
    }
    Ok(())
}

fn check_call(id: &InstanceId, operation: &str, rule: &SectionRule) -> Result<(), Box<Failure>> {
    let Some(section) = &rule.0 else { return Ok(()) };
    if !section.granted {
        let text = format!(
            "it calls `{operation}` of entity `{id}` while it waits for locks: await the lock before the call, or call before the \
             request"
        );
        return fail("CallOutsideCriticalSection", text);
    }
    if !section.entities.contains(id) {
        let text = format!(
            "it calls `{operation}` of entity `{id}`, which it has not locked, inside a critical section: two executions that do so \
             may wait for each other for ever; lock that entity too, or call it before or after the section"
        );
        return fail("CallOutsideCriticalSection", text);
    }
    Ok(())
}

fn enter(request: &pb::EntityLockRequestedEvent, rule: &mut SectionRule) -> Result<(), Box<Failure>> {
    if let Some(section) = &rule.0 {
        let text = format!(
            "it wants to lock entities while it is in the critical section `{}`: leave that first, or lock all of them at once",
            section.id
        );
        return fail("NestedCriticalSection", text);
    }
    let count = request.lock_set.len();
    if count == 0 || count > MAX_LOCK_SET {
        return fail("InvalidLockSet", format!("it wants to lock {count} entities at once: lock 1 to {MAX_LOCK_SET}"));
    }
    let entities = lock_set(request)
        .or_else(|why| fail("InvalidEntityId", format!("it wants to lock what is no entity: {why}")))?;
    rule.0 = Some(CriticalSection { id: request.critical_section_id.clone(), entities, granted: false });
    Ok(())
}

/// The entities of a request, each once, in their order.
fn lock_set(request: &pb::EntityLockRequestedEvent) -> Result<Vec<InstanceId>, super::InvalidEntityId> {
    let entities: BTreeSet<InstanceId> = request.lock_set.iter().map(|id| entity_id(id)).collect::<Result<_, _>>()?;
    Ok(entities.into_iter().collect())
}

/// Leaves a critical section as far as one entity goes, and returns what is to be released. What is not held is not. A section that has
/// not begun is given up as a whole.
fn leave(section: &mut Option<CriticalSection>, unlock: &pb::EntityUnlockSentEvent) -> Vec<InstanceId> {
    let Some(current) = section.as_mut().filter(|s| s.id == unlock.critical_section_id) else { return Vec::new() };
    let Ok(id) = entity_id(unlock.target_instance_id.as_deref().unwrap_or_default()) else { return Vec::new() };
    let Some(at) = current.entities.iter().position(|held| *held == id) else { return Vec::new() };
    let released = match current.granted {
        true => vec![current.entities.remove(at)],
        false => std::mem::take(&mut current.entities),
    };
    if current.entities.is_empty() {
        *section = None;
    }
    released
}

impl Partition {
    /// A message of an orchestration: its history event, and its effect. It was checked before.
    pub(in super::super) fn send_entity_message(
        &mut self,
        instance: &mut Instance,
        position: Position,
        message: Message,
    ) -> EventType {
        let caller = CallSite { run: instance.record.run, position };
        match message {
            Message::EntityOperationSignaled(event) => {
                self.signal_from_orchestration(&event);
                EventType::EntityOperationSignaled(event)
            }
            Message::EntityOperationCalled(event) => {
                if let Some((target, operation)) = self.called(instance, &event) {
                    let due = event.scheduled_time.map(Timestamp::not_before);
                    self.send(EntityMessage::Operation { target, event: operation, caller: Some(caller), due });
                }
                EventType::EntityOperationCalled(event)
            }
            Message::EntityLockRequested(event) => {
                if let Ok(entities) = lock_set(&event) {
                    let section = event.critical_section_id.clone();
                    instance.record.section = Some(Box::new(CriticalSection {
                        id: section.clone(),
                        entities: entities.clone(),
                        granted: false,
                    }));
                    let holder = instance.record.id.clone();
                    self.send(EntityMessage::Lock(Box::new(LockMessage { holder, caller, section, entities })));
                }
                EventType::EntityLockRequested(event)
            }
            Message::EntityUnlockSent(event) => {
                let mut section = instance.record.section.take().map(|section| *section);
                let released = leave(&mut section, &event);
                instance.record.section = section.map(Box::new);
                for target in released {
                    let id = event.critical_section_id.clone();
                    self.send(EntityMessage::Unlock(target, instance.record.run, id));
                }
                EventType::EntityUnlockSent(event)
            }
        }
    }

    fn signal_from_orchestration(&mut self, event: &pb::EntityOperationSignaledEvent) {
        let Ok(target) = entity_id(event.target_instance_id.as_deref().unwrap_or_default()) else { return };
        let mut signaled = event.clone();
        if signaled.request_id.is_empty() {
            signaled.request_id = self.new_request_id();
        }
        let due = event.scheduled_time.map(Timestamp::not_before);
        let event = self.operation(EventType::EntityOperationSignaled(signaled));
        self.send(EntityMessage::Operation { target, event, caller: None, due });
    }

    /// A call as the entity's worker sees it: with who called.
    fn called(
        &mut self,
        instance: &Instance,
        event: &pb::EntityOperationCalledEvent,
    ) -> Option<(InstanceId, Box<pb::HistoryEvent>)> {
        let target = entity_id(event.target_instance_id.as_deref()?).ok()?;
        let called = pb::EntityOperationCalledEvent {
            parent_instance_id: Some(instance.record.id.as_str().into()),
            parent_execution_id: Some(instance.record.execution.as_str().into()),
            ..event.clone()
        };
        Some((target, self.operation(EventType::EntityOperationCalled(called))))
    }

    /// Calls again what an earlier execution has called and nobody has answered.
    pub(in super::super) fn call_entity_again(
        &mut self,
        instance: &Instance,
        position: Position,
        event: &pb::EntityOperationCalledEvent,
        earlier: super::super::ids::RunId,
    ) {
        let caller = CallSite { run: instance.record.run, position };
        if let Some((target, event)) = self.called(instance, event) {
            self.send(EntityMessage::Recall { target, event, earlier, caller });
        }
    }
}
