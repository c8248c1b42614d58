//! What listings cost over a million instances, deleting five hundred, and bringing such a file from format 1 to the newest.
//!
//! `cargo run --release -p durawasm-scheduler --example listing_bench -- [FOLDER] [INSTANCES]`

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use durawasm_proto::durabletask as pb;
use durawasm_proto::durabletask::history_event::EventType;
use durawasm_scheduler::core::batch::Batch;
use durawasm_scheduler::core::ids::{ExecutionId, InstanceId, InstanceKey, RunId};
use durawasm_scheduler::core::record::{InstanceRecord, Status, StoredEvent};
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::store::sqlite::{SqliteOptions, SqliteStore};
use durawasm_scheduler::store::{InstanceFilter, InstanceOrder, PageSize, Place, Store, StoreError};

/// The first is created at this time, each later one a millisecond after the one before.
const EPOCH: i64 = 1_700_000_000_000_000;

/// Instances that go into one batch.
const GROUP: u64 = 5_000;

fn main() -> Result<(), StoreError> {
    let mut arguments = std::env::args_os().skip(1);
    let root = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let count = arguments.next().and_then(|text| text.to_str()?.parse().ok()).unwrap_or(1_000_000_u64);
    let folder = root.join(format!("durawasm-listing-bench-{}", std::process::id()));
    let io = |e: std::io::Error| StoreError::Io(format!("{}: {e}", folder.display()));
    std::fs::create_dir_all(&folder).map_err(io)?;
    let result = measure(&folder.join("hub.db"), count);
    std::fs::remove_dir_all(&folder).map_err(io)?;
    result
}

fn measure(path: &Path, count: u64) -> Result<(), StoreError> {
    let store = SqliteStore::create(path, SqliteOptions::default())?;
    let begin = Instant::now();
    for first in (0..count).step_by(GROUP as usize) {
        let mut batch = Batch::default();
        (first..first + GROUP).for_each(|number| put(&mut batch, number));
        store.commit(&batch)?;
    }
    let written = begin.elapsed();
    drop(store);
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    println!("{count} instances written in {written:.1?}, {} MiB", size >> 20);
    let store = SqliteStore::open(path, SqliteOptions::default())?;
    store.recover()?;
    listings(&store, count)?;
    deletion(&store)?;
    drop(store);
    migration(path)
}

fn listings(store: &SqliteStore, count: u64) -> Result<(), StoreError> {
    let at = |part: f64| Some(Timestamp::from_micros(EPOCH + (count as f64 * part) as i64 * 1_000));
    let all = InstanceFilter::default();
    let of = |statuses: &[Status]| InstanceFilter { statuses: statuses.to_vec(), ..InstanceFilter::default() };
    let (created, completed) = (InstanceOrder::Created, InstanceOrder::Completed);
    let filters = [
        ("all", created, all.clone()),
        ("all, by their ends", completed, all.clone()),
        ("running (1 in 1,000)", created, of(&[Status::Running])),
        ("failed or pending", created, of(&[Status::Failed, Status::Pending])),
        ("failed (1 in 100), by their ends", completed, of(&[Status::Failed])),
        ("suspended (none)", created, of(&[Status::Suspended])),
        (
            "created in the middle tenth",
            created,
            InstanceFilter { created_from: at(0.45), created_to: at(0.55), ..all.clone() },
        ),
        ("completed in the last tenth", created, InstanceFilter { completed_from: at(0.9), ..all.clone() }),
        ("prefix of 1 in 16", created, InstanceFilter { id_prefix: Some("order-a".into()), ..all.clone() }),
        (
            "prefix of all, failed",
            created,
            InstanceFilter { id_prefix: Some("order-".into()), ..of(&[Status::Failed]) },
        ),
        (
            "prefix of all, none fits",
            created,
            InstanceFilter { id_prefix: Some("order-".into()), ..of(&[Status::Suspended]) },
        ),
        (
            "prefix of 1 in 4,096, by their ends",
            completed,
            InstanceFilter { id_prefix: Some("order-abc".into()), ..all.clone() },
        ),
        (
            "all at once",
            created,
            InstanceFilter {
                created_from: at(0.1),
                created_to: at(0.9),
                completed_from: at(0.2),
                completed_to: at(0.8),
                ..of(&[Status::Failed, Status::Completed])
            },
        ),
    ];
    println!("\nlisting of pages of 100, with inputs       first     p50     p99    most   pages   shown");
    for (what, order, filter) in filters {
        let mut after: Option<Place> = None;
        let (mut times, mut shown) = (Vec::new(), 0);
        while times.len() < 200 {
            let begin = Instant::now();
            let size = PageSize { instances: 100, bytes: 4 << 20, inputs: true };
            let page = store.list(&filter, order, after.as_ref(), size)?;
            times.push(begin.elapsed());
            shown += page.instances.len();
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let (first, pages) = (times[0], times.len());
        times.sort();
        let part = |part: f64| ms(times[((pages - 1) as f64 * part) as usize]);
        println!(
            "{what:<38} {:>9} {:>7} {:>7} {:>7} {pages:>7} {shown:>7}",
            ms(first),
            part(0.5),
            part(0.99),
            part(1.0)
        );
    }
    Ok(())
}

fn ms(time: Duration) -> String {
    format!("{:.2}ms", time.as_secs_f64() * 1e3)
}

/// Five hundred instances with their histories, as one purge takes them.
fn deletion(store: &SqliteStore) -> Result<(), StoreError> {
    let mut times = Vec::new();
    for round in 0..10_u64 {
        let mut batch = Batch::default();
        for number in 0..500 {
            // From all over the file.
            let number = number * 2_000 + round;
            batch.drop_instance(InstanceKey(key(number)), RunId(key(number)));
        }
        let begin = Instant::now();
        store.commit(&batch)?;
        times.push(begin.elapsed());
    }
    times.sort();
    println!("\n500 instances with histories deleted: {} at the median, {} at most", ms(times[5]), ms(times[9]));
    Ok(())
}

/// The file as format 1 had it, opened.
fn migration(path: &Path) -> Result<(), StoreError> {
    let io = |e: rusqlite::Error| StoreError::Io(e.to_string());
    // Through the store's own file access, so that pages get their checksums.
    let file =
        rusqlite::Connection::open_with_flags_and_vfs(path, rusqlite::OpenFlags::default(), c"durawasm").map_err(io)?;
    file.execute_batch(
        "DROP INDEX instances_by_creation; DROP INDEX instances_by_end; DROP INDEX instances_by_parent;
        ALTER TABLE instances DROP COLUMN parent; PRAGMA user_version = 1; PRAGMA wal_checkpoint(TRUNCATE);",
    )
    .map_err(io)?;
    file.close().map_err(|(_, e)| io(e))?;
    let begin = Instant::now();
    let store = SqliteStore::open(path, SqliteOptions::default())?;
    let opened = begin.elapsed();
    store.recover()?;
    println!("brought from format 1 to the newest in {opened:.1?}, at work after {:.1?}", begin.elapsed());
    Ok(())
}

const fn key(number: u64) -> u64 {
    (1 << 32) + number
}

/// An instance with a history, most of them completed.
fn put(batch: &mut Batch, number: u64) {
    let created_at = Timestamp::from_micros(EPOCH + number.cast_signed() * 1_000);
    let mixed = (number ^ (number >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let status = match mixed % 1_000 {
        0 => Status::Running,
        1 => Status::Pending,
        2..12 => Status::Failed,
        _ => Status::Completed,
    };
    let ends = Duration::from_micros(mixed >> 20 & 0x1f_ffff);
    let started = pb::ExecutionStartedEvent {
        name: "hello_cities".into(),
        input: Some("{\"n\":5}".into()),
        ..Default::default()
    };
    let mut events = vec![
        event(EventType::OrchestratorStarted(pb::OrchestratorStartedEvent {})),
        event(EventType::ExecutionStarted(started.into())),
    ];
    for id in 0..5 {
        let done = pb::TaskCompletedEvent { task_scheduled_id: id, result: Some("\"Hello, Tokyo!\"".into()) };
        events.push(event(EventType::TaskCompleted(done)));
    }
    if status.is_terminal() {
        let completed = pb::ExecutionCompletedEvent { result: Some("[]".into()), ..Default::default() };
        events.push(event(EventType::ExecutionCompleted(completed)));
    }
    batch.put_instance(&InstanceRecord {
        key: InstanceKey(key(number)),
        id: InstanceId::trusted(&format!("order-{mixed:016x}")),
        run: RunId(key(number)),
        execution: ExecutionId::new(&format!("{number:032x}")),
        name: "hello_cities".into(),
        version: Some("1.0.0".into()),
        status,
        created_at,
        updated_at: created_at,
        completed_at: status.is_terminal().then(|| created_at.after(ends)),
        scheduled_start: None,
        custom_status: None,
        inherited_status: false,
        parent: None,
        tags: Default::default(),
        trace: None,
        caller_trace: None,
        history_len: events.len() as u64,
        history_bytes: 500,
        last_episode_at: created_at,
        base: None,
        inbox_next: 1,
        inbox_len: 0,
        open_activities: 0,
        open_children: 0,
        parked: None,
        fuel: None,
        section: None,
    });
    batch.append(RunId(key(number)), 0, events);
}

fn event(event_type: EventType) -> StoredEvent {
    let timestamp = Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 123_456_000 });
    StoredEvent { event: pb::HistoryEvent { event_id: -1, timestamp, event_type: Some(event_type) }, answers: None }
}
