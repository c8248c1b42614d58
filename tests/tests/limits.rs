//! Limits that hold: what reaches one waits, says so, and goes on when the limit is higher.

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{InstanceId, Parked, Status};
use durawasm_tests::cluster::{Scheduler, SchedulerOptions, World, components, eventually, start_host};
use durawasm_tests::command::Shell;

async fn world(folder: &std::path::Path, scheduler: &[&str], host: &[&str]) -> Result<World> {
    let arguments = scheduler.iter().map(|argument| (*argument).to_owned()).collect();
    let scheduler = Scheduler::start(SchedulerOptions { arguments, ..SchedulerOptions::default() }).await?;
    let host = start_host(&scheduler.uri(), folder, host).await?;
    let client = scheduler.client().await?;
    Ok(World { scheduler, host, client, components: folder.into() })
}

async fn parked(world: &World, id: &InstanceId) -> Result<Parked> {
    eventually(&format!("{id} is parked"), async || {
        let described = world.client.describe(id, false).await?.context("it exists")?;
        ensure!(!described.instance.status.is_terminal(), "{described:?}");
        Ok(described.details.and_then(|details| details.parked))
    })
    .await
}

#[tokio::test]
async fn what_is_parked_at_a_limit_goes_on_when_a_host_with_a_higher_one_is_there() -> Result<()> {
    let folder = components(&["test_hostile.wasm"])?;
    let low = [
        "--orchestrator-fuel=40000000",
        "--orchestrator-memory=7",
        "--orchestrator-commands=900",
        "--orchestrator-random=1000",
        "--payload-limit=2000000",
    ];
    // The scheduler's own limit is the lower one: it parks as the host does.
    let mut world = world(folder.path(), &["--payload-limit=1000000"], &low).await?;
    let cases = [
        ("computes for a while", "fuel", "40000000 units"),
        ("holds 8 MiB", "memory", "7340032 bytes"),
        ("calls a thousand activities", "commands", "900"),
        ("calls with a long input", "payload", "1000000"),
    ];
    let mut waiting = Vec::new();
    for (name, reason, value) in cases {
        let id = world.begin(name, name, None).await?;
        let parked = parked(&world, &id).await?;
        ensure!(parked.reason == reason && parked.message.contains(value), "{name}: {parked:?}");
        ensure!(!parked.advice.is_empty(), "{name}: {parked:?}");
        waiting.push(id);
        // Beside it others go on.
        world.run(&format!("beside {reason}"), "is honest", None).await?;
    }
    world.host.kill().await?;
    world.scheduler.set_arguments(vec!["--payload-limit=2000000".to_owned()]);
    world.scheduler.crash_and_restart().await?;
    world.host = start_host(&world.scheduler.uri(), folder.path(), &["--payload-limit=2000000"]).await?;
    for id in waiting {
        let ended = world.ended(&id).await?;
        ensure!(ended.status == Status::Completed, "{id}: {ended:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_fuel_of_an_instance_survives_restarts_and_is_shown() -> Result<()> {
    let folder = components(&["hello_cities.wasm"])?;
    let mut world = world(folder.path(), &[], &[]).await?;
    world.run("ended", "hello_cities", None).await?;
    let fuel = async |world: &World| {
        let described = world.client.describe(&InstanceId::new("ended")?, false).await?.context("it exists")?;
        described.details.and_then(|details| details.fuel).context("its fuel is known")
    };
    let before = fuel(&world).await?;
    ensure!(
        before.execution > before.last_turn && before.last_turn > 0 && before.total == before.execution,
        "{before:?}"
    );
    world.host.kill().await?;
    world.scheduler.crash_and_restart().await?;
    ensure!(fuel(&world).await? == before);
    let status = Shell::at(&world.scheduler).succeeds(&["status", "ended"]).await?;
    ensure!(status.shows("fuel") && status.shows("units in the last turn"), "{status:#?}");
    Ok(())
}
