//! The entity's sandbox: one instance for a batch of operations, asynchronous, with what entities are granted and nothing else.
//!
//! The guest is handed one operation at a time, and the state between operations is kept here. So what an operation that failed, trapped
//! or reached a limit has done to its memory, its state and its actions is dropped with it, and the batch goes on in a new instance.

use std::sync::Arc;
use std::time::Duration;

use serde::de::IgnoredAny;
use wasmtime::component::{Component, InstancePre};
use wasmtime::{Engine, Store};

use super::activity::{self, ActivityState};
use super::capability::{Capabilities, Output};
use super::contract::ContractError;
use super::denial::Role;
use super::engine::Clock;
use super::fault;
use super::limits::GuestLimits;
use super::logs::LogBuffer;
use crate::abi::{EntityId, Failure, Failures, Outcome, entity, migration};
use crate::orchestration::{GuestFault, Limit, LogLine};

/// The entities of a component, ready to run operations.
pub struct EntityCode {
    instance: InstancePre<ActivityState>,
    exports: entity::GuestIndices,
    /// Where the component can make a state of what an older version left.
    migration: Option<migration::GuestIndices>,
    capabilities: Arc<Capabilities>,
    /// Name and version of the component, for people.
    label: String,
    limits: GuestLimits,
    clock: Clock,
}

/// One entity and the operations that run on it, one after the other.
pub struct EntityBatch<'a> {
    code: &'a EntityCode,
    id: EntityId,
    state: Option<String>,
    /// The state before the operation, once it has changed.
    former: Option<FormerState>,
    /// None before the first operation, and after one that has failed.
    running: Option<Running>,
    migrated: Migrated,
    /// No more than one operation may write, since all is kept until the batch is committed.
    logs: LogBuffer,
}

/// Whether the state is one that this version can read.
enum Migrated {
    NotYet,
    Done,
    /// It could not be made one: that is how each operation ends.
    Failed(Failures),
}

struct Running {
    store: Store<ActivityState>,
    /// What the guest writes where it cannot reach its store's state.
    output: Output,
    entity: entity::Guest,
    migration: Option<migration::Guest>,
}

/// How an operation ended.
#[derive(Debug)]
pub struct OperationRun {
    /// The outcome.
    pub outcome: Outcome,
    /// What it does outside the entity; nothing if it failed.
    pub actions: Vec<entity::Action>,
    /// The state before it, if it is another one now.
    pub former: Option<FormerState>,
}

/// A state that another one has taken the place of; none if there was none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormerState(pub Option<String>);

impl EntityCode {
    pub(super) fn new(
        engine: &Engine,
        component: &Component,
        label: String,
        migrates: bool,
        capabilities: Arc<Capabilities>,
        limits: GuestLimits,
        clock: Clock,
    ) -> Result<Self, ContractError> {
        let instance = activity::link(engine, component, Role::Entity, &capabilities)?;
        let exports = entity::GuestIndices::new(&instance)?;
        let migration = if migrates { Some(migration::GuestIndices::new(&instance)?) } else { None };
        Ok(Self { instance, exports, migration, capabilities, label, limits, clock })
    }

    /// What its operations may use up.
    pub fn limits(&self) -> &GuestLimits {
        &self.limits
    }

    /// Begins a batch on an entity with this state.
    pub fn batch(&self, id: EntityId, state: Option<String>) -> EntityBatch<'_> {
        // Some SDKs write an empty text for no state.
        let state = state.filter(|state| !state.is_empty());
        let logs = LogBuffer::new(self.limits.log_lines, self.limits.log_bytes);
        EntityBatch { code: self, id, state, former: None, running: None, migrated: Migrated::NotYet, logs }
    }

    async fn start(&self, store: &mut Store<ActivityState>) -> wasmtime::Result<Exports> {
        let instance = self.instance.instantiate_async(&mut *store).await?;
        let entity = self.exports.load(&mut *store, &instance)?;
        let migration = self.migration.as_ref().map(|it| it.load(&mut *store, &instance)).transpose()?;
        Ok((entity, migration))
    }
}

type Exports = (entity::Guest, Option<migration::Guest>);

impl EntityBatch<'_> {
    /// Runs an operation. Whatever goes wrong is the operation's failure, and then nothing that it did counts.
    pub async fn run(&mut self, operation: &entity::Operation) -> OperationRun {
        let ended = self.attempt(operation).await.and_then(|result| self.accept(operation, result));
        if let Some(running) = &mut self.running {
            self.logs.append(running.store.data_mut().take_logs(&running.output));
        }
        let former = self.former.take();
        match ended {
            Ok((output, actions)) => OperationRun { outcome: Ok(output), actions, former },
            Err(mut failures) => {
                // What it has left in memory goes with it.
                self.running = None;
                let redaction = self.code.capabilities.redaction();
                failures.iter_mut().for_each(|failure| redaction.failure(failure));
                OperationRun { outcome: Err(failures), actions: Vec::new(), former }
            }
        }
    }

    /// The state after the operations, and what the guest has logged.
    pub fn end(mut self) -> (Option<String>, Vec<LogLine>) {
        let redaction = self.code.capabilities.redaction();
        let mut lines = self.logs.take();
        lines.iter_mut().for_each(|line| redaction.line(line));
        (self.state, lines)
    }

    async fn attempt(&mut self, operation: &entity::Operation) -> Result<entity::OperationResult, Failures> {
        if let Migrated::Failed(failures) = &self.migrated {
            return Err(failures.clone());
        }
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.start(operation).await?,
        };
        if matches!(self.migrated, Migrated::NotYet) {
            self.migrate(&mut running, &operation.name).await?;
        }
        let requests = self.code.capabilities.requests(&operation.id, &running.output);
        running.store.data_mut().begin(requests);
        running.store.data_mut().expect_within(self.code.limits.deadline);
        let called = running.entity.call_run(&mut running.store, &self.id, self.state.as_ref(), operation);
        match within(self.code.limits.deadline, called).await {
            Ok(result) => {
                self.running = Some(running);
                Ok(result)
            }
            Err(stopped) => Err(self.stopped(&operation.name, &stopped, &mut running.store, &running.output)),
        }
    }

    async fn start(&mut self, operation: &entity::Operation) -> Result<Running, Failures> {
        let code = self.code;
        let output = Output::default();
        // The first operation names what the whole batch shares.
        let call = (operation.id.as_str(), operation.id.as_str());
        let mut store =
            activity::store(code.instance.engine(), &code.capabilities, &code.limits, &code.clock, call, &output);
        match within(code.limits.deadline, code.start(&mut store)).await {
            Ok((entity, migration)) => Ok(Running { store, output, entity, migration }),
            Err(stopped) => Err(self.stopped(&operation.name, &stopped, &mut store, &output)),
        }
    }

    /// Asks once for each batch, if there is a state and the component can be asked; again if it took too long, which depends on the load.
    async fn migrate(&mut self, running: &mut Running, operation: &str) -> Result<(), Failures> {
        self.migrated = Migrated::Done;
        let (Some(state), Some(migration)) = (&self.state, &running.migration) else { return Ok(()) };
        running.store.data_mut().expect_within(self.code.limits.deadline);
        let called = migration.call_migrate(&mut running.store, &self.id, state);
        let mut took_too_long = false;
        let migrated = match within(self.code.limits.deadline, called).await {
            Ok(Ok(None)) => return Ok(()),
            Ok(Ok(Some(state))) => self.check(operation, "the migrated state", &state).map(|()| state),
            Ok(Err(failures)) => Err(failures),
            Err(stopped) => {
                let failures = self.stopped(operation, &stopped, &mut running.store, &running.output);
                took_too_long = failures.iter().any(|failure| failure.error_type == Limit::Deadline.failure_type());
                Err(failures)
            }
        };
        let mut failures = match migrated {
            Ok(state) => {
                self.change(Some(state));
                return Ok(());
            }
            Err(failures) => failures,
        };
        let message = format!(
            "component {} cannot make a state of what an older version left of the entity `{}`; the state stays as it is",
            self.code.label,
            self.shown()
        );
        failures.insert(0, failure("StateNotMigrated", message, took_too_long));
        self.logs.append(running.store.data_mut().take_logs(&running.output));
        self.migrated = if took_too_long { Migrated::NotYet } else { Migrated::Failed(failures.clone()) };
        Err(failures)
    }

    /// What was stopped cannot be entered again: that it was, and what it had written.
    fn stopped(
        &mut self,
        operation: &str,
        stopped: &Stopped,
        store: &mut Store<ActivityState>,
        output: &Output,
    ) -> Failures {
        let failures = match stopped {
            Stopped::Trapped(error) => self.explain(operation, error, store, output),
            Stopped::TookTooLong => {
                let what = format!("it took more than {} ms", self.code.limits.deadline.as_millis());
                self.reached(operation, Limit::Deadline, &what)
            }
        };
        self.logs.append(store.data_mut().take_logs(output));
        failures
    }

    fn change(&mut self, state: Option<String>) {
        let before = std::mem::replace(&mut self.state, state);
        self.former.get_or_insert(FormerState(before));
    }

    /// Takes over what an operation did, if all of it can be.
    fn accept(
        &mut self,
        operation: &entity::Operation,
        result: entity::OperationResult,
    ) -> Result<(Option<String>, Vec<entity::Action>), Failures> {
        let name = &operation.name;
        let output = match result.outcome {
            Ok(output) => output,
            Err(failures) if failures.is_empty() => {
                let message = "the guest failed without saying why: the list of failures is empty".to_owned();
                return Err(vec![failure("ContractBreach", message, true)]);
            }
            Err(failures) => return Err(failures),
        };
        if let Some(output) = &output {
            self.check(name, "the result", output)?;
        }
        let mut bytes = 0;
        for action in &result.actions {
            let (what, input) = match action {
                entity::Action::Signal(signal) => ("the input of a signal", &signal.input),
                entity::Action::StartOrchestration(start) => ("the input of an orchestration", &start.input),
            };
            self.check_size(name, what, input.as_deref().unwrap_or_default())?;
            bytes += input.as_ref().map_or(0, String::len) + AROUND_ACTION;
            if let entity::Action::Signal(signal) = action {
                crate::orchestration::protocol_id(&signal.entity)
                    .map_err(|message| vec![failure("InvalidEntityId", message, false)])?;
            }
        }
        // All of it has to fit into one message, with the state and the result.
        let room = self.code.limits.payload.max(LEAST_ROOM);
        if bytes > room {
            let count = result.actions.len();
            let what = format!(
                "the {count} signals and orchestrations that it sends have about {bytes} bytes; the limit is {room} bytes for all of them"
            );
            return Err(self.reached(name, Limit::Payload, &what));
        }
        match result.change {
            entity::Change::Keep => {}
            entity::Change::Replace(state) => {
                self.check(name, "the state", &state)?;
                self.change(Some(state));
            }
            entity::Change::Delete => self.change(None),
        }
        Ok((output, result.actions))
    }

    /// A result or a state is JSON, and not too large.
    fn check(&self, operation: &str, what: &str, text: &str) -> Result<(), Failures> {
        self.check_size(operation, what, text)?;
        serde_json::from_str::<IgnoredAny>(text).map(|_| ()).map_err(|error| {
            let message = format!(
                "{what} of the operation `{operation}` of the entity `{}` is not JSON: {error}. Component {} answered with it",
                self.shown(),
                self.code.label
            );
            vec![failure("InvalidPayload", message, false)]
        })
    }

    fn check_size(&self, operation: &str, what: &str, text: &str) -> Result<(), Failures> {
        let limit = self.code.limits.payload;
        if text.len() <= limit {
            return Ok(());
        }
        let what = format!("{what} has {} bytes; the limit is {limit} bytes", text.len());
        Err(self.reached(operation, Limit::Payload, &what))
    }

    /// An operation's fault is its failure.
    fn explain(
        &self,
        operation: &str,
        error: &wasmtime::Error,
        store: &mut Store<ActivityState>,
        output: &Output,
    ) -> Failures {
        let failures = match fault::explain(error, store.data_mut().logs_so_far(output), &self.code.limits) {
            GuestFault::Trap(failure) => vec![failure],
            GuestFault::Limit(limit, message) => self.reached(operation, limit, &message),
            GuestFault::Contract(message) => vec![failure("ContractBreach", message, true)],
        };
        failures.into_iter().map(|failure| fault::traced(failure, error)).collect()
    }

    fn reached(&self, operation: &str, limit: Limit, what: &str) -> Failures {
        let message = format!(
            "operation `{operation}` of the entity `{}` of component {} reached the limit `{}`: {what}. What to do: {}",
            self.shown(),
            self.code.label,
            limit.word(),
            limit.remedy("entity")
        );
        vec![failure(limit.failure_type(), message, !limit.is_certain())]
    }

    fn shown(&self) -> String {
        format!("@{}@{}", self.id.name, self.id.key)
    }
}

/// What an operation may send altogether, however small the limit of one payload is.
const LEAST_ROOM: usize = 1 << 20;
/// About what ids, names and times of a signal take in a message.
const AROUND_ACTION: usize = 256;

/// Why a call did not return.
enum Stopped {
    Trapped(wasmtime::Error),
    TookTooLong,
}

async fn within<T>(deadline: Duration, call: impl Future<Output = wasmtime::Result<T>>) -> Result<T, Stopped> {
    match tokio::time::timeout(deadline, call).await {
        Ok(returned) => returned.map_err(Stopped::Trapped),
        Err(_) => Err(Stopped::TookTooLong),
    }
}

fn failure(error_type: &str, message: String, retriable: bool) -> Failure {
    Failure { error_type: error_type.to_owned(), message, stack: None, retriable, properties: Vec::new() }
}
