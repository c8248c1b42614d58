//! What instances that only wait cost the scheduler in memory, and what timers cost: through a real partition and a real store.
//!
//! `cargo run --release -p durawasm-scheduler --example idle_bench -- [FOLDER]`. Figures are of resident memory, as Linux tells it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use durawasm_proto::durabletask as pb;
use durawasm_scheduler::core::batch::Batch;
use durawasm_scheduler::core::dispatch::StreamInfo;
use durawasm_scheduler::core::ids::{InstanceId, RequestId, RunId, StreamId};
use durawasm_scheduler::core::message::{Effect, Input, StartRequest};
use durawasm_scheduler::core::partition::{Identity, Limits, Partition};
use durawasm_scheduler::core::pipeline::Pipeline;
use durawasm_scheduler::core::record::TimerRecord;
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::core::timers::Timers;
use durawasm_scheduler::store::committed::Committed;
use durawasm_scheduler::store::sqlite::{SqliteOptions, SqliteStore};
use durawasm_scheduler::store::{Store, StoreError};
use pb::orchestrator_action::OrchestratorActionType as Action;

const INSTANCES: u64 = 100_000;
const TIMERS: u64 = 1_000_000;

/// Starts that go into one batch.
const GROUP: u64 = 500;

fn main() -> Result<(), StoreError> {
    let mut arguments = std::env::args_os().skip(1);
    let root = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let io = |e: std::io::Error| StoreError::Io(format!("{}: {e}", root.display()));
    let Some(part) = arguments.next() else {
        // Each part is a process of its own, so that none uses memory that another has given back.
        for part in ["timers", "groups", "waiting", "recovery"] {
            let program = std::env::current_exe().map_err(io)?;
            std::process::Command::new(program).arg(&root).arg(part).status().map_err(io)?;
        }
        return Ok(());
    };
    let folder = root.join(format!("durawasm-idle-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(io)?;
    let result = match part.to_str() {
        Some("timers") => timers_alone(1),
        Some("groups") => timers_alone(10),
        Some("waiting") => waiting(&folder),
        _ => recovery(&folder),
    };
    std::fs::remove_dir_all(&folder).map_err(io)?;
    result
}

/// The id of an instance, as long as a UUID.
fn id(number: u64) -> InstanceId {
    InstanceId::trusted(&format!("{:036x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

fn timer(number: u64) -> TimerRecord {
    TimerRecord {
        run: RunId((1 << 32) + number),
        position: 2,
        due: Timestamp::from_micros((number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20).cast_signed()),
        timer_id: 1,
        instance: id(number),
    }
}

fn each(elapsed: Duration, count: u64) -> f64 {
    elapsed.as_secs_f64() * 1e6 / count as f64
}

fn timers_alone(of_each: u64) -> Result<(), StoreError> {
    let (before, begin) = (resident(), Instant::now());
    let mut timers = Timers::default();
    for number in 0..TIMERS {
        let of = timer(number / of_each);
        timers.insert(TimerRecord { position: number % of_each, due: timer(number).due, ..of });
    }
    let inserted = begin.elapsed();
    println!(
        "{TIMERS} timers, {of_each} of each instance: {:.0} bytes each, {:.2} µs to set one",
        resident().saturating_sub(before) as f64 / TIMERS as f64,
        each(inserted, TIMERS)
    );
    let begin = Instant::now();
    for number in 0..TIMERS / of_each / 2 {
        timers.remove_run(RunId((1 << 32) + number * 2));
    }
    let removed = begin.elapsed();
    let begin = Instant::now();
    while timers.pop_due(Timestamp::from_micros(i64::MAX)).is_some() {}
    println!(
        "{:.2} µs to forget one, {:.2} µs to take the next",
        each(removed, TIMERS / 2),
        each(begin.elapsed(), TIMERS / 2)
    );
    Ok(())
}

/// Instances that wait for an event, then others that wait for a timer.
fn waiting(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join("waiting.db");
    let mut scheduler = Scheduler::open(&path)?;
    // What there is only once (caches, the first pages) is not counted.
    scheduler.start(0, GROUP, |_| Vec::new())?;
    for (what, first, timers) in [("an event", INSTANCES, 0), ("a timer", 2 * INSTANCES, 1)] {
        let (before, begin) = (resident(), Instant::now());
        scheduler.start(first, INSTANCES, |now| (0..timers).map(|id| create_timer(id, now)).collect())?;
        println!(
            "{INSTANCES} more instances that wait for {what}: {:.0} bytes each; started and brought there at {:.0} µs each",
            resident().saturating_sub(before) as f64 / INSTANCES as f64,
            each(begin.elapsed(), INSTANCES)
        );
    }
    drop(scheduler);
    let begin = Instant::now();
    let scheduler = Scheduler::open(&path)?;
    println!(
        "opened again: {:.2} s, {} timers",
        begin.elapsed().as_secs_f64(),
        scheduler.pipeline.partition().census().timers
    );
    Ok(())
}

/// A store with very many timers is opened.
fn recovery(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join("timers.db");
    let store = SqliteStore::create(&path, SqliteOptions::default())?;
    let begin = Instant::now();
    for first in (0..TIMERS).step_by(10_000) {
        let mut batch = Batch::default();
        (first..first + 10_000).for_each(|number| batch.put_timer(timer(number)));
        store.commit(&batch)?;
    }
    println!("{TIMERS} timers written at {:.2} µs each", each(begin.elapsed(), TIMERS));
    drop(store);
    let begin = Instant::now();
    let scheduler = Scheduler::open(&path)?;
    println!(
        "opened again: {:.2} s, {} timers",
        begin.elapsed().as_secs_f64(),
        scheduler.pipeline.partition().census().timers
    );
    Ok(())
}

fn create_timer(id: i32, now: Timestamp) -> pb::OrchestratorAction {
    let fire_at = Some(now.after(Duration::from_secs(3_600)).into());
    let timer = pb::CreateTimerAction { fire_at };
    pb::OrchestratorAction { id, orchestrator_action_type: Some(Action::CreateTimer(timer)) }
}

/// A partition over a store, with one worker that answers at once.
struct Scheduler {
    store: SqliteStore,
    pipeline: Pipeline,
    now: i64,
    request: u64,
}

impl Scheduler {
    fn open(path: &Path) -> Result<Self, StoreError> {
        let store = SqliteStore::open_or_create(path, SqliteOptions::default())?;
        let recovered = store.recover()?;
        let identity = Identity { hub: "default".into(), incarnation: recovered.incarnation, salt: 7 };
        let now = 1_700_000_000_000_000;
        let partition = Partition::recover(
            identity,
            Limits::default(),
            Timestamp::from_micros(now),
            recovered.active,
            recovered.entities,
            recovered.timers,
        );
        let mut scheduler = Self { store, pipeline: Pipeline::new(partition), now, request: 0 };
        let worker = StreamInfo {
            worker: "worker".into(),
            limits: [1_000, 0, 0],
            filters: None,
            extended: false,
            history_streaming: false,
            answers: false,
            defaults: Default::default(),
        };
        scheduler.handle(Input::Connect(StreamId(1), worker));
        Ok(scheduler)
    }

    fn handle(&mut self, input: Input) {
        self.now += 1;
        self.pipeline.handle(input, Timestamp::from_micros(self.now), &Committed::new(&self.store));
    }

    fn request(&mut self) -> RequestId {
        self.request += 1;
        RequestId(self.request)
    }

    /// Starts instances, and answers their first episodes with these actions.
    fn start(
        &mut self,
        first: u64,
        count: u64,
        actions: impl Fn(Timestamp) -> Vec<pb::OrchestratorAction>,
    ) -> Result<(), StoreError> {
        for group in (first..first + count).step_by(GROUP as usize) {
            for number in group..group + GROUP {
                let start = StartRequest {
                    instance: id(number),
                    fresh: false,
                    execution: None,
                    name: "approval".into(),
                    version: Some("1.0.0".into()),
                    input: Some("{\"order\":17,\"amount\":\"99.90 EUR\"}".into()),
                    scheduled_start: None,
                    tags: Default::default(),
                    trace: None,
                    replaceable: None,
                };
                let request = self.request();
                self.handle(Input::Start(request, Box::new(start)));
            }
            self.work(&actions)?;
        }
        Ok(())
    }

    /// Writes and answers until there is nothing left to do.
    fn work(&mut self, actions: &impl Fn(Timestamp) -> Vec<pb::OrchestratorAction>) -> Result<(), StoreError> {
        loop {
            let mut effects = self.pipeline.flush();
            if let Some((seq, batch)) = self.pipeline.take_batch() {
                self.store.commit(&batch)?;
                effects.extend(self.pipeline.committed(seq));
            } else if effects.is_empty() {
                return Ok(());
            }
            for effect in effects {
                if let Effect::SendEpisode(_, item) = effect {
                    let answer = pb::OrchestratorResponse {
                        instance_id: item.token.instance.as_str().into(),
                        actions: actions(Timestamp::from_micros(self.now)),
                        ..Default::default()
                    };
                    let request = self.request();
                    self.handle(Input::CompleteEpisode(request, item.token, Box::new(answer), None));
                }
            }
        }
    }
}

/// Resident memory in bytes, where the system tells (Linux); else zero.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0) << 10
}
