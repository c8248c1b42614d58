//! What a component asks for, what the operator allows, and what it gets.
//!
//! The author of a deployment writes a [`Manifest`] beside the component (`shop.toml` beside `shop.wasm`); the operator of a
//! host writes a [`Policy`]. A request within the policy becomes the component's [`Grant`]; one beyond it refuses the
//! component, with an error that says which key to change. Nothing is ever cut silently: a component either gets what it
//! asked for or does not run. The modules here read and compare; the sandbox carries out what they decide.

mod display;
mod document;
mod grant;
mod hosts;
mod limits;
mod manifest;
mod paths;
mod policy;
mod versioning;

use std::sync::Arc;

use crate::sandbox::SandboxLimits;

pub use display::{Change, Entry, changes};
pub use document::DocumentError;
pub use grant::{Grant, Refusal, RefusedRequest, Unavailable};
pub use hosts::{HostPattern, InvalidHost, Scheme, Target};
pub use limits::{LimitRequests, RoleLimits};
pub use manifest::{Access, Capabilities, Folder, HttpAccess, Manifest, SecretSource, VariableName};
pub use paths::{FolderPath, GuestPath};
pub use policy::{Bounds, FolderBound, Policy, SecretBounds};
pub use versioning::{MatchStrategy, OnMismatch, Versioning};

/// What the operator of a host sets for all components.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// What components may ask for.
    pub policy: Arc<Policy>,
    /// What guests may use up where neither the policy nor a manifest says otherwise.
    pub limits: SandboxLimits,
}

impl From<SandboxLimits> for Terms {
    /// The default policy, with these limits.
    fn from(limits: SandboxLimits) -> Self {
        Self { policy: Arc::default(), limits }
    }
}

/// What a component is loaded for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// It is run.
    #[default]
    Running,
    /// It is looked at and never run: no secret is read, no folder opened.
    Examining,
    /// As with examining; and only its orchestrators are compiled, to be replayed.
    Replaying,
}

/// All about a component but its bytes.
#[derive(Clone, Debug, Default)]
pub struct Deployment {
    /// What it asks for.
    pub manifest: Manifest,
    /// What it may ask for.
    pub terms: Terms,
    /// What it is loaded for.
    pub purpose: Purpose,
}

impl Deployment {
    /// A component that asks for this, on these terms.
    pub fn new(manifest: Manifest, terms: Terms) -> Self {
        Self { manifest, terms, purpose: Purpose::Running }
    }

    /// The same, for another purpose.
    #[must_use]
    pub fn purpose(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }
}

impl From<SandboxLimits> for Deployment {
    /// A component that asks for nothing, with these limits.
    fn from(limits: SandboxLimits) -> Self {
        Self::new(Manifest::default(), limits.into())
    }
}
