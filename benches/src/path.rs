//! The latency of one hello-cities on an idle system, against the sum of what cannot be done at the same time.

use std::time::{Duration, Instant};

use anyhow::Result;
use durawasm_client::{Client, Connection};

use crate::load::{Setup, closed};

/// Commits that lie one after the other: the start; the first episode; and for each of five activities its result (an
/// activity's result is accepted when it is on disk) and the episode that consumes it.
const COMMITS: u32 = 1 + 1 + 5 * 2;
/// Calls that lie one after the other, each way half a round trip: the start (1), the episode and its answer (6 × 1), the
/// activity and its answer (5 × 1), and the wait (½, counted as 1).
const ROUND_TRIPS: u32 = 1 + 6 + 5 + 1;

pub(crate) async fn run(quick: bool) -> Result<()> {
    let setup = Setup::start().await?;
    let uri = setup.scheduler.uri();
    let call = round_trip(&uri).await?;
    let commit = crate::restart::commit_cost()?;
    let time = Duration::from_secs(if quick { 3 } else { 8 });
    let outcome = closed(&uri, 1, Duration::from_secs(1), time, "hello_cities", crate::hello_cities::OUTPUT).await?;
    let sum = commit * COMMITS + call * ROUND_TRIPS;
    println!("- one commit of an episode, fsync on, in process: {commit:?} (median)");
    println!("- one unary call with an empty message: {call:?} (median)");
    println!("- on the path of one hello-cities: {COMMITS} commits and {ROUND_TRIPS} round trips = {sum:?}");
    println!("- measured, one client, idle: p50 {:?}, p99 {:?}", outcome.at(0.5), outcome.at(0.99));
    println!(
        "- ratio of the median to the sum: {:.2} (goal: below 2)",
        outcome.at(0.5).as_secs_f64() / sum.as_secs_f64()
    );
    Ok(())
}

async fn round_trip(uri: &str) -> Result<Duration> {
    let client = Client::connect(Connection::to(uri)).await?;
    let mut times = Vec::new();
    for _ in 0..2_000 {
        let begin = Instant::now();
        client.hello().await?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
