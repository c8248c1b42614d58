//! A guest in plain Rust: a table of what to do when something has happened.

use std::collections::HashMap;

use durawasm_host::abi::orchestrator::Context;
use durawasm_host::abi::{
    ActivityCall, ChildCall, Command, EntityId, EntityOperation, OpId, Request, Resolution, RetryPolicy, Timestamp,
};
use durawasm_host::abi::{NextGeneration, NextVersion};
use durawasm_host::orchestration::{Guest, GuestFault, Streams, Time};

use super::journal::failure;

/// One thing to wait for.
#[derive(Clone, Debug)]
pub enum Wait {
    Activity { retry: Option<RetryPolicy> },
    Child { retry: Option<RetryPolicy> },
    Timer,
    Event(String),
    Entity(String),
    Lock(Vec<String>),
}

/// What to do. Nodes are numbered; a node may be issued more than once.
#[derive(Clone, Debug)]
pub enum Effect {
    Issue(usize),
    Cancel(usize),
    Unlock,
    Signal(String),
    Status(u32),
    Send,
    Complete,
    Fail,
    ContinueAsNew { keep_events: bool },
}

/// A thing to wait for, and what to do when it has happened.
#[derive(Clone, Debug)]
pub struct Node {
    pub wait: Wait,
    pub then: Vec<Effect>,
}

/// A table of nodes, and what to do first.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub first: Vec<Effect>,
    pub nodes: Vec<Node>,
}

/// More ops than this are not issued, so that plans which feed themselves come to an end.
const MAX_OPS: OpId = 60;

/// Runs a plan.
#[derive(Debug)]
pub struct Reactor {
    plan: Plan,
    last: OpId,
    /// The node of each open op, and the latest op of each node.
    open: HashMap<OpId, usize>,
    latest: HashMap<usize, OpId>,
    /// The critical section that was asked for last, if it is not over.
    section: Option<Section>,
    ended: bool,
}

#[derive(Debug)]
struct Section {
    op: OpId,
    names: Vec<String>,
    granted: bool,
}

impl Reactor {
    pub fn new(plan: Plan) -> Self {
        Self { plan, last: 0, open: HashMap::new(), latest: HashMap::new(), section: None, ended: false }
    }

    fn act(&mut self, effects: &[Effect], now: Timestamp, out: &mut Vec<Command>) {
        for effect in effects {
            if self.ended {
                return;
            }
            match effect {
                Effect::Issue(node) => self.issue(*node, now, out),
                Effect::Cancel(node) => {
                    if let Some(op) = self.latest.remove(node)
                        && self.open.remove(&op).is_some()
                    {
                        self.section.take_if(|section| section.op == op);
                        out.push(Command::Cancel(op));
                    }
                }
                // The rules of critical sections are kept, as SDKs see to it.
                Effect::Unlock => {
                    if self.section.as_ref().is_some_and(|section| section.granted)
                        && let Some(section) = self.section.take()
                    {
                        out.push(Command::Unlock(section.op));
                    }
                }
                Effect::Signal(name) => {
                    if !self.locked().is_some_and(|names| names.contains(name)) {
                        out.push(Command::SignalEntity(operation(name)));
                    }
                }
                Effect::Status(status) => out.push(Command::CustomStatus(Some(status.to_string()))),
                Effect::Send => out.push(Command::SendEvent(durawasm_host::abi::Event {
                    instance_id: "other".to_owned(),
                    name: "hello".to_owned(),
                    payload: None,
                })),
                Effect::Complete => self.end(Command::Complete(Ok(None)), out),
                Effect::Fail => self.end(Command::Complete(Err(vec![failure("Fatal")])), out),
                Effect::ContinueAsNew { keep_events } => {
                    let next = NextGeneration { input: None, keep_events: *keep_events, version: NextVersion::Keep };
                    self.end(Command::ContinueAsNew(next), out);
                }
            }
        }
    }

    /// What is locked now.
    fn locked(&self) -> Option<&[String]> {
        self.section.as_ref().filter(|section| section.granted).map(|section| section.names.as_slice())
    }

    fn end(&mut self, command: Command, out: &mut Vec<Command>) {
        self.ended = true;
        out.push(command);
    }

    fn issue(&mut self, node: usize, now: Timestamp, out: &mut Vec<Command>) {
        let number = node % self.plan.nodes.len();
        let forbidden = match &self.plan.nodes[number].wait {
            Wait::Entity(name) => self.locked().is_some_and(|names| !names.contains(name)),
            Wait::Lock(_) => self.section.is_some(),
            _ => false,
        };
        if self.last >= MAX_OPS || forbidden {
            return;
        }
        self.last += 1;
        let request = match &self.plan.nodes[number].wait {
            Wait::Activity { retry } => Request::Activity(ActivityCall {
                name: format!("activity-{number}"),
                version: None,
                input: None,
                retry: retry.clone(),
                tags: Vec::new(),
            }),
            Wait::Child { retry } => Request::Child(ChildCall {
                name: format!("child-{number}"),
                version: None,
                input: None,
                instance_id: None,
                retry: retry.clone(),
                tags: Vec::new(),
            }),
            Wait::Timer => Request::Timer(Timestamp { seconds: now.seconds + 60, nanos: now.nanos }),
            Wait::Event(name) => Request::WaitEvent(name.clone()),
            Wait::Entity(name) => Request::CallEntity(operation(name)),
            Wait::Lock(names) => {
                self.section = Some(Section { op: self.last, names: names.clone(), granted: false });
                Request::Lock(names.iter().map(|name| entity(name)).collect())
            }
        };
        self.open.insert(self.last, number);
        self.latest.insert(node, self.last);
        out.push(Command::Issue((self.last, request)));
    }
}

pub fn entity(name: &str) -> EntityId {
    EntityId { name: name.to_owned(), key: "1".to_owned() }
}

fn operation(name: &str) -> EntityOperation {
    EntityOperation { entity: entity(name), operation: "touch".to_owned(), input: None, scheduled: None }
}

impl Guest for Reactor {
    fn start(&mut self, _: &Streams, _: Time, context: Context) -> Result<Vec<Command>, GuestFault> {
        let mut out = Vec::new();
        let first = self.plan.first.clone();
        self.act(&first, context.now, &mut out);
        Ok(out)
    }

    fn resume(&mut self, _: Time, resolutions: &[Resolution]) -> Result<Vec<Command>, GuestFault> {
        let mut out = Vec::new();
        for resolution in resolutions {
            if let Some(node) = self.open.remove(&resolution.op) {
                if let Some(section) = self.section.as_mut().filter(|section| section.op == resolution.op) {
                    section.granted = true;
                }
                let then = self.plan.nodes[node].then.clone();
                self.act(&then, resolution.now, &mut out);
            }
        }
        Ok(out)
    }
}
