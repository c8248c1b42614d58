//! New versions while instances are in flight and hosts are killed: every instance ends on the version that it began with, or was moved to, with
//! the right result. `DURAWASM_DEPLOYMENTS=N` deploys so often, and `DURAWASM_DEPLOY_EVERY=MILLIS` not more often than that, as `cargo xtask soak --only
//! versions` does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{Client, ErrorKind, InstanceId, Payload, StartOptions, Status, Wait};
use durawasm_tests::cluster::{Scheduler, SchedulerOptions, start_host};
use durawasm_tests::command::Shell;
use durawasm_tests::process::Process;
use durawasm_tests::{program, variant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Clients that start one orchestration after the other.
const LANES: usize = 24;
const STEPS: usize = 4;
/// Milliseconds between two steps: one lane in three is slow, so that what it began outlives its version.
const PAUSES: [u64; 3] = [50, 50, 500];

fn number(variable: &str, otherwise: usize) -> Result<usize> {
    match std::env::var(variable) {
        Ok(text) => text.parse().with_context(|| format!("{variable} is `{text}`: expected a number")),
        Err(_) => Ok(otherwise),
    }
}

/// What has been seen so far.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// Instances that have ended, by the version that they had.
    ended: BTreeMap<String, usize>,
    /// Those that ended on a version that was not the newest of those seen any more.
    outlived: usize,
    /// Those that ended on another version than they began with.
    moved: usize,
}

/// Whether instances are moved to other versions while they are in flight.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moves {
    Never,
    Upwards,
}

/// Runs one orchestration and checks that it was one version from its first step to its last, or that it went upwards where that may be. Returns
/// the version that it was at last, and whether it was another one before.
async fn one(client: &Client, id: &str, pause: u64, moves: Moves) -> Result<(String, bool)> {
    let id = InstanceId::new(id)?;
    let begin = Instant::now();
    loop {
        let options = StartOptions { id: Some(id.clone()), ..StartOptions::default() };
        let input = Payload::from_text(format!("[{STEPS},{pause}]"));
        match client.start("take_steps", Some(input), options).await {
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => break,
            Err(error) if error.kind() == ErrorKind::Unavailable && begin.elapsed() < Duration::from_secs(60) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let ended = client.wait_for_completion(&id, &Wait::at_most(Duration::from_secs(90))).await?;
    ensure!(ended.status == Status::Completed, "{id} is {}: {:?}", ended.status, ended.failure);
    let version = ended.version.with_context(|| format!("{id} was pinned to a version"))?;
    let were: Vec<String> = serde_json::from_str(ended.output.context("an output")?.as_str())?;
    ensure!(were.len() == STEPS + 1 && were.last() == Some(&version), "{id} of version {version} was {were:?}");
    let moved = were[0] != version;
    ensure!(were.is_sorted() && (!moved || moves == Moves::Upwards), "{id} of version {version} was {were:?}");
    Ok((version, moved))
}

/// Clients that start one orchestration after the other until they are told to stop.
struct Load {
    lanes: JoinSet<Result<()>>,
    seen: watch::Receiver<Seen>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Begins. The ids of its instances begin with a text of its own.
    fn start(client: &Client, prefix: &'static str, moves: Moves) -> Self {
        let (sender, seen) = watch::channel(Seen::default());
        let stop = Arc::new(AtomicBool::new(false));
        let mut lanes = JoinSet::new();
        for lane in 0..LANES {
            let (client, sender, stop) = (client.clone(), sender.clone(), Arc::clone(&stop));
            lanes.spawn(async move {
                let mut turn = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    let (id, pause) = (format!("{prefix}-{lane}-{turn}"), PAUSES[lane % PAUSES.len()]);
                    let (version, moved) = one(&client, &id, pause, moves).await?;
                    sender.send_modify(|seen| {
                        seen.moved += usize::from(moved);
                        seen.outlived +=
                            usize::from(seen.ended.last_key_value().is_some_and(|(newest, _)| *newest > version));
                        *seen.ended.entry(version).or_default() += 1;
                    });
                    turn += 1;
                }
                Ok(())
            });
        }
        Self { lanes, seen, stop }
    }

    /// Waits until an instance of this version has ended; fails as soon as a lane has failed.
    async fn until_one_ended_on(&mut self, version: &str) -> Result<()> {
        let mut seen = self.seen.clone();
        let arrived = async { seen.wait_for(|seen| seen.ended.contains_key(version)).await.map(|_| ()) };
        tokio::select! {
            arrived = tokio::time::timeout(Duration::from_secs(60), arrived) => {
                arrived.with_context(|| format!("nothing began on {version} within a minute: {:?}", self.seen.borrow()))??;
                Ok(())
            }
            Some(ended) = self.lanes.join_next() => {
                ended??;
                anyhow::bail!("a lane ended before its time")
            }
        }
    }

    /// Lets what is in flight end, and returns what was seen.
    async fn end(mut self) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(lane) = self.lanes.join_next().await {
            lane??;
        }
        Ok(self.seen.borrow().clone())
    }
}

/// A host without a folder: it runs what is deployed.
async fn host(scheduler: &Scheduler) -> Result<Process> {
    let arguments = ["host", "--scheduler", &scheduler.uri()].map(str::to_owned);
    let mut process = Process::start(&program(), &arguments, &[])?;
    process.line("ready").await?;
    Ok(process)
}

#[tokio::test]
async fn every_instance_ends_on_its_version_while_new_ones_are_deployed_and_hosts_are_killed() -> Result<()> {
    let (seen, deployments) = deploy_under_load(Moves::Never).await?;
    ensure!(seen.outlived > deployments, "instances were in flight while versions came: {seen:?}");
    Ok(())
}

#[tokio::test]
async fn every_instance_ends_on_the_version_that_it_was_moved_to_while_hosts_are_killed() -> Result<()> {
    let (seen, deployments) = deploy_under_load(Moves::Upwards).await?;
    ensure!(seen.moved > deployments, "instances were moved while they were in flight: {seen:?}");
    Ok(())
}

/// Deploys one version after the other and kills hosts, until each version had instances. Returns what was seen of them, and how many versions
/// there were.
async fn deploy_under_load(moves: Moves) -> Result<(Seen, usize)> {
    let (deployments, every) = (number("DURAWASM_DEPLOYMENTS", 6)?, number("DURAWASM_DEPLOY_EVERY", 0)?);
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let shell = Shell::at(&scheduler);
    let folder = tempfile::tempdir()?;
    let mut hosts = Vec::new();
    for _ in 0..3 {
        hosts.push(host(&scheduler).await?);
    }
    let deploy = async |number: usize| {
        let version = variant::numbered(number);
        let file = variant::rolling_as(folder.path(), &version)?;
        let file = file.display().to_string();
        let way = if moves == Moves::Upwards { "--migrate" } else { "--pin" };
        shell.succeeds(&["deploy", &file, way, "--plan-time", "200ms", "--wait", "10s"]).await?;
        anyhow::Ok(version)
    };
    let first = deploy(0).await?;
    let mut load = Load::start(&scheduler.client().await?, "lane", moves);
    load.until_one_ended_on(&first).await?;
    for number in 1..deployments {
        let begun = Instant::now();
        let version = deploy(number).await?;
        // The host that dies has instances of several versions by now, and the one that comes back fetches all of them.
        let victim = number % (2 * hosts.len());
        if let Some(process) = hosts.get_mut(victim) {
            process.kill().await?;
            *process = host(&scheduler).await?;
        }
        load.until_one_ended_on(&version).await?;
        let rest = Duration::from_millis(every as u64).saturating_sub(begun.elapsed());
        tokio::time::sleep(rest).await;
    }
    let seen = load.end().await?;
    let Seen { ended, outlived, moved } = &seen;
    eprintln!("{} instances, {outlived} outlived their version, {moved} moved", ended.values().sum::<usize>());
    ensure!(seen.ended.len() == deployments, "each version had instances: {seen:?}");
    ensure!(scheduler.client().await?.list_parked().await?.is_empty(), "nothing is parked");

    // What nobody needs any more can go; the newest is needed.
    for number in 0..deployments - 1 {
        shell.succeeds(&["versions", "remove", "test-rolling", &variant::numbered(number)]).await?;
    }
    let newest = variant::numbered(deployments - 1);
    shell.refuses(&["versions", "remove", "test-rolling", &newest], 2, "begin on").await?;
    Ok((seen, deployments))
}

async fn host_of(scheduler: &Scheduler, folder: &Path) -> Result<Process> {
    start_host(&scheduler.uri(), folder, &[]).await
}

#[tokio::test]
async fn a_fleet_of_three_hosts_is_rolled_one_by_one_to_a_new_version_and_back_to_none_of_the_old() -> Result<()> {
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?];
    let mut fleet = Vec::new();
    for folder in &folders {
        variant::rolling_as(folder.path(), "1.0.0")?;
        fleet.push(host_of(&scheduler, folder.path()).await?);
    }
    let mut load = Load::start(&scheduler.client().await?, "old", Moves::Never);
    load.until_one_ended_on("1.0.0").await?;
    // Each host is stopped as an operator would, and comes back with both versions: what is in flight needs the old one.
    for (process, folder) in fleet.iter_mut().zip(&folders) {
        variant::rolling_as(folder.path(), "2.0.0")?;
        let status = process.stop().await?;
        ensure!(status.success(), "the host ended with {status}");
        *process = host_of(&scheduler, folder.path()).await?;
    }
    load.until_one_ended_on("2.0.0").await?;
    let seen = load.end().await?;
    ensure!(seen.ended.len() == 2, "{seen:?}");

    // Nothing is left on the old version: it can be left out, host by host.
    let mut load = Load::start(&scheduler.client().await?, "new", Moves::Never);
    for (process, folder) in fleet.iter_mut().zip(&folders) {
        std::fs::remove_file(folder.path().join("rolling-1.0.0.wasm"))?;
        process.stop().await?;
        *process = host_of(&scheduler, folder.path()).await?;
    }
    load.until_one_ended_on("2.0.0").await?;
    let seen = load.end().await?;
    ensure!(!seen.ended.contains_key("1.0.0"), "all began on the newest version: {seen:?}");
    Ok(())
}
