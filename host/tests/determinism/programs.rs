//! Random programs of the SDK, with random courses of events: commands and memory are the same on every processor, evicted at any
//! point, however results are grouped.

use std::sync::LazyLock;

use durawasm_host::abi::Outcome;
use durawasm_host::orchestration::Decision;
use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::{CodeCache, Engines};
use durawasm_test_programs::Program;
use durawasm_test_programs::strategy::{EVENTS, programs};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::memory::{digest, watching};
use crate::support::journal::{Choice, Journal, failure, live, same_after_eviction};
use crate::support::{guest, session};
use crate::variant::{Variant, limits};

/// The same component in one variant. The engines are kept for the clock of their deadlines.
struct Loaded {
    component: LoadedComponent,
    _engines: Engines,
}

fn load(variant: Variant) -> Loaded {
    let engines = variant.engines();
    let component = LoadedComponent::load(&guest("programs"), &engines, &CodeCache::none(), limits()).unwrap();
    Loaded { component, _engines: engines }
}

static PRODUCTION: LazyLock<Loaded> = LazyLock::new(|| load(Variant::Production));
static PLAIN: LazyLock<Loaded> = LazyLock::new(|| load(Variant::PlainProcessor));
static WATCHED: LazyLock<Loaded> = LazyLock::new(|| load(Variant::Watched));
static WATCHED_PLAIN: LazyLock<Loaded> = LazyLock::new(|| load(Variant::WatchedPlain));

fn outcome(decision: &Decision) -> Outcome {
    match decision {
        Decision::Activity { name, input, .. } if name == "echo" => Ok(input.clone()),
        Decision::Activity { .. } => Err(vec![failure("Failed")]),
        _ => Ok(None),
    }
}

fn check(program: &Program, choices: &[Vec<Choice>], batch: usize) {
    let input = serde_json::to_string(program).unwrap();
    let begin = |journal: &mut Journal| {
        journal.suspends = true;
        journal.begin("program", Some(input.clone()), Vec::new())
    };
    let in_variant = |loaded: &Loaded, batch| session(&loaded.component, "random", batch);
    let (journal, episodes) = live(in_variant(&PRODUCTION, 512), begin, choices, outcome, &EVENTS);
    same_after_eviction(|| in_variant(&PLAIN, 512), &journal, &episodes).unwrap();
    same_after_eviction(|| in_variant(&PLAIN, batch), &journal, &episodes).unwrap();

    // Loading a component makes memories, too: it is done before any are watched.
    let loaded = [&*WATCHED, &*WATCHED_PLAIN];
    let ((_, watched), memories) = watching(|| live(in_variant(&WATCHED, 512), begin, choices, outcome, &EVENTS));
    let turns = |episodes: &[crate::support::journal::Episode]| {
        episodes.iter().map(|episode| episode.turn.clone()).collect::<Vec<_>>()
    };
    assert_eq!(turns(&watched), turns(&episodes));
    let last = episodes.last().unwrap();
    for loaded in loaded {
        let mut session = in_variant(loaded, 512);
        let past = journal.past[..last.before].to_vec();
        let (turn, evicted) = watching(|| session.apply(past, last.new.clone()).unwrap());
        assert_eq!(turn, last.turn);
        assert_eq!(digest(&evicted), digest(&memories), "the memory in the end");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100 * ProptestConfig::default().cases / 256, ..ProptestConfig::default() })]

    #[test]
    fn random_programs_do_the_same_on_every_processor_evicted_at_any_point_in_groups_of_any_size(
        program in programs(8),
        choices in vec(vec(any::<Choice>(), 1..5), 0..15),
        batch in 1..6_usize,
    ) {
        check(&program, &choices, batch);
    }
}
