//! The orchestrator's sandbox: one store and one component instance for each orchestration instance.

use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Instance, InstancePre, Linker};
use wasmtime::{Engine, Store};

use super::contract::ContractError;
use super::denial::DeniedResources;
use super::engine::{Clock, ticks};
use super::limits::{MemoryMeter, SandboxLimits};
use super::logs::{LogBuffer, Logging};
use super::{contract, fault, logs, wasi};
use crate::abi::orchestrator::{Context, Guest as Exports, GuestIndices};
use crate::abi::{Command, Outcome, Resolution, queries};
use crate::orchestration::{Guest, GuestFault, LogLine, Question, Streams, Time};

/// What the functions that an orchestrator imports work on.
pub(super) struct OrchestratorState {
    pub(super) now: Time,
    pub(super) random: ChaCha20Rng,
    pub(super) logs: LogBuffer,
    pub(super) memory: MemoryMeter,
}

impl OrchestratorState {
    pub(super) fn new(streams: &Streams, now: Time, memory: usize) -> Self {
        Self { now, random: streams.wasi(), logs: LogBuffer::default(), memory: MemoryMeter::new(memory) }
    }

    /// A store whose guest is stopped by the limits.
    pub(super) fn store(self, engine: &Engine, deadline: Duration) -> Store<Self> {
        let mut store = Store::new(engine, self);
        store.limiter(|state| &mut state.memory);
        store.epoch_deadline_trap();
        store.set_epoch_deadline(ticks(deadline));
        store
    }
}

impl Logging for OrchestratorState {
    fn logs(&mut self) -> &mut LogBuffer {
        &mut self.logs
    }
}

/// A component that is linked for the orchestrator's sandbox.
pub(super) fn link(engine: &Engine, component: &Component) -> Result<InstancePre<OrchestratorState>, ContractError> {
    let mut linker = Linker::new(engine);
    logs::link(&mut linker)?;
    let mut denied = DeniedResources::default();
    for (import, item) in component.component_type().imports(engine) {
        let interface = contract::supported_import(import)?;
        match item.ty {
            ComponentItem::ComponentInstance(ty) if interface.starts_with("wasi:") => {
                wasi::link(&mut linker, engine, &mut denied, import, interface, &ty)?;
            }
            ComponentItem::ComponentInstance(_) | ComponentItem::Type(_) => {}
            _ => return Err(ContractError::UnsupportedImport { import: import.to_owned() }),
        }
    }
    Ok(linker.instantiate_pre(component)?)
}

/// The orchestrators of a component, ready to be started.
pub struct OrchestratorCode {
    instance: InstancePre<OrchestratorState>,
    exports: GuestIndices,
    /// Only some components answer questions.
    queries: Option<queries::GuestIndices>,
    limits: SandboxLimits,
    _clock: Clock,
}

impl OrchestratorCode {
    pub(super) fn new(
        instance: InstancePre<OrchestratorState>,
        queries: bool,
        limits: SandboxLimits,
        clock: Clock,
    ) -> Result<Self, ContractError> {
        let exports = GuestIndices::new(&instance)?;
        let queries = if queries { Some(queries::GuestIndices::new(&instance)?) } else { None };
        Ok(Self { instance, exports, queries, limits, _clock: clock })
    }

    /// Whether the component answers questions.
    pub fn answers_questions(&self) -> bool {
        self.queries.is_some()
    }
}

/// One orchestration instance: the component instance is made when the execution starts.
pub struct Orchestrator {
    code: Arc<OrchestratorCode>,
    running: Option<Running>,
}

struct Running {
    store: Store<OrchestratorState>,
    instance: Instance,
    exports: Exports,
}

impl std::fmt::Debug for Orchestrator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Orchestrator").field("running", &self.running.is_some()).finish_non_exhaustive()
    }
}

impl Orchestrator {
    /// An instance that has not begun.
    pub fn new(code: Arc<OrchestratorCode>) -> Self {
        Self { code, running: None }
    }

    fn call<R>(&mut self, now: Time, call: impl FnOnce(&mut Running) -> wasmtime::Result<R>) -> Result<R, GuestFault> {
        let deadline = self.code.limits.orchestrator_deadline;
        let Some(running) = &mut self.running else {
            return Err(GuestFault::Contract("the orchestrator was called before it was started".to_owned()));
        };
        running.store.data_mut().now = now;
        running.store.set_epoch_deadline(ticks(deadline));
        call(running).map_err(|error| fault::explain(&error, &mut running.store.data_mut().logs, deadline))
    }

    fn instantiate(&mut self, streams: &Streams, now: Time) -> Result<(), GuestFault> {
        let code = &self.code;
        let deadline = code.limits.orchestrator_deadline;
        let state = OrchestratorState::new(streams, now, code.limits.orchestrator_memory);
        let mut store = state.store(code.instance.engine(), deadline);
        let (instance, exports) = code
            .instance
            .instantiate(&mut store)
            .and_then(|instance| Ok((instance, code.exports.load(&mut store, &instance)?)))
            .map_err(|error| fault::explain(&error, &mut store.data_mut().logs, deadline))?;
        self.running = Some(Running { store, instance, exports });
        Ok(())
    }
}

impl Guest for Orchestrator {
    fn start(&mut self, streams: &Streams, now: Time, context: Context) -> Result<Vec<Command>, GuestFault> {
        self.instantiate(streams, now)?;
        self.call(now, |running| running.exports.call_start(&mut running.store, &context))
    }

    fn resume(&mut self, now: Time, resolutions: &[Resolution]) -> Result<Vec<Command>, GuestFault> {
        self.call(now, |running| running.exports.call_resume(&mut running.store, resolutions))
    }

    fn answer(&mut self, now: Time, question: &Question) -> Result<Option<Outcome>, GuestFault> {
        let code = Arc::clone(&self.code);
        let Some(indices) = &code.queries else { return Ok(None) };
        let answer = |Running { store, instance, .. }: &mut Running| {
            let guest = indices.load(&mut *store, instance)?;
            guest.call_answer(&mut *store, &question.name, question.input.as_ref())
        };
        self.call(now, answer).map(Some)
    }

    fn take_logs(&mut self) -> Vec<LogLine> {
        self.running.as_mut().map(|running| running.store.data_mut().logs.take()).unwrap_or_default()
    }

    fn memory(&self) -> usize {
        // What the store, the tables and the session hold beside the linear memory, in round numbers.
        const OVERHEAD: usize = 16 << 10;
        self.running.as_ref().map_or(0, |running| running.store.data().memory.used() + OVERHEAD)
    }
}
