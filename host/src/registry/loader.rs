//! From bytes to a component that can be run, without disturbing what runs.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;

use super::component::LoadError;
use super::{Added, LoadedComponent, Registry, RegistryError, RegistryHandle};
use crate::deployment::{Deployment, DocumentError, Manifest, Terms};
use crate::sandbox::{CodeCache, Engines};

/// Why one component is not run.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {cause}")]
pub struct LoadFailure {
    /// The file, or the name and version of what was deployed to the scheduler.
    pub path: PathBuf,
    /// Why.
    pub cause: LoadCause,
}

/// Why a component is not run.
#[derive(Debug, thiserror::Error)]
pub enum LoadCause {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// What it asks for cannot be read.
    #[error("its manifest cannot be used: {0}")]
    Manifest(#[from] DocumentError),
    /// It cannot be run by itself.
    #[error(transparent)]
    Component(#[from] LoadError),
    /// WebAssembly cannot be run at all.
    #[error("WebAssembly cannot be run on this machine: {0:#}")]
    Engine(anyhow::Error),
    /// It is another one than the scheduler says.
    #[error("it is not what was announced: {0}")]
    Announced(String),
    /// It cannot stand beside the others.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Compiles components for one host.
///
/// Compiling is the one thing that a host does for longer than a moment on a whole core. Once the host runs it is done by few threads of
/// low priority, so that work which is going on does not feel it.
pub struct Loader {
    engines: Engines,
    cache: CodeCache,
    terms: Terms,
    aside: rayon::ThreadPool,
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader").field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// How much lower than the host's the priority of compiling is: as `nice` counts.
const NICENESS: i32 = 10;

impl Loader {
    /// A loader for these engines, on the operator's terms.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn new(engines: Engines, cache: CodeCache, terms: Terms) -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let aside = rayon::ThreadPoolBuilder::new()
            .num_threads((cores / 2).max(2).min(cores))
            .thread_name(|index| format!("compile-{index}"))
            .start_handler(|_| yield_to_others())
            .build()
            .map_err(std::io::Error::other)?;
        Ok(Self { engines, cache, terms, aside })
    }

    /// Makes a component at once, as fast as can be: nothing runs yet.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn load(&self, bytes: &[u8], manifest: Manifest) -> Result<LoadedComponent, LoadError> {
        let deployment = Deployment::new(manifest, self.terms.clone());
        guarded(|| LoadedComponent::load(bytes, &self.engines, &self.cache, deployment))
    }

    /// Makes a component while others run. Returns when it is done.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn load_aside(&self, bytes: &[u8], manifest: Manifest) -> Result<LoadedComponent, LoadError> {
        self.aside.install(|| self.load(bytes, manifest))
    }
}

/// A component on which the compiler fails is one that cannot be run, and nothing more: others can.
fn guarded<T>(load: impl FnOnce() -> Result<T, LoadError>) -> Result<T, LoadError> {
    // What it had begun is dropped, and what it shares with others is locked by means that know no poison.
    panic::catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(LoadError::Panic(said.unwrap_or("it said nothing").to_owned()))
    })
}

/// Lowers the priority of this thread, where a thread has one of its own.
fn yield_to_others() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!("components are compiled with the priority of all else: {error}");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = NICENESS;
}

/// The component that is run already with this content and this manifest: then there is nothing to compile.
pub(super) fn there(registry: &Registry, bytes: &[u8], manifest: &Manifest) -> Option<Arc<LoadedComponent>> {
    let digest = manifest.digest(bytes);
    let same = |there: &&Arc<LoadedComponent>| there.digest() == digest && there.manifest() == manifest;
    registry.components().iter().find(same).cloned()
}

/// Adds a component to what a host runs.
pub(super) fn deploy(
    registry: &RegistryHandle,
    component: LoadedComponent,
) -> Result<(Added, Arc<LoadedComponent>), RegistryError> {
    let component = Arc::new(component);
    let added = registry.add(Arc::clone(&component))?;
    Ok((added, component))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_that_panics_refuses_one_component_and_says_so() {
        let load = |bytes: &[u8]| -> Result<(), LoadError> { panic!("{} bytes are too many", bytes.len()) };
        let error = guarded(|| load(&[1, 2])).expect_err("it panics");
        assert!(error.to_string().contains("2 bytes are too many"), "{error}");
        let error = guarded(|| -> Result<(), LoadError> { panic::panic_any(7) }).expect_err("it panics");
        assert!(error.to_string().contains("said nothing"), "{error}");
    }
}
