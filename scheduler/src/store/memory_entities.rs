//! Entities of a store in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use super::entities::EntityRows;
use super::seal::Damaged;
use super::{StoreError, entity_codec};
use crate::core::batch::Batch;
use crate::core::entity::{EntityRecord, LoadedEntity, QueueEntry};
use crate::core::ids::{InstanceId, InstanceKey};

type Blob = Arc<[u8]>;

#[derive(Clone, Debug, Default)]
pub(super) struct EntityTables {
    pub(super) ids: BTreeMap<InstanceId, InstanceKey>,
    rows: BTreeMap<InstanceKey, (InstanceId, Blob)>,
    active: BTreeSet<InstanceKey>,
    pub(super) states: BTreeMap<InstanceKey, Blob>,
    pub(super) queues: BTreeMap<(InstanceKey, u64), Blob>,
}

impl EntityTables {
    pub(super) fn apply(&mut self, batch: &Batch) {
        for key in &batch.dropped_entities {
            if let Some((id, _)) = self.rows.remove(key) {
                self.ids.remove(&id);
            }
            self.active.remove(key);
            self.states.remove(key);
            let range = (*key, u64::MIN)..=(*key, u64::MAX);
            let gone: Vec<_> = self.queues.range(range).map(|(place, _)| *place).collect();
            for place in gone {
                self.queues.remove(&place);
            }
        }
        for (key, record) in &batch.entities {
            self.ids.insert(record.id.clone(), *key);
            self.rows.insert(*key, (record.id.clone(), entity_codec::encode_entity(record).into()));
            if record.is_active() {
                self.active.insert(*key);
            } else {
                self.active.remove(key);
            }
        }
        for (key, state) in &batch.states {
            match state {
                Some(state) => self.states.insert(*key, entity_codec::encode_state(*key, state).into()),
                None => self.states.remove(key),
            };
        }
        for ((key, seq), entry) in &batch.queues {
            match entry {
                Some(entry) => self.queues.insert((*key, *seq), entity_codec::encode_operation(*key, entry).into()),
                None => self.queues.remove(&(*key, *seq)),
            };
        }
    }

    /// Refuses what a database with unique keys would refuse.
    pub(super) fn check(&self, batch: &Batch) -> Result<(), StoreError> {
        for record in batch.entities.values() {
            let owner = self.ids.get(&record.id);
            if owner.is_some_and(|key| *key != record.key && !batch.dropped_entities.contains(key)) {
                return Err(StoreError::Corrupt(format!("two entities have the id {:?}", record.id)));
            }
        }
        Ok(())
    }

    pub(super) fn active(&self) -> Result<Vec<LoadedEntity>, StoreError> {
        let record = |key: &InstanceKey| self.record(*key);
        self.active.iter().map(|key| super::entities::complete(self, record(key)?)).collect()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = InstanceKey> + '_ {
        self.rows.keys().copied()
    }

    fn record(&self, key: InstanceKey) -> Result<EntityRecord, StoreError> {
        let (_, blob) = self.rows.get(&key).ok_or_else(|| Damaged::new("an index of entities", "leads to nothing"))?;
        Ok(entity_codec::decode_entity(key, blob)?)
    }
}

impl EntityRows for EntityTables {
    type Error = StoreError;

    fn find_entity(&self, id: &InstanceId) -> Result<Option<EntityRecord>, StoreError> {
        self.ids.get(id).map(|key| self.record(*key)).transpose()
    }

    fn state(&self, key: InstanceKey) -> Result<Option<Arc<str>>, StoreError> {
        Ok(self.states.get(&key).map(|blob| entity_codec::decode_state(key, blob)).transpose()?)
    }

    fn queue(&self, key: InstanceKey) -> Result<Vec<QueueEntry>, StoreError> {
        let entries = self.queues.range((key, u64::MIN)..=(key, u64::MAX));
        entries.map(|((_, seq), blob)| Ok(entity_codec::decode_operation(key, *seq, blob)?)).collect()
    }

    fn walk_entities(
        &self,
        from: &str,
        after: Option<&InstanceId>,
        visit: &mut dyn FnMut(EntityRecord) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let from = InstanceId::trusted(from);
        let start = match after {
            Some(after) if *after >= from => Bound::Excluded(after.clone()),
            _ => Bound::Included(from),
        };
        for (_, key) in self.ids.range((start, Bound::Unbounded)) {
            if visit(self.record(*key)?)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}
