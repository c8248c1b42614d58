//! What is deployed in a task hub: versions of components, and what new orchestrations begin on. Only our own scheduler has it.

use durawasm_proto::v1;
use serde::Serialize;
use tonic::{Code, Status};
use v1::deploy_request::Part;

use crate::{Client, Error, ErrorKind, convert, time};

/// All instances: a share that makes a version the default.
pub const WHOLE: u32 = 10_000;

/// Bytes of a component in one message.
const CHUNK: usize = 1 << 20;

/// What is deployed in a hub.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployments {
    /// Grows with each change. Whoever decides upon what was looked at says so, and is refused if it has changed since.
    pub revision: u64,
    /// In the order of their deployment.
    pub versions: Vec<DeployedVersion>,
    /// By orchestrator.
    pub defaults: Vec<VersionDefault>,
}

/// A version of a component.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployedVersion {
    /// The component's name.
    pub name: String,
    /// The version.
    pub version: String,
    /// Of its bytes and its environment: what makes it that version.
    pub digest: String,
    /// SHA-256 of its bytes alone.
    pub content: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// Its manifest, as TOML.
    #[serde(skip)]
    pub manifest: String,
    /// Its orchestrators.
    pub orchestrators: Vec<Offer>,
    /// Its activities.
    pub activities: Vec<Offer>,
    /// Its entities.
    pub entities: Vec<Offer>,
    /// When it was deployed. None before it is.
    #[serde(serialize_with = "time::option::serialize")]
    pub deployed_at: Option<std::time::SystemTime>,
}

/// What a component says of something that it offers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    /// Its name.
    pub name: String,
    /// What it is, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The JSON schema of its input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<String>,
    /// The JSON schema of its output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<String>,
}

/// What orchestrations of one name begin on that are started without a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionDefault {
    /// The orchestrator.
    pub name: String,
    /// The version.
    pub version: String,
    /// A share of them begins on another version: that version, and the share in parts of [`WHOLE`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<(String, u32)>,
    /// The default before this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

/// The instances in flight of an orchestrator in one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionUsage {
    /// The orchestrator.
    pub orchestrator: String,
    /// The version. None: those without one.
    pub version: Option<String>,
    /// Not begun.
    pub pending: u64,
    /// Running.
    pub running: u64,
    /// Suspended.
    pub suspended: u64,
    /// Of all these, those that are parked.
    pub parked: u64,
}

impl Client {
    /// What is deployed in the hub.
    pub async fn deployments(&self) -> Result<Deployments, Error> {
        Ok(self.list_deployments(false).await?.0)
    }

    /// What is deployed in the hub, and the instances in flight of each version.
    pub async fn deployments_in_use(&self) -> Result<(Deployments, Vec<VersionUsage>), Error> {
        self.list_deployments(true).await
    }

    /// How many of the connected hosts can run a version, and how many there are.
    pub async fn hosts_of(&self, name: &str, version: &str) -> Result<(u32, u32), Error> {
        let request = v1::ListDeploymentsRequest { hosts: true, ..Default::default() };
        let answer = self.services().durawasm.list_deployments(request).await;
        let answer = answer.map_err(|status| self.deployment_error(self.hub_missing(status)))?.into_inner();
        let versions = answer.deployments.unwrap_or_default().versions;
        let at = versions.iter().position(|there| there.name == name && there.version == version);
        let hosts = at.and_then(|at| answer.hosts.get(at).copied()).unwrap_or(0);
        Ok((hosts, answer.connected_hosts))
    }

    async fn list_deployments(&self, usage: bool) -> Result<(Deployments, Vec<VersionUsage>), Error> {
        let request = v1::ListDeploymentsRequest { usage, hosts: false };
        let answer = self.services().durawasm.list_deployments(request).await;
        let answer = answer.map_err(|status| self.deployment_error(self.hub_missing(status)))?.into_inner();
        let usage = answer.usage.into_iter().map(|used| VersionUsage {
            orchestrator: used.orchestrator,
            version: Some(used.version).filter(|version| !version.is_empty()),
            pending: used.pending,
            running: used.running,
            suspended: used.suspended,
            parked: used.parked,
        });
        Ok((deployments(answer.deployments.unwrap_or_default()), usage.collect()))
    }

    /// Deploys a version of a component: its bytes are kept in the hub, every connected host fetches them. Then `share` of the instances that
    /// are started without a version begin on it, in parts of [`WHOLE`]; with 0, none. Says what is deployed then, and whether the
    /// version was there already. With a `revision` it is refused if something else was deployed since.
    pub async fn deploy(
        &self,
        version: &DeployedVersion,
        bytes: Vec<u8>,
        share: u32,
        revision: Option<u64>,
    ) -> Result<(Deployments, bool), Error> {
        let component = v1::ComponentVersion {
            name: version.name.clone(),
            version: version.version.clone(),
            digest: version.digest.clone(),
            content: version.content.clone(),
            bytes: bytes.len() as u64,
            manifest: version.manifest.clone(),
            orchestrators: definitions(&version.orchestrators),
            activities: definitions(&version.activities),
            entities: definitions(&version.entities),
            deployed_at: None,
        };
        let deployment = v1::Deployment { component: Some(component), share, revision };
        let data = bytes.chunks(CHUNK).map(|chunk| Part::Data(chunk.to_vec()));
        let parts = std::iter::once(Part::Deployment(deployment)).chain(data);
        let messages: Vec<_> = parts.map(|part| v1::DeployRequest { part: Some(part) }).collect();
        let answer = self.services().durawasm.deploy(futures::stream::iter(messages)).await;
        let answer = answer.map_err(|status| self.refused_change(status))?.into_inner();
        Ok((deployments(answer.deployments.unwrap_or_default()), answer.already_there))
    }

    /// Makes a deployed version what a share of new instances begin on, in parts of [`WHOLE`].
    pub async fn activate(
        &self,
        name: &str,
        version: &str,
        share: u32,
        revision: Option<u64>,
    ) -> Result<Deployments, Error> {
        let (name, version) = (name.to_owned(), version.to_owned());
        let request = v1::ActivateVersionRequest { name, version, share, revision };
        let answer = self.services().durawasm.activate_version(request).await;
        Ok(deployments(answer.map_err(|status| self.refused_change(status))?.into_inner()))
    }

    /// Ends the canary of a component; without one, new instances begin on what was the default before.
    pub async fn roll_back(&self, name: &str, revision: Option<u64>) -> Result<Deployments, Error> {
        let request = v1::RollBackRequest { name: name.to_owned(), revision };
        let answer = self.services().durawasm.roll_back(request).await;
        Ok(deployments(answer.map_err(|status| self.refused_change(status))?.into_inner()))
    }

    /// Forgets a version that nothing needs; with `force`, also one that instances in flight have, which then wait until it is deployed
    /// again.
    pub async fn remove_version(&self, name: &str, version: &str, force: bool) -> Result<Deployments, Error> {
        let (name, version) = (name.to_owned(), version.to_owned());
        let request = v1::RemoveVersionRequest { name, version, force, revision: None };
        let answer = self.services().durawasm.remove_version(request).await;
        Ok(deployments(answer.map_err(|status| self.refused_change(status))?.into_inner()))
    }

    /// The error of a change of what is deployed.
    fn refused_change(&self, status: Status) -> Error {
        let message = status.message().to_owned();
        let kind = match status.code() {
            // Both a hub and a version may be missing; the scheduler's words tell which.
            Code::NotFound if message.contains("no task hub") => return self.hub_missing(status),
            Code::NotFound => ErrorKind::VersionNotFound,
            Code::AlreadyExists => ErrorKind::VersionConflict,
            Code::Aborted | Code::FailedPrecondition | Code::InvalidArgument => ErrorKind::DeploymentRefused,
            _ => return self.deployment_error(self.failed(status)),
        };
        Error::new(kind, message)
    }

    fn deployment_error(&self, error: Error) -> Error {
        self.extension(error, "keep deployments")
    }
}

fn definitions(offers: &[Offer]) -> Vec<v1::Definition> {
    let definition = |offer: &Offer| v1::Definition {
        name: offer.name.clone(),
        description: offer.description.clone(),
        input_schema: offer.input_schema.clone(),
        output_schema: offer.output_schema.clone(),
    };
    offers.iter().map(definition).collect()
}

fn offers(definitions: Vec<v1::Definition>) -> Vec<Offer> {
    let offer = |definition: v1::Definition| Offer {
        name: definition.name,
        description: definition.description,
        input_schema: definition.input_schema,
        output_schema: definition.output_schema,
    };
    definitions.into_iter().map(offer).collect()
}

fn deployments(wire: v1::Deployments) -> Deployments {
    let version = |version: v1::ComponentVersion| DeployedVersion {
        name: version.name,
        version: version.version,
        digest: version.digest,
        content: version.content,
        bytes: version.bytes,
        manifest: version.manifest,
        orchestrators: offers(version.orchestrators),
        activities: offers(version.activities),
        entities: offers(version.entities),
        deployed_at: version.deployed_at.and_then(convert::time),
    };
    let default = |default: v1::OrchestratorDefault| VersionDefault {
        name: default.name,
        version: default.version,
        canary: (default.canary_share > 0).then_some((default.canary, default.canary_share)),
        previous: Some(default.previous).filter(|previous| !previous.is_empty()),
    };
    Deployments {
        revision: wire.revision,
        versions: wire.versions.into_iter().map(version).collect(),
        defaults: wire.defaults.into_iter().map(default).collect(),
    }
}
