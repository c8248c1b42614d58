//! Fan-out and fan-in: one orchestration calls many activities at once and adds up what they return.

use std::time::{Duration, Instant};

use anyhow::Result;
use durawasm_client::Payload;

use crate::load::{Setup, one};

pub(crate) async fn run(quick: bool) -> Result<()> {
    let setup = Setup::start().await?;
    let client = setup.scheduler.client().await?;
    let sizes: &[u64] = if quick { &[100, 1_000] } else { &[100, 1_000, 5_000, 20_000] };
    println!("| activities | time (median of 3) | per activity |");
    println!("|---|---|---|");
    for &count in sizes {
        let input = Payload::json(&serde_json::json!({ "count": count }))?;
        let want = (0..count).map(|n| n * n).sum::<u64>().to_string();
        let mut times = Vec::new();
        for _ in 0..3 {
            let begin = Instant::now();
            one(&client, "fan_out", Some(&input), Some(&want)).await?;
            times.push(begin.elapsed());
        }
        times.sort_unstable();
        let median: Duration = times[1];
        println!("| {count} | {median:?} | {:?} |", median / u32::try_from(count)?);
    }
    Ok(())
}
