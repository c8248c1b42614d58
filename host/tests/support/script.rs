//! A guest in plain Rust that answers what it was told to, and short names for what tests of the rules write often.

use durawasm_host::abi::orchestrator::Context;
use durawasm_host::abi::{ActivityCall, ChildCall, Command, OpId, Request, Resolution, RetryPolicy};
use durawasm_host::orchestration::{EventKind, Guest, GuestFault, Limits, RecordedKind, Session, Streams, Time};

use super::journal::{failure, program, resolved};

/// Answers the n-th call of the host with the n-th list, and remembers what it was told.
#[derive(Debug, Default)]
pub struct Script {
    pub answers: std::collections::VecDeque<Result<Vec<Command>, GuestFault>>,
    pub told: Vec<Vec<Resolution>>,
    /// With what it was started.
    pub started: Option<Context>,
}

impl Script {
    pub fn new(answers: impl IntoIterator<Item = Vec<Command>>) -> Self {
        Self { answers: answers.into_iter().map(Ok).collect(), ..Self::default() }
    }

    fn next(&mut self) -> Result<Vec<Command>, GuestFault> {
        self.answers.pop_front().unwrap_or(Ok(Vec::new()))
    }
}

impl Guest for Script {
    fn start(&mut self, _: &Streams, _: Time, context: Context) -> Result<Vec<Command>, GuestFault> {
        self.started = Some(context);
        self.next()
    }

    fn resume(&mut self, _: Time, resolutions: &[Resolution]) -> Result<Vec<Command>, GuestFault> {
        self.told.push(resolutions.to_vec());
        self.next()
    }
}

pub fn session(script: Script) -> Session<Script> {
    session_of("parent", script)
}

pub fn session_of(instance_id: &str, script: Script) -> Session<Script> {
    Session::new(script, instance_id, program(), Limits { batch: 512, ..Limits::default() })
}

pub fn activity(op: OpId, name: &str) -> Command {
    retried(op, name, None)
}

pub fn retried(op: OpId, name: &str, retry: Option<RetryPolicy>) -> Command {
    let call = ActivityCall { name: name.to_owned(), version: None, input: None, retry, tags: Vec::new() };
    Command::Issue((op, Request::Activity(call)))
}

pub fn child(op: OpId, instance_id: Option<&str>, retry: Option<RetryPolicy>) -> Command {
    let call = ChildCall {
        name: "child".to_owned(),
        version: None,
        input: None,
        instance_id: instance_id.map(str::to_owned),
        retry,
        tags: Vec::new(),
    };
    Command::Issue((op, Request::Child(call)))
}

pub fn wait(op: OpId, name: &str) -> Command {
    Command::Issue((op, Request::WaitEvent(name.to_owned())))
}

pub fn done() -> Command {
    Command::Complete(Ok(None))
}

pub fn twice() -> Option<RetryPolicy> {
    Some(RetryPolicy {
        max_attempts: 2,
        first_interval: 1_500,
        backoff: 1.0,
        max_interval: None,
        timeout: None,
        non_retriable: Vec::new(),
    })
}

pub fn ok(action: i32) -> EventKind {
    resolved(RecordedKind::Activity, action, Ok(Some("1".to_owned())))
}

pub fn failed(of: RecordedKind, action: i32) -> EventKind {
    resolved(of, action, Err(vec![failure("E")]))
}

pub fn fired(action: i32) -> EventKind {
    resolved(RecordedKind::Timer, action, Ok(None))
}
