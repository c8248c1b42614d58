//! What has happened goes to the guest: which op it is for, whether the call is tried again, and what is handed over together.

use super::super::action::Decision;
use super::super::external::Raised;
use super::super::guest::Guest;
use super::super::history::{EventKind, HistoryEvent, RecordedKind};
use super::{Session, Stop};
use crate::abi::{OpId, Outcome, Resolution};

impl<G: Guest> Session<G> {
    /// Something arrived that the guest may wait for.
    pub(super) fn deliver(&mut self, event: HistoryEvent) -> Result<(), Stop> {
        match event.kind {
            EventKind::Resolved { of, action, outcome } => self.resolved(of, action, outcome),
            EventKind::Answered { of, request, outcome } => self.answered(of, &request, outcome),
            EventKind::EventRaised { name, input } => {
                self.flush()?;
                let raised = Raised { name, input };
                if self.ended.is_some() {
                    self.external.keep(raised);
                } else if let Some((op, event)) = self.external.raise(raised) {
                    self.hand_event(op, event)?;
                    self.route_buffered()?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn resolved(&mut self, of: RecordedKind, action: i32, outcome: Outcome) -> Result<(), Stop> {
        // A result that comes twice, or for what was cancelled, or for what nobody called.
        let Some(awaited) = self.ledger.awaited(action, of) else { return Ok(()) };
        let op = awaited.op;
        let may_retry = outcome.is_err() && self.ledger.retry(op).is_some();
        if awaited.between_attempts || may_retry {
            // The host is about to decide and to emit: what came before must have had its effect.
            self.flush()?;
            if self.ended.is_some() || self.ledger.awaited(action, of).is_none() {
                return Ok(());
            }
        }
        if awaited.between_attempts {
            self.try_again(op);
            return Ok(());
        }
        if let Err(failures) = &outcome
            && let Some(delay) = self.ledger.retry(op).and_then(|retry| retry.next_delay(failures, self.now))
        {
            let fire_at = self.now.plus_millis(delay.saturating_add(self.defaults.retry_jitter));
            self.ledger.emit_again(op, Decision::Timer { fire_at }, true);
            return Ok(());
        }
        self.ledger.close(op);
        self.batch.push(Resolution { op, now: self.now.into(), outcome });
        if self.external.has_buffered() || self.batch.len() >= self.limits.batch {
            self.flush()?;
        }
        Ok(())
    }

    fn try_again(&mut self, op: OpId) {
        let Some(retry) = self.ledger.retry(op) else { return };
        retry.attempted();
        let call = retry.call.clone();
        self.ledger.emit_again(op, call, false);
    }

    /// Hands over what has gathered, and then buffered events that found a waiter.
    pub(super) fn flush(&mut self) -> Result<(), Stop> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.resume(&batch)?;
        // The next batch uses the same memory.
        self.batch = batch;
        self.batch.clear();
        self.route_buffered()
    }

    pub(super) fn route_buffered(&mut self) -> Result<(), Stop> {
        while self.ended.is_none()
            && let Some((op, event)) = self.external.next_match()
        {
            self.hand_event(op, event)?;
        }
        Ok(())
    }

    fn hand_event(&mut self, op: OpId, event: Raised) -> Result<(), Stop> {
        self.resume(&[Resolution { op, now: self.now.into(), outcome: Ok(event.input) }])
    }

    fn resume(&mut self, resolutions: &[Resolution]) -> Result<(), Stop> {
        if self.ended.is_some() {
            return Ok(());
        }
        let commands = self.guest.resume(self.now, resolutions).map_err(|fault| self.fault(fault))?;
        self.commands(commands)
    }
}
