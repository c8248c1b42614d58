//! What must be true of everything that reaches the disk. The audit keeps its own books from the batches alone and compares.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use durawasm_proto::durabletask as pb;
use durawasm_scheduler::core::batch::Batch;
use durawasm_scheduler::core::ids::{InstanceId, InstanceKey, Position, RunId};
use durawasm_scheduler::core::record::{InstanceRecord, StoredEvent, TimerRecord};
use durawasm_scheduler::core::time::Timestamp;
use pb::history_event::EventType;

mod histories;
mod rest;
mod rows;

/// The books.
#[derive(Default)]
pub(crate) struct Audit {
    histories: BTreeMap<RunId, Vec<StoredEvent>>,
    /// Executions that began with events of another one.
    rewritten: HashSet<RunId>,
    answered: HashMap<RunId, HashSet<Position>>,
    inbox: BTreeMap<InstanceKey, BTreeMap<u64, StoredEvent>>,
    timers: BTreeMap<(RunId, Position), TimerRecord>,
    pub(crate) records: BTreeMap<InstanceKey, InstanceRecord>,
    by_id: BTreeMap<InstanceId, InstanceKey>,
    /// Children by where they were created. Of those that are gone too: none is started twice.
    children: HashMap<(RunId, Position), InstanceKey>,
    /// Activities that a worker has run.
    executed: HashSet<(RunId, Position)>,
    tokens: HashSet<String>,
    /// The latest time that the scheduler's clock has shown.
    pub(crate) clock: Timestamp,
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
            self.answered.remove(run);
        }
        self.timers.retain(|(run, _), _| !batch.dropped_runs.contains(run) && !batch.ended_runs.contains(run));
        for append in &batch.appends {
            let record = batch.instances.values().find(|r| r.run == append.run);
            let record = record.unwrap_or_else(|| panic!("{:?} grew without its instance's row", append.run));
            self.grow(record, append.first, &append.events);
        }
        for ((key, seq), entry) in &batch.inbox {
            let inbox = self.inbox.entry(*key).or_default();
            match entry {
                Some(entry) => {
                    // A result that a client gave, or that was known before the history was cut.
                    let run = batch.instances.get(key).map(|r| r.run).filter(|run| self.rewritten.contains(run));
                    self.executed.extend(run.zip(entry.stored.answers));
                    assert!(inbox.insert(*seq, entry.stored.clone()).is_none(), "an inbox entry was written twice");
                }
                None => assert!(inbox.remove(seq).is_some(), "an inbox entry was deleted that was not there"),
            }
            if inbox.is_empty() {
                self.inbox.remove(key);
            }
        }
        for (at, timer) in &batch.timers {
            match timer {
                Some(timer) => assert_eq!(self.timers.insert(*at, timer.clone()), None, "a timer was set twice"),
                None => assert!(self.timers.remove(at).is_some(), "a timer was deleted that was not there"),
            }
        }
        for record in batch.instances.values() {
            self.row(record);
        }
    }

    /// The instance of that id.
    pub(crate) fn find(&self, id: &InstanceId) -> Option<&InstanceRecord> {
        self.by_id.get(id).and_then(|key| self.records.get(key))
    }

    /// All instances.
    pub(crate) fn ids(&self) -> Vec<InstanceId> {
        self.by_id.keys().cloned().collect()
    }

    /// The instance whose current execution this is.
    pub(crate) fn of_run(&self, run: RunId) -> Option<&InstanceRecord> {
        self.records.values().find(|r| r.run == run)
    }

    /// The history of an execution that is there.
    pub(crate) fn history(&self, run: RunId) -> &[StoredEvent] {
        self.histories.get(&run).map_or(&[], Vec::as_slice)
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
            assert!(self.of_run(run).is_none(), "an activity was sent before its call was on disk: {request:?}");
            return;
        };
        let call = usize::try_from(position).ok().and_then(|at| history.get(at));
        let Some(EventType::TaskScheduled(task)) = call.and_then(|e| e.event.event_type.as_ref()) else {
            panic!("an activity was sent before its call was on disk: {request:?}");
        };
        assert_eq!((&task.name, &task.input), (&request.name, &request.input), "another activity was sent");
        let version = (&task.version, &task.tags);
        assert_eq!(
            version,
            (&request.version, &request.tags),
            "an activity was sent with another version or other tags"
        );
    }

    /// What was called in an execution and is not answered, neither in its history nor in the inbox.
    fn open(&self, record: &InstanceRecord) -> BTreeMap<Position, &EventType> {
        let answered = self.answered.get(&record.run);
        let waiting = self.inbox.get(&record.key).into_iter().flat_map(BTreeMap::values);
        let waiting: BTreeSet<Position> = waiting.filter_map(|e| e.answers).collect();
        let is_open = |at: &Position| !waiting.contains(at) && !answered.is_some_and(|a| a.contains(at));
        let events = (0..).zip(self.history(record.run)).filter(|(at, _)| is_open(at));
        events.filter_map(|(at, e)| Some((at, e.event.event_type.as_ref()?))).collect()
    }
}
