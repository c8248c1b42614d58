//! A worker of ours.

use durawasm_proto::v1;
use tokio::sync::mpsc::UnboundedSender;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;

use super::*;

/// A worker that speaks `durawasm.v1`, message by message.
pub(crate) struct Host {
    pub(crate) client: Client,
    frames: UnboundedSender<v1::WorkerFrame>,
    session: Streaming<v1::SchedulerFrame>,
}

/// What a host says that runs these versions of the orchestrator `o`, the last of which is its default; and any activity of theirs.
fn offer(versions: &[&str]) -> v1::Open {
    let list = || versions.iter().chain(&[""]).map(|version| (*version).to_owned()).collect();
    let filters = pb::WorkItemFilters {
        orchestrations: vec![pb::OrchestrationFilter { name: "o".to_owned(), versions: list() }],
        activities: vec![pb::ActivityFilter { name: "w".to_owned(), versions: list() }],
        entities: Vec::new(),
    };
    let work = pb::GetWorkItemsRequest { work_item_filters: Some(filters), ..Default::default() };
    let default = |version: &&str| v1::DefaultVersion { name: "o".to_owned(), version: (*version).to_owned() };
    v1::Open { work: Some(work), defaults: versions.last().map(default).into_iter().collect() }
}

impl Host {
    pub(crate) async fn new(client: &Client, versions: &[&str]) -> Self {
        let (frames, received) = tokio::sync::mpsc::unbounded_channel();
        let host_frames = frames.clone();
        frames.send(v1::WorkerFrame { open: Some(offer(versions)), ..Default::default() }).unwrap();
        let stream = UnboundedReceiverStream::new(received);
        let session = soon("a session", client.own().session(stream)).await.unwrap().into_inner();
        Self { client: client.clone(), frames: host_frames, session }
    }

    /// Runs something else from now on.
    pub(crate) fn offer(&self, versions: &[&str]) {
        self.frames.send(v1::WorkerFrame { open: Some(offer(versions)), ..Default::default() }).unwrap();
    }

    pub(crate) fn answer(&self, kind: v1::answer::Kind) {
        let answers = vec![v1::Answer { sequence: 1, kind: Some(kind), fuel: None }];
        self.frames.send(v1::WorkerFrame { answers, ..Default::default() }).unwrap();
    }

    /// The next episode: its token and its beginning.
    pub(crate) async fn episode(&mut self) -> (String, pb::OrchestratorRequest) {
        let next = async {
            loop {
                let frame = self.session.message().await.unwrap().expect("the session goes on");
                for item in frame.items {
                    if let Some(pb::work_item::Request::OrchestratorRequest(request)) = item.request {
                        return (item.completion_token, request);
                    }
                }
            }
        };
        soon("an episode", next).await
    }

    /// Lets the next episode end its instance. Returns the instance, and the version with which it was started.
    pub(crate) async fn run(&mut self) -> (String, Option<String>) {
        let (completion_token, request) = self.episode().await;
        let id = request.instance_id.clone();
        let version = started(&request.new_events).version.clone();
        let response =
            pb::OrchestratorResponse { completion_token, actions: vec![complete(1, "1")], ..Default::default() };
        self.answer(v1::answer::Kind::Orchestration(response));
        self.client.end(&id).await;
        (id, version)
    }

    /// Lets an instance run that has no version, and returns the one that it gets.
    pub(crate) async fn version_of(&mut self, id: &str) -> Option<String> {
        self.client.start(id, "o").await;
        let (ran, version) = self.run().await;
        assert_eq!(ran, id);
        // Its row and its history say the same.
        assert_eq!(self.client.get(id).await.version, version);
        assert_eq!(started(&self.client.history(id).await).version, version);
        version
    }
}

/// The beginning of an execution.
pub(crate) fn started(events: &[pb::HistoryEvent]) -> &pb::ExecutionStartedEvent {
    let started = events.iter().find_map(|event| match &event.event_type {
        Some(EventType::ExecutionStarted(started)) => Some(started),
        _ => None,
    });
    started.expect("the beginning is there")
}
