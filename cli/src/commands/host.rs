//! `durawasm host`: runs the components of a folder until it is asked to end.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use durawasm_client::DEFAULT_ADDRESS;
use durawasm_errors::{Code, CodedError};
use durawasm_host::{
    BuildError, Host, Options,
    registry::{FolderError, LoadedComponent, Notice},
};

use crate::{
    commands::inspect::{self, PolicyArguments},
    console::Console,
    limits::LimitArguments,
    logging::{self, LogArguments},
    signals,
};

/// How often to look whether the host has connected.
const GLANCE: Duration = Duration::from_millis(10);

#[derive(Args)]
pub(crate) struct Arguments {
    /// The scheduler's address.
    #[arg(long, env = "DURAWASM_SCHEDULER", default_value = DEFAULT_ADDRESS, value_name = "URI")]
    scheduler: String,
    /// The task hub. Without it the scheduler's default.
    #[arg(long, env = "DURAWASM_HUB", value_name = "NAME")]
    hub: Option<String>,
    /// A folder with components: its *.wasm files. It is watched: what is put there is run at once, beside what runs already. Without
    /// it only what is deployed to the scheduler is run.
    #[arg(long, env = "DURAWASM_COMPONENTS", value_name = "DIR")]
    components: Option<PathBuf>,
    /// This host's name, unique among the workers of the hub. Without it one is made.
    #[arg(long, value_name = "NAME")]
    worker_id: Option<String>,
    /// Where compiled components are kept for the next start. Only this host's user should be able to write there.
    #[arg(long, env = "DURAWASM_CACHE", value_name = "DIR", conflicts_with = "no_cache")]
    cache: Option<PathBuf>,
    /// Compile the components at each start.
    #[arg(long)]
    no_cache: bool,
    #[command(flatten)]
    policy: PolicyArguments,
    #[command(flatten)]
    capacity: CapacityArguments,
    #[command(flatten)]
    limits: LimitArguments,
    #[command(flatten)]
    log: LogArguments,
}

/// What this host takes on. What is not given has the host's default.
#[derive(Args)]
#[command(next_help_heading = "Capacity")]
struct CapacityArguments {
    /// How many orchestrations may be in flight.
    #[arg(long, value_name = "COUNT")]
    max_orchestrations: Option<u32>,
    /// How many activities may run at a time.
    #[arg(long, value_name = "COUNT")]
    max_activities: Option<u32>,
    /// How many entities may run at a time.
    #[arg(long, value_name = "COUNT")]
    max_entities: Option<u32>,
    /// How many suspended orchestrations are kept warm.
    #[arg(long, value_name = "COUNT")]
    warm_sessions: Option<usize>,
    /// How many MiB of memory the warm ones may have together, as their guests see it: what they never touched counts too.
    #[arg(long, value_name = "MIB")]
    warm_memory: Option<usize>,
    /// How long running work may take to finish when the host is asked to end.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    drain_timeout: Option<Duration>,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    logging::begin(&arguments.log)?;
    let shutdown = signals::shutdown()?;
    let options = options(arguments)?;
    let scheduler = options.scheduler.clone();
    let mut host = match Host::build(options).await {
        Ok(host) => host,
        Err(error) => return Err(cannot_start(error)),
    };
    for failure in host.failures() {
        let code = inspect::left_out(&failure.cause);
        tracing::warn!(%code, file = %failure.path.display(), "left out: {}", failure.cause);
    }
    let handle = host.handle();
    let registry = handle.registry();
    for component in registry.components() {
        loaded(component, "loaded");
    }
    if let Some(mut notices) = host.take_notices() {
        tokio::spawn(async move {
            while let Some(notice) = notices.recv().await {
                tell(&notice);
            }
        });
    }
    let (orchestrators, activities) = (registry.orchestrator_versions().count(), registry.activity_versions().count());
    let entities = registry.entities().count();
    let announce = async {
        while !handle.status().connected {
            tokio::time::sleep(GLANCE).await;
        }
        let offered =
            serde_json::json!({ "orchestrators": orchestrators, "activities": activities, "entities": entities });
        console.data(&serde_json::json!({ "ready": offered }), || {
            let (orchestrators, activities) = (
                counted(orchestrators, "orchestrator", "orchestrators"),
                counted(activities, "activity", "activities"),
            );
            let entities = match entities {
                0 => String::new(),
                _ => format!("{}, ", counted(entities, "entity", "entities")),
            };
            format!("ready: {orchestrators}, {activities}, {entities}connected to {scheduler}")
        });
        std::future::pending::<std::convert::Infallible>().await
    };
    tokio::select! {
        () = host.run(shutdown) => {}
        never = announce => match never {},
    }
    tracing::info!("the host has ended in order");
    Ok(())
}

fn loaded(component: &LoadedComponent, what: &str) {
    tracing::info!(
        component = component.name(),
        version = component.version(),
        digest = component.digest(),
        orchestrators = ?component.orchestrators(),
        activities = ?component.activities(),
        entities = ?component.entities(),
        "{what}"
    );
}

/// What happens to the components of a running host.
fn tell(notice: &Notice) {
    match notice {
        Notice::Deployed { component, took } => {
            loaded(component, &format!("deployed in {} ms, beside what runs already", took.as_millis()));
        }
        Notice::Regranted(component) => {
            loaded(component, "its manifest has changed: this counts for what begins from now on")
        }
        Notice::Retired(component) => loaded(component, "not deployed any more: nothing new runs on it"),
        Notice::LeftOut(failure) => {
            let code = inspect::left_out(&failure.cause);
            tracing::error!(%code, file = %failure.path.display(), "not deployed: {}. What runs goes on as it is", failure.cause);
        }
        Notice::FileGone { path, component } => tracing::warn!(
            file = %path.display(),
            component = component.name(),
            version = component.version(),
            "the file of this version is gone or holds another one; it is run until this host ends. To keep versions apart, give each a file"
        ),
        Notice::FolderLost { path, error } => tracing::warn!(
            folder = %path.display(),
            "the components folder cannot be read: {error}. This host goes on with what it has, and looks again and again"
        ),
        Notice::FolderBack(path) => tracing::info!(folder = %path.display(), "the components folder is there again"),
    }
}

fn options(arguments: Arguments) -> Result<Options, CodedError> {
    let mut options = Options { components: arguments.components, ..Options::without_folder(arguments.scheduler) };
    let limits = arguments.capacity;
    options.limits = arguments.limits.limits();
    options.policy = arguments.policy.read()?;
    options.hub = arguments.hub;
    options.worker_id = arguments.worker_id.unwrap_or(options.worker_id);
    options.cache = match arguments.no_cache {
        true => None,
        false => Some(arguments.cache.unwrap_or_else(inspect::default_cache)),
    };
    options.max_orchestrations = limits.max_orchestrations.unwrap_or(options.max_orchestrations);
    options.max_activities = limits.max_activities.unwrap_or(options.max_activities);
    options.max_entities = limits.max_entities.unwrap_or(options.max_entities);
    options.warm_sessions = limits.warm_sessions.unwrap_or(options.warm_sessions);
    options.warm_bytes = limits.warm_memory.map_or(options.warm_bytes, |mebibytes| mebibytes.saturating_mul(1 << 20));
    options.drain_timeout = limits.drain_timeout.unwrap_or(options.drain_timeout);
    Ok(options)
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn cannot_start(error: BuildError) -> CodedError {
    let code = match &error {
        BuildError::Components(FolderError::Unreadable { .. } | FolderError::Empty { .. }) => Code::NoComponents,
        // With several failures the first is as good as any.
        BuildError::Components(FolderError::NothingUsable { failures, .. }) => match failures.first() {
            Some(failure) => inspect::left_out(&failure.cause),
            None => Code::InvalidComponent,
        },
        BuildError::Channel(_) => Code::Usage,
        BuildError::Engine(_) | BuildError::Threads(_) => Code::SystemRefused,
    };
    CodedError::new(code, format!("the host cannot start: {error}"))
}
