//! What a host tells a scheduler about what it can run.

use durawasm_proto::{durabletask as wire, v1};

use super::WorkLimits;
use crate::registry::{Accepted, Registry};

/// What opens a session, and what is said in it when something else can be run.
pub(super) fn offer(registry: &Registry, limits: WorkLimits) -> v1::Open {
    let default = |(name, _): (&str, _)| {
        let version = registry.default_version(name)?.to_owned();
        Some(v1::DefaultVersion { name: name.to_owned(), version })
    };
    let defaults = registry.orchestrator_versions().filter_map(default).collect();
    v1::Open { work: Some(open(registry, limits)), defaults }
}

/// The request that opens a stream of work.
pub(super) fn open(registry: &Registry, limits: WorkLimits) -> wire::GetWorkItemsRequest {
    let number = |limit: u32| i32::try_from(limit).unwrap_or(i32::MAX);
    let versions = |accepted: Accepted<'_>| match accepted {
        // An empty list stands for all.
        Accepted::All => Vec::new(),
        Accepted::Only(versions, without) => {
            versions.into_iter().chain(without.then_some("")).map(str::to_owned).collect()
        }
    };
    wire::GetWorkItemsRequest {
        max_concurrent_orchestration_work_items: number(limits.orchestrations),
        max_concurrent_activity_work_items: number(limits.activities),
        max_concurrent_entity_work_items: number(limits.entities),
        capabilities: vec![wire::WorkerCapability::HistoryStreaming.into()],
        work_item_filters: Some(wire::WorkItemFilters {
            orchestrations: registry
                .orchestrator_versions()
                .map(|(name, list)| wire::OrchestrationFilter { name: name.to_owned(), versions: versions(list) })
                .collect(),
            activities: registry
                .activity_versions()
                .map(|(name, list)| wire::ActivityFilter { name: name.to_owned(), versions: versions(list) })
                .collect(),
            entities: registry.entities().map(|name| wire::EntityFilter { name: name.to_owned() }).collect(),
        }),
    }
}
