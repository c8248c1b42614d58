//! Deployments, in a short form.

use durawasm_proto::v1;

use super::{Client, soon};

/// A component `shop` with an orchestrator `o`.
pub(crate) fn component(version: &str, bytes: &[u8]) -> v1::ComponentVersion {
    v1::ComponentVersion {
        name: "shop".to_owned(),
        version: version.to_owned(),
        digest: content(bytes),
        content: content(bytes),
        bytes: bytes.len() as u64,
        orchestrators: vec![v1::Definition { name: "o".to_owned(), ..Default::default() }],
        ..Default::default()
    }
}

/// The digest of bytes.
pub(crate) fn content(bytes: &[u8]) -> String {
    durawasm_scheduler::deployments::files::content_of(bytes)
}

/// Deploys a component whose bytes come in these parts.
pub(crate) async fn upload(
    client: &Client,
    component: v1::ComponentVersion,
    share: u32,
    parts: &[&[u8]],
) -> Result<v1::DeployResponse, tonic::Status> {
    use v1::deploy_request::Part;
    let first = Part::Deployment(v1::Deployment { component: Some(component), share, revision: None });
    let parts: Vec<_> = parts.iter().map(|part| Part::Data(part.to_vec())).collect();
    let messages = std::iter::once(first).chain(parts).map(|part| v1::DeployRequest { part: Some(part) });
    let stream = tokio_stream::iter(messages.collect::<Vec<_>>());
    Ok(soon("an answer", client.own().deploy(stream)).await?.into_inner())
}

/// Deploys bytes that are made up of the version.
pub(crate) async fn deploy(client: &Client, version: &str, share: u32) -> v1::Deployments {
    let bytes = format!("bytes of {version}");
    upload(client, component(version, bytes.as_bytes()), share, &[bytes.as_bytes()]).await.unwrap().deployments.unwrap()
}

/// Removes a version of the component.
pub(crate) async fn remove(client: &Client, version: &str, force: bool) -> Result<v1::Deployments, tonic::Status> {
    let (name, version) = ("shop".to_owned(), version.to_owned());
    let request = v1::RemoveVersionRequest { name, version, force, revision: None };
    Ok(client.own().remove_version(request).await?.into_inner())
}

/// The bytes of a component.
pub(crate) async fn fetch(client: &Client, digest: &str) -> Result<Vec<u8>, tonic::Status> {
    let request = v1::FetchComponentRequest { digest: digest.to_owned() };
    let mut chunks = client.own().fetch_component(request).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.message().await? {
        bytes.extend(chunk.data);
    }
    Ok(bytes)
}

/// The share that is everything.
pub(crate) const ALL: u32 = 10_000;
