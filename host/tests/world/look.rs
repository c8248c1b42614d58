//! An orchestrator that looks at the world: run live, thrown away at every point and replayed, as two instances.

use durawasm_host::abi::Outcome;
use durawasm_host::orchestration::{Decision, LogLine, Status, Time};
use durawasm_host::registry::LoadedComponent;
use serde_json::Value;

use crate::support::journal::{live, same_after_eviction};
use crate::support::session;

/// What came of an orchestrator that looks twice, with an activity in between.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it saw first and then, or how it failed.
    pub outcome: Result<[Value; 2], Failed>,
    /// The times of the episodes.
    pub times: Vec<Time>,
    pub logs: Vec<LogLine>,
}

/// The first failure of those that ended an orchestration.
#[derive(Clone, Debug)]
pub struct Failed {
    pub error_type: String,
    pub message: String,
}

/// Runs an instance live, and checks that it does the same after each eviction.
pub fn look(component: &LoadedComponent, name: &str, instance_id: &str) -> Seen {
    let make = || session(component, instance_id, 512);
    let begin = |journal: &mut crate::support::journal::Journal| {
        // Not a whole second, nor a whole millisecond.
        for _ in 0..123_456 {
            journal.now();
        }
        journal.begin(name, None, vec![])
    };
    let mut started = crate::support::journal::Journal::default();
    if let Err(park) = make().apply([], begin(&mut started)) {
        let failed = Failed { error_type: format!("parked, {}", park.reason.word()), message: park.message };
        return Seen { outcome: Err(failed), times: vec![started.now()], logs: Vec::new() };
    }
    let (journal, episodes) = live(make(), begin, &[], echo, &["unused"]);
    same_after_eviction(make, &journal, &episodes).unwrap_or_else(|park| panic!("`{name}` does not replay: {park}"));
    let last = episodes.last().expect("there is an episode");
    let completion = last.turn.actions.iter().find_map(|action| match &action.decision {
        Decision::Complete(completion) => Some(completion),
        _ => None,
    });
    let completion = completion.unwrap_or_else(|| panic!("`{name}` does not end: {last:?}"));
    let outcome = match completion.status {
        Status::Failed => {
            let failure = &completion.failures[0];
            Err(Failed { error_type: failure.error_type.clone(), message: failure.message.clone() })
        }
        _ => {
            let result = completion.result.as_deref().unwrap_or("null");
            let both: Vec<Value> =
                serde_json::from_str(result).unwrap_or_else(|error| panic!("`{name}`: {error}: {result}"));
            Ok(both.try_into().unwrap_or_else(|both| panic!("`{name}` looked {both:?}")))
        }
    };
    Seen {
        outcome,
        times: episodes.iter().map(|episode| episode.new[0].time).collect(),
        logs: episodes.iter().flat_map(|episode| episode.turn.logs.clone()).collect(),
    }
}

/// The activity `note` gives back what it gets.
fn echo(decision: &Decision) -> Outcome {
    match decision {
        Decision::Activity { input, .. } => Ok(input.clone()),
        _ => Ok(None),
    }
}

/// What is expected of a look.
#[derive(Clone, Copy)]
pub enum Expect {
    /// This, as JSON, both times.
    Is(&'static str),
    /// The time of the episode, in this form.
    Time(fn(Time) -> Value),
    /// Something that is the same in both looks and for every instance: it depends on the component alone.
    Fixed,
    /// Something that may change from look to look, but only as the code says: it is the same for every instance.
    Counted,
    /// Something else at each look and for each instance.
    Random,
    /// Something that instances differ in.
    PerInstance,
    /// A denial of this function of WASI.
    Denied(&'static str),
    /// A failure of this type whose message holds this text.
    Fails(&'static str, &'static str),
}

/// Checks all looks of a component, and that nothing that it offers is left out.
pub fn check(component: &LoadedComponent, expected: &[(&str, Expect)], others: &[&str]) {
    for name in component.orchestrators() {
        let known = expected.iter().map(|(name, _)| name).chain(others).any(|known| known == name);
        assert!(known, "nobody says what `{name}` must see");
    }
    let wrong: Vec<String> = expected.iter().filter_map(|(name, expect)| wrong(component, name, *expect)).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), expected.len(), wrong.join("\n"));
}

/// What is wrong with a look, if anything is.
fn wrong(component: &LoadedComponent, name: &str, expect: Expect) -> Option<String> {
    let seen = look(component, name, "one");
    let other = look(component, name, "another");
    let right = match (&seen.outcome, &other.outcome) {
        (Ok([first, second]), Ok([others, others_second])) => match expect {
            Expect::Is(text) => {
                let value: Value = serde_json::from_str(text).expect("an expectation is JSON");
                [first, second, others].into_iter().all(|seen| *seen == value)
            }
            Expect::Time(form) => *first == form(seen.times[0]) && *second == form(seen.times[1]),
            Expect::Fixed => first == second && first == others,
            Expect::Counted => first == others && second == others_second,
            Expect::Random => first != second && first != others,
            Expect::PerInstance => first != others,
            Expect::Denied(_) | Expect::Fails(..) => false,
        },
        (Err(Failed { error_type, message }), Err(again)) => match expect {
            Expect::Denied(function) => {
                let begin = format!("`{function}` is not available to orchestrators: ");
                error_type == "Denied" && message.starts_with(&begin) && message.contains(". Instead: ")
            }
            Expect::Fails(ty, text) => {
                // Why an instance is parked names the instance.
                let same = *message == again.message || ty.starts_with("parked");
                error_type == ty && message.contains(text) && same
            }
            _ => false,
        },
        _ => false,
    };
    let short = |seen: &Seen| match &seen.outcome {
        Ok([first, second]) => format!("{first}, then {second}"),
        Err(failed) => format!("{}: {}", failed.error_type, failed.message),
    };
    (!right).then(|| format!("`{name}` saw {}; another instance: {}", short(&seen), short(&other)))
}

/// Nanoseconds since 1970.
pub fn nanos(time: Time) -> i128 {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
}
