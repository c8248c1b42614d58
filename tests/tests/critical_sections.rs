//! How critical sections end, on our own scheduler and host: whatever becomes of who has locked something, it is free afterwards.

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{EntityId, InstanceId, Status};
use durawasm_tests::cluster::{World, components, eventually};
use durawasm_tests::command::Shell;
use serde_json::json;

async fn holder(world: &World, id: &str, key: &str, way: &str) -> Result<InstanceId> {
    world.begin(id, "end_locked", Some(&json!([key, way]).to_string())).await
}

async fn locked_by(world: &World, key: &str) -> Result<Option<InstanceId>> {
    let entity = world.client.get_entity(&EntityId::new("account", key)?, false).await?;
    Ok(entity.and_then(|entity| entity.locked_by))
}

async fn is_held(world: &World, key: &str, holder: &InstanceId) -> Result<()> {
    eventually("the lock is held", async || Ok((locked_by(world, key).await?.as_ref() == Some(holder)).then_some(())))
        .await
}

/// Somebody else's operation runs, and nobody holds the lock.
async fn is_free(world: &World, shell: &Shell, key: &str, balance: &str) -> Result<()> {
    let account = format!("@account@{key}");
    let said = shell.succeeds(&["entity", "call", &account, "balance", "--timeout", "20s"]).await?;
    ensure!(said.first() == balance, "{said:#?}");
    ensure!(locked_by(world, key).await?.is_none(), "nobody holds it");
    Ok(())
}

#[tokio::test]
async fn whatever_ends_a_holder_releases_what_it_has_locked() -> Result<()> {
    let folder = components(&["test_bank.wasm"])?;
    let mut world = World::start(folder.path()).await?;
    let shell = Shell::at(&world.scheduler);
    for way in ["return", "fail", "again"] {
        let id = holder(&world, way, way, way).await?;
        let ended = world.ended(&id).await?;
        let expected = if way == "fail" { Status::Failed } else { Status::Completed };
        ensure!(ended.status == expected, "{way}: {ended:?}");
        is_free(&world, &shell, way, "0").await?;
    }

    let id = holder(&world, "terminated", "terminated", "wait").await?;
    is_held(&world, "terminated", &id).await?;
    shell.succeeds(&["terminate", "terminated", "--yes"]).await?;
    world.ended(&id).await?;
    is_free(&world, &shell, "terminated", "0").await?;

    // A holder whose host is gone keeps its lock, and its termination releases it though nobody can run it.
    let id = holder(&world, "orphan", "orphan", "wait").await?;
    is_held(&world, "orphan", &id).await?;
    world.host.kill().await?;
    shell.succeeds(&["entity", "signal", "@account@orphan", "deposit", "3"]).await?;
    ensure!(locked_by(&world, "orphan").await?.as_ref() == Some(&id), "it is still locked");
    shell.succeeds(&["terminate", "orphan", "--yes"]).await?;
    world.ended(&id).await?;
    world.crash_and_restart_host().await?;
    is_free(&world, &shell, "orphan", "3").await?;

    // A reset to before the section gives the lock back, and asks for it anew.
    let id = holder(&world, "reset", "reset", "wait").await?;
    is_held(&world, "reset", &id).await?;
    shell.refuses(&["reset", "reset", "--at", "4", "--yes"], 2, "had locked entities").await?;
    shell.succeeds(&["reset", "reset", "--at", "1", "--yes"]).await?;
    is_held(&world, "reset", &id).await?;
    shell.succeeds(&["raise-event", "reset", "go on", "4"]).await?;
    ensure!(world.output(&id).await? == "4");
    is_free(&world, &shell, "reset", "0").await?;
    Ok(())
}

#[tokio::test]
async fn a_lock_that_somebody_has_no_patience_for_stands_in_nobodys_way() -> Result<()> {
    let folder = components(&["test_bank.wasm"])?;
    let world = World::start(folder.path()).await?;
    let shell = Shell::at(&world.scheduler);
    let busy = holder(&world, "busy", "busy", "wait").await?;
    is_held(&world, "busy", &busy).await?;
    // It calls and locks others afterwards, as if it had never asked.
    ensure!(world.run("hasty", "give_up", Some(r#"["busy", "other"]"#)).await? == "2");
    let behind = holder(&world, "behind", "busy", "return").await?;
    shell.succeeds(&["raise-event", "busy", "go on", "1"]).await?;
    ensure!(world.output(&behind).await? == "1", "its request is gone from the queue");
    is_free(&world, &shell, "busy", "0").await?;
    is_free(&world, &shell, "other", "2").await?;
    Ok(())
}

#[tokio::test]
async fn what_failed_behind_a_critical_section_is_rewound_and_what_failed_in_one_is_not() -> Result<()> {
    let folder = components(&["test_bank.wasm"])?;
    let world = World::start(folder.path()).await?;
    let shell = Shell::at(&world.scheduler);
    for place in ["within", "behind"] {
        let input = json!([place, place]).to_string();
        let id = world.begin(place, "fail_around", Some(&input)).await?;
        ensure!(world.ended(&id).await?.status == Status::Failed);
    }
    shell.refuses(&["rewind", "within"], 2, "its locks are gone").await?;
    shell.succeeds(&["rewind", "behind"]).await?;
    let again = world.ended(&InstanceId::new("behind")?).await?;
    let failure = again.failure.context("it fails again")?;
    ensure!(failure.error_type == "Unlucky", "it has got as far as before: {failure:?}");
    is_free(&world, &shell, "within", "1").await?;
    is_free(&world, &shell, "behind", "1").await?;
    // Its whole way is open to what is restarted.
    shell.succeeds(&["restart", "within", "--yes"]).await?;
    eventually("it has deposited once more", async || {
        let entity =
            world.client.get_entity(&EntityId::new("account", "within")?, true).await?.context("an account")?;
        Ok(entity.state.is_some_and(|state| state.as_str() == r#"{"balance":2}"#).then_some(()))
    })
    .await
}
