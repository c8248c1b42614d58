//! Deployments: components come in, are kept, and go out to hosts.

use std::sync::Arc;
use std::time::Duration;

use durawasm_proto::v1;
use tokio::sync::{SemaphorePermit, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Status, Streaming};
use v1::deploy_request::Part;

use super::{durawasm, entities, status};
use crate::core::dispatch::Route;
use crate::core::message::{Input, Reply};
use crate::core::record::Status as InstanceStatus;
use crate::core::token::WorkKind;
use crate::deployments::{Catalogue, ChangeError, OpenActivities, Refused, Usage, files};
use crate::hub::Hub;
use crate::store::InstanceOrder;

/// The largest component that is taken. Those in Python have about 40 MB.
const LARGEST_COMPONENT: u64 = 256 << 20;
/// Bytes of a component in one message.
const CHUNK: usize = 1 << 20;
/// An upload of which nothing comes for so long is given up: others wait for it.
const SILENCE: Duration = Duration::from_secs(30);
/// …and so is one that takes so long.
const LONGEST_UPLOAD: Duration = Duration::from_secs(1_800);

/// A hub's deployments as they change.
pub type DeploymentStream = ReceiverStream<Result<v1::Deployments, Status>>;
/// The bytes of a component.
pub type ByteStream = ReceiverStream<Result<v1::ComponentBytes, Status>>;

/// Takes a component in.
pub async fn deploy(hub: &Hub, mut parts: Streaming<v1::DeployRequest>) -> Result<v1::DeployResponse, Status> {
    let first = parts.next().await.transpose()?.and_then(|request| request.part);
    let Some(Part::Deployment(v1::Deployment { component: Some(mut component), share, revision })) = first else {
        return Err(Status::invalid_argument("the first message of a deployment must say what is deployed"));
    };
    component.deployed_at = Some(crate::hub::wall_clock().into());

    let current = hub.deployments().current();
    current.expect(revision).map_err(refused)?;
    let already_there = current.check(&component).map_err(refused)?;
    // What was damaged on disk meanwhile, or is gone, is mended by another upload.
    let bytes = match already_there && is_whole(hub, &component.content).await? {
        true => None,
        false => Some(take(hub, &component, parts).await?),
    };
    let content = component.content.clone();
    let change = move |catalogue: &mut Catalogue| {
        catalogue.expect(revision)?;
        let (name, version) = (component.name.clone(), component.version.clone());
        catalogue.add(component)?;
        if share > 0 { catalogue.activate(&name, &version, share) } else { Ok(()) }
    };
    let (bytes, _alone) = bytes.unzip();
    let changed = change_with(hub, bytes.map(|bytes| (content, bytes)), change).await?;
    Ok(v1::DeployResponse { deployments: Some(changed.wire().clone()), already_there })
}

/// Whether the bytes are there, and are what they should be.
async fn is_whole(hub: &Hub, content: &str) -> Result<bool, Status> {
    let (reading, content) = (hub.clone(), content.to_owned());
    match tokio::task::spawn_blocking(move || reading.deployments().bytes(&content)).await {
        Ok(Ok(bytes)) => Ok(bytes.is_some()),
        Ok(Err(ChangeError::Closed)) | Err(_) => Err(hub.stopping()),
        Ok(Err(error)) => {
            tracing::warn!(hub = hub.name(), %error, "a component is deployed again, and takes the place of what is damaged");
            Ok(false)
        }
    }
}

/// Takes the bytes of a component in, when no other is coming in. They are alone as long as the permit is held.
async fn take<'h>(
    hub: &'h Hub,
    component: &v1::ComponentVersion,
    parts: Streaming<v1::DeployRequest>,
) -> Result<(Vec<u8>, SemaphorePermit<'h>), Status> {
    let uploading = async {
        let alone = hub.deployments().uploads.acquire().await.map_err(|_| hub.stopping())?;
        let late = |_| too_slow(component, LONGEST_UPLOAD);
        Ok((timeout(LONGEST_UPLOAD, upload(component, parts, SILENCE)).await.map_err(late)??, alone))
    };
    tokio::select! {
        uploaded = uploading => uploaded,
        () = hub.stopped() => Err(hub.stopping()),
    }
}

fn too_slow(component: &v1::ComponentVersion, after: Duration) -> Status {
    Status::deadline_exceeded(format!(
        "the upload of component `{}` version {} stopped, or did not end, for {} s. Nothing was deployed; deploy it again",
        component.name,
        component.version,
        after.as_secs()
    ))
}

/// The bytes of a component, which are what was announced. They come without a pause longer than `patience`.
async fn upload(
    component: &v1::ComponentVersion,
    mut parts: impl Stream<Item = Result<v1::DeployRequest, Status>> + Unpin,
    patience: Duration,
) -> Result<Vec<u8>, Status> {
    let announced = component.bytes;
    if announced == 0 || announced > LARGEST_COMPONENT {
        return Err(Status::invalid_argument(format!(
            "a component has 1 to {LARGEST_COMPONENT} bytes, and this one is said to have {announced}"
        )));
    }
    let mut bytes = Vec::new();
    let silent = |_| too_slow(component, patience);
    while let Some(part) = timeout(patience, parts.next()).await.map_err(silent)?.transpose()? {
        let Some(Part::Data(data)) = part.part else {
            return Err(Status::invalid_argument("after its first message a deployment holds nothing but bytes"));
        };
        bytes.extend_from_slice(&data);
        if bytes.len() as u64 > announced {
            break;
        }
    }
    if bytes.len() as u64 != announced {
        return Err(Status::invalid_argument(format!(
            "{} of {announced} bytes of component `{}` version {} arrived: the upload was cut off, or is not what was announced. Nothing was \
             deployed; deploy it again",
            bytes.len(),
            component.name,
            component.version
        )));
    }
    // Hashing megabytes takes a while.
    let (bytes, content) = tokio::task::spawn_blocking(move || {
        let content = files::content_of(&bytes);
        (bytes, content)
    })
    .await
    .map_err(|_| Status::internal("the bytes of a component could not be looked at"))?;
    if content != component.content {
        return Err(Status::invalid_argument(format!(
            "the bytes of component `{}` version {} were damaged on their way. Nothing was deployed; deploy it again",
            component.name, component.version
        )));
    }
    Ok(bytes)
}

/// Lists what is deployed.
pub async fn list(hub: &Hub, request: v1::ListDeploymentsRequest) -> Result<v1::ListDeploymentsResponse, Status> {
    let deployments = Some(hub.deployments().current().wire().clone());
    let usage = if request.usage { usage(hub).await? } else { Vec::new() };
    let (hosts, connected_hosts) = match &deployments {
        Some(deployments) if request.hosts => hosts(hub, deployments).await?,
        _ => Default::default(),
    };
    Ok(v1::ListDeploymentsResponse { deployments, usage, hosts, connected_hosts })
}

/// How many hosts run each version, and how many there are.
async fn hosts(hub: &Hub, deployments: &v1::Deployments) -> Result<(Vec<u32>, u32), Status> {
    let route = |version: &v1::ComponentVersion| {
        // Whatever it has stands for all of it. Entities have no versions.
        let kinds = [
            (WorkKind::Orchestration, &version.orchestrators),
            (WorkKind::Activity, &version.activities),
            (WorkKind::Entity, &version.entities),
        ];
        let (kind, name) = kinds.iter().find_map(|(kind, list)| Some((*kind, list.first()?.name.as_str())))?;
        let of = if kind == WorkKind::Entity { "" } else { version.version.as_str() };
        Some(Route { kind, name: name.into(), version: of.into() })
    };
    let nothing = || Route { kind: WorkKind::Orchestration, name: "".into(), version: "".into() };
    let routes = deployments.versions.iter().map(|version| route(version).unwrap_or_else(nothing)).collect();
    let Reply::Hosts(counts, all) = hub.call(|call| Input::CountHosts(call, routes)).await? else {
        return Err(Status::internal("unexpected reply to a count of hosts"));
    };
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Ok((counts.into_iter().map(number).collect(), number(all)))
}

/// What is in flight that may need a version.
async fn needs(hub: &Hub, version: &v1::RemoveVersionRequest) -> Result<Usage, Status> {
    let orchestrations = usage(hub).await?;
    let Reply::OpenActivities(open) = hub.call(Input::CountOpenActivities).await? else {
        return Err(Status::internal("unexpected reply to a count of activities"));
    };
    let activities = open
        .into_iter()
        .map(|((name, version), count)| OpenActivities {
            name: name.as_ref().to_owned(),
            version: version.as_ref().to_owned(),
            count,
        })
        .collect();
    let mut entities = Vec::new();
    let current = hub.deployments().current();
    let offered = current.find(&version.name, &version.version).map(|there| there.entities.as_slice());
    for definition in offered.unwrap_or_default() {
        let name = definition.name.to_lowercase();
        if let Some(id) = entities::example(hub, &name).await? {
            entities.push((name, id));
        }
    }
    Ok(Usage { orchestrations, activities, entities })
}

/// Counts the instances in flight.
async fn usage(hub: &Hub) -> Result<Vec<v1::VersionUsage>, Status> {
    let mut counts = std::collections::BTreeMap::new();
    let mut after = None;
    loop {
        let page = hub.list(durawasm::in_flight(), InstanceOrder::Created, after, durawasm::IN_FLIGHT_PAGE).await?;
        for view in page.instances {
            let record = view.record;
            let key = (record.name, record.version.unwrap_or_default());
            let used: &mut v1::VersionUsage = counts.entry(key).or_default();
            match record.status {
                InstanceStatus::Pending => used.pending += 1,
                InstanceStatus::Suspended => used.suspended += 1,
                _ => used.running += 1,
            }
            used.parked += u64::from(record.parked.is_some());
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let named =
        counts.into_iter().map(|((orchestrator, version), used)| v1::VersionUsage { orchestrator, version, ..used });
    Ok(named.collect())
}

/// Tells what is deployed, now and after each change.
pub fn watch(hub: &Hub) -> DeploymentStream {
    let mut changes = hub.deployments().subscribe();
    let (sender, receiver) = mpsc::channel(1);
    let hub = hub.clone();
    tokio::spawn(async move {
        loop {
            let now = Arc::clone(&changes.borrow_and_update());
            if sender.send(Ok(now.wire().clone())).await.is_err() {
                return;
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = hub.stopped() => return drop(sender.send(Err(hub.stopping())).await),
                () = sender.closed() => return,
            }
        }
    });
    ReceiverStream::new(receiver)
}

/// Gives the bytes of a component out.
pub async fn fetch(hub: &Hub, request: v1::FetchComponentRequest) -> Result<ByteStream, Status> {
    let current = hub.deployments().current();
    let missing = || Status::not_found(format!("no component with the digest `{}` is deployed", request.digest));
    let content = current.by_digest(&request.digest).ok_or_else(missing)?.content.clone();
    let reading = hub.clone();
    let read = tokio::task::spawn_blocking(move || reading.deployments().bytes(&content)).await;
    let bytes = read.map_err(|_| hub.stopping())?.map_err(|why| of_change(hub, why))?;
    let Some(bytes) = bytes else {
        return Err(Status::data_loss(format!(
            "the bytes of the component with the digest `{}` are gone from the data folder: deploy it again",
            request.digest
        )));
    };
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        for chunk in bytes.chunks(CHUNK) {
            if sender.send(Ok(v1::ComponentBytes { data: chunk.to_vec() })).await.is_err() {
                return;
            }
        }
    });
    Ok(ReceiverStream::new(receiver))
}

/// Makes a version a default, or a share of it.
pub async fn activate(hub: &Hub, request: v1::ActivateVersionRequest) -> Result<v1::Deployments, Status> {
    let changed = change_with(hub, None, move |catalogue| {
        catalogue.expect(request.revision)?;
        catalogue.activate(&request.name, &request.version, request.share)
    });
    Ok(changed.await?.wire().clone())
}

/// Goes back to what was before.
pub async fn roll_back(hub: &Hub, request: v1::RollBackRequest) -> Result<v1::Deployments, Status> {
    let changed = change_with(hub, None, move |catalogue| {
        catalogue.expect(request.revision)?;
        catalogue.roll_back(&request.name)
    });
    Ok(changed.await?.wire().clone())
}

/// Forgets a version.
pub async fn remove(hub: &Hub, request: v1::RemoveVersionRequest) -> Result<v1::Deployments, Status> {
    let usage = if request.force { Usage::default() } else { needs(hub, &request).await? };
    let changed = change_with(hub, None, move |catalogue| {
        catalogue.expect(request.revision)?;
        catalogue.remove(&request.name, &request.version, &usage, request.force)
    });
    Ok(changed.await?.wire().clone())
}

async fn change_with(
    hub: &Hub,
    bytes: Option<(String, Vec<u8>)>,
    decide: impl FnOnce(&mut Catalogue) -> Result<(), Refused> + Send + 'static,
) -> Result<Arc<Catalogue>, Status> {
    let changing = hub.clone();
    let bytes = move || changing.change_deployments(bytes.as_ref().map(|(c, b)| (c.as_str(), b.as_slice())), decide);
    match tokio::task::spawn_blocking(bytes).await {
        Ok(changed) => changed.map_err(|why| of_change(hub, why)),
        Err(_) => Err(hub.stopping()),
    }
}

fn of_change(hub: &Hub, why: ChangeError) -> Status {
    match why {
        ChangeError::Refused(why) => refused(why),
        ChangeError::Store(error) => status::of_store(&error, hub.name()),
        ChangeError::Closed => hub.stopping(),
    }
}

fn refused(why: Refused) -> Status {
    let code = match &why {
        Refused::Invalid(_) => Code::InvalidArgument,
        Refused::ChangedContent { .. } | Refused::Ambiguous { .. } => Code::AlreadyExists,
        Refused::NotDeployed { .. } => Code::NotFound,
        Refused::Changed { .. } | Refused::Vanished { .. } => Code::Aborted,
        Refused::InUse(_) | Refused::NothingBefore(_) | Refused::Full => Code::FailedPrecondition,
    };
    Status::new(code, why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(part: Part) -> Result<v1::DeployRequest, Status> {
        Ok(v1::DeployRequest { part: Some(part) })
    }

    #[tokio::test]
    async fn an_upload_that_falls_silent_is_given_up() {
        let bytes = b"slow".as_slice();
        let content = files::content_of(bytes);
        let component = v1::ComponentVersion { bytes: bytes.len() as u64, content, ..Default::default() };
        let parts = |count| tokio_stream::iter(bytes[..count].iter().map(|byte| part(Part::Data(vec![*byte]))));
        let whole = upload(&component, parts(4), SILENCE).await;
        assert_eq!(whole.expect("it comes in"), bytes);
        let silent = parts(3).chain(tokio_stream::pending());
        let status = upload(&component, silent, Duration::from_millis(10)).await.expect_err("nothing comes");
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    }
}
