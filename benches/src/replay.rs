//! Replay: a long history through a fresh component instance, in process, on one core.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use durawasm_host::orchestration::{Decision, Limits, Session, Turn, history_event};
use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::{CodeCache, Engines, Orchestrator, SandboxLimits};
use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

pub(crate) fn run(quick: bool) -> Result<()> {
    let engines = Engines::new()?;
    let durability = load(&durawasm_tests::test_guests().join("test_durability.wasm"), &engines)?;
    let fan_out = load(&durawasm_tests::examples().join("fan_out.wasm"), &engines)?;
    println!("Wire events to domain events to the guest, with every action checked against the history; one core.\n");
    println!("| history | events | time (median of 5) | events/s |");
    println!("|---|---|---|---|");
    let sizes: &[u64] = if quick { &[10_000] } else { &[10_000, 100_000] };
    for &size in sizes {
        let chain = Drive { component: &durability, name: "count", per_activity: 3 };
        chain.measure("a chain of activities, one after the other", size, |n| format!(r#"{{"to":{n},"millis":0}}"#))?;
        let fan = Drive { component: &fan_out, name: "fan_out", per_activity: 2 };
        fan.measure("a fan-out of activities, all at once", size, |n| format!(r#"{{"count":{n}}}"#))?;
    }
    Ok(())
}

/// Loads a component from a file.
pub(crate) fn load(path: &Path, engines: &Engines) -> Result<LoadedComponent> {
    let bytes = std::fs::read(path).with_context(|| format!("{}: run `cargo xtask setup`", path.display()))?;
    LoadedComponent::load(&bytes, engines, &CodeCache::none(), SandboxLimits::default()).map_err(|e| anyhow!("{e}"))
}

/// A session that has not begun.
pub(crate) fn session(component: &LoadedComponent, id: &str) -> Result<Session<Orchestrator>> {
    let code = component.orchestrator_code().context("it has orchestrators")?;
    let guest = Orchestrator::new(Arc::clone(code));
    Ok(Session::new(guest, id, Arc::clone(component.program()), Limits::default()))
}

struct Drive<'a> {
    component: &'a LoadedComponent,
    name: &'a str,
    per_activity: u64,
}

impl Drive<'_> {
    fn measure(&self, label: &str, events: u64, input: impl Fn(u64) -> String) -> Result<()> {
        let (history, last) = self.live(&input(events / self.per_activity))?;
        let mut times = Vec::new();
        for _ in 0..5 {
            let (past, new) = (history.clone(), last.clone());
            let mut session = session(self.component, "replayed")?;
            let begin = Instant::now();
            let turn = apply(&mut session, past, new)?;
            times.push(begin.elapsed());
            ensure!(turn.ended, "the replay reaches the end");
        }
        times.sort_unstable();
        let count = history.len() + last.len();
        let rate = count as f64 / times[2].as_secs_f64();
        println!("| {label} | {count} | {:?} | {rate:.0} |", times[2]);
        Ok(())
    }

    /// Runs the orchestrator live against activities that answer with a number; returns its history and the last episode.
    fn live(&self, input: &str) -> Result<(Vec<pb::HistoryEvent>, Vec<pb::HistoryEvent>)> {
        let mut clock = 1_800_000_000;
        let mut session = session(self.component, "replayed")?;
        let started = pb::ExecutionStartedEvent {
            name: self.name.into(),
            input: Some(input.into()),
            orchestration_instance: Some(pb::OrchestrationInstance {
                instance_id: "replayed".into(),
                execution_id: None,
            }),
            ..Default::default()
        };
        let mut history = Vec::new();
        let mut new = vec![
            event(-1, clock, EventType::OrchestratorStarted(pb::OrchestratorStartedEvent {})),
            event(-1, clock, EventType::ExecutionStarted(Box::new(started))),
        ];
        loop {
            let turn = apply(&mut session, Vec::new(), new.clone())?;
            if turn.ended {
                return Ok((history, new));
            }
            history.append(&mut new);
            clock += 1;
            new.push(event(-1, clock, EventType::OrchestratorStarted(pb::OrchestratorStartedEvent {})));
            for action in turn.actions {
                let Decision::Activity { name, input, .. } = action.decision else { continue };
                let number = serde_json::from_str::<serde_json::Value>(input.as_deref().unwrap_or("0"))?;
                let scheduled = pb::TaskScheduledEvent { name, input, ..Default::default() };
                history.push(event(action.id, clock, EventType::TaskScheduled(scheduled)));
                let result = Some(number["number"].as_u64().unwrap_or(1).to_string());
                let completed = pb::TaskCompletedEvent { task_scheduled_id: action.id, result };
                new.push(event(-1, clock, EventType::TaskCompleted(completed)));
            }
        }
    }
}

fn apply(session: &mut Session<Orchestrator>, past: Vec<pb::HistoryEvent>, new: Vec<pb::HistoryEvent>) -> Result<Turn> {
    let turn = session.apply(past.into_iter().map(history_event), new.into_iter().map(history_event));
    turn.map_err(|park| anyhow!("{park:?}"))
}

/// A history event of the wire.
pub(crate) fn event(id: i32, seconds: i64, event_type: EventType) -> pb::HistoryEvent {
    let timestamp = Some(prost_types::Timestamp { seconds, nanos: 0 });
    pb::HistoryEvent { event_id: id, timestamp, event_type: Some(event_type) }
}

/// The first episode of an orchestration.
pub(crate) fn first_episode(name: &str, input: Option<&str>) -> Vec<durawasm_host::orchestration::HistoryEvent> {
    let started = pb::ExecutionStartedEvent { name: name.into(), input: input.map(Into::into), ..Default::default() };
    let events = [
        event(-1, 1_800_000_000, EventType::OrchestratorStarted(pb::OrchestratorStartedEvent {})),
        event(-1, 1_800_000_000, EventType::ExecutionStarted(Box::new(started))),
    ];
    events.into_iter().map(history_event).collect()
}

/// The median of some times.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
