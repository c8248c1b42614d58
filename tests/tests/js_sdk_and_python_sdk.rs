//! Both SDKs and our host in one hub, several hubs, and a scheduler that is killed under them.

use anyhow::{Result, ensure};
use durawasm_client::{EventKind, Instance, InstanceId, Payload};
use durawasm_tests::cluster::{Scheduler, SchedulerOptions, World, components, eventually};
use durawasm_tests::process::Process;
use durawasm_tests::sdk::Sdk::{self, JavaScript, Python};
use serde_json::{Value, json};

/// Starts a script that is a worker, and waits until it is ready.
async fn worker(sdk: Sdk, world: &World, script: &str) -> Result<Process> {
    let mut worker = sdk.start(world.scheduler.address(), &[script])?;
    worker.line("worker ready").await?;
    Ok(worker)
}

/// Waits until an instance says something in its custom status.
async fn says(world: &World, id: &InstanceId, word: &str) -> Result<Instance> {
    let word = Value::from(word).to_string();
    eventually(&format!("{id} says {word}"), async || {
        // A scheduler that is being started again does not answer.
        let seen = world.client.get(id, false).await.ok().flatten();
        Ok(seen.filter(|instance| instance.custom_status.as_ref().is_some_and(|said| said.as_str() == word)))
    })
    .await
}

#[tokio::test]
async fn orchestrations_go_through_python_javascript_and_webassembly_and_back() -> Result<()> {
    let folder = components(&["test_foreign.wasm"])?;
    let world = World::start(folder.path()).await?;
    let _python = worker(Python, &world, "relay").await?;
    let _javascript = worker(JavaScript, &world, "relay").await?;
    let last = json!({ "name": "python_relay", "id": "last" });
    let through_wasm = |next: &Value| {
        let call = json!({ "name": next["name"], "child": true, "input": next.get("input"), "id": next.get("id") });
        json!({ "name": "foreign_call", "input": call })
    };
    let through = |name: &str, next: &Value| json!({ "name": name, "input": next });
    // WebAssembly, JavaScript, WebAssembly, Python, JavaScript, Python.
    let javascript = through("javascript_relay", &last);
    let python = through("python_relay", &javascript);
    let javascript = through("javascript_relay", &through_wasm(&python));
    let top = through_wasm(&javascript);
    let id = world.begin("relay", "foreign_call", Some(&top["input"].to_string())).await?;
    let last = InstanceId::new("last")?;
    says(&world, &last, "relaying").await?;
    world.client.raise_event(&last, "END", Some(Payload::from_text("7"))).await?;
    let said: Vec<Value> = serde_json::from_str(&world.output(&id).await?)?;
    let (by_python, by_javascript) = ("javascript asks, python answers", "python asks, javascript answers");
    assert_eq!(said, [json!(by_python), json!(by_javascript), json!(by_python), json!(by_javascript), json!(7)]);
    // One termination reaches all of them.
    let forever =
        world.begin("endless", "foreign_call", Some(&top["input"].to_string().replace("last", "lost"))).await?;
    let lost = InstanceId::new("lost")?;
    says(&world, &lost, "relaying").await?;
    world.client.terminate(&forever, None, true).await?;
    for id in [&forever, &lost] {
        let ended = world.ended(id).await?;
        ensure!(ended.status == durawasm_client::Status::Terminated, "{id} is {}", ended.status);
    }
    Ok(())
}

/// What a worker of an SDK goes through when its scheduler is killed twice and comes back: nothing is lost, and each activity is
/// answered once.
async fn survives(sdk: Sdk) -> Result<()> {
    const STEPS: usize = 15;
    let folder = components(&["test_foreign.wasm"])?;
    let mut world = World::start(folder.path()).await?;
    let mut worker = worker(sdk, &world, "survivor").await?;
    let mut wanted = Vec::new();
    for number in 0..6 {
        let id = world.begin(&format!("alone-{number}"), "survives", Some(&STEPS.to_string())).await?;
        wanted.push((id.clone(), id));
        let child = format!("child-{number}");
        let call = json!({ "name": "survives", "child": true, "id": child, "input": STEPS });
        let parent = world.begin(&format!("parent-{number}"), "foreign_call", Some(&call.to_string())).await?;
        wanted.push((parent, InstanceId::new(child)?));
    }
    for step in ["step 3 of ", "step 9 of "] {
        worker.line(step).await?;
        world.scheduler.crash_and_restart().await?;
    }
    for (id, waits) in wanted {
        says(&world, &waits, "waiting").await?;
        world.client.raise_event(&waits, "end", Some(Payload::from_text(r#""over""#))).await?;
        assert_eq!(serde_json::from_str::<Value>(&world.output(&id).await?)?, json!([STEPS, "over"]));
        let history = world.client.history(&waits).await?.all().await?;
        let answers = history.iter().filter(|event| matches!(event.kind, EventKind::TaskCompleted { .. })).count();
        ensure!(answers == STEPS, "{waits} has {answers} answers");
    }
    Ok(())
}

#[tokio::test]
async fn a_python_worker_goes_on_when_its_scheduler_was_killed() -> Result<()> {
    survives(Python).await
}

#[tokio::test]
async fn a_javascript_worker_goes_on_when_its_scheduler_was_killed() -> Result<()> {
    survives(JavaScript).await
}

#[tokio::test]
async fn clients_and_workers_of_both_sdks_see_their_own_hub_alone() -> Result<()> {
    for sdk in [Python, JavaScript] {
        let arguments = vec!["--hub".to_owned(), "other".to_owned()];
        let scheduler = Scheduler::start(SchedulerOptions { arguments, ..Default::default() }).await?;
        sdk.proves_at(scheduler.address(), "hubs").await?;
    }
    Ok(())
}
