//! Components that break each rule: every one has a clear outcome, and none hurts the host.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

mod support;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use durawasm_host::orchestration::{Decision, Limits, Park, Session, Status, Turn};
use durawasm_host::registry::{LoadedComponent, Registry};
use durawasm_host::sandbox::{CodeCache, Engines, Orchestrator, SandboxLimits};
use support::journal::{Journal, resolved};
use support::{activity_context, guest, limits, load};

static HOSTILE: LazyLock<LoadedComponent> = LazyLock::new(|| {
    load(
        "hostile",
        limits(|limits| {
            limits.activity.deadline = Duration::from_millis(600);
            limits.activity.memory = 64 << 20;
            limits.orchestrator.fuel = 200_000_000;
        }),
    )
});

/// Starts an orchestrator and lets everything that it calls answer at once, until it ends or waits.
fn run(name: &str) -> Result<Turn, Park> {
    let mut journal = Journal::default();
    let guest = Orchestrator::new(Arc::clone(HOSTILE.orchestrator_code().unwrap()));
    // What this guest calls long is a byte more.
    let limits = Limits { batch: 512, payload: 1 << 20, ..Limits::default() };
    let mut session = Session::new(guest, "hostile", Arc::clone(HOSTILE.program()), limits);
    let mut new = journal.begin(name, None, vec![]);
    loop {
        let turn = session.apply([], new.clone())?;
        journal.commit(new, &turn);
        if turn.ended || journal.open.is_empty() {
            return Ok(turn);
        }
        let kinds =
            journal.open.iter().map(|(id, kind, _)| resolved(*kind, *id, Ok(Some("\"fine\"".to_owned())))).collect();
        new = journal.episode(kinds);
    }
}

fn outcome(name: &str) -> String {
    match run(name) {
        Err(park) => {
            assert!(!park.message.is_empty() && !park.advice.is_empty(), "{park:?}");
            format!("parked: {}", park.reason.word())
        }
        Ok(turn) => match turn.actions.last().map(|action| &action.decision) {
            Some(Decision::Complete(completion)) => match completion.status {
                Status::Failed => format!("failed: {}", completion.failures[0].error_type),
                status => format!("{status:?}"),
            },
            _ => "waits".to_owned(),
        },
    }
}

#[test]
fn every_hostile_orchestrator_has_a_clear_outcome() {
    let expected = [
        ("panics", "failed: Panic"),
        ("traps", "failed: Trap"),
        ("reads out of bounds", "failed: Trap"),
        ("loops for ever", "parked: fuel"),
        ("allocates without end", "parked: memory"),
        ("overflows the stack", "parked: stack"),
        ("overflows the stack in its memory", "failed: Trap"),
        ("repeats an op id", "parked: contract"),
        ("goes back with its op ids", "parked: contract"),
        ("cancels an unknown op", "parked: contract"),
        ("cancels twice", "waits"),
        ("unlocks an unknown op", "failed: NotLocked"),
        ("unlocks an activity", "failed: NotLocked"),
        ("completes twice", "parked: contract"),
        ("goes on after complete", "parked: contract"),
        ("goes on after continue as new", "parked: contract"),
        ("fails without a failure", "parked: contract"),
        ("fails with a long message", "failed: Hostile"),
        ("calls with a long input", "parked: payload"),
        ("completes with a long output", "parked: payload"),
        ("sets a long custom status", "parked: payload"),
        ("sends a long event", "parked: payload"),
        ("continues with a long input", "parked: payload"),
        ("sleeps until a time with too many nanoseconds", "Completed"),
        ("sleeps until the end of time", "Completed"),
        ("sleeps until the past", "Completed"),
        ("completes with what is not JSON", "Completed"),
        ("completes with an empty text", "Completed"),
        ("calls an activity without a name", "Completed"),
        ("waits for an event without a name", "waits"),
        ("waits for nothing", "waits"),
        ("later panics", "failed: Panic"),
        ("later traps", "failed: Trap"),
        ("later loops for ever", "parked: fuel"),
        ("later allocates without end", "parked: memory"),
        ("later repeats an op id", "parked: contract"),
        ("later waits for nothing", "waits"),
        ("sends a hundred thousand commands", "Completed"),
        ("calls an activity that traps", "Completed"),
        ("holds 8 MiB", "Completed"),
        ("computes for a while", "Completed"),
        ("logs without end", "Completed"),
        ("asks for 2 MiB of random bytes", "parked: random"),
        ("hands over more than it has", "parked: answer"),
        ("calls a thousand activities", "Completed"),
        ("is honest", "Completed"),
    ];
    let offered = HOSTILE.orchestrators();
    for name in offered {
        assert!(expected.iter().any(|(known, _)| known == name), "nobody says what must come of `{name}`");
    }
    let wrong: Vec<_> = expected
        .iter()
        .filter(|(name, _)| offered.iter().any(|offered| offered == name))
        .map(|(name, expected)| (*name, *expected, outcome(name)))
        .filter(|(_, expected, found)| expected != found)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_panic_says_what_and_where() {
    let turn = run("panics").unwrap();
    let Decision::Complete(completion) = &turn.actions[0].decision else { panic!() };
    let failure = &completion.failures[0];
    assert!(failure.message.contains("hostile"), "{failure:?}");
    assert!(failure.stack.as_deref().unwrap().contains("wasm"), "{failure:?}");
}

#[test]
fn a_trap_has_a_backtrace() {
    let turn = run("traps").unwrap();
    let Decision::Complete(completion) = &turn.actions[0].decision else { panic!() };
    assert!(completion.failures[0].stack.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hostile_activity_fails_its_own_call_and_leaves_the_others_alone() {
    let code = Arc::clone(HOSTILE.activity_code().unwrap());
    let call = |name: &str| {
        let code = Arc::clone(&code);
        let context = activity_context(name);
        tokio::spawn(async move { code.run(&context, &context.call_id, None).await })
    };
    let names = HOSTILE.activities().to_vec();
    let running: Vec<_> = names.iter().map(|name| (name.clone(), call(name), call("fine"))).collect();
    for (name, hostile, fine) in running {
        let hostile = hostile.await.unwrap();
        let fine = fine.await.unwrap();
        assert!(fine.outcome.is_ok(), "beside `{name}`: {fine:?}");
        if let Err(failures) = &hostile.outcome
            && let Some(failure) = failures.first()
        {
            assert!(!failure.error_type.is_empty() && !failure.message.is_empty(), "{name}: {failure:?}");
        }
        println!(
            "{name}: {:?}",
            hostile.outcome.as_ref().map(|_| "ok").map_err(|f| f.first().map(|f| (&f.error_type, f.message.len())))
        );
    }
}

fn load_error(name: &str) -> String {
    let engines = Engines::new().unwrap();
    let limits = limits(|limits| limits.orchestrator.guest.deadline = Duration::from_millis(300));
    LoadedComponent::load(&guest(name), &engines, &CodeCache::none(), limits).unwrap_err().to_string()
}

#[test]
fn a_component_that_is_no_workflow_is_told_what_is_missing_and_how_to_mend_it() {
    let error = load_error("not_a_workflow");
    assert!(error.contains("durawasm:workflow/component@0.1.0") && error.contains("Fix:"), "{error}");
}

#[test]
fn a_component_for_another_version_of_the_contract_is_told_both_versions() {
    let error = load_error("wrong_version");
    assert!(error.contains("0.1.0") && error.contains("rebuild"), "{error}");
}

#[test]
fn a_component_whose_description_fails_is_not_loaded() {
    for name in ["describe_traps", "describe_loops", "describe_repeats"] {
        let error = load_error(name);
        assert!(error.contains("describe") || error.contains("description"), "{name}: {error}");
    }
}

#[test]
fn what_is_no_component_is_told_so() {
    let engines = Engines::new().unwrap();
    for (bytes, part) in [
        (&b""[..], "empty"),
        (&b"hello, world"[..], "does not begin"),
        (&b"\0asm\x01\0\0\0"[..], "core module"),
        (&b"\0asm\x0d\0\x01\0\xff\xff"[..], "does not fit"),
    ] {
        let error = LoadedComponent::load(bytes, &engines, &CodeCache::none(), SandboxLimits::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_truncated_component_is_not_loaded() {
    let bytes = guest("programs");
    let engines = Engines::new().unwrap();
    for end in [9, 100, bytes.len() / 2, bytes.len() - 1] {
        let cut = &bytes[..end];
        assert!(LoadedComponent::load(cut, &engines, &CodeCache::none(), SandboxLimits::default()).is_err());
    }
}

#[test]
fn a_damaged_compiled_component_is_noticed_and_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let engines = Engines::new().unwrap();
    let load = || {
        LoadedComponent::load(&guest("programs"), &engines, &CodeCache::new(folder.path()), SandboxLimits::default())
            .unwrap()
    };
    load();
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 2, "one for each sandbox");
    let good = std::fs::read(&files[0]).unwrap();
    for damage in [Vec::new(), b"something else".to_vec(), good[..good.len() / 2].to_vec(), {
        let mut flipped = good.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        flipped
    }] {
        std::fs::write(&files[0], damage).unwrap();
        load();
        assert!(std::fs::read(&files[0]).unwrap().len() == good.len());
    }
}

#[test]
fn the_same_version_with_other_bytes_is_refused_and_the_same_bytes_are_not() {
    let engines = Engines::new().unwrap();
    let load = |bytes: &[u8]| {
        Arc::new(LoadedComponent::load(bytes, &engines, &CodeCache::none(), SandboxLimits::default()).unwrap())
    };
    let bytes = guest("programs");
    // An empty custom section changes the bytes and nothing else.
    let mut other = bytes.clone();
    other.extend_from_slice(&[0, 2, 1, b'x']);
    let mut registry = Registry::default();
    registry.add(load(&bytes)).unwrap();
    registry.add(load(&bytes)).unwrap();
    let error = registry.add(load(&other)).unwrap_err().to_string();
    assert!(error.contains("another content") && error.contains("new version"), "{error}");
    assert_eq!(registry.components().len(), 1);
}
