//! Many children of one parent: started, run and answered, by a worker without guests and by the real host.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use durawasm_client::{Payload, StartOptions, Status, Wait};
use durawasm_proto::durabletask as pb;
use durawasm_tests::cluster::{Scheduler, SchedulerOptions, World, components};
use pb::history_event::EventType;
use pb::orchestrator_action::OrchestratorActionType as Action;

use crate::scripted;

pub(crate) async fn run(quick: bool) -> Result<()> {
    let count: i32 = if quick { 500 } else { 10_000 };
    scripted_worker(count).await?;
    real_host(count).await
}

/// Parent and children as components.
async fn real_host(count: i32) -> Result<()> {
    let folder = components(&["test_foreign.wasm", "test_durability.wasm"])?;
    let world = World::start(folder.path()).await?;
    // Children that end at once, with 0.
    let child = serde_json::json!({ "name": "generations", "input": 0, "child": true });
    let children = serde_json::to_string(&vec![child; usize::try_from(count)?])?;
    let begin = Instant::now();
    let id = world.client.start("foreign_calls", Some(Payload::from_text(children)), StartOptions::default()).await?;
    let ended = world.client.wait_for_completion(&id, &Wait::at_most(Duration::from_secs(300))).await?;
    ensure!(ended.status == Status::Completed, "the parent is {}: {:?}", ended.status, ended.failure);
    let took = begin.elapsed();
    let results: Vec<i32> = serde_json::from_str(ended.output.as_ref().map_or("", |output| output.as_str()))?;
    ensure!(results == vec![0; usize::try_from(count)?], "each child returns 0");
    report(count, "the real host", took);
    Ok(())
}

fn report(count: i32, worker: &str, took: Duration) {
    println!(
        "- {count} children of one parent, {worker}: {:.2} s, {:.0} µs a child",
        took.as_secs_f64(),
        took.as_secs_f64() * 1e6 / f64::from(count)
    );
}

async fn scripted_worker(count: i32) -> Result<()> {
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let answered = std::sync::Mutex::new(0);
    let _worker = scripted::work(&scheduler.uri(), move |request| {
        if request.instance_id != "parent" {
            return vec![scripted::complete(1, "1")];
        }
        if scripted::begins(request) {
            let child = |id| {
                let child = pb::CreateSubOrchestrationAction { name: "child".into(), ..Default::default() };
                scripted::action(id, Action::CreateSubOrchestration(child))
            };
            return (1..=count).map(child).collect();
        }
        let done =
            |e: &&pb::HistoryEvent| matches!(e.event_type, Some(EventType::SubOrchestrationInstanceCompleted(_)));
        let mut answered = answered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *answered += request.new_events.iter().filter(done).count();
        match i32::try_from(*answered) {
            Ok(all) if all == count => vec![scripted::complete(count + 1, &count.to_string())],
            _ => Vec::new(),
        }
    })
    .await?;
    let client = scheduler.client().await?;
    let begin = Instant::now();
    let id = durawasm_client::InstanceId::new("parent")?;
    let options = StartOptions { id: Some(id.clone()), ..Default::default() };
    client.start("parent", Some(Payload::from_text("null")), options).await?;
    let ended = client.wait_for_completion(&id, &Wait::at_most(Duration::from_secs(300))).await?;
    ensure!(ended.status == Status::Completed, "the parent is {}: {:?}", ended.status, ended.failure);
    report(count, "a worker without guests", begin.elapsed());
    Ok(())
}
