//! The proof that an orchestrator cannot see anything but its history.
//!
//! A corpus of cases that each try one way (`corpus.rs`) is run live, evicted at every point, and replayed in fresh processes whose
//! processor has fewer instructions: every command, log line and failure, and the digest of the memory after each episode, must be the
//! same. What is compared with what is in `docs/determinism.md`, which holds the table of the cases.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

mod corpus;
mod fresh;
mod memory;
mod play;
mod programs;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod text;
mod variant;
mod wire;

use corpus::{CASES, Case, Components, FUSED, GROUPED, Sees, Source};
use durawasm_host::orchestration::Question;
use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::{CodeCache, EngineOptions, Engines, Processor, SandboxLimits};
use fresh::{Recording, replay_elsewhere};
use play::{Course, End, Played, Transcript, Who, play, replay};
use variant::Variant;

/// Resolutions that are handed over in one call, as every host does it.
const BATCH: usize = 512;

/// A case that was run live.
struct Run {
    case: &'static Case,
    course: Course,
    who: Who,
    played: Played,
}

impl Run {
    fn label(&self) -> String {
        format!("`{}` ({:?}, {:?})", self.case.name, self.course, self.who)
    }
}

/// Every case of a source, in each course and for both executions.
fn wanted(source: impl Fn(&Case) -> bool) -> Vec<(&'static Case, Course, Who)> {
    let mut wanted = Vec::new();
    for case in CASES.iter().filter(|case| source(case) && !matches!(case.sees, Sees::Refused(_))) {
        wanted.push((case, Course::Together, Who::Anna));
        wanted.push((case, Course::Together, Who::Bert));
        if matches!(case.source, Source::Rust) {
            wanted.push((case, Course::Alone, Who::Anna));
            wanted.push((case, Course::Eventful, Who::Bert));
        }
    }
    wanted
}

fn live(variant: Variant, wanted: &[(&'static Case, Course, Who)]) -> Vec<Run> {
    let mut components = Components::new(variant);
    let run = |&(case, course, who): &(&'static Case, Course, Who)| {
        let component = components.of(case).unwrap_or_else(|error| panic!("`{}`: {error}", case.name));
        Run { case, course, who, played: play(&component, variant, case.orchestrator(), course, who, |_| {}) }
    };
    wanted.iter().map(run).collect()
}

/// Says where two transcripts differ first.
fn compare(differences: &mut Vec<String>, what: &str, run: &Run, one: &[String], other: &[String]) {
    if one == other {
        return;
    }
    let at = one.iter().zip(other).position(|(one, other)| one != other).unwrap_or(one.len().min(other.len()));
    let line = |lines: &[String]| lines.get(at).cloned().unwrap_or_else(|| "nothing".to_owned());
    let (one, other) = (line(one), line(other));
    let from = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count().saturating_sub(60);
    let part = |line: &str| line.get(from..).unwrap_or(line).chars().take(300).collect::<String>();
    differences.push(format!(
        "{what}: {} differs in episode {at} of {}:\n  live:  {}\n  then:  {}",
        run.label(),
        run.played.transcript.episodes.len(),
        part(&one),
        part(&other)
    ));
}

/// Without the backtraces of failures.
fn without_stacks(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| without(line, "stack: Some(\"", "\"), retriable")).collect()
}

/// Without what the episodes cost.
fn without_fuel(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| without(line, "fuel: Fuel {", "}")).collect()
}

/// Without all that lies between these.
fn without(line: &str, begin: &str, end: &str) -> String {
    let mut parts = line.split(begin);
    let mut stripped = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        stripped += part.split_once(end).map_or(part, |(_, rest)| rest);
    }
    stripped
}

/// The whole proof for some cases.
fn prove(source: impl Fn(&Case) -> bool) {
    let wanted = wanted(source);
    let runs = live(Variant::Production, &wanted);
    let mut differences = wrong_sights(&runs);

    for variant in [Variant::Production, Variant::LargeMemories, Variant::Cached, Variant::Unoptimised] {
        let mut components = Components::new(variant);
        for run in &runs {
            let component = components.of(run.case).unwrap();
            let replayed = replay(&component, variant, BATCH, run.who.id(), &run.played.history);
            let what = format!("{variant:?}, evicted at every point");
            let episodes = &run.played.transcript.episodes;
            let form: fn(&[String]) -> Vec<String> = match variant {
                // Where exactly in the code a trap is said to be depends on the compiler.
                Variant::Unoptimised => without_stacks,
                _ => <[String]>::to_vec,
            };
            compare(&mut differences, &what, run, &form(episodes), &form(&replayed.episodes));
        }
    }

    // With memories that can be looked at: live, evicted at every point, and elsewhere.
    let watched = live(Variant::Watched, &wanted);
    let mut components = Components::new(Variant::Watched);
    for (run, watched) in runs.iter().zip(&watched) {
        let (live, seen) = (&run.played.transcript, &watched.played.transcript);
        compare(&mut differences, "live, with watched memories", run, &live.episodes, &seen.episodes);
        let component = components.of(run.case).unwrap();
        let replayed = replay(&component, Variant::Watched, BATCH, run.who.id(), &run.played.history);
        compare(&mut differences, "memory, evicted at every point", run, &seen.memories, &replayed.memories);
        let ended_well = matches!(run.played.end, End::Completed(_));
        assert!(!ended_well || seen.memories.len() == seen.episodes.len(), "every episode has its digest");
    }
    for variant in [Variant::PlainProcessor, Variant::WatchedPlain] {
        let runs: Vec<_> = runs.iter().zip(&watched).filter(|(run, _)| run.case.runs_on(variant)).collect();
        let recordings: Vec<Recording<'_>> = runs
            .iter()
            .map(|(run, _)| Recording { case: run.case, id: run.who.id(), history: &run.played.history })
            .collect();
        let elsewhere = replay_elsewhere(variant, &recordings);
        for ((run, watched), Transcript { episodes, memories }) in runs.into_iter().zip(&elsewhere) {
            let what = format!("{variant:?}, in a fresh process");
            compare(&mut differences, &what, run, &run.played.transcript.episodes, episodes);
            if variant.watches() {
                let what = format!("memory, {what}");
                compare(&mut differences, &what, run, &watched.played.transcript.memories, memories);
            }
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

/// Compares what cases saw with what they must see.
fn wrong_sights(runs: &[Run]) -> Vec<String> {
    let together = |case: &Case, who: Who| {
        let of = |run: &&Run| run.case.name == case.name && run.course == Course::Together && run.who == who;
        &runs.iter().find(of).unwrap().played.end
    };
    let is_wrong = |run: &&Run| {
        let end = &run.played.end;
        !match run.case.sees {
            Sees::Same => {
                together(run.case, Who::Anna) == together(run.case, Who::Bert) && !matches!(end, End::Parked(_))
            }
            Sees::History => together(run.case, Who::Anna) != together(run.case, Who::Bert),
            Sees::Exactly(text) => matches!(end, End::Completed(seen) if seen.lines().all(|line| line == text)),
            Sees::Zeroes => matches!(end, End::Completed(seen) if seen.bytes().all(|byte| byte == b'0')),
            Sees::Fails(error_type) => *end == End::Failed(error_type.to_owned()),
            Sees::Parks(reasons) => reasons.split('|').any(|reason| *end == End::Parked(reason.to_owned())),
            Sees::Refused(_) => false,
        }
    };
    let complain = |run: &Run| {
        let seen = match &run.played.end {
            End::Completed(seen) => {
                seen.lines().take(3).map(|line| line.chars().take(300).collect::<String>() + "\n").collect()
            }
            End::Failed(_) => run.played.transcript.episodes.last().unwrap().chars().take(600).collect(),
            other => format!("{other:?}"),
        };
        format!(
            "{} must see {:?}, but: {:?} {seen}",
            run.label(),
            run.case.sees,
            std::mem::discriminant(&run.played.end)
        )
    };
    runs.iter().filter(is_wrong).map(complain).collect()
}

#[test]
fn no_case_in_rust_sees_anything_but_its_history() {
    prove(|case| matches!(case.source, Source::Rust));
}

#[test]
fn no_case_in_bare_webassembly_sees_anything_but_its_history() {
    prove(|case| matches!(case.source, Source::Text(_)));
}

#[test]
fn what_has_no_deterministic_form_is_refused_when_a_component_is_loaded() {
    let mut components = Components::new(Variant::Production);
    for case in CASES {
        let Sees::Refused(part) = case.sees else { continue };
        let error = components.of(case).expect_err(case.name);
        assert!(error.contains(part), "`{}`: {error}", case.name);
    }
}

#[test]
fn a_processor_that_cannot_multiply_and_add_at_once_refuses_relaxed_simd_and_nothing_else() {
    let plain = Engines::with(&EngineOptions { processor: Processor::Plain, ..EngineOptions::default() }).unwrap();
    let load = |name: &str| match corpus::named(name).source {
        Source::Text(build) => LoadedComponent::load(&build(), &plain, &CodeCache::none(), SandboxLimits::default())
            .map_err(|e| e.to_string()),
        Source::Rust => panic!("{name}"),
    };
    for case in CASES.iter().filter(|case| matches!(case.source, Source::Text(_))) {
        let relaxed = case.name.contains("relaxed") || case.name.starts_with("NaN");
        match load(case.name) {
            Ok(_) => assert!(!relaxed || !cfg!(target_arch = "x86_64"), "`{}` is loaded", case.name),
            Err(error) => {
                assert!(relaxed && error.contains("relaxed") || matches!(case.sees, Sees::Refused(_)), "{error}")
            }
        }
    }
}

/// If this fails, the processors that the other tests compare are the same, and so those show nothing.
#[test]
#[cfg(target_arch = "x86_64")]
fn the_plain_processor_has_fewer_instructions_than_this_one() {
    assert!(std::arch::is_x86_feature_detected!("fma"), "this test needs a processor with FMA");
    for name in FUSED {
        let case = corpus::named(name);
        let end = |variant| {
            let component = Components::new(variant).of(case).unwrap();
            play(&component, variant, case.orchestrator(), Course::Together, Who::Anna, |_| {}).end
        };
        // The very reason why such a processor refuses it: if they agree one day, it need not do so any more.
        assert_ne!(end(Variant::Production), end(Variant::PlainProcessor), "{name}");
    }
}

#[test]
fn a_question_in_between_leaves_no_trace() {
    let wanted = wanted(|case| matches!(case.source, Source::Rust));
    let mut components = Components::new(Variant::Production);
    let mut differences = Vec::new();
    for run in live(Variant::Production, &wanted) {
        let component = components.of(run.case).unwrap();
        let mut answers = 0;
        let ask = |past: &[_]| {
            let mut session = support::session(&component, run.who.id(), BATCH);
            if session.apply(past.to_vec(), []).is_ok_and(|turn| !turn.ended) {
                session.ask(&Question { name: "what was seen".to_owned(), input: None }).unwrap();
                answers += 1;
            }
        };
        let asked = play(&component, Variant::Production, run.case.orchestrator(), run.course, run.who, ask);
        let (without, with) = (&run.played.transcript, &asked.transcript);
        compare(&mut differences, "with questions", &run, &without.episodes, &with.episodes);
        assert!(answers > 0 || without.episodes.len() == 1, "{} was asked", run.label());
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn neighbours_that_run_at_the_same_time_make_no_difference() {
    let wanted = wanted(|case| matches!(case.source, Source::Rust));
    let alone = live(Variant::Production, &wanted);
    let together = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| live(Variant::Production, &wanted))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let mut differences = Vec::new();
    for (run, other) in together.iter().flat_map(|runs| alone.iter().zip(runs)) {
        let (one, other) = (&run.played.transcript.episodes, &other.played.transcript.episodes);
        compare(&mut differences, "beside neighbours", run, one, other);
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn results_that_are_handed_over_one_by_one_make_no_difference_to_who_does_not_look_at_the_groups() {
    let wanted = wanted(|case| matches!(case.source, Source::Rust) && !GROUPED.contains(&case.name));
    let mut components = Components::new(Variant::Production);
    let mut differences = Vec::new();
    for run in live(Variant::Production, &wanted) {
        let component = components.of(run.case).unwrap();
        let alone = replay(&component, Variant::Production, 1, run.who.id(), &run.played.history);
        let (together, alone) = (without_fuel(&run.played.transcript.episodes), without_fuel(&alone.episodes));
        compare(&mut differences, "one by one", &run, &together, &alone);
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[test]
#[ignore = "`fresh::replay_elsewhere` starts it in a process of its own, with `--ignored --exact`, for the tests that call `prove`"]
fn replays_in_a_process_of_its_own() {
    fresh::replay_here();
}

#[test]
fn the_corpus_is_large_and_names_every_case_of_the_guests() {
    assert!(CASES.len() >= 60, "{}", CASES.len());
    let mut components = Components::new(Variant::Production);
    let offered = components.of(corpus::named("the wall clock")).unwrap().orchestrators().to_vec();
    let mut listed: Vec<&str> =
        CASES.iter().filter(|case| matches!(case.source, Source::Rust)).map(|case| case.name).collect();
    let mut offered: Vec<&str> = offered.iter().map(String::as_str).collect();
    offered.sort_unstable();
    listed.sort_unstable();
    assert_eq!(offered, listed);
    let mut names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CASES.len(), "no name twice");
}
