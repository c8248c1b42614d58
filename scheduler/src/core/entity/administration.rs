//! What clients ask of entities: signals, forgetting, cleaning.

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

use super::super::ids::InstanceId;
use super::super::message::{Effect, Refusal, Reply, SignalRequest};
use super::super::partition::{Lookup, Partition};
use super::EntityTurn;

impl Partition {
    /// A client signals an entity.
    pub(in super::super) fn signal_entity(
        &mut self,
        signal: SignalRequest,
        lookup: &dyn Lookup,
    ) -> Result<Reply, Refusal> {
        if signal.operation.is_empty() {
            return Err(Refusal::Invalid("the name of the operation is missing".into()));
        }
        self.check_payload("the input", signal.input.as_deref())?;
        let request_id = match signal.request_id.is_empty() {
            true => self.new_request_id(),
            false => signal.request_id,
        };
        let event = self.operation(EventType::EntityOperationSignaled(pb::EntityOperationSignaledEvent {
            request_id,
            operation: signal.operation,
            scheduled_time: signal.due.map(Into::into),
            input: signal.input,
            target_instance_id: Some(signal.entity.as_str().into()),
        }));
        self.enqueue(&signal.entity, *event, None, signal.due, lookup)?;
        Ok(Reply::Done)
    }

    /// Forgets an entity's state. What waits in its queue goes on with none, and so does a batch that a worker has. Returns whether
    /// there was a state.
    pub(in super::super) fn purge_entity(&mut self, id: &InstanceId, lookup: &dyn Lookup) -> Result<bool, Refusal> {
        let now = self.now;
        let Some(entity) = self.find_entity(id, lookup)? else { return Ok(false) };
        if !entity.record.has_state {
            return Ok(false);
        }
        entity.state = None;
        entity.record.has_state = false;
        entity.record.modified_at = now;
        // It began with the state that is gone: its answer would bring that back.
        entity.turn = EntityTurn::Idle;
        let key = entity.record.key;
        self.batch.put_state(key, None);
        self.save_entity(id);
        Ok(true)
    }

    /// Lets go what is empty, and locks whose holder is gone. Neither should be there: an entity that becomes empty is deleted at once,
    /// and a lock is released by whatever ends its holder.
    pub(in super::super) fn clean_entities(
        &mut self,
        ids: Vec<InstanceId>,
        remove_empty: bool,
        release_orphaned: bool,
        lookup: &dyn Lookup,
    ) -> Result<Reply, Refusal> {
        let (mut removed, mut released) = (0, 0);
        for id in ids {
            let lock = match self.find_entity(&id, lookup) {
                Ok(Some(entity)) if entity.record.is_empty() => {
                    removed += u32::from(remove_empty);
                    continue; // It is settled, and gone with that.
                }
                Ok(Some(entity)) => entity.record.lock.clone(),
                Ok(None) => None,
                Err(why) => {
                    self.effect(self.batch_seq, Effect::Warn(format!("it was not cleaned: {why}")));
                    None
                }
            };
            let Some(lock) = lock.filter(|_| release_orphaned) else { continue };
            let holder = self.find(&lock.holder, lookup)?;
            let holds = holder.is_some_and(|instance| {
                let section = instance.record.section.as_ref();
                instance.record.run == lock.run
                    && section.is_some_and(|s| s.id == lock.section && s.entities.contains(&id))
            });
            self.touched.push(lock.holder.clone());
            if !holds {
                self.unlock(&id, lock.run, &lock.section, lookup)?;
                released += 1;
            }
        }
        Ok(Reply::Cleaned { removed, released })
    }
}
