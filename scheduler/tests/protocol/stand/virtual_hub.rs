//! A hub without threads, sockets and disks, whose clock goes when a test says so.

use std::time::Duration;

use durawasm_scheduler::core::dispatch::{Filters, NameFilter, StreamInfo};
use durawasm_scheduler::core::entity::BatchItem;
use durawasm_scheduler::core::ids::{Incarnation, InstanceId, RequestId, StreamId};
use durawasm_scheduler::core::message::{Effect, EpisodeItem, Input, Refusal, Reply, SignalRequest, StartRequest};
use durawasm_scheduler::core::partition::{Identity, Limits, Partition};
use durawasm_scheduler::core::pipeline::Pipeline;
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::core::token::Token;
use durawasm_scheduler::store::Store;
use durawasm_scheduler::store::committed::Committed;
use durawasm_scheduler::store::memory::MemoryStore;

use super::{brief, micros, pb};

/// When the clock begins: microseconds since 1970.
const BEGIN: i64 = 1_700_000_000_000_000;

/// An item that was sent, when, and to which stream.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) at: Duration,
    pub(crate) stream: u64,
    pub(crate) token: Token,
    /// The episode, if it is one.
    pub(crate) episode: Option<Box<EpisodeItem>>,
    /// The batch of an entity's operations, if it is one.
    pub(crate) batch: Option<Box<BatchItem>>,
}

/// A hub whose disk is fast and whose clock goes when a test says so.
pub(crate) struct Hub {
    pub(crate) pipeline: Pipeline,
    pub(crate) store: MemoryStore,
    pub(crate) now: i64,
    requests: u64,
    sent: Vec<Sent>,
    answer: Option<Result<Reply, Refusal>>,
}

impl Hub {
    pub(crate) fn new() -> Self {
        let store = MemoryStore::new();
        let pipeline = recover(&store, BEGIN);
        Self { pipeline, store, now: BEGIN, requests: 0, sent: Vec::new(), answer: None }
    }

    /// A hub with a worker, which has the first episode of instance `a`.
    pub(crate) fn begun() -> (Self, Sent) {
        let mut hub = Self::new();
        hub.connect(1, None);
        hub.start("a", "o", None);
        let first = hub.only();
        (hub, first)
    }

    /// The same a step later: the instance has called the activity `w`, and the worker has that.
    pub(crate) fn calling() -> (Self, Sent) {
        let (mut hub, first) = Self::begun();
        hub.answer(&first, vec![super::actions::call(1, "w")]);
        let work = hub.only();
        (hub, work)
    }

    /// The process dies and comes back after a while. Its streams are gone.
    pub(crate) fn restart_after(&mut self, wait: Duration) {
        self.now += i64::try_from(wait.as_micros()).unwrap();
        self.pipeline = recover(&self.store, self.now);
        self.input(Input::Tick);
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.now - BEGIN).unwrap())
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.pipeline.handle(input, Timestamp::from_micros(self.now), &Committed::new(&self.store));
        self.settle();
    }

    /// Writes what there is to write, and does what follows.
    fn settle(&mut self) {
        loop {
            let mut effects = self.pipeline.flush();
            let batch = self.pipeline.take_batch();
            if let Some((seq, batch)) = &batch {
                self.store.commit(batch).unwrap();
                effects.extend(self.pipeline.committed(*seq));
            }
            for effect in effects {
                self.perform(effect);
            }
            if batch.is_none() {
                return;
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        let at = self.time();
        match effect {
            Effect::Reply(_, answer) => self.answer = Some(answer),
            Effect::SendEpisode(stream, item) => {
                self.sent.push(Sent {
                    at,
                    stream: stream.0,
                    token: item.token.clone(),
                    episode: Some(item),
                    batch: None,
                });
            }
            Effect::SendActivity(stream, token, ..) => {
                self.sent.push(Sent { at, stream: stream.0, token, episode: None, batch: None });
            }
            Effect::SendBatch(stream, item) => {
                let token = item.token.clone();
                self.sent.push(Sent { at, stream: stream.0, token, episode: None, batch: Some(item) });
            }
            Effect::SendQuestion(..) | Effect::Changed(..) => {}
            Effect::Warn(text) => panic!("{text}"),
        }
    }

    pub(crate) fn call(&mut self, input: impl FnOnce(RequestId) -> Input) -> Reply {
        self.requests += 1;
        self.input(input(RequestId(self.requests)));
        self.answer.take().expect("an answer").expect("it is accepted")
    }

    /// Lets time pass, from one happening to the next.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + i64::try_from(time.as_micros()).unwrap();
        while let Some(at) = self.pipeline.next_wakeup().filter(|at| at.as_micros() <= until) {
            self.now = self.now.max(at.as_micros());
            self.input(Input::Tick);
        }
        self.now = until;
        self.input(Input::Tick);
    }

    pub(crate) fn start(&mut self, id: &str, name: &str, scheduled: Option<i64>) {
        let start = StartRequest {
            instance: InstanceId::trusted(id),
            fresh: false,
            execution: None,
            name: name.into(),
            version: None,
            input: None,
            scheduled_start: scheduled.map(Timestamp::from_micros),
            tags: Default::default(),
            trace: None,
            replaceable: None,
        };
        assert_eq!(
            self.call(|request| Input::Start(request, Box::new(start))),
            Reply::Started(InstanceId::trusted(id))
        );
    }

    /// Connects a worker that takes these orchestrators (None: everything).
    pub(crate) fn connect(&mut self, stream: u64, names: Option<&[&str]>) {
        let all = |name: &&str| NameFilter { name: (*name).into(), versions: Vec::new() };
        let info = StreamInfo {
            worker: format!("w{stream}").into(),
            limits: [100; 3],
            filters: names.map(|names| Filters([names.iter().map(all).collect(), Vec::new(), Vec::new()])),
            extended: false,
            history_streaming: false,
            answers: false,
            defaults: Default::default(),
        };
        self.input(Input::Connect(StreamId(stream), info));
    }

    pub(crate) fn disconnect(&mut self, stream: u64) {
        self.input(Input::Disconnect(StreamId(stream)));
    }

    /// What was sent since the last look.
    pub(crate) fn items(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    /// How many items were sent since the last look.
    pub(crate) fn pending(&self) -> usize {
        self.sent.len()
    }

    pub(crate) fn only(&mut self) -> Sent {
        let mut items = self.items();
        assert_eq!(items.len(), 1, "{items:?}");
        items.remove(0)
    }

    pub(crate) fn answer(&mut self, item: &Sent, actions: Vec<pb::OrchestratorAction>) -> Reply {
        let response = pb::OrchestratorResponse {
            instance_id: item.token.instance.as_str().into(),
            actions,
            ..Default::default()
        };
        let token = item.token.clone();
        self.call(|request| Input::CompleteEpisode(request, token, Box::new(response), None))
    }

    pub(crate) fn result(&mut self, item: &Sent, text: &str) -> Reply {
        let (token, outcome) = (item.token.clone(), Box::new(Ok(Some(text.to_owned()))));
        self.call(|request| Input::CompleteActivity(request, token, outcome))
    }

    /// Signals an entity, perhaps for a time of the hub's clock.
    pub(crate) fn signal(&mut self, entity: &str, operation: &str, due: Option<Duration>) {
        let signal = SignalRequest {
            entity: InstanceId::trusted(entity),
            operation: operation.into(),
            input: None,
            request_id: String::new(),
            due: due.map(|due| Timestamp::from_micros(since_begin(due))),
        };
        assert_eq!(self.call(|request| Input::Signal(request, Box::new(signal))), Reply::Done);
    }

    /// Answers a batch: each operation succeeds, and the state is this.
    pub(crate) fn run(&mut self, item: &Sent, state: &str) -> Reply {
        let success = pb::operation_result::ResultType::Success(Default::default());
        let result = pb::EntityBatchResult {
            results: vec![pb::OperationResult { result_type: Some(success) }; item.operations().len()],
            entity_state: Some(state.into()),
            ..Default::default()
        };
        let token = item.token.clone();
        self.call(|request| Input::CompleteBatch(request, token, Box::new(result)))
    }

    pub(crate) fn abandon(&mut self, item: &Sent) {
        let token = item.token.clone();
        self.call(|request| Input::Abandon(request, token, None));
    }
}

fn recover(store: &MemoryStore, now: i64) -> Pipeline {
    let recovered = store.recover().unwrap();
    assert!(recovered.incarnation > Incarnation(0));
    let identity = Identity { hub: "default".into(), incarnation: recovered.incarnation, salt: 7 };
    let now = Timestamp::from_micros(now);
    Pipeline::new(Partition::recover(
        identity,
        Limits::default(),
        now,
        recovered.active,
        recovered.entities,
        recovered.timers,
    ))
}

impl Sent {
    /// What is new, as text.
    pub(crate) fn new_events(&self) -> Vec<String> {
        brief(&self.episode.as_ref().expect("an episode").new_events)
    }

    /// The operations of a batch, by their names.
    pub(crate) fn operations(&self) -> Vec<String> {
        let batch = self.batch.as_ref().expect("a batch");
        batch.operations.iter().map(|operation| super::worker::operation_name(&operation.event)).collect()
    }

    /// The orchestrator's clock, since the begin.
    pub(crate) fn clock(&self) -> Duration {
        let at = micros(self.episode.as_ref().expect("an episode").new_events[0].timestamp.as_ref());
        Duration::from_micros(u64::try_from(at - BEGIN).expect("after the begin"))
    }
}

/// A time by the hub's clock, in microseconds since 1970.
pub(crate) fn since_begin(time: Duration) -> i64 {
    BEGIN + i64::try_from(time.as_micros()).expect("a short time")
}
