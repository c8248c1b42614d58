//! What a host makes of what is deployed to its scheduler, which the test plays.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use durawasm_host::deployment::Manifest;
use durawasm_host::registry::{LoadCause, LoadedComponent, Notice, RegistryError};
use durawasm_host::sandbox::{CodeCache, Engines, SandboxLimits};
use durawasm_host::{Handle, Host, Options};
use durawasm_proto::v1;
use durawasm_proto::v1::durawasm_server::{Durawasm, DurawasmServer};
use durawasm_test_components::rewritten;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use parking_lot::Mutex;
use support::guest;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::WatchStream;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// What the scheduler holds, and what was asked of it.
#[derive(Default)]
struct Store {
    /// The bytes that it gives for a digest.
    bytes: Mutex<HashMap<String, Vec<u8>>>,
    fetches: Mutex<Vec<(String, Instant)>>,
    watches: Mutex<usize>,
}

struct Scheduler {
    store: Arc<Store>,
    deployed: watch::Receiver<v1::Deployments>,
}

// The attribute has to see the methods that are not part of the test, so that one macro makes all of it.
macro_rules! scheduler {
    ({ $($item:item)* } $($method:ident: $request:ty => $response:ty,)+) => {
        #[tonic::async_trait]
        impl Durawasm for Scheduler {
            $($item)*
            $(async fn $method(&self, _: Request<$request>) -> Result<Response<$response>, Status> {
                Err(Status::unimplemented("not part of the test"))
            })+
        }
    };
}

scheduler! {
    {
        type SessionStream = BoxStream<'static, Result<v1::SchedulerFrame, Status>>;
        type FollowInstanceStream = BoxStream<'static, Result<v1::FollowInstanceChunk, Status>>;
        type ListParkedStream = BoxStream<'static, Result<v1::ParkedInstance, Status>>;
        type WatchDeploymentsStream = BoxStream<'static, Result<v1::Deployments, Status>>;
        type FetchComponentStream = BoxStream<'static, Result<v1::ComponentBytes, Status>>;

        async fn session(
            &self,
            _: Request<Streaming<v1::WorkerFrame>>,
        ) -> Result<Response<Self::SessionStream>, Status> {
            Ok(Response::new(stream::pending().boxed()))
        }

        async fn watch_deployments(
            &self,
            _: Request<v1::WatchDeploymentsRequest>,
        ) -> Result<Response<Self::WatchDeploymentsStream>, Status> {
            *self.store.watches.lock() += 1;
            Ok(Response::new(WatchStream::new(self.deployed.clone()).map(Ok).boxed()))
        }

        async fn fetch_component(
            &self,
            request: Request<v1::FetchComponentRequest>,
        ) -> Result<Response<Self::FetchComponentStream>, Status> {
            let digest = request.into_inner().digest;
            let data = self.store.bytes.lock().get(&digest).cloned().ok_or_else(|| Status::not_found("no such bytes"))?;
            self.store.fetches.lock().push((digest, Instant::now()));
            Ok(Response::new(stream::iter([Ok(v1::ComponentBytes { data })]).boxed()))
        }
    }
    describe_instance: v1::DescribeInstanceRequest => v1::DescribeInstanceResponse,
    reset_instance: v1::ResetInstanceRequest => v1::ResetInstanceResponse,
    fork_instance: v1::ForkInstanceRequest => v1::ForkInstanceResponse,
    call_entity: v1::CallEntityRequest => v1::CallEntityResponse,
    acknowledge_entity_calls: v1::AcknowledgeEntityCallsRequest => v1::AcknowledgeEntityCallsResponse,
    query_instance: v1::QueryInstanceRequest => v1::QueryInstanceResponse,
    follow_instance: v1::FollowInstanceRequest => Self::FollowInstanceStream,
    list_parked: v1::ListParkedRequest => Self::ListParkedStream,
    deploy: Streaming<v1::DeployRequest> => v1::DeployResponse,
    list_deployments: v1::ListDeploymentsRequest => v1::ListDeploymentsResponse,
    activate_version: v1::ActivateVersionRequest => v1::Deployments,
    roll_back: v1::RollBackRequest => v1::Deployments,
    remove_version: v1::RemoveVersionRequest => v1::Deployments,
    migrate_instance: v1::MigrateInstanceRequest => v1::MigrateInstanceResponse,
}

/// A host that runs what is deployed to the scheduler.
struct Stand {
    store: Arc<Store>,
    deployed: watch::Sender<v1::Deployments>,
    handle: Handle,
    notices: mpsc::UnboundedReceiver<Notice>,
}

impl Stand {
    async fn new() -> Self {
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = incoming.local_addr().unwrap();
        let store = Arc::<Store>::default();
        let (deployed, watched) = watch::channel(v1::Deployments::default());
        let scheduler = Scheduler { store: Arc::clone(&store), deployed: watched };
        let server = tonic::transport::Server::builder().add_service(DurawasmServer::new(scheduler));
        tokio::spawn(server.serve_with_incoming(incoming));
        let options =
            Options { cache: Some(support::code_cache()), ..Options::without_folder(format!("http://{address}")) };
        let mut host = Host::build(options).await.unwrap();
        let (handle, notices) = (host.handle(), host.take_notices().unwrap());
        tokio::spawn(host.run(std::future::pending()));
        Self { store, deployed, handle, notices }
    }

    /// A component that can be fetched.
    fn keep(&self, bytes: &[u8]) -> v1::ComponentVersion {
        let version = announced(bytes);
        self.store.bytes.lock().insert(version.digest.clone(), bytes.to_owned());
        version
    }

    fn deploy(&self, versions: &[&v1::ComponentVersion]) {
        let versions = versions.iter().map(|version| (*version).clone()).collect();
        self.deployed.send_modify(|deployments| {
            *deployments = v1::Deployments { revision: deployments.revision + 1, versions, ..Default::default() };
        });
    }

    async fn notice(&mut self) -> Notice {
        tokio::time::timeout(Duration::from_secs(30), self.notices.recv()).await.unwrap().unwrap()
    }

    /// The digest of what is run from now on.
    async fn run(&mut self) -> String {
        match self.notice().await {
            Notice::Deployed { component, .. } => component.digest().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    async fn retired(&mut self) -> String {
        match self.notice().await {
            Notice::Retired(component) => component.digest().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    async fn left_out(&mut self) -> LoadCause {
        match self.notice().await {
            Notice::LeftOut(failure) => failure.cause,
            other => panic!("{other:?}"),
        }
    }

    fn runs(&self) -> Vec<String> {
        self.handle.registry().components().iter().map(|component| component.digest().to_owned()).collect()
    }
}

/// What a scheduler says of a component without a manifest.
fn announced(bytes: &[u8]) -> v1::ComponentVersion {
    let (engines, cache) = (Engines::new().unwrap(), CodeCache::new(support::code_cache()));
    let component = LoadedComponent::load(bytes, &engines, &cache, SandboxLimits::default()).unwrap();
    v1::ComponentVersion {
        name: component.name().to_owned(),
        version: component.version().to_owned(),
        digest: component.digest().to_owned(),
        content: Manifest::default().digest(bytes),
        bytes: bytes.len() as u64,
        ..Default::default()
    }
}

/// Another content of the same version.
fn noted(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend_from_slice(b"\0\x05\x04note");
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_run_when_what_stood_in_its_way_is_undeployed() {
    let mut stand = Stand::new().await;
    let (first, second) = (stand.keep(&guest("version_one")), stand.keep(&noted(guest("version_one"))));
    stand.deploy(&[&first]);
    assert_eq!(stand.run().await, first.digest);
    stand.deploy(&[&first, &second]);
    assert!(matches!(stand.left_out().await, LoadCause::Registry(RegistryError::ChangedContent { .. })));
    assert_eq!(stand.runs(), std::slice::from_ref(&first.digest));
    stand.deploy(&[&second]);
    assert_eq!((stand.retired().await, stand.run().await), (first.digest.clone(), second.digest.clone()));
    // Both at once: one goes and the other takes its place.
    stand.deploy(&[&first]);
    assert_eq!((stand.retired().await, stand.run().await), (second.digest, first.digest.clone()));
    assert_eq!(stand.runs(), [first.digest]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_once_for_as_long_as_it_is_deployed() {
    let mut stand = Stand::new().await;
    let good = stand.keep(&guest("version_one"));
    let another = stand.keep(&rewritten(guest("version_one"), "1.0.0", "1.0.1"));
    let mut greedy = stand.keep(&noted(guest("version_one")));
    greedy.manifest = "[capabilities.http]\nhosts = [\"example.com\"]".to_owned();
    stand.deploy(&[&good, &greedy]);
    assert_eq!(stand.run().await, good.digest);
    assert!(matches!(stand.left_out().await, LoadCause::Component(_)));
    stand.deploy(&[&good, &greedy, &another]);
    assert_eq!(stand.run().await, another.digest, "nothing is told again");
    let deployed_again = tokio::time::timeout(Duration::from_secs(30), async {
        // Changes that follow each other at once may be seen as one.
        loop {
            stand.deploy(&[&good, &another]);
            tokio::time::sleep(Duration::from_millis(50)).await;
            stand.deploy(&[&good, &another, &greedy]);
            if tokio::time::timeout(Duration::from_millis(500), stand.left_out()).await.is_ok() {
                return;
            }
        }
    });
    deployed_again.await.expect("it is a new matter");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_fetched_is_tried_ever_more_seldom_and_keeps_nothing_else_waiting() {
    let mut stand = Stand::new().await;
    let bytes = guest("version_one");
    let (damaged, good) = (announced(&bytes), stand.keep(&rewritten(bytes.clone(), "1.0.0", "1.0.1")));
    stand.store.bytes.lock().insert(damaged.digest.clone(), bytes[1..].to_owned());
    stand.deploy(&[&damaged, &good]);
    assert_eq!(stand.run().await, good.digest);
    let fetched = || {
        let fetches = stand.store.fetches.lock();
        let of_damaged = fetches.iter().filter(|(digest, _)| *digest == damaged.digest).map(|(_, at)| *at);
        of_damaged.collect::<Vec<_>>()
    };
    while fetched().len() < 6 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Half of 50, 100, 200, 400 and 800 ms at least.
    let fetches = fetched();
    assert!(fetches[5] - fetches[0] >= Duration::from_millis(775), "{fetches:?}");
    assert_eq!(*stand.store.watches.lock(), 1, "the scheduler can be heard all the time");
    // What is deployed meanwhile does not wait for the next try.
    let later = stand.keep(&rewritten(bytes.clone(), "1.0.0", "1.0.2"));
    stand.deploy(&[&damaged, &good, &later]);
    assert_eq!(stand.run().await, later.digest);
    stand.store.bytes.lock().insert(damaged.digest.clone(), bytes);
    assert_eq!(stand.run().await, damaged.digest);
    assert_eq!(stand.runs().len(), 3);
}
