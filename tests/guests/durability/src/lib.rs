//! What end-to-end tests need: orchestrators that wait for each kind of thing, fail in each way, and count.

mod features;

use std::cell::RefCell;
use std::rc::Rc;

use durawasm_guest::prelude::*;
use durawasm_guest::rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Waits for the event `approval`, but no longer than so many milliseconds.
#[orchestrator]
async fn approval(ctx: Context, timeout_millis: u64) -> Result<String> {
    ctx.set_custom_status("waiting for the approval")?;
    let event = ctx.event::<Value>("approval");
    match ctx.timeout(Duration::from_millis(timeout_millis), event).await {
        Ok(payload) => Ok(format!("approved with {}", payload?)),
        Err(_) => Ok("timed out".to_owned()),
    }
}

/// Lets a wait for the event `item` lose to a timer, then takes so many of them. Returns the payloads.
#[orchestrator]
async fn items(ctx: Context, count: usize) -> Result<Vec<Value>> {
    let lost = ctx.timeout(Duration::from_millis(1), ctx.event::<Value>("item")).await;
    let mut items: Vec<Value> = lost.into_iter().collect::<Result<_>>()?;
    while items.len() < count {
        items.push(ctx.event("item").await?);
    }
    Ok(items)
}

/// Waits for an event that nobody sends.
#[orchestrator]
async fn forever(ctx: Context) -> Result<()> {
    ctx.event("never").await
}

/// Sleeps for so many milliseconds and returns how many have passed.
#[orchestrator]
async fn sleep(ctx: Context, millis: u64) -> Result<u64> {
    let before = ctx.now();
    ctx.sleep(Duration::from_millis(millis)).await;
    Ok(ctx.now().unix_millis() - before.unix_millis())
}

/// What `count` counts.
#[derive(Serialize, Deserialize)]
struct Count {
    /// So many activities, one after the other.
    to: u64,
    /// How long each of them takes.
    millis: u64,
}

/// Runs activities that take their time, one after the other, and returns their sum.
#[orchestrator]
async fn count(ctx: Context, Count { to, millis }: Count) -> Result<u64> {
    let mut sum = 0;
    for number in 0..to {
        ctx.set_custom_status(&number)?;
        sum += ctx.call(slowly, Slowly { number, millis }).await?;
    }
    Ok(sum)
}

/// Something of a worker in another language.
#[derive(Serialize, Deserialize)]
struct Foreign {
    name: String,
    input: Value,
}

/// Calls an activity by name.
#[orchestrator]
async fn call_foreign(ctx: Context, Foreign { name, input }: Foreign) -> Result<Value> {
    ctx.call_named(name, &input).await
}

/// Runs an orchestration by name as a child.
#[orchestrator]
async fn start_foreign(ctx: Context, Foreign { name, input }: Foreign) -> Result<Value> {
    ctx.start_child_named(name, &input).await
}

/// Runs `sleep` as a child with this id.
#[orchestrator]
async fn parent(ctx: Context, id: String) -> Result<u64> {
    ctx.start_child(sleep, 1).id(id).await
}

/// Starts an activity that it does not wait for, and ends.
#[orchestrator]
async fn forget(ctx: Context) -> Result<()> {
    ctx.call(nothing, ()).forget();
    Ok(())
}

/// Continues as new until nothing is left.
#[orchestrator]
async fn generations(ctx: Context, left: u64) -> Result<u64> {
    if left == 0 {
        return Ok(0);
    }
    ctx.call(nothing, ()).await?;
    ctx.continue_as_new(&(left - 1))
}

/// Calls an activity that fails until this attempt, with a retry policy of the host.
#[orchestrator]
async fn retries(ctx: Context, policy: Attempts) -> Result<String> {
    let retry = Retry::attempts(policy.max).first(Duration::from_millis(policy.millis)).backoff(1.0);
    ctx.call(unstable, "input").retry(retry).await
}

/// A policy.
#[derive(Serialize, Deserialize)]
struct Attempts {
    max: u32,
    millis: u64,
}

/// Asks itself whether to go on: three tries in all, then the failure.
#[orchestrator]
async fn retries_by_predicate(ctx: Context, millis: u64) -> Result<String> {
    let retry = Retry::attempts(9).first(Duration::from_millis(millis)).backoff(1.0);
    let mut asked = 0;
    let again = move |error: &Error| {
        asked += 1;
        asked < 3 && error.error_type() == "Unstable"
    };
    ctx.call(unstable, "input").retry(retry).retry_if(again).await
}

/// What does not come from outside: the same in every replay.
#[derive(Serialize, Deserialize)]
struct Observed {
    now: Timestamp,
    uuid: String,
    random: u64,
    std_now: Timestamp,
}

/// Observes before and after an activity.
#[orchestrator]
async fn observe(ctx: Context) -> Result<Vec<Observed>> {
    let look = || Observed {
        now: ctx.now(),
        uuid: ctx.new_uuid().to_string(),
        random: ctx.random().next_u64(),
        std_now: std::time::SystemTime::now().into(),
    };
    let before = look();
    ctx.call(nothing, ()).await?;
    Ok(vec![before, look()])
}

/// Writes a line before and after an activity.
#[orchestrator]
async fn log_lines(ctx: Context) -> Result<()> {
    log::info!(step = 1; "before");
    ctx.call(nothing, ()).await?;
    log::warn!(step = 2; "after");
    Ok(())
}

/// Fails with an error that has a cause.
#[orchestrator]
async fn fail_with_causes(_ctx: Context) -> Result<u32> {
    "seven".parse::<u32>().context("reading the number")
}

/// Passes on the failure of an activity.
#[orchestrator]
async fn fail_by_activity(ctx: Context) -> Result<()> {
    ctx.call(failing, ()).await.context("calling the activity")
}

/// Panics, first or after an activity.
#[orchestrator]
async fn panic_at(ctx: Context, after: bool) -> Result<()> {
    if after {
        ctx.call(nothing, ()).await?;
    }
    panic!("the orchestrator panics on purpose")
}

/// Returns a text of so many bytes.
#[orchestrator]
async fn large_output(_ctx: Context, bytes: usize) -> Result<String> {
    Ok("x".repeat(bytes))
}

/// What `slowly` does.
#[derive(Serialize, Deserialize)]
struct Slowly {
    number: u64,
    millis: u64,
}

/// Takes its time, then returns the number.
#[activity]
fn slowly(Slowly { number, millis }: Slowly) -> Result<u64> {
    std::thread::sleep(Duration::from_millis(millis));
    Ok(number)
}

/// Blocks for so many milliseconds.
#[activity]
fn block(millis: u64) -> Result<()> {
    std::thread::sleep(Duration::from_millis(millis));
    Ok(())
}

/// Does nothing and returns nothing.
#[activity]
fn nothing() -> Result<()> {
    Ok(())
}

/// Fails every time, with a type that can be tried again.
#[activity]
fn unstable(input: String) -> Result<String> {
    Err(Error::new("Unstable", format!("not yet: {input}")))
}

/// Fails for good, with a cause and a property.
#[activity]
fn failing() -> Result<()> {
    let cause = Error::new("Inner", "the inside broke").with_property("part", &"cog").not_retriable();
    Err(cause.context("the outside noticed"))
}

/// Panics.
#[activity]
fn panicking(message: String) -> Result<()> {
    panic!("{message}")
}

/// Tells what it was told about its call.
#[activity]
fn call_details(ctx: ActivityContext) -> Result<Vec<String>> {
    Ok(vec![ctx.name().to_owned(), ctx.instance_id().to_owned(), ctx.call_id().to_owned()])
}

/// Calls `call_details` with a tag.
#[orchestrator]
async fn details(ctx: Context) -> Result<Vec<String>> {
    ctx.call(call_details, ()).tag("colour", "red").await
}

/// Returns what it was started with.
#[orchestrator]
async fn started_with(ctx: Context, input: Value) -> Result<Value> {
    let tags: Vec<_> = ctx.tags().to_vec();
    let parent = ctx.parent().map(|parent| parent.instance_id.clone());
    Ok(serde_json::json!({
        "name": ctx.name(), "id": ctx.instance_id(), "version": ctx.version(), "tags": tags, "parent": parent, "input": input,
    }))
}

/// Sums up what the event `add` brings, until it has `to` numbers, and answers queries: `numbers` and `sum` say what has come,
/// `above` counts what is above its input, `fails` fails, `acts` tries to call an activity, and `panics` panics.
/// Once the first number has come there is `started` too. Returns the sum.
#[orchestrator]
async fn queried(ctx: Context, to: usize) -> Result<i64> {
    let numbers = Rc::new(RefCell::new(Vec::<i64>::new()));
    let seen = || Rc::clone(&numbers);
    let (all, summed, compared) = (seen(), seen(), seen());
    ctx.on_query("numbers", move |()| Ok(all.borrow().clone()));
    ctx.on_query("sum", move |()| Ok(summed.borrow().iter().sum::<i64>()));
    ctx.on_query("above", move |limit: i64| Ok(compared.borrow().iter().filter(|number| **number > limit).count()));
    ctx.on_query("fails", |()| -> Result<()> { bail!("Unwilling"; "it does not want to say") });
    ctx.on_query("acts", {
        let ctx = ctx.clone();
        move |()| {
            ctx.call(nothing, ()).forget();
            Ok(())
        }
    });
    ctx.on_query("panics", |()| -> Result<()> { panic!("the query panics on purpose") });
    while numbers.borrow().len() < to {
        let number = ctx.event("add").await?;
        numbers.borrow_mut().push(number);
        if numbers.borrow().len() == 1 {
            let first = ctx.now();
            ctx.on_query("started", move |()| Ok(first));
        }
    }
    let sum = numbers.borrow().iter().sum();
    Ok(sum)
}

/// Whom to send what.
#[derive(Serialize, Deserialize)]
struct Message {
    to: String,
    event: String,
    payload: Value,
}

/// Sends an event to another orchestration.
#[orchestrator]
async fn send(ctx: Context, Message { to, event, payload }: Message) -> Result<()> {
    ctx.send_event(to, event, &payload)
}

durawasm_guest::component!(
    approval,
    items,
    forever,
    sleep,
    count,
    call_foreign,
    start_foreign,
    parent,
    forget,
    generations,
    retries,
    retries_by_predicate,
    observe,
    log_lines,
    fail_with_causes,
    fail_by_activity,
    panic_at,
    large_output,
    details,
    started_with,
    send,
    queried,
    features::carry,
    features::first_child,
    features::first_of_four,
    features::background,
    features::trips,
    features::child_retries,
    features::tagged_child,
    slowly,
    block,
    nothing,
    unstable,
    failing,
    panicking,
    call_details,
);
