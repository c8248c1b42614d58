//! Warm, cold, and ahead of the history: with a real component, without a network.

use std::collections::HashMap;
use std::path::PathBuf;

use prost_types::Timestamp;
use wire::orchestrator_action::OrchestratorActionType;

use super::*;
use crate::deployment::{Deployment, Manifest};
use crate::registry::Registry;
use crate::sandbox::{CodeCache, Engines, SandboxLimits};

/// Calls the activity `echo` with 1 and then with 2, and returns what came of both.
const PROGRAM: &str = r#"{"steps":[{"await":{"echo":1}},{"await":{"echo":2}}]}"#;

fn bytes() -> Vec<u8> {
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    let folder = std::env::var_os("DURAWASM_TEST_GUESTS").map_or_else(|| target.join("guests/tests"), PathBuf::from);
    let path = folder.join("test_programs.wasm");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask test`", path.display()))
}

/// Runs these components: bytes and manifest of each.
fn running(components: &[(Vec<u8>, &str)]) -> Episodes {
    let (engines, mut registry) = (Engines::new().unwrap(), Registry::default());
    for (bytes, manifest) in components {
        let deployment = Deployment::new(Manifest::parse(manifest).unwrap(), SandboxLimits::default().into());
        let component = LoadedComponent::load(bytes, &engines, &CodeCache::none(), deployment).unwrap();
        registry.add(Arc::new(component)).unwrap();
    }
    Episodes::new(RegistryHandle::new(registry), 100, 1 << 30)
}

fn episodes() -> Episodes {
    running(&[(bytes(), "")])
}

fn event(seconds: i64, id: i32, event_type: EventType) -> wire::HistoryEvent {
    wire::HistoryEvent { event_id: id, timestamp: Some(Timestamp { seconds, nanos: 0 }), event_type: Some(event_type) }
}

fn begin(name: &str) -> Vec<wire::HistoryEvent> {
    let started =
        wire::ExecutionStartedEvent { name: name.to_owned(), input: Some(PROGRAM.to_owned()), ..Default::default() };
    vec![
        event(1, -1, EventType::OrchestratorStarted(wire::OrchestratorStartedEvent {})),
        event(1, -1, EventType::ExecutionStarted(Box::new(started))),
    ]
}

fn completed(seconds: i64, task: i32, result: &str) -> Vec<wire::HistoryEvent> {
    let completed = wire::TaskCompletedEvent { task_scheduled_id: task, result: Some(result.to_owned()) };
    vec![
        event(seconds, -1, EventType::OrchestratorStarted(wire::OrchestratorStartedEvent {})),
        event(seconds, -1, EventType::TaskCompleted(completed)),
    ]
}

fn scheduled(seconds: i64, id: i32, name: &str) -> wire::HistoryEvent {
    event(
        seconds,
        id,
        EventType::TaskScheduled(wire::TaskScheduledEvent { name: name.to_owned(), ..Default::default() }),
    )
}

fn item(
    past: Vec<wire::HistoryEvent>,
    new: Vec<wire::HistoryEvent>,
    base: Option<(&str, usize)>,
) -> wire::OrchestratorRequest {
    let text = |text: &str| prost_types::Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let properties = base.map_or_else(HashMap::new, |(token, position)| {
        HashMap::from([
            (property::BASE_TOKEN.to_owned(), text(token)),
            (property::BASE_POSITION.to_owned(), text(&position.to_string())),
        ])
    });
    wire::OrchestratorRequest {
        instance_id: "instance".to_owned(),
        execution_id: Some("execution".to_owned()),
        past_events: past,
        new_events: new,
        properties,
        ..Default::default()
    }
}

fn answer(outcome: Outcome) -> wire::OrchestratorResponse {
    match outcome {
        Outcome::Answer(response, ..) => response,
        Outcome::NeedsHistory(_) => panic!("the history is asked for"),
        Outcome::Reject(why) => panic!("rejected: {why}"),
        Outcome::Park(park, _) => panic!("parked: {park}"),
    }
}

fn result(response: &wire::OrchestratorResponse) -> &str {
    match &response.actions[0].orchestrator_action_type {
        Some(OrchestratorActionType::CompleteOrchestration(completion)) => completion.result.as_deref().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_goes_on_warm_behind_the_turn_that_it_answered() {
    let episodes = episodes();
    answer(episodes.run(item(vec![], begin("program"), Some(("", 0))), "t1", false));
    answer(episodes.run(item(vec![], completed(2, 1, "1"), Some(("t1", 3))), "t2", false));
    let last = answer(episodes.run(item(vec![], completed(3, 2, "2"), Some(("t2", 6))), "t3", false));
    assert_eq!(result(&last), r#"[{"value":1},{"value":2}]"#);
    assert_eq!((episodes.warmth().warm, episodes.warmth().cold, episodes.warmth().sessions), (2, 1, 0));
}

/// The session applies a result, the scheduler crashes before it is on disk, and the activity runs again and answers
/// otherwise.
#[test]
fn a_session_ahead_of_a_lost_commit_is_not_used() {
    let episodes = episodes();
    answer(episodes.run(item(vec![], begin("program"), Some(("", 0))), "t1", false));
    // This turn is answered, and then lost.
    answer(episodes.run(item(vec![], completed(2, 1, "100"), Some(("t1", 3))), "t2-lost", false));
    // The same turn again, from the same base, with another result.
    let again = item(vec![], completed(5, 1, "1"), Some(("t1", 3)));
    let Outcome::NeedsHistory(mut again) = episodes.run(again, "t2", false) else {
        panic!("the session that saw 100 was used")
    };
    again.past_events = begin("program");
    again.past_events.push(scheduled(1, 1, "echo"));
    answer(episodes.run(again, "t2", true));
    let last = answer(episodes.run(item(vec![], completed(6, 2, "2"), Some(("t2", 6))), "t3", false));
    assert_eq!(result(&last), r#"[{"value":1},{"value":2}]"#);
}

#[test]
fn without_a_base_the_past_events_say_whether_a_session_stands_there() {
    let episodes = episodes();
    answer(episodes.run(item(vec![], begin("program"), None), "t1", false));
    let mut past = begin("program");
    past.push(scheduled(1, 1, "echo"));
    answer(episodes.run(item(past.clone(), completed(2, 1, "100"), None), "t2", false));
    assert_eq!(episodes.warmth().warm, 1);
    // The scheduler forgot that turn: the past is the old one, and the result is another.
    answer(episodes.run(item(past.clone(), completed(5, 1, "1"), None), "t3", false));
    assert_eq!(episodes.warmth().warm, 1);
    past.extend(completed(5, 1, "1"));
    past.push(scheduled(5, 2, "echo"));
    let last = answer(episodes.run(item(past, completed(6, 2, "2"), None), "t4", false));
    assert_eq!(episodes.warmth().warm, 2);
    assert_eq!(result(&last), r#"[{"value":1},{"value":2}]"#);
}

#[test]
fn the_same_turn_in_another_execution_is_cold() {
    let episodes = episodes();
    answer(episodes.run(item(vec![], begin("program"), Some(("", 0))), "t1", false));
    let mut other = item(vec![], completed(2, 1, "1"), Some(("t1", 3)));
    other.execution_id = Some("another".to_owned());
    assert!(matches!(episodes.run(other, "t2", false), Outcome::NeedsHistory(_)));
}

#[test]
fn a_streamed_history_is_asked_for_when_there_is_no_session() {
    let episodes = episodes();
    let mut request = item(vec![], completed(2, 1, "1"), None);
    request.requires_history_streaming = true;
    assert!(matches!(episodes.run(request, "t", false), Outcome::NeedsHistory(_)));
}

#[test]
fn a_termination_is_answered_without_running_anything() {
    let episodes = episodes();
    let terminated = wire::ExecutionTerminatedEvent { input: Some("enough".to_owned()), recurse: true };
    let mut new = begin("no such orchestrator");
    new.push(event(1, -1, EventType::ExecutionTerminated(terminated)));
    let response = answer(episodes.run(item(vec![], new, None), "t", false));
    assert_eq!(result(&response), "enough");
}

#[test]
fn an_orchestrator_that_is_not_here_parks() {
    let Outcome::Park(park, _) = episodes().run(item(vec![], begin("absent"), None), "t", false) else { panic!() };
    assert_eq!(park.reason, ParkReason::NoVersion);
    assert!(park.message.contains("`absent`"), "{park}");
}

#[test]
fn a_history_that_holds_another_activity_parks_with_both_names() {
    let mut past = begin("program");
    past.push(scheduled(1, 1, "say_hello"));
    let Outcome::Park(park, component) = episodes().run(item(past, completed(2, 1, "1"), None), "t", false) else {
        panic!()
    };
    assert_eq!(park.reason, ParkReason::Divergence);
    for part in ["event 2", "`say_hello`", "`echo`"] {
        assert!(park.message.contains(part), "{part}: {park}");
    }
    assert!(!component.is_empty());
}

mod versions;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The beginning of an execution that was started within a trace.
fn begin_traced() -> Vec<wire::HistoryEvent> {
    let mut new = begin("program");
    if let Some(EventType::ExecutionStarted(started)) = &mut new[1].event_type {
        started.parent_trace_context =
            Some(wire::TraceContext { trace_parent: TRACE.to_owned(), ..Default::default() });
    }
    new
}

fn call_trace(response: &wire::OrchestratorResponse) -> &str {
    call_trace_of(&response.actions[0])
}

#[test]
fn calls_carry_the_trace_of_whoever_started_the_orchestration_warm_and_cold() {
    let episodes = episodes();
    let first = answer(episodes.run(item(vec![], begin_traced(), Some(("", 0))), "t1", false));
    assert_eq!(call_trace(&first), TRACE);
    let warm = answer(episodes.run(item(vec![], completed(2, 1, "1"), Some(("t1", 3))), "t2", false));
    assert_eq!(call_trace(&warm), TRACE);
    let mut past = begin_traced();
    past.push(scheduled(1, 1, "echo"));
    let cold = answer(episodes.run(item(past, completed(2, 1, "1"), None), "t3", false));
    assert_eq!((call_trace(&cold), episodes.warmth().cold), (TRACE, 2));
}

#[test]
fn every_answer_repeats_the_token_and_the_orchestrations_own_span() {
    let episodes = episodes();
    let span = wire::OrchestrationTraceContext {
        span_id: Some("1111111111111111".to_owned()),
        span_start_time: Some(Timestamp { seconds: 1, nanos: 0 }),
    };
    let traced = |mut item: wire::OrchestratorRequest| {
        item.orchestration_trace_context = Some(span.clone());
        item
    };
    let terminated = || {
        let mut new = begin("program");
        new.push(event(1, -1, EventType::ExecutionTerminated(wire::ExecutionTerminatedEvent::default())));
        new
    };
    let rewound = || item(failed_history(), rewind(), None);
    let items = [
        item(vec![], begin_traced(), Some(("", 0))),
        item(vec![], completed(2, 1, "1"), Some(("0", 3))),
        item(vec![], terminated(), None),
        rewound(),
    ];
    for (number, item) in items.into_iter().enumerate() {
        let token = number.to_string();
        let response = answer(episodes.run(traced(item), &token, false));
        assert_eq!((&response.completion_token, response.instance_id.as_str()), (&token, "instance"));
        assert_eq!(response.orchestration_trace_context.as_ref(), Some(&span));
        if number < 2 {
            assert_eq!(
                call_trace(&response),
                "00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01",
                "its own span is the parent of its calls"
            );
        }
    }
}

fn call_trace_of(action: &wire::OrchestratorAction) -> &str {
    match &action.orchestrator_action_type {
        Some(OrchestratorActionType::ScheduleTask(task)) => &task.parent_trace_context.as_ref().unwrap().trace_parent,
        other => panic!("{other:?}"),
    }
}

/// The history of an execution whose second activity failed, and with it the execution.
fn failed_history() -> Vec<wire::HistoryEvent> {
    let mut past = begin("program");
    past.push(scheduled(1, 1, "echo"));
    past.extend(completed(2, 1, "1"));
    past.push(scheduled(2, 2, "echo"));
    let failed = wire::TaskFailedEvent { task_scheduled_id: 2, failure_details: None };
    past.push(event(3, -1, EventType::OrchestratorStarted(wire::OrchestratorStartedEvent {})));
    past.push(event(3, -1, EventType::TaskFailed(failed)));
    let end = wire::ExecutionCompletedEvent {
        orchestration_status: wire::OrchestrationStatus::Failed.into(),
        ..Default::default()
    };
    past.push(event(3, 3, EventType::ExecutionCompleted(end)));
    past
}

fn episode(seconds: i64) -> wire::HistoryEvent {
    event(seconds, -1, EventType::OrchestratorStarted(wire::OrchestratorStartedEvent {}))
}

fn rewind() -> Vec<wire::HistoryEvent> {
    vec![episode(4), event(4, -1, EventType::ExecutionRewound(Box::default()))]
}

fn calls(response: &wire::OrchestratorResponse) -> Vec<i32> {
    response.actions.iter().map(|action| action.id).collect()
}

/// What the Python package's server and Azure's scheduler do.
#[test]
fn a_scheduler_that_leaves_the_rewind_to_workers_gets_another_history_and_then_goes_on_with_it() {
    let episodes = episodes();
    let response = answer(episodes.run(item(failed_history(), rewind(), None), "t1", false));
    let Some(OrchestratorActionType::RewindOrchestration(rewritten)) = &response.actions[0].orchestrator_action_type
    else {
        panic!("{response:?}")
    };
    assert_eq!(calls(&response), [-1], "one action, which is none of the code");
    let history = rewritten.new_history.clone();
    let response = answer(episodes.run(item(history.clone(), vec![episode(5)], None), "t2", false));
    assert_eq!(calls(&response), [2], "what failed is called again with its id");
    // Warm behind it, and cold the same.
    let mut past = history;
    past.extend([episode(5), scheduled(5, 2, "echo")]);
    let done = |token| answer(episodes.run(item(past.clone(), completed(6, 2, "2"), None), token, false));
    assert_eq!(result(&done("t3")), r#"[{"value":1},{"value":2}]"#);
    assert_eq!(episodes.warmth().warm, 1);
    assert_eq!(result(&done("t4")), r#"[{"value":1},{"value":2}]"#);
    assert_eq!(episodes.warmth().warm, 1);
}

/// What our scheduler does.
#[test]
fn a_history_that_the_scheduler_has_rewound_itself_goes_on_without_anything_new() {
    let episodes = episodes();
    let mut past: Vec<_> = failed_history().into_iter().take(6).filter(|event| event.event_id != 2).collect();
    past.extend(rewind());
    let response = answer(episodes.run(item(past, vec![episode(5)], Some(("other", 7))), "t", false));
    assert_eq!(calls(&response), [2]);
}

#[test]
fn a_rewind_that_comes_as_new_although_the_history_is_rewritten_is_a_plain_episode() {
    let episodes = episodes();
    let past: Vec<_> = failed_history().into_iter().take(5).collect();
    let response = answer(episodes.run(item(past, rewind(), None), "t", false));
    assert_eq!(calls(&response), [2]);
}

#[test]
fn a_rewind_whose_past_was_left_out_asks_for_it() {
    let mut request = item(vec![], rewind(), None);
    request.requires_history_streaming = true;
    let Outcome::NeedsHistory(request) = episodes().run(request, "t", false) else { panic!("it is needed") };
    assert_eq!(request.new_events.len(), 2);
}

#[test]
fn an_instance_that_was_reset_is_replayed_from_its_shorter_history() {
    let episodes = episodes();
    answer(episodes.run(item(vec![], begin("program"), Some(("", 0))), "t1", false));
    answer(episodes.run(item(vec![], completed(2, 1, "1"), Some(("t1", 3))), "t2", false));
    // Back to before the first result: the session has seen it, and a new execution has not.
    let mut past = begin("program");
    past.push(scheduled(1, 1, "echo"));
    let mut reset = item(past, vec![episode(5)], Some(("t1", 3)));
    reset.execution_id = Some("after the reset".to_owned());
    assert!(calls(&answer(episodes.run(reset, "t3", false))).is_empty());
    let mut next = item(vec![], completed(6, 1, "100"), Some(("t3", 4)));
    next.execution_id = Some("after the reset".to_owned());
    answer(episodes.run(next, "t4", false));
    let mut last = item(vec![], completed(7, 2, "2"), Some(("t4", 7)));
    last.execution_id = Some("after the reset".to_owned());
    let last = answer(episodes.run(last, "t5", false));
    assert_eq!(result(&last), r#"[{"value":100},{"value":2}]"#);
}

/// What is logged while something is done.
fn logged<T>(work: impl FnOnce() -> T) -> (T, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(file.reopen().unwrap()).finish();
    let result = tracing::subscriber::with_default(subscriber, work);
    (result, std::fs::read_to_string(file.path()).unwrap())
}

#[test]
fn a_past_that_cost_something_else_than_what_is_recorded_for_it_is_told_and_the_instance_goes_on() {
    let Outcome::Answer(_, Some(first), _) = episodes().run(item(vec![], begin("program"), None), "t1", false) else {
        panic!("it answers")
    };
    let mut past = begin("program");
    past.push(scheduled(1, 1, "echo"));
    let replay = |recorded: u64| {
        let mut item = item(past.clone(), completed(2, 1, "1"), None);
        let recorded = prost_types::Value { kind: Some(Kind::StringValue(recorded.to_string())) };
        item.properties.insert(property::BASE_FUEL.to_owned(), recorded);
        logged(|| answer(episodes().run(item, "t2", false)))
    };
    let (expected, said) = replay(first.episode);
    assert_eq!(said, "");
    let (response, said) = replay(first.episode + 1);
    assert_eq!(response, expected);
    for part in [
        "WARN",
        "did not cost what was recorded",
        "instance=\"instance\"",
        "test-programs",
        &format!("recorded={}", first.episode + 1),
        &format!("replayed={}", first.episode),
    ] {
        assert!(said.contains(part), "`{part}` is missing: {said}");
    }
}
