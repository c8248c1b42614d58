//! What it costs to count and to limit what guests use up: hello-cities on a host as it is, against the same host with fuel, deadlines and
//! memory limits off. Both run at the same time and are loaded in turns, so that the day's weather is the same for both.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use durawasm_host::sandbox::EngineOptions;
use durawasm_host::{Host, Options};
use durawasm_tests::cluster::{Scheduler, SchedulerOptions};
use durawasm_tests::process::Process;

use crate::hello_cities::OUTPUT;
use crate::load::closed;

/// A host that this program is itself: the command line has no switch for what must never be off.
pub(crate) async fn host(scheduler: &str, components: &Path, enforcement: bool) -> Result<()> {
    let mut options = Options::new(scheduler, components);
    options.engines = EngineOptions { enforcement, ..EngineOptions::default() };
    let host = Host::build(options).await?;
    let handle = host.handle();
    let announce = async {
        while !handle.status().connected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        println!("ready");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = host.run(std::future::pending()) => {}
        () = announce => {}
    }
    Ok(())
}

struct Setup {
    scheduler: Scheduler,
    host: Process,
}

impl Setup {
    async fn start(enforcement: bool) -> Result<Self> {
        let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
        let arguments: [PathBuf; 5] = [
            "--as-host".into(),
            scheduler.uri().into(),
            durawasm_tests::examples(),
            "--enforcement".into(),
            enforcement.to_string().into(),
        ];
        let mut host = Process::start(&std::env::current_exe()?, &arguments, &[])?;
        host.line("ready").await?;
        Ok(Self { scheduler, host })
    }

    /// Orchestrations per second, and the host's CPU time of each.
    async fn round(&self, warm_up: Duration, time: Duration) -> Result<(f64, f64)> {
        let before = self.host.cpu_time()?;
        let outcome = closed(&self.scheduler.uri(), 64, warm_up, time, "hello_cities", OUTPUT).await?;
        let share = time.as_secs_f64() / (time + warm_up).as_secs_f64() / outcome.completed as f64;
        Ok((outcome.per_second(), (self.host.cpu_time()? - before).as_secs_f64() * share * 1e6))
    }
}

pub(crate) async fn run(quick: bool) -> Result<()> {
    let (on, off) = (Setup::start(true).await?, Setup::start(false).await?);
    let (rounds, time) = if quick { (2, 3) } else { (6, 6) };
    let (warm_up, time) = (Duration::from_secs(1), Duration::from_secs(time));
    println!("64 clients; CPU of the host per orchestration.\n");
    println!("| round | limits on | limits off | ratio | CPU on | CPU off |");
    println!("|---|---|---|---|---|---|");
    let (mut ratios, mut cpu) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Who is first changes, so that neither has the better half of a drift.
        let ((with, cpu_with), (without, cpu_without)) = if round % 2 == 0 {
            let first = on.round(warm_up, time).await?;
            (first, off.round(warm_up, time).await?)
        } else {
            let first = off.round(warm_up, time).await?;
            (on.round(warm_up, time).await?, first)
        };
        println!(
            "| {} | {with:.0}/s | {without:.0}/s | {:.3} | {cpu_with:.0} µs | {cpu_without:.0} µs |",
            round + 1,
            with / without
        );
        ratios.push(with / without);
        cpu.push(cpu_with / cpu_without);
    }
    println!("\n- throughput with limits against without, median: {:.3} (goal: above 0.90)", median(ratios));
    println!("- CPU of the host with limits against without, median: {:.3}", median(cpu));
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
