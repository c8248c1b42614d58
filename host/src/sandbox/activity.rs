//! The activity's sandbox: a fresh instance for each call, asynchronous, with what the deployment was granted and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker, ResourceTable};
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
use wasmtime_wasi_io::IoView;

use super::capability::http::Requests;
use super::capability::{Capabilities, Output};
use super::contract::ContractError;
use super::denial::{DeniedResources, Role};
use super::engine::Clock;
use super::limits::{GuestLimits, MAX_HANDLES, Meter};
use super::logs::{LogBuffer, Logging};
use super::{contract, fault, logs};
use crate::abi::activity::{Context, GuestIndices};
use crate::abi::{Failure, Outcome};
use crate::orchestration::{GuestFault, Limit, LogLine};

/// What the functions that an activity imports work on.
pub(super) struct ActivityState {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    requests: Requests,
    table: ResourceTable,
    logs: LogBuffer,
    meter: Meter,
    /// When the call must have ended.
    due: Instant,
}

impl WasiView for ActivityState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for ActivityState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.requests }
    }
}

impl IoView for ActivityState {
    fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

impl Logging for ActivityState {
    fn logs(&mut self) -> &mut LogBuffer {
        &mut self.logs
    }
}

/// The activities of a component, ready to be called.
pub struct ActivityCode {
    instance: InstancePre<ActivityState>,
    exports: GuestIndices,
    capabilities: Arc<Capabilities>,
    /// Name and version of the component, for people.
    label: String,
    limits: GuestLimits,
    clock: Clock,
}

/// How a call ended, and what the guest logged.
#[derive(Debug)]
pub struct ActivityRun {
    /// The outcome.
    pub outcome: Outcome,
    /// What the guest logged.
    pub logs: Vec<LogLine>,
}

impl ActivityCode {
    pub(super) fn new(
        engine: &Engine,
        component: &Component,
        component_label: String,
        capabilities: Arc<Capabilities>,
        limits: GuestLimits,
        clock: Clock,
    ) -> Result<Self, ContractError> {
        let instance = link(engine, component, Role::Activity, &capabilities)?;
        let exports = GuestIndices::new(&instance)?;
        Ok(Self { instance, exports, capabilities, label: component_label, limits, clock })
    }

    /// Calls an activity. Whatever goes wrong is the call's failure. `first_attempt` names the first of the attempts that a retry
    /// policy makes at this call: what must be the same for all of them is derived from it.
    pub async fn run(&self, context: &Context, first_attempt: &str, input: Option<String>) -> ActivityRun {
        let output = Output::default();
        let call = (context.call_id.as_str(), first_attempt);
        let mut store = store(self.instance.engine(), &self.capabilities, &self.limits, &self.clock, call, &output);
        let deadline = self.limits.deadline;
        let result = tokio::time::timeout(deadline, self.call(&mut store, context, input)).await;
        let state = store.data_mut();
        output.gather(&mut state.logs);
        let outcome = match result {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => {
                let failure = self.failure(context, fault::explain(&error, &mut state.logs, &self.limits));
                Err(vec![fault::traced(failure, &error)])
            }
            Err(_) => {
                let message = format!("it took more than {} ms", deadline.as_millis());
                Err(vec![self.reached(context, Limit::Deadline, &message)])
            }
        };
        let (mut outcome, mut logs) = (self.check(context, outcome), state.logs.take());
        let redaction = self.capabilities.redaction();
        logs.iter_mut().for_each(|line| redaction.line(line));
        if let Err(failures) = &mut outcome {
            failures.iter_mut().for_each(|failure| redaction.failure(failure));
        }
        ActivityRun { outcome, logs }
    }

    /// What its activities may use up.
    pub fn limits(&self) -> &GuestLimits {
        &self.limits
    }

    fn check(&self, context: &Context, outcome: Outcome) -> Outcome {
        match outcome {
            Ok(Some(output)) if output.len() > self.limits.payload => {
                let message =
                    format!("its output has {} bytes; the limit is {} bytes", output.len(), self.limits.payload);
                Err(vec![self.reached(context, Limit::Payload, &message)])
            }
            Err(failures) if failures.is_empty() => {
                let message = "the guest failed without saying why: the list of failures is empty".to_owned();
                Err(vec![self.failure(context, GuestFault::Contract(message))])
            }
            outcome => outcome,
        }
    }

    /// An activity's fault is the failure of the call.
    fn failure(&self, context: &Context, fault: GuestFault) -> Failure {
        match fault {
            GuestFault::Trap(failure) => failure,
            GuestFault::Limit(limit, message) => self.reached(context, limit, &message),
            GuestFault::Contract(message) => failure("ContractBreach", message, true),
        }
    }

    fn reached(&self, context: &Context, limit: Limit, what: &str) -> Failure {
        let word = limit.word();
        let message = format!(
            "activity `{}` of component {} reached the limit `{word}` in call {}: {what}. What to do: {}",
            context.name,
            self.label,
            context.call_id,
            limit.remedy("activity")
        );
        // The same output would be as large the next time; for the rest another try may meet another world.
        failure(limit.failure_type(), message, limit != Limit::Payload)
    }

    async fn call(
        &self,
        store: &mut Store<ActivityState>,
        context: &Context,
        input: Option<String>,
    ) -> wasmtime::Result<Outcome> {
        let instance = self.instance.instantiate_async(&mut *store).await?;
        let guest = self.exports.load(&mut *store, &instance)?;
        guest.call_run(store, context, input.as_ref()).await
    }
}

/// Links a component for the sandbox of activities and entities.
pub(super) fn link(
    engine: &Engine,
    component: &Component,
    role: Role,
    capabilities: &Capabilities,
) -> Result<InstancePre<ActivityState>, ContractError> {
    let mut linker = Linker::<ActivityState>::new(engine);
    capabilities.link(&mut linker)?;
    logs::link(&mut linker)?;
    let mut denied = DeniedResources::default();
    for (import, item) in component.component_type().imports(engine) {
        let interface = contract::supported_import(import)?;
        match item.ty {
            ComponentItem::ComponentInstance(ty) if capabilities.provide(interface) => denied.pass(engine, &ty),
            ComponentItem::ComponentInstance(ty) => {
                denied.deny(&mut linker.instance(import)?, engine, role, interface, &ty, |_| false)?;
            }
            ComponentItem::Type(_) => {}
            _ => return Err(ContractError::UnsupportedImport { import: import.to_owned() }),
        }
    }
    Ok(linker.instantiate_pre(component)?)
}

/// A store for one call of an activity, or for a batch of an entity's operations. `call_id` names it for ever, `scope` is the same for
/// each attempt at it.
pub(super) fn store(
    engine: &Engine,
    capabilities: &Capabilities,
    limits: &GuestLimits,
    clock: &Clock,
    (call_id, scope): (&str, &str),
    output: &Output,
) -> Store<ActivityState> {
    let state = ActivityState {
        wasi: capabilities.context(call_id, output),
        http: WasiHttpCtx::new(),
        requests: capabilities.requests(scope, output),
        table: ResourceTable::new(),
        logs: LogBuffer::new(limits.log_lines, limits.log_bytes),
        meter: Meter::new(limits),
        due: Instant::now() + limits.deadline,
    };
    let mut store = Store::new(engine, state);
    store.set_hostcall_fuel(limits.answer);
    store.set_max_component_handles(MAX_HANDLES);
    if clock.enforces() {
        store.limiter(|state| &mut state.meter);
        // Yields at each tick, so that a computing guest does not hold its thread. One that still computes when it is due is stopped
        // here, where its backtrace tells what it was doing; one that waits is dropped by its caller.
        store.epoch_deadline_callback(|store| {
            let is_late = Instant::now() > store.data().due;
            Ok(if is_late { UpdateDeadline::Interrupt } else { UpdateDeadline::Yield(1) })
        });
        store.set_epoch_deadline(1);
    }
    store
}

impl ActivityState {
    /// From here on requests belong to another call.
    pub(super) fn begin(&mut self, requests: Requests) {
        self.requests = requests;
    }

    /// The next call may take this long.
    pub(super) fn expect_within(&mut self, deadline: Duration) {
        self.due = Instant::now() + deadline;
    }

    /// What the guest has written, to explain a fault with.
    pub(super) fn logs_so_far(&mut self, output: &Output) -> &mut LogBuffer {
        output.gather(&mut self.logs);
        &mut self.logs
    }

    /// What the guest has written since this was called last.
    pub(super) fn take_logs(&mut self, output: &Output) -> Vec<LogLine> {
        self.logs_so_far(output).take()
    }
}

fn failure(error_type: &str, message: String, retriable: bool) -> Failure {
    Failure { error_type: error_type.to_owned(), message, stack: None, retriable, properties: Vec::new() }
}
