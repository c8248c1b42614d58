//! A task hub at work: the partition's thread, the store's writer, and the streams of its workers.
//!
//! [`Hub`] is the cheap handle that the gRPC service holds. Calls become [`Input`]s of the core; reads go to the store directly,
//! which shows committed state alone, so a client sees what it was told and never more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::core::ids::{Incarnation, InstanceId, Position, RequestId, RunId, StreamId};
use crate::core::message::{Input, Refusal, Reply};
use crate::core::partition::{Identity, Limits, Partition};
use crate::core::pipeline::Pipeline;
use crate::core::record::StoredEvent;
use crate::core::time::Timestamp;
use crate::core::token::Token;
use crate::deployments::{self, Catalogue, ChangeError, Deployments, Refused};
use crate::payload::{PayloadStore, Pins};
use crate::store::{
    EntityFilter, EntityPage, EntityView, InstanceFilter, InstanceOrder, InstancePage, InstanceView, PageSize, Place,
    Store, StoreError,
};

pub mod directory;
pub mod edge;
mod partition;
mod parts;
mod watch;
mod writer;

pub use watch::Watch;

/// What goes to a worker over its stream.
#[derive(Debug)]
pub enum Outgoing {
    /// Work.
    Item(edge::Item),
    /// A question.
    Question(Box<crate::core::message::Question>),
    /// Work that turned out to be void, or cannot be read, before it was sent: its token is given back.
    Void(Token),
    /// An answer of a session is on disk, or void.
    Acknowledged(u64),
    /// An answer of a session cannot be committed.
    Refused(u64, Refusal),
}

/// Where a worker's stream is fed. It is bounded by the worker's own limits.
pub type StreamSink = mpsc::UnboundedSender<Outgoing>;

/// Who waits for the answer to an input.
#[derive(Debug)]
pub enum Waiter {
    /// A call.
    Call(oneshot::Sender<Result<Reply, Refusal>>),
    /// A worker's session, which numbers its answers.
    Session(StreamSink, u64),
    /// Nobody.
    Nobody,
}

/// An input and who waits for its answer. Inputs without an answer have no request id.
#[derive(Debug)]
pub struct Call {
    /// The input.
    pub input: Input,
    /// Its request id, if it has one.
    pub request: Option<RequestId>,
    /// Who waits.
    pub waiter: Waiter,
    /// Payloads that the input refers to, kept until it is answered.
    pub pins: Pins,
}

impl Call {
    /// An input that has no answer.
    #[must_use]
    pub fn unanswered(input: Input) -> Self {
        Self { input, request: None, waiter: Waiter::Nobody, pins: Pins::default() }
    }
}

/// Why a hub stopped by itself. Nothing leaves it from then on; what it acknowledged is on disk.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The store can no longer be trusted.
    #[error("its store failed: {0}")]
    Store(#[source] StoreError),
    /// An invariant does not hold.
    #[error("an invariant of the scheduler does not hold, please report this: {0}")]
    Panic(String),
}

/// Who learns of a hub that stopped by itself: the hub's name and why.
pub type FatalSink = mpsc::UnboundedSender<(String, Fatal)>;

/// How many listings and pages of histories are read at the same time. The store has more readers than these and those of pasts together.
const READS_AT_A_TIME: usize = 2;

/// What the partition's thread receives.
pub(crate) enum Message {
    Calls(Vec<Call>),
    Connect(StreamId, crate::core::dispatch::StreamInfo, StreamSink),
    Committed(crate::core::ids::BatchSeq),
    Failed(StoreError),
    Stop,
}

/// A handle to a running task hub.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    incarnation: Incarnation,
    store: Arc<dyn Store>,
    payloads: PayloadStore,
    deployments: Deployments,
    inbox: crossbeam_channel::Sender<Message>,
    watch: Arc<Watch>,
    requests: AtomicU64,
    streams: AtomicU64,
    /// Lets only so many listings and pages of histories be read at the same time.
    readers: tokio::sync::Semaphore,
    thread: parking_lot::Mutex<Option<std::thread::JoinHandle<()>>>,
    /// Deletes payloads that nothing refers to.
    collector: parking_lot::Mutex<Option<tokio::task::JoinHandle<()>>>,
    /// Fires when this hub, or the whole scheduler, stops: what waits for it ends.
    stopping: CancellationToken,
}

impl Hub {
    /// Recovers a hub from its store and starts its threads. `fatal` learns of a store that can no longer be trusted; nothing
    /// leaves the hub from then on.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn start(
        name: &str,
        store: Arc<dyn Store>,
        deployments: Deployments,
        limits: Limits,
        payloads: PayloadStore,
        fatal: FatalSink,
        shutdown: &CancellationToken,
    ) -> Result<Self, StoreError> {
        let recovered = store.recover()?;
        let salt = uuid::Uuid::new_v4().as_u64_pair().0;
        let identity = Identity { hub: name.to_owned(), incarnation: recovered.incarnation, salt };
        let partition =
            Partition::recover(identity, limits, wall_clock(), recovered.active, recovered.entities, recovered.timers);
        let watch = Arc::new(Watch::default());
        let (sender, receiver) = crossbeam_channel::unbounded();
        let batches = writer::start(name, Arc::clone(&store), sender.clone())?;
        let thread = partition::start(
            Pipeline::new(partition),
            Arc::clone(&store),
            Arc::clone(&watch),
            receiver,
            batches,
            fatal,
            name.to_owned(),
        );
        let stopping = shutdown.child_token();
        let collector = {
            let (store, name, stopping) = (Arc::clone(&store), name.to_owned(), stopping.clone());
            let collecting = payloads.clone().run_collector(store, name);
            tokio::spawn(async move {
                stopping.run_until_cancelled(collecting).await;
            })
        };
        let inner = Inner {
            name: name.to_owned(),
            incarnation: recovered.incarnation,
            store,
            payloads,
            deployments,
            inbox: sender,
            watch,
            requests: AtomicU64::new(0),
            streams: AtomicU64::new(0),
            readers: tokio::sync::Semaphore::new(READS_AT_A_TIME),
            thread: parking_lot::Mutex::new(Some(thread)),
            collector: parking_lot::Mutex::new(Some(collector)),
            stopping,
        };
        let hub = Self { inner: Arc::new(inner) };
        // Before anybody connects: nothing begins without it.
        hub.tell_defaults(&hub.deployments().current());
        Ok(hub)
    }

    /// What is deployed in it.
    #[must_use]
    pub fn deployments(&self) -> &Deployments {
        &self.inner.deployments
    }

    /// Changes what is deployed, see [`Deployments::change`]. Orchestrations that begin from then on follow.
    ///
    /// # Errors
    /// If the change makes no sense or cannot be kept.
    pub fn change_deployments(
        &self,
        bytes: Option<(&str, &[u8])>,
        decide: impl FnOnce(&mut Catalogue) -> Result<(), Refused>,
    ) -> Result<Arc<Catalogue>, ChangeError> {
        self.inner.deployments.change(bytes, decide, |catalogue| self.tell_defaults(catalogue))
    }

    fn tell_defaults(&self, catalogue: &Catalogue) {
        let defaults = Box::new(deployments::defaults(&catalogue.wire().defaults));
        self.send(vec![Call::unanswered(Input::Defaults(defaults))]);
    }

    /// The hub's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// This opening of its store.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.inner.incarnation
    }

    /// Sends an input and waits for its answer, which comes when its effect is on disk.
    ///
    /// # Errors
    /// The core's refusal, or UNAVAILABLE while the hub stops or a large payload cannot be stored.
    pub async fn call(&self, input: impl FnOnce(RequestId) -> Input) -> Result<Reply, Status> {
        let (sender, receiver) = oneshot::channel();
        let call = self.take_in(self.prepare(input, Waiter::Call(sender))).await?;
        self.send(vec![call]);
        match receiver.await {
            Ok(answer) => answer.map_err(crate::service::status::of_refusal),
            Err(_) => Err(self.stopping()),
        }
    }

    /// Numbers an input.
    pub fn prepare(&self, input: impl FnOnce(RequestId) -> Input, waiter: Waiter) -> Call {
        let request = RequestId(self.inner.requests.fetch_add(1, Ordering::Relaxed) + 1);
        Call { input: input(request), request: Some(request), waiter, pins: Pins::default() }
    }

    /// Sends inputs, in order. What comes from outside goes through [`Hub::take_in`] first.
    pub fn send(&self, calls: Vec<Call>) {
        // A hub that has stopped drops the waiters, which is how they learn of it.
        let _ = self.inner.inbox.send(Message::Calls(calls));
    }

    /// Gives an item back that was not sent.
    pub fn give_back(&self, token: Token) {
        self.send(vec![self.prepare(|request| Input::Abandon(request, token, None), Waiter::Nobody)]);
    }

    /// Connects a worker's stream. Dropping the guard disconnects it.
    #[must_use]
    pub fn connect(&self, info: crate::core::dispatch::StreamInfo, sink: StreamSink) -> Connection {
        let stream = StreamId(self.inner.streams.fetch_add(1, Ordering::Relaxed) + 1);
        let _ = self.inner.inbox.send(Message::Connect(stream, info, sink));
        Connection { hub: self.clone(), stream }
    }

    /// Reads an instance as it is committed. What of it is shown goes through [`Hub::resolve_view`].
    ///
    /// # Errors
    /// DATA_LOSS if what is stored is damaged.
    pub fn view(&self, id: &InstanceId, with_input: bool) -> Result<Option<InstanceView>, Status> {
        // A point read from the page cache: tens of microseconds, less than a hop to another thread and back.
        self.inner.store.view(id, with_input).map_err(|e| crate::service::status::of_store(&e, self.name()))
    }

    /// Reads an entity as it is committed.
    ///
    /// # Errors
    /// DATA_LOSS if what is stored is damaged.
    pub fn view_entity(&self, id: &InstanceId, with_state: bool) -> Result<Option<EntityView>, Status> {
        self.inner.store.view_entity(id, with_state).map_err(|e| crate::service::status::of_store(&e, self.name()))
    }

    /// Lists entities as they are committed.
    ///
    /// # Errors
    /// DATA_LOSS if what is stored is damaged.
    pub async fn list_entities(
        &self,
        filter: EntityFilter,
        after: Option<InstanceId>,
        size: PageSize,
    ) -> Result<EntityPage, Status> {
        self.read(move |store| store.list_entities(&filter, after.as_ref(), size)).await
    }

    /// Reads a part of a committed history of an instance, with its texts.
    ///
    /// # Errors
    /// DATA_LOSS if what is stored is damaged.
    pub async fn history(
        &self,
        id: &InstanceId,
        run: RunId,
        from: Position,
        max_bytes: usize,
    ) -> Result<Vec<StoredEvent>, Status> {
        let mut events = self.read(move |store| store.history(run, from, max_bytes)).await?;
        self.resolve_events(&mut events, id).await?;
        Ok(events)
    }

    /// Lists instances as they are committed.
    ///
    /// # Errors
    /// DATA_LOSS if what is stored is damaged.
    pub async fn list(
        &self,
        filter: InstanceFilter,
        order: InstanceOrder,
        after: Option<Place>,
        size: PageSize,
    ) -> Result<InstancePage, Status> {
        self.read(move |store| store.list(&filter, order, after.as_ref(), size)).await
    }

    /// Ids of the children of an instance.
    ///
    /// # Errors
    /// DATA_LOSS if what is stored is damaged.
    pub async fn children(
        &self,
        parent: &InstanceId,
        after: Option<InstanceId>,
        limit: usize,
    ) -> Result<Vec<InstanceId>, Status> {
        let parent = parent.clone();
        self.read(move |store| store.children(&parent, after.as_ref(), limit)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Status> {
        let store = Arc::clone(&self.inner.store);
        // Never closed. Those who list must not stand in the way of the partition, which reads instances one by one.
        let _permit = self.inner.readers.acquire().await;
        match tokio::task::spawn_blocking(move || read(&*store)).await {
            Ok(found) => found.map_err(|e| crate::service::status::of_store(&e, self.name())),
            Err(_) => Err(self.stopping()),
        }
    }

    /// Its large texts.
    #[must_use]
    pub fn payloads(&self) -> &PayloadStore {
        &self.inner.payloads
    }

    /// Who waits for changes of instances.
    #[must_use]
    pub fn watch(&self) -> &Arc<Watch> {
        &self.inner.watch
    }

    /// Stops the hub's threads after what was accepted so far is on disk. Returns when they have ended.
    pub async fn stop(&self) {
        self.inner.stopping.cancel();
        let closing = self.clone();
        // Behind a change that is being made, which writes to a disk.
        let _ = tokio::task::spawn_blocking(move || closing.inner.deployments.close()).await;
        let _ = self.inner.inbox.send(Message::Stop);
        let thread = self.inner.thread.lock().take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        let collector = self.inner.collector.lock().take();
        if let Some(collector) = collector {
            let _ = collector.await;
        }
    }

    /// Returns when the hub, or the whole scheduler, stops.
    pub async fn stopped(&self) {
        self.inner.stopping.cancelled().await;
    }

    /// What a call gets while the hub stops.
    #[must_use]
    pub fn stopping(&self) -> Status {
        Status::unavailable(format!("the scheduler of task hub `{}` is stopping: try again", self.name()))
    }
}

/// A worker's stream is connected for as long as this lives.
pub struct Connection {
    hub: Hub,
    stream: StreamId,
}

impl Connection {
    /// The stream's number.
    #[must_use]
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// Sends this worker nothing more; it answers what it has.
    #[must_use]
    pub fn drain(&self) -> Call {
        Call::unanswered(Input::Drain(self.stream))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.hub.send(vec![Call::unanswered(Input::Disconnect(self.stream))]);
    }
}

/// The time of day. The core never lets it go backwards.
pub(crate) fn wall_clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
