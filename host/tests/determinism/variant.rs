//! The ways in which the same execution is run. None of them may make a difference.

use std::path::Path;
use std::sync::Arc;

use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::{CodeCache, EngineOptions, Engines, Memories, Processor, SandboxLimits};
use wasmtime::{Config, OptLevel};

use crate::memory::{self, Watched};

/// A host that differs in one respect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// As in production, on this processor.
    Production,
    /// Copy-on-write images of memory, as for large components.
    LargeMemories,
    /// Code that was compiled before and comes from the cache on disk.
    Cached,
    /// A processor that can do no more than every other of its architecture: no AVX, no FMA, not even SSE 3.
    PlainProcessor,
    /// A compiler that optimises nothing.
    Unoptimised,
    /// Memories that the test can look at.
    Watched,
    /// The same on the plain processor.
    WatchedPlain,
}

impl Variant {
    /// Its name, as it goes to another process.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        use Variant::{Cached, LargeMemories, PlainProcessor, Production, Unoptimised, Watched, WatchedPlain};
        [Production, LargeMemories, Cached, PlainProcessor, Unoptimised, Watched, WatchedPlain]
            .into_iter()
            .find(|variant| variant.name() == name)
    }

    /// Whether memories can be looked at.
    pub fn watches(self) -> bool {
        matches!(self, Self::Watched | Self::WatchedPlain)
    }

    /// Whether its processor is the plain one.
    pub fn is_plain(self) -> bool {
        matches!(self, Self::PlainProcessor | Self::WatchedPlain)
    }

    /// Its engines.
    pub fn engines(self) -> Engines {
        let memories = if self == Self::LargeMemories { Memories::Large } else { Memories::BySize };
        let processor = if self.is_plain() { Processor::Plain } else { Processor::Native };
        let adjust = move |config: &mut Config| {
            // Refused on such a processor because of one operation. The others are compared all the same.
            config.wasm_relaxed_simd(true);
            if self == Self::Unoptimised {
                config.cranelift_opt_level(OptLevel::None);
            }
            if self.watches() {
                memory::watch(config);
            }
        };
        let options = EngineOptions { processor, memories, adjust: Some(Arc::new(adjust)), ..EngineOptions::default() };
        Engines::with(&options).unwrap()
    }

    /// Loads a component; compiled code may be kept in this folder.
    pub fn load(self, bytes: &[u8], engines: &Engines, folder: &Path) -> Result<LoadedComponent, String> {
        let cache = match self {
            Self::Cached => CodeCache::new(folder),
            _ => CodeCache::none(),
        };
        let load = || LoadedComponent::load(bytes, engines, &cache, limits()).map_err(|error| format!("{error:#}"));
        if self == Self::Cached {
            // The first time it is compiled, and the second time it is there.
            load()?;
        }
        load()
    }
}

/// A watched memory that belongs to the session that is made by this closure, if memories are watched.
pub fn watching<T>(variant: Variant, work: impl FnOnce() -> T) -> (T, Vec<Watched>) {
    if variant.watches() { memory::watching(work) } else { (work(), Vec::new()) }
}

/// Small enough that reaching a limit costs little.
pub fn limits() -> SandboxLimits {
    SandboxLimits::default()
}
