//! One instance in memory: its row, what has arrived, what is open, and whose turn it is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

use super::dispatch::{Route, Ticket};
use super::ids::{BatchSeq, InstanceId, Position, StreamId};
use super::record::{InboxEntry, InstanceRecord, StoredEvent};
use super::rewrite;
use super::time::Timestamp;
use super::token::WorkKind;

/// An activity that was called and not answered.
#[derive(Debug)]
pub struct OpenActivity {
    /// What to send.
    pub request: Arc<pb::ActivityRequest>,
    /// What a worker must be able to run.
    pub route: Route,
    /// Where it is.
    pub stay: Stay,
    /// How often a worker lost it or gave it back.
    pub returns: u32,
    /// How often in a row it was lost with its stream.
    pub losses: u32,
}

/// Where a piece of work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// In the queue of its route.
    Queued(Ticket),
    /// Waiting for a time before it is queued again.
    Delayed(Ticket),
    /// With a worker.
    Sent(StreamId, u64),
}

/// Whose turn it is.
#[derive(Debug)]
pub enum Turn {
    /// Nobody's: there is nothing to deliver, or the instance is held.
    Idle,
    /// A worker's, once one takes it from the queue.
    Queued(Ticket),
    /// Nobody's until a time has come.
    Delayed(Ticket),
    /// A worker has it.
    Sent(Episode),
}

/// An episode that a worker has.
#[derive(Debug)]
pub struct Episode {
    /// The worker's stream.
    pub stream: StreamId,
    /// The delivery's number.
    pub attempt: u64,
    /// The time that the episode began with: its `orchestratorStarted`.
    pub started_at: Timestamp,
    /// How many entries of the inbox, from its front, belong to it.
    pub taken: usize,
    /// Whether the worker was shown no annotations, because it would not understand them.
    pub unannotated: bool,
    /// What has come of an answer in several parts, by index.
    pub chunks: BTreeMap<i32, pb::OrchestratorResponse>,
    /// Their size.
    pub chunk_bytes: usize,
}

/// An instance that the core works on.
#[derive(Debug)]
pub struct Instance {
    /// Its row, as the batch that is being filled has it.
    pub record: InstanceRecord,
    /// Events that are not in the history yet, in order. Those that were sent to a worker stay here until it answers.
    pub inbox: VecDeque<InboxEntry>,
    /// Activities called and not answered, by where they were called.
    pub activities: BTreeMap<Position, OpenActivity>,
    /// Children started and not ended, by where they were created.
    pub children: BTreeMap<Position, InstanceId>,
    /// Whose turn it is.
    pub turn: Turn,
    /// The worker that had the last turn, and may have the instance warm.
    pub worker: Option<Arc<str>>,
    /// The stream that gave the last turn back, to be avoided.
    pub avoid: Option<StreamId>,
    /// The worker asked for the past events.
    pub wants_history: bool,
    /// Somebody waits for this batch to be on disk, to read all of it: no turn begins until then.
    pub reserved: BatchSeq,
    /// How often in a row a worker lost a turn or gave it back.
    pub returns: u32,
    /// How often in a row a turn was lost with its stream.
    pub losses: u32,
    /// The batch of the last change of the history: an episode is sent only when all its past is on disk.
    pub history_batch: BatchSeq,
    /// The batch of the last change of anything: until it is on disk the instance stays in memory.
    pub last_batch: BatchSeq,
    /// Changes with each use, so that a stale place in the line for eviction is recognised.
    pub stamp: u64,
}

impl Instance {
    /// A new one, or one from the store without what follows from its history.
    #[must_use]
    pub fn new(record: InstanceRecord, inbox: Vec<InboxEntry>) -> Self {
        Self {
            record,
            inbox: inbox.into(),
            activities: BTreeMap::new(),
            children: BTreeMap::new(),
            turn: Turn::Idle,
            worker: None,
            avoid: None,
            wants_history: false,
            reserved: BatchSeq(0),
            returns: 0,
            losses: 0,
            history_batch: BatchSeq(0),
            last_batch: BatchSeq(0),
            stamp: 0,
        }
    }

    /// What a worker must be able to run to take its episodes.
    #[must_use]
    pub fn route(&self) -> Route {
        Route {
            kind: WorkKind::Orchestration,
            name: self.record.name.as_str().into(),
            version: self.record.version.as_deref().unwrap_or("").into(),
        }
    }

    /// Whether somebody asked for its end and no worker has answered yet.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.inbox.iter().any(|e| matches!(e.stored.event.event_type, Some(EventType::ExecutionTerminated(_))))
    }

    /// Whether there is something to deliver and nothing that holds it back. A suspended instance takes only its end; events
    /// wait for its resumption. `early`: the time of its start has not come.
    #[must_use]
    pub fn wants_turn(&self, early: bool) -> bool {
        let status = self.record.status;
        if status.is_terminal() || self.inbox.is_empty() || !matches!(self.turn, Turn::Idle) {
            return false;
        }
        let held = status == super::record::Status::Suspended && !self.is_terminating();
        !held && (!early || self.is_terminating())
    }

    /// Whether nothing of it is anywhere but in the store, once the last batch is on disk.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        matches!(self.turn, Turn::Idle)
            && self.activities.is_empty()
            && (self.inbox.is_empty()
                || self.record.status.is_terminal()
                || self.record.status == super::record::Status::Suspended
                || self.record.history_len == 0)
    }

    /// Finds out from the history which activities and children are open: what was called at a position that no event, in the
    /// history or in the inbox, answers.
    pub fn derive_open(&mut self, history: &[StoredEvent]) {
        for (position, stored) in rewrite::open_calls(history, self.inbox.iter().map(|e| &e.stored)) {
            match &stored.event.event_type {
                Some(EventType::SubOrchestrationInstanceCreated(_)) if self.record.status.is_terminal() => {}
                Some(EventType::TaskScheduled(task)) => {
                    let open = open_activity(&self.record, stored.event.event_id, task);
                    self.activities.insert(position, open);
                }
                Some(EventType::SubOrchestrationInstanceCreated(child)) => {
                    self.children.insert(position, InstanceId::trusted(&child.instance_id));
                }
                _ => {}
            }
        }
    }
}

/// The work of an activity that an instance called.
#[must_use]
pub fn open_activity(record: &InstanceRecord, task_id: i32, task: &pb::TaskScheduledEvent) -> OpenActivity {
    // An activity without a version counts as having its orchestration's when filters are matched.
    let version = task.version.as_deref().or(record.version.as_deref()).unwrap_or("");
    OpenActivity {
        request: Arc::new(pb::ActivityRequest {
            name: task.name.clone(),
            version: task.version.clone(),
            input: task.input.clone(),
            orchestration_instance: Some(pb::OrchestrationInstance {
                instance_id: record.id.as_str().into(),
                execution_id: Some(record.execution.as_str().into()),
            }),
            task_id,
            parent_trace_context: task.parent_trace_context.clone(),
            tags: task.tags.clone(),
        }),
        route: Route { kind: WorkKind::Activity, name: task.name.as_str().into(), version: version.into() },
        stay: Stay::Delayed(0),
        returns: 0,
        losses: 0,
    }
}
