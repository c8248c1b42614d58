//! Many timers: a million pending, a tenth of them due within a minute.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use durawasm_proto::durabletask::history_event::EventType;
use durawasm_tests::cluster::{Scheduler, SchedulerOptions};
use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::scripted;

/// Timers of an instance: one is due soon, the others much later.
const EACH: i32 = 10;

struct Fired {
    lateness: Histogram<u64>,
    early: u64,
    instances: HashSet<String>,
}

pub(crate) async fn run(quick: bool) -> Result<()> {
    let (count, spread) = if quick { (5_000, Duration::from_secs(5)) } else { (100_000, Duration::from_secs(60)) };
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    // All is set up first; then the soon ones fall due, evenly spread.
    let set_up = if quick { Duration::from_secs(8) } else { Duration::from_secs(100) };
    let first_due = SystemTime::now() + set_up;
    let fired = Arc::new(Mutex::new(Fired { lateness: Histogram::new(3)?, early: 0, instances: HashSet::new() }));
    let (begun, latest) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
    let (seen, counter) = (Arc::clone(&fired), Arc::clone(&begun));
    let _worker = scripted::work(&scheduler.uri(), move |request| {
        let now = SystemTime::now();
        if scripted::begins(request) {
            let number = counter.fetch_add(1, Ordering::Relaxed);
            let due = first_due + spread.mul_f64(number as f64 / count as f64);
            let later = first_due + Duration::from_secs(24 * 3_600);
            let mut actions = vec![scripted::timer(1, due)];
            actions.extend(
                (2..=EACH).map(|id| scripted::timer(id, later + Duration::from_millis(id.unsigned_abs().into()))),
            );
            return actions;
        }
        let due = request.new_events.iter().find_map(|event| match &event.event_type {
            Some(EventType::TimerFired(fired)) => fired.fire_at,
            _ => None,
        });
        let Some(due) = due.and_then(|due| SystemTime::try_from(due).ok()) else { return Vec::new() };
        let mut seen = seen.lock();
        match now.duration_since(due) {
            Ok(late) => seen.lateness.saturating_record(u64::try_from(late.as_micros()).unwrap_or(u64::MAX)),
            Err(_) => seen.early += 1,
        }
        seen.instances.insert(request.instance_id.clone());
        Vec::new()
    })
    .await?;
    let begin = Instant::now();
    scripted::start_many(&scheduler.uri(), "sets_timers", "t", count).await?;
    while begun.load(Ordering::Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let set = begin.elapsed();
    let in_time = SystemTime::now() < first_due;
    println!(
        "- {} timers set in {:.1} s; resident memory of the scheduler then: {} MiB{}",
        count * EACH.unsigned_abs() as usize,
        set.as_secs_f64(),
        scheduler.process.resident_bytes()? >> 20,
        if in_time { "" } else { " (the first ones fell due meanwhile: their lateness includes that)" }
    );
    let deadline = Instant::now() + set_up + spread + Duration::from_secs(120);
    while fired.lock().instances.len() < count {
        ensure!(Instant::now() < deadline, "only {} of {count} timers have fired", fired.lock().instances.len());
        let most = fired.lock().lateness.max();
        latest.fetch_max(most, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let seen = fired.lock();
    ensure!(seen.early == 0, "{} timers fired early", seen.early);
    println!(
        "- {count} of them due within {} s: none early; late by {:.1} ms at the median, {:.1} ms at 99 %, {:.0} ms at most, until a worker has the episode",
        spread.as_secs(),
        seen.lateness.value_at_quantile(0.5) as f64 / 1e3,
        seen.lateness.value_at_quantile(0.99) as f64 / 1e3,
        seen.lateness.max() as f64 / 1e3,
    );
    Ok(())
}
