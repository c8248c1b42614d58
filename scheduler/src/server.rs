//! The scheduler as a process: options in, a listening service out.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use durawasm_proto::durabletask::task_hub_sidecar_service_server::TaskHubSidecarServiceServer;
use durawasm_proto::v1::durawasm_server::DurawasmServer;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::service::InterceptorLayer;
use tonic::transport::server::TcpIncoming;

use crate::core::partition::Limits;
use crate::hub::Fatal;
use crate::hub::directory::Directory;
use crate::payload::PayloadOptions;
use crate::service::{Service, deadline};
use crate::store::StoreError;

/// Work items and answers may be this large; the Durable Task SDKs fill theirs up to 4 MiB.
const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// How much one stream, and one connection, may have on the way.
const WINDOW_BYTES: u32 = 4 << 20;
/// How long open calls may take to end when the scheduler stops.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// How a scheduler is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens. Port 0: any free one.
    pub listen: SocketAddr,
    /// The data folder. None: everything is in memory, and gone when the process ends.
    pub data: Option<PathBuf>,
    /// Task hubs to make beside the default one, if they are missing.
    pub hubs: Vec<String>,
    /// Whether hubs come into being on first use.
    pub dev: bool,
    /// Bounds.
    pub limits: Limits,
    /// How large payloads are kept.
    pub payloads: PayloadOptions,
    /// For tests: every hub's disk fails after so many commits.
    pub fail_after: Option<u64>,
}

/// Why a scheduler does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// A store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A hub failed while the scheduler ran. What was acknowledged is on disk; a restart reads what is truly there.
    #[error("task hub `{0}` failed, so the scheduler stopped: {1}")]
    HubFailed(String, #[source] Fatal),
    /// The transport failed.
    #[error("the gRPC server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// A scheduler that listens and is ready to run.
pub struct Scheduler {
    listener: TcpListener,
    address: SocketAddr,
    hubs: Arc<Directory>,
    fatal: mpsc::UnboundedReceiver<(String, Fatal)>,
    stopping: CancellationToken,
}

impl Scheduler {
    /// Opens the stores, recovers the hubs, and listens.
    ///
    /// # Errors
    /// See [`SchedulerError`].
    pub async fn build(options: Options) -> Result<Self, SchedulerError> {
        let failed = |e| SchedulerError::Listen(options.listen, e);
        // The port first: a second scheduler on the same port must not touch the store.
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (sender, fatal) = mpsc::unbounded_channel();
        let stopping = CancellationToken::new();
        let hubs = Directory::open(&options, sender, stopping.clone())?;
        Ok(Self { listener, address, hubs: Arc::new(hubs), fatal, stopping })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The names of its task hubs.
    #[must_use]
    pub fn hubs(&self) -> Vec<String> {
        self.hubs.names()
    }

    /// Serves until `shutdown` resolves, then ends the streams, waits for what was accepted to be on disk, and returns.
    ///
    /// # Errors
    /// If a store or the transport fails.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), SchedulerError> {
        let stopping = self.stopping.clone();
        let service = Service::new(Arc::clone(&self.hubs));
        let tasks = TaskHubSidecarServiceServer::new(service.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let own = DurawasmServer::new(service)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let server = tonic::transport::Server::builder()
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)))
            .layer(InterceptorLayer::new(deadline::note))
            .add_service(tasks)
            .add_service(own)
            .serve_with_incoming_shutdown(
                TcpIncoming::from(self.listener).with_nodelay(Some(true)),
                stopping.clone().cancelled_owned(),
            );
        let mut server = tokio::spawn(server);
        let failure = tokio::select! {
            () = shutdown => None,
            Some((hub, error)) = self.fatal.recv() => Some(SchedulerError::HubFailed(hub, error)),
            ended = &mut server => {
                self.hubs.stop().await;
                return match ended {
                    Ok(result) => result.map_err(Into::into),
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                };
            }
        };
        stopping.cancel();
        if let Some(failure) = failure {
            server.abort();
            return Err(failure);
        }
        if tokio::time::timeout(LAST_CALLS, &mut server).await.is_err() {
            server.abort();
        }
        self.hubs.stop().await;
        match self.fatal.try_recv() {
            Ok((hub, error)) => Err(SchedulerError::HubFailed(hub, error)),
            Err(_) => Ok(()),
        }
    }
}
