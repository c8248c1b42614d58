//! What is said of a guest that was stopped names the function, the file and the line, where the component has debug information.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

mod support;

use std::time::Duration;

use durawasm_host::abi::{EntityId, Failure, Timestamp, entity};
use durawasm_host::orchestration::Decision;
use durawasm_host::registry::LoadedComponent;
use support::journal::Journal;
use support::{limits, load, run_activity, session};

const SOURCE: &str = include_str!("../../tests/guests/hostile/src/lib.rs");

/// A place in the guest's source: the function, and the file with the line of this piece of code.
fn place(function: &str, code: &str) -> [String; 2] {
    let begin = SOURCE.lines().position(|line| line.starts_with(&format!("fn {function}("))).unwrap();
    let line = SOURCE.lines().skip(begin).position(|line| line.contains(code)).unwrap();
    [function.to_owned(), format!("hostile/src/lib.rs:{}:", begin + line + 1)]
}

fn says(name: &str, text: &str, [function, line]: [String; 2]) {
    // As a frame, or as an inlined one, or in a sentence: what is said of the limit may have the same word in it.
    let frame = [format!("!test_hostile::{function}::"), format!("`{function}`")];
    let inlined = format!(" - {function}");
    let named = frame.iter().any(|frame| text.contains(frame)) || text.lines().any(|line| line.ends_with(&inlined));
    assert!(named, "{name}: the function `{function}` is missing: {text}");
    assert!(text.contains(&line), "{name}: `{line}` is missing: {text}");
}

fn hostile() -> LoadedComponent {
    load(
        "hostile",
        limits(|limits| {
            limits.orchestrator.fuel = 50_000_000;
            limits.orchestrator.guest.memory = 4 << 20;
            limits.activity.memory = 4 << 20;
            limits.activity.deadline = Duration::from_millis(200);
        }),
    )
}

#[test]
fn a_parked_orchestrator_and_a_failed_one_say_in_which_function_and_at_which_line_it_was() {
    let component = hostile();
    let begin = |name: &str| {
        let mut journal = Journal::default();
        let new = journal.begin(name, None, vec![]);
        session(&component, "the-instance", 512).apply([], new)
    };
    for (name, place) in [
        ("overflows the stack", place("overflow", "overflow(depth + 1)")),
        // The head of a loop has a function, and no line.
        ("loops for ever", ["spin".to_owned(), "hostile/src/".to_owned()]),
        ("allocates without end", place("devour", "eaten.push")),
    ] {
        let park = begin(name).unwrap_err();
        says(name, &park.message, place);
    }
    let turn = begin("traps").unwrap();
    let Some(Decision::Complete(completion)) = turn.actions.last().map(|action| &action.decision) else {
        panic!("{turn:?}")
    };
    says("traps", completion.failures[0].stack.as_ref().unwrap(), place("trap", "wasm32::unreachable()"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_activity_carries_its_backtrace_with_lines_whatever_stopped_it() {
    let component = hostile();
    for (name, place) in [
        ("traps", place("trap", "wasm32::unreachable()")),
        ("reads out of bounds", place("out_of_bounds", "read_volatile(address)")),
        ("overflows the stack", place("overflow", "overflow(depth + 1)")),
        ("loops for ever", ["spin".to_owned(), "hostile/src/".to_owned()]),
        ("allocates without end", place("devour", "eaten.push")),
    ] {
        let run = run_activity(&component, name).await;
        let Failure { stack, .. } = run.outcome.unwrap_err().swap_remove(0);
        says(name, &stack.unwrap_or_else(|| panic!("{name} has no backtrace")), place);
    }
}

#[tokio::test]
async fn a_failed_operation_of_an_entity_carries_its_backtrace_whatever_stopped_it() {
    let component = load("entities", limits(|limits| limits.entity.deadline = Duration::from_millis(200)));
    for name in ["trap", "spin", "eat_memory", "read_clock"] {
        let id = EntityId { name: "hostile".to_owned(), key: "a".to_owned() };
        let operation = entity::Operation {
            name: name.to_owned(),
            input: None,
            signal: false,
            id: "1".to_owned(),
            now: Timestamp { seconds: 1, nanos: 0 },
        };
        let run = component.entity_code().unwrap().batch(id, None).run(&operation).await;
        let Failure { stack, .. } = run.outcome.unwrap_err().swap_remove(0);
        let stack = stack.unwrap_or_else(|| panic!("{name} has no backtrace"));
        // This component has no debug information: the function's name is all that can be told.
        assert!(stack.contains("!durawasm:workflow/entity@0.1.0#run"), "{name}: {stack}");
    }
}
