//! Histories that earlier releases wrote, with the components of their time: every later host replays them to the same end.
//!
//! `tests/histories/RELEASE/` holds them; see `tests/examples/record_histories.rs`. A difference here means that instances in
//! flight would be parked by an upgrade of the host: it is never the recorded file that is wrong.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use durawasm_host::orchestration::{Decision, HistoryEvent, Limits, Session, Status, history_event};
use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::{CodeCache, Engines, Orchestrator, SandboxLimits};
use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;
use prost::Message as _;

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    files
}

/// The events before the last episode, those of the last episode, and the end.
fn split(file: &Path) -> (Vec<HistoryEvent>, Vec<HistoryEvent>, pb::ExecutionCompletedEvent, String) {
    let chunk = pb::HistoryChunk::decode(std::fs::read(file).unwrap().as_slice()).unwrap();
    let mut events = chunk.events;
    let Some(EventType::ExecutionCompleted(end)) = events.pop().and_then(|e| e.event_type) else {
        panic!("{}: the history has no end", file.display());
    };
    let name = events.iter().find_map(|event| match &event.event_type {
        Some(EventType::ExecutionStarted(started)) => Some(started.name.clone()),
        _ => None,
    });
    let last = events.iter().rposition(|e| matches!(e.event_type, Some(EventType::OrchestratorStarted(_)))).unwrap();
    let new = events.split_off(last);
    let domain = |events: Vec<pb::HistoryEvent>| events.into_iter().map(history_event).collect();
    (domain(events), domain(new), end, name.unwrap())
}

#[test]
fn every_recorded_history_replays_to_its_recorded_end() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/histories");
    let mut replayed = 0;
    for release in std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let engines = Engines::new().unwrap();
        let load = |path: PathBuf| {
            let bytes = std::fs::read(path).unwrap();
            LoadedComponent::load(&bytes, &engines, &CodeCache::none(), SandboxLimits::default()).unwrap()
        };
        let components: Vec<LoadedComponent> = files(&release, "wasm").into_iter().map(load).collect();
        for file in files(&release, "history") {
            let (past, new, end, name) = split(&file);
            let component = components.iter().find(|c| c.orchestrators().contains(&name)).unwrap();
            let id = format!("recorded-{}", file.file_stem().unwrap().to_str().unwrap());
            let guest = Orchestrator::new(Arc::clone(component.orchestrator_code().unwrap()));
            let mut session = Session::new(guest, id, Arc::clone(component.program()), Limits::default());
            let turn = session.apply(past, new).unwrap_or_else(|park| panic!("{}: {park:?}", file.display()));
            let Some(Decision::Complete(completion)) = turn.actions.last().map(|action| &action.decision) else {
                panic!("{}: it does not end: {turn:?}", file.display());
            };
            let completed = end.orchestration_status() == pb::OrchestrationStatus::Completed;
            assert_eq!(completion.status == Status::Completed, completed, "{}", file.display());
            assert_eq!(completion.result, end.result, "{}", file.display());
            let message = |details: &pb::TaskFailureDetails| details.error_message.clone();
            let failure = completion.failures.first().map(|failure| failure.message.clone());
            assert_eq!(failure, end.failure_details.as_ref().map(message), "{}", file.display());
            replayed += 1;
        }
    }
    assert!(replayed >= 12, "{replayed} histories were found");
}
