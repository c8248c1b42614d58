//! The programs and what they observe.

use serde::{Deserialize, Serialize};

/// An orchestration: steps, one after the other. Its result is the list of what it observed.
///
/// The first op that a program issues has number 1, and so on in the order of the text; what stands in a [`Step::Join`] or a
/// [`Step::Race`] is issued from left to right before any of it is awaited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// What it does.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Awaits and observes the outcome.
    Await(Wait),
    /// Awaits all, and observes all outcomes.
    Join(Vec<Wait>),
    /// Awaits the first, observes which one and its outcome, and drops the others.
    Race(Vec<Wait>),
    /// Awaits, but no longer than so many milliseconds. The timer is issued after what it limits.
    Timeout(u64, Wait),
    /// Begins to wait and puts it into a slot. What was in the slot is dropped afterwards.
    Begin(u8, Wait),
    /// Awaits what is in a slot, if something is, and observes the outcome.
    Finish(u8),
    /// Drops what is in a slot.
    Abandon(u8),
    /// Does the steps so many times.
    Repeat(u8, Vec<Step>),
    /// Sets the custom status.
    Status(u32),
    /// Observes the time.
    Now,
    /// Observes a random number.
    Random,
    /// Observes a unique id.
    Uuid,
}

/// Something to wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// The activity `echo`, which returns its input.
    Echo(i64),
    /// The activity `fail`, which fails with the error type `Failed`.
    Fail(i64),
    /// The operation `echo` of the entity `@echo@a`, which returns its input.
    Entity(i64),
    /// A timer of so many milliseconds.
    Timer(u64),
    /// An external event of this name.
    Event(String),
}

impl Wait {
    /// Whether it appears in the history when it is issued, and so takes one of the host's action ids. Waits for events do not.
    pub fn is_action(&self) -> bool {
        !matches!(self, Self::Event(_))
    }
}

/// What a program observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    /// An activity's result or an event's payload.
    Value(serde_json::Value),
    /// A failure's type.
    Failed(String),
    /// A timer.
    Fired,
    /// All of a [`Step::Join`].
    Joined(Vec<Observation>),
    /// The winner of a [`Step::Race`] and its outcome.
    Won(usize, Box<Observation>),
    /// The time of a [`Step::Timeout`] was up.
    TimedOut,
    /// A time, in microseconds since 1970.
    Now(u64),
    /// A random number.
    Random(u64),
    /// A unique id.
    Uuid(String),
}
