//! Orchestrators that call, by name, what workers in other languages offer: activities and children with ids, versions and retry
//! policies, side by side, against the clock, and over generations.

use durawasm_guest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Whom to call, and how.
#[derive(Clone, Serialize, Deserialize)]
struct Call {
    /// An activity, or a child.
    name: String,
    #[serde(default)]
    input: Value,
    /// Whether it is a child.
    #[serde(default)]
    child: bool,
    /// The child's id.
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    version: Option<String>,
    /// How often to try, ten milliseconds apart.
    #[serde(default)]
    attempts: Option<u32>,
}

async fn call(ctx: &Context, Call { name, input, child, id, version, attempts }: Call) -> Result<Value> {
    let retry = attempts.map(|attempts| Retry::attempts(attempts).first(Duration::from_millis(10)).backoff(1.0));
    if child {
        let mut child = ctx.start_child_named(name, &input);
        if let Some(id) = id {
            child = child.id(id);
        }
        if let Some(version) = version {
            child = child.version(version);
        }
        if let Some(retry) = retry {
            child = child.retry(retry);
        }
        return child.await;
    }
    let mut activity = ctx.call_named(name, &input);
    if let Some(version) = version {
        activity = activity.version(version);
    }
    if let Some(retry) = retry {
        activity = activity.retry(retry);
    }
    activity.await
}

/// Makes a call.
#[orchestrator]
async fn foreign_call(ctx: Context, wanted: Call) -> Result<Value> {
    ctx.set_custom_status("calling")?;
    call(&ctx, wanted).await
}

/// Makes calls side by side. Returns their results in order.
#[orchestrator]
async fn foreign_calls(ctx: Context, wanted: Vec<Call>) -> Result<Vec<Value>> {
    try_join_all(wanted.into_iter().map(|wanted| call(&ctx, wanted))).await
}

/// Makes a call and catches its failure. Returns the types and messages of the failure and its causes.
#[orchestrator]
async fn foreign_failure(ctx: Context, wanted: Call) -> Result<Vec<(String, String)>> {
    match call(&ctx, wanted).await {
        Ok(value) => Err(Error::message_only(format!("it did not fail: {value}"))),
        Err(error) => Ok(error.chain().iter().map(|f| (f.error_type.clone(), f.message.clone())).collect()),
    }
}

/// A call that has so much time.
#[derive(Serialize, Deserialize)]
struct Race {
    call: Call,
    millis: u64,
}

/// Makes a call, but waits no longer than so many milliseconds for its result.
#[orchestrator]
async fn foreign_race(ctx: Context, Race { call: wanted, millis }: Race) -> Result<Value> {
    match ctx.timeout(Duration::from_millis(millis), call(&ctx, wanted)).await {
        Ok(result) => result,
        Err(_) => Ok(Value::from("timed out")),
    }
}

/// What was taken so far, and how much is wanted.
#[derive(Serialize, Deserialize)]
struct Taken {
    taken: Vec<Value>,
    count: usize,
}

/// Takes one event `item` a generation, and keeps those that it did not take.
#[orchestrator]
async fn foreign_items(ctx: Context, Taken { mut taken, count }: Taken) -> Result<Vec<Value>> {
    ctx.set_custom_status("taking")?;
    taken.push(ctx.event("item").await?);
    if taken.len() == count {
        return Ok(taken);
    }
    ctx.continue_as_new(&Taken { taken, count })
}

durawasm_guest::component!(foreign_call, foreign_calls, foreign_failure, foreign_race, foreign_items);
