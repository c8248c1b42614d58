//! `durawasm inspect`: what a component is, what it offers, and what it gets from its deployment, seen as a host sees it.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use durawasm_errors::{Code, CodedError, Context as _};
use durawasm_host::{
    deployment::{Deployment, Entry, Grant, Manifest, Policy, Purpose, Refusal, RefusedRequest, Terms},
    registry::{LoadCause, LoadError, LoadedComponent},
    sandbox::{CodeCache, ContractError, Engines, SandboxLimits},
};
use serde::Serialize;

use crate::console::{BAD, Console, DIM, GOOD, STRONG, styled};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The component's file.
    file: PathBuf,
    /// Its manifest. Without it the one beside the component: `shop.toml` for `shop.wasm`.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    policy: PolicyArguments,
}

/// What the operator lets components ask for.
#[derive(Args)]
pub(crate) struct PolicyArguments {
    /// The operator's policy. Without it environment, clocks and random numbers may be asked for, and lower limits.
    #[arg(long, env = "DURAWASM_POLICY", value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl PolicyArguments {
    pub(crate) fn read(&self) -> Result<Arc<Policy>, CodedError> {
        let Some(path) = &self.policy else { return Ok(Arc::default()) };
        let policy = Policy::read(path).coded(Code::InvalidPolicy, || "the policy cannot be used".to_owned())?;
        Ok(Arc::new(policy))
    }

    /// For who does not run the component: without a policy everything may be asked for, and hosts decide.
    pub(crate) fn read_or_unbounded(&self) -> Result<Arc<Policy>, CodedError> {
        if self.policy.is_some() { self.read() } else { Ok(Arc::new(Policy::unbounded())) }
    }
}

/// What a component offers.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Inspection {
    pub(crate) name: String,
    pub(crate) version: String,
    digest: String,
    bytes: usize,
    pub(crate) orchestrators: Vec<Offer>,
    pub(crate) activities: Vec<Offer>,
    pub(crate) entities: Vec<Offer>,
    /// Whether the activities depend on their context and input alone. None if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pure_activities: Option<bool>,
}

/// One orchestrator, activity or entity.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Offer {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_schema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_schema: Option<String>,
}

impl Offer {
    /// The operations of an entity: its schema has a property for each.
    fn operations(&self) -> Vec<String> {
        let schema = self.input_schema.as_deref().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
        let properties = schema.as_ref().and_then(|schema| schema.get("properties")?.as_object());
        properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
    }
}

/// What a component asks for, may ask for, and gets.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sandbox {
    requested: Vec<Entry>,
    allowed: Vec<Entry>,
    /// Empty if something is refused: then the component is not run at all.
    granted: Vec<Entry>,
    refused: Vec<RefusedRequest>,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    component: Inspection,
    sandbox: Sandbox,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    let policy = arguments.policy.read()?;
    let manifest = match &arguments.manifest {
        Some(path) => Manifest::read(path).coded(Code::InvalidManifest, not_usable)?,
        None => beside(&arguments.file)?,
    };
    let component = load_with(arguments.file, manifest.clone()).await?;
    let bounds = policy.bounds(component.name());
    let terms = Terms { policy: Arc::clone(&policy), limits: SandboxLimits::default() };
    let settled = Grant::new(component.name(), &manifest, &terms);
    let sandbox = Sandbox {
        requested: manifest.entries(),
        allowed: bounds.entries(),
        granted: settled.as_ref().map(Grant::entries).unwrap_or_default(),
        refused: settled.as_ref().err().map(|refusal| refusal.requests.clone()).unwrap_or_default(),
    };
    let report = Report { component: describe(&component), sandbox };
    console.data(&report, || format!("{}{}", text(&report.component), sandbox_text(&report.sandbox, &policy)));
    match settled {
        Ok(_) => {
            console.next_step("Run it", "durawasm host --components FOLDER");
            Ok(())
        }
        Err(refusal) => Err(refused(&refusal)),
    }
}

fn refused(refusal: &Refusal) -> CodedError {
    CodedError::new(Code::BeyondPolicy, refusal.to_string())
}

fn not_usable() -> String {
    "the manifest cannot be used".to_owned()
}

fn beside(file: &std::path::Path) -> Result<Manifest, CodedError> {
    Manifest::beside(file).coded(Code::InvalidManifest, not_usable)
}

/// What a component offers, if a host can run it.
pub(crate) async fn inspect(file: PathBuf) -> Result<Inspection, CodedError> {
    load(file).await.map(|component| describe(&component))
}

fn describe(component: &LoadedComponent) -> Inspection {
    let offers = |definitions: &[durawasm_host::abi::component::Definition]| -> Vec<Offer> {
        definitions
            .iter()
            .map(|definition| Offer {
                name: definition.name.clone(),
                description: definition.description.clone(),
                input_schema: definition.input_schema.clone(),
                output_schema: definition.output_schema.clone(),
            })
            .collect()
    };
    let activities = offers(component.activity_definitions());
    Inspection {
        name: component.name().to_owned(),
        version: component.version().to_owned(),
        digest: component.digest().to_owned(),
        bytes: component.size(),
        orchestrators: offers(component.orchestrator_definitions()),
        pure_activities: (!activities.is_empty()).then(|| component.is_pure()),
        activities,
        entities: offers(component.entity_definitions()),
    }
}

/// Loads a component as a host does, so that what passes here runs there if the policy there allows what it asks for.
pub(crate) async fn load(file: PathBuf) -> Result<LoadedComponent, CodedError> {
    let manifest = beside(&file)?;
    load_with(file, manifest).await
}

async fn load_with(file: PathBuf, manifest: Manifest) -> Result<LoadedComponent, CodedError> {
    let shown = file.display().to_string();
    let bytes =
        std::fs::read(&file).coded(Code::InvalidComponent, || format!("the component {shown} cannot be read"))?;
    load_bytes(bytes, shown, manifest, Purpose::Examining).await
}

/// The same for bytes that are read already.
pub(crate) async fn load_bytes(
    bytes: Vec<u8>,
    shown: String,
    manifest: Manifest,
    purpose: Purpose,
) -> Result<LoadedComponent, CodedError> {
    let loading = tokio::task::spawn_blocking(move || {
        let engines = match purpose {
            // Somebody waits for it.
            Purpose::Replaying => Engines::hasty(),
            Purpose::Running | Purpose::Examining => Engines::new(),
        };
        let engines = engines.map_err(|error| {
            CodedError::new(Code::SystemRefused, "WebAssembly cannot be run on this machine").because(error)
        })?;
        let cache = CodeCache::new(default_cache());
        let terms = Terms { policy: Arc::new(Policy::unbounded()), limits: SandboxLimits::default() };
        let deployment = Deployment::new(manifest, terms).purpose(purpose);
        LoadedComponent::load(&bytes, &engines, &cache, deployment)
            .map_err(|error| CodedError::new(load_code(&error), format!("{shown} cannot be run: {error}")))
    });
    match loading.await {
        Ok(component) => component,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Where compiled components are kept unless a host is told otherwise: in the user's cache.
pub(crate) fn default_cache() -> PathBuf {
    durawasm_toolchain::user_cache().with_file_name("components")
}

/// The error code of a file that a host leaves out.
pub(crate) fn left_out(cause: &LoadCause) -> Code {
    match cause {
        LoadCause::Unreadable(_) => Code::InvalidComponent,
        LoadCause::Manifest(_) => Code::InvalidManifest,
        LoadCause::Component(error) => load_code(error),
        LoadCause::Engine(_) => Code::SystemRefused,
        LoadCause::Registry(_) | LoadCause::Announced(_) => Code::ComponentConflict,
    }
}

fn load_code(error: &LoadError) -> Code {
    match error {
        LoadError::Contract(ContractError::OtherVersion { .. }) => Code::WrongWitVersion,
        LoadError::Contract(_) | LoadError::Panic(_) => Code::InvalidComponent,
        LoadError::OtherManifest { .. } => Code::InvalidManifest,
        LoadError::Refused(_) => Code::BeyondPolicy,
        LoadError::Unavailable(_) => Code::GrantUnavailable,
    }
}

fn text(inspection: &Inspection) -> String {
    let mut text = format!("{} {}", styled(STRONG, &inspection.name), inspection.version);
    text.push_str(&format!("\n  {} {}", styled(DIM, "sha-256  "), inspection.digest));
    text.push_str(&format!("\n  {} {} bytes", styled(DIM, "size     "), inspection.bytes));
    let purity = match inspection.pure_activities {
        Some(true) => format!(" ({}: they depend on their context and input alone)", styled(GOOD, "pure")),
        _ => String::new(),
    };
    for (title, note, offers) in [
        ("orchestrators", "", &inspection.orchestrators),
        ("activities", &*purity, &inspection.activities),
        ("entities", "", &inspection.entities),
    ] {
        if !offers.is_empty() {
            text.push_str(&format!("\n  {title}{note}"));
        }
        for offer in offers {
            let description = offer.description.as_deref().map(|line| format!("  {}", styled(DIM, line)));
            text.push_str(&format!("\n    {}{}", styled(STRONG, &offer.name), description.unwrap_or_default()));
            if title == "entities" && !offer.operations().is_empty() {
                text.push_str(&format!("\n      {}", offer.operations().join(", ")));
            }
        }
    }
    text
}

fn sandbox_text(sandbox: &Sandbox, policy: &Policy) -> String {
    let mut text = String::new();
    let mut section = |title: &str, entries: &[Entry]| {
        if !entries.is_empty() {
            text.push_str(&format!("\n  {title}"));
        }
        for Entry { key, value, .. } in entries {
            text.push_str(&format!("\n    {} {value}", styled(DIM, format_args!("{key} ="))));
        }
    };
    section("asks for", &sandbox.requested);
    if !sandbox.requested.is_empty() {
        let policy = policy.path().map_or("the default policy".to_owned(), |path| path.display().to_string());
        section(&format!("may ask for (by {policy})"), &sandbox.allowed);
    }
    section("gets", &sandbox.granted);
    if !sandbox.refused.is_empty() {
        text.push_str(&format!("\n  {}", styled(BAD, "refused")));
    }
    for RefusedRequest { key, requested, allowed } in &sandbox.refused {
        text.push_str(&format!("\n    {} {requested} (allowed: {allowed})", styled(DIM, format_args!("{key} ="))));
    }
    text
}
