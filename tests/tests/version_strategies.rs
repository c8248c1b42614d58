//! What runs an instance of a version that no component has, and instances that are moved to another version.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{InstanceId, Payload, StartOptions, Status};
use durawasm_test_components::rewritten;
use durawasm_tests::cluster::{World, components, eventually, start_host};
use durawasm_tests::command::Shell;
use durawasm_tests::variant::rolling_as;

/// Starts an instance of this version of `tells`.
async fn tells(world: &World, version: &str, asks_child: bool) -> Result<InstanceId> {
    let version = (!version.is_empty()).then(|| version.to_owned());
    let input = Some(Payload::from_text(asks_child.to_string()));
    Ok(world.client.start("tells", input, StartOptions { version, ..StartOptions::default() }).await?)
}

/// Puts the component into a folder, in this version, with this strategy.
fn put(folder: &Path, version: &str, versioning: &str) -> Result<()> {
    std::fs::write(folder.join(format!("rolling-{version}.toml")), format!("[versioning]\n{versioning}"))?;
    rolling_as(folder, version)?;
    Ok(())
}

#[tokio::test]
async fn an_older_instance_runs_on_newer_code_that_takes_it_and_is_told_its_own_version() -> Result<()> {
    let folder = tempfile::tempdir()?;
    put(folder.path(), "2.0.0", "strategy = 'current-or-older'\ndefault-version = '1.9.0'")?;
    let world = World::start(folder.path()).await?;
    // The SDKs call it `default version`: children that are started without one get it.
    let older = tells(&world, "1.5.0", true).await?;
    assert_eq!(world.output(&older).await?, r#"[["2.0.0","1.5.0"],["2.0.0","1.9.0"]]"#);
    let own = tells(&world, "2.0.0", false).await?;
    assert_eq!(world.output(&own).await?, r#"[["2.0.0","2.0.0"]]"#);
    let without = tells(&world, "", false).await?;
    assert_eq!(world.output(&without).await?, r#"[["2.0.0","1.9.0"]]"#);
    Ok(())
}

#[tokio::test]
async fn a_newer_instance_is_rejected_until_a_host_comes_that_takes_it() -> Result<()> {
    let (folder, newer) = (tempfile::tempdir()?, tempfile::tempdir()?);
    put(folder.path(), "2.0.0", "strategy = 'current-or-older'\non-mismatch = 'reject'")?;
    let mut world = World::start(folder.path()).await?;
    let id = tells(&world, "3.0.0", false).await?;
    world.host.line("goes back for another host").await?;
    let instance = world.client.get(&id, false).await?.context("it is there")?;
    assert_eq!(instance.status, Status::Pending, "it is neither failed nor lost");
    put(newer.path(), "3.0.0", "strategy = 'strict'")?;
    let _newer = start_host(&world.scheduler.uri(), newer.path(), &[]).await?;
    assert_eq!(world.output(&id).await?, r#"[["3.0.0","3.0.0"]]"#);
    Ok(())
}

#[tokio::test]
async fn where_a_mismatch_fails_the_instance_fails_as_with_the_sdks() -> Result<()> {
    let folder = tempfile::tempdir()?;
    put(folder.path(), "2.0.0", "strategy = 'strict'\non-mismatch = 'fail'")?;
    let world = World::start(folder.path()).await?;
    for version in ["1.0.0", "3.0.0", ""] {
        let id = tells(&world, version, false).await?;
        let ended = world.ended(&id).await?;
        let failure = ended.failure.context("it failed")?;
        ensure!(ended.status == Status::Failed && failure.error_type == "VersionMismatch", "{version}: {failure:?}");
        ensure!(failure.message.contains("`tells`") && failure.message.contains("strict"), "{failure:?}");
    }
    let own = tells(&world, "2.0.0", false).await?;
    assert_eq!(world.output(&own).await?, r#"[["2.0.0","2.0.0"]]"#);
    Ok(())
}

/// Instances of `wait_after` that have called so many activities and wait for the event.
async fn waiting(world: &World, ids: &[&str], steps: u32) -> Result<Vec<InstanceId>> {
    let mut waiting = Vec::new();
    for id in ids {
        let id = world.begin(id, "wait_after", Some(&steps.to_string())).await?;
        eventually("it waits", async || {
            let events = world.client.history(&id).await?.all().await?.len();
            Ok((events >= 2 + 3 * steps as usize).then_some(()))
        })
        .await?;
        waiting.push(id);
    }
    Ok(waiting)
}

#[tokio::test]
async fn what_is_in_flight_is_moved_to_code_on_which_it_replays_and_stays_where_it_would_diverge() -> Result<()> {
    // The host has a component of its own, and what is deployed.
    let (own, place) = (components(&["test_durability.wasm"])?, tempfile::tempdir()?);
    let mut world = World::start(own.path()).await?;
    let shell = Shell::at(&world.scheduler);
    let deploy = |file: std::path::PathBuf| file.display().to_string();
    let one = deploy(rolling_as(place.path(), "1.0.0")?);
    shell.succeeds(&["deploy", &one]).await?;
    let ids = waiting(&world, &["a", "b", "c"], 2).await?;

    let two = deploy(rolling_as(place.path(), "1.1.0")?);
    let said = shell.succeeds(&["deploy", &two, "--migrate", "--require-replay"]).await?;
    ensure!(said.shows("moved: 3 instances"), "{said:?}");
    let moved = async |id: &InstanceId| {
        let instance = world.client.get(id, false).await?.context("it is there")?;
        anyhow::Ok(instance.version)
    };
    for id in &ids {
        assert_eq!(moved(id).await?.as_deref(), Some("1.1.0"));
    }
    let said = shell.succeeds(&["history", "a"]).await?;
    ensure!(said.shows("moved from version 1.0.0 to 1.1.0"), "{said:?}");
    let go = async |world: &World, id: &InstanceId| {
        world.client.raise_event(id, "go on", Some(Payload::from_text("null"))).await?;
        world.output(id).await
    };
    assert_eq!(go(&world, &ids[0]).await?, r#""1.1.0""#);
    // Nothing of the version before is needed any more: also not by a host that has to replay all of it.
    let said = shell.succeeds(&["versions", "drain", "test-rolling", "1.0.0"]).await?;
    ensure!(said.shows("is removed"), "{said:?}");
    shell.refuses(&["versions", "drain", "test-rolling", "1.0.0"], 4, "not deployed").await?;
    shell.refuses(&["versions", "drain", "test-rolling", "1.1.0"], 2, "begin on it").await?;
    world.crash_and_restart_host().await?;
    assert_eq!(go(&world, &ids[1]).await?, r#""1.1.0""#);

    // Another activity is called by the next one.
    let three = rolling_as(place.path(), "1.2.0")?;
    std::fs::write(&three, rewritten(std::fs::read(&three)?, "say_version", "saw_version"))?;
    let three = deploy(three);
    let said = shell.run(&["deploy", &three, "--migrate", "--json"]).await?;
    let report: serde_json::Value = serde_json::from_str(said.first())?;
    assert_eq!(report["migrated"]["moved"], 0, "{report}");
    assert_eq!(report["inFlight"]["diverging"][0]["instance"], "c");
    shell
        .refuses(&["versions", "drain", "test-rolling", "1.1.0", "--timeout", "1ms"], 7, "1 instance in flight")
        .await?;
    let (drained, went) = tokio::join!(shell.succeeds(&["versions", "drain", "test-rolling", "1.1.0"]), async {
        go(&world, &ids[2]).await
    });
    assert_eq!(went?, r#""1.1.0""#);
    ensure!(drained?.shows("is removed"), "it waits for the last one");
    Ok(())
}

#[tokio::test]
async fn a_manifest_for_another_component_or_version_or_with_a_strategy_beyond_the_policy_is_refused() -> Result<()> {
    // The host has a component of its own, and what is deployed.
    let (own, place) = (components(&["test_durability.wasm"])?, tempfile::tempdir()?);
    let world = World::start(own.path()).await?;
    let shell = Shell::at(&world.scheduler);
    let file = rolling_as(place.path(), "1.0.0")?;
    let manifest = file.with_extension("toml");
    let (file, policy) = (file.display().to_string(), place.path().join("policy"));
    for (text, said) in [
        ("component = 'shop'", "`shop`"),
        ("version = '2.0.0'", "`2.0.0`"),
        ("[versioning]\nstrategy = 'newest'", "`newest`"),
        ("[versioning]\non-mismatch = 'fail'", "exact"),
    ] {
        std::fs::write(&manifest, text)?;
        shell.refuses(&["deploy", &file], 1, said).await?;
    }
    std::fs::write(&manifest, "component = 'test-rolling'\nversion = '1.0.0'\n[versioning]\nstrategy = 'none'")?;
    std::fs::write(&policy, "[default]\nstrategies = ['exact', 'strict']")?;
    let policy = policy.display().to_string();
    shell.refuses(&["deploy", &file, "--policy", &policy], 1, "versioning.strategy").await?;
    let said = shell.succeeds(&["deploy", &file]).await?;
    ensure!(said.shows("+ versioning.strategy = none"), "{said:?}");
    Ok(())
}
