//! Instances that are held, ended and started again from the command line; task hubs.

use anyhow::{Result, ensure};
use durawasm_client::Status;
use durawasm_tests::cluster::{Scheduler, SchedulerOptions, World, components, eventually};
use durawasm_tests::command::Shell;
use serde_json::Value;

async fn world() -> Result<(World, Shell, tempfile::TempDir)> {
    let folder = components(&["test_durability.wasm"])?;
    let world = World::start(folder.path()).await?;
    let shell = Shell::at(&world.scheduler);
    Ok((world, shell, folder))
}

#[tokio::test]
async fn a_paused_instance_keeps_its_events_until_it_is_resumed() -> Result<()> {
    let (world, shell, _folder) = world().await?;
    let id = world.begin("held", "approval", Some("60000000")).await?;
    eventually("it waits", async || {
        let seen = world.client.get(&id, false).await?;
        Ok(seen.filter(|seen| seen.custom_status.is_some()).map(|_| ()))
    })
    .await?;
    let paused = shell.succeeds(&["pause", "held", "--reason", "lunch"]).await?;
    ensure!(paused.err.contains("durawasm resume held"), "{paused:#?}");
    shell.succeeds(&["raise-event", "held", "approval", "7"]).await?;
    let status = shell.succeeds(&["status", "held"]).await?;
    ensure!(status.shows("status suspended") && status.shows("2 events to deliver"), "{status:#?}");
    ensure!(status.shows("Let it go on: durawasm resume held"), "{status:#?}");
    shell.succeeds(&["resume", "held", "--reason", "back"]).await?;
    assert_eq!(shell.succeeds(&["wait", "held"]).await?.first(), r#""approved with 7""#);
    let history = shell.succeeds(&["history", "held"]).await?;
    ensure!(history.shows("suspended: lunch") && history.shows("resumed: back"), "{history:#?}");
    let late = shell.succeeds(&["pause", "held", "--json"]).await?;
    ensure!(late.err.contains("ended already"), "{late:#?}");
    assert_eq!(serde_json::from_str::<Value>(&late.out)?["paused"], false);
    for late in [["raise-event", "held", "approval"], ["terminate", "held", "--yes"], ["resume", "held", "--yes"]] {
        ensure!(shell.succeeds(&late).await?.err.contains("has ended already"), "{late:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_failed_instance_is_rewound_and_others_are_not() -> Result<()> {
    let (world, shell, _folder) = world().await?;
    let id = world.begin("broken", "fail_by_activity", None).await?;
    world.ended(&id).await?;
    let status = shell.succeeds(&["status", "broken"]).await?;
    ensure!(status.shows("Try again what failed: durawasm rewind broken"), "{status:#?}");
    shell.succeeds(&["rewind", "broken", "--reason", "repaired"]).await?;
    world.ended(&id).await?;
    let history = shell.succeeds(&["history", "broken"]).await?;
    ensure!(history.shows("rewound to before its failure: repaired"), "{history:#?}");
    ensure!(history.out.matches("failing failed").count() == 1, "the first failure is gone: {history:#?}");
    world.run("fine", "sleep", Some("1")).await?;
    let fine = shell.refuses(&["rewind", "fine"], 2, "DW0032").await?;
    ensure!(fine.err.contains("durawasm reset fine --at EVENT"), "{fine:#?}");
    world.begin("runs", "forever", None).await?;
    let runs = shell.refuses(&["rewind", "runs"], 2, "DW0032").await?;
    ensure!(runs.err.contains("durawasm status runs"), "{runs:#?}");
    Ok(())
}

#[tokio::test]
async fn an_instance_is_started_again_under_its_id_or_a_new_one() -> Result<()> {
    let (world, shell, _folder) = world().await?;
    world.run("once", "started_with", Some("[1,2]")).await?;
    let asked = shell.refuses(&["restart", "once"], 3, "discards the history").await?;
    assert_eq!(asked.out, "");
    let again = shell.succeeds(&["restart", "once", "--yes"]).await?;
    assert_eq!(again.out, "once\n");
    let output: Value = serde_json::from_str(shell.succeeds(&["wait", "once"]).await?.first())?;
    assert_eq!(output["input"], serde_json::json!([1, 2]));
    let new = shell.succeeds(&["restart", "once", "--new-id"]).await?;
    let new = new.first();
    ensure!(new != "once" && !new.is_empty(), "{new}");
    let output: Value = serde_json::from_str(shell.succeeds(&["wait", new]).await?.first())?;
    assert_eq!((&output["input"], &output["id"]), (&serde_json::json!([1, 2]), &new.into()));
    world.begin("runs", "forever", None).await?;
    shell.refuses(&["restart", "runs", "--yes"], 2, "only one that has ended").await?;
    Ok(())
}

#[tokio::test]
async fn an_instance_that_nobody_runs_is_ended_by_force() -> Result<()> {
    let scheduler = Scheduler::start(SchedulerOptions { in_memory: true, ..Default::default() }).await?;
    let shell = Shell::at(&scheduler);
    shell.succeeds(&["start", "nobody_runs_this", "--id", "orphan"]).await?;
    shell.refuses(&["terminate", "orphan", "--force"], 3, "without asking its orchestrator").await?;
    shell.refuses(&["terminate", "orphan", "--force", "--recursive", "--yes"], 2, "DW0026").await?;
    shell.succeeds(&["terminate", "orphan", "--force", "--reason", "enough", "--yes"]).await?;
    ensure!(shell.succeeds(&["status", "orphan"]).await?.shows("status terminated"), "at once");
    shell.refuses(&["terminate", "orphan", "--force", "--yes"], 2, "has ended already: it is terminated").await?;
    shell.refuses(&["terminate", "nobody", "--force", "--yes"], 4, "`nobody`").await?;
    Ok(())
}

#[tokio::test]
async fn hubs_are_made_emptied_and_deleted() -> Result<()> {
    let scheduler = Scheduler::start(SchedulerOptions { in_memory: true, ..Default::default() }).await?;
    let shell = Shell::at(&scheduler);
    let missing = shell.refuses(&["list", "--hub", "blue"], 4, "DW0011").await?;
    ensure!(missing.err.contains("durawasm hub create"), "{missing:#?}");
    shell.succeeds(&["hub", "create", "blue"]).await?;
    shell.succeeds(&["start", "greet", "--id", "a", "--hub", "blue"]).await?;
    shell.succeeds(&["hub", "create", "blue"]).await?;
    ensure!(shell.succeeds(&["list", "--hub", "blue"]).await?.shows("1 instance"), "it stays as it is");
    shell.refuses(&["hub", "create", "blue", "--empty"], 3, "removes all instances").await?;
    shell.succeeds(&["hub", "create", "blue", "--empty", "--yes"]).await?;
    ensure!(shell.succeeds(&["list", "--hub", "blue"]).await?.shows("there is no such instance"), "it is empty");
    shell.refuses(&["hub", "delete", "blue"], 3, "deletes the task hub `blue`").await?;
    let deleted = shell.succeeds(&["hub", "delete", "blue", "--yes", "--json"]).await?;
    assert_eq!(serde_json::from_str::<Value>(&deleted.out)?["hub"], "blue");
    shell.refuses(&["list", "--hub", "blue"], 4, "DW0011").await?;
    shell.refuses(&["hub", "delete", "blue", "--yes"], 4, "DW0011").await?;
    ensure!(shell.succeeds(&["hub", "delete", "default", "--yes"]).await?.shows("this hub always exists"), "default");
    Ok(())
}

#[tokio::test]
async fn a_status_shows_how_an_instance_was_ended() -> Result<()> {
    let (world, shell, _folder) = world().await?;
    let id = world.begin("ended", "forever", None).await?;
    shell.succeeds(&["terminate", "ended", "--output", "\"enough\"", "--yes"]).await?;
    assert_eq!(world.ended(&id).await?.status, Status::Terminated);
    ensure!(shell.succeeds(&["status", "ended"]).await?.shows("output \"enough\""), "its output");
    Ok(())
}
