//! What the embedded store costs: episodes per second, reads, and an opening after a kill.
//!
//! `cargo run --release -p durawasm-scheduler --example store_bench -- [FOLDER]`; the folder decides which disk is measured.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use durawasm_proto::durabletask as pb;
use durawasm_proto::durabletask::history_event::EventType;
use durawasm_scheduler::core::batch::Batch;
use durawasm_scheduler::core::ids::{ExecutionId, InstanceId, InstanceKey, RunId};
use durawasm_scheduler::core::record::{InboxEntry, InstanceRecord, Status, StoredEvent};
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::store::sqlite::{SqliteOptions, SqliteStore};
use durawasm_scheduler::store::{Store, StoreError};

/// Episodes of an instance: five activities, each answered in its own episode.
const EPISODES: u64 = 6;

fn main() -> Result<(), StoreError> {
    let root = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = root.join(format!("durawasm-store-bench-{}", std::process::id()));
    let io = |e: std::io::Error| StoreError::Io(format!("{}: {e}", folder.display()));
    std::fs::create_dir_all(&folder).map_err(io)?;
    println!(
        "Store in {}; an episode is 3 events, its instance's row, one event consumed and one received.",
        root.display()
    );
    let result = fsyncs(&folder).map_err(io).and_then(|()| commits(&folder)).and_then(|()| opening(&folder));
    std::fs::remove_dir_all(&folder).map_err(io)?;
    result
}

fn fsyncs(folder: &Path) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = std::fs::File::create(folder.join("fsync"))?;
    let mut times = Vec::new();
    for _ in 0..200 {
        file.write_all(&[1; 4_096])?;
        let begin = Instant::now();
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    times.sort();
    println!("fsync of one appended page: median {:?}, p95 {:?}", times[100], times[190]);
    Ok(())
}

fn commits(folder: &Path) -> Result<(), StoreError> {
    println!("\nepisodes a commit   episodes/s   commits/s   CPU µs/episode   commit p50     p99");
    for group in [1, 16, 64] {
        let store = SqliteStore::create(&folder.join(format!("commits-{group}.db")), SqliteOptions::default())?;
        store.recover()?;
        let mut load = Load::new(256.max(group as u64 * 2));
        let cpu = cpu_time();
        let begin = Instant::now();
        let mut times = Vec::new();
        while begin.elapsed() < Duration::from_secs(4) {
            let batch = load.batch(group);
            let commit = Instant::now();
            store.commit(&batch)?;
            times.push(commit.elapsed());
        }
        let (elapsed, cpu) = (begin.elapsed().as_secs_f64(), cpu_time().saturating_sub(cpu));
        let episodes = times.len() * group;
        times.sort();
        println!(
            "{group:>17} {:>12.0} {:>11.0} {:>16.1} {:>12.1?} {:>7.1?}",
            episodes as f64 / elapsed,
            times.len() as f64 / elapsed,
            cpu.as_micros() as f64 / episodes as f64,
            times[times.len() / 2],
            times[times.len() * 99 / 100],
        );
    }
    Ok(())
}

fn opening(folder: &Path) -> Result<(), StoreError> {
    const FINISHED: u64 = 100_000;
    const PENDING: u64 = 10_000;
    let path = folder.join("opening.db");
    let store = SqliteStore::create(&path, SqliteOptions::default())?;
    let mut load = Load::new(2_000);
    while load.finished < FINISHED {
        store.commit(&load.batch(1_000))?;
    }
    let mut batch = Batch::default();
    for _ in 0..PENDING {
        load.start(&mut batch);
    }
    store.commit(&batch)?;
    let finished = InstanceId::trusted(&format!("instance-{:016x}", mixed(3)));
    let pending = InstanceId::trusted(&format!("instance-{:016x}", mixed(load.next - 1)));
    let size = std::fs::metadata(&path).map_or(0, |meta| meta.len());
    println!("\n{} finished and {PENDING} pending instances, {} MiB", load.finished, size >> 20);

    let run = store.view(&finished, false)?.map(|view| view.record.run).unwrap_or_default();
    reads("load of a pending instance", || store.load(&pending).map(|loaded| loaded.is_some()))?;
    reads("view of a finished one, with input", || store.view(&finished, true).map(|view| view.is_some()))?;
    reads("its history, 19 events", || store.history(run, 0, usize::MAX).map(|history| history.len() == 19))?;
    long_history(&store)?;

    // As after a kill: the log is left as it is, with all that was written since the last checkpoint.
    let killed = folder.join("killed.db");
    for suffix in ["", "-wal"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        let copied = std::fs::copy(name(&path), name(&killed));
        copied.map_err(|e| StoreError::Io(e.to_string()))?;
    }
    drop(store);
    for (what, path) in [("after a clean end", path), ("after a kill", killed)] {
        let begin = Instant::now();
        let store = SqliteStore::open(&path, SqliteOptions::default())?;
        let opened = begin.elapsed();
        let recovered = store.recover()?;
        println!(
            "open {what}: {opened:.1?}, recover: {:.1?}, {} active",
            begin.elapsed() - opened,
            recovered.active.len()
        );
    }
    Ok(())
}

fn reads(what: &str, mut read: impl FnMut() -> Result<bool, StoreError>) -> Result<(), StoreError> {
    const READS: u32 = 20_000;
    let begin = Instant::now();
    for _ in 0..READS {
        if !read()? {
            return Err(StoreError::Corrupt(format!("{what}: not found")));
        }
    }
    println!("{what}: {:.1} µs", begin.elapsed().as_secs_f64() * 1e6 / f64::from(READS));
    Ok(())
}

/// A history of 100,000 events, read in pages of 256 KiB.
fn long_history(store: &SqliteStore) -> Result<(), StoreError> {
    let run = RunId(7 << 32);
    let mut batch = Batch::default();
    batch.append(run, 0, (0..100_000).map(completed_task).collect());
    let begin = Instant::now();
    store.commit(&batch)?;
    let written = begin.elapsed();
    let begin = Instant::now();
    let mut count = 0;
    loop {
        let page = store.history(run, count, 256 << 10)?;
        if page.is_empty() {
            break;
        }
        count += page.len() as u64;
    }
    println!(
        "a history of {count} events: written in {written:.1?}, read in pages of 256 KiB in {:.1?}",
        begin.elapsed()
    );
    Ok(())
}

/// Instances that go through their episodes in turn.
struct Load {
    running: Vec<InstanceRecord>,
    turn: usize,
    next: u64,
    finished: u64,
    width: u64,
}

impl Load {
    fn new(width: u64) -> Self {
        Self { running: Vec::new(), turn: 0, next: 1, finished: 0, width }
    }

    fn batch(&mut self, episodes: usize) -> Batch {
        let mut batch = Batch::default();
        for _ in 0..episodes {
            while (self.running.len() as u64) < self.width {
                let record = self.start(&mut batch);
                self.running.push(record);
            }
            self.turn = (self.turn + 1) % self.running.len();
            self.episode(&mut batch);
        }
        batch
    }

    fn start(&mut self, batch: &mut Batch) -> InstanceRecord {
        let number = self.next;
        self.next += 1;
        let record = InstanceRecord {
            key: InstanceKey((1 << 32) + number),
            id: InstanceId::trusted(&format!("instance-{:016x}", mixed(number))),
            run: RunId((1 << 32) + number),
            execution: ExecutionId::new(&format!("{number:032x}")),
            name: "hello_cities".into(),
            version: Some("1.0.0".into()),
            status: Status::Pending,
            created_at: Timestamp::from_micros(1_700_000_000_000_000),
            updated_at: Timestamp::from_micros(1_700_000_000_000_000),
            completed_at: None,
            scheduled_start: None,
            custom_status: None,
            inherited_status: false,
            parent: None,
            tags: Default::default(),
            trace: None,
            caller_trace: None,
            history_len: 0,
            history_bytes: 0,
            last_episode_at: Timestamp::from_micros(0),
            base: None,
            inbox_next: 1,
            inbox_len: 1,
            open_activities: 0,
            open_children: 0,
            parked: None,
            fuel: None,
            section: None,
        };
        let started = pb::ExecutionStartedEvent {
            name: "hello_cities".into(),
            input: Some("{\"n\":5}".into()),
            ..Default::default()
        };
        batch.put_inbox(record.key, InboxEntry { seq: 0, stored: event(EventType::ExecutionStarted(started.into())) });
        batch.put_instance(&record);
        record
    }

    fn episode(&mut self, batch: &mut Batch) {
        let record = &mut self.running[self.turn];
        let number = record.history_len / 3 + 1;
        let ends = number == EPISODES;
        let scheduled =
            pb::TaskScheduledEvent { name: "say_hello".into(), input: Some("\"Tokyo\"".into()), ..Default::default() };
        let mut events =
            vec![event(EventType::OrchestratorStarted(pb::OrchestratorStartedEvent {})), completed_task(number as i32)];
        if record.history_len == 0 {
            let started = pb::ExecutionStartedEvent { name: "hello_cities".into(), ..Default::default() };
            events[1] = event(EventType::ExecutionStarted(started.into()));
        }
        batch.delete_inbox(record.key, record.inbox_next - 1);
        events.push(event(EventType::TaskScheduled(scheduled)));
        if ends {
            let completed = pb::ExecutionCompletedEvent { result: Some("[]".into()), ..Default::default() };
            events.push(event(EventType::ExecutionCompleted(completed)));
            batch.end_run(record.run);
            (record.status, record.inbox_len) = (Status::Completed, 0);
            record.completed_at = Some(record.updated_at);
        } else {
            batch.put_inbox(record.key, InboxEntry { seq: record.inbox_next, stored: completed_task(number as i32) });
            (record.status, record.inbox_len, record.inbox_next) = (Status::Running, 1, record.inbox_next + 1);
        }
        let first = record.history_len;
        record.history_len += events.len() as u64;
        batch.append(record.run, first, events);
        batch.put_instance(record);
        if ends {
            self.running.swap_remove(self.turn);
            self.finished += 1;
        }
    }
}

fn completed_task(id: i32) -> StoredEvent {
    event(EventType::TaskCompleted(pb::TaskCompletedEvent {
        task_scheduled_id: id,
        result: Some("\"Hello, Tokyo!\"".into()),
    }))
}

fn event(event_type: EventType) -> StoredEvent {
    let timestamp = Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 123_456_000 });
    StoredEvent { event: pb::HistoryEvent { event_id: -1, timestamp, event_type: Some(event_type) }, answers: Some(1) }
}

/// Spreads ids as random ones would be.
const fn mixed(number: u64) -> u64 {
    (number ^ (number >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The process's CPU time so far, where the system tells (Linux); else zero.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}
