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
    Entity,
}

/// The trap of a denied call.
#[derive(Debug, thiserror::Error)]
#[error("`{function}` is not available to {who}: {why}. Instead: {instead}")]
pub(super) struct Denied {
    function: String,
    who: &'static str,
    why: &'static str,
    instead: &'static str,
}

impl Denied {
    pub(super) fn new(role: Role, interface: &str, function: &str) -> Self {
        let (who, Reason { why, instead }) = match role {
            Role::Orchestrator => ("orchestrators", orchestrator(interface, function)),
            Role::Activity => ("activities", activity(interface)),
            Role::Entity => ("entities", activity(interface)),
        };
        Self { function: format!("{interface}#{function}"), who, why, instead }
    }
}

/// Why something is denied, and what its caller does in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) why: &'static str,
    pub(super) instead: &'static str,
}

/// Why an activity does not get a function.
fn activity(interface: &str) -> Reason {
    let instead = match interface.split('/').next().unwrap_or(interface) {
        "wasi:clocks" => "ask for it in the component's manifest, with `clocks = true` under [capabilities]",
        "wasi:random" => "ask for it in the component's manifest, with `random = true` under [capabilities]",
        "wasi:http" => {
            "ask for it in the component's manifest, with the servers' names in `hosts` under [capabilities.http]"
        }
        "wasi:sockets" | "wasi:tls" => {
            "call servers over HTTP, and ask for it in the component's manifest under [capabilities.http]"
        }
        _ => return Reason { why: "no host offers it", instead: "do without it" },
    };
    Reason { why: "nothing of the kind is granted to them", instead }
}

const SLEEP: Reason = Reason {
    why: "an orchestrator that waits holds no thread, and must wait equally long in every replay",
    instead: "await a durable timer of the SDK",
};
const EXIT: Reason = Reason {
    why: "there is no process to leave, and the orchestration would be left without an outcome",
    instead: "return from the orchestrator, or fail with an error",
};
const FILES: Reason = Reason {
    why: "orchestrators have no files, since a file may have changed when the history is replayed",
    instead: "read and write files in an activity, and use what it returns",
};
const NETWORK: Reason = Reason {
    why: "orchestrators have no network, since what a peer answers cannot be replayed",
    instead: "do it in an activity, and use what it returns",
};
const CONFIGURATION: Reason = Reason {
    why: "what it answers may have changed when the history is replayed",
    instead: "use the environment variables that the deployment sets for the component, or an activity",
};
const LOGGING: Reason = Reason {
    why: "it is not among what this host offers",
    instead: "use the SDK's log, standard output or `durawasm:workflow/log`, whose lines appear once and not in replays",
};
const OTHER: Reason = Reason {
    why: "what an orchestrator does must depend on its history alone",
    instead: "do it in an activity, and use what it returns",
};

/// Why an orchestrator does not get a function.
fn orchestrator(interface: &str, function: &str) -> Reason {
    match interface.split('/').next().unwrap_or(interface) {
        "wasi:clocks" if function.starts_with("subscribe") => SLEEP,
        "wasi:cli" if interface.ends_with("/exit") => EXIT,
        "wasi:filesystem" => FILES,
        "wasi:sockets" | "wasi:http" | "wasi:tls" => NETWORK,
        "wasi:config" => CONFIGURATION,
        "wasi:logging" => LOGGING,
        _ => OTHER,
    }
}

/// All reasons that orchestrators are given.
#[cfg(test)]
pub(super) fn orchestrator_reasons() -> impl Iterator<Item = Reason> {
    [SLEEP, EXIT, FILES, NETWORK, CONFIGURATION, LOGGING, OTHER].into_iter()
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
