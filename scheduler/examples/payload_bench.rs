//! What large payloads cost: instances with an input and an output of some MiB through a scheduler over gRPC, with fsync.
//!
//! `cargo run --release -p durawasm-scheduler --example payload_bench -- FOLDER [MIB] [COUNT]`

mod stand;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use durawasm_proto::durabletask as pb;
use rand::{RngExt as _, SeedableRng as _};
use stand::{Client, scheduler};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().context("which folder?")?;
    let mib: usize = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let count: usize = arguments.next().map_or(Ok(50), |text| text.parse())?;
    let folder = Path::new(&folder).join("payload-bench");
    let (mut client, _running) = scheduler(&folder).await?;
    let worker = tokio::spawn(work(client.clone()));
    println!("{count} instances one after the other, {mib} MiB in and {mib} MiB out");
    let mut numbers = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    for (what, random) in [("JSON numbers", true), ("one letter", false)] {
        let texts: Vec<String> = (0..count).map(|n| text(&mut numbers, mib << 20, random, n)).collect();
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        let begin = Instant::now();
        for (n, input) in texts.into_iter().enumerate() {
            let id = format!("{what}-{n}");
            let sent = Instant::now();
            let request = pb::CreateInstanceRequest {
                instance_id: id.clone(),
                name: "echo".into(),
                input: Some(input),
                ..Default::default()
            };
            client.start_instance(request).await?;
            starts.push(sent.elapsed());
            let request = pb::GetInstanceRequest { instance_id: id, get_inputs_and_outputs: true };
            let state = client.wait_for_instance_completion(request).await?.into_inner().orchestration_state;
            anyhow::ensure!(state.is_some_and(|state| state.output.is_some_and(|output| output.len() >= mib << 20)));
            ends.push(sent.elapsed());
        }
        let rate = count as f64 / begin.elapsed().as_secs_f64();
        println!(
            "{what}: {rate:.1} instances/s, start {:?}, start to output {:?} (medians)",
            median(starts),
            median(ends)
        );
    }
    worker.abort();
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// A text that is unlike all others.
fn text(numbers: &mut rand_chacha::ChaCha8Rng, bytes: usize, random: bool, n: usize) -> String {
    let mut text = format!("[{n}");
    while random && text.len() < bytes {
        text.push_str(&format!(",{}", numbers.random::<u32>()));
    }
    text.push_str(&"1".repeat(bytes.saturating_sub(text.len())));
    text.push(']');
    text
}

/// A worker whose orchestrations return their input, with one letter more.
async fn work(mut client: Client) -> Result<()> {
    let mut items = client.get_work_items(pb::GetWorkItemsRequest::default()).await?.into_inner();
    while let Some(item) = items.message().await? {
        let Some(pb::work_item::Request::OrchestratorRequest(request)) = item.request else { continue };
        let input = request.new_events.into_iter().find_map(|event| match event.event_type {
            Some(pb::history_event::EventType::ExecutionStarted(started)) => started.input,
            _ => None,
        });
        let complete = pb::CompleteOrchestrationAction {
            orchestration_status: pb::OrchestrationStatus::Completed.into(),
            result: input.map(|input| input + " "),
            ..Default::default()
        };
        let action = pb::orchestrator_action::OrchestratorActionType::CompleteOrchestration(complete);
        let response = pb::OrchestratorResponse {
            instance_id: request.instance_id,
            completion_token: item.completion_token,
            actions: vec![pb::OrchestratorAction { id: 1, orchestrator_action_type: Some(action) }],
            ..Default::default()
        };
        client.complete_orchestrator_task(response).await?;
    }
    Ok(())
}
