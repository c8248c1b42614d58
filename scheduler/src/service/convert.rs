//! Wire messages to the core's types and back.

use durawasm_proto::durabletask as pb;
use durawasm_proto::v1;
use pb::history_event::EventType;
use tonic::Status;

use super::status;
use crate::core::dispatch::{Filters, NameFilter, StreamInfo};
use crate::core::ids::InstanceId;
use crate::core::message::{ActivityOutcome, Question, StartRequest};
use crate::core::record::Status as InstanceStatus;
use crate::core::time::Timestamp;
use crate::store::InstanceView;

/// How many items of a kind a worker gets at once if it states no limit. (Many SDKs send 0 for some kinds and mean: not stated.)
const DEFAULT_LIMIT: usize = 100;

/// An instance id from outside.
///
/// # Errors
/// INVALID_ARGUMENT if it is none.
pub fn instance_id(text: &str) -> Result<InstanceId, Status> {
    InstanceId::parse(text).map_err(|e| status::of_invalid_id(&e))
}

/// A request to start an instance.
///
/// # Errors
/// INVALID_ARGUMENT if the id is none.
pub fn start_request(request: pb::CreateInstanceRequest) -> Result<StartRequest, Status> {
    let fresh = request.instance_id.is_empty();
    let instance = match fresh {
        true => InstanceId::trusted(&uuid::Uuid::new_v4().simple().to_string()),
        false => instance_id(&request.instance_id)?,
    };
    let replaceable = request
        .orchestration_id_reuse_policy
        .map(|policy| policy.replaceable_status().filter_map(InstanceStatus::from_wire).collect());
    Ok(StartRequest {
        instance,
        fresh,
        execution: request.execution_id,
        name: request.name,
        version: request.version,
        input: request.input,
        scheduled_start: request.scheduled_start_timestamp.map(Timestamp::not_before),
        tags: request.tags.into_iter().collect(),
        trace: request.parent_trace_context,
        replaceable,
    })
}

/// What a worker says of itself.
#[must_use]
pub fn stream_info(request: pb::GetWorkItemsRequest, worker: &str, extended: bool) -> StreamInfo {
    let limit = |stated: i32| usize::try_from(stated).ok().filter(|n| *n > 0).unwrap_or(DEFAULT_LIMIT);
    let history_streaming = request.capabilities().any(|c| c == pb::WorkerCapability::HistoryStreaming);
    let filters = request.work_item_filters.map(|filters| {
        let orchestrations = filters.orchestrations.into_iter().map(|f| (f.name, f.versions));
        let activities = filters.activities.into_iter().map(|f| (f.name, f.versions));
        let entities = filters.entities.into_iter().map(|f| (f.name.to_lowercase(), Vec::new()));
        Filters([name_filters(orchestrations), name_filters(activities), name_filters(entities)])
    });
    StreamInfo {
        worker: worker.into(),
        limits: [
            limit(request.max_concurrent_orchestration_work_items),
            limit(request.max_concurrent_activity_work_items),
            limit(request.max_concurrent_entity_work_items),
        ],
        filters,
        extended,
        history_streaming,
        answers: false,
        defaults: Default::default(),
    }
}

/// What a worker says of itself that speaks `durawasm.v1`.
#[must_use]
pub fn session_info(open: v1::Open, worker: &str) -> StreamInfo {
    let defaults = open.defaults.into_iter().map(|default| (default.name, default.version)).collect();
    let info = stream_info(open.work.unwrap_or_default(), worker, true);
    StreamInfo { answers: true, defaults: std::sync::Arc::new(defaults), ..info }
}

fn name_filters(list: impl Iterator<Item = (String, Vec<String>)>) -> Vec<NameFilter> {
    list.map(|(name, versions)| NameFilter { name, versions }).collect()
}

/// A question for a worker.
#[must_use]
pub fn question(question: Question) -> v1::Query {
    v1::Query {
        number: question.number,
        instance_id: question.instance.as_str().into(),
        execution_id: question.execution,
        orchestrator: question.orchestrator,
        version: question.version,
        name: question.name,
        input: question.input,
    }
}

/// How an activity ended: failed if and only if the failure is there.
#[allow(clippy::result_large_err, reason = "a failure is moved once, into the history")]
pub fn activity_outcome(response: pb::ActivityResponse) -> ActivityOutcome {
    match response.failure_details {
        Some(failure) => Err(failure),
        None => Ok(response.result),
    }
}

/// An instance as a client sees it.
#[must_use]
pub fn orchestration_state(view: InstanceView, with_payloads: bool) -> pb::OrchestrationState {
    let InstanceView { record, started, completed } = view;
    let input = started.and_then(|stored| match stored.event.event_type {
        Some(EventType::ExecutionStarted(started)) => started.input,
        _ => None,
    });
    let (output, failure_details) = match completed.and_then(|stored| stored.event.event_type) {
        Some(EventType::ExecutionCompleted(completed)) => (completed.result, completed.failure_details),
        _ => (None, None),
    };
    let time = |at: Timestamp| Some(at.into());
    pb::OrchestrationState {
        instance_id: record.id.as_str().into(),
        name: record.name,
        version: record.version,
        orchestration_status: record.status.to_wire().into(),
        scheduled_start_timestamp: record.scheduled_start.and_then(time),
        created_timestamp: time(record.created_at),
        last_updated_timestamp: time(record.updated_at),
        input: input.filter(|_| with_payloads),
        output: output.filter(|_| with_payloads),
        custom_status: record.custom_status,
        failure_details,
        execution_id: Some(record.execution.as_str().into()),
        completed_timestamp: record.completed_at.and_then(time),
        parent_instance_id: record.parent.map(|p| p.instance.as_str().into()),
        tags: record.tags.into_iter().collect(),
    }
}
