//! What an orchestration costs whose component carries a language's interpreter: Python and JavaScript. In process.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use durawasm_host::abi::Outcome;
use durawasm_host::orchestration::{Decision, HistoryEvent, history_event};
use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::{CodeCache, Engines, SandboxLimits};
use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;

use crate::instances::own;
use crate::replay::{event, first_episode, median, session};

const COMPONENTS: [(&str, &str, &str); 3] = [
    ("Python (CPython, WASI linked)", "python", "test_python_world.wasm"),
    ("JavaScript (StarlingMonkey, WASI linked)", "js", "test_starlingmonkey.wasm"),
    ("JavaScript (QuickJS, no WASI)", "js", "test_quickjs.wasm"),
];

const CITIES: &str = r#"["Tokyo","Seattle","London","Paris","Berlin"]"#;

pub(crate) fn run(quick: bool) -> Result<()> {
    println!(
        "The compiled code is loaded from its cache. A start ends when the orchestrator has called its first activity.\n"
    );
    println!(
        "| component | size | load | start (median) | five steps in all (median) | memory of a suspended instance (PSS) | mappings |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (label, folder, file) in COMPONENTS {
        measure(label, folder, file, if quick { 50 } else { 500 })?;
    }
    Ok(())
}

fn measure(label: &str, folder: &str, file: &str, count: usize) -> Result<()> {
    let engines = Engines::new()?;
    let folder = durawasm_tests::language_guests().join(folder);
    let bytes = std::fs::read(folder.join(file))?;
    let cache = CodeCache::new(folder.join("code"));
    let load = || {
        LoadedComponent::load(&bytes, &engines, &cache, SandboxLimits::default()).map_err(|error| anyhow!("{error}"))
    };
    // The first one compiles it, if that was never done.
    load()?;
    let begin = Instant::now();
    let component = load()?;
    let loaded = begin.elapsed();

    let (mut starts, mut runs) = (Vec::new(), Vec::new());
    for number in 0..count {
        let (start, run) = drive(&component, &format!("run-{number}"))?;
        starts.push(start);
        runs.push(run);
    }
    let (before, maps) = (own()?, mappings()?);
    let mut suspended = Vec::new();
    for number in 0..count {
        let mut session = session(&component, &format!("suspended-{number}"))?;
        session.apply([], first_episode("cities", Some(CITIES))).map_err(|park| anyhow!("{park:?}"))?;
        suspended.push(session);
    }
    let each = own()?.saturating_sub(before) / 1024 / count as u64;
    let maps = (mappings()? - maps) as f64 / count as f64;
    println!(
        "| {label} | {:.1} MiB | {loaded:.1?} | {:.2?} | {:.2?} | {each} KiB | {maps:.1} |",
        bytes.len() as f64 / f64::from(1 << 20),
        median(starts),
        median(runs),
    );
    Ok(())
}

/// An orchestration with five activities that answer at once: how long its start took, and all of it.
fn drive(component: &LoadedComponent, id: &str) -> Result<(Duration, Duration)> {
    let mut session = session(component, id)?;
    let mut new = first_episode("cities", Some(CITIES));
    let mut start = Duration::ZERO;
    let mut all = Duration::ZERO;
    for step in 0.. {
        let begin = Instant::now();
        let turn = session.apply([], std::mem::take(&mut new)).map_err(|park| anyhow!("{park:?}"))?;
        all += begin.elapsed();
        if step == 0 {
            start = all;
        }
        if turn.ended {
            ensure!(step == 5, "it has five activities");
            break;
        }
        let Some(Decision::Activity { input, .. }) = turn.actions.first().map(|action| &action.decision) else {
            return Err(anyhow!("it calls an activity"));
        };
        new = answered(turn.actions[0].id, Ok(input.clone()));
    }
    Ok((start, all))
}

fn answered(action: i32, outcome: Outcome) -> Vec<HistoryEvent> {
    let seconds = 1_800_000_000 + i64::from(action);
    let completed = pb::TaskCompletedEvent { task_scheduled_id: action, result: outcome.ok().flatten() };
    [
        event(-1, seconds, EventType::OrchestratorStarted(pb::OrchestratorStartedEvent {})),
        event(-1, seconds, EventType::TaskCompleted(completed)),
    ]
    .into_iter()
    .map(history_event)
    .collect()
}

fn mappings() -> Result<usize> {
    Ok(std::fs::read_to_string("/proc/self/maps")?.lines().count())
}
