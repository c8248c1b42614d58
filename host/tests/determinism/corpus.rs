//! The corpus: each case tries one way to observe something outside the history.

use std::sync::Arc;

use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::Engines;

use crate::support::guest;
use crate::text;
use crate::variant::Variant;

/// One attempt.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name. For cases written in Rust also the name of the orchestrator in `tests/guests/observer`.
    pub name: &'static str,
    /// What must come of it, for people.
    pub must: &'static str,
    /// The same for the test.
    pub sees: Sees,
    /// Where its component comes from.
    pub source: Source,
}

/// Where a component comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// `tests/guests/observer`, compiled from Rust.
    Rust,
    /// Assembled from WebAssembly text, for what Rust cannot express.
    Text(fn() -> Vec<u8>),
}

/// What must come of a case, whatever the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// The same in every execution of this component.
    Same,
    /// Something that follows from the history alone: two executions see different things.
    History,
    /// This, each time.
    Exactly(&'static str),
    /// Bytes that are all zero.
    Zeroes,
    /// The execution fails with an error of this type.
    Fails(&'static str),
    /// The execution is parked for this reason.
    Parks(&'static str),
    /// The component is not loaded, and the error has this in it.
    Refused(&'static str),
}

const fn rust(name: &'static str, sees: Sees, must: &'static str) -> Case {
    Case { name, must, sees, source: Source::Rust }
}

const fn text(name: &'static str, sees: Sees, must: &'static str, build: fn() -> Vec<u8>) -> Case {
    Case { name, must, sees, source: Source::Text(build) }
}

use Sees::{Exactly, Fails, History, Parks, Refused, Same, Zeroes};

const TOLD: &str = "the time of the episode, which the history holds";
const STANDS_STILL: &str = "no time passes within an episode";
const SEEDED: &str = "random, from the execution's own seed: the same in every replay";
const NO_SYSTEM: &str = "an error, the same everywhere";
const LAYOUT: &str = "an address in the guest's own memory, which follows from its code and what it was told";
const CLEAN: &str = "what the guest itself left there, or zeroes; never anything of the host or of another guest";
const IEEE: &str = "what IEEE 754 says, to the last bit";
const CANONICAL: &str = "always the canonical NaN";
const LIBRARY: &str = "the guest's own library computes it, from operations that are exact";
const WHOLE: &str = "operations on integers have one result";
const RELAXED: &str = "the deterministic form of each operation";
const GONE: &str = "the instance is parked: the guest sees nothing, and no history depends on the limit";
const NOT_LOADED: &str = "the component is refused when it is loaded";
const OWN_CALLS: &str = "what follows from the order of the history";

/// All cases.
pub const CASES: &[Case] = &[
    // Time.
    rust("the wall clock", History, TOLD),
    rust("the wall clock against the time it was told", Exactly("0 µs apart"), "no difference"),
    rust("the time that computing takes, by the wall clock", Exactly("0 ns"), STANDS_STILL),
    rust("the time that computing takes, by the monotonic clock", Exactly("0 ns"), STANDS_STILL),
    rust("the time that output takes", Exactly("0 ns"), STANDS_STILL),
    rust(
        "the time since the last look, by the monotonic clock",
        Same,
        "the difference between the times of two episodes",
    ),
    rust(
        "time that goes back",
        Exactly("it did not go back"),
        "time never goes back, also when the scheduler's clock does",
    ),
    rust("sleeping", Fails("Denied"), "a denial that names what to use instead"),
    rust("the time zone", Same, "none is known: UTC"),
    // Entropy.
    rust("the order of a hash map", History, SEEDED),
    rust("the order of a hash set of texts", History, SEEDED),
    rust("the seed of a hash map", History, SEEDED),
    rust("a random UUID", History, SEEDED),
    rust("the seed of the execution", History, SEEDED),
    // The system.
    rust(
        "the environment",
        Exactly("[]"),
        "what the deployment sets, which is part of the component's digest; nothing of the host's",
    ),
    rust("the arguments", Exactly("[]"), "none"),
    rust("the working directory", Same, NO_SYSTEM),
    rust("the temporary folder", Fails("Panic"), NO_SYSTEM),
    rust("the executable", Same, NO_SYSTEM),
    rust("the number of processors", Same, NO_SYSTEM),
    rust("the id of the process", Same, NO_SYSTEM),
    rust("a thread", Same, NO_SYSTEM),
    rust("the name and id of the thread", Same, "the one that every instance has"),
    rust("a file", Same, NO_SYSTEM),
    rust("a folder", Same, NO_SYSTEM),
    rust("a new file", Same, NO_SYSTEM),
    rust("an address of a name", Same, NO_SYSTEM),
    rust("a connection", Same, NO_SYSTEM),
    rust("the standard input", Exactly("Ok(0) []"), "it is at its end"),
    rust("how much output is taken", Same, "always the same: all of it, or a fixed part"),
    rust("whether output is a terminal", Exactly("false"), "never"),
    rust("a backtrace", Same, "the guest's own view of its code; the host's stack is out of reach"),
    rust("the text of a panic", Fails("Panic"), "the text, with an address of the guest's own memory"),
    rust("leaving the process", Fails("Denied"), "a denial that names what to use instead"),
    // Calls.
    rust("how often it was called", Same, OWN_CALLS),
    rust(
        "how many results come together",
        Same,
        "one at a time in production; in these tests what one episode brought together",
    ),
    rust(
        "whether it runs for the first time",
        Exactly("run 1"),
        "always for the first time: there is no way to tell a replay",
    ),
    rust("the context", History, "what the history's first events say"),
    rust("the order of tags", History, "by name"),
    rust("the texts of failures", Same, "what the history holds, word for word"),
    rust("the order of a failure's properties", Same, "by name, with the values as the history holds them"),
    rust("results", Same, "what the history holds"),
    rust("what logging returns", Exactly("0"), "nothing, also when lines are dropped"),
    rust("recursion far below the limit", Exactly("1000"), "it returns"),
    rust("recursion without end", Parks("stack"), GONE),
    rust("a division that overflows", Fails("Panic"), "Rust's own check; the bare instruction traps"),
    // Memory.
    rust("the address of an allocation", Same, LAYOUT),
    rust("the address of the stack", Same, LAYOUT),
    rust("the address of a function", Same, "its number in the component's table"),
    rust("the address of a global", Same, LAYOUT),
    rust("addresses of what the host hands over", Same, LAYOUT),
    rust("the capacity of what the host hands over", Same, "exactly its length"),
    rust("memory that was never written", History, CLEAN),
    rust("memory that was freed", Same, CLEAN),
    rust("the tail of memory that has grown", History, CLEAN),
    rust("memory below the stack", History, CLEAN),
    rust("pages that were just added", Same, "zeroes"),
    rust("the size of memory", Same, "what the guest asked for"),
    rust("memory above the limit", Parks("memory"), GONE),
    rust("more memory than there can be", Parks("memory"), GONE),
    rust("all of its memory", History, CLEAN),
    rust("all of its memory, after much use", History, CLEAN),
    rust(
        "what others left in its globals",
        Same,
        "nothing: each execution has its own instance, and a question is asked of another one",
    ),
    // Floats in Rust.
    rust("the bits of NaN from f64", Same, CANONICAL),
    rust("the bits of NaN from f32", Same, CANONICAL),
    rust("the bits of NaN from conversions", Exactly("7ff8000000000000 7fc00000"), CANONICAL),
    rust("the signs of zeroes", Same, IEEE),
    rust("rounding", Same, IEEE),
    rust("sums in another order", Same, IEEE),
    rust("fused multiplication and addition", Same, LIBRARY),
    rust("transcendental functions", Same, LIBRARY),
    rust("transcendental functions of f32", Same, LIBRARY),
    rust("numbers as text", Same, LIBRARY),
    rust("floats as integers", Same, IEEE),
    rust("denormal numbers", Same, IEEE),
    // Bare WebAssembly.
    text("every instruction on i32 and i64", Same, WHOLE, || text::numeric(text::Family::Integers)),
    text("every instruction on f32 and f64", Same, IEEE, || text::numeric(text::Family::Floats)),
    text("every conversion", Same, IEEE, || text::numeric(text::Family::Conversions)),
    text("every SIMD instruction on integers of 8 and 16 bits", Same, WHOLE, || {
        text::numeric(text::Family::SmallLanes)
    }),
    text("every SIMD instruction on integers of 32 and 64 bits", Same, WHOLE, || {
        text::numeric(text::Family::LargeLanes)
    }),
    text("every SIMD instruction on floats", Same, IEEE, || text::numeric(text::Family::FloatLanes)),
    text("NaN from every instruction that computes", Zeroes, CANONICAL, || text::numeric(text::Family::NotANumber)),
    text("relaxed SIMD: multiply and add", Same, RELAXED, || text::numeric(text::Family::RelaxedMadd)),
    text("NaN from relaxed SIMD: multiply and add", Zeroes, CANONICAL, || {
        text::numeric(text::Family::RelaxedMaddNotANumber)
    }),
    text("relaxed SIMD: minimum and maximum", Same, RELAXED, || text::numeric(text::Family::RelaxedMinMax)),
    text("relaxed SIMD: truncation", Same, RELAXED, || text::numeric(text::Family::RelaxedTruncation)),
    text("relaxed SIMD: swizzle", Same, RELAXED, || text::numeric(text::Family::RelaxedSwizzle)),
    text("relaxed SIMD: lane select", Same, RELAXED, || text::numeric(text::Family::RelaxedLaneselect)),
    text("relaxed SIMD: Q15 multiplication", Same, RELAXED, || text::numeric(text::Family::RelaxedQ15)),
    text("relaxed SIMD: dot products", Same, RELAXED, || text::numeric(text::Family::RelaxedDot)),
    text("a division by zero", Fails("Trap"), "a trap", text::division_by_zero),
    text("a conversion that does not fit", Fails("Trap"), "a trap", text::conversion_out_of_range),
    text(
        "memory.grow to its declared maximum and beyond",
        Same,
        "the old size, and -1 beyond it, whatever the limit is",
        text::grow_to_maximum,
    ),
    text(
        "memory.grow beyond what 32 bits can address",
        Zeroes,
        "-1, whatever the limit is",
        text::grow_beyond_addresses,
    ),
    text("memory.grow without end", Parks("memory"), GONE, text::grow_without_end),
    text("table.grow, and what is in the new elements", Same, "the old size, and null", text::grow_table),
    text(
        "table.grow to its declared maximum and beyond",
        Same,
        "the old size, and -1 beyond it, whatever the limit is",
        text::grow_table_to_maximum,
    ),
    text("table.grow without end", Parks("tables"), GONE, text::grow_table_without_end),
    text("several memories", Same, CLEAN, text::several_memories),
    text("bulk memory: copy over itself, fill, init, drop", Same, "what the specification says", text::bulk_memory),
    text("reads across every alignment", Same, "bytes in little-endian order", text::unaligned),
    text("a read one byte outside its memory", Fails("Trap"), "a trap", text::out_of_bounds),
    text("calls a thousand deep", Same, "they return", || text::calls(1_000)),
    text("calls without end", Parks("stack"), GONE, || text::calls(u32::MAX)),
    text("a million tail calls", Same, "they return: no stack is used", text::tail_calls),
    text(
        "everything that the host asks of its allocator",
        Same,
        "sizes and alignments that follow from what is handed over",
        text::allocations,
    ),
    text("padding of what the host writes", History, "what the guest had there before", text::padding),
    text("numbers of streams and pollables", Same, "the same numbers, counted anew in each instance", text::handles),
    text("the order in which a poll answers", Same, "the order of the question", text::poll),
    text(
        "the resolution of the monotonic clock, and waiting for it",
        Fails("Denied"),
        "a denial that names what to use instead",
        text::subscribe,
    ),
    text("random bytes of WASI", History, SEEDED, text::random_bytes),
    text("the table of its functions", Fails("Trap"), "a trap where the type differs", text::wrong_function),
    text("shared memory", Refused("shared"), NOT_LOADED, || text::refused(text::SHARED_MEMORY)),
    text("atomic instructions", Refused("threads"), NOT_LOADED, || text::refused(text::ATOMICS)),
    text("memory of 64 bits", Refused("memory64"), NOT_LOADED, || text::refused(text::MEMORY64)),
    text("garbage collection", Refused("gc"), NOT_LOADED, || text::refused(text::GARBAGE)),
    text("exceptions", Refused("exceptions"), NOT_LOADED, || text::refused(text::EXCEPTIONS)),
    text("wide arithmetic", Refused("wide"), NOT_LOADED, || text::refused(text::WIDE_ARITHMETIC)),
    text("pages of another size", Refused("page"), NOT_LOADED, || text::refused(text::PAGE_SIZE)),
    text("stack switching", Refused("stack switching"), NOT_LOADED, || text::refused(text::STACK_SWITCHING)),
];

/// A case by its name.
pub fn named(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("there is no case `{name}`"))
}

/// Cases whose guest is refused on a processor without a fused multiplication and addition: see `sandbox/processor.rs`.
pub const FUSED: [&str; 2] = ["relaxed SIMD: multiply and add", "NaN from relaxed SIMD: multiply and add"];

/// Cases that look at how results are grouped, or at the memory that the host takes to hand a group over. The groups follow from
/// the history, because the largest is a constant.
pub const GROUPED: [&str; 9] = [
    "how many results come together",
    "how often it was called",
    "the address of an allocation",
    "addresses of what the host hands over",
    "memory that was never written",
    "the tail of memory that has grown",
    "memory below the stack",
    "all of its memory",
    "all of its memory, after much use",
];

impl Case {
    /// Whether its guest is loaded on the processor of a variant.
    pub fn runs_on(&self, variant: Variant) -> bool {
        !variant.is_plain() || !FUSED.contains(&self.name)
    }

    /// The orchestrator to start.
    pub fn orchestrator(&self) -> &'static str {
        match self.source {
            Source::Rust => self.name,
            Source::Text(_) => text::ORCHESTRATOR,
        }
    }
}

/// The components of cases, loaded in one way.
pub struct Components {
    variant: Variant,
    engines: Engines,
    folder: tempfile::TempDir,
    rust: Option<Arc<LoadedComponent>>,
}

impl Components {
    /// None is loaded yet.
    pub fn new(variant: Variant) -> Self {
        Self { variant, engines: variant.engines(), folder: tempfile::tempdir().unwrap(), rust: None }
    }

    /// The component of a case, or why it is not loaded.
    pub fn of(&mut self, case: &Case) -> Result<Arc<LoadedComponent>, String> {
        let load = |bytes: &[u8]| self.variant.load(bytes, &self.engines, self.folder.path()).map(Arc::new);
        match case.source {
            Source::Text(build) => load(&build()),
            Source::Rust => {
                if self.rust.is_none() {
                    self.rust = Some(load(&guest("observer"))?);
                }
                Ok(Arc::clone(self.rust.as_ref().unwrap()))
            }
        }
    }
}
