//! No guest can hurt the host or its neighbours: guests that trap or misbehave in every way, as orchestrators, as activities and as entities.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

mod answers;
mod arena;
mod attack;
mod code;
mod imports;
mod neighbour;
mod shapes;
#[path = "../support/mod.rs"]
mod support;
mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use attack::Attack;
use neighbour::Neighbour;
use usage::Usage;

/// Texts for people are read in a terminal.
const LONGEST_MESSAGE: usize = 2_000;
const LONGEST_STACK: usize = 16 << 10;

fn attacks() -> Vec<Attack> {
    let all: Vec<Attack> = [code::all(), answers::all(), imports::all()].into_iter().flatten().collect();
    let mut names: Vec<_> = all.iter().map(|attack| &attack.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len(), "each attack has a name of its own");
    all
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// How often an attack is repeated: few times in the tests, ten thousand times in `cargo xtask soak`.
fn repetitions() -> usize {
    std::env::var("DURAWASM_ISOLATION_REPETITIONS").map_or(100, |text| text.parse().unwrap())
}

#[test]
fn every_attack_ends_as_it_must_and_says_so_and_a_warm_neighbour_and_a_running_activity_go_on_undisturbed() {
    let attacks = Arc::new(attacks());
    let runtime = runtime();
    let (next, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut neighbour = Neighbour::new();
    let beside = {
        let done = Arc::clone(&done);
        let bytes = durawasm_test_components::Guest::default().component();
        let honest = arena::load(&bytes, arena::limits(Duration::from_secs(60))).unwrap();
        runtime.spawn(async move {
            let code = Arc::clone(honest.activity_code().unwrap());
            let mut calls = 0;
            while !done.load(Ordering::Relaxed) {
                let ending = arena::act(&code).await;
                assert!(ending.is("ok"), "{ending:?}");
                assert!(arena::orchestrate(&honest).is("ok"));
                let ending = arena::operate(honest.entity_code().unwrap(), true).await;
                assert!(ending.is("ok"), "{ending:?}");
                calls += 1;
            }
            calls
        })
    };
    // Two attackers at a time, so that attacks meet each other as well.
    let attackers: Vec<_> = (0..2)
        .map(|_| {
            let (attacks, next, handle) = (Arc::clone(&attacks), Arc::clone(&next), runtime.handle().clone());
            std::thread::spawn(move || {
                let mut wrong = Vec::new();
                while let Some(attack) = attacks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    let component = arena::load(&attack.guest.component(), arena::limits(Duration::from_millis(400)));
                    for (role, expected, ending) in handle.block_on(arena::run(attack, &component)) {
                        let said = ending.message.len() > 8 && ending.message.len() < LONGEST_MESSAGE;
                        let traced = !ending.outcome.ends_with("Trap")
                            || ending.stack.as_ref().is_some_and(|stack| stack.contains("guest!"));
                        let placed = !["parked: stack", "parked: deadline", "parked: fuel", "failed: StackLimit"]
                            .contains(&ending.outcome.as_str())
                            || ending.message.contains("guest!");
                        let bounded = ending.stack.as_ref().is_none_or(|stack| stack.len() < LONGEST_STACK);
                        if !(ending.is(expected) && said && traced && placed && bounded) {
                            wrong.push(format!("{}, {role}: expected {expected}, but {ending:#?}", attack.name));
                        }
                    }
                    if began.elapsed() > Duration::from_secs(10) {
                        wrong.push(format!("{}: took {:?}", attack.name, began.elapsed()));
                    }
                }
                wrong
            })
        })
        .collect();
    while attackers.iter().any(|attacker| !attacker.is_finished()) {
        neighbour.step();
    }
    let wrong: Vec<String> = attackers.into_iter().flat_map(|attacker| attacker.join().unwrap()).collect();
    assert!(wrong.is_empty(), "{} attacks, {} wrong:\n{}", attacks.len(), wrong.len(), wrong.join("\n"));
    done.store(true, Ordering::Relaxed);
    let calls = runtime.block_on(beside).unwrap();
    println!(
        "{} attacks; {} steps of the neighbour and {calls} honest calls beside them",
        attacks.len(),
        neighbour.calls.len()
    );
    neighbour.check();
}

#[test]
fn no_attack_leaks_memory_files_mappings_or_threads_however_often_it_is_repeated() {
    let repetitions = repetitions();
    let runtime = runtime();
    let mut neighbour = Neighbour::new();
    let mut leaks = Vec::new();
    let all = Usage::now();
    for attack in attacks() {
        let component = arena::load(&attack.guest.component(), arena::limits(Duration::from_millis(20)));
        let times = if attack.slow { repetitions.div_ceil(100) } else { repetitions };
        let times = if attack.orchestrator == "refused" { 1 } else { times };
        let round = |times| {
            runtime.block_on(async {
                for _ in 0..times {
                    arena::run(&attack, &component).await;
                }
            });
        };
        round(times.div_ceil(10));
        let (before, began) = (Usage::now(), Instant::now());
        round(times);
        let after = Usage::now();
        neighbour.step();
        if repetitions > 100 {
            println!("{}: {times} times in {:?}; before {before:?}, after {after:?}", attack.name, began.elapsed());
        }
        if let Some(leaked) = after.leaked_since(before) {
            leaks.push(format!("{}, {times} times: {leaked}", attack.name));
        }
    }
    println!("all: before {all:?}, after {:?}", Usage::now());
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
    neighbour.check();
}

#[test]
fn a_component_of_any_shape_is_loaded_or_refused_in_bounded_time_and_memory() {
    let mut wrong = Vec::new();
    for shape in shapes::all() {
        let bytes = shape.bytes();
        let before = Usage::now();
        let began = Instant::now();
        let loaded = arena::load(&bytes, arena::limits(Duration::from_millis(400)));
        let (took, size) = (began.elapsed(), bytes.len());
        let after = Usage::now();
        let grown = after.resident.saturating_sub(before.resident) >> 20;
        let said = match &loaded {
            Ok(_) => "loaded".to_owned(),
            Err(ending) => ending.message.chars().take(300).collect(),
        };
        println!("{}: {size} bytes, {took:?}, {grown} MiB more: {said}", shape.name);
        let expected = if shape.refused { loaded.is_err() } else { true };
        let bounded = loaded.as_ref().err().is_none_or(|ending| ending.message.len() < LONGEST_MESSAGE);
        if !expected || !bounded || took > Duration::from_secs(20) || grown > 512 {
            wrong.push(format!("{}: {size} bytes, {took:?}, {grown} MiB more: {said}", shape.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
