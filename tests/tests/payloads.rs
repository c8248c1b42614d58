//! Payloads of several MiB, with the limits that everybody has: through guests, SDKs, crashes, and the command line.

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{EntityId, Payload, Status};
use durawasm_tests::cluster::{World, components, eventually};
use durawasm_tests::sdk::Sdk::Python;

const MIB: usize = 1 << 20;

fn text(letter: &str, bytes: usize) -> Payload {
    Payload::from_text(format!("\"{}\"", letter.repeat(bytes)))
}

#[tokio::test]
async fn events_of_five_mebibytes_go_through_a_guest_its_generations_and_a_crash() -> Result<()> {
    let folder = components(&["test_foreign.wasm"])?;
    let mut world = World::with(folder.path(), &[], &[]).await?;
    let id = world.begin("large", "foreign_items", Some("{\"taken\":[],\"count\":2}")).await?;
    world.client.raise_event(&id, "item", Some(text("a", 5 * MIB))).await?;
    eventually("the first is passed on to the next generation", async || {
        let found = world.client.describe(&id, true).await?.context("it is there")?;
        Ok(found.instance.input.filter(|input| input.as_str().len() > 5 * MIB).map(drop))
    })
    .await?;
    world.scheduler.crash_and_restart().await?;
    world.crash_and_restart_host().await?;
    world.client = world.scheduler.client().await?;
    world.client.raise_event(&id, "item", Some(text("b", 5 * MIB))).await?;
    let ended = world.ended(&id).await?;
    ensure!(ended.status == Status::Completed, "{}", ended.status);
    let output = ended.output.context("it returned something")?;
    let expected = format!("[{},{}]", text("a", 5 * MIB).as_str(), text("b", 5 * MIB).as_str());
    ensure!(output.as_str() == expected, "{} bytes, expected {}", output.as_str().len(), expected.len());
    let beside = world.scheduler.data().join("default.db.payloads");
    ensure!(beside.is_dir(), "{} is not there", beside.display());
    Ok(())
}

#[tokio::test]
async fn the_state_of_an_entity_may_have_five_mebibytes_and_outlives_a_crash() -> Result<()> {
    let folder = components(&["test_bank.wasm"])?;
    let mut world = World::with(folder.path(), &[], &[]).await?;
    let ledger = EntityId::new("ledger", "large")?;
    // Lines of 100 bytes each.
    world.client.signal_entity(&ledger, "fill", Some(Payload::from_text("52500")), None).await?;
    let ask = r#"["ledger","large","change",0]"#;
    ensure!(world.run("before", "call_foreign", Some(ask)).await? == "1");
    world.scheduler.crash_and_restart().await?;
    world.crash_and_restart_host().await?;
    world.client = world.scheduler.client().await?;
    ensure!(world.run("after", "call_foreign", Some(ask)).await? == "2");
    let entity = world.client.get_entity(&ledger, true).await?.context("it is there")?;
    let state = entity.state.context("it has a state")?;
    let state: serde_json::Value = serde_json::from_str(state.as_str())?;
    let lines = state["lines"].as_array().context("lines")?;
    ensure!(state["changes"] == 2 && lines.len() == 52_500, "{} changes, {} lines", state["changes"], lines.len());
    ensure!(lines.iter().all(|line| line.as_str().is_some_and(|line| line.len() == 97)), "every line is whole");
    Ok(())
}

#[tokio::test]
async fn python_workers_and_clients_pass_large_payloads_or_hear_why_not() -> Result<()> {
    let folder = components(&["test_foreign.wasm"])?;
    let world = World::with(folder.path(), &[], &[]).await?;
    Python.proves_at(world.scheduler.address(), "large").await
}
