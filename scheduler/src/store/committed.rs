//! What is committed, as the core reads it.

use std::cell::RefCell;

use super::{Store, StoreError};
use crate::core::entity::LoadedEntity;
use crate::core::ids::{InstanceId, RunId};
use crate::core::partition::Lookup;
use crate::core::record::{LoadedInstance, StoredEvent};

/// How much of a history is read at once.
const PAGE_BYTES: usize = 1 << 20;

/// Reads a store for the core, and notes if it could not be read at all. (That a row is damaged is the matter of its instance.)
pub struct Committed<'a> {
    store: &'a dyn Store,
    failed: RefCell<Option<StoreError>>,
}

impl<'a> Committed<'a> {
    /// What is committed in this store.
    #[must_use]
    pub fn new(store: &'a dyn Store) -> Self {
        Self { store, failed: RefCell::new(None) }
    }

    /// Why the store could not be read, if so. What the core made of it meanwhile must not be written.
    #[must_use]
    pub fn into_failure(self) -> Option<StoreError> {
        self.failed.into_inner()
    }

    fn read<T>(&self, read: impl FnOnce(&dyn Store) -> Result<T, StoreError>) -> Result<T, String> {
        read(self.store).map_err(|error| {
            let text = error.to_string();
            if !matches!(error, StoreError::Corrupt(_)) {
                self.failed.borrow_mut().get_or_insert(error);
            }
            text
        })
    }
}

impl Lookup for Committed<'_> {
    fn load(&self, id: &InstanceId) -> Result<Option<LoadedInstance>, String> {
        self.read(|store| store.load(id))
    }

    fn load_entity(&self, id: &InstanceId) -> Result<Option<LoadedEntity>, String> {
        self.read(|store| store.load_entity(id))
    }

    fn history(&self, run: RunId) -> Result<Vec<StoredEvent>, String> {
        let mut history = Vec::new();
        loop {
            let page = self.read(|store| store.history(run, history.len() as u64, PAGE_BYTES))?;
            if page.is_empty() {
                return Ok(history);
            }
            history.extend(page);
        }
    }
}
