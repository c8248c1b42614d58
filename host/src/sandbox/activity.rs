//! The activity's sandbox: a fresh instance for each call, asynchronous, with real clocks and random numbers and nothing else.

use bytes::Bytes;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker, ResourceTable};
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::contract::ContractError;
use super::denial::{DeniedResources, Role};
use super::engine::Clock;
use super::limits::{GuestLimits, MAX_HANDLES, Meter};
use super::logs::{LogBuffer, Logging, Standard};
use super::{contract, fault, logs};
use crate::abi::activity::{Context, GuestIndices};
use crate::abi::{Failure, Outcome};
use crate::orchestration::{GuestFault, Limit, LogLine};

/// What the functions that an activity imports work on.
pub(super) struct ActivityState {
    wasi: WasiCtx,
    table: ResourceTable,
    logs: LogBuffer,
    output: Output,
    meter: Meter,
}

impl WasiView for ActivityState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
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
        limits: GuestLimits,
        clock: Clock,
    ) -> Result<Self, ContractError> {
        let mut linker = Linker::<ActivityState>::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        logs::link(&mut linker)?;
        let mut denied = DeniedResources::default();
        for (import, item) in component.component_type().imports(engine) {
            let interface = contract::supported_import(import)?;
            match item.ty {
                ComponentItem::ComponentInstance(ty) if is_linked(interface) => denied.pass(engine, &ty),
                ComponentItem::ComponentInstance(ty) => {
                    denied.deny(&mut linker.instance(import)?, engine, Role::Activity, interface, &ty, |_| false)?;
                }
                ComponentItem::Type(_) => {}
                _ => return Err(ContractError::UnsupportedImport { import: import.to_owned() }),
            }
        }
        let instance = linker.instantiate_pre(component)?;
        let exports = GuestIndices::new(&instance)?;
        Ok(Self { instance, exports, label: component_label, limits, clock })
    }

    /// Calls an activity. Whatever goes wrong is the call's failure.
    pub async fn run(&self, context: &Context, input: Option<String>) -> ActivityRun {
        let output = Output::default();
        let wasi = WasiCtx::builder()
            .stdout(Stream { stream: Standard::Out, output: output.clone() })
            .stderr(Stream { stream: Standard::Err, output: output.clone() })
            .allow_blocking_current_thread(false)
            .build();
        let state = ActivityState {
            wasi,
            table: ResourceTable::new(),
            logs: LogBuffer::new(self.limits.log_lines, self.limits.log_bytes),
            output,
            meter: Meter::new(&self.limits),
        };
        let mut store = Store::new(self.instance.engine(), state);
        store.set_hostcall_fuel(self.limits.answer);
        store.set_max_component_handles(MAX_HANDLES);
        if self.clock.enforces() {
            store.limiter(|state| &mut state.meter);
            // Yields at each tick, so that a computing guest does not hold its thread.
            store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
            store.set_epoch_deadline(1);
        }

        let deadline = self.limits.deadline;
        let result = tokio::time::timeout(deadline, self.call(&mut store, context, input)).await;
        let state = store.data_mut();
        state.gather_output();
        let outcome = match result {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Err(vec![self.failure(context, fault::explain(&error, &mut state.logs, &self.limits))]),
            Err(_) => {
                let message = format!("it took more than {} ms", deadline.as_millis());
                Err(vec![self.reached(context, Limit::Deadline, &message)])
            }
        };
        ActivityRun { outcome: self.check(context, outcome), logs: state.logs.take() }
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

fn failure(error_type: &str, message: String, retriable: bool) -> Failure {
    Failure { error_type: error_type.to_owned(), message, stack: None, retriable, properties: Vec::new() }
}

/// What wasmtime's own implementation of WASI covers.
fn is_linked(interface: &str) -> bool {
    let package = interface.split('/').next().unwrap_or_default();
    matches!(
        package,
        "wasi:cli"
            | "wasi:clocks"
            | "wasi:filesystem"
            | "wasi:io"
            | "wasi:random"
            | "wasi:sockets"
            | "durawasm:workflow"
    )
}

/// What was written to the standard streams. WASI's streams live in the store's table and cannot reach its state.
type Output = std::sync::Arc<parking_lot::Mutex<Vec<(Standard, Bytes)>>>;

/// More output than this of one call is dropped.
const MAX_OUTPUT_PIECES: usize = 4_096;

impl ActivityState {
    fn gather_output(&mut self) {
        for (stream, bytes) in self.output.lock().drain(..) {
            self.logs.write_standard(stream, &bytes);
        }
    }
}

#[derive(Clone)]
struct Stream {
    stream: Standard,
    output: Output,
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this form, and nothing of it is linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut output = self.output.lock();
        if output.len() < MAX_OUTPUT_PIECES {
            output.push((self.stream, bytes));
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}
