//! Replays without effect, as tools use them, over the recorded histories of earlier releases.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use durawasm_host::orchestration::{Limit, ParkReason, Question};
use durawasm_host::registry::LoadedComponent;
use durawasm_host::replay::{Disagreement, Recording, ReplayLimits, Replayed, open, query, replay};
use durawasm_host::sandbox::SandboxLimits;
use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;
use prost::Message as _;
use support::load;

static RELEASE: LazyLock<PathBuf> =
    LazyLock::new(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/histories/0.1"));

fn files(extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(&*RELEASE).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    files
}

static COMPONENTS: LazyLock<Vec<LoadedComponent>> =
    LazyLock::new(|| files("wasm").iter().map(|file| open(file, SandboxLimits::default()).unwrap()).collect());

/// A recorded history, and the component that it is of.
fn recorded(file: &Path) -> (&'static LoadedComponent, Recording) {
    let events = pb::HistoryChunk::decode(std::fs::read(file).unwrap().as_slice()).unwrap().events;
    let name = events.iter().find_map(|event| match &event.event_type {
        Some(EventType::ExecutionStarted(started)) => Some(started.name.clone()),
        _ => None,
    });
    let component = COMPONENTS.iter().find(|c| c.orchestrators().contains(name.as_ref().unwrap())).unwrap();
    let instance_id = format!("recorded-{}", file.file_stem().unwrap().to_str().unwrap());
    (component, Recording { instance_id, events })
}

fn check(component: &LoadedComponent, recording: Recording) -> Result<Replayed, Disagreement> {
    replay(component, recording, &ReplayLimits::default())
}

#[test]
fn whole_histories_replay_to_their_end() {
    let files = files("history");
    assert!(files.len() >= 12);
    for file in files {
        let (component, recording) = recorded(&file);
        let events = recording.events.len();
        let replayed = check(component, recording).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_eq!((replayed.events, replayed.ended), (events, true), "{}", file.display());
    }
}

#[test]
fn the_beginning_of_a_history_replays_up_to_before_any_episode() {
    for file in files("history") {
        let (component, recording) = recorded(&file);
        let begins = |event: &pb::HistoryEvent| matches!(event.event_type, Some(EventType::OrchestratorStarted(_)));
        let cuts = (1..recording.events.len()).filter(|at| begins(&recording.events[*at]));
        for cut in cuts {
            let part = Recording { events: recording.events[..cut].to_vec(), ..recording.clone() };
            let replayed =
                check(component, part).unwrap_or_else(|error| panic!("{} at {cut}: {error}", file.display()));
            assert!(!replayed.ended);
        }
    }
}

/// A history with a call of an activity, and the place of that call.
fn with_call() -> (&'static LoadedComponent, Recording, usize) {
    files("history")
        .iter()
        .find_map(|file| {
            let (component, recording) = recorded(file);
            let called = |event: &pb::HistoryEvent| matches!(event.event_type, Some(EventType::TaskScheduled(_)));
            let at = recording.events.iter().position(called)?;
            Some((component, recording, at))
        })
        .unwrap()
}

#[test]
fn the_first_disagreement_is_told_with_its_place() {
    let (component, mut recording, at) = with_call();
    let Some(EventType::TaskScheduled(scheduled)) = &mut recording.events[at].event_type else { unreachable!() };
    scheduled.name = "renamed".to_owned();
    let disagreement = check(component, recording).unwrap_err();
    assert_eq!((disagreement.event, disagreement.park.reason), (Some(at as u64), ParkReason::Divergence));
    let text = disagreement.to_string();
    assert!(text.contains("`renamed`") && text.contains(component.version()), "{text}");
}

#[test]
fn a_call_that_is_missing_from_the_last_episode_is_told_too() {
    let mut checked = 0;
    for file in files("history") {
        let (component, recording) = recorded(&file);
        // Its orchestrator decided on its end.
        let Some(end) = recording.events.last().filter(|event| event.event_id > 0) else { continue };
        let scheduled = pb::TaskScheduledEvent { name: "never".to_owned(), ..Default::default() };
        let extra = pb::HistoryEvent {
            event_id: end.event_id,
            timestamp: end.timestamp,
            event_type: Some(EventType::TaskScheduled(scheduled)),
        };
        let mut longer = recording.clone();
        longer.events.insert(recording.events.len() - 1, extra);
        let disagreement = check(component, longer).unwrap_err();
        assert!(disagreement.park.message.contains("`never`"), "{disagreement}");
        checked += 1;
    }
    assert!(checked > 0);
}

#[test]
fn a_component_without_the_orchestrator_is_told_with_what_it_offers() {
    let (_, recording, _) = with_call();
    let disagreement = check(&load("hostile", SandboxLimits::default()), recording).unwrap_err();
    assert_eq!((disagreement.event, disagreement.park.reason), (None, ParkReason::NoVersion));
    assert!(disagreement.to_string().contains("`is honest`"), "{disagreement}");
}

#[test]
fn what_is_no_history_is_told() {
    let (component, recording, at) = with_call();
    let empty = Recording { events: Vec::new(), ..recording.clone() };
    assert_eq!(check(component, empty).unwrap_err().park.reason, ParkReason::History);
    let headless = Recording { events: recording.events[at..].to_vec(), ..recording.clone() };
    assert_eq!(check(component, headless).unwrap_err().park.reason, ParkReason::History);
    let mut twice = recording.clone();
    twice.events.insert(2, recording.events[1].clone());
    assert_eq!(check(component, twice).unwrap_err().park.reason, ParkReason::History);
}

#[test]
fn a_replay_that_takes_too_long_in_all_stops() {
    let (component, recording, _) = with_call();
    let limits = ReplayLimits { time: std::time::Duration::ZERO, ..ReplayLimits::default() };
    assert_eq!(replay(component, recording, &limits).unwrap_err().park.reason, ParkReason::Limit(Limit::Deadline));
}

#[test]
fn an_orchestrator_can_be_asked_offline() {
    let component = load("queries", SandboxLimits::default());
    let event = |event_type| pb::HistoryEvent {
        event_id: -1,
        timestamp: Some(prost_types::Timestamp::default()),
        event_type: Some(event_type),
    };
    let started = pb::ExecutionStartedEvent { name: "counter".to_owned(), ..Default::default() };
    let raised = pb::EventRaisedEvent { name: "ADD".to_owned(), input: None };
    let events = vec![
        event(EventType::OrchestratorStarted(pb::OrchestratorStartedEvent {})),
        event(EventType::ExecutionStarted(Box::new(started))),
        event(EventType::EventRaised(raised)),
    ];
    let recording = Recording { instance_id: "offline".to_owned(), events };
    let question = Question { name: "count".to_owned(), input: None };
    assert_eq!(query(&component, recording, &question, &ReplayLimits::default()), Ok(Some("1".to_owned())));
}
