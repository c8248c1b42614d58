//! What a status says of work that comes back from workers.

use anyhow::{Context as _, Result, ensure};
use durawasm_client::InstanceId;
use durawasm_proto::durabletask as pb;
use durawasm_tests::cluster::{Scheduler, SchedulerOptions, World, components, eventually};
use durawasm_tests::command::Shell;
use pb::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use pb::work_item::Request;

#[tokio::test]
async fn an_activity_that_comes_back_each_time_is_named_with_advice() -> Result<()> {
    let folder = components(&["test_durability.wasm"])?;
    let world = World::start(folder.path()).await?;
    let shell = Shell::at(&world.scheduler);
    // A worker that runs `poison`, and gives it back each time.
    let mut worker = TaskHubSidecarServiceClient::connect(world.scheduler.uri()).await?;
    let activities = vec![pb::ActivityFilter { name: "poison".into(), versions: Vec::new() }];
    let filters = pb::WorkItemFilters { activities, ..Default::default() };
    let request = pb::GetWorkItemsRequest { work_item_filters: Some(filters), ..Default::default() };
    let mut items = worker.get_work_items(request).await?.into_inner();
    tokio::spawn(async move {
        while let Ok(Some(item)) = items.message().await {
            if let Some(Request::ActivityRequest(_)) = item.request {
                let back = pb::AbandonActivityTaskRequest { completion_token: item.completion_token };
                if worker.abandon_task_activity_work_item(back).await.is_err() {
                    return;
                }
            }
        }
    });
    let id = world.begin("stuck", "call_foreign", Some(r#"{"name":"poison","input":1}"#)).await?;
    eventually("it came back three times", async || {
        let details = world.client.describe(&id, false).await?.context("it exists")?.details.context("details")?;
        Ok(details.returned_activities.first().is_some_and(|returned| returned.times >= 3).then_some(()))
    })
    .await?;
    let status = shell.succeeds(&["status", "stuck"]).await?;
    ensure!(status.shows("came back poison (event 2) was lost with its worker or given back"), "{status:#?}");
    ensure!(status.shows("read their logs") && status.shows("durawasm errors DW0039"), "{status:#?}");
    let json = shell.succeeds(&["status", "stuck", "--json"]).await?;
    let json: serde_json::Value = serde_json::from_str(&json.out)?;
    assert_eq!(json["returnedActivities"][0]["event"], 2);
    let waited = shell.refuses(&["wait", "stuck", "--timeout", "200ms"], 7, "DW0017").await?;
    ensure!(waited.err.contains("the activity `poison`, which has come back"), "{waited:#?}");
    // The way out that the error's page names.
    shell.succeeds(&["fork", "stuck", "--at", "end", "--as", "unstuck", "--result", "2=\"mended\""]).await?;
    assert_eq!(shell.succeeds(&["wait", "unstuck"]).await?.first(), "\"mended\"");
    shell.succeeds(&["terminate", "stuck", "--yes"]).await?;
    Ok(())
}

#[tokio::test]
async fn a_turn_that_comes_back_each_time_is_shown_and_its_instance_can_still_be_ended() -> Result<()> {
    let scheduler = Scheduler::start(SchedulerOptions { in_memory: true, ..Default::default() }).await?;
    let (client, shell) = (scheduler.client().await?, Shell::at(&scheduler));
    // A worker that gives every turn back, as workers of other SDKs do with versions that they do not have.
    let mut worker = TaskHubSidecarServiceClient::connect(scheduler.uri()).await?;
    let mut items = worker.get_work_items(pb::GetWorkItemsRequest::default()).await?.into_inner();
    tokio::spawn(async move {
        while let Ok(Some(item)) = items.message().await {
            if let Some(Request::OrchestratorRequest(_)) = item.request {
                let back = pb::AbandonOrchestrationTaskRequest { completion_token: item.completion_token };
                if worker.abandon_task_orchestrator_work_item(back).await.is_err() {
                    return;
                }
            }
        }
    });
    shell.succeeds(&["start", "refused", "--id", "stuck"]).await?;
    let id = InstanceId::new("stuck")?;
    eventually("it came back three times", async || {
        let details = client.describe(&id, false).await?.context("it exists")?.details.context("details")?;
        Ok((details.returned_episodes >= 3).then_some(()))
    })
    .await?;
    let status = shell.succeeds(&["status", "stuck"]).await?;
    ensure!(status.shows("came back the last") && status.shows("tries at its turn were lost"), "{status:#?}");
    ensure!(status.shows("durawasm errors DW0039"), "{status:#?}");
    shell.succeeds(&["terminate", "stuck", "--force", "--yes"]).await?;
    let status = shell.succeeds(&["status", "stuck"]).await?;
    ensure!(status.shows("status terminated") && !status.shows("came back"), "{status:#?}");
    Ok(())
}
