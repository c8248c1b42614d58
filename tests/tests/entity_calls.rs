//! `durawasm entity call`, and calls from outside while processes die.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{EntityCall, EntityId, Payload};
use durawasm_tests::cluster::{World, components};
use durawasm_tests::command::Shell;

#[tokio::test]
async fn a_call_prints_the_result_or_the_failure_and_is_made_once_under_one_id() -> Result<()> {
    let folder = components(&["test_bank.wasm", "test_entities.wasm"])?;
    let world = World::start(folder.path()).await?;
    let shell = Shell::at(&world.scheduler);
    let deposit = ["entity", "call", "@account@Ada", "deposit", "5"];
    assert_eq!(shell.succeeds(&deposit).await?.first(), "5");
    assert_eq!(shell.succeeds(&[deposit.as_slice(), &["--json"]].concat()).await?.out.trim(), "10");
    let failed = shell.refuses(&["entity", "call", "@account@Ada", "withdraw", "11"], 1, "DW0045").await?;
    ensure!(failed.err.contains("`withdraw` of `@account@Ada` failed: Overdrawn: there are only 10"), "{failed:#?}");
    let unknown = shell.refuses(&["entity", "call", "@account@Ada", "steal"], 1, "DW0045").await?;
    ensure!(unknown.err.contains("UnknownOperation") && unknown.err.contains("`deposit`"), "{unknown:#?}");
    let bad = shell.refuses(&["entity", "call", "@account@Ada", "deposit", r#""five""#], 1, "DW0045").await?;
    ensure!(bad.err.contains("InvalidPayload"), "{bad:#?}");
    let bad = shell.refuses(&["entity", "call", "@hostile@a", "result_is_not_json"], 1, "DW0045").await?;
    ensure!(bad.err.contains("InvalidPayload") && bad.err.contains("is not JSON"), "{bad:#?}");
    shell.refuses(&["entity", "call", "account", "deposit", "5"], 2, "@NAME@KEY").await?;
    shell
        .refuses(&["entity", "call", &format!("@account@{}", "k".repeat(100)), "deposit", "5"], 2, "100 characters")
        .await?;

    // Nobody runs this one. The call stays, and so does its id.
    let patient = ["entity", "call", "@nobody@a", "work", "--request-id", "mine", "--timeout", "300ms"];
    let late = shell.refuses(&patient, 7, "DW0017").await?;
    ensure!(late.err.contains("has not run after 300ms") && late.err.contains("`mine`"), "{late:#?}");
    shell.refuses(&patient, 7, "DW0017").await?;
    let shown = shell.succeeds(&["entity", "get", "@nobody@a"]).await?;
    ensure!(shown.shows("waiting 1 operation"), "both are one call: {shown:#?}");
    let status = shell.succeeds(&["status", "@nobody@a"]).await?;
    ensure!(status.shows("waiting 1 operation"), "it is the status of the entity: {status:#?}");
    assert_eq!(shell.succeeds(&["entity", "call", "@account@Ada", "balance"]).await?.first(), "10");
    Ok(())
}

#[tokio::test]
async fn calls_from_outside_are_committed_once_though_host_and_scheduler_die() -> Result<()> {
    const CALLS: usize = 60;
    let folder = components(&["test_bank.wasm"])?;
    let mut world = World::start(folder.path()).await?;
    let account = EntityId::new("account", "hot")?;
    let callers = (0..CALLS).map(|number| {
        let (client, account) = (world.client.clone(), account.clone());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20 * number as u64)).await;
            let call = EntityCall { timeout: Some(Duration::from_secs(60)), ..EntityCall::default() };
            let one = Some(Payload::from_text("1".to_owned()));
            client.call_entity(&account, "deposit", one, &call).await
        })
    });
    let callers: Vec<_> = callers.collect();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        world.scheduler.crash_and_restart().await?;
        world.crash_and_restart_host().await?;
    }
    let mut balances = Vec::new();
    for caller in callers {
        let balance = caller.await??.map_err(|failure| anyhow::anyhow!("{failure}"))?;
        balances.push(balance.context("a balance")?.as_str().parse::<usize>()?);
    }
    balances.sort_unstable();
    assert_eq!(
        balances,
        (1..=CALLS).collect::<Vec<_>>(),
        "each call was committed once, and each was told its own result"
    );
    Ok(())
}
