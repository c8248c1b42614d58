//! Which op of the guest belongs to which action of the history, and which actions the history has yet to confirm.
//!
//! Action ids are dense, from 1, one for each action in the order of the guest's commands. While past events are applied,
//! each recorded action must be the first of those that the guest has emitted and the history has not confirmed; what
//! is unconfirmed after the new events are the actions of the turn.

use std::collections::{HashMap, HashSet, VecDeque};

use super::action::{Action, Decision};
use super::history::{Recorded, RecordedKind};
use super::park::Park;
use super::retry::Retry;
use crate::abi::OpId;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    last_action: i32,
    last_op: Option<OpId>,
    /// The ops that wait for an action's result.
    ops: HashMap<OpId, Op>,
    /// The latest action of each such op.
    awaited: HashMap<i32, Awaited>,
    unconfirmed: VecDeque<Action>,
    /// Whether something is missing from the history: what comes behind it may differ from what is recorded.
    gaps: bool,
    /// Recorded children whose result the history with gaps does not tell.
    unanswered: HashSet<i32>,
}

#[derive(Debug)]
struct Op {
    action: i32,
    retry: Option<Box<Retry>>,
}

/// What the result of an action is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Awaited {
    pub(super) op: OpId,
    pub(super) kind: RecordedKind,
    /// A timer that stands between two attempts: its end is not the end of the op.
    pub(super) between_attempts: bool,
}

/// Why a recorded action does not fit.
#[derive(Debug)]
pub(super) enum Mismatch {
    /// The guest has emitted nothing that is not confirmed.
    NothingEmitted,
    /// The guest has emitted this instead.
    Emitted { id: i32, decision: String },
}

/// Whether an action is of the kind and name that the history says.
fn is(action: &Action, recorded: &Recorded) -> bool {
    action.decision.kind() == Some(recorded.kind) && action.decision.name() == recorded.name
}

impl Ledger {
    /// Checks a new op's id.
    pub(super) fn begin(&mut self, op: OpId) -> Result<(), Park> {
        match self.last_op {
            Some(last) if op <= last => Err(Park::contract(format!(
                "the guest issued op {op}, but it has already used op {last}: each op id must be larger than all before"
            ))),
            _ => {
                self.last_op = Some(op);
                Ok(())
            }
        }
    }

    /// Emits an action that nobody waits for.
    pub(super) fn emit(&mut self, decision: Decision) -> i32 {
        self.last_action += 1;
        self.unconfirmed.push_back(Action { id: self.last_action, decision });
        self.last_action
    }

    /// Emits the first action of an op.
    pub(super) fn emit_for(&mut self, op: OpId, decision: Decision, mut retry: Option<Retry>) {
        let Some(kind) = decision.kind() else { return };
        let action = self.emit(decision);
        if let Some(retry) = &mut retry {
            retry.began(action);
        }
        self.ops.insert(op, Op { action, retry: retry.map(Box::new) });
        self.awaited.insert(action, Awaited { op, kind, between_attempts: false });
    }

    /// Emits the next action of an op that is being tried again.
    pub(super) fn emit_again(&mut self, op: OpId, decision: Decision, between_attempts: bool) {
        let Some(kind) = decision.kind() else { return };
        let action = self.emit(decision);
        if let Some(entry) = self.ops.get_mut(&op) {
            self.awaited.remove(&entry.action);
            entry.action = action;
            self.awaited.insert(action, Awaited { op, kind, between_attempts });
        }
    }

    /// What waits for the result of this action; none for results that come twice or that nobody waits for.
    pub(super) fn awaited(&self, action: i32, kind: RecordedKind) -> Option<Awaited> {
        self.awaited.get(&action).copied().filter(|awaited| awaited.kind == kind)
    }

    /// Whether an op waits for its result.
    pub(super) fn awaits(&self, op: OpId) -> bool {
        self.ops.contains_key(&op)
    }

    /// The latest action of an op that waits for its result.
    pub(super) fn action_of(&self, op: OpId) -> Option<i32> {
        self.ops.get(&op).map(|entry| entry.action)
    }

    /// How an op is tried again, if it is.
    pub(super) fn retry(&mut self, op: OpId) -> Option<&mut Retry> {
        self.ops.get_mut(&op)?.retry.as_deref_mut()
    }

    /// The op has its result, or nobody wants it any more. Late results find nothing.
    pub(super) fn close(&mut self, op: OpId) {
        if let Some(entry) = self.ops.remove(&op) {
            self.awaited.remove(&entry.action);
        }
    }

    /// Whether this op has ever been issued (or skipped).
    pub(super) fn knows(&self, op: OpId) -> bool {
        self.last_op.is_some_and(|last| op <= last)
    }

    /// The history says that this action was committed: it must be the first that is not confirmed.
    pub(super) fn confirm(&mut self, id: i32, recorded: &Recorded) -> Result<(), Mismatch> {
        match self.unconfirmed.front() {
            Some(head) if head.id == id && is(head, recorded) => {
                self.unconfirmed.pop_front();
                Ok(())
            }
            _ => Err(self.mismatch()),
        }
    }

    fn mismatch(&self) -> Mismatch {
        match self.unconfirmed.front() {
            Some(head) => Mismatch::Emitted { id: head.id, decision: head.decision.describe() },
            None => Mismatch::NothingEmitted,
        }
    }

    /// The history has gaps, and does not tell the results of these children: they failed, or run on.
    pub(super) fn expect_gaps(&mut self, unanswered: HashSet<i32>) {
        self.unanswered = unanswered;
    }

    /// An episode of a history with gaps is over: what is not confirmed by now is missing.
    pub(super) fn note_gaps(&mut self) {
        self.gaps |= !self.unconfirmed.is_empty();
    }

    /// A history with gaps says that this action was committed (see `session/checks.rs`). Its id is taken: nothing else may have it.
    pub(super) fn confirm_with_gaps(&mut self, id: i32, recorded: &Recorded) -> Result<(), Mismatch> {
        let exact = self.unconfirmed.iter().position(|action| action.id == id && is(action, recorded));
        let found = match exact {
            Some(at) => Some(at),
            None if !self.gaps => return Err(self.mismatch()),
            None => self.unconfirmed.iter().position(|action| is(action, recorded)),
        };
        self.last_action = self.last_action.max(id);
        // From here on its failure may have had an effect.
        self.gaps |= self.unanswered.contains(&id);
        if let Some(action) = found.and_then(|at| self.unconfirmed.remove(at)) {
            self.renumber(action.id, id);
        } else if let Some(attempt) = self.unanswered_attempt(recorded) {
            self.renumber(attempt, id);
        }
        if let Some(at) = self.unconfirmed.iter().position(|action| action.id == id) {
            self.last_action += 1;
            let fresh = self.last_action;
            self.unconfirmed[at].id = fresh;
            self.renumber(id, fresh);
        }
        Ok(())
    }

    /// The earliest attempt at starting this child whose failure was taken out of the history: what is recorded is the next attempt.
    fn unanswered_attempt(&self, recorded: &Recorded) -> Option<i32> {
        let tried = |op: &Op| op.retry.as_ref().is_some_and(|retry| retry.call.name() == recorded.name);
        let waits = |(action, awaited): (&i32, &Awaited)| {
            let fits = awaited.kind == RecordedKind::Child
                && recorded.kind == RecordedKind::Child
                && self.unanswered.contains(action)
                && self.ops.get(&awaited.op).is_some_and(tried);
            fits.then_some(*action)
        };
        self.awaited.iter().filter_map(waits).min()
    }

    /// What waits for one action waits for another one.
    fn renumber(&mut self, from: i32, to: i32) {
        if from != to
            && let Some(awaited) = self.awaited.remove(&from)
        {
            self.awaited.insert(to, awaited);
            if let Some(op) = self.ops.get_mut(&awaited.op) {
                op.action = to;
            }
        }
    }

    /// The history says that the execution ended.
    pub(super) fn confirm_end(&mut self) {
        if self.unconfirmed.front().is_some_and(|head| matches!(head.decision, Decision::Complete(_))) {
            self.unconfirmed.pop_front();
        }
    }

    pub(super) fn first_unconfirmed(&self) -> Option<&Action> {
        self.unconfirmed.front()
    }

    pub(super) fn take_unconfirmed(&mut self) -> Vec<Action> {
        self.unconfirmed.drain(..).collect()
    }

    /// How many actions were emitted, ever.
    pub(super) fn emitted(&self) -> i32 {
        self.last_action
    }

    /// How many ops wait for a result.
    pub(super) fn open(&self) -> usize {
        self.ops.len()
    }
}
