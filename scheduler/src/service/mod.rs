//! The gRPC service: the Durable Task protocol and `durawasm.v1`, on one port.

use std::sync::Arc;

use durawasm_proto::durabletask as pb;
use durawasm_proto::{metadata, v1};
use pb::task_hub_sidecar_service_server::TaskHubSidecarService;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::core::token::WorkKind;
use crate::hub::Hub;
use crate::hub::directory::{DEFAULT_HUB, Directory};
use workers::Caller;

mod clients;
mod convert;
pub mod deadline;
mod deployments;
mod durawasm;
mod entities;
mod listings;
mod repair;
pub mod status;
mod workers;

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    hubs: Arc<Directory>,
}

type Answer<T> = Result<Response<T>, Status>;

impl Service {
    /// A service over these hubs. Its streams and waits end with their hub.
    #[must_use]
    pub fn new(hubs: Arc<Directory>) -> Self {
        Self { hubs }
    }

    async fn hub(&self, metadata: &MetadataMap) -> Result<Hub, Status> {
        self.hubs.get(&hub_name(metadata)?).await
    }
}

fn header(metadata: &MetadataMap, key: &str) -> Result<Option<String>, Status> {
    let value = metadata.get(key).map(|v| v.to_str().map(str::to_owned)).transpose();
    value.map_err(|_| Status::invalid_argument(format!("the metadata `{key}` is not plain text")))
}

fn hub_name(metadata: &MetadataMap) -> Result<String, Status> {
    let name = header(metadata, metadata::TASK_HUB)?.filter(|name| !name.is_empty());
    Ok(name.unwrap_or_else(|| DEFAULT_HUB.to_owned()))
}

fn caller(metadata: &MetadataMap) -> Result<Caller, Status> {
    let worker = header(metadata, metadata::WORKER_ID)?.filter(|id| !id.is_empty());
    Ok(Caller {
        worker: worker.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
        extended: header(metadata, metadata::DURAWASM_API)?.as_deref() == Some("1"),
    })
}

/// A method that finds the hub and passes the message on.
macro_rules! hub_call {
    ($self:ident, $request:ident, |$hub:ident, $message:ident| $body:expr) => {{
        let $hub = $self.hub($request.metadata()).await?;
        let $message = $request.into_inner();
        Ok(Response::new($body))
    }};
}

#[tonic::async_trait]
impl TaskHubSidecarService for Service {
    type GetWorkItemsStream = workers::ItemStream;
    type StreamInstanceHistoryStream = clients::HistoryStream;

    async fn hello(&self, request: Request<()>) -> Answer<()> {
        hub_call!(self, request, |_hub, _message| ())
    }

    async fn start_instance(&self, request: Request<pb::CreateInstanceRequest>) -> Answer<pb::CreateInstanceResponse> {
        hub_call!(self, request, |hub, message| clients::start(&hub, message).await?)
    }

    async fn get_instance(&self, request: Request<pb::GetInstanceRequest>) -> Answer<pb::GetInstanceResponse> {
        hub_call!(self, request, |hub, message| clients::get(&hub, &message).await?)
    }

    async fn wait_for_instance_start(
        &self,
        request: Request<pb::GetInstanceRequest>,
    ) -> Answer<pb::GetInstanceResponse> {
        let deadline = deadline::of(&request);
        hub_call!(self, request, |hub, message| {
            deadline::keep(deadline, clients::wait_for_start(&hub, &message)).await?
        })
    }

    async fn wait_for_instance_completion(
        &self,
        request: Request<pb::GetInstanceRequest>,
    ) -> Answer<pb::GetInstanceResponse> {
        let deadline = deadline::of(&request);
        hub_call!(self, request, |hub, message| {
            deadline::keep(deadline, clients::wait_for_completion(&hub, &message)).await?
        })
    }

    async fn raise_event(&self, request: Request<pb::RaiseEventRequest>) -> Answer<pb::RaiseEventResponse> {
        hub_call!(self, request, |hub, message| clients::raise(&hub, message).await?)
    }

    async fn terminate_instance(&self, request: Request<pb::TerminateRequest>) -> Answer<pb::TerminateResponse> {
        hub_call!(self, request, |hub, message| clients::terminate(&hub, message).await?)
    }

    async fn suspend_instance(&self, request: Request<pb::SuspendRequest>) -> Answer<pb::SuspendResponse> {
        hub_call!(self, request, |hub, message| clients::suspend(&hub, message).await?)
    }

    async fn resume_instance(&self, request: Request<pb::ResumeRequest>) -> Answer<pb::ResumeResponse> {
        hub_call!(self, request, |hub, message| clients::resume(&hub, message).await?)
    }

    async fn stream_instance_history(
        &self,
        request: Request<pb::StreamInstanceHistoryRequest>,
    ) -> Answer<Self::StreamInstanceHistoryStream> {
        let extended = caller(request.metadata())?.extended;
        hub_call!(self, request, |hub, message| clients::history(&hub, &message, extended)?)
    }

    async fn get_work_items(&self, request: Request<pb::GetWorkItemsRequest>) -> Answer<Self::GetWorkItemsStream> {
        let caller = caller(request.metadata())?;
        hub_call!(self, request, |hub, message| workers::items(&hub, message, &caller))
    }

    async fn complete_orchestrator_task(
        &self,
        request: Request<pb::OrchestratorResponse>,
    ) -> Answer<pb::CompleteTaskResponse> {
        hub_call!(self, request, |hub, message| {
            workers::complete_episode(&hub, message).await?;
            pb::CompleteTaskResponse {}
        })
    }

    async fn complete_activity_task(&self, request: Request<pb::ActivityResponse>) -> Answer<pb::CompleteTaskResponse> {
        hub_call!(self, request, |hub, message| {
            workers::complete_activity(&hub, message).await?;
            pb::CompleteTaskResponse {}
        })
    }

    async fn abandon_task_orchestrator_work_item(
        &self,
        request: Request<pb::AbandonOrchestrationTaskRequest>,
    ) -> Answer<pb::AbandonOrchestrationTaskResponse> {
        hub_call!(self, request, |hub, message| {
            workers::abandon(&hub, &message.completion_token, WorkKind::Orchestration).await?;
            pb::AbandonOrchestrationTaskResponse {}
        })
    }

    async fn abandon_task_activity_work_item(
        &self,
        request: Request<pb::AbandonActivityTaskRequest>,
    ) -> Answer<pb::AbandonActivityTaskResponse> {
        hub_call!(self, request, |hub, message| {
            workers::abandon(&hub, &message.completion_token, WorkKind::Activity).await?;
            pb::AbandonActivityTaskResponse {}
        })
    }

    async fn create_task_hub(&self, request: Request<pb::CreateTaskHubRequest>) -> Answer<pb::CreateTaskHubResponse> {
        let name = hub_name(request.metadata())?;
        self.hubs.create(&name, request.into_inner().recreate_if_exists).await?;
        Ok(Response::new(pb::CreateTaskHubResponse {}))
    }

    async fn delete_task_hub(&self, request: Request<pb::DeleteTaskHubRequest>) -> Answer<pb::DeleteTaskHubResponse> {
        self.hubs.delete(&hub_name(request.metadata())?).await?;
        Ok(Response::new(pb::DeleteTaskHubResponse {}))
    }

    // ---- of later versions ---------------------------------------------------------------------------------------------

    async fn rewind_instance(&self, request: Request<pb::RewindInstanceRequest>) -> Answer<pb::RewindInstanceResponse> {
        hub_call!(self, request, |hub, message| repair::rewind(&hub, message).await?)
    }

    async fn restart_instance(
        &self,
        request: Request<pb::RestartInstanceRequest>,
    ) -> Answer<pb::RestartInstanceResponse> {
        hub_call!(self, request, |hub, message| repair::restart(&hub, message).await?)
    }

    async fn query_instances(&self, request: Request<pb::QueryInstancesRequest>) -> Answer<pb::QueryInstancesResponse> {
        hub_call!(self, request, |hub, message| listings::query(&hub, message).await?)
    }

    async fn list_instance_ids(
        &self,
        request: Request<pb::ListInstanceIdsRequest>,
    ) -> Answer<pb::ListInstanceIdsResponse> {
        hub_call!(self, request, |hub, message| listings::list_ids(&hub, message).await?)
    }

    async fn purge_instances(&self, request: Request<pb::PurgeInstancesRequest>) -> Answer<pb::PurgeInstancesResponse> {
        hub_call!(self, request, |hub, message| listings::purge(&hub, message).await?)
    }

    async fn complete_entity_task(&self, request: Request<pb::EntityBatchResult>) -> Answer<pb::CompleteTaskResponse> {
        hub_call!(self, request, |hub, message| {
            workers::complete_batch(&hub, message).await?;
            pb::CompleteTaskResponse {}
        })
    }

    async fn signal_entity(&self, request: Request<pb::SignalEntityRequest>) -> Answer<pb::SignalEntityResponse> {
        hub_call!(self, request, |hub, message| entities::signal(&hub, message).await?)
    }

    async fn get_entity(&self, request: Request<pb::GetEntityRequest>) -> Answer<pb::GetEntityResponse> {
        hub_call!(self, request, |hub, message| entities::get(&hub, &message).await?)
    }

    async fn query_entities(&self, request: Request<pb::QueryEntitiesRequest>) -> Answer<pb::QueryEntitiesResponse> {
        hub_call!(self, request, |hub, message| entities::query(&hub, message).await?)
    }

    async fn clean_entity_storage(
        &self,
        request: Request<pb::CleanEntityStorageRequest>,
    ) -> Answer<pb::CleanEntityStorageResponse> {
        hub_call!(self, request, |hub, message| entities::clean(&hub, message).await?)
    }

    async fn abandon_task_entity_work_item(
        &self,
        request: Request<pb::AbandonEntityTaskRequest>,
    ) -> Answer<pb::AbandonEntityTaskResponse> {
        hub_call!(self, request, |hub, message| {
            workers::abandon(&hub, &message.completion_token, WorkKind::Entity).await?;
            pb::AbandonEntityTaskResponse {}
        })
    }

    async fn skip_graceful_orchestration_terminations(
        &self,
        request: Request<pb::SkipGracefulOrchestrationTerminationsRequest>,
    ) -> Answer<pb::SkipGracefulOrchestrationTerminationsResponse> {
        hub_call!(self, request, |hub, message| listings::force_terminate(&hub, message).await?)
    }
}

#[tonic::async_trait]
impl v1::durawasm_server::Durawasm for Service {
    type SessionStream = workers::FrameStream;
    type FollowInstanceStream = durawasm::FollowStream;
    type ListParkedStream = durawasm::ParkedStream;
    type WatchDeploymentsStream = deployments::DeploymentStream;
    type FetchComponentStream = deployments::ByteStream;

    async fn session(&self, request: Request<Streaming<v1::WorkerFrame>>) -> Answer<Self::SessionStream> {
        let caller = caller(request.metadata())?;
        let hub = self.hub(request.metadata()).await?;
        let frames = request.into_inner();
        Ok(Response::new(workers::session(hub, frames, caller).await?))
    }

    async fn describe_instance(
        &self,
        request: Request<v1::DescribeInstanceRequest>,
    ) -> Answer<v1::DescribeInstanceResponse> {
        hub_call!(self, request, |hub, message| durawasm::describe(&hub, message).await?)
    }

    async fn follow_instance(&self, request: Request<v1::FollowInstanceRequest>) -> Answer<Self::FollowInstanceStream> {
        hub_call!(self, request, |hub, message| durawasm::follow(&hub, &message)?)
    }

    async fn reset_instance(&self, request: Request<v1::ResetInstanceRequest>) -> Answer<v1::ResetInstanceResponse> {
        hub_call!(self, request, |hub, message| repair::reset(&hub, message).await?)
    }

    async fn fork_instance(&self, request: Request<v1::ForkInstanceRequest>) -> Answer<v1::ForkInstanceResponse> {
        hub_call!(self, request, |hub, message| repair::fork(&hub, message).await?)
    }

    async fn migrate_instance(
        &self,
        request: Request<v1::MigrateInstanceRequest>,
    ) -> Answer<v1::MigrateInstanceResponse> {
        hub_call!(self, request, |hub, message| repair::migrate(&hub, message).await?)
    }

    async fn call_entity(&self, request: Request<v1::CallEntityRequest>) -> Answer<v1::CallEntityResponse> {
        let deadline = deadline::of(&request);
        hub_call!(self, request, |hub, message| deadline::keep(deadline, entities::call(&hub, message)).await?)
    }

    async fn acknowledge_entity_calls(
        &self,
        request: Request<v1::AcknowledgeEntityCallsRequest>,
    ) -> Answer<v1::AcknowledgeEntityCallsResponse> {
        hub_call!(self, request, |hub, message| entities::acknowledge(&hub, message).await?)
    }

    async fn query_instance(&self, request: Request<v1::QueryInstanceRequest>) -> Answer<v1::QueryInstanceResponse> {
        hub_call!(self, request, |hub, message| repair::ask(&hub, message).await?)
    }

    async fn list_parked(&self, request: Request<v1::ListParkedRequest>) -> Answer<Self::ListParkedStream> {
        hub_call!(self, request, |hub, _message| durawasm::list_parked(&hub))
    }

    async fn deploy(&self, request: Request<Streaming<v1::DeployRequest>>) -> Answer<v1::DeployResponse> {
        hub_call!(self, request, |hub, parts| deployments::deploy(&hub, parts).await?)
    }

    async fn list_deployments(
        &self,
        request: Request<v1::ListDeploymentsRequest>,
    ) -> Answer<v1::ListDeploymentsResponse> {
        hub_call!(self, request, |hub, message| deployments::list(&hub, message).await?)
    }

    async fn watch_deployments(
        &self,
        request: Request<v1::WatchDeploymentsRequest>,
    ) -> Answer<Self::WatchDeploymentsStream> {
        hub_call!(self, request, |hub, _message| deployments::watch(&hub))
    }

    async fn fetch_component(&self, request: Request<v1::FetchComponentRequest>) -> Answer<Self::FetchComponentStream> {
        hub_call!(self, request, |hub, message| deployments::fetch(&hub, message).await?)
    }

    async fn activate_version(&self, request: Request<v1::ActivateVersionRequest>) -> Answer<v1::Deployments> {
        hub_call!(self, request, |hub, message| deployments::activate(&hub, message).await?)
    }

    async fn roll_back(&self, request: Request<v1::RollBackRequest>) -> Answer<v1::Deployments> {
        hub_call!(self, request, |hub, message| deployments::roll_back(&hub, message).await?)
    }

    async fn remove_version(&self, request: Request<v1::RemoveVersionRequest>) -> Answer<v1::Deployments> {
        hub_call!(self, request, |hub, message| deployments::remove(&hub, message).await?)
    }
}
