//! How many signals a second the scheduler takes and has run, and what idle entities cost. The real scheduler on a real disk, clients and a
//! worker over gRPC, all in this process.
//!
//! `cargo run --release -p durawasm-scheduler --example entity_bench -- [FOLDER]`

mod stand;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use durawasm_proto::durabletask as pb;
use durawasm_scheduler::core::batch::Batch;
use durawasm_scheduler::core::entity::EntityRecord;
use durawasm_scheduler::core::ids::{InstanceId, InstanceKey};
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::store::Store;
use durawasm_scheduler::store::sqlite::{SqliteOptions, SqliteStore};
use stand::{Client, scheduler};

/// Signals that are on their way at the same time.
const CLIENTS: u64 = 256;
const SIGNALS: u64 = 80_000;
const IDLE: u64 = 1_000_000;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let root = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = root.join(format!("durawasm-entity-bench-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        signals(&folder.join("many"), 1_000).await?;
        signals(&folder.join("one"), 1).await?;
        idle(&folder.join("idle")).await
    });
    std::fs::remove_dir_all(&folder)?;
    result
}

/// A worker that counts: each entity's state is how many operations it has run. Adds up what is committed.
async fn work(mut client: Client, done: Arc<AtomicU64>, batches: Arc<AtomicU64>) -> Result<()> {
    let request = pb::GetWorkItemsRequest { max_concurrent_entity_work_items: 1_000, ..Default::default() };
    let mut items = client.get_work_items(request).await?.into_inner();
    while let Some(item) = items.message().await? {
        let Some(pb::work_item::Request::EntityRequestV2(request)) = item.request else { continue };
        let (mut client, done, batches) = (client.clone(), Arc::clone(&done), Arc::clone(&batches));
        tokio::spawn(async move {
            let count = request.operation_requests.len() as u64;
            let before = request.entity_state.as_deref().and_then(|s| s.parse::<u64>().ok()).unwrap_or(0);
            let success = pb::operation_result::ResultType::Success(Default::default());
            let result = pb::EntityBatchResult {
                results: vec![pb::OperationResult { result_type: Some(success) }; request.operation_requests.len()],
                entity_state: Some((before + count).to_string()),
                completion_token: item.completion_token,
                ..Default::default()
            };
            if client.complete_entity_task(result).await.is_ok() {
                done.fetch_add(count, Ordering::Relaxed);
                batches.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    Ok(())
}

/// Signals to so many entities, from many clients at once.
async fn signals(folder: &Path, entities: u64) -> Result<()> {
    let (client, running) = scheduler(folder).await?;
    let (done, batches) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let worker = tokio::spawn(work(client.clone(), Arc::clone(&done), Arc::clone(&batches)));
    let begin = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (mut client, next) = (client.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= SIGNALS {
                        return Ok::<_, tonic::Status>(());
                    }
                    let request = pb::SignalEntityRequest {
                        instance_id: format!("@counter@{}", number % entities),
                        name: "add".into(),
                        input: Some("1".into()),
                        ..Default::default()
                    };
                    client.signal_entity(request).await?;
                }
            })
        })
        .collect();
    for client in clients {
        client.await??;
    }
    let accepted = begin.elapsed();
    while done.load(Ordering::Relaxed) < SIGNALS {
        anyhow::ensure!(
            begin.elapsed() < Duration::from_secs(300),
            "{} of {SIGNALS} have run",
            done.load(Ordering::Relaxed)
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let all = begin.elapsed();
    let rate = |time: Duration| SIGNALS as f64 / time.as_secs_f64();
    println!(
        "{SIGNALS} signals to {entities} entities: {:.0}/s accepted, {:.0}/s run and committed, {:.1} operations a batch",
        rate(accepted),
        rate(all),
        SIGNALS as f64 / batches.load(Ordering::Relaxed) as f64
    );
    worker.abort();
    running.abort();
    Ok(())
}

/// What entities cost that only have a state.
async fn idle(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let store = SqliteStore::create(&folder.join("default.db"), SqliteOptions::default())?;
    store.recover()?;
    for group in 0..IDLE / 10_000 {
        let mut batch = Batch::default();
        for number in group * 10_000..(group + 1) * 10_000 {
            let key = InstanceKey((1 << 32) + number + 1);
            let at = Timestamp::from_micros(1_700_000_000_000_000);
            batch.put_entity(&EntityRecord {
                key,
                id: InstanceId::trusted(&format!("@counter@{:036x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
                created_at: at,
                modified_at: at,
                has_state: true,
                queue_next: 1,
                queued_operations: 0,
                queued_requests: 0,
                held_operations: 0,
                lock: None,
            });
            batch.put_state(key, Some(format!("{{\"count\":{number}}}").into()));
        }
        store.commit(&batch)?;
    }
    drop(store);
    let (before, begin) = (resident()?, Instant::now());
    let (mut client, running) = scheduler(folder).await?;
    let started = begin.elapsed();
    let after = resident()?;
    let begin = Instant::now();
    let query = pb::EntityQuery { include_state: true, page_size: Some(1_000), ..Default::default() };
    let mut request = pb::QueryEntitiesRequest { query: Some(query) };
    let (mut seen, mut longest) = (0, Duration::ZERO);
    loop {
        let asked = Instant::now();
        let page = client.query_entities(request.clone()).await?.into_inner();
        longest = longest.max(asked.elapsed());
        seen += page.entities.len() as u64;
        let Some(token) = page.continuation_token else { break };
        request.query.as_mut().context("it was set")?.continuation_token = Some(token);
    }
    anyhow::ensure!(seen == IDLE, "{seen} of {IDLE} were listed");
    println!(
        "{IDLE} idle entities: the scheduler starts in {:.0} ms and takes {} KiB more; all are listed with their states in {:.1} s, a \
         page of 1,000 in {:.1} ms at most",
        started.as_secs_f64() * 1e3,
        after.saturating_sub(before) >> 10,
        begin.elapsed().as_secs_f64(),
        longest.as_secs_f64() * 1e3
    );
    running.abort();
    Ok(())
}

/// Resident memory in bytes, as Linux tells it.
fn resident() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text.split(' ').nth(1).context("no such figure")?;
    Ok(pages.parse::<u64>()? * 4_096)
}
