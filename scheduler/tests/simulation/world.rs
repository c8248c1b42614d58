//! The simulated world: one clock, one line of happenings, one scheduler with its disk, workers, clients, and the network between.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use durawasm_proto::durabletask as pb;
use durawasm_scheduler::core::batch::Batch;
use durawasm_scheduler::core::ids::{BatchSeq, Incarnation, InstanceId, Position, RequestId, RunId, StreamId};
use durawasm_scheduler::core::message::{Effect, EpisodeItem, Input, Refusal, Reply};
use durawasm_scheduler::core::partition::{Identity, Limits, Lookup, Partition};
use durawasm_scheduler::core::pipeline::Pipeline;
use durawasm_scheduler::core::record::{LoadedInstance, Status, StoredEvent};
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::core::token::Token;
use durawasm_scheduler::store::Store;
use durawasm_scheduler::store::memory::MemoryStore;

use crate::audit::Audit;
use crate::chance::Chance;
use crate::client::Script;
use crate::server::Server;
use crate::worker::{Answer, Part, Sabotage, Worker};

/// The last things that happened, for people.
pub(crate) type Trace = Rc<RefCell<VecDeque<String>>>;

const TRACE_LINES: usize = 120;
/// A run that takes more steps than this does not come to rest.
const MOST_STEPS: u64 = 400_000;

/// Who made a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// An operation of the script.
    Client(usize),
    /// A worker, in one of its lives, with one of its answers.
    Worker(usize, u64, u64),
    /// Somebody who has nothing to say here.
    Stranger,
}

/// What comes back of a call; None: nothing did.
pub(crate) type Outcome = Option<Result<Reply, Refusal>>;

#[derive(Debug)]
pub(crate) enum Happening {
    Start,
    Crash,
    /// The batch that is being written has reached the disk (in that incarnation)…
    Written(Incarnation),
    /// …and the scheduler hears of it.
    Synced(Incarnation),
    Pump(Incarnation),
    Tick(Incarnation),
    /// A caller sends what it has to say.
    Send(Caller),
    Arrive(Caller),
    Return(Caller, Outcome),
    Episode(usize, StreamId, Box<EpisodeItem>, Option<Vec<pb::HistoryEvent>>),
    Activity(usize, StreamId, Token, std::sync::Arc<pb::ActivityRequest>),
    /// A worker says something about an item for the first time.
    Answer(usize, u64, Token, Vec<Part>),
    Connect(usize),
    Break(usize),
    Unlink(Incarnation, StreamId),
    Kill(usize),
}

/// Everything.
pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) now: i64,
    /// By how much the scheduler's clock is wrong.
    pub(crate) skew: i64,
    line: BTreeMap<(i64, u64), Happening>,
    pub(crate) counter: u64,
    steps: u64,
    storm_ends: i64,
    pub(crate) store: MemoryStore,
    pub(crate) server: Option<Server>,
    /// The batch that is on its way to the disk.
    writing: Option<(BatchSeq, Batch)>,
    on_disk: bool,
    pub(crate) audit: Audit,
    pub(crate) workers: Vec<Worker>,
    pub(crate) script: Script,
    limits: Limits,
    pub(crate) sabotage: Option<Sabotage>,
    trace: Option<Trace>,
}

struct Disk<'a>(&'a MemoryStore);

impl Lookup for Disk<'_> {
    fn load(&self, id: &InstanceId) -> Result<Option<LoadedInstance>, String> {
        self.0.load(id).map_err(|e| e.to_string())
    }

    fn history(&self, run: RunId) -> Result<Vec<StoredEvent>, String> {
        self.0.history(run, 0, usize::MAX).map_err(|e| e.to_string())
    }
}

impl World {
    pub(crate) fn new(seed: u64, sabotage: Option<Sabotage>, trace: Option<Trace>) -> Self {
        let mut chance = Chance::new(seed);
        let script = Script::new(&mut chance);
        let workers = (0..usize::try_from(chance.between(1, 3)).expect("few")).map(|n| Worker::new(n, &mut chance));
        let workers: Vec<Worker> = workers.collect();
        let limits = Limits {
            new_events: usize::try_from(chance.pick(&[1, 3, 4_000])).expect("small"),
            idle_instances: usize::try_from(chance.pick(&[0, 1, 20_000])).expect("small"),
            activity_grace: Duration::from_millis(chance.between(1, 300)),
            ..Limits::default()
        };
        let storm_ends = i64::try_from(chance.between(0, 1_500_000)).expect("short");
        let mut world = Self {
            chance,
            now: 0,
            skew: 0,
            line: BTreeMap::new(),
            counter: 0,
            steps: 0,
            storm_ends,
            store: MemoryStore::new(),
            server: None,
            writing: None,
            on_disk: false,
            audit: Audit::default(),
            workers,
            script,
            limits,
            sabotage,
            trace,
        };
        world.plan();
        world
    }

    /// Lays out what will happen whatever else does.
    fn plan(&mut self) {
        self.after(0, Happening::Start);
        for (wait, operation) in std::mem::take(&mut self.script.first) {
            self.after(wait, Happening::Send(Caller::Client(operation)));
        }
        for worker in 0..self.workers.len() {
            let wait = self.chance.span(20_000);
            self.after(wait, Happening::Connect(worker));
            for _ in 0..self.chance.between(0, 4) {
                let at = self.chance.span(300_000);
                if at < self.storm_ends {
                    let happening =
                        if self.chance.percent(40) { Happening::Kill(worker) } else { Happening::Break(worker) };
                    self.after(at, happening);
                }
            }
        }
        for _ in 0..self.chance.between(0, 6) {
            let at = self.chance.span(400_000);
            if at < self.storm_ends {
                self.after(at, Happening::Crash);
            }
        }
    }

    /// Runs until nothing happens any more, and looks at what is left.
    pub(crate) fn run(&mut self) {
        while let Some(((at, _), happening)) = self.line.pop_first() {
            self.now = at;
            self.steps += 1;
            assert!(self.steps < MOST_STEPS, "the run does not come to rest");
            if let Some(trace) = &self.trace {
                let mut trace = trace.borrow_mut();
                if trace.len() == TRACE_LINES {
                    trace.pop_front();
                }
                trace.push_back(format!("{at:>9} {happening:?}"));
            }
            self.happen(happening);
            if self.chance.percent(1) {
                self.audit.compare(&self.store);
            }
        }
        self.finish();
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    fn finish(&mut self) {
        for (at, operation) in self.script.operations.iter().enumerate() {
            assert!(operation.done, "operation {at} was never answered: {:?}", operation.deed);
        }
        for root in &self.script.roots {
            let view = self.store.view(&root.id, true).expect("the store reads");
            let view = view.unwrap_or_else(|| panic!("{} was accepted and is gone", root.id));
            let result = match view.completed.and_then(|e| e.event.event_type) {
                Some(pb::history_event::EventType::ExecutionCompleted(c)) => c.result.unwrap_or_default(),
                other => panic!("{} never ended: {:?}, {other:?}", root.id, view.record),
            };
            if root.killable && view.record.status == Status::Terminated {
                assert_eq!(result, "told to", "{}", root.id);
                continue;
            }
            assert_eq!(view.record.status, Status::Completed, "{}: {result}", root.id);
            let (digest, seen) = result.split_once('|').unwrap_or((&result, ""));
            assert_eq!(digest, root.spec.model().to_string(), "{} ended with another result than the model", root.id);
            let mut seen: Vec<&str> = seen.split(',').filter(|p| !p.is_empty()).collect();
            let all = seen.len();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), all, "{}: an event was delivered twice: {seen:?}", root.id);
        }
        self.audit.finish(&self.store);
        let server = self.server.as_ref().expect("the scheduler runs at the end");
        server.at_rest();
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Start => self.start(),
            Happening::Crash => self.crash(),
            Happening::Written(incarnation) if self.is_current(incarnation) => self.written(),
            Happening::Synced(incarnation) if self.is_current(incarnation) => self.synced(),
            Happening::Pump(incarnation) if self.is_current(incarnation) => self.pump(),
            Happening::Tick(incarnation) if self.is_current(incarnation) => self.input(None, Input::Tick),
            Happening::Written(_) | Happening::Synced(_) | Happening::Pump(_) | Happening::Tick(_) => {}
            Happening::Send(caller) => {
                let wait = self.chance.span(500);
                self.after(wait, Happening::Arrive(caller));
            }
            Happening::Arrive(caller) => self.arrive(caller),
            Happening::Return(caller, outcome) => self.come_back(caller, outcome),
            Happening::Episode(worker, stream, item, past) => {
                self.work_on_episode(worker, stream, &item, past.as_deref())
            }
            Happening::Activity(worker, stream, token, request) => {
                self.work_on_activity(worker, stream, token, &request)
            }
            Happening::Answer(worker, life, token, parts) => {
                if self.workers[worker].life == life {
                    self.counter += 1;
                    self.workers[worker].answers.insert(self.counter, Answer { token, parts, at: 0 });
                    self.after(0, Happening::Send(Caller::Worker(worker, life, self.counter)));
                }
            }
            Happening::Connect(worker) => self.connect(worker),
            Happening::Break(worker) => self.break_stream(worker),
            Happening::Unlink(incarnation, stream) => {
                if self.is_current(incarnation) {
                    if let Some(server) = &mut self.server {
                        server.forget_stream(stream);
                    }
                    self.input(None, Input::Disconnect(stream));
                }
            }
            Happening::Kill(worker) => {
                self.workers[worker].die();
                self.break_stream(worker);
            }
        }
    }

    // ---- the scheduler and its disk -----------------------------------------------------------------------------------

    pub(crate) fn clock(&self) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + self.now + self.skew)
    }

    pub(crate) fn stormy(&self) -> bool {
        self.now < self.storm_ends
    }

    fn start(&mut self) {
        if self.stormy() && self.chance.percent(50) {
            // Somebody set the clock meanwhile.
            self.skew = self.chance.span(100_000) - self.chance.span(100_000);
        }
        let mut recovered = self.store.recover().expect("the store recovers");
        if self.sabotage == Some(Sabotage::SameIncarnation) {
            recovered.incarnation = Incarnation(1);
        }
        let identity = Identity { hub: "sim".into(), incarnation: recovered.incarnation, salt: 7 };
        let partition =
            Partition::recover(identity, self.limits.clone(), self.clock(), recovered.active, recovered.timers);
        self.counter += 1;
        self.server = Some(Server::new(Pipeline::new(partition), Incarnation(self.counter)));
        self.input(None, Input::Tick);
    }

    fn is_current(&self, incarnation: Incarnation) -> bool {
        self.server.as_ref().is_some_and(|s| s.life == incarnation)
    }

    fn crash(&mut self) {
        let Some(server) = self.server.take() else { return };
        if let Some((_, batch)) = self.writing.take()
            && !std::mem::take(&mut self.on_disk)
            && self.chance.percent(50)
        {
            // It was on its way and has reached the disk, although nobody will hear of it.
            self.commit(&batch);
        }
        for caller in server.callers() {
            let wait = self.chance.span(2_000);
            self.after(wait, Happening::Return(caller, None));
        }
        for worker in 0..self.workers.len() {
            if self.workers[worker].stream.take().is_some() {
                let wait = self.chance.span(20_000);
                self.after(wait, Happening::Connect(worker));
            }
        }
        let wait = self.chance.span(50_000);
        self.after(wait, Happening::Start);
    }

    /// Hands an input in, and soon lets out what comes of it.
    pub(crate) fn input(&mut self, caller: Option<(RequestId, Caller)>, input: Input) {
        let now = self.clock();
        let Some(server) = &mut self.server else { return };
        server.handle(caller, input, now, &Disk(&self.store));
        if self.chance.percent(70) {
            self.pump();
        } else {
            let life = server.life;
            let wait = self.chance.span(100);
            self.after(wait, Happening::Pump(life));
        }
    }

    fn pump(&mut self) {
        let Some(server) = &mut self.server else { return };
        let life = server.life;
        let mut effects = server.pipeline.flush();
        if let Some((seq, batch)) = server.pipeline.take_batch() {
            self.writing = Some((seq, batch));
            self.on_disk = false;
            if self.sabotage == Some(Sabotage::EarlyRelease) {
                effects.extend(server.pipeline.committed(seq));
                let (_, batch) = self.writing.take().expect("it was put there");
                self.release(effects);
                self.commit(&batch);
                return;
            }
            let wait = self.chance.span(1_000);
            self.after(wait, Happening::Written(life));
        }
        if let Some(at) = self.server.as_ref().and_then(|s| s.pipeline.next_wakeup()) {
            let at = at.as_micros() - 1_700_000_000_000_000 - self.skew;
            // Never a microsecond early, sometimes late.
            let late = if self.chance.percent(10) { self.chance.span(5_000) } else { 0 };
            let at = at.max(self.now + 1) + late;
            let server = self.server.as_mut().expect("it runs");
            if server.wants_tick(at, self.now) {
                self.at(at, Happening::Tick(life));
            }
        }
        self.release(effects);
    }

    fn written(&mut self) {
        let Some((seq, batch)) = self.writing.take() else { return };
        let stormy = self.stormy();
        if stormy && self.chance.percent(1) {
            self.writing = Some((seq, batch));
            return self.crash();
        }
        self.commit(&batch);
        self.writing = Some((seq, batch));
        self.on_disk = true;
        if stormy && self.chance.percent(1) {
            return self.crash();
        }
        let life = self.server.as_ref().map(|s| s.life).expect("it runs");
        let wait = self.chance.span(200);
        self.after(wait, Happening::Synced(life));
    }

    fn commit(&mut self, batch: &Batch) {
        if self.sabotage == Some(Sabotage::LostBatch) && self.chance.percent(5) {
            return self.audit.apply(batch);
        }
        self.store.commit(batch).expect("a store in memory takes everything that makes sense");
        self.audit.apply(batch);
    }

    fn synced(&mut self) {
        let Some((seq, _)) = self.writing.take() else { return };
        self.on_disk = false;
        let Some(server) = &mut self.server else { return };
        server.applied = seq;
        let effects = server.pipeline.committed(seq);
        self.release(effects);
        self.pump();
    }

    fn release(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply(request, answer) => self.reply(request, answer),
                Effect::SendEpisode(stream, item) => self.send_episode(stream, item),
                Effect::SendActivity(stream, token, request) => {
                    self.audit.token(token.to_string());
                    self.audit.activity_sent(token.run, token.position, &request);
                    let Some(server) = &mut self.server else { return };
                    server.sent(stream, &token);
                    if let Some(worker) = self.workers.iter().position(|w| w.stream == Some(stream)) {
                        let wait = self.chance.span(500);
                        self.after(wait, Happening::Activity(worker, stream, token, request));
                    }
                }
                Effect::Changed(id, _) => {
                    let view = self.store.view(&id, false).expect("the store reads");
                    assert!(view.is_some(), "{id}: a change was told before it was on disk");
                }
                Effect::SendQuestion(_, question) => panic!("nobody asks: {question:?}"),
                Effect::Warn(text) => panic!("an unexpected warning: {text}"),
            }
        }
    }

    fn reply(&mut self, request: RequestId, answer: Result<Reply, Refusal>) {
        let server = self.server.as_mut().expect("it runs");
        let (caller, cause) = server.answered(request);
        assert!(
            cause <= server.applied,
            "the answer {answer:?} was given when batch {:?} was on disk; it waits for {cause:?}",
            server.applied
        );
        let lost = self.stormy() && self.chance.percent(5);
        let wait = self.chance.span(if lost { 20_000 } else { 500 });
        self.after(wait, Happening::Return(caller, (!lost).then_some(answer)));
    }

    fn send_episode(&mut self, stream: StreamId, item: Box<EpisodeItem>) {
        self.audit.token(item.token.to_string());
        let past = self.read(item.run, item.past);
        if past.len() as u64 != item.past {
            // Only an item that is void by now may lack its past: its execution is gone.
            let gone = !self.audit.records.values().any(|r| r.run == item.run);
            assert!(gone && past.is_empty(), "{}: an episode was sent before its past was on disk", item.token);
        }
        let void = past.len() as u64 != item.past;
        let server = self.server.as_mut().expect("it runs");
        server.sent(stream, &item.token);
        let Some(worker) = self.workers.iter().position(|w| w.stream == Some(stream)) else { return };
        if void {
            // The service cannot send what it cannot read: it gives the item back, so that the stream has room again.
            let life = self.workers[worker].life;
            return self.after(0, Happening::Answer(worker, life, item.token, vec![Part::Abandon(None)]));
        }
        let past = if item.warm && item.past > 0 { None } else { Some(past) };
        let wait = self.chance.span(500);
        self.after(wait, Happening::Episode(worker, stream, item, past));
    }

    fn read(&self, run: RunId, count: Position) -> Vec<pb::HistoryEvent> {
        let mut past = Vec::new();
        while (past.len() as u64) < count {
            let page = self.store.history(run, past.len() as u64, 1 << 20).expect("the store reads");
            if page.is_empty() {
                break;
            }
            past.extend(page.into_iter().map(|e| e.event));
        }
        past.truncate(usize::try_from(count).expect("short"));
        past
    }

    pub(crate) fn after(&mut self, wait: i64, happening: Happening) {
        self.at(self.now + wait, happening);
    }

    pub(crate) fn at(&mut self, at: i64, happening: Happening) {
        self.counter += 1;
        self.line.insert((at, self.counter), happening);
    }
}
