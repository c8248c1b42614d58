//! One version after the other is deployed while instances run and hosts are killed: each instance ends on the version that it began with, with
//! the right result. `DURAWASM_DEPLOYMENTS` says how many, one a second; the default is a short form.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{Client, Instance, InstanceId, StartOptions, Status, Wait};
use durawasm_tests::cluster::{Scheduler, SchedulerOptions};
use durawasm_tests::command::Shell;
use durawasm_tests::process::Process;
use durawasm_tests::variant::version_one_as;

/// A host that runs what is deployed.
async fn host(scheduler: &Scheduler, cache: &Path) -> Result<Process> {
    let cache = cache.display().to_string();
    let arguments = ["host", "--scheduler", &scheduler.uri(), "--cache", &cache].map(str::to_owned);
    let mut process = Process::start(&durawasm_tests::program(), &arguments, &[])?;
    process.line("ready").await?;
    Ok(process)
}

/// Starts instances until it is told to stop; `asks` calls an activity and a child and returns their versions.
async fn load(client: Client, mut stop: tokio::sync::watch::Receiver<bool>) -> Result<Vec<InstanceId>> {
    let mut ids = Vec::new();
    while !*stop.borrow() {
        let options = StartOptions { id: Some(InstanceId::new(format!("i-{}", ids.len()))?), ..Default::default() };
        ids.push(client.start("asks", None, options).await?);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
            _ = stop.changed() => {}
        }
    }
    Ok(ids)
}

/// What an instance of `asks` says: the versions of its activity and of its child.
fn said(instance: &Instance) -> Result<(String, String)> {
    ensure!(instance.status == Status::Completed, "{} is {}: {:?}", instance.id, instance.status, instance.failure);
    Ok(serde_json::from_str(instance.output.as_ref().context("it has an output")?.as_str())?)
}

#[tokio::test]
async fn every_instance_ends_on_the_version_that_it_began_with_while_versions_come_and_hosts_are_killed() -> Result<()>
{
    let deployments: usize = match std::env::var("DURAWASM_DEPLOYMENTS") {
        Ok(text) => text.parse()?,
        Err(_) => 3,
    };
    ensure!((1..=900).contains(&deployments), "versions are 1.0.0 to 9.9.9");
    let version = |number: usize| format!("{}.{}.{}", 1 + number / 100, number / 10 % 10, number % 10);
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let files = tempfile::tempdir()?;
    let shell = Shell::at(&scheduler);
    let deploy = async |number: usize| -> Result<()> {
        let file = version_one_as(files.path(), &version(number))?;
        shell.succeeds(&["deploy", &file.display().to_string(), "--plan-time", "200ms"]).await?;
        Ok(())
    };
    deploy(0).await?;
    let cache = tempfile::tempdir()?;
    let mut hosts = [host(&scheduler, cache.path()).await?, host(&scheduler, cache.path()).await?];
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let loading = tokio::spawn(load(scheduler.client().await?, stopped));
    for number in 1..=deployments {
        let begun = Instant::now();
        deploy(number).await?;
        // One of the hosts is always there.
        let victim = &mut hosts[number % 2];
        victim.kill().await?;
        *victim = host(&scheduler, cache.path()).await?;
        tokio::time::sleep_until((begun + Duration::from_secs(1)).into()).await;
    }
    stop.send_replace(true);
    let ids = loading.await??;
    let client = scheduler.client().await?;
    let mut seen = BTreeSet::new();
    for id in &ids {
        let instance = client.wait_for_completion(id, &Wait::at_most(Duration::from_secs(60))).await?;
        let (activity, child) = said(&instance)?;
        let own = instance.version.clone().with_context(|| format!("{id} has no version"))?;
        ensure!(activity == own, "{id} is of {own}, its activity ran in {activity}");
        ensure!(child >= own, "{id} is of {own}, its child began later and is of {child}");
        seen.insert(own);
    }
    ensure!(ids.len() > 10 * deployments, "there was some load: {}", ids.len());
    ensure!(seen.len() > deployments / 2, "instances began on most versions: {seen:?}");
    ensure!(client.list_parked().await?.is_empty(), "nothing is parked");
    Ok(())
}
