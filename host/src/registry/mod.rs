//! The components that a host runs, every version live side by side.
//!
//! A [`Registry`] never changes. What is deployed later makes a new one, and [`RegistryHandle`] swaps it in: whoever holds
//! the old one goes on with it undisturbed.

mod component;
mod folder;
mod version;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;

pub use component::{LoadError, LoadedComponent};
pub use folder::{FolderError, LoadCause, LoadFailure, load_folder};
pub use version::Version;

/// A component that cannot stand beside those that are there.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The same name and version with other bytes or another environment.
    #[error(
        "component `{name}` version {version} is there already with another content (digest {loaded}, this one has {refused}). \
         What is deployed never changes: give the new component a new version"
    )]
    ChangedContent {
        /// The component's name.
        name: String,
        /// The version of both.
        version: String,
        /// The digest of the one that stays.
        loaded: String,
        /// The digest of the one that is refused.
        refused: String,
    },
    /// Another component offers the same thing in the same version.
    #[error(
        "component `{refused}` offers the {what} `{name}` in version {version}, which component `{loaded}` offers already. \
         Rename one of the two, or give one of the components another version"
    )]
    Ambiguous {
        /// `orchestrator`, `activity` or `entity`.
        what: &'static str,
        /// What both offer.
        name: String,
        /// The version of both.
        version: String,
        /// The component that stays.
        loaded: String,
        /// The component that is refused.
        refused: String,
    },
}

type Versions = BTreeMap<Version, Arc<LoadedComponent>>;

/// The components that a host runs.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    components: Vec<Arc<LoadedComponent>>,
    orchestrators: HashMap<String, Versions>,
    activities: HashMap<String, Versions>,
    entities: HashMap<String, Versions>,
}

impl Registry {
    /// Adds a component. The same one twice is the same as once.
    pub fn add(&mut self, component: Arc<LoadedComponent>) -> Result<(), RegistryError> {
        let (name, version) = (component.name(), component.version());
        if let Some(there) = self.components.iter().find(|there| there.name() == name && there.version() == version) {
            if there.digest() == component.digest() {
                return Ok(());
            }
            return Err(RegistryError::ChangedContent {
                name: name.to_owned(),
                version: version.to_owned(),
                loaded: there.digest().to_owned(),
                refused: component.digest().to_owned(),
            });
        }
        let key = Version::new(version);
        let offers = [
            ("orchestrator", component.orchestrators(), &mut self.orchestrators),
            ("activity", component.activities(), &mut self.activities),
            ("entity", component.entities(), &mut self.entities),
        ];
        for (what, names, map) in &offers {
            for name in *names {
                if let Some(there) = map.get(name).and_then(|versions| versions.get(&key)) {
                    return Err(RegistryError::Ambiguous {
                        what,
                        name: name.clone(),
                        version: version.to_owned(),
                        loaded: there.name().to_owned(),
                        refused: component.name().to_owned(),
                    });
                }
            }
        }
        for (_, names, map) in offers {
            for name in names {
                map.entry(name.clone()).or_default().insert(key.clone(), Arc::clone(&component));
            }
        }
        self.components.push(component);
        Ok(())
    }

    /// All components.
    pub fn components(&self) -> &[Arc<LoadedComponent>] {
        &self.components
    }

    /// The component that runs this orchestrator: of exactly this version, or the newest one if there is none.
    pub fn orchestrator(&self, name: &str, version: Option<&str>) -> Option<&Arc<LoadedComponent>> {
        route(&self.orchestrators, name, version)
    }

    /// The component that runs this activity: of exactly this version, or the newest one if there is none.
    pub fn activity(&self, name: &str, version: Option<&str>) -> Option<&Arc<LoadedComponent>> {
        route(&self.activities, name, version)
    }

    /// The component that runs this entity (its name in lower case): the newest version.
    pub fn entity(&self, name: &str) -> Option<&Arc<LoadedComponent>> {
        route(&self.entities, name, None)
    }

    /// The names of the entities, in lower case.
    pub fn entities(&self) -> impl Iterator<Item = &str> {
        self.entities.keys().map(String::as_str)
    }

    /// The orchestrators by name, with their versions, oldest first.
    pub fn orchestrator_versions(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        versions(&self.orchestrators)
    }

    /// The activities by name, with their versions, oldest first.
    pub fn activity_versions(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        versions(&self.activities)
    }
}

fn route<'a>(
    map: &'a HashMap<String, Versions>,
    name: &str,
    version: Option<&str>,
) -> Option<&'a Arc<LoadedComponent>> {
    let versions = map.get(name)?;
    match version {
        Some(version) if !version.is_empty() => versions.get(&Version::new(version)),
        _ => versions.last_key_value().map(|(_, component)| component),
    }
}

fn versions(map: &HashMap<String, Versions>) -> impl Iterator<Item = (&str, Vec<&str>)> {
    map.iter().map(|(name, versions)| (name.as_str(), versions.keys().map(Version::as_str).collect()))
}

/// Gives the registry of the moment to whoever asks.
#[derive(Clone, Debug, Default)]
pub struct RegistryHandle {
    current: Arc<RwLock<Arc<Registry>>>,
}

impl RegistryHandle {
    /// A handle to this registry.
    pub fn new(registry: Registry) -> Self {
        Self { current: Arc::new(RwLock::new(Arc::new(registry))) }
    }

    /// The registry of the moment.
    pub fn current(&self) -> Arc<Registry> {
        Arc::clone(&self.current.read())
    }

    /// Puts another registry in its place.
    pub fn replace(&self, registry: Registry) {
        *self.current.write() = Arc::new(registry);
    }
}
