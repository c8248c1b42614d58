//! Whether the history holds what the code did, and what a fault of the guest means.
//!
//! An action that the history holds must be the next one that the code has emitted. A history that was rewound has gaps: the calls that
//! failed were taken out of it, with their failures, so that the code makes them again. What the code did because of those failures is
//! still there, and what it does now has other numbers. So up to the last rewind, and only there,
//!
//! - what the code emits and the history does not hold is kept, and emitted again when the history is used up;
//! - an action is found by its id, kind and name; else, behind a gap, by its kind and name, and it takes the id that the history says;
//! - a child that is found by neither is the next attempt of one with that name, a retry policy and no result, if there is one;
//! - all else is a trace of a failure that was taken out: it is left alone, and its results with it.

use std::collections::HashSet;

use super::super::action::Action;
use super::super::divergence::Place;
use super::super::guest::{Guest, GuestFault};
use super::super::history::{EventKind, HistoryEvent, Recorded, RecordedKind};
use super::super::ledger::Mismatch;
use super::super::park::{Park, ParkReason};
use super::{Session, Stop};

/// How recorded actions are matched with emitted ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matching {
    /// In order, without gaps.
    Strict,
    /// With gaps, up to the rewind at this position.
    Gaps(u64),
    /// Behind the rewind: the episode that fills the gaps has not been recorded yet. Whether it has begun.
    Refill { begun: bool },
}

impl<G: Guest> Session<G> {
    /// Sees where the last rewind lies among the events that are about to be applied.
    pub(super) fn look_for_rewind<'a>(&mut self, events: impl Iterator<Item = &'a HistoryEvent> + Clone) {
        let before_rewind = (self.position..).zip(events.clone());
        let rewinds = (self.position..).zip(events).filter(|(_, event)| event.kind == EventKind::Rewound);
        if let Some((at, _)) = rewinds.last() {
            let mut unanswered = HashSet::new();
            for (_, event) in before_rewind.take_while(|(position, _)| *position < at) {
                match &event.kind {
                    EventKind::Recorded(Recorded { kind: RecordedKind::Child, .. }) => {
                        unanswered.insert(event.id);
                    }
                    EventKind::Resolved { of: RecordedKind::Child, action, .. } => {
                        unanswered.remove(action);
                    }
                    _ => {}
                }
            }
            self.ledger.expect_gaps(unanswered);
            self.matching = Matching::Gaps(at);
        }
    }

    /// An episode begins at this position: what came before must be there, except where gaps are allowed.
    pub(super) fn episode_begins(&mut self, position: u64) -> Result<(), Stop> {
        self.leave_gaps(position);
        if !self.replaying {
            return Ok(());
        }
        match self.matching {
            Matching::Gaps(_) => self.ledger.note_gaps(),
            Matching::Refill { begun: false } => self.matching = Matching::Refill { begun: true },
            Matching::Refill { begun: true } | Matching::Strict => {
                self.matching = Matching::Strict;
                self.check_all_recorded()?;
            }
        }
        Ok(())
    }

    fn leave_gaps(&mut self, position: u64) {
        if let Matching::Gaps(until) = self.matching
            && position > until
        {
            self.matching = Matching::Refill { begun: false };
        }
    }

    pub(super) fn confirm(&mut self, position: u64, id: i32, recorded: &Recorded) -> Result<(), Stop> {
        self.leave_gaps(position);
        self.entities.confirm(id, recorded);
        let confirmed = match self.matching {
            Matching::Gaps(_) => self.ledger.confirm_with_gaps(id, recorded),
            Matching::Refill { .. } | Matching::Strict => {
                self.matching = Matching::Strict;
                self.ledger.confirm(id, recorded)
            }
        };
        confirmed.map_err(|mismatch| {
            let component = self.program.label();
            Stop::Park(Place { position, episode: self.now, component: &component }.recorded(id, recorded, &mismatch))
        })
    }

    /// At the end of an episode, or of all that is recorded.
    pub(super) fn check_all_recorded(&self) -> Result<(), Park> {
        if matches!(self.matching, Matching::Gaps(_) | Matching::Refill { begun: false }) {
            return Ok(());
        }
        match self.ledger.first_unconfirmed() {
            Some(action) => Err(self.disagrees(self.position.saturating_sub(1), None, Some(action))),
            None => Ok(()),
        }
    }

    /// What to say when the history holds one thing at this position and the code did another.
    pub(crate) fn disagrees(
        &self,
        position: u64,
        recorded: Option<(i32, &Recorded)>,
        emitted: Option<&Action>,
    ) -> Park {
        let component = self.program.label();
        let place = Place { position, episode: self.now, component: &component };
        match (recorded, emitted) {
            (Some((id, recorded)), Some(action)) => {
                let decision = action.decision.describe();
                place.recorded(id, recorded, &Mismatch::Emitted { id: action.id, decision })
            }
            (Some((id, recorded)), None) => place.recorded(id, recorded, &Mismatch::NothingEmitted),
            (None, Some(action)) => place.unrecorded(action),
            (None, None) => place.goes_on(),
        }
    }

    pub(super) fn fault(&self, fault: GuestFault) -> Stop {
        match fault {
            GuestFault::Trap(failure) if self.replaying => Stop::Park(Park::new(
                ParkReason::ReplayTrap,
                format!(
                    "component {} failed while it replayed what it had done before: {}: {}",
                    self.program.label(),
                    failure.error_type,
                    failure.message
                ),
                "deploy the version of the component that the instance began with, or a corrected one",
            )),
            GuestFault::Trap(failure) => Stop::Fail(Box::new(failure)),
            GuestFault::Limit(limit, message) => Stop::Park(self.reached(limit, &message)),
            GuestFault::Contract(message) => Stop::Park(Park::contract(message)),
        }
    }
}
