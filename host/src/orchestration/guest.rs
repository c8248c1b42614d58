//! The code behind a session, seen from the session.

use super::history::Time;
use super::limit::Limit;
use super::seed::Streams;
use crate::abi::orchestrator::Context;
use crate::abi::{Command, Failure, Outcome, Resolution};

/// One orchestrator instance: in production a WebAssembly component instance, in tests also plain Rust.
///
/// Its commands must be a function of what it was told and of nothing else. After a fault it is not called again.
pub trait Guest {
    /// Begins the orchestration. Called once, first.
    fn start(&mut self, streams: &Streams, now: Time, context: Context) -> Result<Vec<Command>, GuestFault>;
    /// Delivers resolutions, all of the same time.
    fn resume(&mut self, now: Time, resolutions: &[Resolution]) -> Result<Vec<Command>, GuestFault>;
    /// Answers a question, once the orchestration has started. None if the guest answers no questions at all. Whatever it does to the
    /// guest stays in it: a guest that was asked is not used for anything else.
    fn answer(&mut self, _now: Time, _question: &Question) -> Result<Option<Outcome>, GuestFault> {
        Ok(None)
    }
    /// What the guest has logged since this was called last.
    fn take_logs(&mut self) -> Vec<LogLine> {
        Vec::new()
    }
    /// The calls from now on may use up this much fuel together; none: as much as they want. What they use is counted in any case.
    fn refuel(&mut self, _fuel: Option<u64>) {}
    /// The fuel that all calls together have used, its making included.
    fn fuel(&self) -> u64 {
        0
    }
    /// How many bytes of memory the guest holds while it is suspended.
    fn memory(&self) -> usize {
        0
    }
}

/// A question to an orchestrator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// What is asked.
    pub name: String,
    /// Its argument.
    pub input: Option<String>,
}

/// How a guest's call went wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum GuestFault {
    /// The user's code panicked, or trapped for a reason of its own.
    Trap(Failure),
    /// A limit of the sandbox was reached: which one, and what happened, with the limit's value.
    Limit(Limit, String),
    /// The guest broke the contract.
    Contract(String),
}

/// A line for people.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// How important it is.
    pub level: LogLevel,
    /// Which part of the guest it comes from.
    pub target: String,
    /// The line.
    pub message: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
}

pub use crate::abi::log::Level as LogLevel;
