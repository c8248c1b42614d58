//! What must be true of everything that reaches the disk. The audit keeps its own books from the batches alone and compares.

use std::collections::{BTreeMap, HashMap, HashSet};

use durawasm_proto::durabletask as pb;
use durawasm_scheduler::core::batch::Batch;
use durawasm_scheduler::core::ids::{InstanceId, InstanceKey, Position, RunId};
use durawasm_scheduler::core::record::{InstanceRecord, Status, StoredEvent};
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::store::Store;
use pb::history_event::EventType;

/// The books.
#[derive(Default)]
pub(crate) struct Audit {
    histories: HashMap<RunId, Vec<StoredEvent>>,
    answered: HashMap<RunId, HashSet<Position>>,
    /// What waits in inboxes: the position that it answers, if any.
    inbox: HashMap<InstanceKey, BTreeMap<u64, Option<Position>>>,
    pub(crate) records: HashMap<InstanceKey, InstanceRecord>,
    by_id: HashMap<InstanceId, InstanceKey>,
    children: HashMap<(RunId, Position), InstanceKey>,
    started: HashMap<InstanceKey, Timestamp>,
    /// Activities that a worker has run.
    executed: HashSet<(RunId, Position)>,
    tokens: HashSet<String>,
}

impl Audit {
    /// A batch is on disk.
    pub(crate) fn apply(&mut self, batch: &Batch) {
        for key in &batch.dropped_instances {
            self.inbox.remove(key);
            if let Some(record) = self.records.remove(key) {
                self.by_id.remove(&record.id);
            }
        }
        for run in &batch.dropped_runs {
            self.histories.remove(run);
        }
        for append in &batch.appends {
            let record = batch.instances.values().find(|r| r.run == append.run);
            let record = record.unwrap_or_else(|| panic!("{:?} grew without its instance's row", append.run));
            self.grow(record, append.first, &append.events);
        }
        for ((key, seq), entry) in &batch.inbox {
            let inbox = self.inbox.entry(*key).or_default();
            match entry {
                Some(entry) => {
                    assert!(inbox.insert(*seq, entry.stored.answers).is_none(), "an inbox entry was written twice");
                }
                None => assert!(inbox.remove(seq).is_some(), "an inbox entry was deleted that was not there"),
            }
        }
        for record in batch.instances.values() {
            self.row(record);
        }
    }

    fn grow(&mut self, record: &InstanceRecord, first: Position, events: &[StoredEvent]) {
        let id = &record.id;
        let history = self.histories.entry(record.run).or_default();
        assert_eq!(history.len() as u64, first, "{id}: the history does not grow at its end");
        for stored in events {
            let kind = stored.event.event_type.as_ref().expect("an event has a type");
            assert!(
                !matches!(
                    history.last().and_then(|e| e.event.event_type.as_ref()),
                    Some(EventType::ExecutionCompleted(_))
                ),
                "{id}: history goes on after its end"
            );
            match kind {
                EventType::OrchestratorStarted(_) => {
                    let at: Timestamp = stored.event.timestamp.expect("a time").into();
                    let before = self.started.insert(record.key, at);
                    assert!(before.is_none_or(|b| b < at), "{id}: orchestratorStarted does not increase");
                }
                EventType::ExecutionStarted(_) => {
                    assert_eq!(history.len(), 1, "{id}: executionStarted is not the second event");
                    if let Some(at) = record.scheduled_start
                        && record.status != Status::Terminated
                    {
                        assert!(self.started[&record.key] >= at, "{id}: it started before its time");
                    }
                }
                _ => {}
            }
            if let Some(position) = stored.answers {
                let question = &history[usize::try_from(position).expect("a position")].event;
                assert!(answers(question, kind), "{id}: {kind:?} does not answer {question:?}");
                let first = self.answered.entry(record.run).or_default().insert(position);
                assert!(first, "{id}: position {position} is answered twice");
            }
            history.push(stored.clone());
        }
    }

    fn row(&mut self, record: &InstanceRecord) {
        let id = &record.id;
        let history = self.histories.get(&record.run);
        assert_eq!(history.map_or(0, Vec::len) as u64, record.history_len, "{id}: the row miscounts its history");
        let inbox = self.inbox.get(&record.key);
        assert_eq!(inbox.map_or(0, BTreeMap::len) as u64, record.inbox_len, "{id}: the row miscounts its inbox");
        if !record.status.is_terminal() {
            let (activities, children) = self.open(record);
            assert_eq!(activities, record.open_activities as usize, "{id}: the row miscounts its activities");
            assert_eq!(children, record.open_children as usize, "{id}: the row miscounts its children");
        }
        match self.records.insert(record.key, record.clone()) {
            Some(old) => {
                assert!(!old.status.is_terminal() || old.status == record.status, "{id}: an end was taken back");
                assert!(old.last_episode_at <= record.last_episode_at, "{id}: its clock went back");
                let began = |r: &InstanceRecord| r.status != Status::Pending && r.status != Status::Suspended;
                assert!(!began(&old) || record.status != Status::Pending, "{id}: it is pending again");
            }
            None => {
                if let Some(parent) = &record.parent {
                    let other = self.children.insert((parent.run, parent.position), record.key);
                    assert_eq!(other, None, "{id}: a child was started twice");
                }
                let other = self.by_id.insert(id.clone(), record.key);
                assert_eq!(other, None, "{id}: two instances have one id");
            }
        }
    }

    fn open(&self, record: &InstanceRecord) -> (usize, usize) {
        let mut answered = self.answered.get(&record.run).cloned().unwrap_or_default();
        answered.extend(self.inbox.get(&record.key).into_iter().flat_map(|i| i.values().flatten()));
        let history = self.histories.get(&record.run).map_or(&[][..], Vec::as_slice);
        let open = (0..).zip(history).filter(|(at, _)| !answered.contains(at)).map(|(_, e)| &e.event.event_type);
        let mut counts = (0, 0);
        for kind in open {
            match kind {
                Some(EventType::TaskScheduled(_)) => counts.0 += 1,
                Some(EventType::SubOrchestrationInstanceCreated(_)) => counts.1 += 1,
                _ => {}
            }
        }
        counts
    }

    /// A token leaves the scheduler.
    pub(crate) fn token(&mut self, token: String) {
        assert!(!self.tokens.contains(&token), "the token {token} was given twice");
        self.tokens.insert(token);
    }

    /// A worker ran an activity.
    pub(crate) fn executed(&mut self, run: RunId, position: Position) {
        self.executed.insert((run, position));
    }

    /// An activity is sent: the call must be on disk, unless its execution is gone and the item void.
    pub(crate) fn activity_sent(&self, run: RunId, position: Position, request: &pb::ActivityRequest) {
        let Some(history) = self.histories.get(&run) else {
            let current = self.records.values().any(|r| r.run == run);
            assert!(!current, "an activity was sent before its call was on disk: {request:?}");
            let id = request.orchestration_instance.as_ref().map_or("", |i| &i.instance_id);
            let known = self.records.values().any(|r| r.id.as_str() == id);
            assert!(known, "an activity was sent of an instance that is not on disk: {request:?}");
            return;
        };
        let call = usize::try_from(position).ok().and_then(|at| history.get(at));
        let Some(EventType::TaskScheduled(task)) = call.and_then(|e| e.event.event_type.as_ref()) else {
            panic!("an activity was sent before its call was on disk: {request:?}");
        };
        assert_eq!((&task.name, &task.input), (&request.name, &request.input), "another activity was sent");
    }

    /// What clients see of a history is what was written, and never changes.
    pub(crate) fn compare(&self, store: &dyn Store) {
        for (run, written) in &self.histories {
            let mut read: Vec<StoredEvent> = Vec::new();
            loop {
                let page = store.history(*run, read.len() as u64, 4_000).expect("the store reads");
                if page.is_empty() {
                    break;
                }
                read.extend(page);
            }
            assert!(read == *written, "the store holds another history of {run:?} than was written");
        }
    }

    /// Everything has ended: nothing may be left over.
    pub(crate) fn finish(&self, store: &dyn Store) {
        self.compare(store);
        for record in self.records.values() {
            let id = &record.id;
            assert!(record.status.is_terminal(), "{id} never ended: {record:?}");
            let loaded = store.load(id).expect("the store reads").expect("an instance does not vanish");
            assert_eq!(loaded.record, *record, "the store holds another row of {id} than was written");
            assert!(loaded.inbox.is_empty(), "{id} has ended and its inbox is not empty: {:?}", loaded.inbox);
            let history = &self.histories[&record.run];
            for (position, stored) in (0..).zip(history) {
                if let Some(EventType::TaskScheduled(task)) = &stored.event.event_type {
                    let ran = self.executed.contains(&(record.run, position));
                    assert!(ran, "{id}: the activity with input {:?} never ran", task.input);
                }
            }
        }
        let rest = store.recover().expect("the store recovers");
        assert!(rest.timers.is_empty(), "timers are left: {:?}", rest.timers);
        assert!(rest.active.is_empty(), "instances are left active: {:?}", rest.active);
    }
}

fn answers(question: &pb::HistoryEvent, answer: &EventType) -> bool {
    let id = question.event_id;
    match (question.event_type.as_ref(), answer) {
        (Some(EventType::TaskScheduled(_)), EventType::TaskCompleted(a)) => a.task_scheduled_id == id,
        (Some(EventType::TaskScheduled(_)), EventType::TaskFailed(a)) => a.task_scheduled_id == id,
        (Some(EventType::TimerCreated(q)), EventType::TimerFired(a)) => a.timer_id == id && a.fire_at == q.fire_at,
        (
            Some(EventType::SubOrchestrationInstanceCreated(_)),
            EventType::SubOrchestrationInstanceCompleted(pb::SubOrchestrationInstanceCompletedEvent {
                task_scheduled_id,
                ..
            })
            | EventType::SubOrchestrationInstanceFailed(pb::SubOrchestrationInstanceFailedEvent {
                task_scheduled_id,
                ..
            }),
        ) => *task_scheduled_id == id,
        _ => false,
    }
}
