//! What the guest decides: its commands, checked against the contract and the limits, become actions.

use super::super::action::{Completion, Decision, Status};
use super::super::guest::Guest;
use super::super::limit::Limit;
use super::super::park::{Park, ParkReason};
use super::super::retry::Retry;
use super::{Ended, Session, Stop};
use crate::abi::{Command, NextVersion, OpId, Request};

impl<G: Guest> Session<G> {
    pub(super) fn commands(&mut self, commands: Vec<Command>) -> Result<(), Stop> {
        // What the history holds was within the limits of its time.
        if commands.len() > self.limits.commands && !self.replaying {
            let (sent, limit) = (commands.len(), self.limits.commands);
            return Err(self
                .reached(Limit::Commands, &format!("it sent {sent} commands at once; {limit} are allowed"))
                .into());
        }
        for command in commands {
            if self.ended.is_some() {
                return Err(Park::contract("the guest sent a command after it had ended the orchestration").into());
            }
            self.command(command)?;
        }
        let (pending, limit) = (self.open_ops() + self.external.waiting(), self.limits.pending);
        if pending > limit && !self.replaying && self.ended.is_none() {
            let message = format!("it waits for {pending} results and events at the same time; {limit} are allowed");
            return Err(self.reached(Limit::Pending, &message).into());
        }
        Ok(())
    }

    /// The instance is parked because it reached a limit. What happened follows the name of the limit, with its value.
    pub(super) fn reached(&self, limit: Limit, what: &str) -> Park {
        let word = limit.word();
        Park::new(
            ParkReason::Limit(limit),
            format!(
                "orchestrator `{}` of component {} reached the limit `{word}` in instance `{}`: {what}",
                self.name,
                self.program.label(),
                self.instance_id
            ),
            limit.remedy("orchestrator"),
        )
    }

    fn command(&mut self, command: Command) -> Result<(), Stop> {
        match command {
            Command::Issue((op, request)) => {
                self.ledger.begin(op)?;
                self.issue(op, request)?;
            }
            Command::Cancel(op) => {
                if !self.ledger.knows(op) {
                    return Err(
                        Park::contract(format!("the guest cancelled op {op}, which it has never issued")).into()
                    );
                }
                if !self.external.cancel(op) && !self.cancel_lock(op) {
                    self.ledger.close(op);
                }
            }
            Command::SendEvent(event) => {
                self.check_payload("the event", &event.name, event.payload.as_deref())?;
                self.ledger.emit(Decision::SendEvent {
                    instance_id: event.instance_id,
                    name: event.name,
                    payload: event.payload,
                });
            }
            Command::CustomStatus(status) => {
                self.check_payload("the custom status", "", status.as_deref())?;
                self.custom_status = status;
            }
            Command::ContinueAsNew(next) => {
                self.check_payload("the input of the next generation", "", next.input.as_deref())?;
                let version = match next.version {
                    NextVersion::Keep => {
                        let current = self.moved_to.as_ref().or(self.version.as_ref());
                        NextVersion::Exact(current.unwrap_or(&self.program.version).clone())
                    }
                    other => other,
                };
                self.release_all();
                self.ended = Some(Ended { keep_events: next.keep_events });
                self.ledger.emit(Decision::Complete(Box::new(Completion {
                    next_version: Some(version),
                    ..Completion::new(Status::ContinuedAsNew, next.input)
                })));
            }
            Command::Complete(Ok(output)) => {
                self.check_payload("the output", "", output.as_deref())?;
                self.complete(Completion::new(Status::Completed, output));
            }
            Command::Complete(Err(failures)) => {
                if failures.is_empty() {
                    return Err(
                        Park::contract("the guest failed without saying why: the list of failures is empty").into()
                    );
                }
                self.complete(Completion { failures, ..Completion::new(Status::Failed, None) });
            }
            Command::SignalEntity(signal) => self.signal_entity(signal)?,
            Command::Unlock(op) => self.unlock(op)?,
        }
        Ok(())
    }

    fn issue(&mut self, op: OpId, request: Request) -> Result<(), Stop> {
        let (decision, policy) = match request {
            Request::Activity(call) => {
                self.check_payload("the input of activity", &call.name, call.input.as_deref())?;
                let own = self.program.activities.contains(&call.name);
                let version = call.version.or_else(|| own.then(|| self.program.version.clone()));
                (Decision::Activity { name: call.name, version, input: call.input, tags: call.tags }, call.retry)
            }
            Request::Child(call) => {
                self.check_child(&call.name)?;
                self.check_payload("the input of child orchestration", &call.name, call.input.as_deref())?;
                let decision = Decision::Child {
                    // One that was not chosen is derived from the action's id, each time that the call is made.
                    instance_id: call.instance_id.unwrap_or_default(),
                    name: call.name,
                    version: call
                        .version
                        .or_else(|| self.program.default_version.clone())
                        .or_else(|| self.defaults.child_version.clone()),
                    input: call.input,
                    tags: call.tags,
                };
                (decision, call.retry)
            }
            Request::Timer(at) => (Decision::Timer { fire_at: at.into() }, None),
            Request::WaitEvent(name) => {
                self.external.wait(op, &name);
                return Ok(());
            }
            Request::CallEntity(call) => (self.call_entity(op, call)?, None),
            Request::Lock(entities) => (self.lock_entities(op, &entities)?, None),
        };
        let retry = policy.map(|policy| Retry::new(policy, decision.clone(), self.now));
        self.ledger.emit_for(op, decision, retry);
        Ok(())
    }

    pub(super) fn complete(&mut self, completion: Completion) {
        // The scheduler may end what is terminated without asking, and releases its locks itself.
        if completion.status != Status::Terminated {
            self.release_all();
        }
        self.ended = Some(Ended { keep_events: false });
        self.ledger.emit(Decision::Complete(Box::new(completion)));
    }

    pub(super) fn check_payload(&self, what: &str, name: &str, payload: Option<&str>) -> Result<(), Park> {
        let size = payload.map_or(0, str::len);
        if size <= self.limits.payload || self.replaying {
            return Ok(());
        }
        let name = if name.is_empty() { String::new() } else { format!(" `{name}`") };
        let message = format!("{what}{name} has {size} bytes; the limit is {} bytes", self.limits.payload);
        Err(self.reached(Limit::Payload, &message))
    }
}
