//! Deployments: how long until the first execution, what they cost those who run meanwhile, and what many live versions take.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{Client, InstanceId, Payload, StartOptions, Status, Wait};
use durawasm_tests::cluster::{Scheduler, SchedulerOptions, components, eventually};
use durawasm_tests::command::Shell;
use durawasm_tests::process::Process;
use durawasm_tests::{program, variant};

use crate::hello_cities::OUTPUT;
use crate::load::closed;

async fn host(scheduler: &Scheduler, arguments: &[&str]) -> Result<Process> {
    let uri = scheduler.uri();
    let all: Vec<&str> = ["host", "--scheduler", &uri].into_iter().chain(arguments.iter().copied()).collect();
    let mut process = Process::start(&program(), &all, &[])?;
    process.line("ready").await?;
    Ok(process)
}

/// Runs an orchestration without a version and returns the one that it was.
async fn began_on(client: &Client) -> Result<String> {
    let input = Payload::from_text("[0,0]");
    let id = client.start("take_steps", Some(input), StartOptions::default()).await?;
    let ended = client.wait_for_completion(&id, &Wait::at_most(Duration::from_secs(60))).await?;
    ensure!(ended.status == Status::Completed, "{id} ended as {}: {:?}", ended.status, ended.failure);
    ended.version.context("it was pinned to a version")
}

/// Deploys some versions, one after the other; how long each takes, from the start of the command until an orchestration that was started
/// right after it has ended on that version. Returns the time of the command, and the time of all, at the median.
async fn to_first_execution(cache: &Path, count: usize) -> Result<(Duration, Duration)> {
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let cache = cache.display().to_string();
    let _host = host(&scheduler, &["--cache", &cache]).await?;
    let (client, shell, folder) = (scheduler.client().await?, Shell::at(&scheduler), tempfile::tempdir()?);
    let mut times = Vec::new();
    for number in 0..count {
        let version = variant::numbered(number);
        let file = variant::rolling_as(folder.path(), &version)?.display().to_string();
        let begin = Instant::now();
        shell.succeeds(&["deploy", &file]).await?;
        let deployed = begin.elapsed();
        let was = began_on(&client).await?;
        ensure!(was == version, "it began on {was} after {version} was deployed");
        times.push((deployed, begin.elapsed() - deployed));
    }
    // The first one finds nothing warm.
    let mut command: Vec<_> = times.iter().skip(1).map(|(command, _)| *command).collect();
    let mut execution: Vec<_> = times.iter().skip(1).map(|(_, execution)| *execution).collect();
    command.sort_unstable();
    execution.sort_unstable();
    Ok((command[command.len() / 2], execution[execution.len() / 2]))
}

pub(crate) async fn run(quick: bool) -> Result<()> {
    let cache = tempfile::tempdir()?;
    let count = if quick { 5 } else { 21 };
    println!("| compile cache | `durawasm deploy`, plan and upload included | then: start, first execution, end |");
    println!("|---|---|---|");
    for name in ["cold", "warm"] {
        let (command, execution) = to_first_execution(cache.path(), count).await?;
        println!("| {name} | {command:?} | {execution:?} |");
    }
    println!();
    throughput(quick).await?;
    many_versions(quick).await?;
    planning(quick).await
}

/// Throughput of hello-cities over windows of 5 s, one without a deployment and one with, in turn.
async fn throughput(quick: bool) -> Result<()> {
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let (examples, cache) = (components(&["hello_cities.wasm"])?, tempfile::tempdir()?);
    let (shown, cached) = (examples.path().display().to_string(), cache.path().display().to_string());
    let _host = host(&scheduler, &["--components", &shown, "--cache", &cached]).await?;
    let (shell, folder, uri) = (Shell::at(&scheduler), tempfile::tempdir()?, scheduler.uri());
    let window = Duration::from_secs(if quick { 2 } else { 5 });
    let load = async || {
        let outcome = closed(&uri, 64, Duration::from_millis(500), window, "hello_cities", OUTPUT).await?;
        anyhow::Ok(outcome.per_second())
    };
    load().await?;
    let mut ratios = Vec::new();
    for pair in 0..if quick { 1 } else { 5 } {
        let without = load().await?;
        let file = variant::rolling_as(folder.path(), &variant::numbered(pair))?.display().to_string();
        let deploy = async {
            // In the middle of the window.
            tokio::time::sleep(Duration::from_secs(1)).await;
            shell.succeeds(&["deploy", &file]).await
        };
        let (with, deployed) = tokio::join!(load(), deploy);
        deployed?;
        ratios.push(with? / without);
    }
    ratios.sort_unstable_by(f64::total_cmp);
    let (least, median) = (ratios[0], ratios[ratios.len() / 2]);
    println!(
        "- hello-cities, 64 clients, windows of {} s with a deployment (cold cache) against windows without: {median:.2} of the throughput \
         at the median, {least:.2} at least",
        window.as_secs()
    );
    Ok(())
}

/// The memory of a host that runs many versions of a component.
async fn many_versions(quick: bool) -> Result<()> {
    let count = if quick { 20 } else { 200 };
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let cache = tempfile::tempdir()?;
    let cached = cache.path().display().to_string();
    let host = host(&scheduler, &["--cache", &cached]).await?;
    let (client, shell, folder) = (scheduler.client().await?, Shell::at(&scheduler), tempfile::tempdir()?);
    let before = host.resident_bytes()?;
    for number in 0..count {
        let file = variant::rolling_as(folder.path(), &variant::numbered(number))?.display().to_string();
        shell.succeeds(&["deploy", &file]).await?;
    }
    // Each of them runs.
    for number in 0..count {
        let options = StartOptions { version: Some(variant::numbered(number)), ..StartOptions::default() };
        let id = client.start("take_steps", Some(Payload::from_text("[1,0]")), options).await?;
        let ended = client.wait_for_completion(&id, &Wait::at_most(Duration::from_secs(60))).await?;
        ensure!(ended.status == Status::Completed, "{id} ended as {}", ended.status);
    }
    let after = host.resident_bytes()?;
    println!(
        "- {count} live versions of a component, each of which has run: the host has {} MiB, {} MiB before",
        after >> 20,
        before >> 20
    );
    Ok(())
}

/// How long a plan takes that replays everything in flight.
async fn planning(quick: bool) -> Result<()> {
    let count: usize = if quick { 500 } else { 10_000 };
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let folder = tempfile::tempdir()?;
    variant::rolling_as(folder.path(), "1.0.0")?;
    let shown = folder.path().display().to_string();
    let host = host(&scheduler, &["--components", &shown]).await?;
    let (client, shell) = (scheduler.client().await?, Shell::at(&scheduler));
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 0..64 {
        let client = client.clone();
        tasks.spawn(async move {
            for number in (lane..count).step_by(64) {
                let options = StartOptions { id: Some(InstanceId::new(format!("w-{number}"))?), ..Default::default() };
                client.start("wait_after", Some(Payload::from_text("6")), options).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    let mut events = 0;
    for number in 0..count {
        let id = InstanceId::new(format!("w-{number}"))?;
        events += eventually("it waits for its event", async || {
            let described =
                client.describe(&id, false).await?.and_then(|described| described.details).context("details")?;
            let waits = described.open_activities == 0 && described.inbox_events == 0 && described.history_events >= 19;
            Ok(waits.then_some(described.history_events))
        })
        .await?;
    }
    let place = tempfile::tempdir()?;
    let newer = variant::rolling_as(place.path(), "1.0.1")?.display().to_string();
    let begin = Instant::now();
    let said = shell.succeeds(&["deploy", &newer, "--dry-run", "--plan-time", "10m", "--json"]).await?;
    let time = begin.elapsed();
    let report: serde_json::Value = serde_json::from_str(said.out.lines().next().context("a report")?)?;
    ensure!(report["inFlight"]["found"] == count, "{report}");
    ensure!(report["inFlight"]["diverging"].as_array().is_some_and(Vec::is_empty), "{report}");
    println!(
        "- planning against {count} instances in flight of {:.0} events each, all of them replayed: {:.2} s",
        events as f64 / count as f64,
        time.as_secs_f64()
    );
    drop(host);
    Ok(())
}
