//! Random programs, run by a real component: live = after eviction at any point = the straight-line model.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

mod support;

use std::sync::LazyLock;

use durawasm_host::abi::Outcome;
use durawasm_host::orchestration::{
    Completion, Decision, EntityContent, EntityMessage, EventKind, HistoryEvent, RecordedKind, Time,
};
use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::SandboxLimits;
use durawasm_test_programs::strategy::{EVENTS, programs};
use durawasm_test_programs::{Happened, Happening, Observation, Program, Wait, agrees, predict};
use proptest::collection::vec;
use proptest::prelude::*;
use support::journal::{Choice, Episode, Journal, failure, live, same_after_eviction};
use support::{load, session};

static COMPONENT: LazyLock<LoadedComponent> = LazyLock::new(|| load("programs", SandboxLimits::default()));

fn outcome(decision: &Decision) -> Outcome {
    match decision {
        Decision::Activity { name, input, .. } if name == "echo" => Ok(input.clone()),
        Decision::Activity { .. } => Err(vec![failure("Failed")]),
        Decision::Entity(EntityMessage { content: EntityContent::Call { input, .. }, .. }) => Ok(input.clone()),
        _ => Ok(None),
    }
}

fn micros(time: Time) -> u64 {
    time.as_nanos() / 1_000
}

/// What happened, as the model wants to hear it.
fn happened(journal: &Journal) -> (u64, Vec<Happened>) {
    let mut now = 0;
    let mut start = 0;
    let mut history = Vec::new();
    for event in &journal.past {
        let what = match &event.kind {
            EventKind::EpisodeStarted => {
                now = micros(event.time);
                continue;
            }
            EventKind::ExecutionStarted(_) => {
                start = now;
                continue;
            }
            EventKind::Resolved { of, action, outcome } => {
                let number = u64::try_from(action - 1).unwrap();
                match (of, outcome) {
                    (RecordedKind::Timer, _) => Happening::Timer(number),
                    (_, Ok(output)) => {
                        Happening::Activity(number, Ok(serde_json::from_str(output.as_deref().unwrap()).unwrap()))
                    }
                    (_, Err(failures)) => Happening::Activity(number, Err(failures[0].error_type.clone())),
                }
            }
            EventKind::Answered { request, outcome, .. } => {
                let asked = |event: &&HistoryEvent| match &event.kind {
                    EventKind::Recorded(recorded) => recorded.request.as_ref() == Some(request),
                    _ => false,
                };
                let action = journal.past.iter().find(asked).unwrap().id;
                let output = outcome.clone().unwrap().unwrap();
                Happening::Activity(u64::try_from(action - 1).unwrap(), Ok(serde_json::from_str(&output).unwrap()))
            }
            EventKind::EventRaised { name, input } => {
                Happening::Event(name.clone(), serde_json::from_str(input.as_deref().unwrap()).unwrap())
            }
            _ => continue,
        };
        // A result that came twice happened once.
        let twice = |other: &Happened| match (&other.what, &what) {
            (Happening::Activity(one, _), Happening::Activity(other, _)) => one == other,
            (Happening::Timer(one), Happening::Timer(other)) => one == other,
            _ => false,
        };
        if !history.iter().any(twice) {
            history.push(Happened { now, what });
        }
    }
    (start, history)
}

fn result(episodes: &[Episode]) -> Option<Vec<Observation>> {
    let completion: &Completion = episodes.last()?.turn.actions.iter().find_map(|action| match &action.decision {
        Decision::Complete(completion) => Some(&**completion),
        _ => None,
    })?;
    Some(serde_json::from_str(completion.result.as_deref().expect("programs return what they observed")).unwrap())
}

fn check(program: &Program, choices: &[Vec<Choice>]) {
    let input = serde_json::to_string(program).unwrap();
    let begin = |journal: &mut Journal| journal.begin("program", Some(input.clone()), Vec::new());
    let (journal, episodes) = live(session(&COMPONENT, "random", 512), begin, choices, outcome, &EVENTS);

    let (start, history) = happened(&journal);
    let predicted = predict(program, start, &history);
    let issued: Vec<_> = predicted.issued.iter().filter(|wait| wait.is_action()).collect();
    let emitted: Vec<_> = episodes.iter().flat_map(|episode| &episode.turn.actions).collect();
    let calls: Vec<_> = emitted.iter().filter(|action| !matches!(action.decision, Decision::Complete(_))).collect();
    assert_eq!(calls.len(), issued.len(), "as many actions as the model issues");
    for (action, wait) in calls.iter().zip(issued) {
        let expected = match wait {
            Wait::Echo(_) => "echo",
            Wait::Fail(_) => "fail",
            Wait::Entity(_) => "@echo@a/echo",
            Wait::Timer(_) | Wait::Event(_) => "",
        };
        assert_eq!(action.decision.name(), expected);
    }
    assert_eq!(episodes.last().unwrap().turn.custom_status, predicted.status.map(|status| status.to_string()));
    match (predicted.result, result(&episodes)) {
        (Some(predicted), Some(observed)) => {
            assert!(agrees(&predicted, &observed), "predicted {predicted:?}, observed {observed:?}");
        }
        (predicted, observed) => assert_eq!(predicted, observed),
    }

    same_after_eviction(|| session(&COMPONENT, "random", 512), &journal, &episodes).unwrap();
    same_after_eviction(|| session(&COMPONENT, "random", 1), &journal, &episodes).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300 * ProptestConfig::default().cases / 256, ..ProptestConfig::default() })]

    #[test]
    fn a_program_does_what_the_model_predicts_live_and_after_eviction_at_any_point(
        program in programs(8),
        choices in vec(vec(any::<Choice>(), 1..5), 0..15),
    ) {
        check(&program, &choices);
    }
}
