//! WASI 0.2 for orchestrators: each function is a function of the history, or a denial.
//!
//! Interfaces are linked by name, whatever their patch version, and one by one for what a component imports: this way each
//! import is either one of those in the modules here or denied, never missing. The list for people, which a test compares
//! with what is linked, is in `docs/determinism.md`.

mod cli;
mod clocks;
mod errors;
mod io;
mod preopens;
mod random;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Linker, LinkerInstance};
use wasmtime::{Engine, StoreContextMut};

use super::denial::{DeniedResources, Role};
use super::orchestrator::OrchestratorState;

type Cx<'a> = StoreContextMut<'a, OrchestratorState>;
type Instance<'a> = LinkerInstance<'a, OrchestratorState>;

/// Links one imported interface of WASI. `interface` has no version.
pub(super) fn link(
    linker: &mut Linker<OrchestratorState>,
    engine: &Engine,
    denied: &mut DeniedResources,
    import: &str,
    interface: &str,
    ty: &ComponentInstance,
) -> wasmtime::Result<()> {
    let mut instance = linker.instance(import)?;
    let mut linked = HashSet::new();
    for (name, item) in ty.exports(engine) {
        let known = match item.ty {
            ComponentItem::ComponentFunc(_) => function(&mut instance, interface, name)?,
            ComponentItem::Resource(ty) => io::resource(&mut instance, denied, interface, name, ty)?,
            _ => true,
        };
        if known {
            linked.insert(name.to_owned());
        }
    }
    denied.deny(&mut instance, engine, Role::Orchestrator, interface, ty, |name| linked.contains(name))
}

/// Defines a function if it has a replay-safe form.
fn function(linker: &mut Instance<'_>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    let package = interface.split('/').next().unwrap_or_default();
    match package {
        "wasi:cli" => cli::define(linker, interface, name),
        "wasi:clocks" => clocks::define(linker, interface, name),
        "wasi:filesystem" | "wasi:http" if errors::define(linker, name)? => Ok(true),
        "wasi:filesystem" => preopens::define(linker, interface, name),
        "wasi:io" => io::define(linker, interface, name),
        "wasi:random" => random::define(linker, interface, name),
        _ => Ok(false),
    }
}
