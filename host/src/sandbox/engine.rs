//! The wasmtime engines, and the clock that their deadlines count.
//!
//! Three engines: orchestrators of small components, orchestrators of large ones, and effects (activities). Memories of orchestrators
//! begin as copy-on-write images: what an instance does not change of its component's data it shares with all others. What binds first
//! with many suspended orchestrations is the number of memory mappings, so small components get memories without reservations (four
//! mappings an instance, see [`MAPPINGS`]); large ones (Python, JavaScript) grow often and have room reserved.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmtime::{Config, Engine, OptLevel, RegallocAlgorithm, WasmBacktraceDetails, WasmFeatures};

use super::processor::Processor;

/// How long one tick of the epoch is.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Components with more bytes than this are large.
const LARGE: usize = 4 << 20;

/// The WebAssembly stack of one call, in bytes. One for all guests: it belongs to the engine.
pub const STACK: usize = 1 << 20;

/// The proposals that guests may use, beside those of WebAssembly 2.0. What is not listed is refused when a component is loaded, also
/// if a later wasmtime allows it by default: each of these was looked at with determinism in mind.
const FEATURES: [WasmFeatures; 14] = [
    WasmFeatures::MUTABLE_GLOBAL,
    WasmFeatures::SATURATING_FLOAT_TO_INT,
    WasmFeatures::SIGN_EXTENSION,
    WasmFeatures::MULTI_VALUE,
    WasmFeatures::REFERENCE_TYPES,
    WasmFeatures::BULK_MEMORY,
    WasmFeatures::FLOATS,
    WasmFeatures::SIMD,
    // Each of its operations has a deterministic form, which is chosen below. Not on every processor: see `processor.rs`.
    WasmFeatures::RELAXED_SIMD,
    WasmFeatures::TAIL_CALL,
    WasmFeatures::EXTENDED_CONST,
    WasmFeatures::MULTI_MEMORY,
    // Only says how reference types are encoded.
    WasmFeatures::CALL_INDIRECT_OVERLONG,
    WasmFeatures::COMPONENT_MODEL,
];

/// Memory mappings of one suspended orchestration: what lies before its data, the data, what lies behind it, and the guard.
pub const MAPPINGS: usize = 4;

/// The engines of a host.
#[derive(Clone)]
pub struct Engines {
    small: Engine,
    large: Engine,
    effects: Engine,
    /// Orchestrators of components with more bytes than this run on the large engine.
    large_from: usize,
    clock: Clock,
}

/// How engines are built. The default is what a host runs on; all else is for tests and measurements, which compare
/// variants: none of them may change what an orchestrator does.
#[derive(Clone)]
pub struct EngineOptions {
    /// Whether what guests use up is counted and limited: fuel, deadlines, memory. Off only to measure what that costs.
    pub enforcement: bool,
    /// Which instructions compiled code may use.
    pub processor: Processor,
    /// Which of the two settings for memory orchestrators get.
    pub memories: Memories,
    /// Has the last word on the settings of each engine: for instance another processor, or memories that a test can look at.
    pub adjust: Option<Arc<Adjust>>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { enforcement: true, processor: Processor::default(), memories: Memories::default(), adjust: None }
    }
}

impl std::fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineOptions")
            .field("enforcement", &self.enforcement)
            .field("memories", &self.memories)
            .finish_non_exhaustive()
    }
}

/// Changes the settings of an engine.
pub type Adjust = dyn Fn(&mut Config) + Send + Sync;

/// Which of the two settings for the memory of orchestrators a component gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memories {
    /// By the component's size.
    #[default]
    BySize,
    /// Always that of small components: nothing reserved.
    Small,
    /// Always that of large components: room reserved.
    Large,
}

/// Keeps the deadlines' clock going: held by all code that can run, else a deadline would never come.
#[derive(Clone)]
pub(super) struct Clock {
    /// None if nothing is enforced.
    ticker: Option<Arc<Ticker>>,
}

impl Clock {
    /// Whether what guests use up is limited.
    pub(super) fn enforces(&self) -> bool {
        self.ticker.is_some()
    }
}

impl Engines {
    /// Makes the engines and starts the clock of their deadlines.
    pub fn new() -> anyhow::Result<Self> {
        Self::with(&EngineOptions::default())
    }

    /// Makes engines that differ from those of a host.
    pub fn with(options: &EngineOptions) -> anyhow::Result<Self> {
        let engine = |mut config: Config| {
            options.processor.configure(&mut config)?;
            if let Some(adjust) = &options.adjust {
                adjust(&mut config);
            }
            Engine::new(&config)
        };
        let small = engine(small(options))?;
        let large = engine(large(options))?;
        let effects = engine(effects(options))?;
        let large_from = match options.memories {
            Memories::BySize => LARGE,
            Memories::Small => usize::MAX,
            Memories::Large => 0,
        };
        let engines = || vec![small.clone(), large.clone(), effects.clone()];
        let ticker = options.enforcement.then(|| Ticker::start(engines())).transpose()?.map(Arc::new);
        Ok(Self { small, large, effects, large_from, clock: Clock { ticker } })
    }

    /// Engines that compile in a third of the time what runs slower then: to replay what others have recorded, and to be thrown away. The code
    /// does the same, for the same fuel; but its frames are larger, so that what nearly fills the stack may overflow it here. Nothing that is
    /// recorded may depend on that: no host runs on these engines.
    pub fn hasty() -> anyhow::Result<Self> {
        let adjust: Arc<Adjust> = Arc::new(|config: &mut Config| {
            config.cranelift_opt_level(OptLevel::None).cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass);
        });
        Self::with(&EngineOptions { adjust: Some(adjust), ..EngineOptions::default() })
    }

    /// The engine that runs a component of this size as an orchestrator.
    pub(super) fn orchestrators(&self, component_bytes: usize) -> &Engine {
        if component_bytes > self.large_from { &self.large } else { &self.small }
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
fn shared(options: &EngineOptions) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(options.enforcement)
        .max_wasm_stack(STACK)
        .async_stack_size(2 * STACK)
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .concurrency_support(false)
        .shared_memory(false)
        .wasm_features(WasmFeatures::all(), false);
    for feature in FEATURES {
        config.wasm_features(feature, true);
    }
    config
}

/// What determinism asks for.
fn deterministic(options: &EngineOptions) -> Config {
    let mut config = shared(options);
    config.consume_fuel(options.enforcement).cranelift_nan_canonicalization(true).relaxed_simd_deterministic(true);
    config
}

fn small(options: &EngineOptions) -> Config {
    let mut config = deterministic(options);
    config
        .memory_reservation(0)
        .memory_reservation_for_growth(1 << 20)
        .memory_guard_size(64 << 10)
        .memory_init_cow(true);
    config
}

fn large(options: &EngineOptions) -> Config {
    let mut config = deterministic(options);
    config.memory_reservation(64 << 20).memory_guard_size(64 << 10).memory_init_cow(true);
    config
}

fn effects(options: &EngineOptions) -> Config {
    let mut config = shared(options);
    // Activities without a grant are functions of their input, on every machine: so must be the bits of a NaN.
    config.cranelift_nan_canonicalization(true).relaxed_simd_deterministic(true);
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
