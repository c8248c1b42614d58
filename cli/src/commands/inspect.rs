//! `durawasm inspect`: what a component is and what it offers, seen as a host sees it.

use std::path::PathBuf;

use clap::Args;
use durawasm_errors::{Code, CodedError, Context as _};
use durawasm_host::{
    registry::LoadedComponent,
    sandbox::{CodeCache, ContractError, Engines, SandboxLimits},
};
use serde::Serialize;

use crate::console::{Console, DIM, STRONG, styled};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The component's file.
    file: PathBuf,
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
}

/// One orchestrator or activity.
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

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    let inspection = inspect(arguments.file).await?;
    console.data(&inspection, || text(&inspection));
    console.next_step("Run it", "durawasm host --components FOLDER");
    Ok(())
}

/// What a component offers, if a host can run it.
pub(crate) async fn inspect(file: PathBuf) -> Result<Inspection, CodedError> {
    let component = load(file).await?;
    let offers = |definitions: &[durawasm_host::abi::component::Definition]| {
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
    Ok(Inspection {
        name: component.name().to_owned(),
        version: component.version().to_owned(),
        digest: component.digest().to_owned(),
        bytes: component.size(),
        orchestrators: offers(component.orchestrator_definitions()),
        activities: offers(component.activity_definitions()),
    })
}

/// Loads a component as a host does, so that what passes here runs there.
pub(crate) async fn load(file: PathBuf) -> Result<LoadedComponent, CodedError> {
    let shown = file.display().to_string();
    let bytes =
        std::fs::read(&file).coded(Code::InvalidComponent, || format!("the component {shown} cannot be read"))?;
    let loading = tokio::task::spawn_blocking(move || {
        let engines = Engines::new().map_err(|error| {
            CodedError::new(Code::SystemRefused, "WebAssembly cannot be run on this machine").because(error)
        })?;
        let cache = CodeCache::new(default_cache());
        LoadedComponent::load(&bytes, &engines, &cache, SandboxLimits::default())
            .map_err(|error| CodedError::new(contract_code(&error), format!("{shown} cannot be run: {error}")))
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

/// The error code of a file that a host leaves out. It is looked at again by itself: what can be run alone was refused
/// because of the others.
pub(crate) async fn left_out(file: PathBuf) -> Code {
    match inspect(file).await {
        Ok(_) => Code::ComponentConflict,
        Err(error) => error.code(),
    }
}

fn contract_code(error: &ContractError) -> Code {
    match error {
        ContractError::OtherVersion { .. } => Code::WrongWitVersion,
        _ => Code::InvalidComponent,
    }
}

fn text(inspection: &Inspection) -> String {
    let mut text = format!("{} {}", styled(STRONG, &inspection.name), inspection.version);
    text.push_str(&format!("\n  {} {}", styled(DIM, "sha-256  "), inspection.digest));
    text.push_str(&format!("\n  {} {} bytes", styled(DIM, "size     "), inspection.bytes));
    for (title, offers) in [("orchestrators", &inspection.orchestrators), ("activities", &inspection.activities)] {
        if !offers.is_empty() {
            text.push_str(&format!("\n  {title}"));
        }
        for offer in offers {
            let description = offer.description.as_deref().map(|line| format!("  {}", styled(DIM, line)));
            text.push_str(&format!("\n    {}{}", styled(STRONG, &offer.name), description.unwrap_or_default()));
        }
    }
    text
}
