//! The seeded simulator of the scheduler's core.
//!
//! One seed makes one world: clients, workers that replay, a network that loses, a disk that lags, a process that crashes. The
//! world runs until nothing happens any more; invariants are checked at every step. See `docs/simulation.md`.
//!
//! `DURAWASM_SIM_SEED=7` runs one seed and prints what happened, `DURAWASM_SIM_SEEDS=100000` runs many.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sabotage::Sabotage;
use world::{Trace, World};

mod actions;
mod audit;
mod chance;
mod client;
mod network;
mod plan;
mod process;
mod sabotage;
mod server;
mod session;
mod spec;
mod worker;
mod world;

/// After so many seeds that fail the rest is not run.
const MOST_FAILURES: usize = 10;

/// Runs one seed. The error says what is wrong.
fn run(seed: u64, sabotage: Option<Sabotage>, trace: Option<Trace>) -> Result<u64, String> {
    let attempt = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, sabotage, trace);
        world.run();
        world.steps()
    }));
    attempt.map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().map_or_else(|| "a panic".to_owned(), |t| (*t).to_owned()),
    })
}

/// Runs a failed seed again and tells what happened before.
fn report(seed: u64, why: &str) -> String {
    let trace: Trace = Rc::new(RefCell::new(VecDeque::new()));
    let again = run(seed, None, Some(trace.clone()));
    let lines: Vec<String> = trace.borrow().iter().cloned().collect();
    let same = if again.as_ref().err().is_some_and(|a| a == why) { "" } else { "(THE REPLAY DIFFERS) " };
    format!("{}\nseed {seed}: {same}{why}\nrun it alone with DURAWASM_SIM_SEED={seed}", lines.join("\n"))
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Violations are panics; they are reported once, with their seed, and not as they happen.
fn without_noise<T>(body: impl FnOnce() -> T) -> T {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = body();
    std::panic::set_hook(hook);
    result
}

#[test]
fn whatever_fails_and_in_whatever_order_nothing_is_lost_nothing_is_doubled_and_all_end_as_the_model_says() {
    let only = setting("DURAWASM_SIM_SEED");
    let first = setting("DURAWASM_SIM_FIRST").unwrap_or(0);
    let many = first..first + setting("DURAWASM_SIM_SEEDS").unwrap_or(3_000);
    let seeds = only.map_or(many, |seed| seed..seed + 1);
    let count = seeds.end - seeds.start;
    let (next, steps) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let failed: Mutex<Vec<(u64, String)>> = Mutex::default();
    let failed = without_noise(|| {
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds.end || failed.lock().expect("not poisoned").len() >= MOST_FAILURES {
                            return;
                        }
                        match run(seed, None, None) {
                            Ok(taken) => _ = steps.fetch_add(taken, Ordering::Relaxed),
                            Err(why) => failed.lock().expect("not poisoned").push((seed, why)),
                        }
                    }
                });
            }
        });
        let mut failed = failed.into_inner().expect("not poisoned");
        failed.sort();
        let first = failed.first().map(|(seed, why)| report(*seed, why));
        first.map(|first| {
            let others: Vec<String> = failed[1..].iter().map(|(seed, why)| format!("seed {seed}: {why}")).collect();
            format!("{first}\nother seeds that fail:\n{}", others.join("\n"))
        })
    });
    if let Some(report) = failed {
        panic!("{report}");
    }
    println!("{count} seeds, {} steps, no violation", steps.into_inner());
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..20 {
        let trace = || -> Trace { Rc::new(RefCell::new(VecDeque::new())) };
        let (first, second) = (trace(), trace());
        assert_eq!(run(seed, None, Some(first.clone())), run(seed, None, Some(second.clone())));
        assert_eq!(first, second, "seed {seed}");
    }
}

/// Runs worlds with a fault made on purpose until one is noticed. What is wanted of the report is a part of it.
fn is_noticed(sabotage: Sabotage, wording: &[&str]) {
    let found = (0..400).find_map(|seed| run(seed, Some(sabotage), None).err());
    let found = found.unwrap_or_else(|| panic!("{sabotage:?} was not noticed"));
    assert!(wording.iter().any(|w| found.contains(w)), "{sabotage:?} was noticed, but as: {found}");
}

#[test]
fn faults_made_on_purpose_are_noticed() {
    let missed: Vec<String> = without_noise(|| {
        let faults = Sabotage::ALL.iter();
        let missed = faults.filter_map(|(sabotage, wording)| {
            let attempt = catch_unwind(|| is_noticed(*sabotage, wording));
            attempt.err().and_then(|panic| panic.downcast::<String>().ok()).map(|text| *text)
        });
        missed.collect()
    });
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
