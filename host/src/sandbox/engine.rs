//! The wasmtime engines, and the clock that their deadlines count.
//!
//! Three engines: orchestrators of small components, orchestrators of large ones, and effects (activities). What binds first
//! with many suspended orchestrations is the number of memory mappings, so small components get memories without
//! reservations and without copy-on-write images (two mappings an instance); for large ones (Python, JavaScript) the
//! images save ten times the memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmtime::{Config, Engine, WasmBacktraceDetails};

/// How long one tick of the epoch is.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Components with more bytes than this are large.
const LARGE: usize = 4 << 20;

const STACK: usize = 1 << 20;

/// The engines of a host.
#[derive(Clone)]
pub struct Engines {
    small: Engine,
    large: Engine,
    effects: Engine,
    clock: Clock,
}

/// Keeps the deadlines' clock going: held by all code that can run, else a deadline would never come.
#[derive(Clone)]
pub(super) struct Clock {
    _ticker: Arc<Ticker>,
}

impl Engines {
    /// Makes the engines and starts the clock of their deadlines.
    pub fn new() -> anyhow::Result<Self> {
        let small = Engine::new(&small())?;
        let large = Engine::new(&large())?;
        let effects = Engine::new(&effects())?;
        let ticker = Arc::new(Ticker::start(vec![small.clone(), large.clone(), effects.clone()])?);
        Ok(Self { small, large, effects, clock: Clock { _ticker: ticker } })
    }

    /// The engine that runs a component of this size as an orchestrator.
    pub(super) fn orchestrators(&self, component_bytes: usize) -> &Engine {
        if component_bytes > LARGE { &self.large } else { &self.small }
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// The engine that runs activities.
    pub(super) fn effects(&self) -> &Engine {
        &self.effects
    }
}

/// What all engines share.
fn shared() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        .async_stack_size(2 * STACK)
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .concurrency_support(false)
        .shared_memory(false)
        .wasm_memory64(false);
    config
}

/// What determinism asks for.
fn deterministic() -> Config {
    let mut config = shared();
    config.cranelift_nan_canonicalization(true).relaxed_simd_deterministic(true);
    config
}

fn small() -> Config {
    let mut config = deterministic();
    config
        .memory_reservation(0)
        .memory_reservation_for_growth(1 << 20)
        .memory_guard_size(64 << 10)
        .memory_init_cow(false);
    config
}

fn large() -> Config {
    let mut config = deterministic();
    config.memory_reservation(64 << 20).memory_guard_size(64 << 10).memory_init_cow(true);
    config
}

fn effects() -> Config {
    let mut config = shared();
    config.memory_reservation(64 << 20).memory_guard_size(64 << 10);
    config
}

/// A thread that moves the epochs on.
struct Ticker {
    stop: Arc<AtomicBool>,
}

impl Ticker {
    fn start(engines: Vec<Engine>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        std::thread::Builder::new().name("epoch".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(TICK);
                for engine in &engines {
                    engine.increment_epoch();
                }
            }
        })?;
        Ok(Self { stop })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// How many ticks a duration has: never less than asked for.
pub(super) fn ticks(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX / 2) + 1
}
