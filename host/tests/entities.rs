//! Batches of entity operations, run by a component that breaks each rule: each operation ends for itself, and the batch goes on.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

mod support;

use std::sync::LazyLock;
use std::time::Duration;

use durawasm_host::abi::{EntityId, Timestamp, entity};
use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::{EntityBatch, SandboxLimits};
use support::load;

static COMPONENT: LazyLock<LoadedComponent> = LazyLock::new(|| {
    let mut limits = SandboxLimits::default();
    limits.entity.deadline = Duration::from_millis(500);
    limits.entity.memory = 64 << 20;
    // Below what the guest answers where it answers with too much.
    limits.entity.payload = 1 << 20;
    load("entities", limits)
});

fn batch(state: Option<&str>) -> EntityBatch<'static> {
    let id = EntityId { name: "hostile".to_owned(), key: "a".to_owned() };
    COMPONENT.entity_code().unwrap().batch(id, state.map(str::to_owned))
}

fn operation(name: &str) -> entity::Operation {
    entity::Operation {
        name: name.to_owned(),
        input: None,
        signal: false,
        id: "1".to_owned(),
        now: Timestamp { seconds: 1, nanos: 0 },
    }
}

/// Runs operations on one entity: how each ended, in short, and the state afterwards.
async fn run(state: Option<&str>, names: &[&str]) -> (Vec<String>, Option<String>) {
    let mut batch = batch(state);
    let mut ends = Vec::new();
    for name in names {
        let run = batch.run(&operation(name)).await;
        ends.push(match run.outcome {
            Ok(output) => output.unwrap_or_default(),
            Err(failures) => {
                assert!(!failures[0].message.is_empty());
                assert_eq!(run.actions, [], "what a failed operation sends does not count");
                failures[0].error_type.clone()
            }
        });
    }
    (ends, batch.end().0)
}

#[tokio::test]
async fn the_state_goes_from_one_operation_to_the_next() {
    let (ends, state) = run(None, &["add", "add", "get", "delete", "get", "add"]).await;
    assert_eq!(ends, ["1", "2", "2", "null", "0", "1"]);
    assert_eq!(state.as_deref(), Some("1"));
}

#[tokio::test]
async fn an_operation_that_goes_wrong_fails_alone_and_its_state_and_its_actions_are_rolled_back() {
    let wrong = [
        ("fail", "Asked"),
        ("fail_without_reason", "ContractBreach"),
        ("trap", "Panic"),
        ("spin", "Deadline"),
        ("eat_memory", "MemoryLimit"),
        ("read_clock", "Denied"),
        ("result_is_not_json", "InvalidPayload"),
        ("state_is_not_json", "InvalidPayload"),
        ("result_too_large", "PayloadTooLarge"),
        ("state_too_large", "PayloadTooLarge"),
        ("send_too_much", "PayloadTooLarge"),
        ("signal_nobody", "InvalidEntityId"),
        ("no such operation", "UnknownOperation"),
    ];
    for (name, error_type) in wrong {
        let (ends, state) = run(Some("5"), &["add", name, "add"]).await;
        assert_eq!(ends, ["6", error_type, "7"], "{name}");
        assert_eq!(state.as_deref(), Some("7"), "{name}");
    }
}

#[tokio::test]
async fn each_batch_has_an_instance_of_its_own_and_so_has_what_comes_after_an_operation_that_failed() {
    for (wrong, error_type) in [("trap", "Panic"), ("fail", "Asked"), ("state_is_not_json", "InvalidPayload")] {
        assert_eq!(run(None, &["runs", "runs", wrong, "runs", "runs"]).await.0, ["1", "2", error_type, "1", "2"]);
        assert_eq!(run(None, &["runs"]).await.0, ["1"]);
    }
    assert_eq!(run(Some("old:7"), &["runs", "fail", "add"]).await.0, ["1", "Asked", "8"], "it stays migrated");
}

#[tokio::test]
async fn what_an_operation_sends_comes_with_its_end() {
    let mut batch = batch(None);
    let run = batch.run(&operation("send")).await;
    let [entity::Action::Signal(signal), entity::Action::StartOrchestration(start)] = run.actions.as_slice() else {
        panic!("{run:?}");
    };
    assert_eq!((signal.entity.name.as_str(), start.version.as_deref()), ("Other", Some("2")));
    assert_eq!(start.scheduled.unwrap().seconds, 1);
}

#[tokio::test]
async fn the_state_of_an_older_version_is_migrated_before_the_first_operation() {
    assert_eq!(
        run(Some("old:41"), &["add", "add"]).await,
        (vec!["42".to_owned(), "43".to_owned()], Some("43".to_owned()))
    );
    assert_eq!(run(Some(""), &["get"]).await.0, ["0"], "an empty text is no state");
}

#[tokio::test]
async fn a_state_that_cannot_be_migrated_fails_every_operation_and_stays() {
    for state in ["old:fail", "old:trap", "old:nonsense"] {
        let (ends, after) = run(Some(state), &["add", "delete"]).await;
        assert_eq!(ends, ["StateNotMigrated", "StateNotMigrated"], "{state}");
        assert_eq!(after.as_deref(), Some(state));
    }
}

#[tokio::test]
async fn a_migration_that_takes_too_long_is_asked_for_again_by_the_next_operation() {
    let mut batch = batch(Some("old:spin"));
    for name in ["add", "delete"] {
        let failures = batch.run(&operation(name)).await.outcome.unwrap_err();
        assert_eq!(
            (failures[0].error_type.as_str(), failures[1].error_type.as_str()),
            ("StateNotMigrated", "Deadline")
        );
        assert!(failures.iter().all(|failure| failure.retriable), "{failures:?}");
        assert!(failures[1].message.contains(&format!("`{name}`")), "{failures:?}");
    }
    assert_eq!(batch.end().0.as_deref(), Some("old:spin"));
}

#[tokio::test]
async fn what_a_guest_wrote_before_it_was_stopped_is_shown_once() {
    let mut one = batch(None);
    one.run(&operation("trap")).await.outcome.unwrap_err();
    let told = |lines: &[durawasm_host::orchestration::LogLine]| {
        lines.iter().filter(|line| line.message.contains("trapped as asked")).count()
    };
    let lines = one.end().1;
    assert_eq!(told(&lines), 1, "{lines:?}");
}

#[tokio::test]
async fn a_component_tells_its_entities_by_their_names_in_lower_case() {
    assert_eq!(COMPONENT.entities(), ["hostile"]);
    assert_eq!(COMPONENT.entity_definitions()[0].description.as_deref(), Some("Breaks rules."));
}
