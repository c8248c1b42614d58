//! The simulated world: one clock, one line of happenings, one scheduler with its disk, workers, clients, and the network between.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use durawasm_scheduler::core::batch::Batch;
use durawasm_scheduler::core::ids::{BatchSeq, Incarnation, InstanceId, RunId, StreamId};
use durawasm_scheduler::core::message::{EpisodeItem, Input, Refusal, Reply};
use durawasm_scheduler::core::partition::Limits;
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::core::token::Token;
use durawasm_scheduler::store::memory::{MemoryStore, RowKeys};

use crate::audit::Audit;
use crate::chance::Chance;
use crate::client::{Deed, Script};
use crate::sabotage::Sabotage;
use crate::server::Server;
use crate::worker::{Answer, Part, Past, Worker};

/// The last things that happened, for people.
pub(crate) type Trace = Rc<RefCell<VecDeque<String>>>;

const TRACE_LINES: usize = 120;
/// A run that takes more steps than this does not come to rest.
const MOST_STEPS: u64 = 400_000;
/// When worlds begin, in microseconds since 1970.
pub(crate) const EPOCH: i64 = 1_700_000_000_000_000;
/// Payloads are bounded, so that some are too large.
pub(crate) const PAYLOAD_BYTES: usize = 16 << 10;

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
    /// Somebody sets the scheduler's clock.
    Clock,
    /// The batch that is being written has reached the disk (in that life of the process)…
    Written(Incarnation),
    /// …and the scheduler hears of it.
    Synced(Incarnation),
    Pump(Incarnation),
    Tick(Incarnation),
    /// A caller sends what it has to say.
    Send(Caller),
    Arrive(Caller),
    Return(Caller, Outcome),
    Episode(usize, StreamId, Box<EpisodeItem>, Past),
    Activity(usize, StreamId, Token, std::sync::Arc<durawasm_proto::durabletask::ActivityRequest>),
    /// A worker says something about an item for the first time.
    Answer(usize, u64, Token, Vec<Part>),
    /// Somebody says something about an item that is not his any longer.
    Stale(Token),
    /// A worker answers a question.
    Explain(Incarnation, StreamId, u64),
    Connect(usize),
    Break(usize),
    /// A worker says that it is about to end.
    Drain(usize),
    Unlink(Incarnation, StreamId),
    Kill(usize),
    /// From now on all goes well, and there are workers for everything.
    Calm,
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
    pub(crate) storm_ends: i64,
    pub(crate) store: MemoryStore,
    pub(crate) server: Option<Server>,
    /// The batch that is on its way to the disk.
    pub(crate) writing: Option<(BatchSeq, Batch)>,
    pub(crate) on_disk: bool,
    pub(crate) audit: Audit,
    pub(crate) workers: Vec<Worker>,
    pub(crate) script: Script,
    pub(crate) limits: Limits,
    /// The last token that was given for an episode.
    pub(crate) latest: HashMap<RunId, Token>,
    pub(crate) sabotage: Option<Sabotage>,
    trace: Option<Trace>,
}

impl World {
    pub(crate) fn new(seed: u64, sabotage: Option<Sabotage>, trace: Option<Trace>) -> Self {
        let mut chance = Chance::new(seed);
        let script = Script::new(&mut chance);
        let workers = (0..usize::try_from(chance.between(1, 3)).expect("few")).map(|n| Worker::new(n, &mut chance));
        let workers: Vec<Worker> = workers.collect();
        let limits = Limits {
            payload_bytes: PAYLOAD_BYTES,
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
            latest: HashMap::new(),
            sabotage,
            trace,
        };
        world.plan();
        world
    }

    /// Lays out what will happen whatever else does.
    fn plan(&mut self) {
        self.after(0, Happening::Start);
        self.at(self.storm_ends, Happening::Calm);
        for (wait, operation) in std::mem::take(&mut self.script.first) {
            self.after(wait, Happening::Send(Caller::Client(operation)));
        }
        for worker in 0..self.workers.len() {
            let wait = self.chance.span(20_000);
            self.after(wait, Happening::Connect(worker));
            for _ in 0..self.chance.between(0, 4) {
                let happening = match self.chance.between(0, 9) {
                    0..=3 => Happening::Kill(worker),
                    4..=7 => Happening::Break(worker),
                    _ => Happening::Drain(worker),
                };
                self.in_the_storm(300_000, happening);
            }
        }
        for _ in 0..self.chance.between(0, 6) {
            self.in_the_storm(400_000, Happening::Crash);
        }
        for _ in 0..self.chance.between(0, 2) {
            self.in_the_storm(400_000, Happening::Clock);
        }
    }

    fn in_the_storm(&mut self, typical: u64, happening: Happening) {
        let at = self.chance.span(typical);
        if at < self.storm_ends {
            self.after(at, happening);
        }
    }

    /// Runs until nothing happens any more, and looks at what is left; then ends what waits for ever.
    pub(crate) fn run(&mut self) {
        self.settle();
        let endless = self.rest();
        self.script.finish(&self.store);
        if !endless.is_empty() {
            for id in endless {
                self.do_now(id, Deed::Terminate(true));
            }
            self.settle();
            let left = self.rest();
            assert!(left.is_empty(), "instances do not end although they were terminated: {left:?}");
        }
        let all = self.audit.ids();
        self.do_now(InstanceId::trusted("all"), Deed::Purge(all));
        self.settle();
        assert!(self.rest().is_empty() && self.audit.ids().is_empty(), "not all were purged: {:?}", self.audit.ids());
        assert_eq!(self.store.rows(), RowKeys::default(), "something is left in the store");
        let census = self.server.as_ref().map(|s| s.pipeline.partition().census());
        assert!(census.is_some_and(|c| c.is_empty()), "something is left in memory: {census:?}");
    }

    fn do_now(&mut self, id: InstanceId, deed: Deed) {
        let operation = self.script.add(id, deed);
        self.after(1, Happening::Send(Caller::Client(operation)));
    }

    fn settle(&mut self) {
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
            if self.steps.is_multiple_of(256) {
                self.audit.check();
                self.audit.compare(&self.store);
                self.audit.compare_rows(&self.store);
            }
        }
    }

    fn rest(&self) -> Vec<InstanceId> {
        let server = self.server.as_ref().expect("the scheduler runs at the end");
        server.at_rest();
        self.compare_with_recovery();
        self.audit.at_rest(&self.store)
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    pub(crate) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Start => self.start(),
            Happening::Crash => self.crash(),
            Happening::Clock => {
                self.set_clock();
                self.pump();
            }
            Happening::Written(life) if self.is_current(life) => self.written(),
            Happening::Synced(life) if self.is_current(life) => self.synced(),
            Happening::Pump(life) if self.is_current(life) => self.pump(),
            Happening::Tick(life) if self.is_current(life) => {
                self.input(None, Input::Tick);
            }
            Happening::Written(_) | Happening::Synced(_) | Happening::Pump(_) | Happening::Tick(_) => {}
            Happening::Send(caller) => {
                let wait = self.chance.span(500);
                self.after(wait, Happening::Arrive(caller));
            }
            Happening::Arrive(caller) => self.arrive(caller),
            Happening::Return(caller, outcome) => self.come_back(caller, outcome),
            Happening::Episode(worker, stream, item, past) => self.work_on_episode(worker, stream, &item, past),
            Happening::Activity(worker, stream, token, request) => {
                self.work_on_activity(worker, stream, token, &request);
            }
            Happening::Answer(worker, life, token, parts) => {
                if self.workers[worker].life == life {
                    self.counter += 1;
                    self.workers[worker].answers.insert(self.counter, Answer { token, parts, at: 0 });
                    self.after(0, Happening::Send(Caller::Worker(worker, life, self.counter)));
                }
            }
            Happening::Explain(life, stream, number) => {
                if self.is_current(life) && self.workers.iter().any(|w| w.stream == Some(stream)) {
                    self.input(None, Input::AnswerQuestion(stream, number, Box::new(Ok(Some("because".into())))));
                }
            }
            Happening::Stale(token) => self.stale(token),
            Happening::Connect(worker) => self.connect(worker),
            Happening::Break(worker) => self.break_stream(worker),
            Happening::Drain(worker) => self.drain(worker),
            Happening::Unlink(life, stream) => {
                if self.is_current(life) {
                    if let Some(server) = &mut self.server {
                        server.forget_stream(stream);
                    }
                    self.input(None, Input::Disconnect(stream));
                }
            }
            Happening::Kill(worker) => {
                if self.stormy() && self.chance.percent(50) {
                    // It comes back as another program.
                    self.workers[worker].redeploy(&mut self.chance);
                }
                self.workers[worker].die();
                self.break_stream(worker);
            }
            Happening::Calm => {
                for worker in 0..self.workers.len() {
                    if worker == 0 || self.chance.percent(50) {
                        self.workers[worker].serve_all(&mut self.chance);
                        self.break_stream(worker);
                    }
                }
            }
        }
    }

    pub(crate) fn clock(&self) -> Timestamp {
        Timestamp::from_micros(EPOCH + self.now + self.skew)
    }

    pub(crate) fn stormy(&self) -> bool {
        self.now < self.storm_ends
    }

    pub(crate) fn after(&mut self, wait: i64, happening: Happening) {
        self.at(self.now + wait, happening);
    }

    pub(crate) fn at(&mut self, at: i64, happening: Happening) {
        self.counter += 1;
        self.line.insert((at, self.counter), happening);
    }
}
