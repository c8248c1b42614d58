//! Ten thousand orchestrations that wait, warm in one host process.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{Client, InstanceId, Payload, StartOptions, Status, Wait};
use durawasm_tests::cluster::{Scheduler, SchedulerOptions, components, eventually, start_host};
use tokio::task::JoinSet;

const COUNT: usize = 10_000;
/// Tasks that do their share of it at a time.
const TASKS: usize = 128;

/// Does something for each instance, many at a time.
async fn for_each<F>(client: &Client, work: fn(Client, usize) -> F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for first in 0..TASKS {
        let client = client.clone();
        tasks.spawn(async move {
            for number in (first..COUNT).step_by(TASKS) {
                work(client.clone(), number).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

fn id(number: usize) -> Result<InstanceId> {
    Ok(InstanceId::new(format!("expense-{number}"))?)
}

async fn begin(client: Client, number: usize) -> Result<()> {
    let expense = format!(r#"{{"employee":"{number}","amount":500}}"#);
    let options = StartOptions { id: Some(id(number)?), ..Default::default() };
    client.start("expense", Some(Payload::from_text(expense)), options).await?;
    Ok(())
}

async fn decide(client: Client, number: usize) -> Result<()> {
    let decision = format!(r#"{{"approved":true,"by":"{number}"}}"#);
    client.raise_event(&id(number)?, "decision", Some(Payload::from_text(decision))).await?;
    let ended = client.wait_for_completion(&id(number)?, &Wait::at_most(Duration::from_secs(60))).await?;
    let output = ended.output.as_ref().map(Payload::as_str).unwrap_or_default();
    let expected = format!(r#"{{"approved":true,"by":"{number}"}}"#);
    ensure!(ended.status == Status::Completed && output == expected, "{number}: {} {output}", ended.status);
    Ok(())
}

/// Mappings, resident KiB, threads and open files of a process.
fn usage(process: u32) -> Result<[usize; 4]> {
    let folder = format!("/proc/{process}");
    let entries = |name: &str| anyhow::Ok(std::fs::read_dir(format!("{folder}/{name}"))?.count());
    let status = std::fs::read_to_string(format!("{folder}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a process has memory")?;
    let maps = std::fs::read_to_string(format!("{folder}/maps"))?;
    Ok([maps.lines().count(), resident.trim().trim_end_matches(" kB").parse()?, entries("task")?, entries("fd")?])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn ten_thousand_orchestrations_wait_warm_in_one_host_and_each_goes_on_with_its_own_memory() -> Result<()> {
    let folder = components(&["approval.wasm"])?;
    // What is measured is the host; it does not see where the scheduler keeps things.
    let scheduler = Scheduler::start(SchedulerOptions { in_memory: true, ..Default::default() }).await?;
    let mut host = start_host(&scheduler.uri(), folder.path(), &["--warm-memory=16384"]).await?;
    let client = scheduler.client().await?;
    let process = host.id()?;
    let [mappings_before, resident_before, threads_before, _] = usage(process)?;
    let began = Instant::now();
    for_each(&client, begin).await?;
    // A warm orchestration of a small component has four mappings: see docs/operations.md.
    let [mappings, resident, threads, files] = eventually("all are warm", async || {
        let usage = usage(process)?;
        Ok((usage[0] >= mappings_before + 4 * COUNT - COUNT / 10).then_some(usage))
    })
    .await?;
    println!(
        "{COUNT} warm after {:?}: {mappings} mappings, {} MiB resident ({} KiB each), {threads} threads, {files} files",
        began.elapsed(),
        resident >> 10,
        (resident - resident_before) / COUNT
    );
    ensure!(mappings < 50_000, "{mappings} mappings; Linux allows 65,530");
    ensure!((resident - resident_before) / COUNT < 96, "{resident} KiB are resident");
    ensure!(threads <= threads_before + 8 && files < 100, "{threads} threads, {files} files");
    let began = Instant::now();
    for_each(&client, decide).await?;
    println!("all went on and ended in {:?}", began.elapsed());
    eventually("what they held is given back", async || Ok((usage(process)?[0] < mappings_before + 200).then_some(())))
        .await?;
    println!("afterwards: {:?}", usage(process)?);
    ensure!(host.stop().await?.success(), "{}", host.tail());
    Ok(())
}
