//! A worker whose every word is written in the test.

use std::collections::VecDeque;

use durawasm_proto::durabletask as pb;
use pb::work_item::Request;
use tonic::{Status, Streaming};

use super::{Client, brief, soon};

/// A stream of work items.
pub(crate) struct Worker {
    client: Client,
    items: Streaming<pb::WorkItem>,
    episodes: VecDeque<Episode>,
    calls: VecDeque<Call>,
    batches: VecDeque<Batch>,
}

/// What comes over the stream.
#[derive(Debug)]
pub(crate) enum Item {
    Episode(Episode),
    Call(Call),
    Batch(Batch),
    Ping(pb::WorkItem),
}

impl Worker {
    /// One that states nothing: neither limits nor filters nor capabilities.
    pub(crate) async fn connect(client: &Client) -> Self {
        Self::with(client, |_| {}).await
    }

    /// One that takes only orchestrations of these names, any version; and all of their activities if `calls` says so.
    pub(crate) async fn only(client: &Client, names: &[&str]) -> Self {
        Self::with(client, |request| {
            let orchestrations =
                names.iter().map(|name| pb::OrchestrationFilter { name: (*name).into(), versions: Vec::new() });
            request.work_item_filters =
                Some(pb::WorkItemFilters { orchestrations: orchestrations.collect(), ..Default::default() });
        })
        .await
    }

    pub(crate) async fn with(client: &Client, change: impl FnOnce(&mut pb::GetWorkItemsRequest)) -> Self {
        let mut request = pb::GetWorkItemsRequest::default();
        change(&mut request);
        let items = Self::stream(client, request).await.expect("the stream opens");
        let (episodes, calls, batches) = Default::default();
        Self { client: client.clone(), items, episodes, calls, batches }
    }

    pub(crate) async fn stream(
        client: &Client,
        request: pb::GetWorkItemsRequest,
    ) -> Result<Streaming<pb::WorkItem>, Status> {
        // A .NET worker receives what fits into its memory; a plain one's limit is said in the tests that need it.
        let mut rpc = client.rpc().max_decoding_message_size(usize::MAX);
        Ok(soon("a stream", rpc.get_work_items(request)).await?.into_inner())
    }

    /// The next item, whatever it is.
    pub(crate) async fn next(&mut self) -> Result<Option<Item>, Status> {
        let Some(item) = self.items.message().await? else { return Ok(None) };
        let (token, client) = (item.completion_token.clone(), self.client.clone());
        Ok(Some(match item.request {
            Some(Request::OrchestratorRequest(request)) => Item::Episode(Episode { token, request, client }),
            Some(Request::ActivityRequest(request)) => Item::Call(Call { token, request, client }),
            Some(Request::EntityRequestV2(request)) => Item::Batch(Batch { token, request, client }),
            Some(Request::HealthPing(_)) => Item::Ping(item),
            other => panic!("an item that nobody asked for: {other:?}"),
        }))
    }

    /// The next episode. Activities that come before it are kept.
    pub(crate) async fn episode(&mut self) -> Episode {
        if let Some(episode) = self.episodes.pop_front() {
            return episode;
        }
        let next = async {
            loop {
                match self.item().await {
                    Item::Episode(episode) => return episode,
                    Item::Call(call) => self.calls.push_back(call),
                    Item::Batch(batch) => self.batches.push_back(batch),
                    Item::Ping(_) => {}
                }
            }
        };
        soon("an episode", next).await
    }

    /// The next episode, which must be of that instance.
    pub(crate) async fn episode_of(&mut self, id: &str) -> Episode {
        let episode = self.episode().await;
        assert_eq!(episode.id(), id, "{episode:?}");
        episode
    }

    /// The next activity. Episodes that come before it are kept.
    pub(crate) async fn call(&mut self) -> Call {
        if let Some(call) = self.calls.pop_front() {
            return call;
        }
        let next = async {
            loop {
                match self.item().await {
                    Item::Call(call) => return call,
                    Item::Episode(episode) => self.episodes.push_back(episode),
                    Item::Batch(batch) => self.batches.push_back(batch),
                    Item::Ping(_) => {}
                }
            }
        };
        soon("an activity", next).await
    }

    /// The next batch of an entity. What comes before it is kept.
    pub(crate) async fn batch(&mut self) -> Batch {
        if let Some(batch) = self.batches.pop_front() {
            return batch;
        }
        let next = async {
            loop {
                match self.item().await {
                    Item::Batch(batch) => return batch,
                    Item::Episode(episode) => self.episodes.push_back(episode),
                    Item::Call(call) => self.calls.push_back(call),
                    Item::Ping(_) => {}
                }
            }
        };
        soon("a batch", next).await
    }

    /// The next batch, which must be of that entity.
    pub(crate) async fn batch_of(&mut self, id: &str) -> Batch {
        let batch = self.batch().await;
        assert_eq!(batch.id(), id, "{batch:?}");
        batch
    }

    async fn item(&mut self) -> Item {
        self.next().await.expect("the stream goes on").expect("the stream goes on")
    }

    /// What has come and was not looked at.
    pub(crate) fn kept(&self) -> usize {
        self.episodes.len() + self.calls.len() + self.batches.len()
    }
}

/// An orchestrator's turn.
#[derive(Clone, Debug)]
pub(crate) struct Episode {
    pub(crate) token: String,
    pub(crate) request: pb::OrchestratorRequest,
    client: Client,
}

impl Episode {
    pub(crate) fn id(&self) -> &str {
        &self.request.instance_id
    }

    pub(crate) fn execution(&self) -> &str {
        self.request.execution_id.as_deref().expect("an execution")
    }

    /// The past, as text.
    pub(crate) fn past(&self) -> Vec<String> {
        brief(&self.request.past_events)
    }

    /// What is new, as text.
    pub(crate) fn new_events(&self) -> Vec<String> {
        brief(&self.request.new_events)
    }

    /// When it began: the orchestrator's clock.
    pub(crate) fn now(&self) -> i64 {
        super::micros(self.request.new_events[0].timestamp.as_ref())
    }

    /// What began the execution.
    pub(crate) fn started(&self) -> &pb::ExecutionStartedEvent {
        let events = self.request.past_events.iter().chain(&self.request.new_events);
        let mut started = events.filter_map(|e| match &e.event_type {
            Some(pb::history_event::EventType::ExecutionStarted(started)) => Some(&**started),
            _ => None,
        });
        let first = started.next().expect("an execution that has begun");
        assert!(started.next().is_none(), "an execution begins once");
        first
    }

    /// An answer that nobody has sent yet.
    pub(crate) fn response(&self, actions: Vec<pb::OrchestratorAction>) -> pb::OrchestratorResponse {
        pb::OrchestratorResponse {
            instance_id: self.request.instance_id.clone(),
            completion_token: self.token.clone(),
            actions,
            orchestration_trace_context: self.request.orchestration_trace_context.clone(),
            ..Default::default()
        }
    }

    pub(crate) async fn send(&self, response: pb::OrchestratorResponse) -> Result<(), Status> {
        soon("an answer's OK", self.client.rpc().complete_orchestrator_task(response)).await.map(drop)
    }

    /// Answers, which must be fine.
    pub(crate) async fn answer(&self, actions: Vec<pb::OrchestratorAction>) {
        self.send(self.response(actions)).await.expect("the answer is accepted");
    }

    pub(crate) async fn abandon(&self) -> Result<(), Status> {
        let request = pb::AbandonOrchestrationTaskRequest { completion_token: self.token.clone() };
        soon("an abandon's OK", self.client.rpc().abandon_task_orchestrator_work_item(request)).await.map(drop)
    }
}

/// One try of an activity.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) token: String,
    pub(crate) request: pb::ActivityRequest,
    client: Client,
}

impl Call {
    pub(crate) fn instance(&self) -> &pb::OrchestrationInstance {
        self.request.orchestration_instance.as_ref().expect("whose it is")
    }

    pub(crate) fn response(&self) -> pb::ActivityResponse {
        pb::ActivityResponse {
            instance_id: self.instance().instance_id.clone(),
            task_id: self.request.task_id,
            completion_token: self.token.clone(),
            ..Default::default()
        }
    }

    pub(crate) async fn send(&self, response: pb::ActivityResponse) -> Result<(), Status> {
        soon("a result's OK", self.client.rpc().complete_activity_task(response)).await.map(drop)
    }

    pub(crate) async fn complete(&self, result: &str) {
        let response = pb::ActivityResponse { result: Some(result.into()), ..self.response() };
        self.send(response).await.expect("the result is accepted");
    }

    pub(crate) async fn fail(&self, failure: pb::TaskFailureDetails) {
        let response = pb::ActivityResponse { failure_details: Some(failure), ..self.response() };
        self.send(response).await.expect("the failure is accepted");
    }

    pub(crate) async fn abandon(&self) -> Result<(), Status> {
        let request = pb::AbandonActivityTaskRequest { completion_token: self.token.clone() };
        soon("an abandon's OK", self.client.rpc().abandon_task_activity_work_item(request)).await.map(drop)
    }
}

/// A batch of an entity's operations.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) token: String,
    pub(crate) request: pb::EntityRequest,
    client: Client,
}

impl Batch {
    pub(crate) fn id(&self) -> &str {
        &self.request.instance_id
    }

    pub(crate) fn state(&self) -> Option<&str> {
        self.request.entity_state.as_deref()
    }

    /// The operations as text: `name(input)`, with `!` for a call.
    pub(crate) fn operations(&self) -> Vec<String> {
        self.request.operation_requests.iter().map(operation_name).collect()
    }

    /// An answer that nobody has sent yet: what the operations return, and the state after them.
    pub(crate) fn response(&self, results: &[&str], state: Option<&str>) -> pb::EntityBatchResult {
        pb::EntityBatchResult {
            results: results.iter().map(|result| success(result)).collect(),
            entity_state: state.map(Into::into),
            completion_token: self.token.clone(),
            ..Default::default()
        }
    }

    pub(crate) async fn send(&self, response: pb::EntityBatchResult) -> Result<(), Status> {
        soon("a batch's OK", self.client.rpc().complete_entity_task(response)).await.map(drop)
    }

    /// Answers all operations, which must be fine.
    pub(crate) async fn answer(&self, results: &[&str], state: Option<&str>) {
        self.send(self.response(results, state)).await.expect("the answer is accepted");
    }

    /// All operations succeed without a result.
    pub(crate) async fn run(&self, state: Option<&str>) {
        self.answer(&vec![""; self.request.operation_requests.len()], state).await;
    }

    pub(crate) async fn abandon(&self) -> Result<(), Status> {
        let request = pb::AbandonEntityTaskRequest { completion_token: self.token.clone() };
        soon("an abandon's OK", self.client.rpc().abandon_task_entity_work_item(request)).await.map(drop)
    }
}

fn success(result: &str) -> pb::OperationResult {
    let success = pb::OperationResultSuccess { result: Some(result.into()), ..Default::default() };
    pb::OperationResult { result_type: Some(pb::operation_result::ResultType::Success(success)) }
}

/// An operation as text: `name(input)`, with `!` for a call.
pub(super) fn operation_name(event: &pb::HistoryEvent) -> String {
    use pb::history_event::EventType;
    let text = |input: &Option<String>| input.clone().unwrap_or_else(|| "-".into());
    match event.event_type.as_ref().expect("every event has a type") {
        EventType::EntityOperationSignaled(e) => format!("{}({})", e.operation, text(&e.input)),
        EventType::EntityOperationCalled(e) => format!("{}({})!", e.operation, text(&e.input)),
        other => panic!("an operation that no worker expects: {other:?}"),
    }
}
