//! Questions from the wire to their answers, with a real component and without a network.

use std::time::Instant;

use durawasm_proto::tag;
use prost_types::Timestamp;
use wire::history_event::EventType;

use super::*;
use crate::registry::Registry;
use crate::sandbox::{CodeCache, Engines, SandboxLimits};

/// Gives the same history whatever is asked for, or the same error.
#[derive(Clone)]
struct Fixed(Result<Vec<wire::HistoryEvent>, Status>);

impl Histories for Fixed {
    fn fetch(&self, _: String, _: Option<String>) -> Result<Vec<wire::HistoryEvent>, Status> {
        self.0.clone()
    }
}

fn registry(guest: &str) -> RegistryHandle {
    let target = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    let folder = std::env::var_os("DURAWASM_TEST_GUESTS").map_or_else(|| target.join("guests/tests"), Into::into);
    let path = folder.join(guest);
    let bytes =
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask test`", path.display()));
    // Little memory, so that taking all of it never takes as long as the deadline.
    let mut limits = SandboxLimits::default();
    // So much fuel that the deadline comes first.
    limits.orchestrator.fuel = u64::MAX;
    limits.orchestrator.guest.deadline = Duration::from_secs(1);
    limits.orchestrator.guest.memory = 4 << 20;
    limits.orchestrator.guest.payload = 1 << 20;
    let component = LoadedComponent::load(&bytes, &Engines::new().unwrap(), &CodeCache::none(), limits).unwrap();
    let mut registry = Registry::default();
    registry.add(Arc::new(component)).unwrap();
    RegistryHandle::new(registry)
}

fn event(seconds: i64, id: i32, event_type: EventType) -> wire::HistoryEvent {
    wire::HistoryEvent { event_id: id, timestamp: Some(Timestamp { seconds, nanos: 0 }), event_type: Some(event_type) }
}

/// The history of an orchestrator that got so many events of this name, each in an episode of its own.
fn history(orchestrator: &str, events: usize, tags: &[(&str, &str)]) -> Vec<wire::HistoryEvent> {
    let episode = |seconds| event(seconds, -1, EventType::OrchestratorStarted(wire::OrchestratorStartedEvent {}));
    let started = wire::ExecutionStartedEvent {
        name: orchestrator.to_owned(),
        tags: tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..Default::default()
    };
    let mut history = vec![episode(1), event(1, -1, EventType::ExecutionStarted(Box::new(started)))];
    for seconds in 2..2 + events as i64 {
        let raised = wire::EventRaisedEvent { name: "add".to_owned(), input: None };
        history.extend([episode(seconds), event(seconds, -1, EventType::EventRaised(raised))]);
    }
    history
}

fn ask_on(registry: RegistryHandle, histories: Fixed, query: v1::Query) -> v1::QueryAnswer {
    let queries = Queries::start(registry, 1, || Box::new(histories.clone())).unwrap();
    let (replies, mut answers) = mpsc::unbounded_channel();
    queries.take(query, replies);
    let answer = answers.blocking_recv().expect("every question is answered");
    assert!(answers.blocking_recv().is_none(), "once");
    answer
}

fn query(orchestrator: &str, name: &str) -> v1::Query {
    v1::Query {
        number: 7,
        instance_id: "i".to_owned(),
        execution_id: "e".to_owned(),
        orchestrator: orchestrator.to_owned(),
        name: name.to_owned(),
        ..Default::default()
    }
}

/// Asks an orchestrator that has got so many events.
fn ask_after(orchestrator: &str, events: usize, name: &str) -> Result<Option<String>, (String, String)> {
    let histories = Fixed(Ok(history(orchestrator, events, &[])));
    outcome(ask_on(registry("test_queries.wasm"), histories, query(orchestrator, name)))
}

fn outcome(answer: v1::QueryAnswer) -> Result<Option<String>, (String, String)> {
    assert_eq!(answer.number, 7);
    match answer.failure {
        None => Ok(answer.output),
        Some(failure) => {
            assert!(!failure.error_message.is_empty() && answer.output.is_none(), "{failure:?}");
            Err((failure.error_type, failure.error_message))
        }
    }
}

fn failure(answer: Result<Option<String>, (String, String)>) -> String {
    answer.unwrap_err().0
}

#[test]
fn a_question_is_answered_from_the_committed_history() {
    assert_eq!(ask_after("counter", 3, "count"), Ok(Some("3".to_owned())));
    assert_eq!(ask_after("counter", 0, "who"), Ok(Some("i".to_owned())));
}

#[test]
fn no_value_is_an_answer_too() {
    assert_eq!(ask_after("counter", 0, "nothing"), Ok(None));
}

#[test]
fn an_answer_leaves_no_trace_for_the_next_question() {
    let registry = registry("test_queries.wasm");
    for _ in 0..3 {
        let histories = Fixed(Ok(history("counter", 1, &[])));
        let answer = ask_on(registry.clone(), histories, query("counter", "answered"));
        assert_eq!(answer.output.as_deref(), Some("1"));
    }
}

#[test]
fn what_the_guest_refuses_is_its_failure() {
    assert_eq!(ask_after("counter", 0, "fails"), Err(("Closed".to_owned(), "not on Sundays".to_owned())));
    let (kind, message) = ask_after("counter", 0, "what is love").unwrap_err();
    assert_eq!(kind, "UnknownQuery");
    assert!(message.contains("what is love") && message.contains("count"), "{message}");
}

#[test]
fn a_guest_that_answers_badly_is_a_failure_and_not_the_hosts_end() {
    assert_eq!(failure(ask_after("counter", 0, "traps")), "Panic");
    assert_eq!(failure(ask_after("counter", 0, "spins")), "Deadline");
    assert_eq!(failure(ask_after("counter", 0, "devours")), "MemoryLimit");
    assert_eq!(failure(ask_after("counter", 0, "says too much")), "PayloadTooLarge");
    assert_eq!(failure(ask_after("counter", 0, "fails without a failure")), "ContractBreach");
}

#[test]
fn an_orchestrator_that_cannot_be_replayed_cannot_be_asked() {
    assert_eq!(failure(ask_after("spins", 1, "count")), "Deadline");
    assert_eq!(failure(ask_after("panics at three", 3, "count")), "ReplayTrap");
    let mut past = history("counter", 1, &[]);
    let scheduled = wire::TaskScheduledEvent { name: "never".to_owned(), ..Default::default() };
    past.push(event(2, 1, EventType::TaskScheduled(scheduled)));
    let (kind, message) =
        outcome(ask_on(registry("test_queries.wasm"), Fixed(Ok(past)), query("counter", "count"))).unwrap_err();
    assert_eq!(kind, "Divergence");
    assert!(message.contains("`never`"), "{message}");
}

fn end(status: wire::OrchestrationStatus, id: i32) -> wire::HistoryEvent {
    let completed = wire::ExecutionCompletedEvent { orchestration_status: status.into(), ..Default::default() };
    event(9, id, EventType::ExecutionCompleted(completed))
}

#[test]
fn an_instance_that_has_ended_can_be_asked() {
    let end_raised = wire::EventRaisedEvent { name: "end".to_owned(), input: None };
    let mut past = history("counter", 2, &[]);
    past.push(event(3, -1, EventType::EventRaised(end_raised)));
    past.push(end(wire::OrchestrationStatus::Completed, 1));
    let answer = ask_on(registry("test_queries.wasm"), Fixed(Ok(past)), query("counter", "count"));
    assert_eq!(outcome(answer), Ok(Some("2".to_owned())));
}

#[test]
fn a_terminated_instance_can_be_asked_whatever_else_came_with_the_termination() {
    let mut past = history("counter", 2, &[]);
    let terminated = wire::ExecutionTerminatedEvent::default();
    past.push(event(3, -1, EventType::ExecutionTerminated(terminated)));
    past.push(end(wire::OrchestrationStatus::Terminated, -1));
    let answer = ask_on(registry("test_queries.wasm"), Fixed(Ok(past)), query("counter", "count"));
    assert_eq!(outcome(answer), Ok(Some("2".to_owned())));
}

#[test]
fn an_orchestrator_whose_code_failed_says_so() {
    let mut past = history("panics at three", 3, &[]);
    past.push(end(wire::OrchestrationStatus::Failed, 1));
    let answer = ask_on(registry("test_queries.wasm"), Fixed(Ok(past)), query("panics at three", "count"));
    let (kind, message) = outcome(answer).unwrap_err();
    assert_eq!(kind, "Failed");
    assert!(message.contains("it was three"), "{message}");
}

#[test]
fn a_component_without_the_export_says_that_it_answers_no_questions() {
    let histories = Fixed(Ok(history("is honest", 0, &[])));
    let answer = outcome(ask_on(registry("test_hostile.wasm"), histories, query("is honest", "count")));
    assert_eq!(failure(answer), "NoQueries");
}

#[test]
fn an_orchestrator_or_version_that_is_not_here_is_said() {
    let histories = Fixed(Ok(history("counter", 0, &[])));
    let registry = registry("test_queries.wasm");
    let mut other = query("counter", "count");
    other.version = Some("9.9.9".to_owned());
    let (kind, message) = outcome(ask_on(registry.clone(), histories.clone(), other)).unwrap_err();
    assert_eq!(kind, "NoVersion");
    assert!(message.contains("9.9.9"), "{message}");
    assert_eq!(failure(outcome(ask_on(registry, histories, query("absent", "count")))), "NoVersion");
}

#[test]
fn a_history_that_is_gone_or_empty_or_unreadable_is_said() {
    let ask =
        |history| failure(outcome(ask_on(registry("test_queries.wasm"), Fixed(history), query("counter", "count"))));
    assert_eq!(ask(Err(Status::not_found("gone"))), "HistoryGone");
    assert_eq!(ask(Err(Status::unavailable("down"))), "HistoryUnavailable");
    assert_eq!(ask(Ok(Vec::new())), "NotStarted");
    assert_eq!(ask(Ok(history("counter", 1, &[]).split_off(2))), "History");
}

#[test]
fn a_flood_of_questions_is_refused_and_each_is_answered() {
    let histories = Fixed(Ok(history("spins", 1, &[])));
    let queries = Queries::start(registry("test_queries.wasm"), 1, || Box::new(histories.clone())).unwrap();
    let (replies, mut answers) = mpsc::unbounded_channel();
    let begun = Instant::now();
    for _ in 0..MAX_WAITING + 10 {
        queries.take(query("spins", "count"), replies.clone());
    }
    // Taking them holds nobody up, though each would take a while.
    assert!(begun.elapsed() < Duration::from_secs(5));
    let busy = std::iter::from_fn(|| answers.try_recv().ok()).filter_map(|answer| answer.failure);
    assert!(busy.filter(|failure| failure.error_type == "Busy").count() >= 9);
    // The stream is gone: nobody wants the other answers.
    drop(answers);
}

#[test]
fn a_fork_draws_the_random_numbers_of_its_origin_and_shows_no_tag_of_durawasms_own() {
    let registry = registry("test_queries.wasm");
    let ask = |instance: &str, tags: &[(&str, &str)], name: &str| {
        let mut query = query("counter", name);
        query.instance_id = instance.to_owned();
        ask_on(registry.clone(), Fixed(Ok(history("counter", 0, tags))), query).output.unwrap()
    };
    let origin = ask("origin", &[], "random");
    assert_ne!(ask("fork", &[], "random"), origin);
    let tags = [(tag::SEED_OF, "origin"), ("colour", "red")];
    assert_eq!(ask("fork", &tags, "random"), origin);
    assert_eq!(ask("fork", &tags, "tags"), "colour=red");
    assert_eq!(ask("fork", &tags, "who"), "fork");
}
