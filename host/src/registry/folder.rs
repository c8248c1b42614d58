//! A folder of components.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::component::LoadError;
use super::{LoadedComponent, Registry, RegistryError};
use crate::deployment::{Deployment, DocumentError, Manifest, Terms};
use crate::sandbox::{CodeCache, Engines};

/// A folder from which nothing can be run.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be read.
    #[error("the components folder {path} cannot be read: {error}. Create it, or name another one with --components")]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// There is no component in it.
    #[error(
        "there is no component in {path}: it holds no *.wasm file. Build one with `durawasm build` and copy it there"
    )]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// No component in it can be run.
    #[error("none of the components in {path} can be run:\n{}", list(.failures))]
    NothingUsable {
        /// The folder.
        path: PathBuf,
        /// Why.
        failures: Vec<LoadFailure>,
    },
}

fn list(failures: &[LoadFailure]) -> String {
    failures.iter().map(|failure| format!("  {failure}")).collect::<Vec<_>>().join("\n")
}

/// Why one file is not run.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {cause}")]
pub struct LoadFailure {
    /// The file.
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
    /// It cannot stand beside the others.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Loads all components of a folder, in the order of their file names, each with the manifest beside it. What cannot be
/// loaded is told and left out.
pub fn load_folder(
    folder: &Path,
    engines: &Engines,
    cache: &CodeCache,
    terms: &Terms,
) -> Result<(Registry, Vec<LoadFailure>), FolderError> {
    let unreadable = |error| FolderError::Unreadable { path: folder.to_owned(), error };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(FolderError::Empty { path: folder.to_owned() });
    }
    files.sort_unstable();
    let mut registry = Registry::default();
    let mut failures = Vec::new();
    for path in files {
        let mut add = || -> Result<(), LoadCause> {
            let bytes = std::fs::read(&path)?;
            let deployment = Deployment::new(Manifest::beside(&path)?, terms.clone());
            let component = LoadedComponent::load(&bytes, engines, cache, deployment)?;
            Ok(registry.add(Arc::new(component))?)
        };
        if let Err(cause) = add() {
            failures.push(LoadFailure { path, cause });
        }
    }
    if registry.components().is_empty() {
        return Err(FolderError::NothingUsable { path: folder.to_owned(), failures });
    }
    Ok((registry, failures))
}
