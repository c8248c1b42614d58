//! The host's end of a session, against a scheduler that the test plays.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use durawasm_proto::durabletask as wire;
use durawasm_proto::v1::durawasm_server::{Durawasm, DurawasmServer};
use futures::stream::BoxStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response};

use super::*;
use crate::connection::{Abandoned, Channel, WorkLimits};
use crate::registry::{Registry, RegistryHandle};

/// The scheduler's end of one stream.
struct Peer {
    to_host: mpsc::Sender<Result<v1::SchedulerFrame, Status>>,
    from_host: Streaming<v1::WorkerFrame>,
}

impl Peer {
    async fn frame(&mut self) -> v1::WorkerFrame {
        let next = tokio::time::timeout(Duration::from_secs(10), self.from_host.message()).await;
        next.expect("the host sends a frame in time").expect("the stream is whole").expect("the stream goes on")
    }

    async fn send(&self, frame: v1::SchedulerFrame) {
        self.to_host.send(Ok(frame)).await.expect("the host listens");
    }
}

struct Scheduler(mpsc::UnboundedSender<Peer>);

#[tonic::async_trait]
impl Durawasm for Scheduler {
    type SessionStream = ReceiverStream<Result<v1::SchedulerFrame, Status>>;
    type FollowInstanceStream = BoxStream<'static, Result<v1::FollowInstanceChunk, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<v1::WorkerFrame>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (to_host, frames) = mpsc::channel(4);
        let _ = self.0.send(Peer { to_host, from_host: request.into_inner() });
        Ok(Response::new(ReceiverStream::new(frames)))
    }

    async fn describe_instance(
        &self,
        _: Request<v1::DescribeInstanceRequest>,
    ) -> Result<Response<v1::DescribeInstanceResponse>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }

    async fn reset_instance(
        &self,
        _: Request<v1::ResetInstanceRequest>,
    ) -> Result<Response<v1::ResetInstanceResponse>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }

    async fn fork_instance(
        &self,
        _: Request<v1::ForkInstanceRequest>,
    ) -> Result<Response<v1::ForkInstanceResponse>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }

    async fn migrate_instance(
        &self,
        _: Request<v1::MigrateInstanceRequest>,
    ) -> Result<Response<v1::MigrateInstanceResponse>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }

    async fn call_entity(&self, _: Request<v1::CallEntityRequest>) -> Result<Response<v1::CallEntityResponse>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }

    async fn acknowledge_entity_calls(
        &self,
        _: Request<v1::AcknowledgeEntityCallsRequest>,
    ) -> Result<Response<v1::AcknowledgeEntityCallsResponse>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }

    async fn query_instance(
        &self,
        _: Request<v1::QueryInstanceRequest>,
    ) -> Result<Response<v1::QueryInstanceResponse>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }

    async fn follow_instance(
        &self,
        _: Request<v1::FollowInstanceRequest>,
    ) -> Result<Response<Self::FollowInstanceStream>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }

    type ListParkedStream = BoxStream<'static, Result<v1::ParkedInstance, Status>>;
    type WatchDeploymentsStream = BoxStream<'static, Result<v1::Deployments, Status>>;
    type FetchComponentStream = BoxStream<'static, Result<v1::ComponentBytes, Status>>;

    async fn list_parked(&self, _: Request<v1::ListParkedRequest>) -> Result<Response<Self::ListParkedStream>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }

    async fn deploy(&self, _: Request<Streaming<v1::DeployRequest>>) -> Result<Response<v1::DeployResponse>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }

    async fn list_deployments(
        &self,
        _: Request<v1::ListDeploymentsRequest>,
    ) -> Result<Response<v1::ListDeploymentsResponse>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }

    async fn watch_deployments(
        &self,
        _: Request<v1::WatchDeploymentsRequest>,
    ) -> Result<Response<Self::WatchDeploymentsStream>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }

    async fn fetch_component(
        &self,
        _: Request<v1::FetchComponentRequest>,
    ) -> Result<Response<Self::FetchComponentStream>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }

    async fn activate_version(
        &self,
        _: Request<v1::ActivateVersionRequest>,
    ) -> Result<Response<v1::Deployments>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }

    async fn roll_back(&self, _: Request<v1::RollBackRequest>) -> Result<Response<v1::Deployments>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }

    async fn remove_version(&self, _: Request<v1::RemoveVersionRequest>) -> Result<Response<v1::Deployments>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }
}

/// Counts what it takes, and is as busy as it is told to be.
#[derive(Default)]
struct Work {
    taken: AtomicUsize,
    busy: AtomicUsize,
    asked: parking_lot::Mutex<Vec<(v1::Query, mpsc::UnboundedSender<v1::QueryAnswer>)>>,
}

impl Intake for Work {
    fn take(&self, _: wire::WorkItem) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    fn ask(&self, query: v1::Query, replies: mpsc::UnboundedSender<v1::QueryAnswer>) {
        self.asked.lock().push((query, replies));
    }

    fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }
}

struct World {
    registry: RegistryHandle,
    peers: mpsc::UnboundedReceiver<Peer>,
    answers: mpsc::UnboundedSender<Outgoing>,
    draining: watch::Sender<bool>,
    work: Arc<Work>,
    host: JoinHandle<()>,
}

impl World {
    async fn new() -> Self {
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).expect("there is a free port");
        let address = incoming.local_addr().expect("a bound socket has an address");
        let (sender, peers) = mpsc::unbounded_channel();
        let server = tonic::transport::Server::builder().add_service(DurawasmServer::new(Scheduler(sender)));
        tokio::spawn(server.serve_with_incoming(incoming));
        let (answers, received) = mpsc::unbounded_channel();
        let (draining, drained) = watch::channel(false);
        let work = Arc::new(Work::default());
        let registry = RegistryHandle::new(Registry::default());
        let connection = Connection {
            channel: Channel::new(&address.to_string(), None, "w").expect("the address is one"),
            registry: registry.clone(),
            intake: Arc::clone(&work),
            answers: received,
            limits: WorkLimits { orchestrations: 1, activities: 1, entities: 1 },
            draining: drained,
            connected: Arc::new(AtomicBool::new(false)),
            parks: Arc::new(AtomicBool::new(false)),
        };
        Self { registry, peers, answers, draining, work, host: tokio::spawn(connection.run()) }
    }

    /// The next stream that the host opens.
    async fn peer(&mut self) -> Peer {
        let next = tokio::time::timeout(Duration::from_secs(10), self.peers.recv()).await;
        let mut peer = next.expect("the host connects in time").expect("the scheduler runs");
        assert!(peer.frame().await.open.is_some());
        peer
    }

    fn answer(&self, answer: Answer) {
        self.answers.send(Outgoing { answer, logs: None }).expect("the host runs");
    }

    async fn ended(self) {
        tokio::time::timeout(Duration::from_secs(10), self.host).await.expect("it ends in time").expect("it is whole");
    }
}

fn result(task_id: i32) -> Answer {
    Answer::Activity(Box::new(wire::ActivityResponse { task_id, ..Default::default() }))
}

#[tokio::test]
async fn a_result_is_sent_on_every_new_stream_until_it_is_acknowledged_even_while_the_host_ends() {
    let mut world = World::new().await;
    let mut peer = world.peer().await;
    world.answer(result(7));
    world.answer(Answer::Abandon(Abandoned::Orchestration, "void with its stream".to_owned()));
    let mut seen = 0;
    while seen < 2 {
        seen += peer.frame().await.answers.len();
    }
    drop(peer);

    let mut peer = world.peer().await;
    assert_eq!(peer.frame().await.answers.len(), 1);
    // No work is left, but the result has not arrived: the host must come again.
    world.draining.send_replace(true);
    assert!(peer.frame().await.draining);
    drop(peer);

    let mut peer = world.peer().await;
    let frame = peer.frame().await;
    assert!(frame.draining);
    let Some(v1::answer::Kind::Activity(response)) = &frame.answers[0].kind else {
        panic!("the result is missing in {frame:?}");
    };
    assert_eq!((response.task_id, frame.answers.len()), (7, 1));
    let acknowledged = vec![frame.answers[0].sequence];
    peer.send(v1::SchedulerFrame { acknowledged, ..Default::default() }).await;
    world.ended().await;
}

#[tokio::test]
async fn a_host_that_ends_says_so_once_and_gives_back_what_still_comes() {
    let mut world = World::new().await;
    let mut peer = world.peer().await;
    world.work.busy.store(1, Ordering::Relaxed);
    world.draining.send_replace(true);
    assert!(peer.frame().await.draining);

    let request = wire::work_item::Request::ActivityRequest(wire::ActivityRequest::default());
    let item = wire::WorkItem { request: Some(request), completion_token: "late".to_owned() };
    peer.send(v1::SchedulerFrame { items: vec![item], ..Default::default() }).await;
    let frame = peer.frame().await;
    assert!(!frame.draining);
    let expected = v1::answer::Kind::Abandon(v1::Abandon { completion_token: "late".to_owned() });
    assert_eq!(frame.answers[0].kind, Some(expected));
    assert_eq!(world.work.taken.load(Ordering::Relaxed), 0);

    world.work.busy.store(0, Ordering::Relaxed);
    let acknowledged = vec![frame.answers[0].sequence];
    peer.send(v1::SchedulerFrame { acknowledged, ..Default::default() }).await;
    world.ended().await;
}

#[tokio::test]
async fn what_can_be_run_from_now_on_is_told_on_the_stream_that_is_there_unless_the_host_ends() {
    let mut world = World::new().await;
    let mut peer = world.peer().await;
    world.registry.replace(Registry::default());
    let frame = peer.frame().await;
    assert_eq!(
        frame.open,
        Some(filters::offer(&Registry::default(), WorkLimits { orchestrations: 1, activities: 1, entities: 1 }))
    );
    // The stream is the same, and once is enough.
    world.answer(result(1));
    let frame = peer.frame().await;
    assert_eq!((frame.open, frame.answers.len()), (None, 1));
    world.work.busy.store(1, Ordering::Relaxed);
    world.draining.send_replace(true);
    assert!(peer.frame().await.draining);
    world.registry.replace(Registry::default());
    world.answer(result(2));
    let frame = peer.frame().await;
    assert_eq!((frame.open, frame.answers.len()), (None, 1));
}

#[tokio::test]
async fn a_question_is_answered_on_its_stream_once_and_lost_with_it() {
    let mut world = World::new().await;
    let mut peer = world.peer().await;
    let ask =
        |number| v1::SchedulerFrame { queries: vec![v1::Query { number, ..Default::default() }], ..Default::default() };
    peer.send(ask(1)).await;
    peer.send(ask(2)).await;
    let mut asked = Vec::new();
    while asked.len() < 2 {
        asked.append(&mut world.work.asked.lock());
        tokio::task::yield_now().await;
    }
    let (_, later) = asked.pop().expect("two were asked");
    let (query, replies) = asked.pop().expect("two were asked");
    let output = Some("42".to_owned());
    replies.send(v1::QueryAnswer { number: query.number, output: output.clone(), failure: None }).expect("it is whole");
    let frame = peer.frame().await;
    assert_eq!(frame.query_answers, [v1::QueryAnswer { number: 1, output, failure: None }]);
    assert!(frame.answers.is_empty());
    drop(peer);

    let mut peer = world.peer().await;
    // Numbers belong to their stream: on this one, this would answer another question.
    assert!(later.send(v1::QueryAnswer { number: 2, ..Default::default() }).is_err());
    world.answer(result(3));
    let frame = peer.frame().await;
    assert_eq!((frame.query_answers.len(), frame.answers.len()), (0, 1));
}

#[test]
fn answers_to_questions_are_shared_out_over_frames() {
    let answer = |number, bytes| v1::QueryAnswer { number, output: Some("x".repeat(bytes)), failure: None };
    let mut answers = VecDeque::from([answer(1, 3 << 20), answer(2, 1 << 20), answer(3, 10), answer(4, 3 << 20)]);
    let mut shares = Vec::new();
    while !answers.is_empty() {
        shares.push(share(&mut answers).iter().map(|answer| answer.number).collect::<Vec<_>>());
    }
    assert_eq!(shares, [vec![1], vec![2, 3], vec![4]]);
}
