//! Which code an instance of a version runs on, and what becomes of it where none takes it.

use durawasm_test_components::rewritten;
use wire::OrchestrationStatus;

use super::*;

/// The same component in another version. (This one is 1.0.0.)
fn version(text: &str) -> Vec<u8> {
    rewritten(bytes(), "1.0.0", text)
}

/// An instance of this version that begins, or has none.
fn begins(version: &str) -> wire::OrchestratorRequest {
    let mut new = begin("program");
    if let Some(EventType::ExecutionStarted(started)) = &mut new[1].event_type {
        started.version = (!version.is_empty()).then(|| version.to_owned());
    }
    item(vec![], new, None)
}

#[derive(Debug, PartialEq, Eq)]
enum Became {
    Ran,
    Failed,
    Rejected,
    Parked,
}
use Became::{Failed, Parked, Ran, Rejected};

fn becomes(episodes: &Episodes, version: &str) -> Became {
    match episodes.run(begins(version), "t", false) {
        Outcome::Answer(response, ..) => match &response.actions[0].orchestrator_action_type {
            Some(OrchestratorActionType::ScheduleTask(_)) => Ran,
            Some(OrchestratorActionType::CompleteOrchestration(completion)) => {
                assert_eq!(completion.orchestration_status(), OrchestrationStatus::Failed);
                let failure = completion.failure_details.as_ref().unwrap();
                assert_eq!((failure.error_type.as_str(), failure.is_non_retriable), ("VersionMismatch", true));
                assert!(failure.error_message.contains("`program`"), "{failure:?}");
                Failed
            }
            other => panic!("{other:?}"),
        },
        Outcome::Reject(why) => {
            assert!(why.contains("`program`"), "{why}");
            Rejected
        }
        Outcome::Park(park, _) => {
            assert_eq!(park.reason, ParkReason::NoVersion);
            Parked
        }
        Outcome::NeedsHistory(_) => panic!("the history is asked for"),
    }
}

/// The scenarios of the SDKs' documentation, with a worker of version 2.0.0: an instance of its version, of an older one (the worker is
/// newer), of a newer one (the worker is older), and without a version.
#[test]
fn strategies_of_the_sdks_take_fail_and_reject_what_the_sdks_do() {
    for (manifest, expected) in [
        ("", [Ran, Parked, Parked, Ran]),
        ("strategy = 'exact'", [Ran, Parked, Parked, Ran]),
        ("strategy = 'none'", [Ran, Ran, Ran, Ran]),
        ("strategy = 'none'\non-mismatch = 'fail'", [Ran, Ran, Ran, Ran]),
        ("strategy = 'strict'", [Ran, Rejected, Rejected, Rejected]),
        ("strategy = 'strict'\non-mismatch = 'reject'", [Ran, Rejected, Rejected, Rejected]),
        ("strategy = 'strict'\non-mismatch = 'fail'", [Ran, Failed, Failed, Failed]),
        ("strategy = 'current-or-older'", [Ran, Ran, Rejected, Ran]),
        ("strategy = 'current-or-older'\non-mismatch = 'fail'", [Ran, Ran, Failed, Ran]),
    ] {
        let manifest = if manifest.is_empty() { String::new() } else { format!("[versioning]\n{manifest}") };
        let episodes = running(&[(version("2.0.0"), &manifest)]);
        let became = ["2.0.0", "1.0.0", "3.0.0", ""].map(|instance| becomes(&episodes, instance));
        assert_eq!(became, expected, "{manifest}");
    }
}

#[test]
fn the_exact_version_comes_first_and_the_newest_that_takes_it_next() {
    let older = "[versioning]\nstrategy = 'current-or-older'";
    let episodes = running(&[(version("1.0.0"), ""), (version("2.0.0"), older), (version("3.0.0"), "")]);
    let ran_on = |instance: &str| {
        assert_eq!(becomes(&episodes, instance), Ran, "{instance}");
        let taken = episodes.warm.lock().take("instance").unwrap();
        taken.session.program().version.clone()
    };
    let instances = ["1.0.0", "1.5.0", "2.0.0", "3.0.0", ""].map(ran_on);
    assert_eq!(instances, ["1.0.0", "2.0.0", "2.0.0", "3.0.0", "3.0.0"]);
    assert_eq!(becomes(&episodes, "4.0.0"), Rejected, "as the one says that has a say in it");
}

#[test]
fn what_is_asked_for_and_announced_follows_from_the_strategies() {
    use crate::registry::Accepted::{All, Only};
    let registry = |manifest: &str| {
        let one = version("1.0.0");
        running(&[(one, ""), (version("2.0.0"), &format!("[versioning]\n{manifest}"))]).registry.current()
    };
    for (manifest, instances, begin_on, next) in [
        ("strategy = 'exact'", Only(vec!["1.0.0", "2.0.0"], true), Some("2.0.0"), Some("2.0.0")),
        // Instances without a version are the older component's.
        ("strategy = 'strict'", Only(vec!["1.0.0", "2.0.0"], true), None, None),
        ("strategy = 'strict'\non-mismatch = 'fail'", All, None, None),
        (
            "strategy = 'strict'\ndefault-version = '1.0.0'",
            Only(vec!["1.0.0", "2.0.0"], true),
            Some("1.0.0"),
            Some("1.0.0"),
        ),
        ("strategy = 'none'", All, None, None),
        ("strategy = 'current-or-older'", All, None, None),
    ] {
        let registry = registry(manifest);
        let asked = registry.orchestrator_versions().find(|(name, _)| *name == "program").unwrap().1;
        assert_eq!(asked, instances, "{manifest}");
        assert_eq!((registry.default_version("program"), registry.next_version("program", "1.5.0")), (begin_on, next));
    }
    let alone = running(&[(version("2.0.0"), "[versioning]\nstrategy = 'strict'")]).registry.current();
    let asked = alone.orchestrator_versions().find(|(name, _)| *name == "program").unwrap().1;
    assert_eq!(asked, Only(vec!["2.0.0"], false), "what it would reject is not asked for");
}

#[test]
fn an_activity_of_a_version_that_is_not_here_runs_on_a_component_that_takes_it() {
    let of = |manifest: &str, wanted: Option<&str>| {
        let registry = running(&[(version("2.0.0"), manifest)]).registry.current();
        registry.activity("echo", wanted).map(|component| component.version().to_owned())
    };
    let older = "[versioning]\nstrategy = 'current-or-older'";
    assert_eq!(of(older, Some("1.0.0")).as_deref(), Some("2.0.0"));
    assert_eq!((of(older, Some("3.0.0")), of("", Some("1.0.0"))), (None, None));
    assert_eq!(
        of("[versioning]\nstrategy = 'strict'", None).as_deref(),
        Some("2.0.0"),
        "the SDKs do not compare these"
    );
}

#[test]
fn an_instance_that_was_moved_runs_on_that_version_and_no_warm_session_of_another_goes_on() {
    let episodes = running(&[(version("1.0.0"), ""), (version("2.0.0"), "")]);
    assert_eq!(becomes(&episodes, "1.0.0"), Ran);
    let EventType::ExecutionStarted(started) = begins("1.0.0").new_events.remove(1).event_type.unwrap() else {
        panic!()
    };
    let mut past = begin("program");
    past[1].event_type = Some(EventType::ExecutionStarted(started));
    past.push(scheduled(1, 1, "echo"));
    let mut moved = item(past, completed(2, 1, "1"), Some(("t", 3)));
    let to = prost_types::Value { kind: Some(Kind::StringValue("2.0.0".to_owned())) };
    moved.properties.insert(property::VERSION.to_owned(), to);
    answer(episodes.run(moved, "t2", false));
    assert_eq!((episodes.warmth().warm, episodes.warmth().cold), (0, 2));
    let session = episodes.warm.lock().take("instance").unwrap().session;
    assert_eq!(session.program().version, "2.0.0");
}
