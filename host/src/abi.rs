//! The guest contract as Rust types, generated from `wit/`.
//!
//! These types are also what the host's own modules speak where they mean what a guest decides or is told: there is no
//! second copy of them. What the history holds has types of its own (`orchestration::history`).

#[allow(missing_docs, unreachable_pub, reason = "generated code")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "durable",
        additional_derives: [Clone, PartialEq],
        exports: {
            "durawasm:workflow/activity.run": async,
            "durawasm:workflow/entity.run": async,
            "durawasm:workflow/migration.migrate": async,
        },
    });
}

pub use bindings::durawasm::workflow::log;
pub use bindings::durawasm::workflow::types::{EntityId, Failure, Failures, Outcome, Payload, Tag, Timestamp};
pub use bindings::exports::durawasm::workflow::activity;
pub use bindings::exports::durawasm::workflow::component;
pub use bindings::exports::durawasm::workflow::entity;
pub use bindings::exports::durawasm::workflow::migration;
pub use bindings::exports::durawasm::workflow::orchestrator;
pub use bindings::exports::durawasm::workflow::orchestrator::{
    ActivityCall, ChildCall, Command, EntityOperation, Event, NextGeneration, NextVersion, OpId, Request, Resolution,
    RetryPolicy, Seed,
};
pub use bindings::exports::durawasm::workflow::queries;

/// The package of the contract, without its version.
pub const PACKAGE: &str = "durawasm:workflow";
/// The version of the contract that this host speaks.
pub const VERSION: &str = "0.1.0";
