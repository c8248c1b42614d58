//! Records of entities to blobs and back.

use std::sync::Arc;

use prost::encoding;

use super::format;
use super::seal::{Damaged, Row};
use crate::core::entity::{CallSite, EntityLock, EntityRecord, QueueEntry};
use crate::core::ids::{InstanceId, InstanceKey, RunId};
use crate::core::time::Timestamp;

pub(super) fn encode_entity(record: &EntityRecord) -> Vec<u8> {
    Row::Entity(record.key).seal_message(&format::Entity {
        id: record.id.as_str().to_owned(),
        created_at: record.created_at.as_micros(),
        modified_at: record.modified_at.as_micros(),
        has_state: record.has_state,
        queue_next: record.queue_next,
        queued_operations: record.queued_operations,
        queued_requests: record.queued_requests,
        held_operations: record.held_operations,
        lock: record.lock.as_ref().map(|lock| format::Lock {
            holder: lock.holder.as_str().to_owned(),
            run: lock.run.0,
            section: lock.section.clone(),
        }),
    })
}

pub(super) fn decode_entity(key: InstanceKey, blob: &[u8]) -> Result<EntityRecord, Damaged> {
    let m: format::Entity = Row::Entity(key).open(blob)?;
    Ok(EntityRecord {
        key,
        id: InstanceId::trusted(&m.id),
        created_at: Timestamp::from_micros(m.created_at),
        modified_at: Timestamp::from_micros(m.modified_at),
        has_state: m.has_state,
        queue_next: m.queue_next,
        queued_operations: m.queued_operations,
        queued_requests: m.queued_requests,
        held_operations: m.held_operations,
        lock: m.lock.map(|lock| {
            let holder = InstanceId::trusted(&lock.holder);
            Box::new(EntityLock { holder, run: RunId(lock.run), section: lock.section })
        }),
    })
}

pub(super) fn encode_state(key: InstanceKey, state: &str) -> Vec<u8> {
    Row::State(key).seal(state.len(), |blob| blob.extend_from_slice(state.as_bytes()))
}

pub(super) fn decode_state(key: InstanceKey, blob: &[u8]) -> Result<Arc<str>, Damaged> {
    let row = Row::State(key);
    let text = std::str::from_utf8(row.unseal(blob)?).map_err(|_| row.damaged("is intact but no text"))?;
    Ok(text.into())
}

pub(super) fn encode_operation(key: InstanceKey, entry: &QueueEntry) -> Vec<u8> {
    let caller = entry.caller.map(|caller| format::Caller { run: caller.run.0, position: caller.position });
    // The event is encoded where it is: a `format::Operation` would be a copy of it.
    let length = encoding::message::encoded_len(1, &entry.event)
        + caller.as_ref().map_or(0, |caller| encoding::message::encoded_len(2, caller));
    Row::Operation(key, entry.seq).seal(length, |blob| {
        encoding::message::encode(1, &entry.event, blob);
        if let Some(caller) = &caller {
            encoding::message::encode(2, caller, blob);
        }
    })
}

pub(super) fn decode_operation(key: InstanceKey, seq: u64, blob: &[u8]) -> Result<QueueEntry, Damaged> {
    let row = Row::Operation(key, seq);
    let m: format::Operation = row.open(blob)?;
    let event = m.event.ok_or_else(|| row.damaged("is intact but holds no event"))?;
    let caller = m.caller.map(|caller| CallSite { run: RunId(caller.run), position: caller.position });
    Ok(QueueEntry { seq, event, caller })
}

#[cfg(test)]
mod tests {
    use durawasm_proto::durabletask as pb;

    use super::*;
    use crate::core::events;

    #[test]
    fn entities_read_back_and_their_blobs_fit_in_no_other_row() {
        let lock = EntityLock { holder: InstanceId::trusted("o"), run: RunId(7), section: "s".into() };
        let record = EntityRecord {
            key: InstanceKey(9),
            id: InstanceId::trusted("@e@k"),
            created_at: Timestamp::from_micros(1),
            modified_at: Timestamp::from_micros(2),
            has_state: true,
            queue_next: 3,
            queued_operations: 4,
            queued_requests: 5,
            held_operations: 6,
            lock: Some(Box::new(lock)),
        };
        let blob = encode_entity(&record);
        assert_eq!(decode_entity(record.key, &blob), Ok(record.clone()));
        assert!(decode_entity(InstanceKey(8), &blob).is_err());

        let state = encode_state(record.key, "{\"n\":\"🦀\"}");
        assert_eq!(decode_state(record.key, &state).as_deref(), Ok("{\"n\":\"🦀\"}"));
        assert!(decode_state(InstanceKey(8), &state).is_err() && decode_entity(record.key, &state).is_err());

        let called = pb::EntityOperationCalledEvent { operation: "add".into(), ..Default::default() };
        let event_type = pb::history_event::EventType::EntityOperationCalled(called);
        let event = events::event(-1, Timestamp::from_micros(5), event_type);
        for caller in
            [None, Some(CallSite { run: RunId(0), position: 0 }), Some(CallSite { run: RunId(1), position: 2 })]
        {
            let entry = QueueEntry { seq: 5, event: event.clone(), caller };
            let blob = encode_operation(record.key, &entry);
            assert_eq!(decode_operation(record.key, 5, &blob), Ok(entry));
            assert!(decode_operation(record.key, 6, &blob).is_err());
        }
    }
}
