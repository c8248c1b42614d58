//! Repairs on top of repairs, with real components: what a rewind leaves out of a history stays explained.

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{ForkOptions, InstanceId, Status};
use durawasm_tests::cluster::{World, components, eventually};

/// An instance that failed, was rewound, and failed again: the history of its first turn lacks the call that failed first.
async fn failed_twice(world: &World, id: &str) -> Result<(InstanceId, u64)> {
    let id = world.begin(id, "fail_by_activity", None).await?;
    ensure!(world.ended(&id).await?.status == Status::Failed);
    let first = world.client.get(&id, false).await?.context("it is there")?.execution_id;
    world.client.rewind(&id, Some("once more")).await?;
    eventually("it fails again", async || {
        let now = world.client.get(&id, false).await?.context("it is there")?;
        Ok((now.status == Status::Failed && now.execution_id != first).then_some(()))
    })
    .await?;
    let history = world.client.history(&id).await?.all().await?;
    let rewound = history.iter().find(|event| format!("{:?}", event.kind).contains("Rewound"));
    Ok((id, rewound.context("the history says that it was rewound")?.position))
}

/// Neither parked nor running for ever: it fails again, with the failure of its activity.
async fn fails_by_its_activity(world: &World, id: &InstanceId) -> Result<()> {
    let ended = world.ended(id).await?;
    ensure!(ended.status == Status::Failed, "{id} is {}", ended.status);
    let failure = ended.failure.context("a failure")?.to_string();
    ensure!(failure.contains("calling the activity"), "{failure}");
    Ok(())
}

#[tokio::test]
async fn an_instance_that_was_rewound_can_be_reset_and_forked_to_before_that() -> Result<()> {
    let folder = components(&["test_durability.wasm"])?;
    let world = World::start(folder.path()).await?;
    let (id, rewound) = failed_twice(&world, "twice").await?;
    for (number, at) in [rewound, rewound - 1, rewound + 1].into_iter().enumerate() {
        let fork = ForkOptions { id: Some(InstanceId::new(format!("fork-{number}"))?), ..Default::default() };
        let fork = world.client.fork(&id, at, fork).await?;
        fails_by_its_activity(&world, &fork.id).await?;
    }
    world.client.reset(&id, rewound, Default::default()).await?;
    fails_by_its_activity(&world, &id).await?;
    world.client.reset(&id, 0, Default::default()).await?;
    fails_by_its_activity(&world, &id).await
}

#[tokio::test]
async fn a_reset_of_another_execution_than_the_one_that_is_meant_does_nothing() -> Result<()> {
    let folder = components(&["test_durability.wasm"])?;
    let world = World::start(folder.path()).await?;
    let (id, _) = failed_twice(&world, "moved-on").await?;
    let before = world.client.history(&id).await?.all().await?.len();
    let options = durawasm_client::ResetOptions { execution: Some("0123456789abcdef".into()), reason: None };
    let refused = world.client.reset(&id, 1, options).await.err().context("it is refused")?.to_string();
    ensure!(refused.contains("look at its history again"), "{refused}");
    ensure!(world.client.history(&id).await?.all().await?.len() == before);
    Ok(())
}

#[tokio::test]
async fn a_paused_instance_that_is_reset_stays_paused() -> Result<()> {
    let folder = components(&["test_durability.wasm"])?;
    let world = World::start(folder.path()).await?;
    let id = world.begin("held", "approval", Some("600000")).await?;
    world.client.wait_for_start(&id, &Default::default()).await?;
    world.client.suspend(&id, None).await?;
    world.client.reset(&id, 0, Default::default()).await?;
    let held = world.client.get(&id, false).await?.context("it is there")?;
    ensure!(held.status == Status::Suspended, "it is {}", held.status);
    world.client.resume(&id, None).await?;
    eventually("it goes on", async || {
        let now = world.client.get(&id, false).await?.context("it is there")?;
        Ok((now.status == Status::Running).then_some(()))
    })
    .await
}
