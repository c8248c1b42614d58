//! The HTTP/2 channel, and calls on it.

use std::time::Duration;

use durawasm_proto::durabletask as wire;
use durawasm_proto::metadata;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Endpoint;
use tonic::{Request, Status};
use wire::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;

use durawasm_proto::v1::durawasm_client::DurawasmClient;

/// A scheduler's address, hub or worker id that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The address is none.
    #[error("`{0}` is not the address of a scheduler: {1}. It looks like http://127.0.0.1:8080")]
    Address(String, String),
    /// A name cannot travel in gRPC metadata.
    #[error("the {0} `{1}` cannot be sent to the scheduler: only visible ASCII characters can")]
    Name(&'static str, String),
}

/// The connection to a scheduler. It connects by itself, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    uri: String,
    channel: tonic::transport::Channel,
    hub: Option<AsciiMetadataValue>,
    worker_id: AsciiMetadataValue,
}

/// Histories and answers are larger than gRPC's default of 4 MiB.
const MAX_MESSAGE: usize = 64 << 20;
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;

impl Channel {
    /// A channel that connects when it is used.
    pub(crate) fn new(uri: &str, hub: Option<&str>, worker_id: &str) -> Result<Self, ChannelError> {
        let address = |why: String| ChannelError::Address(uri.to_owned(), why);
        let full = if uri.contains("://") { uri.to_owned() } else { format!("http://{uri}") };
        if full.starts_with("https://") {
            return Err(address("TLS is not supported yet".to_owned()));
        }
        let endpoint = Endpoint::from_shared(full.clone())
            .map_err(|error| address(error.to_string()))?
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(5))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(20))
            .keep_alive_while_idle(true);
        let ascii = |what: &'static str, text: &str| {
            AsciiMetadataValue::try_from(text).map_err(|_| ChannelError::Name(what, text.to_owned()))
        };
        Ok(Self {
            uri: full,
            channel: endpoint.connect_lazy(),
            hub: hub.map(|hub| ascii("task hub", hub)).transpose()?,
            worker_id: ascii("worker id", worker_id)?,
        })
    }

    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let headers = request.metadata_mut();
        if let Some(hub) = &self.hub {
            headers.insert(metadata::TASK_HUB, hub.clone());
        }
        headers.insert(metadata::WORKER_ID, self.worker_id.clone());
        headers.insert(metadata::DURAWASM_API, AsciiMetadataValue::from_static("1"));
        request
    }

    pub(super) fn standard(&self) -> TaskHubSidecarServiceClient<tonic::transport::Channel> {
        TaskHubSidecarServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    pub(super) fn durawasm(&self) -> DurawasmClient<tonic::transport::Channel> {
        DurawasmClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    /// Whether the scheduler answers.
    pub(super) async fn hello(&self) -> Result<(), Status> {
        let mut request = self.request(());
        request.set_timeout(Duration::from_secs(30));
        self.standard().hello(request).await.map(|_| ())
    }

    /// The history of an execution: the past events of the work item that is in flight, or all that is committed.
    pub(crate) async fn history(
        &self,
        instance_id: String,
        execution_id: Option<String>,
        for_work_item_processing: bool,
    ) -> Result<Vec<wire::HistoryEvent>, Status> {
        let request =
            self.request(wire::StreamInstanceHistoryRequest { instance_id, execution_id, for_work_item_processing });
        let mut stream = self.standard().stream_instance_history(request).await?.into_inner();
        let mut events = Vec::new();
        while let Some(chunk) = stream.message().await? {
            events.extend(chunk.events);
        }
        Ok(events)
    }
}

/// What a status means, for people.
pub(super) fn explain(status: &Status) -> String {
    use tonic::Code;
    let message = status.message();
    match status.code() {
        Code::Unavailable => format!("{message} (is it running, and is the address right?)"),
        Code::NotFound => format!("{message} (does the task hub exist?)"),
        Code::Unauthenticated | Code::PermissionDenied => format!("{message} (check the credentials)"),
        code if message.is_empty() => format!("{code:?}"),
        _ => message.to_owned(),
    }
}
