//! Purging: taking instances that have ended out of the store, with all that belongs to them.

use std::time::{Duration, SystemTime};

use durawasm_proto::durabletask as wire;
use serde::Serialize;
use wire::purge_instances_request::Request;

use crate::{
    Client, Error, InstanceId, Status,
    control::{BATCH, batch},
    convert,
};

/// Which instances to purge. What is not stated does not restrict; instances that have not ended are never purged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PurgeFilter {
    /// Those in one of these statuses; empty: in any.
    pub statuses: Vec<Status>,
    /// Those created at this time or later.
    pub created_from: Option<SystemTime>,
    /// Those created before this time.
    pub created_before: Option<SystemTime>,
    /// How long one call may take. It then returns with what it has done, as not complete.
    pub timeout: Option<Duration>,
}

/// What a call has purged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Purged {
    /// How many instances, sub-orchestrations included.
    pub count: u64,
    /// Whether that was all. If not, the call is to be made again. Schedulers that do not say are taken to have
    /// finished.
    pub complete: bool,
}

impl Client {
    /// Purges instances by their ids; `recursive` also purges the orchestrations that they started. Ids that do not exist
    /// or have not ended are passed over: the count tells.
    pub async fn purge(&self, ids: &[InstanceId], recursive: bool) -> Result<Purged, Error> {
        let mut purged = Purged { count: 0, complete: true };
        for ids in ids.chunks(BATCH) {
            let request = match ids {
                [id] => Request::InstanceId(id.to_string()),
                ids => Request::InstanceBatch(batch(ids)),
            };
            let more = self.send_purge(request, recursive).await?;
            purged = Purged { count: purged.count + more.count, complete: purged.complete && more.complete };
        }
        Ok(purged)
    }

    /// Purges what matches a filter. One call may not get through all of it: see [`Purged::complete`].
    pub async fn purge_matching(&self, filter: &PurgeFilter, recursive: bool) -> Result<Purged, Error> {
        let request = Request::PurgeInstanceFilter(wire::PurgeInstanceFilter {
            created_time_from: filter.created_from.map(Into::into),
            created_time_to: filter.created_before.map(Into::into),
            runtime_status: convert::statuses_to_wire(&filter.statuses),
            // A duration beyond what the wire can say is as good as none.
            timeout: filter.timeout.and_then(|timeout| timeout.try_into().ok()),
        });
        self.send_purge(request, recursive).await
    }

    async fn send_purge(&self, request: Request, recursive: bool) -> Result<Purged, Error> {
        let request = wire::PurgeInstancesRequest { request: Some(request), recursive, is_orchestration: true };
        let answer = self.services().tasks.purge_instances(request).await;
        let answer = answer.map_err(|status| self.hub_missing(status))?.into_inner();
        Ok(Purged {
            count: answer.deleted_instance_count.try_into().unwrap_or(0),
            complete: answer.is_complete.unwrap_or(true),
        })
    }
}
