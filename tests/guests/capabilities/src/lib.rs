//! An activity for each way to reach something outside, and orchestrators that call them.

mod partner;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Instant, SystemTime};

use durawasm_guest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wstd::http::{Body, BodyExt as _, Client, Request};

/// A request to make.
#[derive(Serialize, Deserialize)]
struct Ask {
    method: String,
    url: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

/// What a server said, or the error's text.
#[derive(Serialize, Deserialize)]
struct Heard {
    status: u16,
    body: String,
    error: String,
}

/// Makes a request. What goes wrong is data.
#[activity]
fn request(ask: Ask) -> Result<Heard> {
    Ok(wstd::runtime::block_on(send(ask)).unwrap_or_else(|error| Heard {
        status: 0,
        body: String::new(),
        error: format!("{error:?}"),
    }))
}

/// Makes two requests, and fails unless the server says 200 to both.
#[activity]
fn request_twice(ask: Ask) -> Result<()> {
    for _ in 0..2 {
        let again =
            Ask { method: ask.method.clone(), url: ask.url.clone(), headers: BTreeMap::new(), body: String::new() };
        let heard = wstd::runtime::block_on(send(again)).map_err(|error| Error::new("Unreachable", error))?;
        ensure!(heard.status == 200, "Unhappy"; "the server said {}", heard.status);
    }
    Ok(())
}

async fn send(ask: Ask) -> wstd::http::Result<Heard> {
    let mut request = Request::builder().method(ask.method.as_str()).uri(&ask.url);
    for (name, value) in &ask.headers {
        request = request.header(name, value);
    }
    let response = Client::new().send(request.body(Body::from(ask.body))?).await?;
    let status = response.status().as_u16();
    let body = response.into_body().into_boxed_body().collect().await?.to_bytes();
    Ok(Heard { status, body: String::from_utf8_lossy(&body).into_owned(), error: String::new() })
}

/// All environment variables.
#[activity]
fn environment() -> Result<BTreeMap<String, String>> {
    Ok(std::env::vars().collect())
}

/// A file's content, or the error's text.
#[activity]
fn read(path: String) -> Result<String> {
    Ok(std::fs::read_to_string(path).unwrap_or_else(|error| format!("error: {error}")))
}

/// Writes a file; returns an empty text, or the error's.
#[activity]
fn write(path: String) -> Result<String> {
    Ok(std::fs::write(path, "written by a guest").map_or_else(|error| format!("error: {error}"), |()| String::new()))
}

/// Makes a symbolic link to a place outside and reads through it.
#[activity]
fn read_by_link((target, link): (String, String)) -> Result<String> {
    #[allow(deprecated, reason = "the only way to make one on this target")]
    if let Err(error) = std::fs::soft_link(target, &link) {
        return Ok(format!("error: {error}"));
    }
    Ok(std::fs::read_to_string(link).unwrap_or_else(|error| format!("error: {error}")))
}

/// The time of day.
#[activity]
fn wall_clock() -> Result<Timestamp> {
    Ok(SystemTime::now().into())
}

/// How long a moment takes.
#[activity]
fn monotonic_clock() -> Result<u64> {
    let before = Instant::now();
    std::thread::sleep(Duration::from_millis(1));
    Ok(u64::try_from(before.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

/// Secure random numbers.
#[activity]
fn secure_random() -> Result<Vec<u8>> {
    Ok(wasip2::random::random::get_random_bytes(16))
}

/// All that a pure activity could tell two runs apart with.
#[activity]
fn observe(ctx: ActivityContext, input: Value) -> Result<Value> {
    let map: HashMap<u32, u32> = (0..100).map(|n| (n, n)).collect();
    let set: HashSet<String> = (0..100).map(|n| n.to_string()).collect();
    let boxed = Box::new(0_u8);
    let on_stack = 0_u8;
    let grown = vec![0_u8; 3 << 20];
    let zero = std::hint::black_box(0.0_f64);
    let stdout = wasip2::cli::stdout::get_stdout();
    let pollable = stdout.subscribe();
    Ok(serde_json::json!({
        "call": ctx.call_id(),
        "input": input,
        "map": map.keys().collect::<Vec<_>>(),
        "set": set.iter().collect::<Vec<_>>(),
        "heap": format!("{:p}", &*boxed),
        "stack": format!("{:p}", &raw const on_stack),
        "grown": format!("{:p}", grown.as_ptr()),
        "nan": (zero / zero).to_bits().to_string(),
        "seed": format!("{:?}", wasip2::random::insecure_seed::insecure_seed()),
        "insecure": wasip2::random::insecure::get_insecure_random_bytes(64),
        "environment": std::env::vars().collect::<Vec<_>>(),
        "arguments": std::env::args().collect::<Vec<_>>(),
        "directory": std::fs::read_dir("/").map(|_| ()).map_err(|error| error.to_string()).err(),
        "stream handle": stdout.handle(),
        "pollable handle": pollable.handle(),
        "backtrace": std::backtrace::Backtrace::force_capture().to_string(),
    }))
}

/// Tells a secret to everybody who listens, and fails with it.
#[activity]
fn leak(name: String) -> Result<()> {
    let secret = std::env::var(name)?;
    println!("on standard output: {secret}");
    eprintln!("on standard error: {secret}");
    Err(Error::new("Leak", format!("the secret is {secret}")).with_property("secret", &secret))
}

/// What an orchestrator sees of the environment.
#[orchestrator]
async fn orchestrator_environment(_ctx: Context) -> Result<BTreeMap<String, String>> {
    Ok(std::env::vars().collect())
}

/// Calls one of the activities with an input, and returns its result.
#[orchestrator]
async fn call(ctx: Context, (name, input): (String, Value)) -> Result<Value> {
    ctx.call_named(name, &input).await
}

/// Makes two calls that each make two requests, and are tried again when the server is unhappy.
#[orchestrator]
async fn effects(ctx: Context, url: String) -> Result<()> {
    for _ in 0..2 {
        let ask = Ask { method: "POST".to_owned(), url: url.clone(), headers: BTreeMap::new(), body: String::new() };
        ctx.call(request_twice, ask).retry(Retry::attempts(5).first(Duration::from_millis(10))).await?;
    }
    Ok(())
}

durawasm_guest::component!(
    request,
    request_twice,
    environment,
    read,
    write,
    read_by_link,
    wall_clock,
    monotonic_clock,
    secure_random,
    observe,
    leak,
    partner::tell_partner,
    orchestrator_environment,
    call,
    effects
);
