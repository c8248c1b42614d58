//! An orchestration that is warm in the same host while others are attacked.

use durawasm_host::orchestration::Session;
use durawasm_host::registry::LoadedComponent;
use durawasm_host::sandbox::{Orchestrator, SandboxLimits};

use crate::arena;
use crate::support::journal::{Journal, resolved};
use crate::support::session;

/// A warm orchestration whose every answer depends on all that its memory has ever held.
pub struct Neighbour {
    _component: LoadedComponent,
    session: Session<Orchestrator>,
    journal: Journal,
    /// What it called, step by step.
    pub calls: Vec<String>,
}

impl Neighbour {
    /// Begins it.
    pub fn new() -> Self {
        let component = arena::load(&durawasm_test_components::neighbour().component(), SandboxLimits::default());
        let component = component.unwrap_or_else(|ending| panic!("{ending:?}"));
        let mut session = session(&component, "neighbour", 512);
        let mut journal = Journal::default();
        let new = journal.begin("neighbour", None, vec![]);
        let turn = session.apply([], new.clone()).unwrap();
        journal.commit(new, &turn);
        let mut neighbour = Self { _component: component, session, journal, calls: Vec::new() };
        neighbour.note();
        neighbour
    }

    fn note(&mut self) {
        let [(_, _, decision)] = &self.journal.open[..] else { panic!("one call waits: {:?}", self.journal.open) };
        self.calls.push(decision.name().to_owned());
    }

    /// Lets its call return, and notes the next one.
    pub fn step(&mut self) {
        let (id, kind, _) = self.journal.open[0].clone();
        let new = self.journal.episode(vec![resolved(kind, id, Ok(None))]);
        let turn = self.session.apply([], new.clone()).expect("the neighbour goes on");
        // Its history is of no use here, and would be the only thing that grows.
        self.journal.past.clear();
        self.journal.commit(new, &turn);
        self.note();
    }

    /// Checks all its calls against those of one that nobody has disturbed.
    pub fn check(self) {
        let mut alone = Self::new();
        while alone.calls.len() < self.calls.len() {
            alone.step();
        }
        assert_eq!(self.calls, alone.calls);
    }
}
