//! From a component's bytes to code that can be run.

use wasmtime::component::{Component, InstancePre};

use super::capability::{self, Capabilities};
use super::contract::{self, ContractError, Exports};
use super::engine::Clock;
use super::orchestrator::{self, OrchestratorCode, OrchestratorState};
use super::{ActivityCode, CodeCache, Engines, SandboxLimits};
use crate::abi::component::Info;
use crate::deployment::Grant;

/// A component that is compiled for the sandboxes that it needs and linked for that of orchestrators.
pub(crate) struct LinkedComponent {
    exports: Exports,
    orchestrator: InstancePre<OrchestratorState>,
    activity: Option<(wasmtime::Engine, Component)>,
    clock: Clock,
}

impl LinkedComponent {
    pub(crate) fn new(bytes: &[u8], digest: &str, engines: &Engines, cache: &CodeCache) -> Result<Self, ContractError> {
        // Every component is asked to describe itself in the orchestrator's sandbox, so that the answer is always the same.
        let engine = engines.orchestrators(bytes.len());
        let component = cache.component(engine, digest, bytes)?;
        let exports = contract::exports(engine, &component)?;
        let orchestrator = orchestrator::link(engine, &component)?;
        let activity = if exports.activity {
            let engine = engines.effects();
            Some((engine.clone(), cache.component(engine, digest, bytes)?))
        } else {
            None
        };
        Ok(Self { exports, orchestrator, activity, clock: engines.clock() })
    }

    /// What the component says it offers, checked against what it exports.
    pub(crate) fn describe(&self, limits: &SandboxLimits) -> Result<Info, ContractError> {
        contract::describe(&self.orchestrator, self.exports, &limits.orchestrator, &self.clock)
    }

    /// The code of its orchestrators and of its activities.
    pub(crate) fn code(
        self,
        component_label: String,
        grant: &Grant,
        capabilities: Capabilities,
    ) -> Result<(Option<OrchestratorCode>, Option<ActivityCode>), ContractError> {
        let limits = grant.limits;
        let orchestrator = if self.exports.orchestrator {
            Some(OrchestratorCode::new(
                self.orchestrator,
                self.exports.queries,
                capability::plain(grant).into(),
                limits.orchestrator,
                self.clock.clone(),
            )?)
        } else {
            None
        };
        let activity = match self.activity {
            Some((engine, component)) => {
                let limits = limits.activity;
                Some(ActivityCode::new(&engine, &component, component_label, capabilities, limits, self.clock)?)
            }
            None => None,
        };
        Ok((orchestrator, activity))
    }
}
