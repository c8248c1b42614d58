//! Entities that live at random.

use durawasm_proto::durabletask as pb;
use durawasm_scheduler::core::batch::Batch;
use durawasm_scheduler::core::entity::{CallSite, EntityLock, EntityRecord, LoadedEntity, QueueEntry};
use durawasm_scheduler::core::ids::{InstanceId, InstanceKey, RunId};
use durawasm_scheduler::store::{EntityFilter, EntityView, PageSize, Store};
use pb::history_event::EventType;
use rand::RngExt;

use super::World;

impl World {
    /// Something happens to an entity, which may be new.
    pub(super) fn entity(&mut self, batch: &mut Batch) {
        let id = InstanceId::trusted(&format!(
            "@{}@{}",
            ["counter", "zażółć"][self.rng.random_range(0..2)],
            self.rng.random_range(0..6)
        ));
        let mut entity = match self.entities.remove(&id) {
            Some(entity) => entity,
            None => self.new_entity(id.clone()),
        };
        match self.rng.random_range(0..10) {
            0..5 => self.enqueue(&mut entity, batch),
            5..8 => self.run(&mut entity, batch),
            8 => self.lock(&mut entity),
            _ => return batch.drop_entity(entity.record.key),
        }
        batch.put_entity(&entity.record);
        self.entities.insert(id, entity);
    }

    fn new_entity(&mut self, id: InstanceId) -> LoadedEntity {
        let record = EntityRecord {
            key: InstanceKey(self.number()),
            id,
            created_at: self.time(),
            modified_at: self.common_time(),
            has_state: false,
            queue_next: 0,
            queued_operations: 0,
            queued_requests: 0,
            held_operations: 0,
            lock: None,
        };
        LoadedEntity { record, state: None, queue: Vec::new() }
    }

    fn enqueue(&mut self, entity: &mut LoadedEntity, batch: &mut Batch) {
        let caller = self
            .rng
            .random::<bool>()
            .then(|| CallSite { run: RunId(self.number()), position: self.rng.random_range(0..9) });
        let held = self.rng.random_ratio(1, 4);
        let event_type = match self.rng.random_range(0..4) {
            0 if !held => EventType::EntityLockRequested(Default::default()),
            1 => EventType::EntityOperationCalled(pb::EntityOperationCalledEvent {
                input: self.maybe_text(),
                ..Default::default()
            }),
            _ => EventType::EntityOperationSignaled(pb::EntityOperationSignaledEvent {
                operation: self.text(),
                ..Default::default()
            }),
        };
        let record = &mut entity.record;
        let count = match &event_type {
            _ if held => &mut record.held_operations,
            EventType::EntityLockRequested(_) => &mut record.queued_requests,
            _ => &mut record.queued_operations,
        };
        *count += 1;
        let seq = record.queue_next + if held { QueueEntry::HELD } else { 0 };
        record.queue_next += 1;
        let entry = QueueEntry { seq, event: self.event(event_type, None).event, caller };
        batch.put_queue(entity.record.key, entry.clone().into());
        entity.queue.push(entry);
        entity.queue.sort_by_key(|entry| entry.seq);
    }

    fn run(&mut self, entity: &mut LoadedEntity, batch: &mut Batch) {
        let count = self.rng.random_range(0..=entity.queue.len());
        for _ in 0..count {
            let entry = entity.queue.remove(self.rng.random_range(0..entity.queue.len()));
            batch.delete_queue(entity.record.key, entry.seq);
            let record = &mut entity.record;
            let count = match entry.lock_request() {
                _ if entry.is_held() => &mut record.held_operations,
                Some(_) => &mut record.queued_requests,
                None => &mut record.queued_operations,
            };
            *count -= 1;
        }
        if let Some(kept) = entity.queue.last_mut().filter(|_| self.rng.random_ratio(1, 8)) {
            kept.caller = Some(CallSite { run: RunId(1), position: 1 });
            batch.change_queue(entity.record.key, kept.clone().into());
        }
        entity.state = self.maybe_text().map(Into::into);
        entity.record.has_state = entity.state.is_some();
        entity.record.modified_at = self.common_time();
        batch.put_state(entity.record.key, entity.state.clone());
    }

    fn lock(&mut self, entity: &mut LoadedEntity) {
        entity.record.lock = match entity.record.lock {
            Some(_) => None,
            None => Some(Box::new(EntityLock {
                holder: InstanceId::trusted("somebody"),
                run: RunId(self.number()),
                section: self.text(),
            })),
        };
    }

    pub(super) fn drop_entities(&mut self, batch: &mut Batch) {
        for entity in std::mem::take(&mut self.entities).into_values() {
            batch.drop_entity(entity.record.key);
        }
    }

    pub(super) fn assert_entities_are_in(&self, store: &dyn Store, recovered: &[LoadedEntity]) {
        let active: Vec<_> = recovered.iter().map(|loaded| loaded.record.key).collect();
        let mut expected: Vec<_> =
            self.entities.values().filter(|e| e.record.is_active()).map(|e| e.record.key).collect();
        expected.sort();
        assert_eq!(active, expected);
        for expected in self.entities.values() {
            let loaded = store.load_entity(&expected.record.id).expect("it loads").expect("it is there");
            assert_eq!(
                (&loaded.record, &loaded.state, &loaded.queue),
                (&expected.record, &expected.state, &expected.queue)
            );
            for with_state in [false, true] {
                let view = store.view_entity(&expected.record.id, with_state).expect("it can be viewed");
                let state = expected.state.clone().filter(|_| with_state);
                assert_eq!(view, Some(EntityView { record: expected.record.clone(), state }));
            }
        }
        for said in 0..1 << 4 {
            let says = |bit: u32| said >> bit & 1 == 1;
            let middle = durawasm_scheduler::core::time::Timestamp::from_micros(1_000_000_000_000_000);
            let filter = EntityFilter {
                id_prefix: if says(0) { "@counter@".into() } else { String::new() },
                modified_from: says(1).then_some(middle),
                modified_to: says(2).then_some(middle),
                transient: says(3),
            };
            self.assert_listed(store, &filter);
        }
    }

    fn assert_listed(&self, store: &dyn Store, filter: &EntityFilter) {
        let fits = |e: &&LoadedEntity| {
            let record = &e.record;
            (record.has_state || filter.transient && record.is_shown())
                && record.id.as_str().starts_with(&filter.id_prefix)
                && filter.modified_from.is_none_or(|from| record.modified_at >= from)
                && filter.modified_to.is_none_or(|to| record.modified_at < to)
        };
        let expected: Vec<EntityView> = self
            .entities
            .values()
            .filter(fits)
            .map(|e| EntityView { record: e.record.clone(), state: e.state.clone() })
            .collect();
        for size in [
            PageSize { instances: 2, bytes: usize::MAX, inputs: true },
            PageSize { instances: 99, bytes: 1, inputs: true },
        ] {
            let (mut listed, mut after) = (Vec::new(), None);
            loop {
                let page = store.list_entities(filter, after.as_ref(), size).expect("they are listed");
                assert!(page.entities.len() <= size.instances);
                listed.extend(page.entities);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(listed, expected, "{filter:?}");
        }
    }
}
