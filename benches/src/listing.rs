//! Listings: pages of 100 out of a million instances, with filters of all kinds.

use std::time::{Duration, Instant};

use anyhow::Result;
use durawasm_proto::durabletask as pb;
use durawasm_scheduler::core::batch::Batch;
use durawasm_scheduler::core::ids::{ExecutionId, InstanceId, InstanceKey, RunId};
use durawasm_scheduler::core::record::{InstanceRecord, Status, StoredEvent};
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::store::Store as _;
use durawasm_scheduler::store::directory::{DataDir, HubName};
use durawasm_tests::cluster::{Scheduler, SchedulerOptions};
use pb::OrchestrationStatus as Wire;
use pb::history_event::EventType;

use crate::scripted;

/// When the first one was created, in microseconds; each is a second after the one before.
const EPOCH: i64 = 1_700_000_000_000_000;
const PAGES: usize = 40;

pub(crate) async fn run(quick: bool) -> Result<()> {
    let count: u64 = if quick { 20_000 } else { 1_000_000 };
    let mut scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    scheduler.process.stop().await?;
    let begin = Instant::now();
    fill(scheduler.data(), count)?;
    println!("- a store with {count} instances, written in {:.0} s", begin.elapsed().as_secs_f64());
    scheduler.restart().await?;
    let time = |number: u64| Some(prost_types::Timestamp { seconds: EPOCH / 1_000_000 + number as i64, nanos: 0 });
    let status = |status: Wire| vec![i32::from(status)];
    let query = pb::InstanceQuery { max_instance_count: 100, ..Default::default() };
    let half = count / 2;
    let filters = [
        ("all", query.clone()),
        ("all, with inputs and outputs", pb::InstanceQuery { fetch_inputs_and_outputs: true, ..query.clone() }),
        ("completed", pb::InstanceQuery { runtime_status: status(Wire::Completed), ..query.clone() }),
        ("failed (1 in 1,000)", pb::InstanceQuery { runtime_status: status(Wire::Failed), ..query.clone() }),
        (
            "failed or running",
            pb::InstanceQuery {
                runtime_status: [status(Wire::Failed), status(Wire::Running)].concat(),
                ..query.clone()
            },
        ),
        ("suspended (none is)", pb::InstanceQuery { runtime_status: status(Wire::Suspended), ..query.clone() }),
        ("created in the second half", pb::InstanceQuery { created_time_from: time(half), ..query.clone() }),
        (
            "failed, created in a tenth in the middle",
            pb::InstanceQuery {
                runtime_status: status(Wire::Failed),
                created_time_from: time(half),
                created_time_to: time(half + count / 10),
                ..query.clone()
            },
        ),
        ("an id's beginning", pb::InstanceQuery { instance_id_prefix: Some("order-7".into()), ..query.clone() }),
        (
            "an id's beginning, failed",
            pb::InstanceQuery {
                instance_id_prefix: Some("order-7".into()),
                runtime_status: status(Wire::Failed),
                ..query.clone()
            },
        ),
        (
            "an id's beginning, created in the last tenth",
            pb::InstanceQuery {
                instance_id_prefix: Some("order-".into()),
                created_time_from: time(count - count / 10),
                ..query.clone()
            },
        ),
    ];
    println!("\n| filter | pages | instances | median | slowest page |\n|---|---|---|---|---|");
    for (name, query) in filters {
        let (pages, shown, mut times) = walk(&scheduler.uri(), query).await?;
        times.sort_unstable();
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        let (median, slowest) = (ms(times[times.len() / 2]), ms(times[times.len() - 1]));
        println!("| {name} | {pages} | {shown} | {median:.2} ms | {slowest:.2} ms |");
    }
    Ok(())
}

/// The first pages of a listing.
async fn walk(uri: &str, mut query: pb::InstanceQuery) -> Result<(usize, usize, Vec<Duration>)> {
    let mut rpc = scripted::connect(uri).await?;
    let (mut shown, mut times) = (0, Vec::new());
    while times.len() < PAGES {
        let begin = Instant::now();
        let request = pb::QueryInstancesRequest { query: Some(query.clone()) };
        let page = rpc.query_instances(request).await?.into_inner();
        times.push(begin.elapsed());
        shown += page.orchestration_state.len();
        query.continuation_token = page.continuation_token;
        if query.continuation_token.is_none() {
            break;
        }
    }
    Ok((times.len(), shown, times))
}

fn fill(data: &std::path::Path, count: u64) -> Result<()> {
    let store = DataDir::open(data)?.open_hub(&HubName::parse("default")?)?;
    let incarnation = store.recover()?.incarnation.0;
    for first in (0..count).step_by(2_000) {
        let mut batch = Batch::default();
        for number in first..(first + 2_000).min(count) {
            put(&mut batch, incarnation << 32 | (number + 1), number);
        }
        store.commit(&batch)?;
    }
    Ok(())
}

fn put(batch: &mut Batch, key: u64, number: u64) {
    let at = Timestamp::from_micros(EPOCH + 1_000_000 * number as i64);
    let status = match number % 1_000 {
        0 => Status::Failed,
        n if n < 50 => Status::Running,
        _ => Status::Completed,
    };
    let event = |kind| StoredEvent {
        event: pb::HistoryEvent { event_id: -1, timestamp: Some(at.into()), event_type: Some(kind) },
        answers: None,
    };
    let started = pb::ExecutionStartedEvent {
        name: "order".into(),
        input: Some(format!("{{\"order\":{number}}}")),
        ..Default::default()
    };
    let mut history = vec![
        event(EventType::OrchestratorStarted(Default::default())),
        event(EventType::ExecutionStarted(Box::new(started))),
    ];
    if status.is_terminal() {
        let completed = pb::ExecutionCompletedEvent {
            orchestration_status: status.to_wire().into(),
            result: Some("\"done\"".into()),
            ..Default::default()
        };
        history.push(event(EventType::ExecutionCompleted(completed)));
    }
    // Ids in another order than creation.
    let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    batch.put_instance(&InstanceRecord {
        key: InstanceKey(key),
        id: InstanceId::trusted(&format!("order-{scattered}-{number}")),
        run: RunId(key),
        execution: ExecutionId::new(&format!("{key:032x}")),
        name: "order".into(),
        version: Some("1.0.0".into()),
        status,
        created_at: at,
        updated_at: at,
        completed_at: status.is_terminal().then_some(at),
        scheduled_start: None,
        custom_status: None,
        inherited_status: false,
        parent: None,
        tags: Default::default(),
        trace: None,
        caller_trace: None,
        history_len: history.len() as u64,
        history_bytes: 100,
        last_episode_at: at,
        base: None,
        inbox_next: 0,
        inbox_len: 0,
        open_activities: 0,
        open_children: 0,
        parked: None,
        fuel: None,
        section: None,
    });
    batch.append(RunId(key), 0, history);
}
