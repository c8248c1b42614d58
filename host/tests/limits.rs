//! Each limit is reached by a real guest, live and in a replay: its class, what is said of it, and that nothing else is hurt.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use durawasm_host::abi::entity::Operation;
use durawasm_host::abi::{EntityId, Failure, Outcome, Timestamp};
use durawasm_host::orchestration::{HistoryEvent, Limit, Park, ParkReason, Session, Turn};
use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::{CodeCache, Engines, Orchestrator, SandboxLimits};
use durawasm_test_components::Guest;
use support::journal::{Journal, resolved};
use support::{guest, limits, run_activity};

const MIB: usize = 1 << 20;

fn hostile(change: impl FnOnce(&mut SandboxLimits)) -> LoadedComponent {
    LoadedComponent::load(&guest("hostile"), &Engines::new().unwrap(), &CodeCache::none(), limits(change)).unwrap()
}

fn session(component: &LoadedComponent, id: &str) -> Session<Orchestrator> {
    let guest = Orchestrator::new(Arc::clone(component.orchestrator_code().unwrap()));
    Session::new(guest, id, Arc::clone(component.program()), component.limits().orchestrator.session())
}

/// Runs the first episode of an orchestrator.
fn begin(component: &LoadedComponent, name: &str) -> (Session<Orchestrator>, Journal, Result<Turn, Park>) {
    let mut journal = Journal::default();
    let mut session = session(component, "the-instance");
    let new = journal.begin(name, None, vec![]);
    let turn = session.apply([], new.clone());
    if let Ok(turn) = &turn {
        journal.commit(new, turn);
    }
    (session, journal, turn)
}

/// The events of the next episode: all that is open has its result.
fn results(journal: &mut Journal) -> Vec<HistoryEvent> {
    let kinds = journal.open.iter().map(|(id, kind, _)| resolved(*kind, *id, Ok(Some("1".to_owned())))).collect();
    journal.episode(kinds)
}

/// An orchestrator that breaks no limit, begun before and ended after something else has happened.
fn beside(component: &LoadedComponent, what: impl FnOnce()) {
    let (mut neighbour, mut journal, turn) = begin(component, "is honest");
    turn.unwrap();
    what();
    let next = results(&mut journal);
    assert!(neighbour.apply([], next).unwrap().ended);
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap() << 10
}

/// What an orchestrator does, under which limits, which limit it reaches, and what the message must say of the value.
type Case = (&'static str, fn(&mut SandboxLimits), Limit, &'static str);

const ORCHESTRATORS: &[Case] = &[
    ("allocates without end", |limits| limits.orchestrator.guest.memory = 4 * MIB, Limit::Memory, "4194304 bytes"),
    ("overflows the stack", |_| {}, Limit::Stack, "1048576 bytes"),
    ("loops for ever", |limits| limits.orchestrator.fuel = 50_000_000, Limit::Fuel, "50000000 units"),
    (
        "loops for ever",
        |limits| {
            limits.orchestrator.fuel = u64::MAX;
            limits.orchestrator.guest.deadline = Duration::from_millis(50);
        },
        Limit::Deadline,
        "50 ms",
    ),
    ("calls with a long input", |limits| limits.orchestrator.guest.payload = MIB, Limit::Payload, "1048576 bytes"),
    ("completes with a long output", |limits| limits.orchestrator.guest.payload = 1_000, Limit::Payload, "1000 bytes"),
    ("calls a thousand activities", |limits| limits.orchestrator.commands = 999, Limit::Commands, "999"),
    ("calls a thousand activities", |limits| limits.orchestrator.pending = 998, Limit::Pending, "998"),
    (
        "hands over more than it has",
        |limits| limits.orchestrator.guest.answer = 8 * MIB,
        Limit::Answer,
        "8388608 bytes",
    ),
    ("asks for 2 MiB of random bytes", |_| {}, Limit::Random, "1048576 bytes"),
];

#[test]
fn an_orchestrator_that_reaches_a_limit_is_parked_with_its_class_the_value_and_what_to_do() {
    let mut before = 0;
    for round in 0..3 {
        for (name, change, limit, value) in ORCHESTRATORS {
            let component = hostile(change);
            beside(&component, || {
                let park = begin(&component, name).2.unwrap_err();
                assert_eq!(park.reason, ParkReason::Limit(*limit), "{name}: {park}");
                for part in [*value, "the-instance", "test-hostile 1.0.0", name, limit.word()] {
                    assert!(park.message.contains(part), "{name}: `{part}` is missing: {park}");
                }
                assert!(!park.advice.is_empty(), "{park}");
            });
        }
        if round == 0 {
            before = resident();
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 32 * MIB, "after {} breaches the host holds {grown} bytes more", 2 * ORCHESTRATORS.len());
}

#[test]
fn what_the_history_holds_is_not_judged_again_by_what_it_decided_and_is_by_what_it_uses_now() {
    // Each was within the limits when it was live: (orchestrator, the lower limits of the replay, what comes of it).
    type Change = fn(&mut SandboxLimits);
    let cases: &[(&str, Change, Option<Limit>)] = &[
        ("holds 8 MiB", |limits| limits.orchestrator.guest.memory = 4 * MIB, Some(Limit::Memory)),
        ("computes for a while", |limits| limits.orchestrator.fuel = 1_000_000, None),
        ("calls a thousand activities", |limits| limits.orchestrator.commands = 10, None),
        ("calls a thousand activities", |limits| limits.orchestrator.guest.answer = 100_000, Some(Limit::Answer)),
    ];
    for (name, change, reached) in cases {
        let (_, mut journal, turn) = begin(&hostile(|_| {}), name);
        turn.unwrap();
        let (past, new) = (journal.past.clone(), results(&mut journal));
        let component = hostile(change);
        let result = session(&component, "the-instance").apply(past, new);
        match (reached, result) {
            (None, Ok(turn)) => assert!(turn.ended, "{name}: {turn:?}"),
            (Some(limit), Err(park)) => assert_eq!(park.reason, ParkReason::Limit(*limit), "{name}: {park}"),
            (_, other) => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_new_episode_has_its_fuel_for_itself_however_much_its_past_has_used() {
    let component = hostile(|limits| limits.orchestrator.fuel = 1_000_000);
    let (_, mut journal, turn) = begin(&hostile(|_| {}), "computes for a while");
    let first = turn.unwrap().fuel;
    assert!(first.episode > 10_000_000 && first.episode == first.execution, "{first:?}");
    let (past, new) = (journal.past.clone(), results(&mut journal));
    let fuel = session(&component, "the-instance").apply(past, new).unwrap().fuel;
    assert_eq!(fuel.execution - fuel.episode, first.execution, "the replay of the past costs what the past has cost");
    assert!(fuel.episode > 0 && fuel.episode < 1_000_000, "{fuel:?}");
}

fn failure(outcome: Outcome) -> Failure {
    outcome.unwrap_err().swap_remove(0)
}

const ACTIVITIES: &[Case] = &[
    ("allocates without end", |limits| limits.activity.memory = 4 * MIB, Limit::Memory, "4194304 bytes"),
    ("overflows the stack", |_| {}, Limit::Stack, "1048576 bytes"),
    ("loops for ever", |limits| limits.activity.deadline = Duration::from_millis(50), Limit::Deadline, "50 ms"),
    ("returns a long output", |limits| limits.activity.payload = MIB, Limit::Payload, "1048576 bytes"),
    ("returns 2 MiB", |limits| limits.activity.answer = MIB, Limit::Answer, "1048576 bytes"),
    ("hands over more than it has", |limits| limits.activity.answer = 8 * MIB, Limit::Answer, "8388608 bytes"),
    ("fine", |limits| limits.activity.tables = 1, Limit::Tables, "1 elements"),
    ("fine", |limits| limits.activity.memory = 1_000, Limit::Memory, "1000 bytes"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activity_that_reaches_a_limit_fails_with_its_class_the_value_and_what_to_do() {
    let neighbour = hostile(|_| {});
    let mut before = 0;
    for round in 0..3 {
        for (name, change, limit, value) in ACTIVITIES {
            let component = hostile(change);
            let (run, fine) = tokio::join!(run_activity(&component, name), run_activity(&neighbour, "fine"));
            assert_eq!(fine.outcome.unwrap().as_deref(), Some("1"), "beside {name}");
            let failure = failure(run.outcome);
            assert_eq!(failure.error_type, limit.failure_type(), "{name}: {failure:?}");
            for part in [*value, "i/e/1", "test-hostile 1.0.0", name, limit.word(), "What to do: "] {
                assert!(failure.message.contains(part), "{name}: `{part}` is missing: {failure:?}");
            }
            assert_eq!(failure.retriable, *limit != Limit::Payload);
        }
        if round == 0 {
            before = resident();
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 32 * MIB, "after {} breaches the host holds {grown} bytes more", 2 * ACTIVITIES.len());
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_with_one_line_that_says_how_many_are_missing() {
    let component = hostile(|limits| {
        limits.orchestrator.guest.log_lines = 100;
        limits.activity.log_bytes = 2_000;
    });
    let lines = begin(&component, "logs without end").2.unwrap().logs;
    assert_eq!(lines.len(), 101);
    assert!(lines[100].message.starts_with("99900 more lines were dropped"), "{}", lines[100].message);
    let lines = run_activity(&component, "logs without end").await.logs;
    assert!(lines.len() < 300, "{} lines", lines.len());
    assert!(lines.last().unwrap().message.contains("2000 bytes"), "{:?}", lines.last());
}

#[test]
fn a_component_that_cannot_even_begin_within_its_limits_is_not_loaded() {
    let load = |change: fn(&mut SandboxLimits)| {
        LoadedComponent::load(&guest("hostile"), &Engines::new().unwrap(), &CodeCache::none(), limits(change))
            .unwrap_err()
            .to_string()
    };
    let error = load(|limits| limits.orchestrator.guest.memory = 1_000);
    assert!(error.contains("1000 bytes"), "{error}");
    let error = load(|limits| limits.orchestrator.guest.tables = 1);
    assert!(error.contains("1 elements"), "{error}");
    let error = load(|limits| limits.orchestrator.fuel = 1);
    assert!(error.contains("fuel"), "{error}");
}

#[tokio::test]
async fn a_table_that_grows_reaches_its_limit_with_its_class_and_the_value_in_each_role() {
    let guest = Guest::attacking("(drop (table.grow $table (ref.null func) (i32.const 10000)))");
    let fields = format!("{} (table $table 1 funcref)", guest.fields);
    let component = Guest { fields, ..guest }.component();
    let limits = limits(|limits| {
        for guest in [&mut limits.orchestrator.guest, &mut limits.activity, &mut limits.entity] {
            guest.tables = 5_000;
        }
    });
    let component = LoadedComponent::load(&component, &Engines::new().unwrap(), &CodeCache::none(), limits).unwrap();
    let park = begin(&component, "attack").2.unwrap_err();
    assert_eq!(park.reason, ParkReason::Limit(Limit::Tables), "{park}");
    let of_the_activity = failure(run_activity(&component, "attack").await.outcome);
    let id = EntityId { name: "attack".to_owned(), key: "k".to_owned() };
    let operation = Operation {
        name: "attack".to_owned(),
        input: None,
        signal: false,
        id: "@attack@k/1".to_owned(),
        now: Timestamp { seconds: 1, nanos: 0 },
    };
    let of_the_entity = failure(component.entity_code().unwrap().batch(id, None).run(&operation).await.outcome);
    for failure in [&of_the_activity, &of_the_entity] {
        assert_eq!(failure.error_type, Limit::Tables.failure_type(), "{failure:?}");
        assert!(failure.stack.as_ref().is_some_and(|stack| stack.contains("guest!attack")), "{failure:?}");
    }
    for message in [&park.message, &of_the_activity.message, &of_the_entity.message] {
        for part in ["elements of tables", "5000 elements", "`tables`", "`guest!attack`"] {
            assert!(message.contains(part), "`{part}` is missing: {message}");
        }
    }
}
