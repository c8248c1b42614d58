//! A bank whose accounts are entities, in a world where everything dies at random: the scheduler, its workers, the answers on their way.
//!
//! The real core over the real store in memory, in one thread, from one seed. Orchestrations lock accounts and move money between them,
//! or look at them twice; clients signal, terminate, suspend and replace. What must hold: the total never changes, whoever looks twice
//! sees the same, each call is answered once, a locked account runs its holder's calls alone, everything ends, and no lock, no request
//! and no operation is left. `DURAWASM_SIM_SEED=N` runs one seed, `DURAWASM_SIM_SEEDS=N` so many.

#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

mod clients;
mod orchestrator;
mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use durawasm_proto::durabletask as pb;
use durawasm_scheduler::core::batch::Batch;
use durawasm_scheduler::core::dispatch::StreamInfo;
use durawasm_scheduler::core::entity::{BatchItem, EntityRecord};
use durawasm_scheduler::core::ids::{BatchSeq, InstanceKey, RequestId, StreamId};
use durawasm_scheduler::core::message::{Effect, EpisodeItem, Input};
use durawasm_scheduler::core::partition::{Identity, Limits, Partition};
use durawasm_scheduler::core::pipeline::Pipeline;
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::store::Store;
use durawasm_scheduler::store::committed::Committed;
use durawasm_scheduler::store::memory::MemoryStore;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const OPENING: u64 = 100;
const EPOCH: i64 = 1_700_000_000_000_000;
/// Faults end here, in microseconds.
const STORM: i64 = 400_000;

enum Happening {
    Start,
    Crash,
    Written(u64),
    Tick(u64),
    Connect(usize),
    Disconnect(usize),
    Client,
    /// A worker gets something.
    Episode(usize, StreamId, Box<EpisodeItem>, Vec<pb::HistoryEvent>),
    Batch(usize, StreamId, Box<BatchItem>),
    /// The scheduler gets something: this process alone, or whichever runs then.
    Input(Option<u64>, Input),
}

/// What is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sabotage {
    /// Rows of locks are not written.
    LostLocks,
    /// Operations that ended stay in the store.
    KeptOperations,
    /// States are sometimes not written.
    LostStates,
}

struct World {
    rng: ChaCha8Rng,
    now: i64,
    order: u64,
    agenda: BTreeMap<(i64, u64), Happening>,
    store: MemoryStore,
    scheduler: Option<Pipeline>,
    writing: Option<(BatchSeq, Batch)>,
    life: u64,
    /// When the next tick comes.
    tick: Option<i64>,
    workers: Vec<Option<StreamId>>,
    streams: u64,
    requests: u64,
    /// Entities as they are on disk.
    books: BTreeMap<InstanceKey, EntityRecord>,
    accounts: Vec<String>,
    names: u64,
    sabotage: Option<Sabotage>,
}

impl World {
    fn new(seed: u64, sabotage: Option<Sabotage>) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let accounts = (0..rng.random_range(2..7)).map(|n| format!("@account@{n}")).collect();
        Self {
            rng,
            now: 0,
            order: 0,
            agenda: BTreeMap::new(),
            store: MemoryStore::new(),
            scheduler: None,
            writing: None,
            life: 0,
            tick: None,
            workers: vec![None; 3],
            streams: 0,
            requests: 0,
            books: BTreeMap::new(),
            accounts,
            names: 0,
            sabotage,
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_ratio(percent, 100)
    }

    fn stormy(&self) -> bool {
        (1_000..STORM).contains(&self.now)
    }

    fn after(&mut self, most: i64, happening: Happening) {
        let wait = self.rng.random_range(0..=most);
        self.at(self.now + wait, happening);
    }

    fn at(&mut self, time: i64, happening: Happening) {
        self.order += 1;
        self.agenda.insert((time.max(self.now), self.order), happening);
    }

    fn clock(&self) -> Timestamp {
        Timestamp::from_micros(EPOCH + self.now)
    }

    fn run(mut self) {
        self.start();
        for worker in 0..self.workers.len() {
            self.connect(worker);
        }
        for account in self.accounts.clone() {
            self.signal(&account, "open", OPENING, None);
        }
        for _ in 0..120 {
            let when = self.rng.random_range(2_000..STORM);
            self.at(when, Happening::Client);
        }
        for _ in 0..self.rng.random_range(0..8) {
            let when = self.rng.random_range(2_000..STORM);
            self.at(when, Happening::Crash);
        }
        for _ in 0..self.rng.random_range(0..12) {
            let (when, worker) = (self.rng.random_range(2_000..STORM), self.rng.random_range(0..3));
            self.at(when, Happening::Disconnect(worker));
        }
        let mut steps = 0;
        while let Some(((time, _), happening)) = self.agenda.pop_first() {
            self.now = time;
            self.happen(happening);
            steps += 1;
            assert!(steps < 1_000_000, "it does not come to an end");
        }
        self.judge();
        self.purge();
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Start => self.start(),
            Happening::Crash => self.crash(),
            Happening::Written(life) if life == self.life => self.written(),
            Happening::Tick(life) if life == self.life => {
                self.tick = None;
                self.input(Input::Tick);
            }
            Happening::Input(life, input) if life.is_none_or(|life| life == self.life) => self.input(input),
            Happening::Written(_) | Happening::Tick(_) | Happening::Input(..) => {}
            Happening::Connect(worker) => self.connect(worker),
            Happening::Disconnect(worker) => {
                if let Some(stream) = self.workers[worker].take() {
                    self.input(Input::Disconnect(stream));
                    self.after(20_000, Happening::Connect(worker));
                }
            }
            Happening::Client => self.client(),
            Happening::Episode(worker, stream, item, past) => self.episode(worker, stream, *item, past),
            Happening::Batch(worker, stream, item) => self.batch(worker, stream, &item),
        }
    }

    // ---- the scheduler -------------------------------------------------------------------------------------------------

    fn start(&mut self) {
        let recovered = self.store.recover().unwrap();
        let identity = Identity { hub: "bank".into(), incarnation: recovered.incarnation, salt: 7 };
        let limits = Limits {
            entity_operations: self.rng.random_range(1..10),
            idle_instances: [0, 1, 20_000][self.rng.random_range(0..3)],
            activity_grace: Duration::from_millis(1),
            ..Limits::default()
        };
        let (now, active, entities) = (self.clock(), recovered.active, recovered.entities);
        let partition = Partition::recover(identity, limits, now, active, entities, recovered.timers);
        self.life += 1;
        self.tick = None;
        self.scheduler = Some(Pipeline::new(partition));
        self.input(Input::Tick);
    }

    fn crash(&mut self) {
        if self.scheduler.take().is_none() {
            return;
        }
        self.life += 1;
        if let Some((_, batch)) = self.writing.take()
            && self.chance(50)
        {
            self.commit(&batch);
        }
        for worker in 0..self.workers.len() {
            self.workers[worker] = None;
            self.after(10_000, Happening::Connect(worker));
        }
        self.after(5_000, Happening::Start);
    }

    fn input(&mut self, input: Input) {
        let now = self.clock();
        let Some(pipeline) = &mut self.scheduler else { return };
        pipeline.handle(input, now, &Committed::new(&self.store));
        self.pump();
    }

    fn pump(&mut self) {
        let Some(pipeline) = &mut self.scheduler else { return };
        let effects = pipeline.flush();
        if let Some(batch) = pipeline.take_batch() {
            self.writing = Some(batch);
            self.after(800, Happening::Written(self.life));
        }
        if let Some(at) = self.scheduler.as_ref().and_then(Pipeline::next_wakeup) {
            let at = (at.as_micros() - EPOCH).max(self.now);
            if self.tick.is_none_or(|tick| at < tick) {
                self.tick = Some(at);
                self.at(at, Happening::Tick(self.life));
            }
        }
        self.perform(effects);
    }

    fn written(&mut self) {
        let Some((seq, batch)) = self.writing.take() else { return };
        self.commit(&batch);
        let effects = self.scheduler.as_mut().unwrap().committed(seq);
        self.perform(effects);
        self.pump();
    }

    fn commit(&mut self, batch: &Batch) {
        let mut batch = batch.clone();
        let sometimes = self.sabotage.is_some() && self.chance(10);
        match self.sabotage {
            Some(Sabotage::LostLocks) => batch.entities.values_mut().for_each(|record| record.lock = None),
            Some(Sabotage::KeptOperations) => batch.queues.retain(|_, entry| entry.is_some()),
            Some(Sabotage::LostStates) if sometimes => batch.states.clear(),
            _ => {}
        }
        self.store.commit(&batch).unwrap();
        for key in &batch.dropped_entities {
            self.books.remove(key);
        }
        self.books.extend(batch.entities);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::SendEpisode(stream, item) => {
                    let mut past = self.store.history(item.run, 0, usize::MAX).unwrap();
                    past.truncate(usize::try_from(item.past).unwrap());
                    let Some(worker) = self.worker(stream) else { continue };
                    if past.len() as u64 == item.past {
                        let past = past.into_iter().map(|stored| stored.event).collect();
                        self.after(500, Happening::Episode(worker, stream, item, past));
                    } else {
                        // Its execution has been replaced or purged. The service gives such an item back: the stream has room again.
                        let gone = past.is_empty() && !self.runs().contains(&item.run);
                        assert!(gone, "{}: an episode was sent before its past was on disk", item.token);
                        let input = Input::Abandon(self.request(), item.token, None);
                        self.after(0, Happening::Input(Some(self.life), input));
                    }
                }
                Effect::SendBatch(stream, item) => {
                    let entity =
                        self.books.get(&InstanceKey(item.token.run.0)).expect("an entity is on disk before it runs");
                    if let Some(lock) = &entity.lock {
                        let holders = item.operations.iter().all(|op| op.caller.is_some_and(|c| c.run == lock.run));
                        assert!(holders, "{}: somebody else's operation while {lock:?} has it", entity.id);
                    }
                    if let Some(worker) = self.worker(stream) {
                        self.after(500, Happening::Batch(worker, stream, item));
                    }
                }
                Effect::Warn(text) => panic!("an unexpected warning: {text}"),
                Effect::Reply(..) | Effect::Changed(..) | Effect::SendQuestion(..) => {}
                Effect::SendActivity(..) => panic!("nobody calls an activity"),
            }
        }
    }

    // ---- workers -------------------------------------------------------------------------------------------------------

    fn worker(&self, stream: StreamId) -> Option<usize> {
        self.workers.iter().position(|of| *of == Some(stream))
    }

    fn connect(&mut self, worker: usize) {
        if self.workers[worker].is_some() {
            return;
        }
        if self.scheduler.is_none() {
            return self.after(10_000, Happening::Connect(worker));
        }
        self.streams += 1;
        let stream = StreamId(self.streams);
        self.workers[worker] = Some(stream);
        let limits = [self.rng.random_range(1..20), 1, self.rng.random_range(1..5)];
        let info = StreamInfo {
            worker: format!("w{worker}").into(),
            limits,
            filters: None,
            extended: false,
            history_streaming: false,
            answers: false,
            defaults: Default::default(),
        };
        self.input(Input::Connect(stream, info));
    }

    fn request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(self.requests)
    }

    fn episode(&mut self, worker: usize, stream: StreamId, item: EpisodeItem, mut history: Vec<pb::HistoryEvent>) {
        history.extend(item.new_events);
        let response = pb::OrchestratorResponse { actions: orchestrator::decide(&history), ..Default::default() };
        let gone = self.workers[worker] != Some(stream);
        if gone && self.chance(50) {
            return; // It has died with its work.
        }
        let request = self.request();
        let input = if self.stormy() && self.chance(5) {
            Input::Abandon(request, item.token, None)
        } else {
            Input::CompleteEpisode(request, item.token, Box::new(response), None)
        };
        self.answer(input);
    }

    fn batch(&mut self, worker: usize, stream: StreamId, item: &BatchItem) {
        let gone = self.workers[worker] != Some(stream);
        if gone && self.chance(50) {
            return;
        }
        let events: Vec<&pb::HistoryEvent> = item.operations.iter().map(|operation| &operation.event).collect();
        let mut run = events.len();
        let trouble = if self.stormy() { self.rng.random_range(0..30) } else { 99 };
        if trouble == 0 {
            run = self.rng.random_range(0..=events.len());
        }
        let (results, entity_state) = orchestrator::run(item.state.as_deref(), &events[..run]);
        let mut result = pb::EntityBatchResult { results, entity_state, ..Default::default() };
        match trouble {
            1 => result.failure_details = Some(pb::TaskFailureDetails::default()),
            2 => result.requires_state = true,
            3 => result.results.extend(vec![pb::OperationResult::default(); 2]),
            _ => {}
        }
        let request = self.request();
        let input = match trouble {
            4 | 5 => Input::Abandon(request, item.token.clone(), None),
            _ => Input::CompleteBatch(request, item.token.clone(), Box::new(result)),
        };
        self.answer(input);
        if trouble == 6 {
            // Said twice, and otherwise the second time.
            let wrong = pb::EntityBatchResult { entity_state: Some("999999:0".into()), ..Default::default() };
            let request = self.request();
            let input = Input::CompleteBatch(request, item.token.clone(), Box::new(wrong));
            self.at(self.now + 2_000, Happening::Input(Some(self.life), input));
        }
    }

    fn answer(&mut self, input: Input) {
        if self.stormy() && self.chance(3) {
            // It comes very late, perhaps to another process.
            let life = (!self.chance(30)).then_some(self.life);
            return self.after(50_000, Happening::Input(life, input));
        }
        self.after(500, Happening::Input(Some(self.life), input));
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn money_is_neither_made_nor_lost_whatever_dies() {
    let (first, count) = match variable("DURAWASM_SIM_SEED") {
        Some(seed) => (seed, 1),
        None => (variable("DURAWASM_SIM_FIRST").unwrap_or(0), variable("DURAWASM_SIM_SEEDS").unwrap_or(400)),
    };
    for seed in first..first + count {
        if let Err(panic) = std::panic::catch_unwind(|| World::new(seed, None).run()) {
            eprintln!("seed {seed} failed: DURAWASM_SIM_SEED={seed} runs it alone");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn faults_that_are_made_on_purpose_are_noticed() {
    std::panic::set_hook(Box::new(|_| {}));
    for sabotage in [Sabotage::LostLocks, Sabotage::KeptOperations, Sabotage::LostStates] {
        let noticed = (0..200).any(|seed| std::panic::catch_unwind(|| World::new(seed, Some(sabotage)).run()).is_err());
        assert!(noticed, "{sabotage:?}");
    }
}
