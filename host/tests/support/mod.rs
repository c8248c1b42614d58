//! What the tests of sessions share: a scheduler's part in miniature, without any network.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod journal;
pub mod reactor;
pub mod recorded;
pub mod script;

use std::path::PathBuf;
use std::sync::Arc;

use durawasm_host::abi::activity::Context;
use durawasm_host::deployment::Deployment;
use durawasm_host::orchestration::{Limits, Session};
use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::{ActivityRun, CodeCache, Engines, Orchestrator, SandboxLimits};

fn guests() -> PathBuf {
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    std::env::var_os("DURAWASM_TEST_GUESTS").map_or_else(|| target.join("guests/tests"), PathBuf::from)
}

/// Where tests keep what they compile again and again.
pub fn code_cache() -> PathBuf {
    guests().join("code")
}

/// A component of `tests/guests/`, as `cargo xtask setup` builds them.
pub fn guest(name: &str) -> Vec<u8> {
    let path = guests().join(format!("test_{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask test`", path.display()))
}

/// The context of a call of this activity.
pub fn activity_context(name: &str) -> Context {
    Context {
        name: name.to_owned(),
        instance_id: "i".to_owned(),
        version: None,
        call_id: "i/e/1".to_owned(),
        tags: Vec::new(),
    }
}

/// Lets an activity of a component run.
pub async fn run_activity(component: &LoadedComponent, name: &str) -> ActivityRun {
    let context = activity_context(name);
    component.activity_code().unwrap().run(&context, &context.call_id, None).await
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
