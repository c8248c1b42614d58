//! Whatever an orchestrator does, live is the same as after eviction at any point, however resolutions are grouped.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

mod support;

use std::collections::HashSet;

use durawasm_host::abi::RetryPolicy;
use durawasm_host::orchestration::{Decision, Limits, Session};
use proptest::collection::vec;
use proptest::prelude::*;
use support::journal::{Choice, failure, go_on, live, program, same_after_eviction};
use support::reactor::{Effect, Node, Plan, Reactor, Wait};

const EVENTS: [&str; 3] = ["red", "Blue", "RED"];

fn retry() -> impl Strategy<Value = Option<RetryPolicy>> {
    proptest::option::of((1..4_u32, 1..100_u64).prop_map(|(max_attempts, first_interval)| RetryPolicy {
        max_attempts,
        first_interval,
        backoff: 2.0,
        max_interval: None,
        timeout: None,
        non_retriable: vec!["Fatal".to_owned()],
    }))
}

fn wait() -> impl Strategy<Value = Wait> {
    prop_oneof![
        3 => retry().prop_map(|retry| Wait::Activity { retry }),
        1 => retry().prop_map(|retry| Wait::Child { retry }),
        1 => Just(Wait::Timer),
        2 => entity().prop_map(Wait::Entity),
        3 => vec(entity(), 1..3).prop_map(Wait::Lock),
        4 => prop::sample::select(&["red", "blue"][..]).prop_map(|name| Wait::Event(name.to_owned())),
    ]
}

fn entity() -> impl Strategy<Value = String> {
    prop::sample::select(&["a", "b", "c"][..]).prop_map(str::to_owned)
}

fn effects() -> impl Strategy<Value = Vec<Effect>> {
    vec(
        prop_oneof![
            6 => (0..8_usize).prop_map(Effect::Issue),
            3 => (0..8_usize).prop_map(Effect::Cancel),
            2 => Just(Effect::Unlock),
            1 => entity().prop_map(Effect::Signal),
            1 => any::<u32>().prop_map(Effect::Status),
            1 => Just(Effect::Send),
            1 => Just(Effect::Complete),
            1 => Just(Effect::Fail),
            1 => any::<bool>().prop_map(|keep_events| Effect::ContinueAsNew { keep_events }),
        ],
        0..4,
    )
}

fn plans() -> impl Strategy<Value = Plan> {
    let nodes = vec((wait(), effects()).prop_map(|(wait, then)| Node { wait, then }), 1..8);
    (vec((0..8_usize).prop_map(Effect::Issue), 1..5), nodes).prop_map(|(first, nodes)| Plan { first, nodes })
}

/// What was locked when an execution failed was released then: a rewind does not lock it again.
fn without_locks(mut plan: Plan) -> Plan {
    for node in &mut plan.nodes {
        if matches!(node.wait, Wait::Lock(_)) {
            node.wait = Wait::Timer;
        }
    }
    plan
}

fn choices() -> impl Strategy<Value = Vec<Vec<Choice>>> {
    vec(vec(any::<Choice>(), 1..6), 0..12)
}

fn outcome(decision: &Decision) -> durawasm_host::abi::Outcome {
    // Some activities fail, some of them in a way that is not tried again.
    match decision {
        Decision::Activity { name, .. } | Decision::Child { name, .. } => match name.as_bytes()[name.len() - 1] % 4 {
            0 => Err(vec![failure("Transient")]),
            1 => Err(vec![failure("Fatal")]),
            _ => Ok(Some("1".to_owned())),
        },
        _ => Ok(None),
    }
}

fn session(plan: &Plan, batch: usize) -> Session<Reactor> {
    Session::new(Reactor::new(plan.clone()), "instance", program(), Limits { batch, ..Limits::default() })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000 * ProptestConfig::default().cases / 256, ..ProptestConfig::default() })]

    #[test]
    fn a_session_evicted_at_any_point_does_what_a_warm_one_did(plan in plans(), choices in choices()) {
        let begin = |journal: &mut support::journal::Journal| journal.begin("plan", None, Vec::new());
        let (journal, episodes) = live(session(&plan, 512), begin, &choices, outcome, &EVENTS);
        same_after_eviction(|| session(&plan, 512), &journal, &episodes).unwrap();
    }

    #[test]
    fn suspending_and_resuming_at_any_point_changes_nothing_but_the_time(plan in plans(), choices in choices()) {
        let begin = |journal: &mut support::journal::Journal| {
            journal.suspends = true;
            journal.begin("plan", None, Vec::new())
        };
        let (journal, episodes) = live(session(&plan, 512), begin, &choices, outcome, &EVENTS);
        same_after_eviction(|| session(&plan, 512), &journal, &episodes).unwrap();
        same_after_eviction(|| session(&plan, 1), &journal, &episodes).unwrap();
    }

    #[test]
    fn a_rewound_execution_goes_on_and_is_the_same_after_eviction_at_any_point(
        plan in plans().prop_map(without_locks),
        before in choices(),
        after in choices(),
    ) {
        let begin = |journal: &mut support::journal::Journal| {
            journal.suspends = true;
            journal.begin("plan", None, Vec::new())
        };
        let (mut journal, _) = live(session(&plan, 512), begin, &before, outcome, &EVENTS);
        // Rewound twice: what was mended at the first time stays so, and more may fail then.
        for round in 0..2 {
            journal.rewind();
            let recorded: HashSet<i32> = journal.past.iter().map(|event| event.id).filter(|id| *id > 0).collect();
            let new = journal.episode(Vec::new());
            let later = |decision: &Decision| if round == 0 { outcome(decision) } else { Ok(None) };
            let (after, episodes) = go_on(session(&plan, 512), journal, new, &after, later, &EVENTS);
            same_after_eviction(|| session(&plan, 512), &after, &episodes).unwrap();
            same_after_eviction(|| session(&plan, 1), &after, &episodes).unwrap();
            let emitted: Vec<i32> =
                episodes.iter().flat_map(|episode| &episode.turn.actions).map(|action| action.id).collect();
            let distinct: HashSet<i32> = emitted.iter().copied().collect();
            prop_assert_eq!(distinct.len(), emitted.len(), "no id twice");
            prop_assert!(distinct.is_disjoint(&recorded), "{:?} and {:?}", distinct, recorded);
            journal = after;
        }
    }

    #[test]
    fn outcome_and_ids_never_depend_on_how_resolutions_are_grouped(plan in plans(), choices in choices()) {
        let begin = |journal: &mut support::journal::Journal| journal.begin("plan", None, Vec::new());
        let (journal, episodes) = live(session(&plan, 512), begin, &choices, outcome, &EVENTS);
        let (_, alone) = live(session(&plan, 1), begin, &choices, outcome, &EVENTS);
        for (one, other) in episodes.iter().zip(&alone) {
            prop_assert_eq!(&one.turn, &other.turn);
        }
        prop_assert_eq!(episodes.len(), alone.len());
        same_after_eviction(|| session(&plan, 1), &journal, &episodes).unwrap();
        same_after_eviction(|| session(&plan, 2), &journal, &episodes).unwrap();
    }

    #[test]
    fn action_ids_are_dense_and_begin_at_one(plan in plans(), choices in choices()) {
        let begin = |journal: &mut support::journal::Journal| journal.begin("plan", None, Vec::new());
        let (_, episodes) = live(session(&plan, 512), begin, &choices, outcome, &EVENTS);
        let ids: Vec<_> = episodes.iter().flat_map(|episode| &episode.turn.actions).map(|action| action.id).collect();
        let dense: Vec<_> = (1..=ids.len() as i32).collect();
        prop_assert_eq!(ids, dense);
    }
}
