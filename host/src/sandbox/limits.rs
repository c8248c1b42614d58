//! What a guest may use up, and how that is counted.
//!
//! `docs/limits.md` has a line for each of them; a test compares it with the defaults here.

use std::time::Duration;

use wasmtime::ResourceLimiter;

use crate::orchestration::{self, Limit};

/// The limits of the sandboxes, for each role of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SandboxLimits {
    /// Of one orchestration instance.
    pub orchestrator: OrchestratorLimits,
    /// Of one call of an activity.
    pub activity: GuestLimits,
    /// Of one operation of an entity; memory and tables of the batch, which shares an instance.
    pub entity: GuestLimits,
}

/// What any guest may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestLimits {
    /// Bytes of linear memory, all memories of the instance together.
    pub memory: usize,
    /// Elements of tables, all tables of the instance together.
    pub tables: usize,
    /// How long one call may compute (orchestrators) or take (activities, entities).
    pub deadline: Duration,
    /// Bytes of one payload: input, output, event, custom status, entity state.
    pub payload: usize,
    /// Bytes that one call may hand over to the host: all commands of an answer, as the host keeps them.
    pub answer: usize,
    /// Log lines of one episode or call. More are dropped and counted.
    pub log_lines: usize,
    /// Bytes of the log lines of one episode or call. More are dropped and counted.
    pub log_bytes: usize,
}

/// What an orchestrator may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrchestratorLimits {
    /// What any guest may use up.
    pub guest: GuestLimits,
    /// Fuel of one episode: about one unit for each WebAssembly instruction.
    pub fuel: u64,
    /// Commands that one call may answer with.
    pub commands: usize,
    /// Calls, timers, children and events that may be waited for at the same time.
    pub pending: usize,
    /// Random bytes that may be asked for at once.
    pub random: usize,
}

impl Default for SandboxLimits {
    fn default() -> Self {
        let guest = GuestLimits {
            memory: 256 << 20,
            tables: 1 << 20,
            deadline: Duration::from_secs(300),
            payload: 16 << 20,
            answer: 64 << 20,
            log_lines: 1_000,
            log_bytes: 1 << 20,
        };
        let session = orchestration::Limits::default();
        let orchestrator = OrchestratorLimits {
            guest: GuestLimits { memory: 64 << 20, deadline: Duration::from_secs(10), ..guest },
            fuel: orchestration::FUEL,
            commands: session.commands,
            pending: session.pending,
            random: 1 << 20,
        };
        Self { orchestrator, activity: guest, entity: GuestLimits { deadline: Duration::from_secs(60), ..guest } }
    }
}

impl OrchestratorLimits {
    /// The part of them that is kept by the session and not by the sandbox.
    pub fn session(&self) -> orchestration::Limits {
        orchestration::Limits {
            payload: self.guest.payload,
            commands: self.commands,
            pending: self.pending,
            fuel: Some(self.fuel),
            ..orchestration::Limits::default()
        }
    }
}

/// Core instances of one component, adapters included. More than any toolchain makes; checked when a component is loaded.
pub const MAX_INSTANCES: usize = 256;
/// Linear memories of one component.
pub const MAX_MEMORIES: usize = 16;
/// Tables of one component.
pub const MAX_TABLES: usize = 64;
/// Handles to resources that one instance may hold at the same time.
pub const MAX_HANDLES: usize = 10_000;

/// A limit that a guest reached. Carried by the trap that stops it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct LimitReached {
    pub(super) limit: Limit,
    pub(super) message: String,
}

impl LimitReached {
    pub(super) fn new(limit: Limit, message: String) -> Self {
        Self { limit, message }
    }
}

/// Counts the memories and tables of one store and traps when there is too much: code that could see a refusal could branch on it.
///
/// What goes beyond the maximum of the memory's or table's own type is refused as WebAssembly demands: the same on all hosts, whatever their
/// limits. So that is looked at first.
#[derive(Debug)]
pub(super) struct Meter {
    memory_limit: usize,
    table_limit: usize,
    memory: usize,
    elements: usize,
}

impl Meter {
    pub(super) fn new(limits: &GuestLimits) -> Self {
        Self { memory_limit: limits.memory, table_limit: limits.tables, memory: 0, elements: 0 }
    }

    /// Bytes of linear memory.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Elements of tables.
    pub(super) fn elements(&self) -> usize {
        self.elements
    }
}

fn reached(limit: Limit, message: String) -> wasmtime::Error {
    wasmtime::Error::new(LimitReached::new(limit, message))
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        let limit = self.memory_limit;
        if total > limit {
            let message = format!("it asked for {total} bytes of memory; the limit is {limit} bytes");
            return Err(reached(Limit::Memory, message));
        }
        self.memory = total;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(reached(Limit::Memory, format!("the host has no more memory for it: {error}")))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let total = self.elements.saturating_add(desired.saturating_sub(current));
        let limit = self.table_limit;
        if total > limit {
            let message = format!("it asked for {total} elements of tables; the limit is {limit} elements");
            return Err(reached(Limit::Tables, message));
        }
        self.elements = total;
        Ok(true)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(reached(Limit::Tables, format!("the host has no more memory for its tables: {error}")))
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter() -> Meter {
        Meter::new(&GuestLimits { memory: 100, tables: 10, ..SandboxLimits::default().activity })
    }

    fn limit(error: &wasmtime::Error) -> Limit {
        error.downcast_ref::<LimitReached>().unwrap().limit
    }

    #[test]
    fn all_memories_count_together() {
        let mut meter = meter();
        meter.memory_growing(0, 60, None).unwrap();
        meter.memory_growing(0, 40, None).unwrap();
        let error = meter.memory_growing(40, 41, None).unwrap_err();
        assert_eq!((limit(&error), meter.memory()), (Limit::Memory, 100));
        assert!(error.to_string().contains("101 bytes") && error.to_string().contains("100 bytes"), "{error}");
    }

    #[test]
    fn all_tables_count_together() {
        let mut meter = meter();
        meter.table_growing(0, 6, None).unwrap();
        let error = meter.table_growing(0, 5, None).unwrap_err();
        assert_eq!((limit(&error), meter.elements()), (Limit::Tables, 6));
    }

    #[test]
    fn a_maximum_of_the_component_itself_is_no_limit_and_refuses_whatever_the_limit_is() {
        let mut meter = meter();
        // Below the limit and above it.
        for desired in [20, 1_000] {
            assert!(!meter.memory_growing(0, desired, Some(10)).unwrap());
            assert!(!meter.table_growing(0, desired, Some(4)).unwrap());
        }
        assert_eq!((meter.memory(), meter.elements()), (0, 0));
        assert_eq!(limit(&meter.memory_growing(0, 101, Some(1_000)).unwrap_err()), Limit::Memory);
        assert_eq!(limit(&meter.table_growing(0, 11, Some(1_000)).unwrap_err()), Limit::Tables);
    }
}
