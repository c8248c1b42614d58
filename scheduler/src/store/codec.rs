//! Records to blobs and back. What a blob is says [`seal`](super::seal); those of entities are in [`entity_codec`](super::entity_codec).

use durawasm_proto::durabletask as pb;
use prost::encoding::{self, WireType};

use super::format;
pub(super) use super::seal::Damaged;
use super::seal::Row;
use crate::core::entity::CriticalSection;
use crate::core::ids::{ExecutionId, Incarnation, InstanceId, InstanceKey, Position, RunId};
use crate::core::payload::HubKey;
use crate::core::record::{
    FuelUse, InboxEntry, InstanceRecord, ParentLink, Parked, Status, StoredEvent, TimerRecord, TurnId,
};
use crate::core::time::Timestamp;

/// About how many bytes of events go into one row: enough to be cheap, few enough that a page of a history does not decode
/// much more than itself, also where one episode made 100,000 events.
const EPISODE_ROW_BYTES: usize = 64 * 1024;

/// Divides what is appended at once into rows, each with the position of its first event.
pub(super) fn split(first: Position, events: &[StoredEvent]) -> impl Iterator<Item = (Position, &[StoredEvent])> {
    let mut next = first;
    let mut rest = events;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|event| {
            bytes += encoded_event_len(event);
            bytes <= EPISODE_ROW_BYTES
        });
        let count = fits.count().max(1).min(rest.len());
        let (row, others) = rest.split_at_checked(count).filter(|(row, _)| !row.is_empty())?;
        let position = next;
        next += count as u64;
        rest = others;
        Some((position, row))
    })
}

pub(super) fn encode_meta(incarnation: Incarnation, key: HubKey) -> Vec<u8> {
    Row::Meta.seal_message(&format::Meta { incarnation: incarnation.0, payload_key: key.0.to_be_bytes().into() })
}

/// Files before format 4 have no key for payloads: it is 0 then.
pub(super) fn decode_meta(blob: &[u8]) -> Result<(Incarnation, HubKey), Damaged> {
    let meta: format::Meta = Row::Meta.open(blob)?;
    let key = match meta.payload_key.as_slice() {
        [] => 0,
        key => u128::from_be_bytes(
            key.try_into().map_err(|_| Row::Meta.damaged("is intact but has a key for payloads that is none"))?,
        ),
    };
    Ok((Incarnation(meta.incarnation), HubKey(key)))
}

pub(super) fn encode_instance(record: &InstanceRecord) -> Vec<u8> {
    Row::Instance(record.key).seal_message(&format::Instance {
        id: record.id.as_str().to_owned(),
        run: record.run.0,
        execution: record.execution.as_str().to_owned(),
        name: record.name.clone(),
        version: record.version.clone(),
        status: record.status.to_wire().into(),
        created_at: record.created_at.as_micros(),
        updated_at: record.updated_at.as_micros(),
        completed_at: record.completed_at.map(Timestamp::as_micros),
        scheduled_start: record.scheduled_start.map(Timestamp::as_micros),
        custom_status: record.custom_status.clone(),
        inherited_status: record.inherited_status,
        parent: record.parent.as_ref().map(|parent| format::Parent {
            instance: parent.instance.as_str().to_owned(),
            run: parent.run.0,
            position: parent.position,
            info: Some(parent.info.clone()),
        }),
        tags: record.tags.clone(),
        trace: record.trace.clone(),
        caller_trace: record.caller_trace.as_deref().cloned(),
        history_len: record.history_len,
        history_bytes: record.history_bytes,
        last_episode_at: record.last_episode_at.as_micros(),
        base: record.base.map(|turn| format::Turn { incarnation: turn.incarnation.0, attempt: turn.attempt }),
        inbox_next: record.inbox_next,
        inbox_len: record.inbox_len,
        open_activities: record.open_activities,
        open_children: record.open_children,
        parked: record.parked.as_ref().map(|parked| format::Parking {
            reason: parked.reason.clone(),
            message: parked.message.clone(),
            component: parked.component.clone(),
            advice: parked.advice.clone(),
            since: parked.since.as_micros(),
            attempts: parked.attempts,
        }),
        fuel: record.fuel.map(|fuel| format::FuelUse {
            turn: fuel.turn,
            execution: fuel.execution,
            earlier: fuel.earlier,
        }),
        section: record.section.as_ref().map(|section| format::Section {
            id: section.id.clone(),
            entities: section.entities.iter().map(|id| id.as_str().to_owned()).collect(),
            granted: section.granted,
        }),
    })
}

pub(super) fn decode_instance(key: InstanceKey, blob: &[u8]) -> Result<InstanceRecord, Damaged> {
    let row = Row::Instance(key);
    let m: format::Instance = row.open(blob)?;
    let status = pb::OrchestrationStatus::try_from(m.status).ok().and_then(Status::from_wire);
    Ok(InstanceRecord {
        key,
        id: InstanceId::trusted(&m.id),
        run: RunId(m.run),
        execution: ExecutionId::new(&m.execution),
        name: m.name,
        version: m.version,
        status: status.ok_or_else(|| row.damaged("is intact but has a status that does not exist"))?,
        created_at: Timestamp::from_micros(m.created_at),
        updated_at: Timestamp::from_micros(m.updated_at),
        completed_at: m.completed_at.map(Timestamp::from_micros),
        scheduled_start: m.scheduled_start.map(Timestamp::from_micros),
        custom_status: m.custom_status,
        inherited_status: m.inherited_status,
        parent: m.parent.map(|parent| ParentLink {
            instance: InstanceId::trusted(&parent.instance),
            run: RunId(parent.run),
            position: parent.position,
            info: parent.info.unwrap_or_default(),
        }),
        tags: m.tags,
        trace: m.trace,
        caller_trace: m.caller_trace.map(Box::new),
        history_len: m.history_len,
        history_bytes: m.history_bytes,
        last_episode_at: Timestamp::from_micros(m.last_episode_at),
        base: m.base.map(|turn| TurnId { incarnation: Incarnation(turn.incarnation), attempt: turn.attempt }),
        inbox_next: m.inbox_next,
        inbox_len: m.inbox_len,
        open_activities: m.open_activities,
        open_children: m.open_children,
        parked: m.parked.map(|parked| Parked {
            reason: parked.reason,
            message: parked.message,
            component: parked.component,
            advice: parked.advice,
            since: Timestamp::from_micros(parked.since),
            attempts: parked.attempts,
        }),
        fuel: m.fuel.map(|fuel| FuelUse { turn: fuel.turn, execution: fuel.execution, earlier: fuel.earlier }),
        section: m.section.map(|section| {
            let entities = section.entities.iter().map(|id| InstanceId::trusted(id)).collect();
            Box::new(CriticalSection { id: section.id, entities, granted: section.granted })
        }),
    })
}

pub(super) fn encode_episode(run: RunId, first: Position, events: &[StoredEvent]) -> Vec<u8> {
    let capacity = events.iter().map(|e| encoded_event_len(e) + 6).sum();
    Row::Episode(run, first).seal(capacity, |blob| {
        for stored in events {
            encoding::encode_key(1, WireType::LengthDelimited, blob);
            encoding::encode_varint(encoded_event_len(stored) as u64, blob);
            encode_event(stored, blob);
        }
    })
}

pub(super) fn decode_episode(run: RunId, first: Position, blob: &[u8]) -> Result<Vec<StoredEvent>, Damaged> {
    let row = Row::Episode(run, first);
    let episode: format::Episode = row.open(blob)?;
    if episode.events.is_empty() {
        return Err(row.damaged("is intact but empty"));
    }
    episode.events.into_iter().map(|event| stored_event(row, event)).collect()
}

pub(super) fn encode_inbox(key: InstanceKey, entry: &InboxEntry) -> Vec<u8> {
    Row::Inbox(key, entry.seq).seal(encoded_event_len(&entry.stored), |blob| encode_event(&entry.stored, blob))
}

pub(super) fn decode_inbox(key: InstanceKey, seq: u64, blob: &[u8]) -> Result<InboxEntry, Damaged> {
    let row = Row::Inbox(key, seq);
    Ok(InboxEntry { seq, stored: stored_event(row, row.open(blob)?)? })
}

pub(super) fn encode_timer(timer: &TimerRecord) -> Vec<u8> {
    Row::Timer(timer.run, timer.position).seal_message(&format::Timer {
        due: timer.due.as_micros(),
        timer_id: timer.timer_id,
        instance: timer.instance.as_str().to_owned(),
    })
}

pub(super) fn decode_timer(run: RunId, position: Position, blob: &[u8]) -> Result<TimerRecord, Damaged> {
    let m: format::Timer = Row::Timer(run, position).open(blob)?;
    Ok(TimerRecord {
        run,
        position,
        due: Timestamp::from_micros(m.due),
        timer_id: m.timer_id,
        instance: InstanceId::trusted(&m.instance),
    })
}

// Events make up most of what is written. They are encoded where they are: a `format::Event` would be a copy of each.

fn encoded_event_len(stored: &StoredEvent) -> usize {
    encoding::message::encoded_len(1, &stored.event)
        + stored.answers.map_or(0, |position| encoding::uint64::encoded_len(2, &position))
}

fn encode_event(stored: &StoredEvent, blob: &mut Vec<u8>) {
    encoding::message::encode(1, &stored.event, blob);
    if let Some(position) = stored.answers {
        encoding::uint64::encode(2, &position, blob);
    }
}

fn stored_event(row: Row, event: format::Event) -> Result<StoredEvent, Damaged> {
    let answers = event.answers;
    let event = event.event.ok_or_else(|| row.damaged("is intact but holds no event"))?;
    Ok(StoredEvent { event, answers })
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::store::seal::CHECKSUM_BYTES;

    fn raised(name: &str, answers: Option<Position>) -> StoredEvent {
        let event = pb::EventRaisedEvent { name: name.to_owned(), input: Some(String::new()) };
        StoredEvent {
            event: pb::HistoryEvent {
                event_id: -1,
                timestamp: Some(prost_types::Timestamp { seconds: 1, nanos: 2_000 }),
                event_type: Some(pb::history_event::EventType::EventRaised(event)),
            },
            answers,
        }
    }

    #[test]
    fn events_encoded_in_place_are_the_messages_of_the_format() {
        let events = [raised("a", None), raised("b", Some(0)), raised("c", Some(u64::MAX))];
        let copies = events.iter().map(|e| format::Event { event: Some(e.event.clone()), answers: e.answers });
        let message = format::Episode { events: copies.collect() };
        let blob = encode_episode(RunId(7), 3, &events);
        assert_eq!(blob[CHECKSUM_BYTES..], message.encode_to_vec());
        assert_eq!(decode_episode(RunId(7), 3, &blob).expect("it is intact"), events);
    }

    #[test]
    fn a_blob_in_another_row_or_with_any_bit_flipped_is_found_out() {
        let entry = InboxEntry { seq: 5, stored: raised("a", Some(1)) };
        let blob = encode_inbox(InstanceKey(9), &entry);
        assert_eq!(decode_inbox(InstanceKey(9), 5, &blob), Ok(entry));
        assert!(decode_inbox(InstanceKey(9), 6, &blob).is_err());
        assert!(decode_inbox(InstanceKey(8), 5, &blob).is_err());
        assert!(decode_timer(RunId(9), 5, &blob).is_err());
        for bit in 0..blob.len() * 8 {
            let mut flipped = blob.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_inbox(InstanceKey(9), 5, &flipped).is_err(), "bit {bit}");
        }
        for len in 0..blob.len() {
            assert!(decode_inbox(InstanceKey(9), 5, &blob[..len]).is_err(), "cut off at {len}");
        }
    }
}
