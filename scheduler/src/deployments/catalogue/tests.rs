//! What may be changed about deployments.

use super::*;

fn version(name: &str, version: &str, orchestrators: &[&str]) -> v1::ComponentVersion {
    let digest = crate::deployments::files::content_of(format!("{name} {version}").as_bytes());
    let definition = |name: &&str| v1::Definition { name: (*name).to_owned(), ..Default::default() };
    v1::ComponentVersion {
        name: name.to_owned(),
        version: version.to_owned(),
        content: digest.clone(),
        digest,
        bytes: 1,
        orchestrators: orchestrators.iter().map(definition).collect(),
        ..Default::default()
    }
}

fn catalogue(versions: &[&str]) -> Catalogue {
    let mut catalogue = Catalogue::default();
    for text in versions {
        catalogue.add(version("shop", text, &["order", "refund"])).expect("it is new");
    }
    catalogue
}

/// `order 1.0 (1.1 at 500, before 0.9)`
fn defaults(catalogue: &Catalogue) -> Vec<String> {
    let text = |default: &v1::OrchestratorDefault| {
        let v1::OrchestratorDefault { name, version, canary, canary_share, previous } = default;
        format!("{name} {version} ({canary} at {canary_share}, before {previous})")
    };
    catalogue.wire().defaults.iter().map(text).collect()
}

#[test]
fn a_version_never_changes_and_the_same_twice_is_the_same_as_once() {
    let mut there = catalogue(&["1.0"]);
    let before = there.clone();
    let same = version("shop", "1.0", &["order", "refund"]);
    assert_eq!(there.add(same.clone()), Ok(()));
    assert_eq!(there, before);
    let other = v1::ComponentVersion { digest: "0".repeat(64), ..same.clone() };
    assert!(matches!(there.add(other), Err(Refused::ChangedContent { .. })));
    assert!(matches!(there.add(version("store", "1.0", &["refund"])), Err(Refused::Ambiguous { .. })));
    assert_eq!(there, before);
    // What guests cannot see may change.
    there.add(v1::ComponentVersion { manifest: "[capabilities]".to_owned(), ..same }).expect("the same content");
    assert_eq!(there.wire().versions[0].manifest, "[capabilities]");
}

#[test]
fn what_no_component_can_be_called_is_refused() {
    let good = version("shop", "1.0", &[]);
    let bad = [
        v1::ComponentVersion { name: String::new(), ..good.clone() },
        v1::ComponentVersion { version: String::new(), ..good.clone() },
        v1::ComponentVersion { version: "1\n2".to_owned(), ..good.clone() },
        v1::ComponentVersion { name: "x".repeat(300), ..good.clone() },
        v1::ComponentVersion { digest: "abc".to_owned(), ..good.clone() },
        v1::ComponentVersion { content: "../../etc/passwd".to_owned(), ..good.clone() },
        v1::ComponentVersion { manifest: "x".repeat(LONGEST_TEXTS), ..good },
    ];
    for bad in bad {
        assert!(matches!(Catalogue::default().add(bad), Err(Refused::Invalid(_))));
    }
}

#[test]
fn the_first_activation_is_the_default_a_canary_stands_beside_it_and_the_whole_takes_its_place() {
    let mut there = catalogue(&["1.0", "1.1"]);
    there.activate("shop", "1.0", 500).expect("it is deployed");
    assert_eq!(defaults(&there), ["order 1.0 ( at 0, before )", "refund 1.0 ( at 0, before )"]);
    there.activate("shop", "1.1", 500).expect("it is deployed");
    assert_eq!(defaults(&there)[0], "order 1.0 (1.1 at 500, before )");
    there.activate("shop", "1.1", WHOLE).expect("it is deployed");
    assert_eq!(defaults(&there)[0], "order 1.1 ( at 0, before 1.0)");
    for share in [0, WHOLE + 1] {
        assert!(matches!(there.activate("shop", "1.1", share), Err(Refused::Invalid(_))));
    }
    assert!(matches!(there.activate("shop", "1.2", WHOLE), Err(Refused::NotDeployed { .. })));
}

#[test]
fn an_orchestrator_that_a_new_version_does_not_have_stays_on_the_old_one() {
    let mut there = catalogue(&["1.0"]);
    there.activate("shop", "1.0", WHOLE).expect("it is deployed");
    there.add(version("shop", "2.0", &["order"])).expect("it is new");
    there.activate("shop", "2.0", WHOLE).expect("it is deployed");
    assert_eq!(defaults(&there), ["order 2.0 ( at 0, before 1.0)", "refund 1.0 ( at 0, before )"]);
}

#[test]
fn a_rollback_ends_the_canary_first_and_then_goes_back_and_forth() {
    let mut there = catalogue(&["1.0", "1.1", "1.2"]);
    assert!(matches!(there.roll_back("store"), Err(Refused::NotDeployed { .. })));
    there.activate("shop", "1.0", WHOLE).expect("it is deployed");
    assert!(matches!(there.roll_back("shop"), Err(Refused::NothingBefore(_))));
    there.activate("shop", "1.1", WHOLE).expect("it is deployed");
    there.activate("shop", "1.2", 100).expect("it is deployed");
    let mut steps = Vec::new();
    for _ in 0..3 {
        there.roll_back("shop").expect("there is something to go back to");
        steps.push(defaults(&there).swap_remove(0));
    }
    let expected = ["order 1.1 ( at 0, before 1.0)", "order 1.0 ( at 0, before 1.1)", "order 1.1 ( at 0, before 1.0)"];
    assert_eq!(steps, expected);
}

#[test]
fn what_is_needed_is_not_removed_unless_it_is_forced_and_leaves_no_trace() {
    let mut there = catalogue(&["1.0", "1.1"]);
    there.activate("shop", "1.0", WHOLE).expect("it is deployed");
    there.activate("shop", "1.1", WHOLE).expect("it is deployed");
    let used = |version: &str| v1::VersionUsage {
        orchestrator: "order".to_owned(),
        version: version.to_owned(),
        running: 3,
        ..Default::default()
    };
    let Err(Refused::InUse(why)) = there.remove("shop", "1.0", &[used("1.0")], false) else { panic!("it is used") };
    assert!(why.contains("3 of `order`"), "{why}");
    assert!(matches!(there.remove("shop", "1.1", &[], false), Err(Refused::InUse(_))), "it is the default");
    assert!(matches!(there.remove("shop", "9", &[], true), Err(Refused::NotDeployed { .. })));
    there.remove("shop", "1.0", &[used("1.1")], false).expect("nobody needs it");
    assert_eq!(defaults(&there)[0], "order 1.1 ( at 0, before )");
    there.remove("shop", "1.1", &[used("1.1")], true).expect("it is forced");
    assert!(there.wire().versions.is_empty() && there.wire().defaults.is_empty());
}

#[test]
fn a_decision_about_what_has_changed_meanwhile_is_refused() {
    let mut there = catalogue(&["1.0"]);
    assert_eq!(there.expect(Some(0)), Ok(()));
    there.touch();
    assert_eq!(there.expect(None), Ok(()));
    assert_eq!(there.expect(Some(0)), Err(Refused::Changed { seen: 0, now: 1 }));
}
