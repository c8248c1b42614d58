//! The registry of the moment, shared by all who run something.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Added, LoadedComponent, Registry, RegistryError};

/// Gives the registry of the moment to whoever asks, and tells when another one took its place. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RegistryHandle {
    current: Arc<watch::Sender<Arc<Registry>>>,
}

impl Default for RegistryHandle {
    fn default() -> Self {
        Self::new(Registry::default())
    }
}

impl RegistryHandle {
    /// A handle to this registry.
    pub fn new(registry: Registry) -> Self {
        Self { current: Arc::new(watch::Sender::new(Arc::new(registry))) }
    }

    /// The registry of the moment.
    pub fn current(&self) -> Arc<Registry> {
        Arc::clone(&self.current.borrow())
    }

    /// Puts another registry in its place.
    pub fn replace(&self, registry: Registry) {
        self.current.send_replace(Arc::new(registry));
    }

    /// Adds a component beside those that are there. Whoever holds the registry as it was goes on with it undisturbed.
    ///
    /// # Errors
    /// If the component cannot stand beside the others; nothing has changed then.
    pub fn add(&self, component: Arc<LoadedComponent>) -> Result<Added, RegistryError> {
        let mut added = Ok(Added::AlreadyThere);
        self.current.send_if_modified(|current| {
            let mut registry = Registry::clone(current);
            added = registry.add(component);
            let changed = matches!(added, Ok(Added::New | Added::Regranted));
            if changed {
                *current = Arc::new(registry);
            }
            changed
        });
        added
    }

    /// Removes a component from what can be run from now on.
    pub(crate) fn remove(&self, name: &str, version: &str) -> Option<Arc<LoadedComponent>> {
        let mut removed = None;
        self.current.send_if_modified(|current| {
            let mut registry = Registry::clone(current);
            removed = registry.remove(name, version);
            if removed.is_some() {
                *current = Arc::new(registry);
            }
            removed.is_some()
        });
        removed
    }

    /// The hub has these defaults from now on. What can be run does not change.
    pub(crate) fn set_defaults(&self, defaults: BTreeMap<String, (String, String)>) {
        self.current.send_if_modified(|current| {
            if current.defaults != defaults {
                *current = Arc::new(Registry { defaults, ..Registry::clone(current) });
            }
            // Nobody has to be told.
            false
        });
    }

    /// Learns of every change from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Registry>> {
        self.current.subscribe()
    }
}
