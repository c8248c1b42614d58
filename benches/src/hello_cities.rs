//! hello-cities: start, five activities one after the other, completion. Throughput and latency.

use std::time::Duration;

use anyhow::Result;

use crate::load::{Setup, closed};

/// What it answers.
pub(crate) const OUTPUT: &str =
    r#"["Hello Tokyo!","Hello Hyderabad!","Hello London!","Hello São Paulo!","Hello Seattle!"]"#;

pub(crate) async fn run(quick: bool) -> Result<()> {
    let time = Duration::from_secs(if quick { 3 } else { 10 });
    let setup = Setup::start().await?;
    println!("CPU is per orchestration.\n");
    println!("| clients | orchestrations/s | p50 | p99 | CPU of scheduler | CPU of host |");
    println!("|---|---|---|---|---|---|");
    for clients in [1, 64, 256] {
        let before = setup.cpu()?;
        let warm_up = Duration::from_secs(if quick { 1 } else { 3 });
        let outcome = closed(&setup.scheduler.uri(), clients, warm_up, time, "hello_cities", OUTPUT).await?;
        let after = setup.cpu()?;
        // The warm-up counts in the CPU time, so it is shared out over its time as well.
        let share = time.as_secs_f64() / (time + warm_up).as_secs_f64() / outcome.completed as f64;
        println!(
            "| {clients} | {:.0} | {:?} | {:?} | {:?} | {:?} |",
            outcome.per_second(),
            outcome.at(0.5),
            outcome.at(0.99),
            (after.0 - before.0).mul_f64(share),
            (after.1 - before.1).mul_f64(share),
        );
    }
    Ok(())
}
