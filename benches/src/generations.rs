//! An eternal orchestration: continue-as-new, ten thousand times. The store must not grow.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use durawasm_client::{Payload, StartOptions, Status, Wait};
use durawasm_tests::cluster::{World, components};

pub(crate) async fn run(quick: bool) -> Result<()> {
    let generations: u64 = if quick { 500 } else { 10_000 };
    let folder = components(&["test_durability.wasm"])?;
    let mut world = World::start(folder.path()).await?;
    let mut sizes = Vec::new();
    for count in [generations / 10, generations] {
        let begin = Instant::now();
        let input = Payload::from_text(count.to_string());
        let id = world.client.start("generations", Some(input), StartOptions::default()).await?;
        let ended = world.client.wait_for_completion(&id, &Wait::at_most(Duration::from_secs(600))).await?;
        ensure!(ended.status == Status::Completed, "{id} is {}: {:?}", ended.status, ended.failure);
        let took = begin.elapsed();
        // At its end the log is in the database, so that the file's size is what is stored.
        world.scheduler.process.stop().await?;
        let files = std::fs::read_dir(world.scheduler.data())?;
        let size: u64 = files.filter_map(|e| e.ok()?.metadata().ok()).map(|m| m.len()).sum();
        sizes.push(size);
        println!(
            "- {count} generations in {:.1} s ({:.0} µs each); the store then has {} KiB",
            took.as_secs_f64(),
            took.as_secs_f64() * 1e6 / count as f64,
            size >> 10
        );
        world.scheduler.restart().await?;
        world.crash_and_restart_host().await?;
        world.client = world.scheduler.client().await?;
    }
    ensure!(sizes[1] < sizes[0] + (256 << 10), "the store grew with the generations: {sizes:?}");
    Ok(())
}
