//! A client of the protocol: the generated one, with the few calls that every test makes in a short form.

use durawasm_proto::durabletask as pb;
use durawasm_proto::v1::durawasm_client::DurawasmClient;
use pb::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::soon;

/// Puts headers on each call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers(Vec<(&'static str, AsciiMetadataValue)>);

impl tonic::service::Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for (name, value) in &self.0 {
            request.metadata_mut().insert(*name, value.clone());
        }
        Ok(request)
    }
}

/// All methods of the protocol. It accepts messages of at most 4 MiB, as the clients of the SDKs do.
type Rpc = TaskHubSidecarServiceClient<InterceptedService<Channel, Headers>>;

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    channel: Channel,
    headers: Headers,
}

impl Client {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel, headers: Headers::default() }
    }

    /// The same, with one more header.
    pub(crate) fn saying(mut self, name: &'static str, value: &str) -> Self {
        self.headers.0.push((name, value.parse().expect("a header's value")));
        self
    }

    pub(crate) fn rpc(&self) -> Rpc {
        TaskHubSidecarServiceClient::with_interceptor(self.channel.clone(), self.headers.clone())
            .max_encoding_message_size(usize::MAX)
    }

    pub(crate) fn own(&self) -> DurawasmClient<InterceptedService<Channel, Headers>> {
        DurawasmClient::with_interceptor(self.channel.clone(), self.headers.clone())
    }

    // ---- starts --------------------------------------------------------------------------------------------------------

    /// Starts an orchestration that is there to be worked on.
    pub(crate) async fn start(&self, id: &str, name: &str) {
        self.start_with(id, name, |_| {}).await.expect("the start is accepted");
    }

    pub(crate) async fn start_with(
        &self,
        id: &str,
        name: &str,
        change: impl FnOnce(&mut pb::CreateInstanceRequest),
    ) -> Result<String, Status> {
        let mut request = pb::CreateInstanceRequest { instance_id: id.into(), name: name.into(), ..Default::default() };
        change(&mut request);
        let answer = soon("a start", self.rpc().start_instance(request)).await?;
        Ok(answer.into_inner().instance_id)
    }

    // ---- looks ---------------------------------------------------------------------------------------------------------

    /// The instance with input and output, if it is there.
    pub(crate) async fn find(&self, id: &str) -> Option<pb::OrchestrationState> {
        let request = pb::GetInstanceRequest { instance_id: id.into(), get_inputs_and_outputs: true };
        let answer = soon("a look", self.rpc().get_instance(request)).await.expect("a look works").into_inner();
        assert_eq!(answer.exists, answer.orchestration_state.is_some());
        answer.orchestration_state
    }

    pub(crate) async fn get(&self, id: &str) -> pb::OrchestrationState {
        self.find(id).await.unwrap_or_else(|| panic!("{id} is there"))
    }

    pub(crate) async fn status(&self, id: &str) -> pb::OrchestrationStatus {
        self.get(id).await.orchestration_status()
    }

    /// Waits for the end.
    pub(crate) async fn end(&self, id: &str) -> pb::OrchestrationState {
        let request = pb::GetInstanceRequest { instance_id: id.into(), get_inputs_and_outputs: true };
        let answer = soon("an end", self.rpc().wait_for_instance_completion(request)).await;
        answer.expect("a wait works").into_inner().orchestration_state.unwrap_or_else(|| panic!("{id} is there"))
    }

    /// The history of the current execution.
    pub(crate) async fn history(&self, id: &str) -> Vec<pb::HistoryEvent> {
        let request = pb::StreamInstanceHistoryRequest { instance_id: id.into(), ..Default::default() };
        self.chunks(request).await.expect("the history is there").into_iter().flat_map(|c| c.events).collect()
    }

    pub(crate) async fn chunks(
        &self,
        request: pb::StreamInstanceHistoryRequest,
    ) -> Result<Vec<pb::HistoryChunk>, Status> {
        let mut stream = soon("a history", self.rpc().stream_instance_history(request)).await?.into_inner();
        let mut chunks = Vec::new();
        while let Some(chunk) = soon("a chunk", stream.message()).await? {
            chunks.push(chunk);
        }
        Ok(chunks)
    }

    // ---- signals -------------------------------------------------------------------------------------------------------

    pub(crate) async fn raise(&self, id: &str, name: &str, input: Option<&str>) -> Result<(), Status> {
        let (instance_id, name, input) = (id.into(), name.into(), input.map(Into::into));
        let request = pb::RaiseEventRequest { instance_id, name, input };
        soon("an event", self.rpc().raise_event(request)).await.map(drop)
    }

    pub(crate) async fn terminate(&self, id: &str, output: Option<&str>, recursive: bool) -> Result<(), Status> {
        let request = pb::TerminateRequest { instance_id: id.into(), output: output.map(Into::into), recursive };
        soon("a termination", self.rpc().terminate_instance(request)).await.map(drop)
    }

    pub(crate) async fn suspend(&self, id: &str, reason: Option<&str>) -> Result<(), Status> {
        let request = pb::SuspendRequest { instance_id: id.into(), reason: reason.map(Into::into) };
        soon("a suspension", self.rpc().suspend_instance(request)).await.map(drop)
    }

    pub(crate) async fn resume(&self, id: &str, reason: Option<&str>) -> Result<(), Status> {
        let request = pb::ResumeRequest { instance_id: id.into(), reason: reason.map(Into::into) };
        soon("a resumption", self.rpc().resume_instance(request)).await.map(drop)
    }

    // ---- entities ------------------------------------------------------------------------------------------------------

    /// Signals an entity, which must be fine.
    pub(crate) async fn signal(&self, entity: &str, operation: &str, input: Option<&str>) {
        self.signal_with(entity, operation, |signal| signal.input = input.map(Into::into))
            .await
            .expect("it is accepted");
    }

    pub(crate) async fn signal_with(
        &self,
        entity: &str,
        operation: &str,
        change: impl FnOnce(&mut pb::SignalEntityRequest),
    ) -> Result<(), Status> {
        let mut request =
            pb::SignalEntityRequest { instance_id: entity.into(), name: operation.into(), ..Default::default() };
        change(&mut request);
        soon("a signal", self.rpc().signal_entity(request)).await.map(drop)
    }

    /// The entity with its state, if it is there.
    pub(crate) async fn entity(&self, id: &str) -> Option<pb::EntityMetadata> {
        let request = pb::GetEntityRequest { instance_id: id.into(), include_state: true };
        let answer = soon("a look", self.rpc().get_entity(request)).await.expect("a look works").into_inner();
        assert_eq!(answer.exists, answer.entity.is_some());
        answer.entity
    }

    /// The state of an entity.
    pub(crate) async fn state(&self, id: &str) -> Option<String> {
        self.entity(id).await.and_then(|entity| entity.serialized_state)
    }

    /// Who has locked an entity.
    pub(crate) async fn locked_by(&self, id: &str) -> Option<String> {
        self.entity(id).await.and_then(|entity| entity.locked_by)
    }

    /// What our own service tells of an instance.
    pub(crate) async fn describe(&self, id: &str) -> durawasm_proto::v1::DescribeInstanceResponse {
        let request = durawasm_proto::v1::DescribeInstanceRequest { instance_id: id.into(), ..Default::default() };
        soon("a description", self.own().describe_instance(request)).await.expect("it works").into_inner()
    }
}
