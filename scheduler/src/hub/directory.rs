//! The task hubs of a scheduler: which there are, and how they come and go.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{FatalSink, Hub};
use crate::Options;
use crate::core::partition::Limits;
use crate::deployments::Deployments;
use crate::deployments::files::Files;
use crate::payload::{PayloadOptions, PayloadStore};
use crate::store::directory::{DataDir, HubName};
use crate::store::failing::{FailingStore, Fate};
use crate::store::memory::MemoryStore;
use crate::store::{Store, StoreError};

/// The hub of calls without a `taskhub` header. It always exists.
pub const DEFAULT_HUB: &str = "default";

/// All task hubs of a scheduler, each with its own store.
pub struct Directory {
    hubs: parking_lot::RwLock<HashMap<String, Hub>>,
    /// Serialises what creates and deletes.
    changes: Mutex<()>,
    /// None: everything is in memory.
    data: Option<DataDir>,
    limits: Limits,
    payloads: PayloadOptions,
    /// Hubs come into being on first use.
    on_demand: bool,
    /// For tests: the disk fails after so many commits.
    fail_after: Option<u64>,
    fatal: FatalSink,
    shutdown: CancellationToken,
}

impl Directory {
    /// Opens all hubs in the data folder (or begins with none, in memory) and makes those that are missing of the wanted ones and the
    /// default one.
    ///
    /// # Errors
    /// If the folder is in use, or a store cannot be read.
    pub fn open(options: &Options, fatal: FatalSink, shutdown: CancellationToken) -> Result<Self, StoreError> {
        let data = options.data.as_deref().map(DataDir::open).transpose()?;
        let existing = data.as_ref().map(DataDir::hubs).transpose()?.unwrap_or_default();
        let directory = Self {
            hubs: Default::default(),
            changes: Mutex::default(),
            data,
            limits: options.limits.clone(),
            payloads: options.payloads.clone(),
            on_demand: options.dev,
            fail_after: options.fail_after,
            fatal,
            shutdown,
        };
        for name in
            existing.iter().map(HubName::as_str).chain([DEFAULT_HUB]).chain(options.hubs.iter().map(String::as_str))
        {
            if !directory.hubs.read().contains_key(name) {
                directory.start(name)?;
            }
        }
        Ok(directory)
    }

    fn start(&self, name: &str) -> Result<Hub, StoreError> {
        let parsed = HubName::parse(name)?;
        let store: Arc<dyn Store> = match (&self.data, self.fail_after) {
            (Some(data), None) => Arc::new(data.open_hub(&parsed)?),
            (Some(data), Some(commits)) => Arc::new(FailingStore::after(commits, Fate::Lost, data.open_hub(&parsed)?)),
            (None, _) => Arc::new(MemoryStore::new()),
        };
        let (key, file) = (store.payload_key(), self.data.as_ref().map(|data| data.file(&parsed)));
        let place = self.payloads.place.open(name, key, file.as_deref());
        let backend = place.map_err(|error| StoreError::Io(error.to_string()))?;
        let payloads = PayloadStore::new(key, &self.payloads, self.limits.payload_bytes, backend);
        let files = match &self.data {
            Some(data) => Files::Folder(data.components(&parsed)),
            None => Files::Memory(HashMap::new()),
        };
        let deployments = Deployments::open(files)?;
        let limits = self.limits.clone();
        let hub = Hub::start(name, store, deployments, limits, payloads, self.fatal.clone(), &self.shutdown)?;
        self.hubs.write().insert(name.to_owned(), hub.clone());
        Ok(hub)
    }

    /// The hub of that name.
    ///
    /// # Errors
    /// NOT_FOUND if there is none and hubs are not made on demand.
    pub async fn get(&self, name: &str) -> Result<Hub, Status> {
        if let Some(hub) = self.hubs.read().get(name) {
            return Ok(hub.clone());
        }
        if self.on_demand {
            return self.create(name, false).await;
        }
        Err(Status::not_found(format!(
            "there is no task hub `{name}`: create it with CreateTaskHub or start the scheduler with `--hub {name}`"
        )))
    }

    /// Makes a hub; with `recreate` an existing one is emptied first.
    ///
    /// # Errors
    /// INVALID_ARGUMENT if it is no name for a hub.
    pub async fn create(&self, name: &str, recreate: bool) -> Result<Hub, Status> {
        let _one_at_a_time = self.changes.lock().await;
        let existing = self.hubs.read().get(name).cloned();
        match existing {
            Some(hub) if !recreate => return Ok(hub),
            // The handle must be gone before the store can be deleted.
            Some(hub) => {
                drop(hub);
                self.remove(name).await?;
            }
            None => {}
        }
        tokio::task::block_in_place(|| self.start(name)).map_err(|e| changed(name, &e))
    }

    /// Deletes a hub with all that it holds. The default hub is emptied instead.
    ///
    /// # Errors
    /// NOT_FOUND if there is none.
    pub async fn delete(&self, name: &str) -> Result<(), Status> {
        let _one_at_a_time = self.changes.lock().await;
        if !self.hubs.read().contains_key(name) {
            return Err(Status::not_found(format!("there is no task hub `{name}`")));
        }
        self.remove(name).await?;
        if name == DEFAULT_HUB {
            tokio::task::block_in_place(|| self.start(name)).map_err(|e| changed(name, &e))?;
        }
        Ok(())
    }

    async fn remove(&self, name: &str) -> Result<(), Status> {
        let hub = self.hubs.write().remove(name);
        let mut payloads = None;
        if let Some(hub) = hub {
            hub.stop().await;
            payloads = Some(hub.payloads().clone());
        }
        if let Some(data) = &self.data {
            let name_parsed = HubName::parse(name).map_err(|e| changed(name, &e))?;
            let deleted = tokio::task::block_in_place(|| data.delete_hub(&name_parsed));
            if let Err(error) = deleted {
                // It is still there, so it goes on.
                tokio::task::block_in_place(|| self.start(name)).map_err(|e| changed(name, &e))?;
                return Err(changed(name, &error));
            }
        }
        // The hub is gone. What cannot be deleted now is in nobody's way: another hub of that name has another key.
        if let Some(payloads) = payloads
            && let Err(error) = payloads.clear().await
        {
            tracing::warn!(hub = name, %error, "the payloads of a deleted task hub cannot all be deleted");
        }
        Ok(())
    }

    /// Stops all hubs; returns when everything accepted is on disk.
    pub async fn stop(&self) {
        let hubs: Vec<Hub> = self.hubs.write().drain().map(|(_, hub)| hub).collect();
        for hub in hubs {
            hub.stop().await;
        }
    }

    /// The names of the hubs, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.hubs.read().keys().cloned().collect();
        names.sort_unstable();
        names
    }
}

fn changed(name: &str, error: &StoreError) -> Status {
    match error {
        StoreError::InvalidName(_) => Status::invalid_argument(error.to_string()),
        StoreError::NameTaken { .. } => Status::already_exists(error.to_string()),
        _ => Status::internal(format!("task hub `{name}`: {error}")),
    }
}
