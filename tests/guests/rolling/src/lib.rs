//! Orchestrators that tell which version they were at each of their steps, to be replaced while they run. The tests write another version
//! of as many letters over this one's.

use durawasm_guest::prelude::*;

const THIS: &str = env!("CARGO_PKG_VERSION");

/// Calls an activity so many times, with a pause of so many milliseconds after each. Returns which version each of them was, and at last its own.
#[orchestrator]
async fn take_steps(ctx: Context, (steps, pause): (u32, u64)) -> Result<Vec<String>> {
    let mut were = Vec::new();
    for _ in 0..steps {
        were.push(ctx.call(say_version, ()).await?);
        ctx.sleep(Duration::from_millis(pause)).await;
    }
    were.push(THIS.to_owned());
    Ok(were)
}

/// Calls an activity so many times, and waits for the event `go on`.
#[orchestrator]
async fn wait_after(ctx: Context, steps: u32) -> Result<String> {
    for _ in 0..steps {
        ctx.call(say_version, ()).await?;
    }
    ctx.event::<()>("go on").await?;
    Ok(THIS.to_owned())
}

/// Returns the version that runs it, the version that it was started with, and the same of a child without a version, if it is to ask one.
#[orchestrator]
async fn tells(ctx: Context, asks_child: bool) -> Result<Vec<(String, Option<String>)>> {
    let mut told = vec![(THIS.to_owned(), ctx.version().map(str::to_owned))];
    if asks_child {
        told.extend(ctx.start_child(tells, false).await?);
    }
    Ok(told)
}

#[activity]
fn say_version() -> Result<String> {
    Ok(THIS.to_owned())
}

durawasm_guest::component!(take_steps, wait_after, tells, say_version);
