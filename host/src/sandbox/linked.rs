//! From a component's bytes to code that can be run.

use std::sync::Arc;

use wasmtime::component::{Component, InstancePre};

use super::capability::{self, Capabilities};
use super::contract::{self, ContractError, Exports};
use super::engine::Clock;
use super::orchestrator::{self, OrchestratorCode, OrchestratorState};
use super::{ActivityCode, CodeCache, Engines, EntityCode, SandboxLimits, size};
use crate::abi::component::Info;
use crate::deployment::Grant;

/// A component that is compiled for the sandboxes that it needs and linked for that of orchestrators.
pub(crate) struct LinkedComponent {
    exports: Exports,
    orchestrator: InstancePre<OrchestratorState>,
    /// For activities and entities.
    effects: Option<(wasmtime::Engine, Component)>,
    clock: Clock,
}

impl LinkedComponent {
    /// Compiles a component. Its activities and entities can only be run if they are wanted `with_effects`.
    pub(crate) fn new(
        bytes: &[u8],
        digest: &str,
        engines: &Engines,
        cache: &CodeCache,
        with_effects: bool,
    ) -> Result<Self, ContractError> {
        size::check(bytes)?;
        // Every component is asked to describe itself in the orchestrator's sandbox, so that the answer is always the same.
        let engine = engines.orchestrators(bytes.len());
        let effects_engine = engines.effects();
        // Both at the same time: most components have activities.
        let (component, effects) = rayon::join(
            || cache.component(engine, digest, bytes),
            || with_effects.then(|| cache.component(effects_engine, digest, bytes)),
        );
        let component = component?;
        let exports = contract::exports(engine, &component)?;
        let orchestrator = orchestrator::link(engine, &component)?;
        let effects = effects.filter(|_| exports.activity || exports.entity).transpose()?;
        let effects = effects.map(|component| (effects_engine.clone(), component));
        Ok(Self { exports, orchestrator, effects, clock: engines.clock() })
    }

    /// What the component says it offers, checked against what it exports.
    pub(crate) fn describe(&self, limits: &SandboxLimits) -> Result<Info, ContractError> {
        contract::describe(&self.orchestrator, self.exports, &limits.orchestrator, &self.clock)
    }

    /// The code of what it offers.
    pub(crate) fn code(self, label: String, grant: &Grant, capabilities: Capabilities) -> Result<Code, ContractError> {
        let limits = grant.limits;
        let mut code = Code::default();
        if self.exports.orchestrator {
            code.orchestrator = Some(OrchestratorCode::new(
                self.orchestrator,
                self.exports.queries,
                capability::plain(grant).into(),
                limits.orchestrator,
                self.clock.clone(),
            )?);
        }
        let Some((engine, component)) = self.effects else { return Ok(code) };
        let capabilities = Arc::new(capabilities);
        if self.exports.activity {
            let (label, clock) = (label.clone(), self.clock.clone());
            let capabilities = Arc::clone(&capabilities);
            code.activity = Some(ActivityCode::new(&engine, &component, label, capabilities, limits.activity, clock)?);
        }
        if self.exports.entity {
            let (migrates, limits) = (self.exports.migration, limits.entity);
            code.entity =
                Some(EntityCode::new(&engine, &component, label, migrates, capabilities, limits, self.clock)?);
        }
        Ok(code)
    }
}

/// The code of what a component offers, a part for each role.
#[derive(Default)]
pub(crate) struct Code {
    pub(crate) orchestrator: Option<OrchestratorCode>,
    pub(crate) activity: Option<ActivityCode>,
    pub(crate) entity: Option<EntityCode>,
}
