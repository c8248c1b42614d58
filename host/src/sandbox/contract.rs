//! Whether a component keeps the contract of `wit/`, and what to tell its author if it does not.

use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre};

use super::engine::Clock;
use super::fault;
use super::limits::OrchestratorLimits;
use super::orchestrator::{Environment, OrchestratorState};
use crate::abi::{self, component};
use crate::orchestration::{GuestFault, Streams, Time};

/// Why a component cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// It is no component at all.
    #[error("it is not a WebAssembly component: {0}. {1}")]
    NotAComponent(String, &'static str),
    /// It is larger than any toolchain makes components: compiling it could take for ever, or all memory.
    #[error(
        "it is too large to be compiled: {0}. Fix: split it into several components, or remove what it does not need"
    )]
    TooLarge(#[from] super::size::TooLarge),
    /// An interface is missing.
    #[error("it does not export `{interface}`, which {why}. Fix: {fix}")]
    MissingExport {
        /// The interface.
        interface: String,
        /// Why it is needed.
        why: String,
        /// What to do.
        fix: String,
    },
    /// It was built for another version of the contract.
    #[error(
        "it is built for version {found} of `{package}`, and this host speaks version {spoken}. \
         Fix: rebuild it with an SDK for {spoken}, or run it on a host that speaks {found}",
        package = abi::PACKAGE,
        spoken = abi::VERSION
    )]
    OtherVersion {
        /// The version that it asks for.
        found: String,
    },
    /// It imports something that no host gives.
    #[error(
        "it imports `{import}`, which this host does not offer. Components may import WASI 0.2 and `durawasm:workflow/log`. \
         Fix: remove the dependency that needs it, or build for the target wasm32-wasip2"
    )]
    UnsupportedImport {
        /// The import.
        import: String,
    },
    /// `describe` failed or makes no sense.
    #[error("its description cannot be used: {0}. Fix: rebuild it with a current SDK")]
    Description(String),
    /// The types do not fit, or the sandbox refused it.
    #[error("it does not fit the contract: {0}. Fix: rebuild it with an SDK for {package} {version}", package = abi::PACKAGE, version = abi::VERSION)]
    Mismatch(String),
}

impl From<wasmtime::Error> for ContractError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Mismatch(format!("{error:#}"))
    }
}

/// An interface of the contract, with its version.
pub(super) fn interface(name: &str) -> String {
    format!("{}/{name}@{}", abi::PACKAGE, abi::VERSION)
}

/// Checks the name of an import and returns it without its version.
pub(super) fn supported_import(import: &str) -> Result<&str, ContractError> {
    let (name, version) = import.split_once('@').unwrap_or((import, ""));
    let supported = if name.starts_with("wasi:") {
        // Proposals that are not at 0.2 yet, or have no version, are denied like the rest. 0.3 is another ABI.
        version.is_empty() || version.starts_with("0.1.") || version.starts_with("0.2.")
    } else if name.strip_prefix(abi::PACKAGE).is_some_and(|rest| rest.starts_with('/')) {
        if version != abi::VERSION {
            return Err(ContractError::OtherVersion { found: version.to_owned() });
        }
        matches!(&name[abi::PACKAGE.len() + 1..], "log" | "types")
    } else {
        false
    };
    if supported { Ok(name) } else { Err(ContractError::UnsupportedImport { import: import.to_owned() }) }
}

/// Which interfaces of the contract a component exports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exports {
    pub(crate) orchestrator: bool,
    pub(crate) activity: bool,
    pub(crate) queries: bool,
    pub(crate) entity: bool,
    pub(crate) migration: bool,
}

/// Checks the exports.
pub(crate) fn exports(engine: &Engine, component: &Component) -> Result<Exports, ContractError> {
    let ty = component.component_type();
    let names: Vec<&str> = ty.exports(engine).map(|(name, _)| name).collect();
    let has = |wanted: &str| {
        let wanted = interface(wanted);
        names.iter().any(|name| *name == wanted)
    };
    if !has("component") {
        let prefix = format!("{}/component@", abi::PACKAGE);
        if let Some(found) = names.iter().find_map(|name| name.strip_prefix(&prefix)) {
            return Err(ContractError::OtherVersion { found: found.to_owned() });
        }
        return Err(ContractError::MissingExport {
            interface: interface("component"),
            why: "says what a component offers".to_owned(),
            fix: "use the durawasm SDK (`#[orchestrator]`, `#[activity]`) and build with `durawasm build`".to_owned(),
        });
    }
    Ok(Exports {
        orchestrator: has("orchestrator"),
        activity: has("activity"),
        queries: has("queries"),
        entity: has("entity"),
        migration: has("migration"),
    })
}

/// Asks a component what it offers, and checks that it exports what it says.
pub(crate) fn describe(
    instance: &InstancePre<OrchestratorState>,
    exports: Exports,
    limits: &OrchestratorLimits,
    clock: &Clock,
) -> Result<component::Info, ContractError> {
    // The answer must not depend on anything, so that any fixed time and seed will do.
    let state =
        OrchestratorState::new(&Streams::new("", Time::default()), Time::default(), limits, Environment::default());
    let mut store = state.store(instance.engine(), limits, clock, limits.fuel)?;
    let indices = component::GuestIndices::new(instance)?;
    let info = instance
        .instantiate(&mut store)
        .and_then(|instance| indices.load(&mut store, &instance))
        .and_then(|guest| guest.call_describe(&mut store))
        .map_err(|error| match fault::explain(&error, &mut store.data_mut().logs, &limits.guest) {
            GuestFault::Trap(failure) => {
                ContractError::Description(format!("`describe` failed: {}: {}", failure.error_type, failure.message))
            }
            GuestFault::Limit(_, message) | GuestFault::Contract(message) => {
                ContractError::Description(format!("`describe` failed: {message}"))
            }
        })?;
    check(&info, exports)?;
    Ok(info)
}

fn check(info: &component::Info, exports: Exports) -> Result<(), ContractError> {
    if info.name.is_empty() {
        return Err(ContractError::Description("the component's name is empty".to_owned()));
    }
    let required = [
        (exports.orchestrator, "orchestrator", "orchestrators", &info.orchestrators),
        (exports.activity, "activity", "activities", &info.activities),
        (exports.entity, "entity", "entities", &info.entities),
    ];
    for (exported, what, plural, definitions) in required {
        if let Some(first) = definitions.first()
            && !exported
        {
            return Err(ContractError::MissingExport {
                interface: interface(what),
                why: format!("it needs because it offers the {what} `{}`", first.name),
                fix: "build it for the world `durawasm:workflow/durable`, as the SDK does by itself".to_owned(),
            });
        }
        // Those of entities are compared in lower case.
        let compared = |name: &str| if what == "entity" { name.to_lowercase() } else { name.to_owned() };
        let mut names: Vec<String> = definitions.iter().map(|definition| compared(&definition.name)).collect();
        names.sort_unstable();
        if names.first().is_some_and(|name| name.is_empty()) {
            return Err(ContractError::Description(format!("it offers {plural} without a name")));
        }
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ContractError::Description(format!("it offers the {what} `{}` twice", twice[0])));
        }
    }
    if let Some(entity) = info.entities.iter().find(|entity| entity.name.contains('@')) {
        return Err(ContractError::Description(format!(
            "the name of the entity `{}` contains `@`, which separates a name from its key",
            entity.name
        )));
    }
    if info.orchestrators.is_empty() && info.activities.is_empty() && info.entities.is_empty() {
        return Err(ContractError::Description(
            "it offers neither orchestrators nor activities nor entities".to_owned(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_supported_whatever_their_patch_version() {
        assert_eq!(supported_import("wasi:io/poll@0.2.9").unwrap(), "wasi:io/poll");
        assert_eq!(supported_import("wasi:http/outgoing-handler@0.2.0").unwrap(), "wasi:http/outgoing-handler");
        assert_eq!(supported_import("wasi:logging/logging@0.1.0-draft").unwrap(), "wasi:logging/logging");
        assert!(matches!(supported_import("wasi:io/poll@0.3.0"), Err(ContractError::UnsupportedImport { .. })));
        assert!(matches!(supported_import("acme:thing/x"), Err(ContractError::UnsupportedImport { .. })));
    }

    #[test]
    fn another_version_of_the_contract_is_named_with_both_versions() {
        let error = supported_import("durawasm:workflow/log@0.9.0").unwrap_err().to_string();
        assert!(error.contains("0.9.0") && error.contains(abi::VERSION), "{error}");
    }
}
