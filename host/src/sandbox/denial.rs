//! Functions that a guest may import and not call.
//!
//! Components of any toolchain import more than they use, so that a denial is linked for everything that is not
//! granted. A call of one traps with an error that names the function and says what to use in its place.

use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{LinkerInstance, ResourceType};

/// In whose name something is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Orchestrator,
    Activity,
}

/// The trap of a denied call.
#[derive(Debug, thiserror::Error)]
#[error("`{function}` is not available to {who}: {instead}")]
pub(super) struct Denied {
    function: String,
    who: &'static str,
    instead: &'static str,
}

impl Denied {
    pub(super) fn new(role: Role, interface: &str, function: &str) -> Self {
        let who = match role {
            Role::Orchestrator => "orchestrators",
            Role::Activity => "activities",
        };
        Self { function: format!("{interface}#{function}"), who, instead: instead(role, interface, function) }
    }
}

fn instead(role: Role, interface: &str, function: &str) -> &'static str {
    let package = interface.split('/').next().unwrap_or(interface);
    match role {
        Role::Orchestrator => instead_in_orchestrators(package, interface, function),
        Role::Activity => instead_in_activities(package),
    }
}

fn instead_in_activities(package: &str) -> &'static str {
    match package {
        "wasi:clocks" => "ask for it in the component's manifest, with `clocks = true` under [capabilities]",
        "wasi:random" => "ask for it in the component's manifest, with `random = true` under [capabilities]",
        "wasi:http" => {
            "ask for it in the component's manifest, with the servers' names in `hosts` under [capabilities.http]"
        }
        "wasi:sockets" | "wasi:tls" => {
            "call servers over HTTP, and ask for it in the component's manifest under [capabilities.http]"
        }
        _ => "no host offers it",
    }
}

fn instead_in_orchestrators(package: &str, interface: &str, function: &str) -> &'static str {
    match package {
        "wasi:clocks" if function.starts_with("subscribe") => {
            "an orchestrator must not sleep; await a durable timer of the SDK"
        }
        "wasi:io" => "an orchestrator must not block; await a durable timer, event or activity of the SDK",
        "wasi:filesystem" => "orchestrators have no files; read and write them in an activity",
        "wasi:sockets" | "wasi:http" | "wasi:tls" => "orchestrators have no network; use it in an activity",
        "wasi:cli" if interface.ends_with("/exit") => "return from the orchestrator instead of leaving the process",
        "wasi:random" => "ask for fewer random bytes at a time",
        _ => "do it in an activity: what an orchestrator does must depend on its history alone",
    }
}

/// Resource types made up for denied interfaces: one for each resource, so that they are never taken for another.
#[derive(Debug, Default)]
pub(super) struct DeniedResources {
    /// The component's own resource types, in the order of their imports.
    seen: Vec<ResourceType>,
}

impl DeniedResources {
    /// Whether a resource is one of an interface that was imported before, under another name. Such a name must not be
    /// defined again. Asked once for each resource, in the order of the imports.
    pub(super) fn is_alias(&mut self, ty: ResourceType) -> bool {
        let alias = self.seen.contains(&ty);
        if !alias {
            self.seen.push(ty);
        }
        alias
    }

    /// Looks at an interface that somebody else links.
    pub(super) fn pass(&mut self, engine: &wasmtime::Engine, ty: &ComponentInstance) {
        for (_, item) in ty.exports(engine) {
            if let ComponentItem::Resource(ty) = item.ty {
                self.is_alias(ty);
            }
        }
    }

    /// Denies all of an interface, but for what is listed as linked already.
    pub(super) fn deny<T: Send + 'static>(
        &mut self,
        linker: &mut LinkerInstance<'_, T>,
        engine: &wasmtime::Engine,
        role: Role,
        interface: &str,
        ty: &ComponentInstance,
        linked: impl Fn(&str) -> bool,
    ) -> wasmtime::Result<()> {
        for (name, item) in ty.exports(engine) {
            if linked(name) {
                continue;
            }
            match item.ty {
                ComponentItem::ComponentFunc(_) => {
                    let interface = interface.to_owned();
                    let function = name.to_owned();
                    linker.func_new(name, move |_, _, _, _| {
                        Err(wasmtime::Error::new(Denied::new(role, &interface, &function)))
                    })?;
                }
                ComponentItem::Resource(ty) if !self.is_alias(ty) => {
                    let number = u32::try_from(self.seen.len()).unwrap_or(u32::MAX);
                    linker.resource(name, ResourceType::host_dynamic(number), |_, _| Ok(()))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
