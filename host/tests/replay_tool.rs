//! Replays without effect, as tools use them, over the recorded histories of earlier releases.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

mod support;

use std::path::PathBuf;
use std::sync::LazyLock;

use durawasm_host::orchestration::{Limit, ParkReason, Question};
use durawasm_host::registry::LoadedComponent;
use durawasm_host::replay::{Disagreement, Recording, ReplayLimits, Replayed, open, query, replay};
use durawasm_host::sandbox::SandboxLimits;
use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;
use support::load;
use support::recorded::{History, components, histories, releases};

static COMPONENTS: LazyLock<Vec<LoadedComponent>> =
    LazyLock::new(|| releases().iter().flat_map(|release| components(release, false)).collect());

/// The recorded histories, each with the component that it is of.
fn recorded() -> Vec<(PathBuf, &'static LoadedComponent, Recording)> {
    let histories = releases().iter().flat_map(|release| histories(release)).collect::<Vec<_>>();
    let recorded = |history: History| {
        let component = history.component(&COMPONENTS);
        (history.file, component, Recording { instance_id: history.instance_id, events: history.events })
    };
    histories.into_iter().map(recorded).collect()
}

fn check(component: &LoadedComponent, recording: Recording) -> Result<Replayed, Disagreement> {
    replay(component, recording, &ReplayLimits::default())
}

#[test]
fn whole_histories_replay_to_their_end() {
    let recorded = recorded();
    assert!(recorded.len() >= 26);
    for (file, component, recording) in recorded {
        let events = recording.events.len();
        let replayed = check(component, recording).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_eq!((replayed.events, replayed.ended), (events, true), "{}", file.display());
    }
}

#[test]
fn the_beginning_of_a_history_replays_up_to_before_any_episode() {
    for (file, component, recording) in recorded() {
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
    recorded()
        .into_iter()
        .find_map(|(_, component, recording)| {
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
    for (_, component, recording) in recorded() {
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
fn a_component_is_opened_from_its_file_or_it_is_said_why_not() {
    let release = releases().remove(0);
    let component = open(&release.join("hello_cities.wasm"), SandboxLimits::default()).unwrap();
    assert_eq!(component.orchestrators(), ["hello_cities"]);
    assert!(open(&release.join("hello_cities.history"), SandboxLimits::default()).is_err());
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
