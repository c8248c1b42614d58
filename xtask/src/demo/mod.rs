//! `cargo xtask demo`: a scheduler and a host as processes of their own, orchestrations under way, and SIGKILL.
//!
//! What it shows: whatever is killed, and whenever, every orchestration that was accepted completes with the right
//! result. It fails if one does not, if a history holds a result twice, or if a process does not shut down in order.

mod cluster;
mod journal;
mod process;
mod report;
mod work;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use durawasm_client::{Client, Connection};

use self::{
    cluster::Cluster,
    report::{Kill, Report},
    work::{Batch, Orchestration},
};
use crate::{setup, stage::Stages, workspace};

/// How much to do.
#[derive(Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// How many activities the fan-out has.
    #[arg(long, default_value_t = 1_000)]
    fan_out: u64,
    /// How many orchestrations are under way when a process is killed.
    #[arg(long, default_value_t = 200)]
    in_flight: usize,
}

impl Default for Arguments {
    fn default() -> Arguments {
        Arguments { fan_out: 1_000, in_flight: 200 }
    }
}

/// How long a stage may take before it counts as hung. Generous: the machine may be busy with other things.
const STAGE: Duration = Duration::from_secs(120);

/// How often a batch is begun anew, larger, because it was over before the kill came.
const TRIES: usize = 4;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut stages = Stages::default();
    let installation = setup::install(&mut stages, false)?;
    eprintln!("\n=== the demo");
    let folder = workspace::target()?.join("demo");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut cluster = Cluster::new(&installation, &folder)?;
        let outcome = play(arguments, &mut cluster).await;
        match outcome {
            Ok(report) => {
                println!("{report}");
                println!("\n  The logs and the data are in {}", folder.display());
                Ok(())
            }
            Err(error) => {
                cluster.show_logs();
                Err(error.context(format!("the demo failed; logs and data are in {}", folder.display())))
            }
        }
    })
}

async fn play(arguments: &Arguments, cluster: &mut Cluster) -> Result<Report> {
    let mut report = Report::default();
    cluster.start_scheduler().await?;
    eprintln!("    a scheduler listens on {}, its data is on disk, every commit with fsync", cluster.address());
    let ready = cluster.start_host().await?;
    eprintln!("    a host is connected, {ready}");
    let client = within("connecting", async { Ok(Client::connect(Connection::to(cluster.address())).await?) }).await?;

    let mut all = Vec::new();
    let (hello, took) = one(&client, Orchestration::hello_cities("demo-hello")).await?;
    eprintln!("    hello-cities: {} in {}", hello.output(), crate::stage::show(took));
    ensure!(
        journal::read(&cluster.host_logs())?.executions > 0,
        "the host's log does not tell which activities ran: it has no line of the target durawasm::activity"
    );
    report.hello_cities = took;
    all.push(hello.orchestration);

    let (fan_out, took) = one(&client, Orchestration::fan_out("demo-fan-out", arguments.fan_out, 0)).await?;
    eprintln!("    fan-out of {}: {} in {}", arguments.fan_out, fan_out.output(), crate::stage::show(took));
    report.fan_out = (arguments.fan_out, took);
    all.push(fan_out.orchestration);

    report.host = interrupt(&client, cluster, Victim::Host, arguments.in_flight, &mut all).await?;
    report.scheduler = interrupt(&client, cluster, Victim::Scheduler, arguments.in_flight, &mut all).await?;

    eprintln!("    reading the history of {} orchestrations", all.len());
    let histories = within("reading the histories", work::audit(&client, &all)).await?;
    within("stopping host and scheduler", cluster.stop()).await?;
    let executions = journal::read(&cluster.host_logs())?;
    ensure!(
        executions.calls >= histories.completed,
        "{} activities completed, but the hosts' logs hold only {} calls",
        histories.completed,
        executions.calls
    );
    report.orchestrations = all.len();
    report.activities = histories.completed;
    report.executions = executions;
    Ok(report)
}

/// Runs one orchestration and checks its result.
async fn one(client: &Client, orchestration: Orchestration) -> Result<(work::Finished, Duration)> {
    let begun = Instant::now();
    let name = orchestration.id.to_string();
    let finished = within(&format!("the orchestration {name}"), async {
        orchestration.start(client).await?;
        orchestration.finish(client).await
    })
    .await?;
    Ok((finished, begun.elapsed()))
}

#[derive(Clone, Copy, Debug)]
enum Victim {
    Host,
    Scheduler,
}

impl Victim {
    fn name(self) -> &'static str {
        match self {
            Victim::Host => "host",
            Victim::Scheduler => "scheduler",
        }
    }
}

/// Starts a batch, kills a process when half of the activities have begun, starts it again, and checks every result.
async fn interrupt(
    client: &Client,
    cluster: &mut Cluster,
    victim: Victim,
    in_flight: usize,
    all: &mut Vec<Orchestration>,
) -> Result<Kill> {
    let name = victim.name();
    for attempt in 0..TRIES {
        // A machine that is faster than expected gets longer activities, until the kill comes in the middle.
        let batch = Batch::new(&format!("{name}-{attempt}"), in_flight, 20_000 << (3 * attempt));
        let before = journal::read(&cluster.host_logs())?;
        within("starting orchestrations", batch.start(client)).await?;
        within("getting half of the work done", async {
            while journal::read(&cluster.host_logs())?.executions - before.executions < batch.activities() / 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(())
        })
        .await?;
        let unfinished = match victim {
            // With the host dead nothing can finish, so it is counted after the kill. A dead scheduler cannot be asked.
            Victim::Host => {
                cluster.kill_host().await?;
                batch.unfinished(client).await?
            }
            Victim::Scheduler => {
                let unfinished = batch.unfinished(client).await?;
                cluster.kill_scheduler().await?;
                unfinished
            }
        };
        let begun = Instant::now();
        eprintln!("    SIGKILL to the {name}: {unfinished} of {} orchestrations are unfinished", batch.len());
        match victim {
            Victim::Host => cluster.start_host().await.map(|_| ())?,
            Victim::Scheduler => cluster.start_scheduler().await?,
        }
        let back = begun.elapsed();
        eprintln!("    the {name} is back after {}", crate::stage::show(back));
        within(&format!("finishing what the dead {name} left behind"), batch.finish(client)).await?;
        let recovered = begun.elapsed();
        let repeated = journal::read(&cluster.host_logs())?.repeated() - before.repeated();
        eprintln!("    all {} have completed with the right result", batch.len());
        let orchestrations = batch.len();
        all.extend(batch.into_orchestrations());
        if unfinished > 0 {
            return Ok(Kill { orchestrations, unfinished, back, recovered, repeated });
        }
        eprintln!("    that was over before the kill came; once more, with longer activities");
    }
    bail!("after {TRIES} tries the {name} was still too fast to be killed in the middle; raise --in-flight")
}

/// Does not wait for ever: says what hung.
async fn within<T>(what: &str, stage: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(STAGE, stage).await {
        Ok(outcome) => outcome.with_context(|| format!("this failed: {what}")),
        Err(_) => bail!("this hung: {what} (it did not end within {})", crate::stage::show(STAGE)),
    }
}
