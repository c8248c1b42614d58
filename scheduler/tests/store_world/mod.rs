//! A task hub that lives at random: it makes batches as the core makes them, and knows what a store must hold afterwards.
#![allow(dead_code, reason = "each test uses a part of it")]

mod entities;
pub mod reading;

use std::collections::{BTreeMap, BTreeSet};

use durawasm_proto::durabletask as pb;
use durawasm_proto::durabletask::history_event::EventType;
use durawasm_scheduler::core::batch::Batch;
use durawasm_scheduler::core::entity::LoadedEntity;
use durawasm_scheduler::core::ids::{ExecutionId, Incarnation, InstanceId, InstanceKey, Position, RunId};
use durawasm_scheduler::core::payload::{self, Hash, HubKey, Reference};
use durawasm_scheduler::core::record::{
    InboxEntry, InstanceRecord, LoadedInstance, ParentLink, Parked, Status, StoredEvent, TimerRecord, TurnId,
};
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::store::Store;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// An instance as it should be.
#[derive(Clone, Debug)]
pub struct Expected {
    pub record: InstanceRecord,
    pub inbox: Vec<InboxEntry>,
    pub history: Vec<StoredEvent>,
}

impl Expected {
    /// The event that began the current execution.
    pub fn started(&self) -> Option<&StoredEvent> {
        let is_start = |e: &&StoredEvent| matches!(e.event.event_type, Some(EventType::ExecutionStarted(_)));
        self.history.iter().chain(self.inbox.iter().map(|entry| &entry.stored)).find(is_start)
    }
}

#[derive(Clone)]
pub struct World {
    rng: ChaCha8Rng,
    next: u64,
    pub instances: BTreeMap<InstanceId, Expected>,
    pub timers: BTreeMap<(RunId, Position), TimerRecord>,
    pub entities: BTreeMap<InstanceId, LoadedEntity>,
    /// Payloads are at most this long, save for a rare big one.
    pub payload: usize,
    /// How many payloads are kept elsewhere: some texts are references to one of these.
    pub kept_elsewhere: u8,
}

/// The address of one of the payloads that are kept elsewhere.
pub fn address(number: u8) -> Hash {
    Hash([number; 32])
}

impl World {
    pub fn new(seed: u64) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self {
            rng,
            next: 1 << 32,
            instances: BTreeMap::new(),
            timers: BTreeMap::new(),
            entities: BTreeMap::new(),
            payload: 200,
            kept_elsewhere: 0,
        }
    }

    /// Some changes, and what they make of the world.
    pub fn batch(&mut self) -> Batch {
        let mut batch = Batch::default();
        for _ in 0..self.rng.random_range(1..10) {
            match self.rng.random_range(0..28) {
                0..6 => self.start(&mut batch),
                6..10 => self.raise(&mut batch),
                10..16 => self.episode(&mut batch),
                16 => self.continue_as_new(&mut batch),
                17..19 => self.fire(&mut batch),
                19 => self.rewind(&mut batch),
                20..27 => self.entity(&mut batch),
                _ => self.purge(&mut batch),
            }
        }
        batch
    }

    /// A batch with instances that are pending and nothing else.
    pub fn many_pending(&mut self, count: usize) -> Batch {
        let mut batch = Batch::default();
        for number in 0..count {
            let id = InstanceId::trusted(&format!("order-{number:08}"));
            let record = self.new_record(id, "many".to_owned());
            batch.put_instance(&record);
        }
        batch
    }

    /// A batch that leaves nothing.
    pub fn purge_all(&mut self) -> Batch {
        let mut batch = Batch::default();
        while !self.instances.is_empty() {
            self.purge(&mut batch);
        }
        self.drop_entities(&mut batch);
        batch
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn text(&mut self) -> String {
        let len = if self.rng.random_ratio(1, 400) { 100_000 } else { self.rng.random_range(0..=self.payload) };
        (0..len).map(|_| ['a', 'ß', '\'', '"', '\n', '{', '🦀', '0'][self.rng.random_range(0..8)]).collect()
    }

    fn maybe_text(&mut self) -> Option<String> {
        if self.kept_elsewhere > 0 && self.rng.random_ratio(1, 3) {
            let hash = address(self.rng.random_range(0..self.kept_elsewhere));
            return Some(Reference { key: HubKey(1), hash, length: 70_000 }.to_string());
        }
        self.rng.random::<bool>().then(|| self.text())
    }

    /// The payloads that something refers to.
    pub fn referenced(&self) -> BTreeSet<Hash> {
        let of_event = |stored: &StoredEvent| payload::of_event(&stored.event).cloned();
        let of_instance = |it: &Expected| {
            let inbox = it.inbox.iter().filter_map(|entry| of_event(&entry.stored));
            let history = it.history.iter().filter_map(of_event);
            inbox.chain(history).chain(it.record.custom_status.clone()).collect::<Vec<_>>()
        };
        let of_entity = |it: &LoadedEntity| {
            let queue = it.queue.iter().filter_map(|entry| payload::of_event(&entry.event).cloned());
            queue.chain(it.state.iter().map(|state| (**state).to_owned())).collect::<Vec<_>>()
        };
        let texts = self.instances.values().flat_map(of_instance).chain(self.entities.values().flat_map(of_entity));
        texts.filter_map(|text| Reference::parse(&text)).map(|reference| reference.hash).collect()
    }

    fn time(&mut self) -> Timestamp {
        Timestamp::from_micros(self.rng.random_range(-5..2_000_000_000_000_000))
    }

    /// A time that others may have too.
    fn common_time(&mut self) -> Timestamp {
        if self.rng.random() {
            Timestamp::from_micros(self.rng.random_range(0..20) * 100_000_000_000_000)
        } else {
            self.time()
        }
    }

    fn event(&mut self, event_type: EventType, answers: Option<Position>) -> StoredEvent {
        let timestamp = Some(self.time().into());
        let event =
            pb::HistoryEvent { event_id: self.rng.random_range(-1..9), timestamp, event_type: Some(event_type) };
        StoredEvent { event, answers }
    }

    fn started(&mut self, name: &str) -> StoredEvent {
        let tags = (0..self.rng.random_range(0..3)).map(|i| (format!("tag{i}"), self.text())).collect();
        let input = self.maybe_text();
        let started = pb::ExecutionStartedEvent { name: name.to_owned(), input, tags, ..Default::default() };
        self.event(EventType::ExecutionStarted(started.into()), None)
    }

    fn some(&mut self, wanted: impl Fn(&Expected) -> bool) -> Option<InstanceId> {
        let all: Vec<_> = self.instances.values().filter(|e| wanted(e)).map(|e| e.record.id.clone()).collect();
        if all.is_empty() { None } else { Some(all[self.rng.random_range(0..all.len())].clone()) }
    }

    fn put_inbox(&mut self, batch: &mut Batch, id: &InstanceId, stored: StoredEvent) {
        let it = self.instances.get_mut(id).expect("the caller chose it");
        let entry = InboxEntry { seq: it.record.inbox_next, stored };
        it.record.inbox_next += 1;
        it.record.inbox_len += 1;
        it.inbox.push(entry.clone());
        batch.put_inbox(it.record.key, entry);
        batch.put_instance(&it.record);
    }

    fn start(&mut self, batch: &mut Batch) {
        let texts = ["o'r\"d\ner", "zażółć 🦀", "@counter@a", "%_'; DROP TABLE instances; --", "nul\0nul"];
        let id = match self.rng.random_range(0..8) {
            i if i < texts.len() => texts[i].to_owned(),
            5 => "x".repeat(1_024),
            _ => format!("order-{:x}", self.rng.next_u64()),
        };
        let id = InstanceId::parse(&id).expect("it is valid");
        if self.instances.contains_key(&id) {
            return;
        }
        let name = format!("orchestrator {}", self.rng.random_range(0..5));
        let record = self.new_record(id.clone(), name.clone());
        let run = record.run;
        self.instances.insert(id.clone(), Expected { record, inbox: Vec::new(), history: Vec::new() });
        if self.rng.random_ratio(1, 4) {
            let due = self.time();
            self.put_timer(
                batch,
                TimerRecord { run, position: TimerRecord::START, due, timer_id: 0, instance: id.clone() },
            );
        }
        let started = self.started(&name);
        self.put_inbox(batch, &id, started);
    }

    fn parent(&mut self) -> InstanceId {
        if self.rng.random_ratio(1, 4) {
            return InstanceId::trusted("the parent");
        }
        self.some(|_| true).unwrap_or_else(|| InstanceId::trusted("nobody's parent"))
    }

    fn new_record(&mut self, id: InstanceId, name: String) -> InstanceRecord {
        let parent = self.rng.random_ratio(1, 3).then(|| ParentLink {
            instance: self.parent(),
            run: RunId(self.number()),
            position: self.rng.random_range(0..9),
            info: pb::ParentInstanceInfo { task_scheduled_id: 3, name: Some("parent".into()), ..Default::default() },
        });
        InstanceRecord {
            key: InstanceKey(self.number()),
            id,
            run: RunId(self.number()),
            execution: ExecutionId::new(&format!("{:032x}", self.rng.next_u64())),
            name,
            version: self.maybe_text(),
            status: Status::Pending,
            created_at: self.common_time(),
            updated_at: self.time(),
            completed_at: None,
            scheduled_start: self.rng.random::<bool>().then(|| self.time()),
            custom_status: None,
            inherited_status: false,
            parent,
            tags: (0..self.rng.random_range(0..3)).map(|i| (format!("{i}"), self.text())).collect(),
            trace: None,
            caller_trace: None,
            history_len: 0,
            history_bytes: 0,
            last_episode_at: Timestamp::MIN,
            base: None,
            inbox_next: 0,
            inbox_len: 0,
            open_activities: 0,
            open_children: 0,
            parked: None,
            fuel: Some(durawasm_scheduler::core::record::FuelUse { turn: 7, execution: Some(9), earlier: 1 }),
            section: None,
        }
    }

    fn put_timer(&mut self, batch: &mut Batch, timer: TimerRecord) {
        batch.put_timer(timer.clone());
        self.timers.insert((timer.run, timer.position), timer);
    }

    fn raise(&mut self, batch: &mut Batch) {
        if let Some(id) = self.some(|e| !e.record.status.is_terminal()) {
            let raised = pb::EventRaisedEvent { name: self.text(), input: self.maybe_text() };
            let event = self.event(EventType::EventRaised(raised), None);
            self.put_inbox(batch, &id, event);
        }
    }

    fn episode(&mut self, batch: &mut Batch) {
        let Some(id) = self.some(|e| !e.inbox.is_empty()) else { return };
        let mut it = self.instances.remove(&id).expect("it was chosen among them");
        let first = it.record.history_len;
        let mut events = vec![self.event(EventType::OrchestratorStarted(pb::OrchestratorStartedEvent {}), None)];
        let take = self.rng.random_range(1..=it.inbox.len());
        for entry in it.inbox.drain(..take) {
            batch.delete_inbox(it.record.key, entry.seq);
            events.push(entry.stored);
        }
        let many = if self.rng.random_ratio(1, 100) { 2_000 } else { self.rng.random_range(0..6) };
        for _ in 0..many {
            let scheduled =
                pb::TaskScheduledEvent { name: "activity".into(), input: self.maybe_text(), ..Default::default() };
            events.push(self.event(EventType::TaskScheduled(scheduled), Some(first)));
        }
        it.record.inbox_len = it.inbox.len() as u64;
        it.record.open_activities = if self.rng.random() { self.rng.random_range(0..3) } else { 0 };
        it.record.open_children = u32::from(self.rng.random_ratio(1, 6));
        it.record.status = if self.rng.random_ratio(1, 8) { Status::Suspended } else { Status::Running };
        it.record.base = Some(TurnId { incarnation: Incarnation(1), attempt: self.rng.next_u64() });
        it.record.custom_status = self.maybe_text();
        it.record.trace = self.rng.random::<bool>().then(pb::OrchestrationTraceContext::default);
        it.record.caller_trace = self.rng.random_ratio(1, 8).then(Box::default);
        it.record.parked = self.rng.random_ratio(1, 5).then(|| Parked {
            reason: "divergence".into(),
            message: self.text(),
            component: "shop 1.0.0".into(),
            advice: self.text(),
            since: self.time(),
            attempts: 3,
        });
        if self.rng.random_ratio(1, 4) {
            let (due, position) = (self.time(), first + events.len() as u64 - 1);
            self.put_timer(
                batch,
                TimerRecord { run: it.record.run, position, due, timer_id: -1, instance: id.clone() },
            );
        }
        if self.rng.random_ratio(1, 3) {
            self.complete(batch, &mut it, &mut events);
        }
        it.record.history_len += events.len() as u64;
        it.history.extend(events.iter().cloned());
        batch.append(it.record.run, first, events);
        batch.put_instance(&it.record);
        self.instances.insert(id, it);
    }

    fn complete(&mut self, batch: &mut Batch, it: &mut Expected, events: &mut Vec<StoredEvent>) {
        let completed = pb::ExecutionCompletedEvent { result: self.maybe_text(), ..Default::default() };
        events.push(self.event(EventType::ExecutionCompleted(completed), None));
        for entry in it.inbox.drain(..) {
            batch.delete_inbox(it.record.key, entry.seq);
        }
        (it.record.inbox_len, it.record.open_activities, it.record.open_children) = (0, 0, 0);
        it.record.status = [Status::Completed, Status::Failed, Status::Terminated][self.rng.random_range(0..3)];
        it.record.completed_at = Some(self.common_time());
        self.end_run(it.record.run);
        batch.end_run(it.record.run);
    }

    fn end_run(&mut self, run: RunId) {
        self.timers.retain(|(r, _), _| *r != run);
    }

    fn continue_as_new(&mut self, batch: &mut Batch) {
        let Some(id) = self.some(|e| e.record.status == Status::Running) else { return };
        let new = RunId(self.number());
        let it = self.instances.get_mut(&id).expect("it was chosen among them");
        let old = std::mem::replace(&mut it.record.run, new);
        it.history.clear();
        (it.record.history_len, it.record.open_activities, it.record.open_children) = (0, 0, 0);
        let name = it.record.name.clone();
        batch.drop_run(old);
        self.end_run(old);
        let started = self.started(&name);
        self.put_inbox(batch, &id, started);
    }

    /// What has ended goes on.
    fn rewind(&mut self, batch: &mut Batch) {
        let Some(id) = self.some(|e| e.record.status.is_terminal()) else { return };
        let it = self.instances.get_mut(&id).expect("it was chosen among them");
        (it.record.status, it.record.completed_at) = (Status::Running, None);
        batch.put_instance(&it.record);
        let event = pb::EventRaisedEvent { name: "go on".into(), input: None };
        let event = self.event(EventType::EventRaised(event), None);
        self.put_inbox(batch, &id, event);
    }

    fn fire(&mut self, batch: &mut Batch) {
        let Some(((run, position), timer)) = self.timers.pop_first() else { return };
        batch.delete_timer(run, position);
        let fired = pb::TimerFiredEvent { fire_at: Some(timer.due.into()), timer_id: timer.timer_id };
        let event = self.event(EventType::TimerFired(fired), Some(position));
        self.put_inbox(batch, &timer.instance, event);
    }

    fn purge(&mut self, batch: &mut Batch) {
        let Some(id) = self.some(|_| true) else { return };
        let gone = self.instances.remove(&id).expect("it was chosen among them");
        batch.drop_instance(gone.record.key, gone.record.run);
        self.end_run(gone.record.run);
    }

    /// Asserts that a store holds this world and nothing else.
    pub fn assert_is_in(&self, store: &dyn Store) {
        let recovered = store.recover().expect("it recovers");
        let active: Vec<_> = recovered.active.iter().map(|loaded| loaded.record.key).collect();
        let mut expected: Vec<_> =
            self.instances.values().filter(|e| e.record.is_active()).map(|e| e.record.key).collect();
        expected.sort();
        assert_eq!(active, expected);
        for loaded in &recovered.active {
            assert_loaded(loaded, &self.instances[&loaded.record.id]);
        }
        assert_eq!(recovered.timers, self.timers.values().cloned().collect::<Vec<_>>());
        for expected in self.instances.values() {
            assert_instance(store, expected);
        }
        self.assert_entities_are_in(store, &recovered.entities);
    }
}

fn assert_loaded(loaded: &LoadedInstance, expected: &Expected) {
    assert_eq!(loaded.record, expected.record);
    assert_eq!(loaded.inbox, expected.inbox);
    let needs_history = expected.record.open_activities > 0 || expected.record.open_children > 0;
    assert_eq!(loaded.history, if needs_history { expected.history.clone() } else { Vec::new() });
}

/// Asserts that every way to read an instance gives what it should be.
pub fn assert_instance(store: &dyn Store, expected: &Expected) {
    let id = &expected.record.id;
    let loaded = store.load(id).expect("it loads").expect("it is there");
    assert_loaded(&loaded, expected);

    let view = store.view(id, true).expect("it can be viewed").expect("it is there");
    assert_eq!(view.record, expected.record);
    assert_eq!(view.started.as_ref(), expected.started());
    let completed = expected.history.last().filter(|_| expected.record.status.is_terminal());
    assert_eq!(view.completed.as_ref(), completed);
    assert_eq!(store.view(id, false).expect("it can be viewed").expect("it is there").started, None);

    for max_bytes in [1, 3_000, usize::MAX] {
        let mut history = Vec::new();
        loop {
            let page = store.history(expected.record.run, history.len() as u64, max_bytes).expect("it can be read");
            if page.is_empty() {
                break;
            }
            history.extend(page);
            if max_bytes == 1 && history.len() > 30 {
                break;
            }
        }
        assert_eq!(history[..], expected.history[..history.len()]);
        assert!(max_bytes == 1 || history.len() == expected.history.len());
    }
}
