//! The scheduler under test: the real one, in this process, reached over a socket.

use std::path::Path;
use std::time::Duration;

use durawasm_scheduler::core::partition::Limits;
use durawasm_scheduler::payload::PayloadOptions;
use durawasm_scheduler::store::StoreError;
use durawasm_scheduler::{Options, Scheduler, SchedulerError};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

use super::{Client, soon};

/// A running scheduler.
pub(crate) struct Server {
    endpoint: Endpoint,
    channel: Channel,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), SchedulerError>>,
}

impl Server {
    /// One that keeps everything in memory.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// One that keeps its data in a folder.
    pub(crate) async fn on_disk(folder: &Path) -> Self {
        Self::with(|options| options.data = Some(folder.to_owned())).await
    }

    /// One that may not start: then, why.
    pub(crate) async fn try_on_disk(folder: &Path) -> Result<(), String> {
        let mut options = options();
        options.data = Some(folder.to_owned());
        try_build(options).await.map(drop).map_err(|error| error.to_string())
    }

    /// One with other options.
    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = options();
        change(&mut options);
        let scheduler = soon("the data folder", build(options)).await;
        let endpoint = Endpoint::from_shared(format!("http://{}", scheduler.local_addr())).unwrap();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(scheduler.run(async {
            let _ = stopped.await;
        }));
        let channel = soon("a connection", endpoint.connect()).await.expect("the scheduler listens");
        Self { endpoint, channel, stop: Some(stop), running }
    }

    /// Whoever calls without saying which hub.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.channel.clone())
    }

    /// Whoever calls for a hub.
    pub(crate) fn hub(&self, name: &str) -> Client {
        self.client().saying("taskhub", name)
    }

    /// A client on a connection of its own.
    pub(crate) async fn another_connection(&self) -> Client {
        Client::new(soon("a connection", self.endpoint.connect()).await.expect("the scheduler listens"))
    }

    /// Where it listens: host and port.
    pub(crate) fn address(&self) -> String {
        self.endpoint.uri().authority().expect("a host and a port").to_string()
    }

    /// The connection, for calls that no client would make.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Stops it in good order.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        soon("the scheduler's end", &mut self.running).await.expect("no panic").expect("no failure");
    }

    /// Waits until it has failed by itself.
    pub(crate) async fn failed(mut self) -> SchedulerError {
        let ended = soon("the scheduler's failure", &mut self.running).await.expect("no panic");
        ended.expect_err("it fails")
    }
}

/// How large payloads are kept. With `DURAWASM_PAYLOAD_THRESHOLD=0` all tests send all their texts through the payload store.
fn payloads() -> PayloadOptions {
    let threshold = std::env::var("DURAWASM_PAYLOAD_THRESHOLD").ok().and_then(|bytes| bytes.parse().ok());
    let standard = PayloadOptions::default();
    PayloadOptions { threshold: threshold.unwrap_or(standard.threshold), ..standard }
}

/// Opens the stores. The folder may be in the hands of a server that has just ended: in one process its last thread is a moment late.
async fn build(options: Options) -> Scheduler {
    try_build(options).await.unwrap_or_else(|error| panic!("the scheduler does not start: {error}"))
}

async fn try_build(options: Options) -> Result<Scheduler, SchedulerError> {
    loop {
        match Scheduler::build(options.clone()).await {
            Err(SchedulerError::Store(StoreError::Locked(_))) => tokio::time::sleep(Duration::from_millis(2)).await,
            built => return built,
        }
    }
}

fn options() -> Options {
    Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        data: None,
        hubs: Vec::new(),
        dev: false,
        payloads: payloads(),
        // The tests of what is over the limit need not be large.
        limits: Limits { activity_grace: Duration::from_millis(50), payload_bytes: 1 << 20, ..Limits::default() },
        fail_after: None,
    }
}
