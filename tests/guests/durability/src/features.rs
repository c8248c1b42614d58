//! What the SDK offers, one orchestrator a feature: races, background work, generations, children with all their options.

use durawasm_guest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{sleep, started_with, unstable};

/// A generation of `carry`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Generation {
    /// Whether the events `item` that nobody waited for go over.
    keep: bool,
    #[serde(default)]
    second: bool,
}

/// Waits for the event `go` and continues as new. The second generation returns the events `item` that it finds.
#[orchestrator]
pub(crate) async fn carry(ctx: Context, Generation { keep, second }: Generation) -> Result<Vec<Value>> {
    if !second {
        ctx.set_custom_status("first")?;
        ctx.event::<()>("go").await?;
        let next = if keep { Next::default() } else { Next::default().discard_events() };
        return ctx.continue_as_new_with(&Generation { keep, second: true }, next);
    }
    let mut items = Vec::new();
    while let Ok(item) = ctx.timeout(Duration::from_millis(1), ctx.event("item")).await {
        items.push(item?);
    }
    Ok(items)
}

/// Lets children that sleep so many milliseconds race, then waits for the event `end`. Returns the winner's index.
#[orchestrator]
pub(crate) async fn first_child(ctx: Context, millis: Vec<u64>) -> Result<usize> {
    let (winner, slept) = race_all(millis.iter().map(|millis| ctx.start_child(sleep, millis))).await;
    slept?;
    ctx.event::<()>("end").await?;
    Ok(winner)
}

/// Whatever comes first of an activity, a child, a timer and an event; the others lose.
#[orchestrator]
pub(crate) async fn first_of_four(ctx: Context, timer_millis: u64) -> Result<String> {
    let missing = ctx.call_named::<Value>("nobody_runs_this", &());
    let child = ctx.start_child(sleep, 60_000).id(format!("{}-loser", ctx.instance_id()));
    let timer = ctx.sleep(Duration::from_millis(timer_millis));
    let winner = race((missing, child, timer, ctx.event::<u32>("number"))).await;
    let winner = match winner {
        OneOf4::First(value) => format!("activity {}", value?),
        OneOf4::Second(slept) => format!("child {}", slept?),
        OneOf4::Third(()) => "timer".to_owned(),
        OneOf4::Fourth(number) => format!("event {}", number?),
    };
    // The waiter that lost has given up its place: the next event comes to this one.
    let next = ctx.event::<u32>("number").await?;
    Ok(format!("{winner}, then {next}"))
}

/// Starts a child and a failing activity that it waits for as little as for each other, then waits for the event `end`.
#[orchestrator]
pub(crate) async fn background(ctx: Context) -> Result<()> {
    ctx.start_child(sleep, 50).id(format!("{}-child", ctx.instance_id())).forget();
    let retry = Retry::attempts(3).first(Duration::from_millis(10));
    ctx.call(unstable, "nobody looks").retry(retry).forget();
    ctx.event("end").await
}

/// Fails in a way that may be tried again.
#[orchestrator]
pub(crate) async fn trips(_ctx: Context) -> Result<()> {
    bail!("Tripped"; "over its own feet")
}

/// Tries `trips` again under one id, by a policy or by a predicate. Returns the type of the last failure.
#[orchestrator]
pub(crate) async fn child_retries(ctx: Context, predicate: bool) -> Result<String> {
    let retry = Retry::attempts(3).first(Duration::from_millis(10));
    let child = ctx.start_child(trips, ()).id(format!("{}-child", ctx.instance_id())).retry(retry);
    let result = if predicate { child.retry_if(|error| error.error_type() == "Tripped").await } else { child.await };
    Ok(result.expect_err("trips each time").error_type().to_owned())
}

/// Runs `started_with` as a child with an id and tags. Returns what the child saw.
#[orchestrator]
pub(crate) async fn tagged_child(ctx: Context) -> Result<Value> {
    let id = format!("{}-child", ctx.instance_id());
    ctx.start_child(started_with, Value::from(7)).id(id).tag("colour", "red").tag("shape", "round").await
}
