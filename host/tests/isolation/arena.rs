//! Runs attacks, and says how they ended.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use durawasm_host::abi::activity::Context;
use durawasm_host::abi::entity::Operation;
use durawasm_host::abi::{EntityId, Failure, Outcome, Timestamp};
use durawasm_host::orchestration::{Decision, Status};
use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::{ActivityCode, CodeCache, Engines, EntityCode, SandboxLimits};

use crate::attack::Attack;
use crate::support::journal::{Journal, resolved};
use crate::support::session;

/// All that runs here shares these engines, as everything in a host does.
pub static ENGINES: LazyLock<Engines> = LazyLock::new(|| Engines::new().unwrap());

/// How an attack ended, and all that was said about it.
#[derive(Debug, Default)]
pub struct Ending {
    pub outcome: String,
    pub message: String,
    pub stack: Option<String>,
}

impl Ending {
    fn failed(failure: Option<&Failure>) -> Self {
        match failure {
            Some(failure) => Self {
                outcome: format!("failed: {}", failure.error_type),
                message: failure.message.clone(),
                stack: failure.stack.clone(),
            },
            None => Self { outcome: "failed without a failure".to_owned(), ..Self::default() },
        }
    }

    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Ok(_) => Self::ok(),
            Err(failures) => Self::failed(failures.first()),
        }
    }

    fn ok() -> Self {
        Self { outcome: "ok".to_owned(), message: "it is well".to_owned(), ..Self::default() }
    }

    /// Whether it is what was expected: a star stands for any end of the text.
    pub fn is(&self, expected: &str) -> bool {
        match expected.strip_suffix('*') {
            Some(beginning) => self.outcome.starts_with(beginning),
            None => self.outcome == expected,
        }
    }
}

/// Limits that are reached soon.
pub fn limits(deadline: Duration) -> SandboxLimits {
    let mut limits = SandboxLimits::default();
    for guest in [&mut limits.orchestrator.guest, &mut limits.activity, &mut limits.entity] {
        guest.memory = 4 << 20;
        guest.deadline = deadline;
    }
    limits
}

pub fn load(bytes: &[u8], limits: SandboxLimits) -> Result<LoadedComponent, Ending> {
    LoadedComponent::load(bytes, &ENGINES, &CodeCache::none(), limits).map_err(|error| Ending {
        outcome: "refused".to_owned(),
        message: error.to_string(),
        ..Ending::default()
    })
}

/// Runs the orchestrator `attack` to its end.
pub fn orchestrate(component: &LoadedComponent) -> Ending {
    let mut journal = Journal::default();
    let mut session = session(component, "victim", 512);
    let mut new = journal.begin("attack", None, vec![]);
    for _ in 0..3 {
        let turn = match session.apply([], new.clone()) {
            Ok(turn) => turn,
            Err(park) => {
                return Ending {
                    outcome: format!("parked: {}", park.reason.word()),
                    message: format!("{}. {}", park.message, park.advice),
                    stack: None,
                };
            }
        };
        journal.commit(new, &turn);
        if let Some(Decision::Complete(completion)) = turn.actions.last().map(|action| &action.decision) {
            return match completion.status {
                Status::Failed => Ending::failed(completion.failures.first()),
                _ => Ending::ok(),
            };
        }
        let open = std::mem::take(&mut journal.open);
        new = journal.episode(open.iter().map(|(id, kind, _)| resolved(*kind, *id, Ok(None))).collect());
    }
    Ending::ok()
}

/// Runs the activity `attack`.
pub async fn act(code: &Arc<ActivityCode>) -> Ending {
    let context = Context {
        name: "attack".to_owned(),
        instance_id: "victim".to_owned(),
        version: None,
        call_id: "victim/e/1".to_owned(),
        tags: Vec::new(),
    };
    Ending::of(&code.run(&context, "attack", None).await.outcome)
}

/// Runs an operation `attack` of an entity, and if it fails another one behind it in the same batch: that one must fare as if it were
/// the first, and the entity must keep its state.
pub async fn operate(code: &EntityCode, again: bool) -> Ending {
    let state = Some("\"untouched\"".to_owned());
    let mut batch = code.batch(EntityId { name: "attack".to_owned(), key: "victim".to_owned() }, state.clone());
    let operation = |number: u32| Operation {
        name: "attack".to_owned(),
        input: Some("1".to_owned()),
        signal: false,
        id: format!("@attack@victim/{number}"),
        now: Timestamp { seconds: 1, nanos: 0 },
    };
    let first = batch.run(&operation(1)).await;
    let ending = Ending::of(&first.outcome);
    assert!(first.outcome.is_ok() || first.actions.is_empty());
    if first.outcome.is_err() && again {
        let second = Ending::of(&batch.run(&operation(2)).await.outcome);
        // Where deadlines are short and the machine is busy, either may be late.
        let is_late = [&ending, &second].iter().any(|ending| ending.is("failed: Deadline"));
        assert!(is_late || second.outcome == ending.outcome, "the next operation, after {ending:?}: {second:?}");
    }
    assert_eq!(batch.end().0, state);
    ending
}

/// All roles of an attack, as far as it has them.
pub async fn run(
    attack: &Attack,
    component: &Result<LoadedComponent, Ending>,
) -> Vec<(&'static str, &'static str, Ending)> {
    let component = match component {
        Ok(component) => component,
        Err(Ending { outcome, message, .. }) => {
            let ending = || Ending { outcome: outcome.clone(), message: message.clone(), stack: None };
            return vec![("orchestrator", attack.orchestrator, ending())];
        }
    };
    let mut endings = Vec::new();
    if !attack.orchestrator.is_empty() {
        endings.push(("orchestrator", attack.orchestrator, orchestrate(component)));
    }
    if !attack.activity.is_empty() {
        endings.push(("activity", attack.activity, act(component.activity_code().unwrap()).await));
    }
    if !attack.entity.is_empty() {
        endings.push(("entity", attack.entity, operate(component.entity_code().unwrap(), !attack.slow).await));
    }
    endings
}
