//! Replays without any effect: does a component do what a history says, and what does an orchestrator answer to a question.
//!
//! A replay here runs the same [`Session`] as the runner of orchestrations does, with a guest of its own that is thrown away: no log
//! line is shown, no command leaves, no session is kept. It needs no scheduler and no network, so that tools use it offline.
//! [`replay`] checks a history, or the beginning of one, against a component; [`query`] asks an orchestrator a question.
//!
//! ```no_run
//! # fn example(events: Vec<durawasm_proto::durabletask::HistoryEvent>) -> Result<(), Box<dyn std::error::Error>> {
//! use durawasm_host::replay::{Recording, ReplayLimits, open, replay};
//!
//! let component = open("shop.wasm".as_ref(), Default::default())?;
//! let replayed = replay(&component, Recording { instance_id: "order-7".to_owned(), events }, &ReplayLimits::default())?;
//! println!("{} events replay", replayed.events);
//! # Ok(())
//! # }
//! ```

mod budget;
mod query;
mod recording;
mod verdict;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::deployment::{Deployment, Manifest, Policy, Purpose, Terms};
use crate::orchestration::{Limits, Park, Session};
use crate::registry::{LoadCause, LoadFailure, LoadedComponent};
use crate::sandbox::{CodeCache, Engines, Orchestrator, SandboxLimits};
use budget::Budget;
use recording::Pass;

pub use query::query;
pub use recording::Recording;
pub use verdict::{Disagreement, Replayed};

/// What a replay may use up, beside the limits that the component was loaded with.
#[derive(Clone, Copy, Debug)]
pub struct ReplayLimits {
    /// The limits of the orchestration.
    pub orchestration: Limits,
    /// How long all calls of the guest together may take.
    pub time: Duration,
}

impl ReplayLimits {
    /// Those with which a host would run the component.
    pub fn of(component: &LoadedComponent) -> Self {
        Self { orchestration: component.limits().orchestrator.session(), ..Self::default() }
    }
}

impl Default for ReplayLimits {
    fn default() -> Self {
        Self { orchestration: Limits::default(), time: Duration::from_secs(30) }
    }
}

/// Loads a component from its file, with engines of its own. The manifest beside it is read, because orchestrators see the
/// environment; no policy is asked, because nothing here has effects.
///
/// # Errors
/// If a file cannot be read or is no component that keeps the contract.
pub fn open(file: &Path, limits: SandboxLimits) -> Result<LoadedComponent, Box<LoadFailure>> {
    let load = || -> Result<LoadedComponent, LoadCause> {
        let bytes = std::fs::read(file)?;
        let engines = Engines::new().map_err(LoadCause::Engine)?;
        let terms = Terms { policy: Arc::new(Policy::unbounded()), limits };
        let deployment = Deployment::new(Manifest::beside(file)?, terms).purpose(Purpose::Examining);
        Ok(LoadedComponent::load(&bytes, &engines, &CodeCache::none(), deployment)?)
    };
    load().map_err(|cause| Box::new(LoadFailure { path: file.to_owned(), cause }))
}

/// Runs a component over a history: does it do what the history says?
///
/// The history may be a whole one, also of an execution that has ended, or the beginning of one, up to before any `orchestratorStarted`.
/// The component's version does not matter: it must only have an orchestrator of the name that the history begins with.
///
/// # Errors
/// The first disagreement, or why the component cannot be run over this history.
pub fn replay(
    component: &LoadedComponent,
    recording: Recording,
    limits: &ReplayLimits,
) -> Result<Replayed, Disagreement> {
    let (session, replayed) = run(component, recording, limits)?;
    drop(session);
    Ok(replayed)
}

/// Replays a recording, and leaves the session as it stands at the recording's end.
fn run(
    component: &LoadedComponent,
    recording: Recording,
    limits: &ReplayLimits,
) -> Result<(Session<Budget<Orchestrator>>, Replayed), Disagreement> {
    let label = component.program().label();
    let disagree = |event, park: Park| Disagreement { event, component: label.clone(), park };
    let Pass { instance_id, orchestrator, past, last } = recording.pass().map_err(|park| disagree(None, park))?;
    let Some(code) = component.orchestrator_code().filter(|_| component.orchestrators().contains(&orchestrator)) else {
        return Err(disagree(None, verdict::no_orchestrator(component, &orchestrator)));
    };
    let events = past.len() + last.as_ref().map_or(0, |last| last.events);
    let guest = Budget::new(Orchestrator::new(Arc::clone(code)), limits.time);
    let mut session = Session::new(guest, instance_id, Arc::clone(component.program()), limits.orchestration);
    session.record_fuel();
    // Without new events nothing is decided: what the replay led to is what the history holds.
    if let Err(park) = session.apply(past, []) {
        return Err(disagree(session.position().checked_sub(1), park));
    }
    let open = session.open_ops();
    let Some(last) = last else {
        let fuel = session.fuel_of_episodes();
        return Ok((session, Replayed { orchestrator, events, open, ended: false, fuel }));
    };
    let first = session.position();
    let outcome = session.apply([], last.incoming.clone()).and_then(|turn| last.compare(&session, &turn.actions));
    match outcome {
        Ok(()) => {
            let fuel = session.fuel_of_episodes();
            Ok((session, Replayed { orchestrator, events, open: 0, ended: true, fuel }))
        }
        Err(park) => Err(disagree(Some(first), park)),
    }
}
