//! What activities can reach, one capability a file.
//!
//! A capability is prepared once for each component (secrets read, folders opened), linked once, and given to each call afresh.
//! Nothing reaches a guest except through one of these modules: an interface that none of them provides is denied by a
//! trap that names the key to ask for in the manifest.

mod clocks;
mod environment;
mod folders;
pub(super) mod http;
mod random;
mod streams;

use wasmtime::component::Linker;
use wasmtime_wasi::{WasiCtx, WasiView};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_io::IoView;

use crate::deployment::{Grant, Unavailable};
use environment::Environment;
pub(super) use environment::{Redaction, plain};
use folders::Folders;
pub(super) use streams::Output;

/// What one component's activities can reach.
pub(crate) struct Capabilities {
    environment: Environment,
    clocks: bool,
    random: bool,
    http: Option<http::Client>,
    folders: Folders,
}

/// A state that the functions of all capabilities work on.
pub(super) trait Effects: WasiView + WasiHttpView + IoView + Send + 'static {}

impl<T: WasiView + WasiHttpView + IoView + Send + 'static> Effects for T {}

impl Capabilities {
    /// Prepares what was granted. For a component that is only looked at nothing is touched.
    pub(crate) fn prepare(grant: &Grant, examined: bool) -> Result<Self, Unavailable> {
        let (environment, folders) = if examined {
            (Environment::without_secrets(grant), Folders::default())
        } else {
            (Environment::prepare(grant)?, Folders::open(&grant.folders)?)
        };
        Ok(Self {
            environment,
            folders,
            clocks: grant.clocks,
            random: grant.random,
            http: grant.http.as_ref().map(http::Client::new),
        })
    }

    /// Links what this component was granted, and what every component has.
    pub(super) fn link<T: Effects>(&self, linker: &mut Linker<T>) -> wasmtime::Result<()> {
        wasmtime_wasi_io::add_to_linker_async(linker)?;
        streams::link(linker)?;
        environment::link(linker)?;
        folders::link(linker)?;
        random::link(linker, self.random)?;
        if self.clocks {
            clocks::link(linker)?;
        }
        if self.http.is_some() {
            http::link(linker)?;
        }
        Ok(())
    }

    /// Whether an interface is linked for this component.
    pub(super) fn provide(&self, interface: &str) -> bool {
        match interface {
            "wasi:random/random" => self.random,
            _ => match interface.split('/').next().unwrap_or_default() {
                "wasi:cli" | "wasi:filesystem" | "wasi:io" | "wasi:random" | "durawasm:workflow" => true,
                "wasi:clocks" => self.clocks,
                "wasi:http" => self.http.is_some() && http::is_linked(interface),
                _ => false,
            },
        }
    }

    /// What one call sees. `call_id` names the call: all that only seems random is derived from it.
    pub(super) fn context(&self, call_id: &str, output: &Output) -> WasiCtx {
        let mut builder = WasiCtx::builder();
        builder.allow_blocking_current_thread(false);
        streams::give(&mut builder, output);
        self.environment.give(&mut builder);
        if !self.random {
            random::make_deterministic(&mut builder, call_id);
        }
        let mut context = builder.build();
        self.folders.give(&mut context);
        context
    }

    /// The requests of one call. `scope` names the call and is the same for each attempt at it.
    pub(super) fn requests(&self, scope: &str, output: &Output) -> http::Requests {
        http::Requests::new(self.http.clone(), scope, output)
    }

    /// Takes secrets out of what people read.
    pub(super) fn redaction(&self) -> &Redaction {
        self.environment.redaction()
    }
}
