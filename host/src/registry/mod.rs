//! The components that a host runs, every version live side by side.
//!
//! A [`Registry`] never changes. What is deployed later makes a new one, and [`RegistryHandle`] swaps it in: whoever holds
//! the old one goes on with it undisturbed.

mod component;
mod folder;
mod handle;
mod loader;
mod notice;
mod version;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use component::{LoadError, LoadedComponent};
pub use folder::{FolderError, WatchedFolder};
pub use handle::RegistryHandle;
pub use loader::{LoadCause, LoadFailure, Loader};
pub use notice::{Notice, Notices};
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

/// What became of a component that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It was not there before.
    New,
    /// It was there, as it is.
    AlreadyThere,
    /// It was there with another manifest: from now on it has what this one grants.
    Regranted,
}

type Versions = BTreeMap<Version, Arc<LoadedComponent>>;

/// The components that a host runs.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    components: Vec<Arc<LoadedComponent>>,
    orchestrators: HashMap<String, Versions>,
    activities: HashMap<String, Versions>,
    entities: HashMap<String, Versions>,
    /// What the hub's orchestrations begin on, by name: the default, and the canary or nothing.
    defaults: BTreeMap<String, (String, String)>,
}

impl Registry {
    /// Adds a component. The same one twice is the same as once; with another manifest, which its guests cannot see, it takes the place of
    /// the first.
    pub fn add(&mut self, component: Arc<LoadedComponent>) -> Result<Added, RegistryError> {
        let (name, version) = (component.name(), component.version());
        if let Some(there) = self.components.iter().find(|there| there.name() == name && there.version() == version) {
            if there.digest() == component.digest() {
                if there.manifest() == component.manifest() {
                    return Ok(Added::AlreadyThere);
                }
                self.replace(&component);
                return Ok(Added::Regranted);
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
        Ok(Added::New)
    }

    /// Puts a component in the place of the one with the same content.
    fn replace(&mut self, component: &Arc<LoadedComponent>) {
        let places = [&mut self.orchestrators, &mut self.activities, &mut self.entities];
        let places = places.into_iter().flat_map(HashMap::values_mut).flat_map(BTreeMap::values_mut);
        for place in self.components.iter_mut().chain(places) {
            if place.digest() == component.digest() && place.name() == component.name() {
                *place = Arc::clone(component);
            }
        }
    }

    /// The component of this name and version.
    pub fn component(&self, name: &str, version: &str) -> Option<&Arc<LoadedComponent>> {
        self.components.iter().find(|component| component.name() == name && component.version() == version)
    }

    /// Removes a component. Whoever runs it goes on.
    pub fn remove(&mut self, name: &str, version: &str) -> Option<Arc<LoadedComponent>> {
        let at = self.components.iter().position(|there| there.name() == name && there.version() == version)?;
        let component = self.components.remove(at);
        for map in [&mut self.orchestrators, &mut self.activities, &mut self.entities] {
            for versions in map.values_mut() {
                versions.retain(|_, there| !Arc::ptr_eq(there, &component));
            }
            map.retain(|_, versions| !versions.is_empty());
        }
        Some(component)
    }

    /// The version on which an orchestrator of this version continues as new, if nobody says which: the hub's default, or the canary
    /// for what is on it, or the newest.
    pub fn next_version(&self, name: &str, current: &str) -> Option<&str> {
        match self.defaults.get(name) {
            Some((_, canary)) if canary == current => Some(canary),
            Some((default, _)) => Some(default),
            None => self.orchestrator(name, None).map(|component| component.version()),
        }
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
