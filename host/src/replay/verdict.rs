//! What a replay says.

use std::fmt;

use crate::orchestration::{Park, ParkReason};
use crate::registry::LoadedComponent;

/// A history that replays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The orchestrator's name.
    pub orchestrator: String,
    /// How many events the history has.
    pub events: usize,
    /// How many calls, children and timers the orchestrator waits for at its end.
    pub open: usize,
    /// Whether the history tells the end of the execution.
    pub ended: bool,
    /// What each of its episodes cost, in units of fuel: one for each `orchestratorStarted` of the history. The first one includes the making of
    /// the component instance.
    pub fuel: Vec<u64>,
}

/// A history that does not replay, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// Position of the event, from 0, at which the replay stopped; none if it could not begin.
    pub event: Option<u64>,
    /// Name and version of the component.
    pub component: String,
    /// What happened and what to do about it. An instance with this history would be parked for it.
    pub park: Park,
}

impl std::error::Error for Disagreement {}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.event {
            Some(event) => write!(f, "the history does not replay on {} beyond event {event}: ", self.component)?,
            None => write!(f, "the history does not replay on {}: ", self.component)?,
        }
        self.park.fmt(f)
    }
}

pub(super) fn no_orchestrator(component: &LoadedComponent, name: &str) -> Park {
    let offered = component.orchestrators();
    let offers = match offered.len() {
        0 => "it offers none".to_owned(),
        _ => format!("it offers {}", offered.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    };
    Park::new(
        ParkReason::NoVersion,
        format!("component {} has no orchestrator `{name}`: {offers}", component.program().label()),
        "take a component that has it",
    )
}
