//! Random programs.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::program::{Program, Step, Wait};

/// The names of the external events that random programs wait for.
pub const EVENTS: [&str; 2] = ["red", "blue"];

const SLOTS: u8 = 3;

/// Programs of up to `steps` steps at the top.
pub fn programs(steps: usize) -> impl Strategy<Value = Program> {
    vec(step(), 0..=steps).prop_map(|steps| Program { steps })
}

fn step() -> impl Strategy<Value = Step> {
    simple_step().prop_recursive(2, 12, 4, |inner| {
        (0..4_u8, vec(inner, 1..4)).prop_map(|(times, steps)| Step::Repeat(times, steps))
    })
}

fn simple_step() -> impl Strategy<Value = Step> {
    let slot = || 0..SLOTS;
    prop_oneof![
        4 => wait().prop_map(Step::Await),
        2 => vec(wait(), 0..5).prop_map(Step::Join),
        3 => vec(wait(), 1..4).prop_map(Step::Race),
        2 => (1..5_000_u64, wait()).prop_map(|(millis, wait)| Step::Timeout(millis, wait)),
        3 => (slot(), wait()).prop_map(|(slot, wait)| Step::Begin(slot, wait)),
        2 => slot().prop_map(Step::Finish),
        1 => slot().prop_map(Step::Abandon),
        1 => any::<u32>().prop_map(Step::Status),
        1 => Just(Step::Now),
        1 => Just(Step::Random),
        1 => Just(Step::Uuid),
    ]
}

fn wait() -> impl Strategy<Value = Wait> {
    prop_oneof![
        4 => any::<i64>().prop_map(Wait::Echo),
        1 => any::<i64>().prop_map(Wait::Fail),
        2 => any::<i64>().prop_map(Wait::Entity),
        2 => (0..10_000_u64).prop_map(Wait::Timer),
        3 => prop::sample::select(&EVENTS[..]).prop_map(|name| Wait::Event(name.to_owned())),
    ]
}
