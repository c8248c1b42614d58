//! Critical sections: an execution locks several entities at once, and releases them.

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

use super::super::ids::{InstanceId, RunId};
use super::super::instance::Instance;
use super::super::message::Refusal;
use super::super::partition::{Lookup, Partition};
use super::{CallSite, CriticalSection, Entity, EntityLock, EntityMessage};

/// An execution wants several locks.
#[derive(Debug)]
pub struct LockMessage {
    /// The orchestration.
    pub(super) holder: InstanceId,
    /// Where it asked.
    pub(super) caller: CallSite,
    /// Its critical section.
    pub(super) section: String,
    /// The entities, each once, in their order.
    pub(super) entities: Vec<InstanceId>,
}

impl Partition {
    /// Puts a request into the queues of all its entities, in one step: of two requests the same one is first in every queue that both
    /// are in.
    pub(super) fn request_locks(&mut self, request: LockMessage, lookup: &dyn Lookup) -> Result<(), Refusal> {
        let LockMessage { holder, caller, section, entities } = request;
        for id in &entities {
            self.find_or_make_entity(id, lookup)?;
        }
        let event = self.operation(EventType::EntityLockRequested(pb::EntityLockRequestedEvent {
            critical_section_id: section,
            lock_set: entities.iter().map(|id| id.as_str().to_owned()).collect(),
            position: 0,
            parent_instance_id: Some(holder.as_str().into()),
        }));
        for id in &entities {
            self.enqueue(id, (*event).clone(), Some(caller), None, lookup)?;
        }
        Ok(())
    }

    /// Grants a request that has come to the front of an entity's queue, if it is at the front of all of its queues and nobody works on
    /// these entities.
    pub(super) fn grant_if_ready(&mut self, id: &InstanceId, seq: u64, lookup: &dyn Lookup) {
        let Some(entry) = self.entities.get(id).and_then(|entity| entity.queue.get(&seq)).cloned() else { return };
        let (Some(request), Some(caller)) = (entry.lock_request(), entry.caller) else { return };
        let set: Vec<InstanceId> = request.lock_set.iter().map(|id| InstanceId::trusted(id)).collect();
        for entity in &set {
            match self.find_entity(entity, lookup) {
                Ok(Some(entity)) if is_ready(entity, caller) => {}
                _ => return,
            }
        }
        let holder = InstanceId::trusted(request.parent_instance_id.as_deref().unwrap_or_default());
        for id in &set {
            let Some(entity) = self.entities.get_mut(id) else { continue };
            let Some((&seq, _)) = entity.queue.first_key_value() else { continue };
            entity.take(seq);
            let section = request.critical_section_id.clone();
            entity.set_lock(Some(EntityLock { holder: holder.clone(), run: caller.run, section }));
            let key = entity.record.key;
            self.batch.delete_queue(key, seq);
            self.save_entity(id);
        }
        let granted = pb::EntityLockGrantedEvent { critical_section_id: request.critical_section_id.clone() };
        self.send(EntityMessage::Answer(holder, caller, Box::new(EventType::EntityLockGranted(granted))));
    }

    /// Unlocks an entity that this section has locked, or takes the section's request out of its queue.
    pub(super) fn unlock(
        &mut self,
        id: &InstanceId,
        run: RunId,
        section: &str,
        lookup: &dyn Lookup,
    ) -> Result<(), Refusal> {
        let Some(entity) = self.find_entity(id, lookup)? else { return Ok(()) };
        if entity.record.lock.as_ref().is_some_and(|lock| lock.run == run && lock.section == section) {
            entity.set_lock(None);
        } else {
            let request = entity.queue.iter().find(|(_, entry)| {
                entry.caller.is_some_and(|caller| caller.run == run)
                    && entry.lock_request().is_some_and(|request| request.critical_section_id == section)
            });
            let Some((&seq, _)) = request else { return Ok(()) };
            entity.take(seq);
            let key = entity.record.key;
            self.batch.delete_queue(key, seq);
        }
        self.save_entity(id);
        Ok(())
    }

    /// Ends the critical section of an execution that ends, or its request for one.
    pub(in super::super) fn leave_section(&mut self, instance: &mut Instance) {
        let Some(section) = instance.record.section.take() else { return };
        let CriticalSection { id: section, entities, .. } = *section;
        for entity in entities {
            self.send(EntityMessage::Unlock(entity, instance.record.run, section.clone()));
        }
    }
}

/// Whether an entity can be locked for the request of this call.
fn is_ready(entity: &Entity, caller: CallSite) -> bool {
    let first = entity.queue.first_key_value().map(|(_, entry)| entry);
    let is_first = first.is_some_and(|entry| entry.lock_request().is_some() && entry.caller == Some(caller));
    is_first && entity.record.lock.is_none() && !entity.is_sent()
}
