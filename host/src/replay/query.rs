//! Questions to an orchestrator that change nothing.

use super::{Disagreement, Recording, ReplayLimits, run};
use crate::abi::{Failure, Outcome};
use crate::orchestration::{GuestFault, ParkReason, Question};
use crate::registry::LoadedComponent;

/// Replays a history and asks the orchestrator a question, as of the history's end.
///
/// What is no answer is a failure with one of these types: `UnknownQuery` (the orchestrator does not answer that name), `NoQueries` (the
/// component answers no questions), `NotStarted`, `NoVersion`, `Divergence`, `Deadline`, `MemoryLimit`, `StackLimit`, `Payload`,
/// `PayloadTooLarge`, `ContractBreach`, `History`; or whatever the guest itself answers.
pub fn query(component: &LoadedComponent, recording: Recording, question: &Question, limits: &ReplayLimits) -> Outcome {
    if recording.events.is_empty() {
        return Err(failure(
            "NotStarted",
            "the instance has not begun: ask again when a worker has taken it up".into(),
        ));
    }
    if component.orchestrator_code().is_some_and(|code| !code.answers_questions()) {
        return Err(no_queries(component));
    }
    let (session, _) = run(component, recording, limits).map_err(|disagreement| vec![parked(&disagreement)])?;
    let failed = session.failure().cloned();
    match session.ask(question) {
        Ok(Some(Err(failures))) if failures.is_empty() => {
            Err(failure("ContractBreach", "the orchestrator refused the question without saying why".to_owned()))
        }
        Ok(Some(Ok(Some(output)))) if output.len() > limits.orchestration.payload => Err(failure(
            "PayloadTooLarge",
            format!("the answer has {} bytes; the limit is {} bytes", output.len(), limits.orchestration.payload),
        )),
        Ok(Some(outcome)) => outcome,
        Ok(None) => Err(no_queries(component)),
        // A guest that has trapped cannot be entered again, whatever it is asked.
        Err(_) if let Some(failed) = failed => Err(failure(
            "Failed",
            format!(
                "the orchestrator cannot be asked any more, because its code failed: {}: {}",
                failed.error_type, failed.message
            ),
        )),
        Err(fault) => Err(vec![trouble(fault)]),
    }
}

fn no_queries(component: &LoadedComponent) -> Vec<Failure> {
    failure(
        "NoQueries",
        format!(
            "component {} answers no questions: it does not export `durawasm:workflow/queries`",
            component.program().label()
        ),
    )
}

/// Why the history could not be replayed up to where the question is asked.
fn parked(disagreement: &Disagreement) -> Failure {
    let park = &disagreement.park;
    let error_type = match park.reason {
        ParkReason::Divergence => "Divergence",
        ParkReason::ReplayTrap => "ReplayTrap",
        ParkReason::Contract => "ContractBreach",
        ParkReason::Limit(limit) => limit.failure_type(),
        ParkReason::NoVersion => "NoVersion",
        ParkReason::History => "History",
    };
    one(error_type, format!("{}. What to do: {}", park.message, park.advice))
}

/// What went wrong while the guest answered.
fn trouble(fault: GuestFault) -> Failure {
    match fault {
        GuestFault::Trap(failure) => failure,
        GuestFault::Limit(limit, message) => one(limit.failure_type(), message),
        GuestFault::Contract(message) => one("ContractBreach", message),
    }
}

fn failure(error_type: &str, message: String) -> Vec<Failure> {
    vec![one(error_type, message)]
}

fn one(error_type: &str, message: String) -> Failure {
    Failure { error_type: error_type.to_owned(), message, stack: None, retriable: false, properties: Vec::new() }
}
