//! Entities as clients see them: signal, call, look, query, clean.

use durawasm_proto::{durabletask as pb, v1};
use tonic::Status;

use super::status;
use crate::core::entity::entity_id;
use crate::core::ids::InstanceId;
use crate::core::message::{EntityCallRequest, Input, Reply, SignalRequest};
use crate::core::time::Timestamp;
use crate::hub::Hub;
use crate::store::{EntityFilter, EntityView, PageSize};

/// Entities of a page if the client does not say.
const DEFAULT_PAGE: usize = 100;
/// …and at most.
const LARGEST_PAGE: usize = 1_000;
/// A page has about so many bytes at most: clients accept 4 MiB, and one state may have 1 MiB.
const PAGE_BYTES: usize = 512 << 10;
/// Calls that are acknowledged at once.
const MOST_ACKNOWLEDGED: usize = 1_000;
/// Entities that one call of a cleaning looks at.
const CLEANED_AT_ONCE: usize = 500;

fn parse(text: &str) -> Result<InstanceId, Status> {
    entity_id(text).map_err(|why| Status::invalid_argument(why.to_string()))
}

/// Signals an entity; when this returns the signal is on disk.
pub async fn signal(hub: &Hub, request: pb::SignalEntityRequest) -> Result<pb::SignalEntityResponse, Status> {
    let signal = SignalRequest {
        entity: parse(&request.instance_id)?,
        operation: request.name,
        input: request.input,
        request_id: request.request_id,
        due: request.scheduled_time.map(Timestamp::not_before),
    };
    hub.call(|call| Input::Signal(call, Box::new(signal))).await?;
    Ok(pb::SignalEntityResponse {})
}

/// Calls an entity; returns when the result is on disk.
pub async fn call(hub: &Hub, request: v1::CallEntityRequest) -> Result<v1::CallEntityResponse, Status> {
    let entity = parse(&request.instance_id)?;
    let call = EntityCallRequest {
        entity: entity.clone(),
        operation: request.operation,
        input: request.input,
        request_id: request.request_id,
    };
    let answer = tokio::select! {
        answer = hub.call(|id| Input::CallEntity(id, Box::new(call))) => answer?,
        () = hub.stopped() => return Err(hub.stopping()),
    };
    match answer {
        Reply::Answered(mut outcome) => hub.resolve_answer(&mut outcome, &entity).await.map(|()| match *outcome {
            Ok(output) => v1::CallEntityResponse { output, failure: None },
            Err(failure) => v1::CallEntityResponse { output: None, failure: Some(failure) },
        }),
        other => Err(Status::internal(format!("unexpected reply to a call of an entity: {other:?}"))),
    }
}

/// Lets answers go that have arrived.
pub async fn acknowledge(
    hub: &Hub,
    request: v1::AcknowledgeEntityCallsRequest,
) -> Result<v1::AcknowledgeEntityCallsResponse, Status> {
    if request.calls.len() > MOST_ACKNOWLEDGED {
        let count = request.calls.len();
        let text =
            format!("{count} calls are acknowledged at once, and at most {MOST_ACKNOWLEDGED} can be: do it in parts");
        return Err(Status::invalid_argument(text));
    }
    let calls = request.calls.into_iter().map(|call| Ok((parse(&call.instance_id)?, call.request_id)));
    let calls = calls.collect::<Result<Vec<_>, Status>>()?;
    hub.call(|id| Input::ForgetAnswers(id, calls)).await?;
    Ok(v1::AcknowledgeEntityCallsResponse {})
}

/// Shows an entity as it is committed.
pub async fn get(hub: &Hub, request: &pb::GetEntityRequest) -> Result<pb::GetEntityResponse, Status> {
    let mut view = hub.view_entity(&parse(&request.instance_id)?, request.include_state)?;
    if let Some(view) = &mut view {
        hub.resolve_entity(view).await?;
    }
    let entity = view.filter(|view| view.record.is_shown()).map(metadata);
    Ok(pb::GetEntityResponse { exists: entity.is_some(), entity })
}

fn metadata(view: EntityView) -> pb::EntityMetadata {
    let EntityView { record, state } = view;
    pb::EntityMetadata {
        instance_id: record.id.as_str().into(),
        last_modified_time: Some(record.modified_at.into()),
        backlog_queue_size: i32::try_from(record.queued_operations).unwrap_or(i32::MAX),
        locked_by: record.lock.map(|lock| lock.holder.as_str().into()),
        serialized_state: state.map(|state| (*state).to_owned()),
    }
}

/// Shows the entities that a filter describes, a page at a time, in the order of their ids.
pub async fn query(hub: &Hub, request: pb::QueryEntitiesRequest) -> Result<pb::QueryEntitiesResponse, Status> {
    let query = request.query.unwrap_or_default();
    let filter = EntityFilter {
        id_prefix: prefix(query.instance_id_starts_with.as_deref().unwrap_or_default()),
        modified_from: query.last_modified_from.map(Timestamp::not_before),
        modified_to: query.last_modified_to.map(Timestamp::not_before),
        transient: query.include_transient,
    };
    let wanted = query.page_size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0);
    let instances = wanted.unwrap_or(DEFAULT_PAGE).min(LARGEST_PAGE);
    let size = PageSize { instances, bytes: PAGE_BYTES, inputs: query.include_state };
    let mut page = hub.list_entities(filter, after(query.continuation_token)?, size).await?;
    for view in &mut page.entities {
        hub.resolve_entity(view).await?;
    }
    Ok(pb::QueryEntitiesResponse {
        entities: page.entities.into_iter().map(metadata).collect(),
        continuation_token: page.next.map(|id| token(&id)),
    })
}

/// An entity of that name, if there are any.
pub(super) async fn example(hub: &Hub, name: &str) -> Result<Option<String>, Status> {
    let filter = EntityFilter { id_prefix: format!("@{name}@"), transient: true, ..EntityFilter::default() };
    let size = PageSize { instances: 1, bytes: PAGE_BYTES, inputs: false };
    let mut after = None;
    loop {
        let page = hub.list_entities(filter.clone(), after, size).await?;
        if let Some(found) = page.entities.first() {
            return Ok(Some(found.record.id.as_str().to_owned()));
        }
        after = page.next;
        if after.is_none() {
            return Ok(None);
        }
    }
}

/// The beginning of an id as entities have them: names are in lower case, keys are as they are.
fn prefix(text: &str) -> String {
    match text.strip_prefix('@').map(|rest| rest.split_once('@').unwrap_or((rest, ""))) {
        Some((name, _)) => format!("@{}{}", name.to_lowercase(), &text[1 + name.len()..]),
        None => text.to_owned(),
    }
}

/// Lets go what is empty and locks whose holder is gone, a part of the entities at a time.
pub async fn clean(
    hub: &Hub,
    request: pb::CleanEntityStorageRequest,
) -> Result<pb::CleanEntityStorageResponse, Status> {
    let (remove_empty, release_orphaned) = (request.remove_empty_entities, request.release_orphaned_locks);
    let after = after(request.continuation_token)?;
    let filter = EntityFilter { transient: true, ..EntityFilter::default() };
    let size = PageSize { instances: CLEANED_AT_ONCE, bytes: usize::MAX, inputs: false };
    let page = hub.list_entities(filter, after, size).await?;
    let doubtful = page.entities.into_iter().map(|view| view.record);
    let entities: Vec<_> = doubtful.filter(|r| r.lock.is_some() || r.is_empty()).map(|r| r.id).collect();
    let mut response =
        pb::CleanEntityStorageResponse { continuation_token: page.next.map(|id| token(&id)), ..Default::default() };
    if !entities.is_empty() {
        let input = |request| Input::CleanEntities { request, entities, remove_empty, release_orphaned };
        match hub.call(input).await? {
            Reply::Cleaned { removed, released } => {
                response.empty_entities_removed = i32::try_from(removed).unwrap_or(i32::MAX);
                response.orphaned_locks_released = i32::try_from(released).unwrap_or(i32::MAX);
            }
            other => return Err(Status::internal(format!("unexpected reply to a cleaning: {other:?}"))),
        }
    }
    Ok(response)
}

/// A place in a listing as a token: opaque to clients, never empty and never `0`.
fn token(after: &InstanceId) -> String {
    format!("e.{after}")
}

fn after(token: Option<String>) -> Result<Option<InstanceId>, Status> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
    let id = token.strip_prefix("e.").filter(|id| id.starts_with('@'));
    let id =
        id.ok_or_else(|| Status::invalid_argument("the continuation token is not one that this scheduler gave out"))?;
    InstanceId::parse(id).map(Some).map_err(|e| status::of_invalid_id(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_its_name_in_lower_case_and_its_key_as_it_is() {
        for (text, expected) in [
            ("", ""),
            ("@", "@"),
            ("@Cou", "@cou"),
            ("@Counter@", "@counter@"),
            ("@Counter@Ab", "@counter@Ab"),
            ("Counter", "Counter"),
        ] {
            assert_eq!(prefix(text), expected);
        }
    }

    #[test]
    fn a_token_is_a_place_and_anything_else_is_refused() {
        let id = InstanceId::trusted("@e@a.b@c");
        assert_eq!(after(Some(token(&id))).expect("it is one"), Some(id));
        assert_eq!(after(Some(String::new())).expect("the first page"), None);
        for wrong in ["0", "e.", "e.x", "p0.@e@a"] {
            let status = after(Some(wrong.into())).expect_err("it is none");
            assert_eq!(status.code(), tonic::Code::InvalidArgument, "{wrong}");
        }
    }
}
