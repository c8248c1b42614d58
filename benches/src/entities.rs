//! Entities of a WebAssembly component: signals to many, signals to one, and calls of one from orchestrations.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{Client, Connection, EntityFilter, EntityId, Payload};
use durawasm_tests::cluster::{Scheduler, SchedulerOptions, components, eventually, start_host};
use futures::TryStreamExt as _;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::load::one;

/// Signals and calls that are on their way at a time.
const LANES: u64 = 512;
const CONNECTIONS: usize = 4;

async fn connect(uri: &str) -> Result<Vec<Client>> {
    let mut pool = Vec::new();
    for _ in 0..CONNECTIONS {
        pool.push(Client::connect(Connection::to(uri)).await?);
    }
    Ok(pool)
}

/// Does something so many times, many at a time.
async fn spread<F>(pool: &[Client], count: u64, work: impl Fn(Client, u64) -> F + Clone + Send + 'static) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for lane in 0..LANES {
        let (client, next, work) = (pool[usize::try_from(lane)? % pool.len()].clone(), Arc::clone(&next), work.clone());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(());
                }
                work(client.clone(), number).await?;
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(())
}

/// The sum of all balances with a prefix.
async fn total(client: &Client, prefix: &str) -> Result<u64> {
    let filter = EntityFilter { prefix: Some(prefix.to_owned()), states: true, ..Default::default() };
    let entities = client.list_entities(filter).try_concat().await?;
    let mut total = 0;
    for entity in entities {
        let state: Value = serde_json::from_str(entity.state.context("a state")?.as_str())?;
        total += state["balance"].as_u64().context("a balance")?;
    }
    Ok(total)
}

/// Sends signals to so many entities and waits until all have run. Returns signals a second until all were accepted, and until all had run.
async fn signals(pool: &[Client], entities: u64, count: u64) -> Result<(f64, f64)> {
    let begin = Instant::now();
    spread(pool, count, move |client, number| async move {
        let id = EntityId::new("account", format!("of{entities}-{}", number % entities))?;
        Ok(client.signal_entity(&id, "deposit", Some(Payload::from_text("1")), None).await?)
    })
    .await?;
    let accepted = begin.elapsed();
    let prefix = format!("@account@of{entities}-");
    let sum = eventually("all signals have run", async || {
        let sum = total(&pool[0], &prefix).await?;
        Ok((sum >= count).then_some(sum))
    })
    .await?;
    let all = begin.elapsed();
    ensure!(sum == count, "{sum} signals have run, {count} were sent");
    let rate = |time: Duration| count as f64 / time.as_secs_f64();
    Ok((rate(accepted), rate(all)))
}

pub(crate) async fn run(quick: bool) -> Result<()> {
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let folder = components(&["test_bank.wasm"])?;
    let host = start_host(&scheduler.uri(), folder.path(), &[]).await?;
    let pool = connect(&scheduler.uri()).await?;
    // The first batch of each kind finds everything warm.
    signals(&pool, 10, 1_000).await?;
    let count = if quick { 10_000 } else { 100_000 };
    println!("| operations | accepted/s | run and committed/s | CPU of scheduler | CPU of host |");
    println!("|---|---|---|---|---|");
    for entities in [1_000, 1] {
        let before = (scheduler.process.cpu_time()?, host.cpu_time()?);
        let (accepted, run) = signals(&pool, entities, count).await?;
        let each = |after: Duration, before: Duration| (after - before).div_f64(count as f64);
        println!(
            "| {count} signals to {entities} | {accepted:.0} | {run:.0} | {:?} | {:?} |",
            each(scheduler.process.cpu_time()?, before.0),
            each(host.cpu_time()?, before.1)
        );
    }
    // A call is an orchestration that waits for the result.
    let calls = count / 10;
    let before = (scheduler.process.cpu_time()?, host.cpu_time()?);
    let begin = Instant::now();
    spread(&pool, calls, |client, _| async move {
        let input = Payload::from_text(r#"["account","hot","deposit",1]"#);
        one(&client, "call_foreign", Some(&input), None).await
    })
    .await?;
    let rate = calls as f64 / begin.elapsed().as_secs_f64();
    let sum = total(&pool[0], "@account@hot").await?;
    ensure!(sum == calls, "{sum} calls have run, {calls} were made");
    let each = |after: Duration, before: Duration| (after - before).div_f64(calls as f64);
    println!(
        "| {calls} calls of one, each by an orchestration of its own | | {rate:.0} | {:?} | {:?} |",
        each(scheduler.process.cpu_time()?, before.0),
        each(host.cpu_time()?, before.1)
    );
    Ok(())
}
