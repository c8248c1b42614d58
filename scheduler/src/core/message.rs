//! What comes into the core and what goes out.

use std::collections::BTreeMap;
use std::sync::Arc;

use durawasm_proto::{durabletask as pb, v1};

use super::dispatch::{Route, StreamInfo};
use super::entity::BatchItem;
use super::ids::{BatchSeq, InstanceId, Position, RequestId, RunId, StreamId};
use super::record::{InstanceRecord, Parked, Status};
use super::token::Token;
use super::versions::Defaults;

/// What a client says of an instance that it starts.
#[derive(Clone, Debug)]
pub struct StartRequest {
    /// The id.
    pub instance: InstanceId,
    /// The id was made for this call, so it cannot exist.
    pub fresh: bool,
    /// The execution's id; None: the core makes one.
    pub execution: Option<String>,
    /// The orchestrator.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// Its input.
    pub input: Option<String>,
    /// Not before this time.
    pub scheduled_start: Option<super::time::Timestamp>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// The caller's trace context.
    pub trace: Option<pb::TraceContext>,
    /// Statuses of an existing instance that allow to replace it. None: no policy was given, so nothing is replaced.
    pub replaceable: Option<Vec<Status>>,
}

/// What happens to the core. Time comes beside it.
#[derive(Clone, Debug)]
pub enum Input {
    /// A client starts an instance.
    Start(RequestId, Box<StartRequest>),
    /// A client raises an external event: name and payload.
    Raise(RequestId, InstanceId, String, Option<String>),
    /// A client wants an instance to end: output, and whether its children shall end too.
    Terminate(RequestId, InstanceId, Option<String>, bool),
    /// A client wants an instance held: the reason.
    Suspend(RequestId, InstanceId, Option<String>),
    /// A client wants an instance to go on: the reason.
    Resume(RequestId, InstanceId, Option<String>),
    /// Instances are to be forgotten that have ended.
    Purge(RequestId, Vec<InstanceId>),
    /// Instances are to be ended at once, without a worker: the reason.
    ForceTerminate(RequestId, Vec<InstanceId>, Option<String>),
    /// A history is to be gone through again, or in part, or as another instance.
    Repair(RequestId, Box<Repair>),
    /// A client asks an orchestrator a question: its name and input.
    Ask(RequestId, InstanceId, String, Option<String>),
    /// A worker answers the question of that number.
    AnswerQuestion(StreamId, u64, Box<QuestionOutcome>),
    /// Somebody asks how many hosts run each of these.
    CountHosts(RequestId, Vec<Route>),
    /// Somebody asks which activities were called and not answered.
    CountOpenActivities(RequestId),
    /// A client asks what an instance waits for.
    Describe(RequestId, InstanceId),
    /// A worker's stream is there.
    Connect(StreamId, StreamInfo),
    /// A worker can run something else from now on, on the stream that it has.
    Offer(StreamId, StreamInfo),
    /// A worker takes no more work on its stream.
    Drain(StreamId),
    /// Orchestrations without a version begin on these from now on.
    Defaults(Box<Defaults>),
    /// A worker's stream is gone.
    Disconnect(StreamId),
    /// A worker answers an episode.
    CompleteEpisode(RequestId, Token, Box<pb::OrchestratorResponse>, Option<v1::Fuel>),
    /// A worker answers an activity.
    CompleteActivity(RequestId, Token, Box<ActivityOutcome>),
    /// A worker answers a batch of an entity's operations.
    CompleteBatch(RequestId, Token, Box<pb::EntityBatchResult>),
    /// A client signals an entity.
    Signal(RequestId, Box<SignalRequest>),
    /// A client calls an entity and waits for the result.
    CallEntity(RequestId, Box<EntityCallRequest>),
    /// A client has the answers to these calls: which entity, which call.
    ForgetAnswers(RequestId, Vec<(InstanceId, String)>),
    /// Entities are looked at: what is empty is let go, and so are locks whose holder is gone, as far as that is wanted.
    CleanEntities {
        /// The call.
        request: RequestId,
        /// The entities.
        entities: Vec<InstanceId>,
        /// Whether what is empty is let go.
        remove_empty: bool,
        /// Whether locks are released whose holder is gone.
        release_orphaned: bool,
    },
    /// A worker gives an item back, perhaps saying why.
    Abandon(RequestId, Token, Option<Box<Parked>>),
    /// Time has passed.
    Tick,
}

/// What a client says of a signal.
#[derive(Clone, Debug)]
pub struct SignalRequest {
    /// The entity.
    pub entity: InstanceId,
    /// The operation.
    pub operation: String,
    /// Its input.
    pub input: Option<String>,
    /// The request's id; empty: one is made.
    pub request_id: String,
    /// Not before this time.
    pub due: Option<super::time::Timestamp>,
}

/// What a client says of a call of an entity.
#[derive(Clone, Debug)]
pub struct EntityCallRequest {
    /// The entity.
    pub entity: InstanceId,
    /// The operation.
    pub operation: String,
    /// Its input.
    pub input: Option<String>,
    /// The call's id, by which the client asks again.
    pub request_id: String,
}

/// How an activity ended: with a result or with a failure.
pub type ActivityOutcome = Result<Option<String>, pb::TaskFailureDetails>;

/// How a question to an orchestrator was answered: with a value or with a failure.
pub type QuestionOutcome = Result<Option<String>, pb::TaskFailureDetails>;

/// An execution that begins with what another one has done.
#[derive(Clone, Debug)]
pub enum Repair {
    /// A failed instance goes on from before its failure: the reason.
    Rewind(InstanceId, Option<String>),
    /// An instance goes on from before the turn that an event is part of.
    Reset(ResetRequest),
    /// A new instance begins with a part of another one's history.
    Fork(ForkRequest),
    /// An instance goes on with another version.
    Migrate(MigrateRequest),
    /// An instance begins anew, with its name, version, input and tags: as itself, or as a new instance.
    Restart(InstanceId, Option<InstanceId>),
}

/// What a client says of a reset.
#[derive(Clone, Debug)]
pub struct ResetRequest {
    /// The instance.
    pub instance: InstanceId,
    /// Its execution must be this one, if one is named.
    pub execution: Option<String>,
    /// The turn that the event at this position is part of is undone, and all after it.
    pub at: Position,
    /// Why.
    pub reason: Option<String>,
}

/// What a client says of a migration.
#[derive(Clone, Debug)]
pub struct MigrateRequest {
    /// The instance.
    pub instance: InstanceId,
    /// The execution whose history was replayed on the other version.
    pub execution: String,
    /// How many events it had.
    pub events: Position,
    /// The other version.
    pub version: String,
}

/// What a client says of a fork.
#[derive(Clone, Debug)]
pub struct ForkRequest {
    /// The instance whose history is taken.
    pub source: InstanceId,
    /// Its execution must be this one, if one is named.
    pub execution: Option<String>,
    /// The history ends before the turn that the event at this position is part of.
    pub at: Position,
    /// The new instance.
    pub instance: InstanceId,
    /// Its version; None: that of the old one.
    pub version: Option<String>,
    /// What calls that are open at that point are to have returned, by the position of the call or of its answer.
    pub results: Vec<(Position, Option<String>)>,
}

/// What a call is answered with.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// It is done, and on disk.
    Done,
    /// The instance was started, and that is on disk.
    Started(InstanceId),
    /// The answer came too late, or twice: it was ignored, and that is fine.
    Void,
    /// What an instance waits for.
    Described(Option<Box<Description>>),
    /// So many hosts run each of these, and so many there are.
    Hosts(Vec<usize>, usize),
    /// So many activities were called and not answered, by name and version.
    OpenActivities(BTreeMap<(Arc<str>, Arc<str>), usize>),
    /// So many instances were forgotten.
    Purged(u32),
    /// So many entities were let go, and so many locks released.
    Cleaned {
        /// Entities that were empty.
        removed: u32,
        /// Locks whose holder was gone.
        released: u32,
    },
    /// These instances are as they were.
    NotTerminated(Vec<InstanceId>),
    /// The instance goes on with so many events of the history.
    Repaired(InstanceId, Position),
    /// What became of a migration.
    Migrated(v1::migrate_instance_response::Outcome),
    /// An orchestrator's answer to a question, or an entity's to a call.
    Answered(Box<QuestionOutcome>),
}

/// What the core knows of an instance beyond what the store shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Its row.
    pub record: InstanceRecord,
    /// Timers that are set.
    pub open_timers: usize,
    /// What a worker would have to run for the instance to go on, if none is connected that does.
    pub unserved: Option<Route>,
    /// Whether that is an activity which was called without a version, so that its orchestration's counts.
    pub inherited_version: bool,
    /// The worker that has its current episode.
    pub worker: Option<Arc<str>>,
    /// How often in a row its current episode came back without an answer.
    pub returned_episodes: u32,
    /// Open activities that came back without an answer: where they were called, their name, how often. The first hundred.
    pub returned_activities: Vec<(Position, Arc<str>, u32)>,
}

/// Why a call is refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such instance.
    #[error("there is no instance `{0}` in this task hub")]
    NotFound(InstanceId),
    /// The id is taken.
    #[error("instance `{0}` exists already ({1})")]
    AlreadyExists(InstanceId, &'static str),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The request makes sense, but not for the instance as it is now.
    #[error("{0}")]
    Precondition(String),
    /// Somebody else has taken the call over.
    #[error("{0}")]
    Superseded(String),
    /// Nobody is there who could do it.
    #[error("{0}")]
    Unserved(String),
    /// Something is over a limit.
    #[error("{0}")]
    TooLarge(String),
    /// What the store holds of the instance is damaged.
    #[error("what the store holds of instance `{0}` is damaged: {1}")]
    Damaged(InstanceId, String),
}

/// An episode to send to a worker.
#[derive(Clone, Debug)]
pub struct EpisodeItem {
    /// What the answer must carry.
    pub token: Token,
    /// The execution's id on the wire.
    pub execution: String,
    /// The execution's number in the store, to read the past from.
    pub run: RunId,
    /// How many events are in the past, all of them on disk when this is sent.
    pub past: Position,
    /// Their encoded size.
    pub past_bytes: u64,
    /// Whether the past may be left out: the worker had the last turn.
    pub warm: bool,
    /// The token of the last committed turn; for workers that understand it.
    pub base: Option<Token>,
    /// What the committed turns of the execution have cost, if that is known.
    pub fuel: Option<u64>,
    /// The new events: `orchestratorStarted` first.
    pub new_events: Vec<pb::HistoryEvent>,
    /// The worker's own trace context.
    pub trace: Option<pb::OrchestrationTraceContext>,
    /// The version to run it on, if its `executionStarted` says another one.
    pub version: Option<String>,
    /// How often in a row it was lost with its stream.
    pub losses: u32,
}

/// A question to send to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What the answer must carry.
    pub number: u64,
    /// The instance.
    pub instance: InstanceId,
    /// Its current execution's id on the wire.
    pub execution: String,
    /// The orchestrator.
    pub orchestrator: String,
    /// Its version.
    pub version: Option<String>,
    /// What is asked.
    pub name: String,
    /// With what.
    pub input: Option<String>,
}

/// What the core wants done outside. Each effect names the batch that must be on disk first.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Answer a call.
    Reply(RequestId, Result<Reply, Refusal>),
    /// Send an episode to a worker.
    SendEpisode(StreamId, Box<EpisodeItem>),
    /// Send an activity to a worker; so often in a row it was lost with its stream.
    SendActivity(StreamId, Token, Arc<pb::ActivityRequest>, u32),
    /// Send a batch of an entity's operations to a worker.
    SendBatch(StreamId, Box<BatchItem>),
    /// Ask a worker.
    SendQuestion(StreamId, Box<Question>),
    /// An instance changed in a way that somebody may be waiting for.
    Changed(InstanceId, Change),
    /// Something that an operator should know.
    Warn(String),
}

/// An effect and the batch that must be on disk before it.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The batch. 0: nothing to wait for.
    pub after: BatchSeq,
    /// The effect.
    pub effect: Effect,
}

/// How an instance changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It was accepted, held or resumed, or its history grew.
    Progress,
    /// It ended with this status, or (None) was taken away: nobody need wait for it any longer.
    Over(Option<Status>),
}
