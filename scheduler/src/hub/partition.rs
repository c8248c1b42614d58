//! The thread that owns a partition: inputs in, batches and effects out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use durawasm_proto::durabletask as pb;
use durawasm_proto::property;
use pb::work_item::Request;

use super::parts::Parts;
use super::{Call, Fatal, FatalSink, Message, StreamSink, Waiter, Watch, wall_clock};
use crate::core::batch::Batch;
use crate::core::entity::BatchItem;
use crate::core::events;
use crate::core::ids::{BatchSeq, RequestId, StreamId};
use crate::core::message::{Change, Effect, EpisodeItem, Input, Refusal, Reply};
use crate::core::pipeline::Pipeline;
use crate::core::token::Token;
use crate::hub::Outgoing;
use crate::hub::edge::Item;
use crate::payload::Pins;
use crate::store::committed::Committed;
use crate::store::{Store, StoreError};

/// How many messages are taken in before effects and batches go out.
const MESSAGES_PER_ROUND: usize = 512;
/// The thread wakes at least this often; nothing depends on it.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// A past of more bytes than this is not put into the work item of a worker that can fetch it by itself.
const INLINE_PAST_BYTES: u64 = 1 << 20;
/// How many pasts are read at the same time.
const PASTS_AT_A_TIME: usize = 2;
/// How much of a history is read at once.
const PAGE_BYTES: usize = 1 << 20;

struct Worker {
    sink: StreamSink,
    history_streaming: bool,
    /// Whether it is shown annotations.
    extended: bool,
}

/// A call that is not answered.
struct Waiting {
    waiter: Waiter,
    pins: Pins,
    /// It is the answer to an episode; of one that comes in parts, all but the last have an index.
    episode: Option<(Token, Option<i32>)>,
}

struct Thread {
    pipeline: Pipeline,
    store: Arc<dyn Store>,
    watch: Arc<Watch>,
    inbox: Receiver<Message>,
    batches: Sender<(BatchSeq, Batch)>,
    fatal: FatalSink,
    hub: String,
    /// Why an instance could not be read, if so: nothing is taken in any more.
    failed: Option<StoreError>,
    /// Who waits for what; and the payloads that are kept until then.
    waiters: HashMap<RequestId, Waiting>,
    /// Payloads of answers that have come in part.
    parts: Parts,
    workers: HashMap<StreamId, Worker>,
    /// Reads the past of cold instances, so that a long history holds nobody up.
    runtime: tokio::runtime::Handle,
    readers: Arc<tokio::sync::Semaphore>,
}

/// Starts the thread. It ends after [`Message::Stop`], when all is on disk, or when the store has failed.
pub(super) fn start(
    pipeline: Pipeline,
    store: Arc<dyn Store>,
    watch: Arc<Watch>,
    inbox: Receiver<Message>,
    batches: Sender<(BatchSeq, Batch)>,
    fatal: FatalSink,
    hub: String,
) -> std::thread::JoinHandle<()> {
    let name = format!("hub-{hub}");
    let runtime = tokio::runtime::Handle::current();
    let (waiters, parts, workers) = Default::default();
    let readers = Arc::new(tokio::sync::Semaphore::new(PASTS_AT_A_TIME));
    let failed = None;
    let thread = Thread {
        pipeline,
        store,
        watch,
        inbox,
        batches,
        fatal,
        hub,
        failed,
        waiters,
        parts,
        workers,
        runtime,
        readers,
    };
    let (sink, hub) = (thread.fatal.clone(), thread.hub.clone());
    // A hub whose thread is gone would look alive and answer nothing: the process ends instead, and a restart recovers.
    let run = move || {
        if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| thread.run())) {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned())).unwrap_or_default();
            let _ = sink.send((hub, Fatal::Panic(text)));
        }
    };
    match std::thread::Builder::new().name(name).spawn(run) {
        Ok(handle) => handle,
        Err(error) => panic!("cannot start a thread for a task hub: {error}"),
    }
}

impl Thread {
    fn run(mut self) {
        let mut stopping = false;
        let mut idle = true;
        self.input(Input::Tick);
        loop {
            if let Some(error) = self.failed.take() {
                // Of an input that met it a part may be done: a message to an instance that could not be read would be lost. Nothing of
                // it is written, and a restart does it again.
                let _ = self.fatal.send((self.hub.clone(), Fatal::Store(error)));
                return;
            }
            let effects = self.pipeline.flush();
            self.perform(effects);
            if let Some(batch) = self.pipeline.take_batch() {
                idle = false;
                if self.batches.send(batch).is_err() {
                    let _ = self.fatal.send((self.hub.clone(), Fatal::Panic("the store's writer has ended".into())));
                    return;
                }
            } else if stopping && idle {
                return;
            }
            let first = match self.inbox.recv_timeout(self.sleep()) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if self.is_tick_wanted() {
                self.input(Input::Tick);
            }
            let inbox = self.inbox.clone();
            for message in first.into_iter().chain(inbox.try_iter().take(MESSAGES_PER_ROUND)) {
                match message {
                    Message::Calls(calls) => calls.into_iter().for_each(|call| self.call(call)),
                    Message::Connect(stream, info, sink) => {
                        let (history_streaming, extended) = (info.history_streaming, info.extended);
                        self.workers.insert(stream, Worker { sink, history_streaming, extended });
                        self.input(Input::Connect(stream, info));
                    }
                    Message::Committed(seq) => {
                        idle = true;
                        let effects = self.pipeline.committed(seq);
                        self.perform(effects);
                    }
                    Message::Failed(error) => {
                        let _ = self.fatal.send((self.hub.clone(), Fatal::Store(error)));
                        return;
                    }
                    Message::Stop => stopping = true,
                }
            }
        }
    }

    /// Whether time has come for something; or something else that is no matter of time, for the clock may have been set back.
    fn is_tick_wanted(&self) -> bool {
        let due = self.pipeline.next_wakeup().is_some_and(|at| at <= wall_clock());
        due || self.pipeline.partition().has_ready_repairs()
    }

    fn sleep(&self) -> Duration {
        if self.pipeline.partition().has_ready_repairs() {
            return Duration::ZERO;
        }
        match self.pipeline.next_wakeup() {
            Some(at) => at.since(wall_clock()).min(LONGEST_SLEEP),
            None => LONGEST_SLEEP,
        }
    }

    fn call(&mut self, call: Call) {
        if let Some(request) = call.request {
            let episode = match &call.input {
                Input::CompleteEpisode(_, token, response, _) => {
                    let index = response.is_partial.then(|| response.chunk_index.unwrap_or(0));
                    Some((token.clone(), index))
                }
                _ => None,
            };
            self.waiters.insert(request, Waiting { waiter: call.waiter, pins: call.pins, episode });
        }
        if let Input::Disconnect(stream) = &call.input {
            self.workers.remove(stream);
        }
        self.input(call.input);
    }

    fn input(&mut self, input: Input) {
        if self.failed.is_some() {
            return;
        }
        let store = Arc::clone(&self.store);
        let committed = Committed::new(&*store);
        self.pipeline.handle(input, wall_clock(), &committed);
        self.failed = committed.into_failure();
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply(request, answer) => self.reply(request, answer),
                Effect::SendActivity(stream, token, request, losses) => {
                    if let Some(worker) = self.workers.get(&stream) {
                        let request = Arc::unwrap_or_clone(request);
                        let item = pb::WorkItem {
                            request: Some(Request::ActivityRequest(request)),
                            completion_token: token.to_string(),
                        };
                        drop(worker.sink.send(Outgoing::Item(Item { item, losses })));
                    }
                }
                Effect::SendBatch(stream, item) => {
                    if let Some(worker) = self.workers.get(&stream) {
                        let (losses, item) = (item.losses, batch_item(*item));
                        drop(worker.sink.send(Outgoing::Item(Item { item, losses })));
                    }
                }
                Effect::SendEpisode(stream, item) => {
                    // What has come of an earlier attempt's answer is forgotten.
                    self.parts.forget(&item.token.instance);
                    self.send_episode(stream, *item);
                }
                Effect::SendQuestion(stream, question) => {
                    if let Some(worker) = self.workers.get(&stream) {
                        drop(worker.sink.send(Outgoing::Question(question)));
                    }
                }
                Effect::Changed(id, change) => {
                    if matches!(change, Change::Over(_)) {
                        self.parts.forget(&id);
                    }
                    self.watch.notify(&id, change);
                }
                Effect::Warn(text) => tracing::warn!(hub = %self.hub, "{text}"),
            }
        }
    }

    fn reply(&mut self, request: RequestId, answer: Result<Reply, Refusal>) {
        let Some(Waiting { waiter, pins, episode }) = self.waiters.remove(&request) else { return };
        match episode {
            // A part is answered for before the whole is committed: what it brought must stay until then. One that was refused, or is
            // void, brought nothing.
            Some((token, Some(index))) if matches!(answer, Ok(Reply::Done)) => self.parts.keep(token, index, pins),
            Some((token, None)) => self.parts.finish(&token),
            _ => {}
        }
        match waiter {
            Waiter::Call(sender) => drop(sender.send(answer)),
            Waiter::Session(sink, sequence) => {
                let outgoing = match answer {
                    Ok(_) => Outgoing::Acknowledged(sequence),
                    Err(why) => Outgoing::Refused(sequence, why),
                };
                drop(sink.send(outgoing));
            }
            Waiter::Nobody => {}
        }
    }

    fn send_episode(&self, stream: StreamId, item: EpisodeItem) {
        let Some(worker) = self.workers.get(&stream) else { return };
        let streamed = worker.history_streaming && item.past_bytes > INLINE_PAST_BYTES;
        let losses = item.losses;
        if item.past == 0 || item.warm || streamed {
            let item = work_item(item, Vec::new(), streamed);
            drop(worker.sink.send(Outgoing::Item(Item { item, losses })));
            return;
        }
        let (store, sink, hub) = (Arc::clone(&self.store), worker.sink.clone(), self.hub.clone());
        let extended = worker.extended;
        let readers = Arc::clone(&self.readers);
        let read = move || match read_past(&*store, &item) {
            // A past that is shorter than it was belongs to an execution that is gone: the item is void.
            Ok(mut past) if past.len() as u64 == item.past => {
                if !extended {
                    past.retain(|event| !events::is_annotation(event));
                }
                let item = work_item(item, past, false);
                drop(sink.send(Outgoing::Item(Item { item, losses })));
            }
            Ok(_) => drop(sink.send(Outgoing::Void(item.token))),
            Err(error) => {
                let instance = &item.token.instance;
                tracing::error!(%hub, %instance, %error, "the history cannot be read: the instance waits for a repair");
                drop(sink.send(Outgoing::Void(item.token)));
            }
        };
        self.runtime.spawn(async move {
            // Never closed. The store's other readers stay free for those who look at instances.
            let _permit = readers.acquire_owned().await;
            drop(tokio::task::spawn_blocking(read).await);
        });
    }
}

fn read_past(store: &dyn Store, item: &EpisodeItem) -> Result<Vec<pb::HistoryEvent>, StoreError> {
    let mut past = Vec::new();
    while (past.len() as u64) < item.past {
        let page = store.history(item.run, past.len() as u64, PAGE_BYTES)?;
        if page.is_empty() {
            break;
        }
        past.extend(page.into_iter().map(|stored| stored.event));
    }
    past.truncate(usize::try_from(item.past).unwrap_or(usize::MAX));
    Ok(past)
}

fn batch_item(item: BatchItem) -> pb::WorkItem {
    pb::WorkItem {
        completion_token: item.token.to_string(),
        request: Some(Request::EntityRequestV2(pb::EntityRequest {
            instance_id: item.token.instance.as_str().into(),
            execution_id: item.execution,
            entity_state: item.state.map(|state| (*state).to_owned()),
            operation_requests: item.operations.iter().map(|operation| operation.event.clone()).collect(),
        })),
    }
}

fn work_item(item: EpisodeItem, past: Vec<pb::HistoryEvent>, streamed: bool) -> pb::WorkItem {
    let text = |text: String| prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(text)) };
    let mut properties = HashMap::new();
    if let Some(version) = item.version {
        properties.insert(property::VERSION.to_owned(), text(version));
    }
    if item.past > 0
        && let Some(base) = &item.base
    {
        properties.insert(property::BASE_TOKEN.to_owned(), text(base.to_string()));
        properties.insert(property::BASE_POSITION.to_owned(), text(item.past.to_string()));
        if let Some(fuel) = item.fuel {
            properties.insert(property::BASE_FUEL.to_owned(), text(fuel.to_string()));
        }
    }
    pb::WorkItem {
        completion_token: item.token.to_string(),
        request: Some(Request::OrchestratorRequest(pb::OrchestratorRequest {
            instance_id: item.token.instance.as_str().into(),
            execution_id: Some(item.execution),
            past_events: past,
            new_events: item.new_events,
            // Some SDKs take their absence for a scheduler without entities.
            entity_parameters: Some(pb::OrchestratorEntityParameters {
                entity_message_reorder_window: Some(prost_types::Duration::default()),
            }),
            requires_history_streaming: streamed,
            properties,
            orchestration_trace_context: item.trace,
        })),
    }
}
