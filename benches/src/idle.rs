//! What an instance costs the scheduler that only waits: for a timer, or for an event.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use durawasm_tests::cluster::{Scheduler, SchedulerOptions};

use crate::scripted;

/// How many are started before it is waited for them.
const STEP: usize = 1_000;

pub(crate) async fn run(quick: bool) -> Result<()> {
    let count = if quick { 5_000 } else { 100_000 };
    let mut scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let before = scheduler.process.resident_bytes()?;
    let begun = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&begun);
    let worker = scripted::work(&scheduler.uri(), move |request| {
        if !scripted::begins(request) {
            return Vec::new();
        }
        counter.fetch_add(1, Ordering::Relaxed);
        match request.instance_id.starts_with("timer") {
            true => vec![scripted::timer(1, SystemTime::now() + Duration::from_secs(3_600))],
            false => Vec::new(),
        }
    })
    .await?;
    for (prefix, waits) in [("timer", "a timer"), ("event", "an event")] {
        let resident = scheduler.process.resident_bytes()?;
        let (begin, already) = (Instant::now(), begun.load(Ordering::Relaxed));
        // Not all at once: what a backlog costs is another question.
        for number in (0..count).step_by(STEP) {
            scripted::start_many(&scheduler.uri(), "waits", &format!("{prefix}-{number}"), STEP).await?;
            while begun.load(Ordering::Relaxed) - already < number + STEP {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        while begun.load(Ordering::Relaxed) - already < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let grown = scheduler.process.resident_bytes()?.saturating_sub(resident);
        println!(
            "- {count} more instances that wait for {waits}: {:.0} bytes of the scheduler's resident memory each (started in {:.1} s)",
            grown as f64 / count as f64,
            begin.elapsed().as_secs_f64()
        );
    }
    let all = scheduler.process.resident_bytes()?.saturating_sub(before);
    println!("- together, {} instances: {:.0} bytes each", 2 * count, all as f64 / (2 * count) as f64);
    drop(worker);
    let begin = Instant::now();
    scheduler.crash_and_restart().await?;
    scheduler.client().await?.hello().await?;
    let serving = begin.elapsed();
    println!(
        "- after SIGKILL: serving after {serving:.1?}, with {} MiB resident",
        scheduler.process.resident_bytes()? >> 20
    );
    Ok(())
}
