//! A scheduler that a test plays: it speaks the Durable Task protocol and nothing else.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use durawasm_proto::durabletask as wire;
use durawasm_proto::v1;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use wire::task_hub_sidecar_service_server::{TaskHubSidecarService, TaskHubSidecarServiceServer};

use crate::connection::{Answer, Channel, Connection, Intake, Outgoing, WorkLimits};
use crate::registry::{Registry, RegistryHandle};

/// What the host did.
#[derive(Debug)]
pub(super) enum Call {
    Hello,
    Open(Box<wire::GetWorkItemsRequest>, Stream),
    Orchestration(Box<wire::OrchestratorResponse>),
    Activity(Box<wire::ActivityResponse>),
    Abandon(String),
}

/// The scheduler's end of a stream of work items.
pub(super) type Stream = mpsc::Sender<Result<wire::WorkItem, Status>>;

struct Scheduler {
    calls: mpsc::UnboundedSender<Call>,
    refusals: Arc<Mutex<VecDeque<Status>>>,
}

impl Scheduler {
    /// Notes a call, and answers it as the test wants.
    fn note<R: Default>(&self, call: Call) -> Result<Response<R>, Status> {
        let _ = self.calls.send(call);
        match self.refusals.lock().pop_front() {
            Some(status) => Err(status),
            None => Ok(Response::new(R::default())),
        }
    }
}

// The attribute has to see the methods that a host never calls, so that one macro makes all of it.
macro_rules! scheduler {
    ({ $($item:item)* } $($method:ident: $request:ident => $response:ident,)+) => {
        #[tonic::async_trait]
        impl TaskHubSidecarService for Scheduler {
            $($item)*
            $(async fn $method(&self, _: Request<wire::$request>) -> Result<Response<wire::$response>, Status> {
                Err(Status::unimplemented("a host never calls this"))
            })+
        }
    };
}

scheduler! {
    {
        type GetWorkItemsStream = ReceiverStream<Result<wire::WorkItem, Status>>;
        type StreamInstanceHistoryStream = BoxStream<'static, Result<wire::HistoryChunk, Status>>;

        async fn hello(&self, _: Request<()>) -> Result<Response<()>, Status> {
            let _ = self.calls.send(Call::Hello);
            Ok(Response::new(()))
        }

        async fn get_work_items(
            &self,
            request: Request<wire::GetWorkItemsRequest>,
        ) -> Result<Response<Self::GetWorkItemsStream>, Status> {
            let (stream, items) = mpsc::channel(4);
            let _ = self.calls.send(Call::Open(Box::new(request.into_inner()), stream));
            Ok(Response::new(ReceiverStream::new(items)))
        }

        async fn complete_orchestrator_task(
            &self,
            request: Request<wire::OrchestratorResponse>,
        ) -> Result<Response<wire::CompleteTaskResponse>, Status> {
            self.note(Call::Orchestration(Box::new(request.into_inner())))
        }

        async fn complete_activity_task(
            &self,
            request: Request<wire::ActivityResponse>,
        ) -> Result<Response<wire::CompleteTaskResponse>, Status> {
            self.note(Call::Activity(Box::new(request.into_inner())))
        }

        async fn abandon_task_activity_work_item(
            &self,
            request: Request<wire::AbandonActivityTaskRequest>,
        ) -> Result<Response<wire::AbandonActivityTaskResponse>, Status> {
            self.note(Call::Abandon(request.into_inner().completion_token))
        }

        async fn abandon_task_orchestrator_work_item(
            &self,
            request: Request<wire::AbandonOrchestrationTaskRequest>,
        ) -> Result<Response<wire::AbandonOrchestrationTaskResponse>, Status> {
            self.note(Call::Abandon(request.into_inner().completion_token))
        }

        async fn stream_instance_history(
            &self,
            _: Request<wire::StreamInstanceHistoryRequest>,
        ) -> Result<Response<Self::StreamInstanceHistoryStream>, Status> {
            Err(Status::unimplemented("not part of the test"))
        }
    }
    start_instance: CreateInstanceRequest => CreateInstanceResponse,
    get_instance: GetInstanceRequest => GetInstanceResponse,
    rewind_instance: RewindInstanceRequest => RewindInstanceResponse,
    restart_instance: RestartInstanceRequest => RestartInstanceResponse,
    wait_for_instance_start: GetInstanceRequest => GetInstanceResponse,
    wait_for_instance_completion: GetInstanceRequest => GetInstanceResponse,
    raise_event: RaiseEventRequest => RaiseEventResponse,
    terminate_instance: TerminateRequest => TerminateResponse,
    suspend_instance: SuspendRequest => SuspendResponse,
    resume_instance: ResumeRequest => ResumeResponse,
    query_instances: QueryInstancesRequest => QueryInstancesResponse,
    list_instance_ids: ListInstanceIdsRequest => ListInstanceIdsResponse,
    purge_instances: PurgeInstancesRequest => PurgeInstancesResponse,
    complete_entity_task: EntityBatchResult => CompleteTaskResponse,
    create_task_hub: CreateTaskHubRequest => CreateTaskHubResponse,
    delete_task_hub: DeleteTaskHubRequest => DeleteTaskHubResponse,
    signal_entity: SignalEntityRequest => SignalEntityResponse,
    get_entity: GetEntityRequest => GetEntityResponse,
    query_entities: QueryEntitiesRequest => QueryEntitiesResponse,
    clean_entity_storage: CleanEntityStorageRequest => CleanEntityStorageResponse,
    abandon_task_entity_work_item: AbandonEntityTaskRequest => AbandonEntityTaskResponse,
    skip_graceful_orchestration_terminations: SkipGracefulOrchestrationTerminationsRequest => SkipGracefulOrchestrationTerminationsResponse,
}

/// Counts what it takes, and is as busy as it is told to be.
#[derive(Default)]
pub(super) struct Work {
    pub(super) taken: AtomicUsize,
    pub(super) busy: AtomicUsize,
}

impl Intake for Work {
    fn take(&self, _: wire::WorkItem) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    fn ask(&self, _: v1::Query, _: mpsc::UnboundedSender<v1::QueryAnswer>) {}

    fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }
}

/// A scheduler and a connection to it.
pub(super) struct World {
    pub(super) registry: RegistryHandle,
    calls: mpsc::UnboundedReceiver<Call>,
    refusals: Arc<Mutex<VecDeque<Status>>>,
    answers: mpsc::UnboundedSender<Outgoing>,
    pub(super) draining: watch::Sender<bool>,
    pub(super) work: Arc<Work>,
    pub(super) parks: Arc<AtomicBool>,
    host: JoinHandle<()>,
}

const IN_TIME: Duration = Duration::from_secs(20);

impl World {
    pub(super) async fn new() -> Self {
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).expect("there is a free port");
        let address = incoming.local_addr().expect("a bound socket has an address");
        let (sender, calls) = mpsc::unbounded_channel();
        let refusals = Arc::<Mutex<VecDeque<Status>>>::default();
        let scheduler = Scheduler { calls: sender, refusals: Arc::clone(&refusals) };
        let server = tonic::transport::Server::builder().add_service(TaskHubSidecarServiceServer::new(scheduler));
        tokio::spawn(server.serve_with_incoming(incoming));
        let (answers, received) = mpsc::unbounded_channel();
        let (draining, drained) = watch::channel(false);
        let work = Arc::new(Work::default());
        let parks = Arc::new(AtomicBool::new(true));
        let registry = RegistryHandle::new(Registry::default());
        let connection = Connection {
            channel: Channel::new(&address.to_string(), None, "w").expect("the address is one"),
            registry: registry.clone(),
            intake: Arc::clone(&work),
            answers: received,
            limits: WorkLimits { orchestrations: 3, activities: 5, entities: 7 },
            draining: drained,
            connected: Arc::new(AtomicBool::new(false)),
            parks: Arc::clone(&parks),
        };
        Self { registry, calls, refusals, answers, draining, work, parks, host: tokio::spawn(connection.run()) }
    }

    /// What the host does next.
    pub(super) async fn call(&mut self) -> Call {
        tokio::time::timeout(IN_TIME, self.calls.recv()).await.expect("in time").expect("the scheduler runs")
    }

    /// The stream that the host opens, after its greeting.
    pub(super) async fn stream(&mut self) -> (Box<wire::GetWorkItemsRequest>, Stream) {
        assert!(matches!(self.call().await, Call::Hello));
        match self.call().await {
            Call::Open(request, stream) => (request, stream),
            other => panic!("{other:?}"),
        }
    }

    /// The next answers are met with these.
    pub(super) fn refuse(&self, statuses: impl IntoIterator<Item = Status>) {
        self.refusals.lock().extend(statuses);
    }

    pub(super) fn answer(&self, answer: Answer) {
        self.answers.send(Outgoing { answer, logs: None }).expect("the host runs");
    }

    pub(super) async fn ended(self) {
        tokio::time::timeout(IN_TIME, self.host).await.expect("it ends in time").expect("it is whole");
    }
}
