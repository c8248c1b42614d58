//! Instances that go on from an earlier point, and questions to them.

use durawasm_proto::{durabletask as pb, v1};
use tonic::Status;

use super::convert;
use crate::core::ids::InstanceId;
use crate::core::message::{ForkRequest, Input, MigrateRequest, Repair, Reply, ResetRequest};
use crate::hub::Hub;

async fn repair(hub: &Hub, repair: Repair) -> Result<(InstanceId, u64), Status> {
    let repair = Box::new(repair);
    match hub.call(|call| Input::Repair(call, repair)).await? {
        Reply::Repaired(id, kept) => Ok((id, kept)),
        Reply::Started(id) => Ok((id, 0)),
        other => Err(Status::internal(format!("unexpected reply to a repair: {other:?}"))),
    }
}

/// An execution, if one is named.
fn named(execution: String) -> Option<String> {
    (!execution.is_empty()).then_some(execution)
}

fn fresh_id() -> InstanceId {
    InstanceId::trusted(&uuid::Uuid::new_v4().simple().to_string())
}

/// Takes a failed instance back to before its failure.
pub async fn rewind(hub: &Hub, request: pb::RewindInstanceRequest) -> Result<pb::RewindInstanceResponse, Status> {
    let id = convert::instance_id(&request.instance_id)?;
    repair(hub, Repair::Rewind(id, request.reason)).await?;
    Ok(pb::RewindInstanceResponse {})
}

/// Begins an instance anew.
pub async fn restart(hub: &Hub, request: pb::RestartInstanceRequest) -> Result<pb::RestartInstanceResponse, Status> {
    let id = convert::instance_id(&request.instance_id)?;
    let new = request.restart_with_new_instance_id.then(fresh_id);
    let (id, _) = repair(hub, Repair::Restart(id, new)).await?;
    Ok(pb::RestartInstanceResponse { instance_id: id.as_str().into() })
}

/// Takes an instance back to an earlier turn.
pub async fn reset(hub: &Hub, request: v1::ResetInstanceRequest) -> Result<v1::ResetInstanceResponse, Status> {
    let id = convert::instance_id(&request.instance_id)?;
    let execution = named(request.execution_id);
    let reset = ResetRequest { instance: id, execution, at: request.at_event, reason: request.reason };
    let (_, kept_events) = repair(hub, Repair::Reset(reset)).await?;
    Ok(v1::ResetInstanceResponse { kept_events })
}

/// Starts an instance with a part of another one's history.
pub async fn fork(hub: &Hub, request: v1::ForkInstanceRequest) -> Result<v1::ForkInstanceResponse, Status> {
    let instance = match request.new_instance_id.as_str() {
        "" => fresh_id(),
        chosen => convert::instance_id(chosen)?,
    };
    let fork = ForkRequest {
        source: convert::instance_id(&request.instance_id)?,
        execution: named(request.execution_id),
        at: request.at_event,
        instance,
        version: request.version,
        results: request.results.into_iter().map(|s| (s.event, s.result)).collect(),
    };
    let (id, kept_events) = repair(hub, Repair::Fork(fork)).await?;
    Ok(v1::ForkInstanceResponse { instance_id: id.as_str().into(), kept_events })
}

/// Lets an instance go on with another version, if its history is still the one that was replayed on it.
pub async fn migrate(hub: &Hub, request: v1::MigrateInstanceRequest) -> Result<v1::MigrateInstanceResponse, Status> {
    let v1::MigrateInstanceRequest { instance_id, execution_id, history_events, version } = request;
    let instance = convert::instance_id(&instance_id)?;
    if version.is_empty() {
        return Err(Status::invalid_argument(format!("instance `{instance}` cannot be moved to no version: name one")));
    }
    let request = MigrateRequest { instance, execution: execution_id, events: history_events, version };
    let repair = Box::new(Repair::Migrate(request));
    match hub.call(|call| Input::Repair(call, repair)).await? {
        Reply::Migrated(outcome) => Ok(v1::MigrateInstanceResponse { outcome: outcome.into() }),
        other => Err(Status::internal(format!("unexpected reply to a migration: {other:?}"))),
    }
}

/// Asks an orchestrator a question.
pub async fn ask(hub: &Hub, request: v1::QueryInstanceRequest) -> Result<v1::QueryInstanceResponse, Status> {
    let id = convert::instance_id(&request.instance_id)?;
    match hub.call(|call| Input::Ask(call, id, request.name, request.input)).await? {
        Reply::Answered(outcome) => Ok(match *outcome {
            Ok(output) => v1::QueryInstanceResponse { output, failure: None },
            Err(failure) => v1::QueryInstanceResponse { output: None, failure: Some(failure) },
        }),
        other => Err(Status::internal(format!("unexpected reply to a question: {other:?}"))),
    }
}
