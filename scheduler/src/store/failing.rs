//! A disk that fails, for tests: of the core's pipeline here, and of the whole process through a hidden option.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{
    EntityFilter, EntityPage, EntityView, InstanceFilter, InstanceOrder, InstancePage, InstanceView, LoadedEntity,
    LoadedInstance, PageSize, Place, Recovered, Store, StoreError,
};
use crate::core::batch::Batch;
use crate::core::ids::{InstanceId, Position, RunId};
use crate::core::payload::{Hash, HubKey};
use crate::core::record::StoredEvent;

/// What becomes of the batch whose commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is not in the store.
    Lost,
    /// It is in the store all the same: an error does not say that nothing was written.
    Written,
}

/// A store that works until it has committed a number of batches, and from then on fails each commit.
#[derive(Debug)]
pub struct FailingStore<S> {
    inner: S,
    good_commits: u64,
    fate: Fate,
    commits: AtomicU64,
    unreadable: AtomicBool,
}

impl<S: Store> FailingStore<S> {
    /// Lets `good_commits` commits through. The next one fails with its batch lost or written; later ones are lost.
    pub fn after(good_commits: u64, fate: Fate, inner: S) -> Self {
        Self { inner, good_commits, fate, commits: AtomicU64::new(0), unreadable: AtomicBool::new(false) }
    }

    /// From now on no instance can be loaded.
    pub fn refuse_loads(&self) {
        self.unreadable.store(true, Ordering::Relaxed);
    }

    /// The store itself, to look at what is in it.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Store> Store for FailingStore<S> {
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let before = self.commits.fetch_add(1, Ordering::Relaxed);
        if before < self.good_commits {
            return self.inner.commit(batch);
        }
        if before == self.good_commits && self.fate == Fate::Written {
            self.inner.commit(batch)?;
        }
        Err(StoreError::Io(format!("the disk failed on purpose at commit {}", before + 1)))
    }

    fn recover(&self) -> Result<Recovered, StoreError> {
        self.inner.recover()
    }

    fn load(&self, id: &InstanceId) -> Result<Option<LoadedInstance>, StoreError> {
        if self.unreadable.load(Ordering::Relaxed) {
            return Err(StoreError::Io("the disk cannot be read on purpose".into()));
        }
        self.inner.load(id)
    }

    fn view(&self, id: &InstanceId, with_input: bool) -> Result<Option<InstanceView>, StoreError> {
        self.inner.view(id, with_input)
    }

    fn history(&self, run: RunId, from: Position, max_bytes: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.inner.history(run, from, max_bytes)
    }

    fn list(
        &self,
        filter: &InstanceFilter,
        order: InstanceOrder,
        after: Option<&Place>,
        size: PageSize,
    ) -> Result<InstancePage, StoreError> {
        self.inner.list(filter, order, after, size)
    }

    fn children(
        &self,
        parent: &InstanceId,
        after: Option<&InstanceId>,
        limit: usize,
    ) -> Result<Vec<InstanceId>, StoreError> {
        self.inner.children(parent, after, limit)
    }

    fn load_entity(&self, id: &InstanceId) -> Result<Option<LoadedEntity>, StoreError> {
        if self.unreadable.load(Ordering::Relaxed) {
            return Err(StoreError::Io("the disk cannot be read on purpose".into()));
        }
        self.inner.load_entity(id)
    }

    fn view_entity(&self, id: &InstanceId, with_state: bool) -> Result<Option<EntityView>, StoreError> {
        self.inner.view_entity(id, with_state)
    }

    fn list_entities(
        &self,
        filter: &EntityFilter,
        after: Option<&InstanceId>,
        size: PageSize,
    ) -> Result<EntityPage, StoreError> {
        self.inner.list_entities(filter, after, size)
    }

    fn payload_key(&self) -> HubKey {
        self.inner.payload_key()
    }

    fn is_payload_referenced(&self, hash: Hash) -> Result<bool, StoreError> {
        self.inner.is_payload_referenced(hash)
    }

    fn released_payloads(&self) -> Vec<Hash> {
        self.inner.released_payloads()
    }
}
