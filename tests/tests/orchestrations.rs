//! What orchestrators do, on the real program: timers, events, children, generations, retries, ends.

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{EventKind, Payload, Status};
use durawasm_tests::cluster::{World, components, eventually};

async fn world() -> Result<(World, tempfile::TempDir)> {
    let folder = components(&["hello_cities.wasm", "fan_out.wasm", "test_durability.wasm"])?;
    Ok((World::start(folder.path()).await?, folder))
}

#[tokio::test]
async fn activities_run_in_order_and_in_parallel() -> Result<()> {
    let (world, _folder) = world().await?;
    let greetings = world.run("chain", "hello_cities", None).await?;
    ensure!(greetings.starts_with(r#"["Hello Tokyo!""#), "{greetings}");
    assert_eq!(world.run("fan", "fan_out", Some(r#"{"count":1000}"#)).await?, "332833500");
    Ok(())
}

#[tokio::test]
async fn a_timer_never_fires_early_and_a_wait_that_lost_takes_no_event() -> Result<()> {
    let (world, _folder) = world().await?;
    let slept: u64 = world.run("nap", "sleep", Some("250")).await?.parse()?;
    ensure!((250..5_000).contains(&slept), "{slept}");
    assert_eq!(world.run("late", "approval", Some("50")).await?, r#""timed out""#);
    let id = world.begin("items", "items", Some("3")).await?;
    eventually("the first wait has lost", async || {
        let history = world.client.history(&id).await?.all().await?;
        Ok(history.iter().any(|e| matches!(e.kind, EventKind::TimerFired { .. })).then_some(()))
    })
    .await?;
    for number in 1..=3 {
        world.client.raise_event(&id, "ITEM", Some(Payload::from_text(number.to_string()))).await?;
    }
    assert_eq!(world.output(&id).await?, "[1,2,3]");
    Ok(())
}

#[tokio::test]
async fn children_generations_and_messages_work() -> Result<()> {
    let (world, _folder) = world().await?;
    let slept: u64 = world.run("parent", "parent", Some(r#""its-child""#)).await?.parse()?;
    ensure!(slept >= 1, "{slept}");
    let child = world.client.get(&durawasm_client::InstanceId::new("its-child")?, true).await?.context("the child")?;
    assert_eq!(child.parent.map(|p| p.to_string()), Some("parent".to_owned()));
    assert_eq!(world.run("eternal", "generations", Some("50")).await?, "0");
    let history = world.client.history(&durawasm_client::InstanceId::new("eternal")?).await?.all().await?;
    ensure!(history.len() < 10, "only the last generation's history is kept: {}", history.len());
    let target = world.begin("target", "approval", Some("60000")).await?;
    let message = r#"{"to":"target","event":"approval","payload":7}"#;
    world.run("sender", "send", Some(message)).await?;
    assert_eq!(world.output(&target).await?, r#""approved with 7""#);
    assert_eq!(world.run("forgetful", "forget", None).await?, "null");
    Ok(())
}

#[tokio::test]
async fn what_an_orchestrator_observes_survives_replay() -> Result<()> {
    let (mut world, _folder) = world().await?;
    // The host dies between the two looks of some of these; the first look is then taken again.
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(world.begin(&format!("observer-{number}"), "observe", None).await?);
    }
    world.crash_and_restart_host().await?;
    for id in ids {
        let observed: serde_json::Value = serde_json::from_str(&world.output(&id).await?)?;
        ensure!(
            observed[0]["uuid"] != observed[1]["uuid"] && observed[0]["now"] == observed[0]["std_now"],
            "{observed}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn retries_are_in_the_history() -> Result<()> {
    let (world, _folder) = world().await?;
    let id = world.begin("retries", "retries", Some(r#"{"max":3,"millis":10}"#)).await?;
    let failed = world.ended(&id).await?;
    assert_eq!(failed.status, Status::Failed);
    let history = world.client.history(&id).await?.all().await?;
    let count = |wanted: fn(&EventKind) -> bool| history.iter().filter(|e| wanted(&e.kind)).count();
    assert_eq!(count(|k| matches!(k, EventKind::TaskScheduled { .. })), 3);
    assert_eq!(count(|k| matches!(k, EventKind::TimerFired { .. })), 2);
    Ok(())
}

#[tokio::test]
async fn failures_keep_their_type_their_causes_and_their_place() -> Result<()> {
    let (world, _folder) = world().await?;
    let id = world.begin("causes", "fail_by_activity", None).await?;
    let failure = world.ended(&id).await?.failure.context("a failure")?;
    let chain: Vec<String> = failure.chain().map(|f| f.message.clone()).collect();
    assert_eq!(chain.first().map(String::as_str), Some("calling the activity"), "{chain:?}");
    ensure!(chain.iter().any(|m| m.contains("the inside broke")), "{chain:?}");
    let id = world.begin("panics", "panic_at", Some("true")).await?;
    let failure = world.ended(&id).await?.failure.context("a failure")?;
    ensure!(failure.message.contains("panics on purpose"), "{failure}");
    Ok(())
}

#[tokio::test]
async fn an_instance_can_be_held_resumed_and_ended() -> Result<()> {
    let (world, _folder) = world().await?;
    let id = world.begin("held", "approval", Some("60000")).await?;
    world.client.suspend(&id, Some("lunch")).await?;
    let seen = world.client.get(&id, false).await?.context("it exists")?;
    assert_eq!(seen.status, Status::Suspended);
    world.client.resume(&id, None).await?;
    world.client.terminate(&id, Some(Payload::from_text("\"stopped\"")), true).await?;
    let ended = world.ended(&id).await?;
    assert_eq!(ended.status, Status::Terminated);
    assert_eq!(ended.output.context("an output")?.as_str(), "\"stopped\"");
    Ok(())
}

#[tokio::test]
async fn an_instance_that_nobody_can_run_is_ended_by_the_scheduler_itself() -> Result<()> {
    let (world, _folder) = world().await?;
    let id = world.begin("orphan", "nobody_runs_this", None).await?;
    let described = world.client.describe(&id, false).await?.context("it exists")?;
    let waiting = described.details.and_then(|d| d.waiting_for).context("it waits for something")?;
    ensure!(waiting.contains("orchestrator `nobody_runs_this`"), "{waiting}");
    world.client.terminate(&id, None, true).await?;
    assert_eq!(world.ended(&id).await?.status, Status::Terminated);
    Ok(())
}

#[tokio::test]
async fn ids_with_quotes_newlines_and_unicode_are_fine() -> Result<()> {
    let (world, _folder) = world().await?;
    for id in ["it's \"quoted\"", "two\nlines", "zażółć 🦀", &"x".repeat(1_024)] {
        let output = world.run(id, "hello_cities", None).await?;
        ensure!(output.contains("Tokyo"), "{output}");
    }
    Ok(())
}

#[tokio::test]
async fn a_history_of_many_thousand_events_is_replayed_by_a_new_host() -> Result<()> {
    let (mut world, _folder) = world().await?;
    // The last activity is slow, so the restart falls into the middle.
    let id = world.begin("long", "count", Some(r#"{"to":4000,"millis":0}"#)).await?;
    eventually("a long history", async || {
        let described = world.client.describe(&id, false).await?.and_then(|d| d.details);
        Ok(described.is_some_and(|d| d.history_events > 6_000).then_some(()))
    })
    .await?;
    world.crash_and_restart_host().await?;
    assert_eq!(world.output(&id).await?, "7998000");
    let history = world.client.history(&id).await?.all().await?;
    assert_eq!(history.len(), 2 + 4_000 * 3 + 1);
    Ok(())
}
