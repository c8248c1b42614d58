//! What may be changed about deployments.

use super::*;
use crate::deployments::OpenActivities;

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
    assert_eq!(there.add(same.clone()), Ok(true));
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
fn a_manifest_goes_to_the_version_that_it_names_and_a_digest_stands_for_the_same_bytes_everywhere() {
    let mut there = catalogue(&["1.0"]);
    let first = there.wire().versions[0].clone();
    // The same component under another name: of two that share a digest, the one that is named gets the manifest.
    let second = v1::ComponentVersion { name: "store".to_owned(), orchestrators: Vec::new(), ..first.clone() };
    assert_eq!(there.add(second.clone()), Ok(false));
    assert_eq!(there.add(v1::ComponentVersion { manifest: "[limits]".to_owned(), ..second }), Ok(true));
    let manifests: Vec<&str> = there.wire().versions.iter().map(|version| version.manifest.as_str()).collect();
    assert_eq!(manifests, ["", "[limits]"]);
    for name in ["shop", "bazaar"] {
        let other = v1::ComponentVersion { name: name.to_owned(), content: "0".repeat(64), ..first.clone() };
        assert!(matches!(there.check(&other), Err(Refused::Invalid(_))), "{name}");
    }
}

#[test]
fn all_that_is_said_of_a_hubs_components_has_a_bound() {
    let mut there = Catalogue::default();
    let large = |number: usize| v1::ComponentVersion {
        manifest: "x".repeat(LONGEST_TEXTS - 1_000),
        ..version("shop", &number.to_string(), &["order"])
    };
    let fit = (0..100).take_while(|number| there.add(large(*number)).is_ok()).count();
    assert_eq!(fit, LARGEST_CATALOGUE / LONGEST_TEXTS);
    let before = there.clone();
    assert_eq!(there.add(large(fit)), Err(Refused::Full));
    assert_eq!(there, before);
    // What is there may be deployed again, and others may come in the place of one.
    assert_eq!(there.add(large(0)), Ok(true));
    there.remove("shop", "0", &Usage::default(), false).expect("nobody needs it");
    assert_eq!(there.add(large(fit)), Ok(false));
    // Defaults count too.
    let names: Vec<String> = (0..1_700).map(|number| format!("{number:0100}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let many = v1::ComponentVersion { version: "y".repeat(LONGEST_NAME), ..version("many", "", &names) };
    there.remove("shop", "1", &Usage::default(), false).expect("nobody needs it");
    assert_eq!(there.add(many.clone()), Ok(false));
    assert_eq!(there.activate("many", &many.version, WHOLE), Ok(()));
    let second = v1::ComponentVersion { version: "z".repeat(LONGEST_NAME), ..many };
    assert_eq!(there.add(second.clone()), Ok(false));
    let before = there.clone();
    assert_eq!(there.activate("many", &second.version, WHOLE), Err(Refused::Full));
    assert_eq!(there, before);
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
    let used = |version: &str| Usage {
        orchestrations: vec![v1::VersionUsage {
            orchestrator: "order".to_owned(),
            version: version.to_owned(),
            running: 3,
            ..Default::default()
        }],
        ..Default::default()
    };
    let Err(Refused::InUse(why)) = there.remove("shop", "1.0", &used("1.0"), false) else { panic!("it is used") };
    assert!(why.contains("3 of `order`"), "{why}");
    let nothing = Usage::default();
    assert!(matches!(there.remove("shop", "1.1", &nothing, false), Err(Refused::InUse(_))), "it is the default");
    assert!(matches!(there.remove("shop", "9", &nothing, true), Err(Refused::NotDeployed { .. })));
    there.remove("shop", "1.0", &used("1.1"), false).expect("nobody needs it");
    assert_eq!(defaults(&there)[0], "order 1.1 ( at 0, before )");
    there.remove("shop", "1.1", &used("1.1"), true).expect("it is forced");
    assert!(there.wire().versions.is_empty() && there.wire().defaults.is_empty());
}

#[test]
fn the_last_version_that_runs_what_was_called_or_what_lives_is_needed() {
    let definition = |name: &str| vec![v1::Definition { name: name.to_owned(), ..Default::default() }];
    let with_all = |text: &str| v1::ComponentVersion {
        activities: definition("charge"),
        entities: definition("Cart"),
        ..version("shop", text, &["order"])
    };
    let mut there = Catalogue::default();
    there.add(with_all("1.0")).expect("it is new");
    there.add(with_all("1.1")).expect("it is new");
    let open = |name: &str, version: &str| Usage {
        activities: vec![OpenActivities { name: name.to_owned(), version: version.to_owned(), count: 2 }],
        ..Usage::default()
    };
    let alive = Usage { entities: vec![("cart".to_owned(), "@cart@7".to_owned())], ..Usage::default() };
    let refused = |there: &Catalogue, usage: &Usage| match there.clone().remove("shop", "1.0", usage, false) {
        Ok(()) => None,
        Err(Refused::InUse(why)) => Some(why),
        Err(other) => panic!("{other}"),
    };
    let why = refused(&there, &open("charge", "1.0")).expect("it is needed");
    assert!(why.contains("2 of `charge`"), "{why}");
    for usage in [open("charge", "1.1"), open("charge", ""), open("ship", "1.0"), alive.clone()] {
        assert_eq!(refused(&there, &usage), None, "another one runs it: {usage:?}");
    }
    there.remove("shop", "1.1", &Usage::default(), false).expect("nobody needs it");
    assert!(refused(&there, &open("charge", "")).is_some());
    let why = refused(&there, &alive).expect("it is needed");
    assert!(why.contains("`@cart@7`"), "{why}");
    assert_eq!(there.remove("shop", "1.0", &alive, true), Ok(()));
}

#[test]
fn a_decision_about_what_has_changed_meanwhile_is_refused() {
    let mut there = catalogue(&["1.0"]);
    assert_eq!(there.expect(Some(0)), Ok(()));
    there.touch();
    assert_eq!(there.expect(None), Ok(()));
    assert_eq!(there.expect(Some(0)), Err(Refused::Changed { seen: 0, now: 1 }));
}
