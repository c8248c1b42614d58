//! A restart: how long from the start of the process until it serves, and what one commit costs.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use durawasm_client::{Client, Connection, StartOptions};
use durawasm_scheduler::store::Store as _;
use durawasm_scheduler::store::committed::Committed;
use durawasm_scheduler::store::directory::{DataDir, HubName};
use durawasm_tests::cluster::{Scheduler, SchedulerOptions, start_host};

pub(crate) async fn run(quick: bool) -> Result<()> {
    let (finished, pending) = if quick { (2_000, 500) } else { (100_000, 10_000) };
    let mut scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let examples = durawasm_tests::examples();
    let mut host = start_host(&scheduler.uri(), &examples, &[]).await?;
    start_many(&scheduler.uri(), "hello_cities", finished, true).await?;
    host.kill().await?;
    // Nobody runs these: they wait for a worker.
    start_many(&scheduler.uri(), "nobody_runs_this", pending, false).await?;
    scheduler.process.kill().await?;
    let begin = Instant::now();
    scheduler.restart().await?;
    let client = scheduler.client().await?;
    client.hello().await?;
    let serving = begin.elapsed();
    let size: u64 = std::fs::read_dir(scheduler.data())?.filter_map(|e| e.ok()?.metadata().ok()).map(|m| m.len()).sum();
    println!(
        "- after SIGKILL with {finished} finished and {pending} pending instances ({} MiB): serving after {serving:?}",
        size >> 20
    );
    println!("- resident memory of the scheduler then: {} MiB", scheduler.process.resident_bytes()? >> 20);
    Ok(())
}

async fn start_many(uri: &str, name: &'static str, count: usize, finish: bool) -> Result<()> {
    let client = Client::connect(Connection::to(uri)).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 0..128 {
        let client = client.clone();
        tasks.spawn(async move {
            for _ in (lane..count).step_by(128) {
                if finish {
                    crate::load::one(&client, name, None, None).await?;
                } else {
                    client.start(name, None, StartOptions::default()).await?;
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(())
}

/// The median cost of one commit: an instance's row, three events, one inbox entry made.
pub(crate) fn commit_cost() -> Result<Duration> {
    use durawasm_scheduler::core;
    let folder = tempfile::tempdir()?;
    let data = DataDir::open(folder.path())?;
    let store = data.open_hub(&HubName::parse("bench")?)?;
    let recovered = store.recover()?;
    let identity = core::partition::Identity { hub: "bench".into(), incarnation: recovered.incarnation, salt: 1 };
    let now = core::time::Timestamp::from_micros(1_800_000_000_000_000);
    let partition =
        core::partition::Partition::recover(identity, Default::default(), now, Vec::new(), Vec::new(), Vec::new());
    let mut pipeline = core::pipeline::Pipeline::new(partition);
    let mut times = Vec::new();
    for number in 0..400 {
        let start = core::message::StartRequest {
            instance: core::ids::InstanceId::parse(&format!("commit-{number}"))?,
            fresh: true,
            execution: None,
            name: "hello_cities".into(),
            version: None,
            input: None,
            scheduled_start: None,
            tags: Default::default(),
            trace: None,
            replaceable: None,
        };
        let input = core::message::Input::Start(core::ids::RequestId(number), Box::new(start));
        pipeline.handle(input, now, &Committed::new(&store));
        drop(pipeline.flush());
        let (seq, batch) = pipeline.take_batch().context("something to write")?;
        let begin = Instant::now();
        store.commit(&batch)?;
        times.push(begin.elapsed());
        drop(pipeline.committed(seq));
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
