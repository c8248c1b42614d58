//! Where guests run: engines, limits, and what a guest can reach.
//!
//! One component is compiled for up to two sandboxes. As an orchestrator all that it can reach is deterministic or
//! denied; as an activity or entity it has what its deployment was granted. The modules here know
//! components and nothing of histories, schedulers or the network.

mod activity;
mod cache;
mod capability;
mod contract;
mod denial;
mod engine;
mod entity;
mod fault;
mod limits;
mod linked;
mod logs;
mod orchestrator;
mod processor;
mod size;
mod wasi;

pub use activity::{ActivityCode, ActivityRun};
pub use cache::CodeCache;
pub use contract::ContractError;
pub use engine::{EngineOptions, Engines, MAPPINGS, Memories, STACK};
pub use entity::{EntityBatch, EntityCode, FormerState, OperationRun};
pub use limits::{
    GuestLimits, MAX_HANDLES, MAX_INSTANCES, MAX_MEMORIES, MAX_TABLES, OrchestratorLimits, SandboxLimits,
};
pub use orchestrator::{Orchestrator, OrchestratorCode};
pub use processor::Processor;
pub use size::TooLarge;

pub(crate) use capability::Capabilities;
pub(crate) use linked::LinkedComponent;
