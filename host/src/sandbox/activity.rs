//! The activity's sandbox: a fresh instance for each call, asynchronous, with real clocks and random numbers and nothing else.

use std::time::Duration;

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
use super::limits::{MemoryMeter, SandboxLimits};
use super::logs::{LogBuffer, Logging, Standard};
use super::{contract, fault, logs};
use crate::abi::activity::{Context, GuestIndices};
use crate::abi::{Failure, Outcome};
use crate::orchestration::{GuestFault, LogLine};

/// What the functions that an activity imports work on.
pub(super) struct ActivityState {
    wasi: WasiCtx,
    table: ResourceTable,
    logs: LogBuffer,
    output: Output,
    memory: MemoryMeter,
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
    limits: SandboxLimits,
    _clock: Clock,
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
        limits: SandboxLimits,
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
        Ok(Self { instance, exports, limits, _clock: clock })
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
            logs: LogBuffer::default(),
            output,
            memory: MemoryMeter::new(self.limits.activity_memory),
        };
        let mut store = Store::new(self.instance.engine(), state);
        store.limiter(|state| &mut state.memory);
        // Yields at each tick, so that a computing guest does not hold its thread.
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        store.set_epoch_deadline(1);

        let deadline = self.limits.activity_deadline;
        let result = tokio::time::timeout(deadline, self.call(&mut store, context, input)).await;
        let state = store.data_mut();
        state.gather_output();
        let outcome = match result {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Err(vec![failure(fault::explain(&error, &mut state.logs, deadline))]),
            Err(_) => Err(vec![failure(GuestFault::Deadline(took_too_long(deadline)))]),
        };
        ActivityRun { outcome, logs: state.logs.take() }
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

fn took_too_long(deadline: Duration) -> String {
    format!("the activity took more than {} ms", deadline.as_millis())
}

/// An activity's fault is the failure of the call. What another try may mend says so.
fn failure(fault: GuestFault) -> Failure {
    let (error_type, message) = match fault {
        GuestFault::Trap(failure) => return failure,
        GuestFault::Limit(limit, message) => (if limit == "stack" { "StackLimit" } else { "MemoryLimit" }, message),
        GuestFault::Deadline(message) => ("Deadline", message),
        GuestFault::Contract(message) => ("ContractBreach", message),
    };
    Failure { error_type: error_type.to_owned(), message, stack: None, retriable: true, properties: Vec::new() }
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
