//! What can be set about a host.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::deployment::Policy;
use crate::sandbox::{EngineOptions, MAPPINGS, SandboxLimits};

/// The settings of a host. [`Options::new`] gives the defaults.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the scheduler is: `http://host:port`.
    pub scheduler: String,
    /// The task hub; none for the scheduler's default.
    pub hub: Option<String>,
    /// This worker's name, unique per process. Schedulers send an instance to the worker that holds it warm.
    pub worker_id: String,
    /// A folder with components, which is watched. None: only what is deployed to the scheduler is run.
    pub components: Option<PathBuf>,
    /// Where compiled components are kept; none to compile them at each start.
    pub cache: Option<PathBuf>,
    /// What components may ask for in their manifests.
    pub policy: Arc<Policy>,
    /// What guests may use up, where neither the policy nor a manifest says otherwise.
    pub limits: SandboxLimits,
    /// How the engines are made.
    pub engines: EngineOptions,
    /// How many orchestrations may be in flight.
    pub max_orchestrations: u32,
    /// How many activities may run at a time.
    pub max_activities: u32,
    /// How many entities may run at a time, each with a batch of operations.
    pub max_entities: u32,
    /// How many threads run orchestrations.
    pub orchestration_threads: usize,
    /// How many threads answer questions to orchestrators.
    pub query_threads: usize,
    /// How many suspended orchestrations are kept warm.
    pub warm_sessions: usize,
    /// How many bytes of guest memory the warm ones may hold together.
    pub warm_bytes: usize,
    /// How long running work may take to finish after a stop was asked for.
    pub drain_timeout: Duration,
}

impl Options {
    /// The defaults, for this scheduler and this folder of components.
    pub fn new(scheduler: impl Into<String>, components: impl Into<PathBuf>) -> Self {
        Self { components: Some(components.into()), ..Self::without_folder(scheduler) }
    }

    /// The defaults, for this scheduler and what is deployed there.
    pub fn without_folder(scheduler: impl Into<String>) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            scheduler: scheduler.into(),
            hub: None,
            worker_id: default_worker_id(),
            components: None,
            cache: None,
            policy: Arc::default(),
            limits: SandboxLimits::default(),
            engines: EngineOptions::default(),
            max_orchestrations: 1_024,
            max_activities: 512,
            max_entities: 256,
            orchestration_threads: cores,
            query_threads: 2,
            warm_sessions: warm_sessions(),
            warm_bytes: 2 << 30,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// As many as the system allows mappings for, with a quarter of them left for all else: 12,286 where it allows the usual 65,530.
fn warm_sessions() -> usize {
    let allowed = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    let allowed: usize = allowed.and_then(|text| text.trim().parse().ok()).unwrap_or(65_530);
    (allowed / 4 * 3 / MAPPINGS).min(20_000)
}

/// `host:pid:uuid`, as other SDKs name their workers.
fn default_worker_id() -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "localhost",
        name => name,
    };
    format!("{host}:{}:{}", std::process::id(), uuid::Uuid::new_v4().simple())
}
