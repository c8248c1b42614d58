//! What a guest may use up.

use std::time::Duration;

use wasmtime::ResourceLimiter;

/// The limits of the sandboxes.
#[derive(Clone, Copy, Debug)]
pub struct SandboxLimits {
    /// Bytes of linear memory of one orchestration instance.
    pub orchestrator_memory: usize,
    /// How long one call of an orchestrator may compute.
    pub orchestrator_deadline: Duration,
    /// Bytes of linear memory of one call of an activity.
    pub activity_memory: usize,
    /// How long one call of an activity may take.
    pub activity_deadline: Duration,
    /// Bytes of linear memory of one batch of an entity's operations.
    pub entity_memory: usize,
    /// How long one batch of an entity's operations may take.
    pub entity_deadline: Duration,
}

impl Default for SandboxLimits {
    fn default() -> Self {
        Self {
            orchestrator_memory: 64 << 20,
            orchestrator_deadline: Duration::from_secs(5),
            activity_memory: 256 << 20,
            activity_deadline: Duration::from_secs(300),
            entity_memory: 256 << 20,
            entity_deadline: Duration::from_secs(60),
        }
    }
}

/// A limit that a guest reached. Carried by the trap that stops it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct LimitReached(pub(super) String);

/// Counts the linear memory of one store and traps when there is too much: code that could see a refusal could branch on it.
#[derive(Debug)]
pub(super) struct MemoryMeter {
    limit: usize,
    used: usize,
}

/// More elements than any compiler's output needs.
const MAX_TABLE_ELEMENTS: usize = 1 << 20;

impl MemoryMeter {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: 0 }
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }
}

impl ResourceLimiter for MemoryMeter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.used + (desired - current);
        if total > self.limit || maximum.is_some_and(|maximum| desired > maximum) {
            let limit = maximum.map_or(self.limit, |maximum| maximum.min(self.limit));
            return Err(wasmtime::Error::new(LimitReached(format!(
                "the guest asked for {total} bytes of memory; the limit is {limit} bytes"
            ))));
        }
        self.used = total;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(wasmtime::Error::new(LimitReached(format!("the host has no more memory for the guest: {error}"))))
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > MAX_TABLE_ELEMENTS {
            return Err(wasmtime::Error::new(LimitReached(format!(
                "the guest asked for a table of {desired} elements; the limit is {MAX_TABLE_ELEMENTS}"
            ))));
        }
        Ok(true)
    }
}
