//! One component, compiled and linked.

use std::fmt;
use std::sync::Arc;

use crate::abi::component::Definition;
use crate::deployment::{Deployment, Grant, Manifest, Purpose, Refusal, Unavailable, Versioning};
use crate::orchestration::Program;
use crate::sandbox::{
    self, ActivityCode, CodeCache, ContractError, Engines, EntityCode, OrchestratorCode, SandboxLimits,
};

/// One component, compiled and linked, ready to run what it offers.
pub struct LoadedComponent {
    program: Arc<Program>,
    digest: String,
    size: usize,
    orchestrators: Vec<String>,
    activities: Vec<String>,
    entities: Vec<String>,
    definitions: Definitions,
    grant: Arc<Grant>,
    manifest: Manifest,
    orchestrator: Option<Arc<OrchestratorCode>>,
    activity: Option<Arc<ActivityCode>>,
    entity: Option<Arc<EntityCode>>,
}

/// What a component says of what it offers.
#[derive(Clone, Debug, Default)]
struct Definitions {
    orchestrators: Vec<Definition>,
    activities: Vec<Definition>,
    entities: Vec<Definition>,
}

impl fmt::Debug for LoadedComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedComponent")
            .field("name", &self.name())
            .field("version", &self.version())
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// Why a component cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It does not keep the contract.
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// It asks for more than it may.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What it was granted is not there.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The host failed over it, and has said where.
    #[error(
        "the host failed while it compiled it: {0}. All else goes on. Report it with the component and the host's log; \
         until it is mended, build the component with another compiler version or another optimization level"
    )]
    Panic(String),
    /// Its manifest is another one's.
    #[error(
        "its manifest is for the {key} `{wanted}`, and this is `{is}`. Deploy it with its own manifest, or correct `{key}` there"
    )]
    OtherManifest {
        /// The key of the manifest: `component` or `version`.
        key: &'static str,
        /// What the manifest says.
        wanted: String,
        /// What the component says.
        is: String,
    },
}

impl LoadedComponent {
    /// Compiles a component (or takes it from the cache), checks that it keeps the contract, asks it what it offers, and gives
    /// it what its deployment asks for, if that is allowed. Limits alone are a deployment that asks for nothing.
    pub fn load(
        bytes: &[u8],
        engines: &Engines,
        cache: &CodeCache,
        deployment: impl Into<Deployment>,
    ) -> Result<Self, LoadError> {
        let deployment = deployment.into();
        check_form(bytes)?;
        // The code is that of the bytes; what the environment changes is what the guest sees.
        let content = Manifest::default().digest(bytes);
        let with_effects = deployment.purpose != Purpose::Replaying;
        let linked = sandbox::LinkedComponent::new(bytes, &content, engines, cache, with_effects)?;
        let info = linked.describe(&deployment.terms.limits)?;
        for (key, wanted, is) in [
            ("component", &deployment.manifest.component, &info.name),
            ("version", &deployment.manifest.version, &info.version),
        ] {
            if let Some(wanted) = wanted.as_ref().filter(|wanted| *wanted != is) {
                return Err(LoadError::OtherManifest { key, wanted: wanted.clone(), is: is.clone() });
            }
        }
        let grant = Arc::new(Grant::new(&info.name, &deployment.manifest, &deployment.terms)?);
        let capabilities = sandbox::Capabilities::prepare(&grant, deployment.purpose != Purpose::Running)?;
        let label = format!("{} {}", info.name, info.version);
        let code = linked.code(label, &grant, capabilities)?;
        let names = |definitions: &[Definition]| definitions.iter().map(|definition| definition.name.clone()).collect();
        let (orchestrators, activities): (Vec<String>, Vec<String>) =
            (names(&info.orchestrators), names(&info.activities));
        let entities = info.entities.iter().map(|entity| entity.name.to_lowercase()).collect();
        Ok(Self {
            program: Arc::new(Program {
                component: info.name,
                version: info.version,
                activities: activities.iter().cloned().collect(),
                default_version: grant.versioning.default_version.clone(),
            }),
            digest: deployment.manifest.digest(bytes),
            size: bytes.len(),
            orchestrators,
            activities,
            entities,
            definitions: Definitions {
                orchestrators: info.orchestrators,
                activities: info.activities,
                entities: info.entities,
            },
            grant,
            manifest: deployment.manifest,
            orchestrator: code.orchestrator.map(Arc::new),
            activity: code.activity.map(Arc::new),
            entity: code.entity.map(Arc::new),
        })
    }

    /// The component's name.
    pub fn name(&self) -> &str {
        &self.program.component
    }

    /// The component's version.
    pub fn version(&self) -> &str {
        &self.program.version
    }

    /// SHA-256 of its bytes, and of its environment if it has one, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// How many bytes the component has.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The names of its orchestrators.
    pub fn orchestrators(&self) -> &[String] {
        &self.orchestrators
    }

    /// The names of its activities.
    pub fn activities(&self) -> &[String] {
        &self.activities
    }

    /// The names of its entities, in lower case.
    pub fn entities(&self) -> &[String] {
        &self.entities
    }

    /// Its orchestrators as it describes them.
    pub fn orchestrator_definitions(&self) -> &[Definition] {
        &self.definitions.orchestrators
    }

    /// Its activities as it describes them.
    pub fn activity_definitions(&self) -> &[Definition] {
        &self.definitions.activities
    }

    /// Its entities as it describes them.
    pub fn entity_definitions(&self) -> &[Definition] {
        &self.definitions.entities
    }

    /// What its deployment asked for.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What it makes of instances that began on another version.
    pub fn versioning(&self) -> &Versioning {
        &self.grant.versioning
    }

    /// What it was granted.
    pub fn grant(&self) -> &Arc<Grant> {
        &self.grant
    }

    /// Whether its activities are functions of their context and input and of nothing else.
    pub fn is_pure(&self) -> bool {
        self.grant.is_pure()
    }

    /// What its guests may use up.
    pub fn limits(&self) -> &SandboxLimits {
        &self.grant.limits
    }

    /// What a session must know of it.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// The code of its orchestrators, if it has any.
    pub fn orchestrator_code(&self) -> Option<&Arc<OrchestratorCode>> {
        self.orchestrator.as_ref()
    }

    /// The code of its activities, if it has any.
    pub fn activity_code(&self) -> Option<&Arc<ActivityCode>> {
        self.activity.as_ref()
    }

    /// The code of its entities, if it has any.
    pub fn entity_code(&self) -> Option<&Arc<EntityCode>> {
        self.entity.as_ref()
    }
}

/// The first 8 bytes tell a component from everything that people take for one.
fn check_form(bytes: &[u8]) -> Result<(), ContractError> {
    const FIX: &str = "Fix: build it for the target wasm32-wasip2, or with `durawasm build`";
    let refuse = |what: &str| Err(ContractError::NotAComponent(what.to_owned(), FIX));
    match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => refuse("it is a core module"),
        [0, b'a', b's', b'm', ..] => refuse("it is in a binary format that is not known"),
        [] => refuse("the file is empty"),
        _ => refuse("it does not begin as WebAssembly does"),
    }
}
