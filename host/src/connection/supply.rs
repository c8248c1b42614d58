//! Components that are deployed to the scheduler: every connected host fetches them.
//!
//! The scheduler tells what is deployed in the hub, now and after each change. What this host lacks it fetches by its digest, compiles
//! beside its work, and runs from then on. Nothing that the scheduler says is taken on trust: the bytes must have the digest, and the
//! component must be what it was announced as. A scheduler that knows no deployments is asked again from time to time, because it may
//! be replaced by a newer one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use durawasm_proto::v1;
use tonic::{Code, Status, Streaming};

use super::backoff::Backoff;
use super::channel::Channel;
use crate::deployment::Manifest;
use crate::registry::{Added, LoadCause, LoadFailure, LoadedComponent, Loader, Notice, Notices, RegistryHandle};

/// How long to wait before a scheduler that knows no deployments is asked again.
const UNKNOWN: Duration = Duration::from_secs(60);

/// Brings components from the scheduler to the registry.
pub(crate) struct Supply {
    pub(crate) channel: Channel,
    pub(crate) loader: Arc<Loader>,
    pub(crate) registry: RegistryHandle,
    pub(crate) notices: Notices,
    /// What came from the scheduler, by digest: name and version.
    supplied: HashMap<String, (String, String)>,
    /// What cannot be run beside what is here, by digest and manifest. It is told once, and tried again when something has gone.
    refused: HashSet<(String, String)>,
}

/// Why a component did not come.
enum Missed {
    /// It cannot be run on this host.
    Refused(LoadCause),
    /// It could not be fetched; that may change.
    Unfetched(Status),
}

impl Supply {
    pub(crate) fn new(channel: Channel, loader: Arc<Loader>, registry: RegistryHandle, notices: Notices) -> Self {
        Self { channel, loader, registry, notices, supplied: HashMap::new(), refused: HashSet::new() }
    }

    /// Goes on for ever.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let Err(status) = self.follow(&mut backoff).await else { continue };
            let pause = match status.code() {
                Code::Unimplemented => UNKNOWN,
                _ => backoff.next(),
            };
            tracing::debug!(code = ?status.code(), "what is deployed cannot be learned: {}", status.message());
            tokio::time::sleep(pause).await;
        }
    }

    /// Ends when the scheduler cannot be heard any more. What could not be fetched is fetched again after a while, however long nothing
    /// changes, and does not keep what changes meanwhile waiting.
    async fn follow(&mut self, backoff: &mut Backoff) -> Result<(), Status> {
        let request = self.channel.request(v1::WatchDeploymentsRequest {});
        let mut changes = self.channel.durawasm().watch_deployments(request).await?.into_inner();
        let mut deployments = change(&mut changes).await?;
        loop {
            let Err(status) = self.apply(&deployments).await else {
                backoff.reset();
                deployments = change(&mut changes).await?;
                continue;
            };
            tracing::debug!(code = ?status.code(), "not all that is deployed could be fetched: {}", status.message());
            if let Ok(changed) = tokio::time::timeout(backoff.next(), change(&mut changes)).await {
                deployments = changed?;
            }
        }
    }

    /// Makes the registry what the scheduler says, as far as it can be fetched.
    ///
    /// # Errors
    /// The first reason why something was not.
    async fn apply(&mut self, deployments: &v1::Deployments) -> Result<(), Status> {
        // First, because what goes may stand in the way of what comes.
        self.retire(deployments);
        let mut unfetched = None;
        for version in &deployments.versions {
            if self.is_there(version) || self.refused.contains(&key(version)) {
                continue;
            }
            let begun = Instant::now();
            match self.bring(version).await {
                Ok((added, component)) => {
                    if added == Added::New {
                        let named = (version.name.clone(), version.version.clone());
                        self.supplied.insert(version.digest.clone(), named);
                    }
                    let notice = match added {
                        Added::New => Notice::Deployed { component, took: begun.elapsed() },
                        Added::Regranted => Notice::Regranted(component),
                        Added::AlreadyThere => continue,
                    };
                    drop(self.notices.send(notice));
                }
                Err(Missed::Refused(cause)) => {
                    self.refused.insert(key(version));
                    let path = format!("{} {}, deployed to the scheduler", version.name, version.version).into();
                    drop(self.notices.send(Notice::LeftOut(LoadFailure { path, cause })));
                }
                Err(Missed::Unfetched(status)) => drop(unfetched.get_or_insert(status)),
            }
        }
        let defaults: BTreeMap<String, (String, String)> = deployments
            .defaults
            .iter()
            .map(|default| (default.name.clone(), (default.version.clone(), default.canary.clone())))
            .collect();
        self.registry.set_defaults(defaults);
        unfetched.map_or(Ok(()), Err)
    }

    fn is_there(&self, version: &v1::ComponentVersion) -> bool {
        let registry = self.registry.current();
        let Some(there) = registry.component(&version.name, &version.version) else { return false };
        there.digest() == version.digest
            && (!self.supplied.contains_key(&version.digest)
                || Manifest::parse(&version.manifest).is_ok_and(|manifest| manifest == *there.manifest()))
    }

    /// Lets go of what came from the scheduler and is not deployed any more. Then what was refused may find its place; and what was
    /// refused and is not deployed any more is a new matter if it is deployed again.
    fn retire(&mut self, deployments: &v1::Deployments) {
        let registry = &self.registry;
        let notices = &self.notices;
        let before = self.supplied.len();
        self.supplied.retain(|digest, (name, version)| {
            let stays = deployments.versions.iter().any(|there| there.digest == *digest);
            if !stays && let Some(component) = registry.remove(name, version) {
                drop(notices.send(Notice::Retired(component)));
            }
            stays
        });
        if self.supplied.len() < before {
            self.refused.clear();
        } else {
            self.refused.retain(|refused| deployments.versions.iter().any(|there| key(there) == *refused));
        }
    }

    /// Fetches a component, and runs it from now on.
    async fn bring(&self, version: &v1::ComponentVersion) -> Result<(Added, Arc<LoadedComponent>), Missed> {
        let manifest = Manifest::parse(&version.manifest).map_err(|error| Missed::Refused(error.into()))?;
        let bytes = self.fetch(version).await.map_err(Missed::Unfetched)?;
        let (loader, registry, announced) = (Arc::clone(&self.loader), self.registry.clone(), version.clone());
        let load = move || -> Result<(Added, Arc<LoadedComponent>), Missed> {
            check_content(&bytes, &announced).map_err(Missed::Unfetched)?;
            let load = || -> Result<(Added, Arc<LoadedComponent>), LoadCause> {
                let component = Arc::new(loader.load_aside(&bytes, manifest)?);
                check(&component, &announced)?;
                Ok((registry.add(Arc::clone(&component))?, component))
            };
            load().map_err(Missed::Refused)
        };
        match tokio::task::spawn_blocking(load).await {
            Ok(loaded) => loaded,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    async fn fetch(&self, version: &v1::ComponentVersion) -> Result<Vec<u8>, Status> {
        let request = self.channel.request(v1::FetchComponentRequest { digest: version.digest.clone() });
        let mut chunks = self.channel.durawasm().fetch_component(request).await?.into_inner();
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.message().await? {
            bytes.extend_from_slice(&chunk.data);
            if bytes.len() as u64 > version.bytes {
                break;
            }
        }
        Ok(bytes)
    }
}

/// What is deployed from now on.
async fn change(changes: &mut Streaming<v1::Deployments>) -> Result<v1::Deployments, Status> {
    changes.message().await?.ok_or_else(|| Status::unavailable("the scheduler closed the stream"))
}

/// What makes a refusal the same one.
fn key(version: &v1::ComponentVersion) -> (String, String) {
    (version.digest.clone(), version.manifest.clone())
}

/// Refuses bytes that are not those that were deployed. Not for an async thread: there may be many.
fn check_content(bytes: &[u8], announced: &v1::ComponentVersion) -> Result<(), Status> {
    // Without an environment, the digest is that of the bytes.
    if Manifest::default().digest(bytes) == announced.content {
        return Ok(());
    }
    Err(Status::data_loss(format!(
        "{} of {} bytes of component `{}` version {} came, and they are not what was deployed",
        bytes.len(),
        announced.bytes,
        announced.name,
        announced.version
    )))
}

/// Refuses a component that is another one than was announced.
fn check(component: &LoadedComponent, announced: &v1::ComponentVersion) -> Result<(), LoadCause> {
    let is = (component.name(), component.version(), component.digest());
    if is == (announced.name.as_str(), announced.version.as_str(), announced.digest.as_str()) {
        return Ok(());
    }
    Err(LoadCause::Announced(format!(
        "it was deployed as `{}` version {} with the digest {}, and is `{}` version {} with the digest {}",
        announced.name, announced.version, announced.digest, is.0, is.1, is.2
    )))
}
