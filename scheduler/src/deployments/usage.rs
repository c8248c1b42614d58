//! What needs a version that is deployed.

use durawasm_proto::v1;

use super::{Catalogue, Refused};

/// What is in flight.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Instances, by orchestrator and version.
    pub orchestrations: Vec<v1::VersionUsage>,
    /// Activities that were called and not answered. Those without a version run on any.
    pub activities: Vec<OpenActivities>,
    /// For each name of those that were asked for, an entity that has a state, a lock, or something in its queue.
    pub entities: Vec<(String, String)>,
}

/// Activities that were called and not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenActivities {
    /// Their name.
    pub name: String,
    /// The version that they were called with, or that of their orchestration; empty for none.
    pub version: String,
    /// How many.
    pub count: usize,
}

impl Catalogue {
    /// Refuses to remove a version that something in flight, or yet to come, can do nothing without.
    pub(super) fn refuse_what_is_needed(&self, there: &v1::ComponentVersion, usage: &Usage) -> Result<(), Refused> {
        let v1::ComponentVersion { name, version, .. } = there;
        let offers = |orchestrator: &str| there.orchestrators.iter().any(|definition| definition.name == orchestrator);
        let begins = |default: &&v1::OrchestratorDefault| {
            offers(&default.name) && (default.version == *version || default.canary == *version)
        };
        if let Some(default) = self.wire().defaults.iter().find(begins) {
            return Err(Refused::InUse(format!(
                "component `{name}` version {version} is what new instances of orchestrator `{}` begin on: deploy another version, or \
                 roll back, first",
                default.name
            )));
        }
        let used = usage.orchestrations.iter().filter(|used| used.version == *version && offers(&used.orchestrator));
        let users: Vec<String> = used
            .map(|used| format!("{} of `{}`", used.pending + used.running + used.suspended, used.orchestrator))
            .collect();
        if !users.is_empty() {
            return Err(Refused::InUse(format!(
                "component `{name}` version {version} has instances in flight ({}): without it they would be parked. Wait for their end, or \
                 force the removal",
                users.join(", ")
            )));
        }
        let others = || self.wire().versions.iter().filter(|other| !(other.name == *name && other.version == *version));
        let has = |list: &[v1::Definition], name: &str| list.iter().any(|definition| definition.name == name);
        let waits = |open: &&OpenActivities| {
            let elsewhere = || others().any(|other| has(&other.activities, &open.name));
            has(&there.activities, &open.name)
                && (open.version == *version || (open.version.is_empty() && !elsewhere()))
        };
        let waiting: Vec<String> =
            usage.activities.iter().filter(waits).map(|open| format!("{} of `{}`", open.count, open.name)).collect();
        if !waiting.is_empty() {
            return Err(Refused::InUse(format!(
                "component `{name}` version {version} has activities that were called and not answered ({}), and no other version that is \
                 deployed runs them. Wait for their end, or force the removal: they wait until it is deployed again",
                waiting.join(", ")
            )));
        }
        let only_here = |(entity, _): &&(String, String)| {
            runs_entity(there, entity) && !others().any(|other| runs_entity(other, entity))
        };
        if let Some((entity, example)) = usage.entities.iter().find(only_here) {
            return Err(Refused::InUse(format!(
                "component `{name}` version {version} is the last that runs entities of the name `{entity}`, and there are some \
                 (`{example}`). Force the removal if they may wait until a version with them is deployed: their states are kept"
            )));
        }
        Ok(())
    }
}

/// Whether a component runs entities of that name. In ids names are in lower case.
fn runs_entity(version: &v1::ComponentVersion, name: &str) -> bool {
    version.entities.iter().any(|definition| definition.name.to_lowercase() == name)
}
