//! Records the histories in `tests/histories/`: what this release's hosts wrote, to be replayed by every later one.
//!
//! `cargo run --release -p durawasm-tests --example record_histories -- RELEASE [COMPONENT…]` after `cargo xtask setup` and `cargo xtask
//! test`; without components, all of them.
//! A folder per release: the components as they were, and a file per instance, as `durawasm history --export` writes it (the oldest are
//! the protocol's `HistoryChunk` as it is). What is recorded is never changed: what is there already is left alone, and the components that
//! are there are those that are run.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use durawasm_client::{EntityId, ExportedHistory, InstanceId, Payload, StartOptions, Wait};
use durawasm_tests::cluster::{World, components, eventually};

/// An instance to record.
struct Case {
    /// The name of the file.
    name: &'static str,
    component: &'static str,
    orchestrator: &'static str,
    version: Option<&'static str>,
    input: Option<&'static str>,
    /// An event to raise, twice.
    event: Option<&'static str>,
    /// An account that another instance has locked meanwhile, which is recorded too.
    busy: Option<&'static str>,
}

const fn case(component: &'static str, orchestrator: &'static str, input: Option<&'static str>) -> Case {
    Case { name: orchestrator, component, orchestrator, version: None, input, event: None, busy: None }
}

const fn durability(orchestrator: &'static str, input: Option<&'static str>) -> Case {
    case("test_durability", orchestrator, input)
}

const fn bank(orchestrator: &'static str, input: &'static str) -> Case {
    case("test_bank", orchestrator, Some(input))
}

/// An instance of version 1.0.0 while version 2.0.0 is the newest.
const fn versioned(name: &'static str, orchestrator: &'static str, input: &'static str) -> Case {
    Case { name, version: Some("1.0.0"), ..case("test_version_one", orchestrator, Some(input)) }
}

const CASES: [Case; 25] = [
    case("hello_cities", "hello_cities", None),
    case("fan_out", "fan_out", Some(r#"{"count":20}"#)),
    Case { event: Some("approval"), ..durability("approval", Some("60000")) },
    Case { name: "approval_timeout", ..durability("approval", Some("30")) },
    Case { event: Some("item"), ..durability("items", Some("2")) },
    durability("count", Some(r#"{"to":4,"millis":1}"#)),
    durability("observe", None),
    durability("retries", Some(r#"{"max":3,"millis":5}"#)),
    durability("retries_by_predicate", Some("5")),
    durability("parent", Some(r#""recorded-child""#)),
    durability("fail_by_activity", None),
    durability("panic_at", Some("true")),
    bank("use_account", r#""a""#),
    bank("break_rules", r#""b""#),
    bank("transfer", r#"{"from":"a","to":"b","amount":5}"#),
    Case { name: "transfer_refused", ..bank("transfer", r#"{"from":"b","to":"a","amount":1000}"#) },
    bank("end_locked", r#"["c","fail"]"#),
    Case { name: "end_locked_again", ..bank("end_locked", r#"["c","again"]"#) },
    bank("fail_around", r#"["d","behind"]"#),
    Case { busy: Some("e"), ..bank("give_up", r#"["e","f"]"#) },
    versioned("continue_on_the_newest", "moves", r#"{"to":"newest"}"#),
    versioned("continue_on_the_same", "moves", r#"{"to":"keep"}"#),
    versioned("continue_on_a_version", "moves", r#"{"to":"2.0.0"}"#),
    versioned("child_of_the_default", "asks", "null"),
    versioned("child_of_a_version", "asks", r#""2.0.0""#),
];

#[tokio::main]
async fn main() -> Result<()> {
    let release = std::env::args().nth(1).context("which release? For instance 0.1")?;
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("histories").join(&release);
    std::fs::create_dir_all(&target)?;
    let wanted: Vec<String> = std::env::args().skip(2).collect();
    let there = |name: &str| ["history", "json"].iter().any(|form| target.join(format!("{name}.{form}")).exists());
    let cases = CASES.into_iter().filter(|case| wanted.is_empty() || wanted.iter().any(|name| name == case.component));
    let cases: Vec<Case> = cases.filter(|case| !there(case.name)).collect();
    let mut files: BTreeSet<String> = cases.iter().map(|case| format!("{}.wasm", case.component)).collect();
    if files.contains("test_version_one.wasm") {
        files.insert("test_version_two.wasm".to_owned());
    }
    let folder = components(&files.iter().map(String::as_str).collect::<Vec<_>>())?;
    for file in &files {
        let (run, kept) = (folder.path().join(file), target.join(file));
        let (from, to) = if kept.exists() { (kept, run) } else { (run, kept) };
        std::fs::copy(from, to)?;
    }
    let world = World::start(folder.path()).await?;
    for case in cases {
        let holder = match case.busy {
            Some(account) => Some(hold(&world, account).await?),
            None => None,
        };
        let id = InstanceId::new(format!("recorded-{}", case.name))?;
        let options =
            StartOptions { id: Some(id.clone()), version: case.version.map(str::to_owned), ..StartOptions::default() };
        world.client.start(case.orchestrator, case.input.map(Payload::from_text), options).await?;
        if let Some(event) = case.event {
            for number in 1..=2 {
                world.client.raise_event(&id, event, Some(Payload::from_text(number.to_string()))).await?;
            }
        }
        record(&world, &id, &target.join(format!("{}.json", case.name))).await?;
        if let Some(holder) = holder {
            world.client.raise_event(&holder, "go on", Some(Payload::from_text("1"))).await?;
            record(&world, &holder, &target.join(format!("{}_holder.json", case.name))).await?;
        }
    }
    Ok(())
}

/// Has an instance lock an account until it hears of an event.
async fn hold(world: &World, account: &str) -> Result<InstanceId> {
    let id =
        world.begin(&format!("holder-of-{account}"), "end_locked", Some(&format!(r#"["{account}","wait"]"#))).await?;
    let entity: EntityId = format!("@account@{account}").parse()?;
    eventually("the account is locked", async || {
        let entity = world.client.get_entity(&entity, false).await?;
        Ok(entity.and_then(|entity| entity.locked_by).map(drop))
    })
    .await?;
    Ok(id)
}

/// Waits for an instance's end, and writes down its history.
async fn record(world: &World, id: &InstanceId, file: &Path) -> Result<()> {
    world.client.wait_for_completion(id, &Wait::at_most(Duration::from_secs(60))).await?;
    let recorded = world.client.history(id).await?.recorded().await?;
    let events = recorded.events().len();
    std::fs::write(file, ExportedHistory { instance_id: id.to_string(), recorded }.to_json())?;
    println!("{}: {events} events", file.display());
    Ok(())
}
