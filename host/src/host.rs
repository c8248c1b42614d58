//! A whole host: what it is made of, how it starts and how it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use crate::connection::{Channel, ChannelError, Connection, Intake as _, Supply, WorkLimits};
use crate::deployment::Terms;
use crate::dispatch::{Activities, Dispatcher, Entities, Episodes, Orchestrations, Outbox, Queries, Streamed, Warmth};
use crate::options::Options;
use crate::registry::{FolderError, LoadFailure, Loader, Notice, Notices, Registry, RegistryHandle, WatchedFolder};
use crate::sandbox::{CodeCache, Engines};

/// Why a host cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The components cannot be loaded.
    #[error(transparent)]
    Components(#[from] FolderError),
    /// The scheduler's address or a name cannot be used.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The engines cannot be made.
    #[error("WebAssembly cannot be run on this machine: {0:#}")]
    Engine(anyhow::Error),
    /// The system gave no thread.
    #[error("the host's threads cannot be started: {0}")]
    Threads(std::io::Error),
}

/// A host that has its components and has not connected yet.
pub struct Host {
    options: Options,
    registry: RegistryHandle,
    engines: Engines,
    failures: Vec<LoadFailure>,
    folder: Option<WatchedFolder>,
    supply: Supply,
    notices: (Notices, Option<mpsc::UnboundedReceiver<Notice>>),
    connection: Connection<Dispatcher>,
    draining: watch::Sender<bool>,
    handle: Handle,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Looks into a running host. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    connected: Arc<AtomicBool>,
    episodes: Arc<Episodes>,
    outbox: Outbox,
    registry: RegistryHandle,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// How a host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether the stream of work is open.
    pub connected: bool,
    /// Work items that are not answered yet.
    pub busy: usize,
    /// The sessions that are kept warm.
    pub warmth: Warmth,
}

impl Handle {
    /// How the host is now.
    pub fn status(&self) -> Status {
        Status {
            connected: self.connected.load(Ordering::Relaxed),
            busy: self.outbox.busy(),
            warmth: self.episodes.warmth(),
        }
    }

    /// The components of the moment.
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.current()
    }
}

impl Host {
    /// Loads the components and prepares everything, within a tokio runtime. It does not connect yet.
    pub async fn build(options: Options) -> Result<Self, BuildError> {
        let engines = Engines::with(&options.engines).map_err(BuildError::Engine)?;
        let cache = options.cache.clone().map_or_else(CodeCache::none, CodeCache::new);
        let terms = Terms { policy: options.policy.clone(), limits: options.limits };
        let loader = Arc::new(Loader::new(engines.clone(), cache, terms).map_err(BuildError::Threads)?);
        let (folder, registry, failures) = match options.components.clone() {
            None => (None, Registry::default(), Vec::new()),
            Some(path) => {
                let loader = Arc::clone(&loader);
                // Compiling takes its time and must not hold the runtime.
                let open = move || WatchedFolder::open(&path, loader, Instant::now());
                match tokio::task::spawn_blocking(open).await {
                    Ok(loaded) => loaded.map(|(folder, registry, failures)| (Some(folder), registry, failures))?,
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                }
            }
        };
        let channel = Channel::new(&options.scheduler, options.hub.as_deref(), &options.worker_id)?;
        let registry = RegistryHandle::new(registry);
        let (answers, outgoing) = mpsc::unbounded_channel();
        let outbox = Outbox::new(answers);
        let episodes = Arc::new(Episodes::new(registry.clone(), options.warm_sessions, options.warm_bytes));
        let parks = Arc::new(AtomicBool::new(false));
        let can_park = Arc::clone(&parks);
        let orchestrations = Orchestrations::start(
            Arc::clone(&episodes),
            channel.clone(),
            options.orchestration_threads,
            options.max_orchestrations,
            move || can_park.load(Ordering::Relaxed),
        )
        .map_err(BuildError::Threads)?;
        let activities = Activities::new(registry.clone(), options.max_activities);
        let entities = Arc::new(Entities::new(registry.clone(), options.max_entities));
        let runtime = tokio::runtime::Handle::current();
        let queries = Queries::start(registry.clone(), options.query_threads, || {
            Box::new(Streamed { channel: channel.clone(), runtime: runtime.clone() })
        })
        .map_err(BuildError::Threads)?;
        let dispatcher =
            Dispatcher { orchestrations, activities: Arc::new(activities), entities, queries, outbox: outbox.clone() };
        let connected = Arc::new(AtomicBool::new(false));
        let (draining, drained) = watch::channel(false);
        let connection = Connection {
            channel,
            registry: registry.clone(),
            intake: Arc::new(dispatcher),
            answers: outgoing,
            limits: WorkLimits {
                orchestrations: options.max_orchestrations,
                activities: options.max_activities,
                entities: options.max_entities,
            },
            draining: drained,
            connected: Arc::clone(&connected),
            parks,
        };
        let handle = Handle { connected, episodes, outbox, registry: registry.clone() };
        let (notices, noticed) = mpsc::unbounded_channel();
        let supply = Supply::new(connection.channel.clone(), loader, registry.clone(), notices.clone());
        let notices = (notices, Some(noticed));
        Ok(Self { options, registry, engines, failures, folder, supply, notices, connection, draining, handle })
    }

    /// Components that were found and are not run, and why.
    pub fn failures(&self) -> &[LoadFailure] {
        &self.failures
    }

    /// What happens to the components from now on. Once: the second time there is nothing.
    pub fn take_notices(&mut self) -> Option<mpsc::UnboundedReceiver<Notice>> {
        self.notices.1.take()
    }

    /// The components.
    pub fn registry(&self) -> &RegistryHandle {
        &self.registry
    }

    /// The engines, to load more components with.
    pub fn engines(&self) -> &Engines {
        &self.engines
    }

    /// Looks into the host while it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs until `shutdown` is ready and the work that was begun is done, or the drain timeout has passed.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let intake = Arc::clone(&self.connection.intake);
        let drain_timeout = self.options.drain_timeout;
        // Its watch ends with this function.
        let (_stop, stopped) = crossbeam_channel::bounded(0);
        if let Some(folder) = self.folder
            && let Err(error) = folder.watch(self.registry.clone(), self.notices.0, stopped)
        {
            tracing::error!("the components folder is not watched, what is put there is run after a restart: {error}");
        }
        // Ends with this function too.
        let mut supplies = tokio::task::JoinSet::new();
        supplies.spawn(self.supply.run());
        let mut running = tokio::spawn(self.connection.run());
        tokio::select! {
            _ = &mut running => return,
            () = shutdown => {}
        }
        tracing::info!(busy = intake.busy(), "stopping: no more work is taken, what was begun is finished");
        self.draining.send_replace(true);
        if tokio::time::timeout(drain_timeout, &mut running).await.is_err() {
            running.abort();
            tracing::warn!(
                busy = intake.busy(),
                "work was left unfinished after {} s; the scheduler will deliver it again",
                drain_timeout.as_secs()
            );
        }
    }
}
