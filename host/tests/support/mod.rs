//! What the tests of sessions share: a scheduler's part in miniature, without any network.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod journal;
pub mod reactor;
pub mod script;

use std::path::PathBuf;
use std::sync::Arc;

use durawasm_host::deployment::Deployment;
use durawasm_host::orchestration::{Limits, Session};
use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::{CodeCache, Engines, Orchestrator, SandboxLimits};

/// A component of `tests/guests/`, as `cargo xtask setup` builds them.
pub fn guest(name: &str) -> Vec<u8> {
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    let folder = std::env::var_os("DURAWASM_TEST_GUESTS").map_or_else(|| target.join("guests/tests"), PathBuf::from);
    let path = folder.join(format!("test_{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask test`", path.display()))
}

/// The same component as another version, which is written with as many letters.
pub fn versioned(mut bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from.as_bytes()).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "{from} is nowhere in the component");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

/// The default limits, changed.
pub fn limits(change: impl FnOnce(&mut SandboxLimits)) -> SandboxLimits {
    let mut limits = SandboxLimits::default();
    change(&mut limits);
    limits
}

/// A component in another language than Rust, as `cargo xtask test` builds them. Compiling one takes long: the code is kept.
pub fn load_cached(folder: &str, name: &str, deployment: impl Into<Deployment>) -> LoadedComponent {
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    let folders = std::env::var_os("DURAWASM_LANGUAGE_GUESTS").map_or_else(|| target.join("guests"), PathBuf::from);
    let path = folders.join(folder).join(format!("test_{name}.wasm"));
    let bytes =
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask test`", path.display()));
    let cache = CodeCache::new(folders.join(folder).join("code"));
    LoadedComponent::load(&bytes, &Engines::new().unwrap(), &cache, deployment).unwrap()
}

/// Loads a component.
pub fn load(name: &str, deployment: impl Into<Deployment>) -> LoadedComponent {
    let engines = Engines::new().unwrap();
    LoadedComponent::load(&guest(name), &engines, &CodeCache::none(), deployment).unwrap()
}

/// A session of a component that has not begun.
pub fn session(component: &LoadedComponent, instance_id: &str, batch: usize) -> Session<Orchestrator> {
    let guest = Orchestrator::new(Arc::clone(component.orchestrator_code().unwrap()));
    let limits = Limits { batch, ..Limits::default() };
    Session::new(guest, instance_id, Arc::clone(component.program()), limits)
}
