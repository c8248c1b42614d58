//! A store that forgets everything when the process ends: for `--in-memory`, and for the simulator, which crashes the
//! core and recovers from the same store.
//!
//! It keeps the same blobs as the embedded store, so that there is one encoding to trust, and so that an idle instance
//! costs its bytes and not its objects.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use parking_lot::RwLock;

use super::codec::{self, Damaged};
use super::entities;
use super::listing::{self, Passed, Path, Walk};
use super::memory_entities::EntityTables;
use super::memory_references::References;
use super::read::{self, Episode, Rows};
use super::{
    EntityFilter, EntityPage, EntityView, InstanceFilter, InstanceOrder, InstancePage, InstanceView, LoadedEntity,
    LoadedInstance, PageSize, Place, Recovered, Store, StoreError,
};
use crate::core::batch::Batch;
use crate::core::ids::{Incarnation, InstanceId, InstanceKey, Position, RunId};
use crate::core::payload::{Hash, HubKey};
use crate::core::record::{InboxEntry, InstanceRecord, Status, StoredEvent};
use crate::core::time::Timestamp;

type Blob = Arc<[u8]>;

/// A status, a time, and the instance that it is the time of.
type Dated = (Status, Timestamp, InstanceId);

/// A task hub in memory. Clones share it; [`MemoryStore::snapshot`] does not.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    tables: Arc<RwLock<Tables>>,
}

/// The keys of everything that is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowKeys {
    /// Instances.
    pub instances: BTreeSet<InstanceKey>,
    /// Their ids.
    pub ids: BTreeMap<InstanceId, InstanceKey>,
    /// Entries of inboxes.
    pub inbox: BTreeSet<(InstanceKey, u64)>,
    /// Executions that have a history.
    pub runs: BTreeSet<RunId>,
    /// Timers.
    pub timers: BTreeSet<(RunId, Position)>,
    /// Entities.
    pub entities: BTreeSet<InstanceKey>,
    /// Their ids.
    pub entity_ids: BTreeMap<InstanceId, InstanceKey>,
    /// States of entities.
    pub states: BTreeSet<InstanceKey>,
    /// Entries of the queues of entities.
    pub queues: BTreeSet<(InstanceKey, u64)>,
}

#[derive(Clone, Debug, Default)]
struct Tables {
    incarnation: Incarnation,
    ids: BTreeMap<InstanceId, InstanceKey>,
    by_creation: BTreeMap<Dated, InstanceKey>,
    by_end: BTreeMap<Dated, InstanceKey>,
    by_parent: BTreeSet<(InstanceId, InstanceId)>,
    instances: BTreeMap<InstanceKey, (InstanceId, Blob)>,
    active: BTreeSet<InstanceKey>,
    inbox: BTreeMap<(InstanceKey, u64), Blob>,
    history: BTreeMap<(RunId, Position), Blob>,
    timers: BTreeMap<(RunId, Position), Blob>,
    entities: EntityTables,
    references: References,
}

impl MemoryStore {
    /// An empty hub.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Which rows there are: for tests that want to know what is left behind.
    #[must_use]
    pub fn rows(&self) -> RowKeys {
        let tables = self.tables.read();
        RowKeys {
            instances: tables.instances.keys().copied().collect(),
            ids: tables.ids.iter().map(|(id, key)| (id.clone(), *key)).collect(),
            inbox: tables.inbox.keys().copied().collect(),
            runs: tables.history.keys().map(|(run, _)| *run).collect(),
            timers: tables.timers.keys().copied().collect(),
            entities: tables.entities.keys().collect(),
            entity_ids: tables.entities.ids.clone(),
            states: tables.entities.states.keys().copied().collect(),
            queues: tables.entities.queues.keys().copied().collect(),
        }
    }

    /// A copy that goes its own way from here.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self { tables: Arc::new(RwLock::new(self.tables.read().clone())) }
    }
}

impl Store for MemoryStore {
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        self.tables.write().apply(batch)
    }

    fn recover(&self) -> Result<Recovered, StoreError> {
        let mut tables = self.tables.write();
        tables.incarnation.0 += 1;
        let active = tables.active.iter().map(|key| {
            let (_, blob) = &tables.instances[key];
            read::complete(&*tables, codec::decode_instance(*key, blob)?)
        });
        let timers =
            tables.timers.iter().map(|((run, position), blob)| Ok(codec::decode_timer(*run, *position, blob)?));
        Ok(Recovered {
            incarnation: tables.incarnation,
            active: active.collect::<Result<_, StoreError>>()?,
            entities: tables.entities.active()?,
            timers: timers.collect::<Result<_, StoreError>>()?,
        })
    }

    fn load(&self, id: &InstanceId) -> Result<Option<LoadedInstance>, StoreError> {
        read::load(&*self.tables.read(), id)
    }

    fn view(&self, id: &InstanceId, with_input: bool) -> Result<Option<InstanceView>, StoreError> {
        read::view(&*self.tables.read(), id, with_input)
    }

    fn history(&self, run: RunId, from: Position, max_bytes: usize) -> Result<Vec<StoredEvent>, StoreError> {
        read::page(&*self.tables.read(), run, from, max_bytes)
    }

    fn list(
        &self,
        filter: &InstanceFilter,
        order: InstanceOrder,
        after: Option<&Place>,
        size: PageSize,
    ) -> Result<InstancePage, StoreError> {
        listing::page(&*self.tables.read(), filter, order, after, size)
    }

    fn children(
        &self,
        parent: &InstanceId,
        after: Option<&InstanceId>,
        limit: usize,
    ) -> Result<Vec<InstanceId>, StoreError> {
        let tables = self.tables.read();
        let from = (parent.clone(), after.cloned().unwrap_or_else(|| InstanceId::trusted("")));
        let all = tables.by_parent.range((Bound::Excluded(from), Bound::Unbounded));
        Ok(all.take_while(|(of, _)| of == parent).map(|(_, child)| child.clone()).take(limit).collect())
    }

    fn load_entity(&self, id: &InstanceId) -> Result<Option<LoadedEntity>, StoreError> {
        entities::load(&self.tables.read().entities, id)
    }

    fn view_entity(&self, id: &InstanceId, with_state: bool) -> Result<Option<EntityView>, StoreError> {
        entities::view(&self.tables.read().entities, id, with_state)
    }

    fn list_entities(
        &self,
        filter: &EntityFilter,
        after: Option<&InstanceId>,
        size: PageSize,
    ) -> Result<EntityPage, StoreError> {
        entities::page(&self.tables.read().entities, filter, after, size)
    }

    /// What is in memory was never written by an older version: no key is needed to tell references from it.
    fn payload_key(&self) -> HubKey {
        HubKey(0)
    }

    fn is_payload_referenced(&self, hash: Hash) -> Result<bool, StoreError> {
        Ok(self.tables.read().references.has(hash))
    }

    fn released_payloads(&self) -> Vec<Hash> {
        self.tables.write().references.take_released()
    }
}

impl Tables {
    fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.check(batch)?;
        self.entities.apply(batch);
        self.references.apply(batch);
        for key in &batch.dropped_instances {
            if let Some((id, blob)) = self.instances.remove(key) {
                self.unlist(&codec::decode_instance(*key, &blob)?);
                self.ids.remove(&id);
            }
            self.active.remove(key);
            remove_range(&mut self.inbox, (*key, u64::MIN), (*key, u64::MAX));
        }
        for run in &batch.dropped_runs {
            remove_range(&mut self.history, (*run, Position::MIN), (*run, Position::MAX));
        }
        for run in batch.dropped_runs.iter().chain(&batch.ended_runs) {
            remove_range(&mut self.timers, (*run, Position::MIN), (*run, Position::MAX));
        }
        for (key, record) in &batch.instances {
            self.ids.insert(record.id.clone(), *key);
            let before = self.instances.insert(*key, (record.id.clone(), codec::encode_instance(record).into()));
            if let Some((_, blob)) = before {
                self.unlist(&codec::decode_instance(*key, &blob)?);
            }
            self.list(record);
            if record.is_active() {
                self.active.insert(*key);
            } else {
                self.active.remove(key);
            }
        }
        for ((key, seq), entry) in &batch.inbox {
            let blob = entry.as_ref().map(|entry| codec::encode_inbox(*key, entry).into());
            put_or_remove(&mut self.inbox, (*key, *seq), blob);
        }
        for ((run, position), timer) in &batch.timers {
            let blob = timer.as_ref().map(|timer| codec::encode_timer(timer).into());
            put_or_remove(&mut self.timers, (*run, *position), blob);
        }
        for append in &batch.appends {
            for (first, events) in codec::split(append.first, &append.events) {
                self.history.insert((append.run, first), codec::encode_episode(append.run, first, events).into());
            }
        }
        Ok(())
    }

    /// Enters an instance into the indexes that listings go through. Entities are in none of them.
    fn list(&mut self, record: &InstanceRecord) {
        let (status, id) = (record.status, &record.id);
        if let Some(parent) = &record.parent {
            self.by_parent.insert((parent.instance.clone(), id.clone()));
        }
        if id.is_entity() {
            return;
        }
        self.by_creation.insert((status, record.created_at, id.clone()), record.key);
        if let Some(end) = record.completed_at {
            self.by_end.insert((status, end, id.clone()), record.key);
        }
    }

    /// Takes an instance, as it was, out of them.
    fn unlist(&mut self, record: &InstanceRecord) {
        let (status, id) = (record.status, &record.id);
        if let Some(parent) = &record.parent {
            self.by_parent.remove(&(parent.instance.clone(), id.clone()));
        }
        self.by_creation.remove(&(status, record.created_at, id.clone()));
        if let Some(end) = record.completed_at {
            self.by_end.remove(&(status, end, id.clone()));
        }
    }

    /// Refuses what a database with unique keys would refuse, before anything is changed.
    fn check(&self, batch: &Batch) -> Result<(), StoreError> {
        self.entities.check(batch)?;
        for record in batch.instances.values() {
            let owner = self.ids.get(&record.id);
            if owner.is_some_and(|key| *key != record.key && !batch.dropped_instances.contains(key)) {
                return Err(StoreError::Corrupt(format!("two instances have the id {:?}", record.id)));
            }
        }
        for append in &batch.appends {
            if self.history.contains_key(&(append.run, append.first)) {
                let (run, first) = (append.run.0, append.first);
                return Err(StoreError::Corrupt(format!("event {first} of execution {run} was to be written twice")));
            }
        }
        Ok(())
    }
}

impl Rows for Tables {
    type Error = StoreError;

    fn record(&self, key: InstanceKey) -> Result<Option<InstanceRecord>, StoreError> {
        let Some((_, blob)) = self.instances.get(&key) else { return Ok(None) };
        Ok(Some(codec::decode_instance(key, blob)?))
    }

    fn walk(
        &self,
        walk: &Walk<'_>,
        visit: &mut dyn FnMut(Passed) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut pass = |key: InstanceKey| {
            let record = self.record(key)?.ok_or_else(|| Damaged::new("an index", "leads to nothing"))?;
            visit(Passed { key, place: walk.place(&record), status: None, fits: walk.fits(&record) })
        };
        match &walk.path {
            Path::Ids { prefix, from, inclusive } => {
                let from = if *inclusive { Bound::Included(from) } else { Bound::Excluded(from) };
                let all = self.ids.range((from, Bound::Unbounded));
                for (_, key) in all.take_while(|(id, _)| id.as_str().starts_with(prefix)) {
                    if pass(*key)?.is_break() {
                        break;
                    }
                }
            }
            Path::Times { by, statuses, from: (from, id), last } => {
                let index = match by {
                    InstanceOrder::Created => &self.by_creation,
                    InstanceOrder::Completed => &self.by_end,
                };
                let way = |status: &Status| {
                    let (status, from) = (*status, (*status, *from, InstanceId::trusted(id)));
                    let all = index.range((Bound::Excluded(from), Bound::Unbounded));
                    all.take_while(move |((of, time, _), _)| *of == status && time <= last).peekable()
                };
                let mut ways: Vec<_> = statuses.iter().map(way).collect();
                loop {
                    let heads = ways.iter_mut().enumerate().filter_map(|(i, way)| Some((i, *way.peek()?)));
                    let Some((first, (_, key))) = heads.min_by_key(|(_, ((_, time, id), _))| (*time, id)) else {
                        break;
                    };
                    ways[first].next();
                    if pass(*key)?.is_break() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn find(&self, id: &InstanceId) -> Result<Option<InstanceRecord>, StoreError> {
        let Some(key) = self.ids.get(id) else { return Ok(None) };
        Ok(Some(codec::decode_instance(*key, &self.instances[key].1)?))
    }

    fn inbox(&self, key: InstanceKey) -> Result<Vec<InboxEntry>, StoreError> {
        let entries = self.inbox.range((key, u64::MIN)..=(key, u64::MAX));
        entries.map(|((_, seq), blob)| Ok(codec::decode_inbox(key, *seq, blob)?)).collect()
    }

    fn episodes(
        &self,
        run: RunId,
        from: Position,
        visit: &mut dyn FnMut(Episode) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let floor = self.history.range((run, Position::MIN)..=(run, from)).next_back();
        let floor = floor.map_or(Position::MIN, |((_, first), _)| *first);
        for ((_, first), blob) in self.history.range((run, floor)..=(run, Position::MAX)) {
            if visit(Episode { first: *first, events: codec::decode_episode(run, *first, blob)? }).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn last_episode(&self, run: RunId) -> Result<Option<Episode>, StoreError> {
        let last = self.history.range((run, Position::MIN)..=(run, Position::MAX)).next_back();
        let Some(((_, first), blob)) = last else { return Ok(None) };
        Ok(Some(Episode { first: *first, events: codec::decode_episode(run, *first, blob)? }))
    }
}

fn put_or_remove<K: Ord>(map: &mut BTreeMap<K, Blob>, key: K, blob: Option<Blob>) {
    match blob {
        Some(blob) => map.insert(key, blob),
        None => map.remove(&key),
    };
}

fn remove_range<K: Ord + Copy>(map: &mut BTreeMap<K, Blob>, first: K, last: K) {
    let keys: Vec<K> = map.range(first..=last).map(|(key, _)| *key).collect();
    for key in keys {
        map.remove(&key);
    }
}
