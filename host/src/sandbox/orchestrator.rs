//! The orchestrator's sandbox: one store and one component instance for each orchestration instance.

use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Instance, InstancePre, Linker};
use wasmtime::{Engine, Store};

use super::contract::ContractError;
use super::denial::DeniedResources;
use super::engine::{Clock, ticks};
use super::limits::{MAX_HANDLES, Meter, OrchestratorLimits};
use super::logs::{LogBuffer, Logging};
use super::{contract, fault, logs, wasi};
use crate::abi::orchestrator::{Context, Guest as Exports, GuestIndices};
use crate::abi::{Command, Outcome, Resolution, queries};
use crate::orchestration::{Guest, GuestFault, Limit, LogLine, Question, Streams, Time};

/// What the functions that an orchestrator imports work on.
pub(super) struct OrchestratorState {
    pub(super) now: Time,
    pub(super) random: ChaCha20Rng,
    pub(super) logs: LogBuffer,
    pub(super) meter: Meter,
    pub(super) max_random: usize,
    /// The variables that the deployment sets: a part of the component's version.
    pub(super) environment: Environment,
}

/// Names and values of environment variables.
pub(super) type Environment = Arc<[(String, String)]>;

impl OrchestratorState {
    pub(super) fn new(streams: &Streams, now: Time, limits: &OrchestratorLimits, environment: Environment) -> Self {
        Self {
            now,
            random: streams.wasi(),
            logs: LogBuffer::new(limits.guest.log_lines, limits.guest.log_bytes),
            meter: Meter::new(&limits.guest),
            max_random: limits.random,
            environment,
        }
    }

    /// A store whose guest is stopped by the limits. It may use this much fuel.
    pub(super) fn store(
        self,
        engine: &Engine,
        limits: &OrchestratorLimits,
        clock: &Clock,
        fuel: u64,
    ) -> wasmtime::Result<Store<Self>> {
        let mut store = Store::new(engine, self);
        store.set_hostcall_fuel(limits.guest.answer);
        store.set_max_component_handles(MAX_HANDLES);
        if clock.enforces() {
            store.limiter(|state| &mut state.meter);
            store.epoch_deadline_trap();
            store.set_epoch_deadline(ticks(limits.guest.deadline));
            store.set_fuel(fuel)?;
        }
        Ok(store)
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
#[derive(Clone)]
pub struct OrchestratorCode {
    instance: InstancePre<OrchestratorState>,
    exports: GuestIndices,
    /// Only some components answer questions.
    queries: Option<queries::GuestIndices>,
    environment: Environment,
    limits: OrchestratorLimits,
    clock: Clock,
}

impl OrchestratorCode {
    pub(super) fn new(
        instance: InstancePre<OrchestratorState>,
        queries: bool,
        environment: Environment,
        limits: OrchestratorLimits,
        clock: Clock,
    ) -> Result<Self, ContractError> {
        let exports = GuestIndices::new(&instance)?;
        let queries = if queries { Some(queries::GuestIndices::new(&instance)?) } else { None };
        Ok(Self { instance, exports, queries, environment, limits, clock })
    }

    fn explain(&self, error: &wasmtime::Error, store: &mut Store<OrchestratorState>) -> GuestFault {
        match fault::explain(error, &mut store.data_mut().logs, &self.limits.guest) {
            GuestFault::Limit(Limit::Fuel, message) => {
                GuestFault::Limit(Limit::Fuel, format!("{message}; the limit is {} units", self.limits.fuel))
            }
            other => other,
        }
    }

    /// What its orchestrators may use up.
    pub fn limits(&self) -> &OrchestratorLimits {
        &self.limits
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
    /// What the next calls may use together; none: as much as they want.
    fuel: Option<u64>,
    /// What all calls have used.
    used: u64,
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
        Self { code, running: None, fuel: None, used: 0 }
    }

    /// What the next call may use.
    fn allowance(&self) -> u64 {
        self.fuel.unwrap_or(u64::MAX)
    }

    fn call<R>(&mut self, now: Time, call: impl FnOnce(&mut Running) -> wasmtime::Result<R>) -> Result<R, GuestFault> {
        let allowance = self.allowance();
        let Self { code, running: Some(running), .. } = self else {
            return Err(GuestFault::Contract("the orchestrator was called before it was started".to_owned()));
        };
        running.store.data_mut().now = now;
        if code.clock.enforces() {
            running.store.set_epoch_deadline(ticks(code.limits.guest.deadline));
        }
        let result = call(running);
        let used = used(&running.store, allowance);
        let result = result.map_err(|error| code.explain(&error, &mut running.store));
        self.spend(used);
        result
    }

    fn instantiate(&mut self, streams: &Streams, now: Time) -> Result<(), GuestFault> {
        let (code, allowance) = (Arc::clone(&self.code), self.allowance());
        let state = OrchestratorState::new(streams, now, &code.limits, Arc::clone(&code.environment));
        let mut store = state
            .store(code.instance.engine(), &code.limits, &code.clock, allowance)
            .map_err(|error| GuestFault::Contract(format!("its store cannot be made: {error}")))?;
        let made = code
            .instance
            .instantiate(&mut store)
            .and_then(|instance| Ok((instance, code.exports.load(&mut store, &instance)?)));
        let (instance, exports) = made.map_err(|error| code.explain(&error, &mut store))?;
        self.running = Some(Running { store, instance, exports });
        // The making is limited and not counted: what it costs depends on whether the engine copies the component's data or shares it.
        self.fill();
        Ok(())
    }

    /// Counts what a call has used; what is left is for the next ones.
    fn spend(&mut self, used: u64) {
        self.used = self.used.saturating_add(used);
        self.fuel = self.fuel.map(|fuel| fuel.saturating_sub(used));
        self.fill();
    }

    fn fill(&mut self) {
        let allowance = self.allowance();
        if self.code.clock.enforces()
            && let Some(running) = &mut self.running
        {
            // Fails only if fuel is not counted, and it is if limits are enforced.
            let _ = running.store.set_fuel(allowance);
        }
    }
}

/// What has been used of an allowance. Nothing if fuel is not counted.
fn used(store: &Store<OrchestratorState>, allowance: u64) -> u64 {
    store.get_fuel().map_or(0, |left| allowance.saturating_sub(left))
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

    fn refuel(&mut self, fuel: Option<u64>) {
        self.fuel = fuel;
        self.fill();
    }

    fn fuel(&self) -> u64 {
        self.used
    }

    fn take_logs(&mut self) -> Vec<LogLine> {
        self.running.as_mut().map(|running| running.store.data_mut().logs.take()).unwrap_or_default()
    }

    fn memory(&self) -> usize {
        // What the store and the session hold beside memories and tables, in round numbers.
        const OVERHEAD: usize = 16 << 10;
        self.running.as_ref().map_or(0, |running| {
            let meter = &running.store.data().meter;
            meter.memory() + meter.elements() * size_of::<usize>() + OVERHEAD
        })
    }
}
