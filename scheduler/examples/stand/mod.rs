//! What the benches that go over gRPC share: the real scheduler on a real disk, in this process.

use std::path::Path;

use anyhow::Result;
use durawasm_proto::durabletask::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use durawasm_scheduler::core::partition::Limits;
use durawasm_scheduler::{Options, Scheduler};
use tonic::transport::{Channel, Endpoint};

pub type Client = TaskHubSidecarServiceClient<Channel>;

/// The largest message that a client takes and sends, as durawasm's own.
const MESSAGE: usize = 64 << 20;

/// A scheduler over a data folder, and a client of it.
pub async fn scheduler(folder: &Path) -> Result<(Client, tokio::task::JoinHandle<()>)> {
    std::fs::create_dir_all(folder)?;
    let options = Options {
        listen: "127.0.0.1:0".parse()?,
        data: Some(folder.to_owned()),
        hubs: Vec::new(),
        dev: false,
        limits: Limits::default(),
        payloads: Default::default(),
        fail_after: None,
    };
    let scheduler = Scheduler::build(options).await?;
    let address = format!("http://{}", scheduler.local_addr());
    let running = tokio::spawn(async move {
        if let Err(error) = scheduler.run(std::future::pending()).await {
            eprintln!("the scheduler failed: {error}");
        }
    });
    let client = Client::new(Endpoint::from_shared(address)?.connect().await?);
    Ok((client.max_decoding_message_size(MESSAGE).max_encoding_message_size(MESSAGE), running))
}
