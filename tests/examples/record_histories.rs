//! Records the histories in `tests/histories/`: what this release's hosts wrote, to be replayed by every later one.
//!
//! `cargo run --release -p durawasm-tests --example record_histories -- RELEASE [COMPONENT…]` after `cargo xtask setup` and `cargo xtask
//! test`; without components, all of them.
//! A folder per release: the components as they were, and a file per instance that holds its history as the protocol's
//! `HistoryChunk`. What is recorded is never changed.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{Payload, Wait};
use durawasm_proto::durabletask as pb;
use durawasm_tests::cluster::{World, components};
use prost::Message as _;

/// An instance to record: its component, orchestrator (or a word for it that begins so), input, and an event to raise.
type Case = (&'static str, &'static str, Option<&'static str>, Option<&'static str>);

const CASES: [Case; 17] = [
    ("hello_cities", "hello_cities", None, None),
    ("fan_out", "fan_out", Some(r#"{"count":20}"#), None),
    ("test_durability", "approval", Some("60000"), Some("approval")),
    ("test_durability", "approval_timeout", Some("30"), None),
    ("test_durability", "items", Some("2"), Some("item")),
    ("test_durability", "count", Some(r#"{"to":4,"millis":1}"#), None),
    ("test_durability", "observe", None, None),
    ("test_durability", "retries", Some(r#"{"max":3,"millis":5}"#), None),
    ("test_durability", "retries_by_predicate", Some("5"), None),
    ("test_durability", "parent", Some(r#""recorded-child""#), None),
    ("test_durability", "fail_by_activity", None, None),
    ("test_durability", "panic_at", Some("true"), None),
    ("test_bank", "use_account", Some(r#""a""#), None),
    ("test_bank", "break_rules", Some(r#""b""#), None),
    ("test_bank", "transfer", Some(r#"{"from":"b","to":"a","amount":0}"#), None),
    ("test_bank", "end_locked", Some(r#"["c","fail"]"#), None),
    ("test_bank", "fail_around", Some(r#"["d","behind"]"#), None),
];

#[tokio::main]
async fn main() -> Result<()> {
    let release = std::env::args().nth(1).context("which release? For instance 0.1")?;
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("histories").join(&release);
    ensure!(!target.exists(), "{} is there already, and what is recorded is never changed", target.display());
    std::fs::create_dir_all(&target)?;
    let wanted: Vec<String> = std::env::args().skip(2).collect();
    let cases = CASES.into_iter().filter(|(component, ..)| wanted.is_empty() || wanted.iter().any(|w| w == component));
    let cases: Vec<Case> = cases.collect();
    let files: BTreeSet<String> = cases.iter().map(|(component, ..)| format!("{component}.wasm")).collect();
    let folder = components(&files.iter().map(String::as_str).collect::<Vec<_>>())?;
    for file in &files {
        std::fs::copy(folder.path().join(file), target.join(file))?;
    }
    let world = World::start(folder.path()).await?;
    for (_, case, input, event) in cases {
        let name = case.trim_end_matches("_timeout");
        let id = world.begin(&format!("recorded-{case}"), name, input).await?;
        if let Some(event) = event {
            for number in 1..=2 {
                world.client.raise_event(&id, event, Some(Payload::from_text(number.to_string()))).await?;
            }
        }
        world.client.wait_for_completion(&id, &Wait::default()).await?;
        let mut service =
            pb::task_hub_sidecar_service_client::TaskHubSidecarServiceClient::connect(world.scheduler.uri()).await?;
        let request = pb::StreamInstanceHistoryRequest {
            instance_id: id.to_string(),
            execution_id: None,
            for_work_item_processing: false,
        };
        let mut stream = service.stream_instance_history(request).await?.into_inner();
        let mut history = pb::HistoryChunk::default();
        while let Some(chunk) = stream.message().await? {
            history.events.extend(chunk.events);
        }
        let file = target.join(format!("{case}.history"));
        std::fs::write(&file, history.encode_to_vec())?;
        println!("{}: {} events", file.display(), history.events.len());
    }
    Ok(())
}
