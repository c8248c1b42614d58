//! A worker without guests: it answers episodes as a function says. For benches of the scheduler alone, with real gRPC.

use std::sync::Arc;

use anyhow::Result;
use durawasm_proto::durabletask as pb;
use durawasm_proto::metadata::{DURAWASM_API, WORKER_ID};
use pb::orchestrator_action::OrchestratorActionType as Action;
use pb::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use pb::work_item::Request as Item;
use tokio::sync::mpsc;
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

/// How many episodes it has at once.
const EPISODES: i32 = 256;

pub(crate) type Rpc = TaskHubSidecarServiceClient<Channel>;

/// A worker that is connected for as long as this lives.
pub(crate) struct Worker {
    /// Dropped, they are aborted.
    _tasks: tokio::task::JoinSet<()>,
}

pub(crate) async fn connect(uri: &str) -> Result<Rpc> {
    Ok(Rpc::connect(uri.to_owned()).await?.max_decoding_message_size(64 << 20))
}

/// Connects a worker that answers each episode with the actions that `decide` returns. It is shown the past only if it was not the last one
/// to have the instance, as durawasm's own host.
pub(crate) async fn work(
    uri: &str,
    decide: impl Fn(&pb::OrchestratorRequest) -> Vec<pb::OrchestratorAction> + Send + Sync + 'static,
) -> Result<Worker> {
    let mut rpc = connect(uri).await?;
    let mut request = Request::new(pb::GetWorkItemsRequest {
        max_concurrent_orchestration_work_items: EPISODES,
        max_concurrent_activity_work_items: 1,
        max_concurrent_entity_work_items: 1,
        ..Default::default()
    });
    request.metadata_mut().insert(DURAWASM_API, MetadataValue::from_static("1"));
    request.metadata_mut().insert(WORKER_ID, MetadataValue::from_static("scripted"));
    let mut items = rpc.get_work_items(request).await?.into_inner();
    let (sender, receiver) = mpsc::channel::<pb::OrchestratorResponse>(2 * EPISODES as usize);
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (receiver, mut rpc) = (Arc::clone(&receiver), rpc.clone());
        tasks.spawn(async move {
            loop {
                let Some(response) = receiver.lock().await.recv().await else { return };
                if let Err(status) = rpc.complete_orchestrator_task(response).await {
                    eprintln!("the scheduler refused an answer: {status}");
                }
            }
        });
    }
    tasks.spawn(async move {
        while let Ok(Some(item)) = items.message().await {
            let Some(Item::OrchestratorRequest(request)) = item.request else { continue };
            let response = pb::OrchestratorResponse {
                actions: decide(&request),
                instance_id: request.instance_id,
                completion_token: item.completion_token,
                ..Default::default()
            };
            if sender.send(response).await.is_err() {
                return;
            }
        }
    });
    Ok(Worker { _tasks: tasks })
}

pub(crate) fn action(id: i32, kind: Action) -> pb::OrchestratorAction {
    pb::OrchestratorAction { id, orchestrator_action_type: Some(kind) }
}

pub(crate) fn complete(id: i32, result: &str) -> pb::OrchestratorAction {
    let completion = pb::CompleteOrchestrationAction {
        orchestration_status: pb::OrchestrationStatus::Completed.into(),
        result: Some(result.to_owned()),
        ..Default::default()
    };
    action(id, Action::CompleteOrchestration(completion))
}

pub(crate) fn timer(id: i32, at: std::time::SystemTime) -> pb::OrchestratorAction {
    action(id, Action::CreateTimer(pb::CreateTimerAction { fire_at: Some(at.into()) }))
}

/// Whether this is an instance's first episode.
pub(crate) fn begins(request: &pb::OrchestratorRequest) -> bool {
    let starts = |e: &pb::HistoryEvent| matches!(e.event_type, Some(pb::history_event::EventType::ExecutionStarted(_)));
    request.new_events.iter().any(starts)
}

/// Starts `count` instances, many at a time. The input tells them apart.
pub(crate) async fn start_many(uri: &str, name: &'static str, prefix: &str, count: usize) -> Result<()> {
    let rpc = connect(uri).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 0..128 {
        let (mut rpc, prefix) = (rpc.clone(), prefix.to_owned());
        tasks.spawn(async move {
            for number in (lane..count).step_by(128) {
                let request = pb::CreateInstanceRequest {
                    instance_id: format!("{prefix}-{number}"),
                    name: name.to_owned(),
                    input: Some(number.to_string()),
                    ..Default::default()
                };
                rpc.start_instance(request).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(())
}
