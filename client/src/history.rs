//! What has happened to an instance.

use std::time::SystemTime;

use durawasm_proto::durabletask as wire;
use serde::Serialize;
use tonic::Streaming;

use crate::{Client, Error, Failure, InstanceId, Payload, Status, convert, time};

/// One entry of a history.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEvent {
    /// Its place in the execution's history; the first is 0.
    pub position: u64,
    /// The id of the action that it records; -1 if it records none.
    pub event_id: i32,
    /// When it happened.
    #[serde(serialize_with = "time::option::serialize", skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<SystemTime>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened. The names are those of the protocol.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields repeat the protocol's, which are documented in the .proto files")]
pub enum EventKind {
    /// The execution began.
    ExecutionStarted {
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        input: Option<Payload>,
        #[serde(skip_serializing_if = "Option::is_none")]
        parent: Option<InstanceId>,
    },
    /// The execution ended.
    ExecutionCompleted {
        status: Status,
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<Payload>,
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
    /// Somebody asked for its end.
    ExecutionTerminated {
        #[serde(skip_serializing_if = "Option::is_none")]
        output: Option<Payload>,
        recursive: bool,
    },
    /// Somebody asked to hold it.
    ExecutionSuspended {
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Somebody let it go on.
    ExecutionResumed {
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It was set back to before its failure.
    ExecutionRewound {
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The orchestrator began a turn.
    OrchestratorStarted,
    /// The orchestrator ended a turn. Some schedulers record it.
    OrchestratorCompleted,
    /// An activity was called.
    TaskScheduled {
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        input: Option<Payload>,
    },
    /// An activity returned.
    TaskCompleted {
        scheduled_id: i32,
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<Payload>,
    },
    /// An activity failed.
    TaskFailed {
        scheduled_id: i32,
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
    /// A sub-orchestration was started.
    SubOrchestrationInstanceCreated {
        instance_id: InstanceId,
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        input: Option<Payload>,
    },
    /// A sub-orchestration returned.
    SubOrchestrationInstanceCompleted {
        scheduled_id: i32,
        #[serde(skip_serializing_if = "Option::is_none")]
        result: Option<Payload>,
    },
    /// A sub-orchestration failed.
    SubOrchestrationInstanceFailed {
        scheduled_id: i32,
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
    /// A timer was set.
    TimerCreated {
        #[serde(serialize_with = "time::option::serialize")]
        fire_at: Option<SystemTime>,
    },
    /// A timer came due.
    TimerFired { timer_id: i32 },
    /// An event was sent to another instance.
    EventSent {
        instance_id: InstanceId,
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        input: Option<Payload>,
    },
    /// An external event arrived.
    EventRaised {
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        input: Option<Payload>,
    },
    /// A one-way operation was sent to an entity.
    EntityOperationSignaled {
        entity: String,
        operation: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        input: Option<Payload>,
    },
    /// An operation of an entity was called.
    EntityOperationCalled {
        request_id: String,
        entity: String,
        operation: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        input: Option<Payload>,
    },
    /// An entity answered.
    EntityOperationCompleted {
        request_id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        output: Option<Payload>,
    },
    /// An entity's operation failed.
    EntityOperationFailed {
        request_id: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
    /// Entities were asked to be locked.
    EntityLockRequested { critical_section: String, entities: Vec<String> },
    /// Entities are locked.
    EntityLockGranted { critical_section: String },
    /// An entity was released.
    EntityUnlockSent { critical_section: String, entity: String },
    /// A remark. Our scheduler leaves one where an instance was reset or forked.
    Note {
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// The execution ended in favour of a new one. Unused by our scheduler.
    ContinueAsNew,
    /// Something that this version does not know.
    Unknown,
}

/// A whole history as the wire has it. Nothing of it is lost, as it is in [`HistoryEvent`]s.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    events: Vec<wire::HistoryEvent>,
}

impl Recorded {
    /// The events for people and programs.
    pub fn events(&self) -> Vec<HistoryEvent> {
        convert::events(self.events.clone(), 0)
    }

    pub(crate) fn from_wire(events: Vec<wire::HistoryEvent>) -> Recorded {
        Recorded { events }
    }

    pub(crate) fn wire(&self) -> &[wire::HistoryEvent] {
        &self.events
    }

    /// The name of the orchestrator, if the history has its beginning.
    pub fn orchestrator(&self) -> Option<&str> {
        self.events.iter().find_map(|event| match &event.event_type {
            Some(wire::history_event::EventType::ExecutionStarted(started)) => Some(started.name.as_str()),
            _ => None,
        })
    }

    /// So many events from the beginning, as messages of `durawasm-proto`.
    pub fn into_prefix(mut self, kept: u64) -> Vec<wire::HistoryEvent> {
        self.events.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        self.events
    }
}

/// A history that is being read, in pieces, so that a long one need not fit into memory.
#[derive(Debug)]
pub struct History {
    stream: Streaming<wire::HistoryChunk>,
    client: Client,
    id: InstanceId,
    position: u64,
}

impl History {
    pub(crate) fn new(stream: Streaming<wire::HistoryChunk>, client: Client, id: InstanceId) -> History {
        History { stream, client, id, position: 0 }
    }

    /// The next events; none when the history is at its end.
    pub async fn next(&mut self) -> Result<Option<Vec<HistoryEvent>>, Error> {
        match self.stream.message().await {
            Ok(None) => Ok(None),
            Ok(Some(chunk)) => {
                let first = self.position;
                self.position += chunk.events.len() as u64;
                Ok(Some(convert::events(chunk.events, first)))
            }
            Err(status) => Err(self.client.missing(status, &self.id).await),
        }
    }

    /// Reads to the end, and keeps the events as the wire has them: for those who replay them.
    pub async fn recorded(mut self) -> Result<Recorded, Error> {
        let mut events = Vec::new();
        loop {
            match self.stream.message().await {
                Ok(None) => return Ok(Recorded { events }),
                Ok(Some(chunk)) => events.extend(chunk.events),
                Err(status) => return Err(self.client.missing(status, &self.id).await),
            }
        }
    }

    /// Reads to the end.
    pub async fn all(mut self) -> Result<Vec<HistoryEvent>, Error> {
        let mut events = Vec::new();
        while let Some(more) = self.next().await? {
            events.extend(more);
        }
        Ok(events)
    }
}
