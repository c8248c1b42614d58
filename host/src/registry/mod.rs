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

use crate::deployment::OnMismatch;

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

/// What runs an instance of some version.
#[derive(Clone, Copy, Debug)]
pub enum Route<'r> {
    /// This component.
    To(&'r Arc<LoadedComponent>),
    /// None here, and what becomes of it then was settled by the newest component that has a say in it.
    Mismatch(&'r Arc<LoadedComponent>, OnMismatch),
    /// None here.
    Nowhere,
}

impl<'r> Route<'r> {
    /// The component, if one was found.
    pub fn component(self) -> Option<&'r Arc<LoadedComponent>> {
        match self {
            Self::To(component) => Some(component),
            Self::Mismatch(..) | Self::Nowhere => None,
        }
    }
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
    /// for what is on it, or that on which instances begin that nobody gave one. None: it keeps what it has.
    pub fn next_version(&self, name: &str, current: &str) -> Option<&str> {
        match self.defaults.get(name) {
            Some((_, canary)) if canary == current => Some(canary),
            Some((default, _)) => Some(default),
            None => self.default_version(name),
        }
    }

    /// The version on which instances of this orchestrator begin that nobody gave one: the newest, or what that one's manifest says. None: with
    /// a strategy of the SDKs they stay without a version.
    pub fn default_version(&self, name: &str) -> Option<&str> {
        let (_, newest) = self.orchestrators.get(name)?.last_key_value()?;
        match newest.versioning().mismatch() {
            None => Some(newest.version()),
            Some(_) => newest.versioning().default_version.as_deref(),
        }
    }

    /// All components.
    pub fn components(&self) -> &[Arc<LoadedComponent>] {
        &self.components
    }

    /// What runs this orchestrator: the component of exactly this version, else the newest one whose strategy takes it.
    pub fn orchestrator(&self, name: &str, version: Option<&str>) -> Route<'_> {
        route(&self.orchestrators, name, version)
    }

    /// What runs this activity: as with an orchestrator, but without a version always the newest. (The SDKs compare no versions of activities.)
    pub fn activity(&self, name: &str, version: Option<&str>) -> Option<&Arc<LoadedComponent>> {
        match version.filter(|version| !version.is_empty()) {
            Some(version) => route(&self.activities, name, Some(version)).component(),
            None => newest(&self.activities, name),
        }
    }

    /// The component that runs this entity (its name in lower case): the newest version.
    pub fn entity(&self, name: &str) -> Option<&Arc<LoadedComponent>> {
        newest(&self.entities, name)
    }

    /// The names of the entities, in lower case.
    pub fn entities(&self) -> impl Iterator<Item = &str> {
        self.entities.keys().map(String::as_str)
    }

    /// The orchestrators by name, each with the versions of instances that it is to be sent.
    pub fn orchestrator_versions(&self) -> impl Iterator<Item = (&str, Accepted<'_>)> {
        self.orchestrators.iter().map(|(name, versions)| {
            // Whoever fails what does not fit must see it.
            let fails = settled(versions).is_some_and(|(_, becomes)| becomes == OnMismatch::Fail);
            (name.as_str(), if fails { Accepted::All } else { accepted(versions) })
        })
    }

    /// The activities by name, each with the versions that it is to be sent.
    pub fn activity_versions(&self) -> impl Iterator<Item = (&str, Accepted<'_>)> {
        self.activities.iter().map(|(name, versions)| {
            let wanted = match accepted(versions) {
                Accepted::Only(versions, _) => Accepted::Only(versions, true),
                Accepted::All => Accepted::All,
            };
            (name.as_str(), wanted)
        })
    }
}

/// The versions of instances that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted<'r> {
    /// Whatever comes.
    All,
    /// These, oldest first; and whether those without a version.
    Only(Vec<&'r str>, bool),
}

fn accepted(versions: &Versions) -> Accepted<'_> {
    if versions.values().any(|there| there.versioning().takes_unlisted()) {
        return Accepted::All;
    }
    let without = versions.iter().any(|(version, there)| there.versioning().takes(version, ""));
    Accepted::Only(versions.keys().map(Version::as_str).collect(), without)
}

/// What becomes of an instance that nothing takes: as the newest component says that has a say in it.
fn settled(versions: &Versions) -> Option<(&Arc<LoadedComponent>, OnMismatch)> {
    versions.values().rev().find_map(|there| Some((there, there.versioning().mismatch()?)))
}

fn newest<'r>(map: &'r HashMap<String, Versions>, name: &str) -> Option<&'r Arc<LoadedComponent>> {
    map.get(name)?.last_key_value().map(|(_, component)| component)
}

fn route<'r>(map: &'r HashMap<String, Versions>, name: &str, version: Option<&str>) -> Route<'r> {
    let Some(versions) = map.get(name) else { return Route::Nowhere };
    let version = version.unwrap_or_default();
    let exact = || versions.get(&Version::new(version));
    let taking = || versions.iter().rev().find(|(own, there)| there.versioning().takes(own, version));
    if let Some(component) = exact().or_else(|| taking().map(|(_, component)| component)) {
        return Route::To(component);
    }
    settled(versions).map_or(Route::Nowhere, |(component, mismatch)| Route::Mismatch(component, mismatch))
}
