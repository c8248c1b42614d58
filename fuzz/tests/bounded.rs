//! Each fuzz target for a moment, and with the same inputs each time. `cargo xtask soak --only fuzz` runs them for long.

use std::path::Path;
use std::time::Duration;

use durawasm_fuzz::{Plan, run, targets};

fn holds(name: &str, inputs: u64) {
    let seed = std::env::var("DURAWASM_FUZZ_SEED").map_or(1, |text| text.parse().expect("a seed is a number"));
    let failures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    let plan = Plan { seed, inputs, time: Duration::from_secs(20), failures };
    let mut target = targets::target(name).expect("there is such a target");
    match run(&mut *target, &plan) {
        Ok(report) => println!("{name}, seed {seed}: {} inputs in {:?}", report.inputs, report.time),
        Err(failed) => panic!("{name}, seed {seed}: {failed}"),
    }
}

#[test]
fn any_bytes_are_a_component_that_runs_or_are_refused() {
    holds("components", 80);
}

#[test]
fn any_value_that_a_guest_answers_acts_or_parks() {
    holds("values", 4_000);
}

#[test]
fn any_history_acts_or_parks() {
    holds("histories", 4_000);
}

#[test]
fn any_message_to_the_scheduler_is_answered_and_the_next_one_too() {
    holds("requests", 500);
}

#[test]
fn any_message_to_the_host_is_survived() {
    holds("work", 1_000);
}

#[test]
fn any_manifest_and_policy_are_read_or_refused_and_nothing_is_granted_beyond_the_policy() {
    holds("manifests", 20_000);
}

#[test]
fn any_store_file_is_read_as_it_was_written_or_refused() {
    holds("stores", 40);
}

#[test]
fn every_target_is_run_here() {
    let source = include_str!("bounded.rs");
    for name in targets::NAMES {
        assert!(source.contains(&format!("holds(\"{name}\"")), "{name}");
    }
}
