//! Hosts and schedulers are killed in the middle of their work: everything accepted completes, with the right result.

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{EventKind, InstanceId};
use durawasm_tests::cluster::{World, components, eventually, start_host};

const GREETINGS: &str = r#"["Hello Tokyo!","Hello Hyderabad!","Hello London!","Hello São Paulo!","Hello Seattle!"]"#;

async fn start_many(world: &World, count: usize, name: &str, input: Option<&str>) -> Result<Vec<InstanceId>> {
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(world.begin(&format!("{name}-{number}"), name, input).await?);
    }
    Ok(ids)
}

/// One history per execution: each call is answered exactly once.
async fn check_history(world: &World, id: &InstanceId) -> Result<()> {
    let history = world.client.history(id).await?.all().await?;
    let mut called = Vec::new();
    let mut answered = Vec::new();
    for event in &history {
        match &event.kind {
            EventKind::TaskScheduled { .. } => called.push(event.event_id),
            EventKind::TaskCompleted { scheduled_id, .. } => answered.push(*scheduled_id),
            _ => {}
        }
    }
    let mut distinct = answered.clone();
    distinct.sort_unstable();
    distinct.dedup();
    ensure!(distinct.len() == answered.len(), "{id}: an activity was answered twice");
    called.sort_unstable();
    ensure!(called == distinct, "{id}: calls {called:?}, answers {distinct:?}");
    Ok(())
}

#[tokio::test]
async fn a_killed_host_loses_nothing() -> Result<()> {
    let folder = components(&["hello_cities.wasm", "test_durability.wasm"])?;
    let mut world = World::start(folder.path()).await?;
    let cities = start_many(&world, 50, "hello_cities", None).await?;
    let counts = start_many(&world, 20, "count", Some(r#"{"to":5,"millis":20}"#)).await?;
    for _ in 0..3 {
        world.crash_and_restart_host().await?;
    }
    for id in cities {
        assert_eq!(world.output(&id).await?, GREETINGS);
        check_history(&world, &id).await?;
    }
    for id in counts {
        assert_eq!(world.output(&id).await?, "10");
        check_history(&world, &id).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_killed_scheduler_loses_nothing() -> Result<()> {
    let folder = components(&["hello_cities.wasm", "test_durability.wasm"])?;
    let mut world = World::start(folder.path()).await?;
    let cities = start_many(&world, 50, "hello_cities", None).await?;
    let counts = start_many(&world, 20, "count", Some(r#"{"to":5,"millis":20}"#)).await?;
    let sleeper = world.begin("sleeper", "sleep", Some("1500")).await?;
    for _ in 0..3 {
        world.scheduler.crash_and_restart().await?;
        // The host is back when something new completes.
        let id =
            eventually("the scheduler answers", async || Ok(world.begin("", "hello_cities", None).await.ok())).await?;
        assert_eq!(world.output(&id).await?, GREETINGS);
    }
    for id in cities {
        assert_eq!(world.output(&id).await?, GREETINGS);
        check_history(&world, &id).await?;
    }
    for id in counts {
        assert_eq!(world.output(&id).await?, "10");
        check_history(&world, &id).await?;
    }
    let slept: u64 = world.output(&sleeper).await?.parse()?;
    ensure!(slept >= 1_500, "the timer fired early: {slept} ms");
    Ok(())
}

#[tokio::test]
async fn an_event_raised_before_a_crash_is_delivered_after_it() -> Result<()> {
    let folder = components(&["test_durability.wasm"])?;
    let mut world = World::start(folder.path()).await?;
    let id = world.begin("approved", "approval", Some("60000")).await?;
    world.client.raise_event(&id, "Approval", Some(durawasm_client::Payload::from_text("\"yes\""))).await?;
    world.scheduler.crash_and_restart().await?;
    assert_eq!(world.output(&id).await?, r#""approved with \"yes\"""#);
    Ok(())
}

#[tokio::test]
async fn a_host_that_is_asked_to_stop_finishes_what_it_runs() -> Result<()> {
    let folder = components(&["test_durability.wasm"])?;
    let mut world = World::start(folder.path()).await?;
    // One that says when an activity has begun.
    world.host.stop().await?;
    let verbose = ["--log", "info,durawasm::activity=debug"];
    world.host = start_host(&world.scheduler.uri(), folder.path(), &verbose).await?;
    let id = world.begin("slow", "count", Some(r#"{"to":1,"millis":400}"#)).await?;
    world.host.line("slow/").await?;
    let status = world.host.stop().await?;
    ensure!(status.success(), "the host ended with {status}");
    // Its result has arrived; it becomes history when a host runs the next episode.
    let described = world.client.describe(&id, false).await?.and_then(|d| d.details).context("details")?;
    assert_eq!((described.open_activities, described.inbox_events), (0, 1), "the activity that ran was given up");
    Ok(())
}
