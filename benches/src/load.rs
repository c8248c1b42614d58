//! Load: clients that start an orchestration, wait for its end, check its result, and start the next one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{Client, Connection, Payload, StartOptions, Status, Wait};
use durawasm_tests::cluster::{Scheduler, SchedulerOptions, start_host};
use durawasm_tests::process::Process;
use hdrhistogram::Histogram;

/// A scheduler with fsync and one host with the examples.
pub(crate) struct Setup {
    pub(crate) scheduler: Scheduler,
    pub(crate) host: Process,
}

impl Setup {
    pub(crate) async fn start() -> Result<Self> {
        let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
        let examples = durawasm_tests::examples();
        let host = start_host(&scheduler.uri(), Path::new(&examples), &[]).await?;
        Ok(Self { scheduler, host })
    }

    /// CPU time of scheduler and host so far.
    pub(crate) fn cpu(&self) -> Result<(Duration, Duration)> {
        Ok((self.scheduler.process.cpu_time()?, self.host.cpu_time()?))
    }
}

/// One orchestration from start to checked result.
pub(crate) async fn one(client: &Client, name: &str, input: Option<&Payload>, want: Option<&str>) -> Result<()> {
    let id = client.start(name, input.cloned(), StartOptions::default()).await?;
    let instance = client.wait_for_completion(&id, &Wait::at_most(Duration::from_secs(120))).await?;
    ensure!(instance.status == Status::Completed, "{id} ended as {}: {:?}", instance.status, instance.failure);
    if let Some(want) = want {
        let output = instance.output.context("an output")?;
        ensure!(output.as_str() == want, "{id} answered {} instead of {want}", output.as_str());
    }
    Ok(())
}

/// What a load achieved.
pub(crate) struct Outcome {
    pub(crate) completed: u64,
    pub(crate) elapsed: Duration,
    /// Latencies in microseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        self.completed as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn at(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.latency.value_at_quantile(quantile))
    }
}

/// Runs `clients` at once, over a few connections, for a time after a warm-up.
pub(crate) async fn closed(
    uri: &str,
    clients: usize,
    warm_up: Duration,
    time: Duration,
    name: &'static str,
    want: &'static str,
) -> Result<Outcome> {
    let connections = clients.div_ceil(64).min(4);
    let mut pool = Vec::new();
    for _ in 0..connections {
        pool.push(Client::connect(Connection::to(uri)).await?);
    }
    let (counting, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..clients {
        let client = pool[number % pool.len()].clone();
        let (counting, stop) = (Arc::clone(&counting), Arc::clone(&stop));
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let begin = Instant::now();
                one(&client, name, None, Some(want)).await?;
                if counting.load(Ordering::Relaxed) && !stop.load(Ordering::Relaxed) {
                    latencies.push(begin.elapsed());
                }
            }
            anyhow::Ok(latencies)
        });
    }
    tokio::time::sleep(warm_up).await;
    counting.store(true, Ordering::Relaxed);
    let begin = Instant::now();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let elapsed = begin.elapsed();
    let mut latency = Histogram::new(3)?;
    while let Some(task) = tasks.join_next().await {
        for one in task?? {
            latency.record(u64::try_from(one.as_micros())?)?;
        }
    }
    Ok(Outcome { completed: latency.len(), elapsed, latency })
}
