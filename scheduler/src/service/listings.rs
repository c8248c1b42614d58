//! Listings of instances, and what is done to many of them at once: query, list, purge, end by force.

use std::collections::HashSet;
use std::time::Duration;

use durawasm_proto::durabletask as pb;
use pb::purge_instances_request::Request as Purge;
use tokio::time::Instant;
use tonic::Status;

use super::convert;
use crate::core::entity::entity_id;
use crate::core::ids::InstanceId;
use crate::core::message::{Input, Reply};
use crate::core::record::Status as InstanceStatus;
use crate::core::time::Timestamp;
use crate::hub::Hub;
use crate::store::{InstanceFilter, InstanceOrder, InstancePage, PageSize, Place};

/// Instances of a page if the client does not say.
const DEFAULT_PAGE: usize = 100;
/// …and at most: some clients ask for all at once.
const LARGEST_PAGE: usize = 1_000;
/// A page has about so many bytes at most: clients accept 4 MiB, and one instance may have 3 payloads of 1 MiB.
const PAGE_BYTES: usize = 512 << 10;
/// How many ids one call may name.
const BATCH_IDS: usize = 500;
/// Instances that are purged in one write.
const PURGED_AT_ONCE: usize = 200;
/// Statuses that an instance can have at its end.
const TERMINAL: [InstanceStatus; 4] =
    [InstanceStatus::Completed, InstanceStatus::Failed, InstanceStatus::Canceled, InstanceStatus::Terminated];

/// Shows the instances that a filter describes, a page at a time.
pub async fn query(hub: &Hub, request: pb::QueryInstancesRequest) -> Result<pb::QueryInstancesResponse, Status> {
    let query = request.query.unwrap_or_default();
    let statuses = statuses(&query.runtime_status)?;
    let with_payloads = query.fetch_inputs_and_outputs;
    let filter = InstanceFilter {
        created_from: query.created_time_from.map(Timestamp::not_before),
        created_to: query.created_time_to.map(Timestamp::not_before),
        id_prefix: query.instance_id_prefix.filter(|p| !p.is_empty()),
        statuses: statuses.list,
        ..Default::default()
    };
    if statuses.none {
        return Ok(pb::QueryInstancesResponse::default());
    }
    let after = query.continuation_token.as_deref().map(place).transpose()?.flatten();
    let size = PageSize { instances: page_size(query.max_instance_count), bytes: PAGE_BYTES, inputs: with_payloads };
    let mut page = hub.list(filter, InstanceOrder::Created, after, size).await?;
    for view in &mut page.instances {
        hub.resolve_view(view, with_payloads).await?;
    }
    let shown = page.instances.into_iter().map(|view| convert::orchestration_state(view, with_payloads));
    Ok(pb::QueryInstancesResponse {
        orchestration_state: shown.collect(),
        continuation_token: page.next.map(|p| token(&p)),
    })
}

/// Ids of instances that have ended, a page at a time.
pub async fn list_ids(hub: &Hub, request: pb::ListInstanceIdsRequest) -> Result<pb::ListInstanceIdsResponse, Status> {
    let statuses = statuses(&request.runtime_status)?;
    let terminal: Vec<_> =
        TERMINAL.into_iter().filter(|s| statuses.list.is_empty() || statuses.list.contains(s)).collect();
    if statuses.none || terminal.is_empty() {
        return Ok(pb::ListInstanceIdsResponse::default());
    }
    let filter = InstanceFilter {
        completed_from: request.completed_time_from.map(Timestamp::not_before),
        completed_to: request.completed_time_to.map(Timestamp::not_before),
        statuses: if terminal.len() == TERMINAL.len() { Vec::new() } else { terminal },
        ..Default::default()
    };
    let after = request.last_instance_key.as_deref().map(place).transpose()?.flatten();
    let size = PageSize { instances: page_size(request.page_size), bytes: PAGE_BYTES, inputs: false };
    let page = hub.list(filter, InstanceOrder::Completed, after, size).await?;
    Ok(pb::ListInstanceIdsResponse {
        instance_ids: page.instances.into_iter().map(|view| view.record.id.as_str().to_owned()).collect(),
        last_instance_key: page.next.map(|p| token(&p)),
    })
}

/// Forgets instances that have ended.
pub async fn purge(hub: &Hub, request: pb::PurgeInstancesRequest) -> Result<pb::PurgeInstancesResponse, Status> {
    let recursive = request.recursive;
    let mut count = 0;
    let mut is_complete = true;
    match request.request {
        None => return Err(Status::invalid_argument("say what to purge: an id, a list of ids or a filter")),
        Some(Purge::InstanceId(id)) => count += purge_ids(hub, vec![any_id(&id)?], recursive).await?,
        Some(Purge::InstanceBatch(batch)) => {
            count += purge_ids(hub, batch_ids(batch)?, recursive).await?;
        }
        Some(Purge::PurgeInstanceFilter(filter)) => (count, is_complete) = purge_filter(hub, filter, recursive).await?,
    }
    Ok(pb::PurgeInstancesResponse {
        deleted_instance_count: i32::try_from(count).unwrap_or(i32::MAX),
        is_complete: Some(is_complete),
    })
}

async fn purge_filter(hub: &Hub, filter: pb::PurgeInstanceFilter, recursive: bool) -> Result<(u64, bool), Status> {
    let until = match filter.timeout {
        None => None,
        Some(timeout) => {
            let timeout = Duration::try_from(timeout)
                .map_err(|_| Status::invalid_argument("the timeout of a purge must not be negative"))?;
            Instant::now().checked_add(timeout)
        }
    };
    let statuses = statuses(&filter.runtime_status)?;
    let wanted: Vec<_> =
        TERMINAL.into_iter().filter(|s| statuses.list.is_empty() || statuses.list.contains(s)).collect();
    if statuses.none || wanted.is_empty() {
        return Ok((0, true));
    }
    let instances = InstanceFilter {
        statuses: wanted,
        created_from: filter.created_time_from.map(Timestamp::not_before),
        created_to: filter.created_time_to.map(Timestamp::not_before),
        ..Default::default()
    };
    let size = PageSize { instances: PURGED_AT_ONCE, bytes: PAGE_BYTES, inputs: false };
    let (mut count, mut after) = (0, None);
    loop {
        let InstancePage { instances: found, next } =
            hub.list(instances.clone(), InstanceOrder::Created, after, size).await?;
        let ids = found.into_iter().map(|view| view.record.id).collect();
        count += purge_ids(hub, ids, recursive).await?;
        after = next;
        if after.is_none() {
            return Ok((count, true));
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok((count, false));
        }
    }
}

/// Purges instances, with `recursive` after their descendants: whatever interrupts it, what is left can still be found from its root.
async fn purge_ids(hub: &Hub, ids: Vec<InstanceId>, recursive: bool) -> Result<u64, Status> {
    let mut count = 0;
    let roots = if recursive { ended(hub, ids)? } else { ids };
    let mut levels = vec![roots];
    if recursive {
        let mut seen: HashSet<InstanceId> = levels[0].iter().cloned().collect();
        while let Some(level) = levels.last()
            && !level.is_empty()
        {
            let mut below = Vec::new();
            for parent in level {
                let children = children(hub, parent).await?;
                // What has not ended stays, and with it what it has started.
                let children = children.into_iter().filter(|child| seen.insert(child.clone())).collect();
                below.extend(ended(hub, children)?);
            }
            levels.push(below);
        }
    }
    for level in levels.into_iter().rev() {
        for ids in level.chunks(PURGED_AT_ONCE) {
            match hub.call(|call| Input::Purge(call, ids.to_vec())).await? {
                Reply::Purged(purged) => count += u64::from(purged),
                other => return Err(unexpected(&other)),
            }
        }
    }
    Ok(count)
}

/// Those of the instances that have ended: only their descendants are purged with them.
fn ended(hub: &Hub, ids: Vec<InstanceId>) -> Result<Vec<InstanceId>, Status> {
    let mut ended = Vec::new();
    for id in ids {
        if id.is_entity() {
            ended.push(id); // Whatever it does: it has no end.
            continue;
        }
        if hub.view(&id, false)?.is_some_and(|v| v.record.status.is_terminal()) {
            ended.push(id);
        }
    }
    Ok(ended)
}

async fn children(hub: &Hub, parent: &InstanceId) -> Result<Vec<InstanceId>, Status> {
    let mut all: Vec<InstanceId> = Vec::new();
    loop {
        let page = hub.children(parent, all.last().cloned(), LARGEST_PAGE).await?;
        let last = page.len() < LARGEST_PAGE;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}

/// Ends instances without a worker.
pub async fn force_terminate(
    hub: &Hub,
    request: pb::SkipGracefulOrchestrationTerminationsRequest,
) -> Result<pb::SkipGracefulOrchestrationTerminationsResponse, Status> {
    let ids = request.instance_batch.unwrap_or_default();
    if ids.instance_ids.len() > BATCH_IDS {
        return Err(too_many(ids.instance_ids.len()));
    }
    let mut unterminated = Vec::new();
    let mut wanted = Vec::new();
    for text in ids.instance_ids {
        match InstanceId::parse(&text) {
            Ok(id) if !id.is_entity() => wanted.push(id),
            _ => unterminated.push(text),
        }
    }
    match hub.call(|call| Input::ForceTerminate(call, wanted, request.reason)).await? {
        Reply::NotTerminated(ids) => unterminated.extend(ids.iter().map(|id| id.as_str().to_owned())),
        other => return Err(unexpected(&other)),
    }
    Ok(pb::SkipGracefulOrchestrationTerminationsResponse { unterminated_instance_ids: unterminated })
}

fn batch_ids(batch: pb::InstanceBatch) -> Result<Vec<InstanceId>, Status> {
    if batch.instance_ids.len() > BATCH_IDS {
        return Err(too_many(batch.instance_ids.len()));
    }
    batch.instance_ids.iter().map(|id| any_id(id)).collect()
}

/// The id of an instance or of an entity.
fn any_id(text: &str) -> Result<InstanceId, Status> {
    match text.starts_with('@') {
        true => entity_id(text).map_err(|why| Status::invalid_argument(why.to_string())),
        false => convert::instance_id(text),
    }
}

fn too_many(count: usize) -> Status {
    Status::invalid_argument(format!("one call takes at most {BATCH_IDS} instance ids, this one has {count}"))
}

fn unexpected(reply: &Reply) -> Status {
    Status::internal(format!("unexpected reply: {reply:?}"))
}

fn page_size(wanted: i32) -> usize {
    usize::try_from(wanted).ok().filter(|n| *n > 0).unwrap_or(DEFAULT_PAGE).min(LARGEST_PAGE)
}

/// Statuses of a filter.
struct Statuses {
    /// Any of these; empty: any at all.
    list: Vec<InstanceStatus>,
    /// No instance at rest has any of them.
    none: bool,
}

fn statuses(numbers: &[i32]) -> Result<Statuses, Status> {
    let mut list = Vec::new();
    for number in numbers {
        let status = pb::OrchestrationStatus::try_from(*number)
            .map_err(|_| Status::invalid_argument(format!("{number} is not the number of a runtime status")))?;
        // Continued-as-new is never the status of an instance at rest: it can be asked for, and nothing has it.
        list.extend(InstanceStatus::from_wire(status));
    }
    Ok(Statuses { none: list.is_empty() && !numbers.is_empty(), list })
}

/// A place in a listing as a token: opaque to clients, never empty and never `0`, and the same in every run of the scheduler.
fn token(place: &Place) -> String {
    format!("p{:x}.{}", place.time.as_micros().cast_unsigned(), place.id)
}

fn place(token: &str) -> Result<Option<Place>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let parsed = token.strip_prefix('p').and_then(|rest| rest.split_once('.')).and_then(|(time, id)| {
        let time = u64::from_str_radix(time, 16).ok()?;
        Some(Place { time: Timestamp::from_micros(time.cast_signed()), id: InstanceId::parse(id).ok()? })
    });
    match parsed {
        Some(place) => Ok(Some(place)),
        None => Err(Status::invalid_argument("the continuation token is not one that this scheduler gave out")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_place_and_anything_else_is_refused() {
        for (time, id) in [(0, "a"), (-5, "with.dot"), (i64::MAX, "p0.1"), (1_700_000_000_000_000, "ünï\ncode")] {
            let place_given = Place { time: Timestamp::from_micros(time), id: InstanceId::trusted(id) };
            assert_eq!(place(&token(&place_given)).expect("it is one"), Some(place_given));
        }
        assert_eq!(place("").expect("the first page"), None);
        for wrong in ["0", "p", "p1", "p.x", "pzz.x", "1.x", "p1."] {
            assert_eq!(place(wrong).expect_err("it is none").code(), tonic::Code::InvalidArgument, "{wrong}");
        }
    }
}
