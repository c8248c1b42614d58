//! Entities on our own scheduler and our own host: called, signalled and locked by orchestrations, and kept from doing harm.

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{Instance, InstanceId, Status};
use durawasm_tests::cluster::{World, components, eventually};
use durawasm_tests::command::Shell;
use serde_json::{Value, json};

/// Calls an operation of `@hostile@KEY` from an orchestration, under an id.
async fn begin(world: &World, id: &str, key: &str, operation: &str) -> Result<InstanceId> {
    let input = json!(["Hostile", key, operation, 1]).to_string();
    world.begin(id, "call_foreign", Some(&input)).await
}

/// The types of a failure and of its causes, and its texts.
fn failed(instance: &Instance) -> Result<(Vec<&str>, String)> {
    let failure = instance.failure.as_ref().with_context(|| format!("it fails: {instance:?}"))?;
    ensure!(instance.status == Status::Failed, "{instance:?}");
    let types = failure.chain().map(|failure| failure.error_type.as_str()).collect();
    let texts: Vec<_> = failure.chain().map(|failure| failure.message.as_str()).collect();
    Ok((types, texts.join("\n")))
}

/// What `durawasm entity get` shows as the state.
async fn state(shell: &Shell, entity: &str) -> Result<Value> {
    let said = shell.succeeds(&["entity", "get", entity, "--json"]).await?;
    let shown: Value = serde_json::from_str(&said.out)?;
    Ok(shown["state"].clone())
}

#[tokio::test]
async fn entities_are_called_signalled_and_locked_and_their_state_outlives_every_process() -> Result<()> {
    let folder = components(&["test_bank.wasm"])?;
    let mut world = World::start(folder.path()).await?;
    let shell = Shell::at(&world.scheduler);

    // Two failed operations are rolled back, each alone.
    let used = world.run("use", "use_account", Some(r#""Alice""#)).await?;
    ensure!(used == r#"[15,"Overdrawn","Panic",15]"#, "{used}");
    ensure!(state(&shell, "@account@Alice").await? == json!({ "balance": 15 }));
    ensure!(shell.succeeds(&["entity", "get", "@account@Alice"]).await?.shows(r#"state {"balance":15}"#));

    shell.succeeds(&["entity", "signal", "@account@Bob", "deposit", "100"]).await?;
    let broken = world.run("rules", "break_rules", Some(r#""Bob""#)).await?;
    let rules = r#"["EntityNotLocked","ParallelCalls","EntityNotLocked","EntityLocked","ChildInSection","NestedLock","true 0"]"#;
    ensure!(broken == rules, "{broken}");

    // Sections in both directions at the same time: nobody waits in a circle, and no money is made or lost.
    let mut transfers = Vec::new();
    for number in 0..20 {
        let (from, to, amount) = if number % 2 == 0 { ("Bob", "Alice", 7) } else { ("Alice", "Bob", 1) };
        let order = json!({ "from": from, "to": to, "amount": amount }).to_string();
        transfers.push(world.begin(&format!("transfer-{number}"), "transfer", Some(&order)).await?);
    }
    // Both have enough for all of theirs from the beginning.
    for id in transfers {
        ensure!(world.output(&id).await? == "true", "{id}");
    }
    let balances = (state(&shell, "@account@Alice").await?, state(&shell, "@account@Bob").await?);
    ensure!(balances == (json!({ "balance": 75 }), json!({ "balance": 40 })), "{balances:?}");

    // What holds a lock when both processes die holds it afterwards, and its end releases it.
    let holder = world.begin("holder", "end_locked", Some(r#"["Alice", "wait"]"#)).await?;
    eventually("the lock is held", async || {
        let said = shell.succeeds(&["entity", "get", "@account@Alice"]).await?;
        Ok(said.shows("locked by holder").then_some(()))
    })
    .await?;
    world.host.kill().await?;
    world.scheduler.crash_and_restart().await?;
    world.crash_and_restart_host().await?;
    shell.succeeds(&["entity", "signal", "@account@Alice", "deposit", "1"]).await?;
    let said = shell.succeeds(&["entity", "get", "@account@Alice"]).await?;
    ensure!(said.shows("waiting 1 operation") && said.shows("locked by holder"), "the signal waits: {}", said.out);
    shell.succeeds(&["raise-event", "holder", "go on", "4"]).await?;
    ensure!(world.output(&holder).await? == "4");
    eventually("the signal was carried out", async || {
        Ok((state(&shell, "@account@Alice").await? == json!({ "balance": 76 })).then_some(()))
    })
    .await?;

    // An operation starts an orchestration, and one that leaves no state leaves no entity.
    let report = world.run("ask", "ask_for_report", Some(r#""Alice""#)).await?;
    let report: String = serde_json::from_str(&report)?;
    ensure!(world.output(&InstanceId::new(report)?).await? == "76");
    shell.succeeds(&["entity", "signal", "@account@Alice", "close", r#""Bob""#]).await?;
    eventually("the account is closed", async || {
        let listed = shell.succeeds(&["entity", "list", "--name", "Account", "--states"]).await?;
        Ok((!listed.shows("@account@Alice") && listed.shows(r#"@account@Bob {"balance":116}"#)).then_some(()))
    })
    .await?;
    shell.refuses(&["entity", "get", "@account@Alice"], 4, "@account@Alice").await?;
    Ok(())
}

#[tokio::test]
async fn an_operation_at_a_limit_or_without_a_grant_fails_alone_while_neighbours_go_on() -> Result<()> {
    let folder = components(&["test_entities.wasm", "test_bank.wasm"])?;
    std::fs::write(folder.path().join("test_entities.toml"), "[limits.entity]\ndeadline = \"4s\"\n")?;
    let world = World::start(folder.path()).await?;
    let shell = Shell::at(&world.scheduler);
    world.output(&begin(&world, "before", "a", "add").await?).await?;

    let endless = begin(&world, "endless", "a", "spin").await?;
    eventually("the operation that never returns is called", async || {
        let history = shell.succeeds(&["history", "endless"]).await?;
        Ok(history.shows("spin of @hostile@a called").then_some(()))
    })
    .await?;
    // It holds up those who wait for the same entity, and nobody else: neither its component's nor another's.
    let behind = begin(&world, "behind", "a", "add").await?;
    world.output(&begin(&world, "beside", "b", "add").await?).await?;
    ensure!(world.run("other", "use_account", Some(r#""c""#)).await? == r#"[15,"Overdrawn","Panic",15]"#);
    let still = world.client.describe(&endless, false).await?.context("it exists")?.instance;
    ensure!(!still.status.is_terminal(), "the neighbours were done before its time was up: {still:?}");

    let ended = world.ended(&endless).await?;
    let (types, text) = failed(&ended)?;
    ensure!(types.contains(&"Deadline") && text.contains("4000 ms"), "{types:?}: {text}");
    ensure!(text.contains("`--entity-deadline`"), "it says what to do: {text}");
    ensure!(world.output(&behind).await? == "2", "the operation before it stays, the one behind it runs");

    let denied = begin(&world, "denied", "a", "read_clock").await?;
    let ended = world.ended(&denied).await?;
    let (types, text) = failed(&ended)?;
    ensure!(types.contains(&"Denied"), "{types:?}: {text}");
    ensure!(text.contains("is not available to entities") && text.contains("`clocks = true`"), "{text}");
    ensure!(state(&shell, "@hostile@a").await? == json!(2), "what failed has changed nothing");
    Ok(())
}
