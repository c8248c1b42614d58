//! Runs attacks, and says how they ended.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use durawasm_host::abi::Failure;
use durawasm_host::abi::activity::Context;
use durawasm_host::orchestration::{Decision, Status};
use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::{ActivityCode, CodeCache, Engines, SandboxLimits};

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
    for guest in [&mut limits.orchestrator.guest, &mut limits.activity] {
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
    match code.run(&context, "attack", None).await.outcome {
        Ok(_) => Ending::ok(),
        Err(failures) => Ending::failed(failures.first()),
    }
}

/// Both roles of an attack, as far as it has them.
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
    endings
}
