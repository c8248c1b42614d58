//! New versions in running hosts, with instances in flight.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{InstanceId, Payload, StartOptions, Status};
use durawasm_test_components::rewritten;
use durawasm_tests::cluster::{Scheduler, SchedulerOptions, World, components, eventually};
use durawasm_tests::command::Shell;
use durawasm_tests::process::Process;
use durawasm_tests::test_guests;
use durawasm_tests::variant::version_one_as;

/// What an orchestrator without a version says that it runs on.
async fn begins_on(world: &World, id: &str) -> Result<String> {
    let version: String = serde_json::from_str(&world.run(id, "says", None).await?)?;
    let instance = world.client.get(&InstanceId::new(id)?, false).await?.context("it is there")?;
    ensure!(instance.version.as_deref() == Some(&version), "{id} runs on {version} and says {:?}", instance.version);
    Ok(version)
}

#[tokio::test]
async fn a_version_that_is_put_into_the_folder_of_a_running_host_takes_new_instances_and_leaves_the_old() -> Result<()>
{
    let folder = components(&["test_version_one.wasm"])?;
    let mut world = World::start(folder.path()).await?;
    assert_eq!(begins_on(&world, "before").await?, "1.0.0");
    // Three generations of it: it goes on in the version that it has.
    let keeps = world.begin("keeps", "moves", Some(r#"{"to":"keep"}"#)).await?;
    world.output(&keeps).await?;
    version_one_as(folder.path(), "1.1.0")?;
    world.host.line("deployed in").await?;
    eventually("new instances begin on it", async || {
        let id = format!("after-{}", uuid());
        Ok((begins_on(&world, &id).await? == "1.1.0").then_some(()))
    })
    .await?;
    let options = StartOptions { version: Some("1.0.0".to_owned()), ..StartOptions::default() };
    let old = world.client.start("says", None, options).await?;
    assert_eq!(world.output(&old).await?, "\"1.0.0\"", "the old version is there for who asks for it");
    let pinned = r#"["1.0.0","1.1.0"]"#;
    let options = StartOptions { version: Some("1.0.0".to_owned()), ..StartOptions::default() };
    let newest = Some(Payload::from_text(r#"{"to":"newest"}"#));
    let moves = world.client.start("moves", newest, options).await?;
    assert_eq!(world.output(&moves).await?, pinned, "who continues as new moves to the default");
    Ok(())
}

fn uuid() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.as_nanos().to_string()
}

#[tokio::test]
async fn an_instance_that_was_started_without_a_version_replays_on_its_own_after_a_crash_beside_a_newer_one()
-> Result<()> {
    let folder = components(&["test_repair_broken.wasm", "test_durability.wasm"])?;
    let mut world = World::start(folder.path()).await?;
    let waits = world.begin("waits", "approval", Some("60000")).await?;
    eventually("it waits", async || {
        let history = world.client.history(&waits).await?.all().await?;
        Ok((history.len() >= 3).then_some(()))
    })
    .await?;
    let instance = world.client.get(&waits, false).await?.context("it is there")?;
    let had = instance.version.context("it was pinned when it began")?;
    // A newer one of the same name, whose code is another component's: it has no such orchestrator, or another one.
    let bytes = std::fs::read(test_guests().join("test_durability.wasm"))?;
    let newer = format!("9{}", &had[1..]);
    std::fs::write(folder.path().join("newer.wasm"), rewritten(bytes, &had, &newer))?;
    world.host.line("deployed in").await?;
    world.crash_and_restart_host().await?;
    world.client.raise_event(&waits, "approval", Some(Payload::from_text("5"))).await?;
    assert_eq!(world.output(&waits).await?, r#""approved with 5""#);
    let after = world.client.get(&waits, false).await?.context("it is there")?;
    assert_eq!(after.version, Some(had));
    Ok(())
}

/// A host without a folder: it runs what is deployed.
async fn host(scheduler: &Scheduler) -> Result<Process> {
    let arguments = ["host", "--scheduler", &scheduler.uri()].map(str::to_owned);
    let mut process = Process::start(&durawasm_tests::program(), &arguments, &[])?;
    process.line("ready").await?;
    Ok(process)
}

async fn says(scheduler: &Scheduler, id: &str) -> Result<String> {
    let client = scheduler.client().await?;
    let options = StartOptions { id: Some(InstanceId::new(id)?), ..StartOptions::default() };
    let id = client.start("says", None, options).await?;
    let ended = client.wait_for_completion(&id, &durawasm_client::Wait::at_most(Duration::from_secs(60))).await?;
    ensure!(ended.status == Status::Completed, "{id} is {}: {:?}", ended.status, ended.failure);
    Ok(serde_json::from_str(ended.output.context("it has an output")?.as_str())?)
}

#[tokio::test]
async fn what_is_deployed_to_the_scheduler_runs_on_every_host_and_outlives_it() -> Result<()> {
    let mut scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let folder = tempfile::tempdir()?;
    let (one, two) = (version_one_as(folder.path(), "1.0.0")?, version_one_as(folder.path(), "1.1.0")?);
    let (one, two) = (one.display().to_string(), two.display().to_string());
    let shell = Shell::at(&scheduler);
    let mut first = host(&scheduler).await?;
    let said = shell.succeeds(&["deploy", &one]).await?;
    ensure!(said.shows("is the first version") && said.shows("+ orchestrator says"), "{said:?}");
    first.line("deployed in").await?;
    assert_eq!(says(&scheduler, "a").await?, "1.0.0");

    shell.succeeds(&["deploy", &two, "--inactive"]).await?;
    assert_eq!(says(&scheduler, "b").await?, "1.0.0");
    shell.succeeds(&["deploy", &two]).await?;
    assert_eq!(says(&scheduler, "c").await?, "1.1.0");
    let said = shell.succeeds(&["versions"]).await?;
    ensure!(said.shows("test-version-one") && said.shows("default"), "{said:?}");

    // A host that comes later, and a scheduler that was away, have all of it.
    first.stop().await?;
    scheduler.crash_and_restart().await?;
    let _second = host(&scheduler).await?;
    assert_eq!(says(&scheduler, "d").await?, "1.1.0");
    Shell::at(&scheduler).succeeds(&["rollback", "test-version-one"]).await?;
    assert_eq!(says(&scheduler, "e").await?, "1.0.0");
    Ok(())
}

#[tokio::test]
async fn a_canary_takes_its_share_of_new_instances_until_it_is_rolled_back() -> Result<()> {
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let (folder, shell) = (tempfile::tempdir()?, Shell::at(&scheduler));
    let _host = host(&scheduler).await?;
    for (version, way) in [("1.0.0", "--pin"), ("1.1.0", "--canary=40%")] {
        shell.succeeds(&["deploy", &version_one_as(folder.path(), version)?.display().to_string(), way]).await?;
    }
    let said = shell.succeeds(&["versions"]).await?;
    ensure!(said.shows("canary 40%"), "{said:?}");
    let newer = async |prefix: &str| {
        let mut newer = 0;
        for number in 0..50 {
            newer += usize::from(says(&scheduler, &format!("{prefix}-{number}")).await? == "1.1.0");
        }
        anyhow::Ok(newer)
    };
    // Which instances, depends on their ids alone.
    let count = newer("during").await?;
    ensure!((8..=32).contains(&count), "{count} of 50 began on it");
    shell.succeeds(&["rollback", "test-version-one"]).await?;
    assert_eq!(newer("after").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_deployment_that_is_a_mistake_is_refused_and_nothing_changes() -> Result<()> {
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let folder = tempfile::tempdir()?;
    let shell = Shell::at(&scheduler);
    let path = |file: PathBuf| file.display().to_string();
    let (one, two) = (path(version_one_as(folder.path(), "1.0.0")?), path(version_one_as(folder.path(), "1.1.0")?));
    shell.succeeds(&["deploy", &two]).await?;
    shell.refuses(&["deploy", &one], 2, "older than 1.1.0").await?;
    shell.succeeds(&["deploy", &one, "--dry-run", "--allow-downgrade"]).await?;

    // The same version with another content; a file that was cut off; a manifest with a key that there is not.
    let mut other = std::fs::read(&two)?;
    other.extend_from_slice(b"\0\x05\x04note");
    let changed = folder.path().join("changed.wasm");
    std::fs::write(&changed, &other)?;
    shell.refuses(&["deploy", &path(changed)], 8, "another content").await?;
    let cut = folder.path().join("cut.wasm");
    std::fs::write(&cut, &other[..other.len() / 2])?;
    shell.refuses(&["deploy", &path(cut)], 1, "cut.wasm").await?;
    std::fs::write(folder.path().join("shop-1.1.0.toml"), "[limit]\n")?;
    shell.refuses(&["deploy", &two], 1, "limit").await?;

    // What the policy of no host allows never becomes a default.
    let (_host, asks) = (host(&scheduler).await?, path(version_one_as(folder.path(), "1.2.0")?));
    std::fs::write(folder.path().join("shop-1.2.0.toml"), "[capabilities.http]\nhosts = [\"example.com\"]\n")?;
    shell.refuses(&["deploy", &asks, "--wait", "1s"], 2, "none of 1 host").await?;
    shell.refuses(&["rollback", "test-version-one"], 2, "earlier default").await?;
    shell.refuses(&["rollback", "nobody"], 4, "not deployed").await?;
    shell.refuses(&["versions", "remove", "test-version-one", "1.1.0"], 2, "begin on").await?;
    shell.refuses(&["versions", "remove", "test-version-one", "7"], 4, "not deployed").await?;
    let said = shell.succeeds(&["versions", "--json"]).await?;
    ensure!(said.out.lines().count() == 2, "the one that no host runs is kept: {said:?}");
    let row: serde_json::Value = serde_json::from_str(said.first())?;
    assert_eq!((row["version"].as_str(), row["defaultOf"].as_array().map(Vec::len)), (Some("1.1.0"), Some(3)));
    Ok(())
}

#[tokio::test]
async fn the_plan_says_which_instances_in_flight_would_diverge_and_where() -> Result<()> {
    let folder = components(&["test_version_one.wasm"])?;
    let world = World::start(folder.path()).await?;
    let shell = Shell::at(&world.scheduler);
    // It calls an activity and a child of a version that nobody has, and so is in flight for ever.
    let id = world.begin("waits", "asks", Some("\"9.9.9\"")).await?;
    eventually("it waits", async || Ok((world.client.history(&id).await?.all().await?.len() >= 4).then_some(())))
        .await?;
    let place = tempfile::tempdir()?;
    let same = version_one_as(place.path(), "1.1.0")?;
    let said = shell.succeeds(&["deploy", &same.display().to_string(), "--require-replay", "--inactive"]).await?;
    ensure!(said.shows("1 did nothing that the new code would do otherwise"), "{said:?}");

    let other = version_one_as(place.path(), "1.2.0")?;
    // Another activity is called.
    std::fs::write(&other, rewritten(std::fs::read(&other)?, "says_activity", "tell_activity"))?;
    let other = other.display().to_string();
    let said = shell.refuses(&["deploy", &other, "--require-replay"], 1, "`waits`").await?;
    ensure!(said.shows("1 would diverge") && said.shows("says_activity"), "{said:?}");
    ensure!(said.shows("+ activity tell_activity") && said.shows("- activity says_activity"), "{said:?}");
    let said = shell.run(&["deploy", &other, "--require-replay", "--json"]).await?;
    let report: serde_json::Value = serde_json::from_str(said.first())?;
    assert_eq!(report["inFlight"]["diverging"][0]["instance"], "waits");
    // Its child waits as well, and has not begun.
    let counts = (report["inFlight"]["found"].as_u64(), report["inFlight"]["notBegun"].as_u64());
    assert_eq!((counts, report["deployed"].is_null()), ((Some(2), Some(1)), true));
    // Without the flag it is only said: what is in flight stays where it is.
    shell.succeeds(&["deploy", &other]).await?;
    let instance = world.client.get(&id, false).await?.context("it is there")?;
    assert_eq!(instance.version.as_deref(), Some("1.0.0"));
    let said = shell.succeeds(&["versions", "--json"]).await?;
    let rows: Vec<serde_json::Value> = said.out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let versions: Vec<&str> = rows.iter().filter_map(|row| row["version"].as_str()).collect();
    assert_eq!(versions, ["1.1.0", "1.2.0"]);
    Ok(())
}

#[tokio::test]
async fn a_history_is_exported_and_replayed_offline_and_says_where_other_code_goes_another_way() -> Result<()> {
    let folder = components(&["test_repair_broken.wasm"])?;
    let world = World::start(folder.path()).await?;
    let shell = Shell::at(&world.scheduler);
    let id = world.begin("dear", "order", Some("\"A1\"")).await?;
    assert_eq!(world.ended(&id).await?.status, Status::Failed);
    let histories = tempfile::tempdir()?;
    let history = histories.path().join("dear.json").display().to_string();
    shell.succeeds(&["history", "dear", "--export", &history]).await?;
    let guest = |name: &str| test_guests().join(format!("test_{name}.wasm")).display().to_string();
    let (broken, rewritten, foreign) = (guest("repair_broken"), guest("repair_rewritten"), guest("version_one"));
    let said = shell.succeeds(&["replay", "--history", &history, "--component", &broken]).await?;
    ensure!(said.shows("to its end"), "{said:?}");
    shell.succeeds(&["replay", "dear", "--component", &broken, "--json"]).await?;
    let said = shell.refuses(&["replay", "dear", "--component", &rewritten], 1, "does not replay").await?;
    ensure!(said.shows("✓") && said.shows("✗"), "{said:?}");
    shell.refuses(&["replay", "dear", "--component", &foreign], 1, "no orchestrator").await?;
    shell.refuses(&["replay", "--history", &broken, "--component", &broken], 2, "cannot be used").await?;
    shell.refuses(&["replay", "nobody", "--component", &broken], 4, "nobody").await?;

    let folder = histories.path().display().to_string();
    let said = shell.succeeds(&["test", &folder, "--component", &broken]).await?;
    ensure!(said.shows("1 history replay"), "{said:?}");
    shell.refuses(&["test", &folder, "--component", &rewritten], 1, "does not replay").await?;
    shell.refuses(&["test", &folder, "--component", &foreign], 1, "order").await?;
    let empty = tempfile::tempdir()?;
    let empty = empty.path().display().to_string();
    shell.refuses(&["test", &empty, "--component", &broken], 2, "no exported history").await?;
    Ok(())
}
