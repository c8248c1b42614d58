//! What the history says, in the terms of a session: the host's own types for events.

use crate::abi::{Outcome, Tag, Timestamp};

/// A point in time, since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Whole seconds.
    pub seconds: i64,
    /// Below 1,000,000,000.
    pub nanos: u32,
}

impl Time {
    /// This time and some milliseconds more; the end of time if there is no such time.
    #[must_use]
    pub fn plus_millis(self, millis: u64) -> Self {
        let nanos = self.nanos + (millis % 1_000) as u32 * 1_000_000;
        let seconds = i64::try_from(millis / 1_000).unwrap_or(i64::MAX).min(MAX_SECONDS);
        Self {
            seconds: self.seconds.saturating_add(seconds + i64::from(nanos / 1_000_000_000)).min(MAX_SECONDS),
            nanos: nanos % 1_000_000_000,
        }
    }

    /// The milliseconds from an earlier time to this one; none if that time is not earlier.
    pub fn millis_since(self, earlier: Self) -> u64 {
        let nanos = i128::from(self.seconds - earlier.seconds) * 1_000_000_000 + i128::from(self.nanos)
            - i128::from(earlier.nanos);
        u64::try_from(nanos / 1_000_000).unwrap_or(0)
    }

    /// Nanoseconds since 1970, as monotonic clocks count them.
    pub fn as_nanos(self) -> u64 {
        u64::try_from(self.seconds).unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(u64::from(self.nanos))
    }
}

/// The last second that a protobuf timestamp can hold: the end of the year 9999.
const MAX_SECONDS: i64 = 253_402_300_799;

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        Timestamp { seconds: u64::try_from(time.seconds).unwrap_or(0), nanos: time.nanos }
    }
}

impl From<Timestamp> for Time {
    fn from(time: Timestamp) -> Self {
        let seconds = i64::try_from(time.seconds).unwrap_or(MAX_SECONDS).min(MAX_SECONDS);
        Time { seconds, nanos: time.nanos.min(999_999_999) }
    }
}

/// One event of a history, or one that is about to become part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEvent {
    /// For recorded actions the action's id, else -1.
    pub id: i32,
    /// When it happened.
    pub time: Time,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// An episode began; the event's time is the orchestrator's clock until the next one.
    EpisodeStarted,
    /// The execution began.
    ExecutionStarted(Box<ExecutionStarted>),
    /// An action of the orchestrator was committed.
    Recorded(Recorded),
    /// What an action waited for has happened.
    Resolved {
        /// What kind of action it was.
        of: RecordedKind,
        /// The action's id.
        action: i32,
        /// How it ended.
        outcome: Outcome,
    },
    /// An entity answered a call, or all entities of a critical section are locked.
    Answered {
        /// What kind of action it was: a call or a lock.
        of: RecordedKind,
        /// The request that the action carried.
        request: String,
        /// How it ended.
        outcome: Outcome,
    },
    /// An external event arrived.
    EventRaised {
        /// Its name, as the sender wrote it.
        name: String,
        /// Its payload.
        input: Option<String>,
    },
    /// The instance was suspended.
    Suspended,
    /// The instance was resumed.
    Resumed,
    /// Somebody asked for the end of the execution.
    Terminated {
        /// The output that the instance shall have.
        output: Option<String>,
    },
    /// The execution ended. Seen only in the history of instances that have ended.
    Completed,
    /// The execution was rewound to before its failure.
    Rewound,
    /// Something that means nothing to an orchestrator, or that this host does not know. Skipped.
    Skipped,
}

/// How an execution began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExecutionStarted {
    /// The orchestrator's name.
    pub name: String,
    /// The version that the instance was given.
    pub version: Option<String>,
    /// The input.
    pub input: Option<String>,
    /// The orchestration that started this one.
    pub parent: Option<ParentInstance>,
    /// Tags, in the order of their names.
    pub tags: Vec<Tag>,
}

/// The orchestration that started another one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParentInstance {
    /// Its instance id.
    pub instance_id: String,
    /// Its orchestrator's name.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
}

/// An action as the history recorded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Which kind of action.
    pub kind: RecordedKind,
    /// The name of the activity, child, event or entity; empty for timers.
    pub name: String,
    /// For messages to entities that are answered: the id that the answer carries. Matching does not look at it, since hosts make it up.
    pub request: Option<String>,
}

impl Recorded {
    /// An action of this kind and name.
    pub fn new(kind: RecordedKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into(), request: None }
    }
}

/// The kinds of actions that leave an event in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordedKind {
    /// The call of an activity.
    Activity,
    /// The start of a child.
    Child,
    /// A timer.
    Timer,
    /// An event sent to another instance.
    SentEvent,
    /// The call of an entity.
    EntityCall,
    /// A signal to an entity.
    EntitySignal,
    /// The begin of a critical section.
    EntityLock,
    /// The release of one entity of a critical section.
    EntityUnlock,
}

impl RecordedKind {
    /// Whether something happens later that answers such an action.
    pub fn is_answered(self) -> bool {
        !matches!(self, Self::SentEvent | Self::EntitySignal | Self::EntityUnlock)
    }

    /// For people: "activity `x`".
    pub fn describe(self, name: &str) -> String {
        match self {
            Self::Activity => format!("the call of activity `{name}`"),
            Self::Child => format!("the start of child orchestration `{name}`"),
            Self::Timer => "a timer".to_owned(),
            Self::SentEvent => format!("the sending of event `{name}`"),
            Self::EntityCall => format!("the call of entity operation `{name}`"),
            Self::EntitySignal => format!("the signal of entity operation `{name}`"),
            Self::EntityLock => format!("the locking of {name}"),
            Self::EntityUnlock => format!("the unlocking of {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_milliseconds_carries_into_seconds() {
        let time = Time { seconds: 10, nanos: 999_000_000 };
        assert_eq!(time.plus_millis(1_500), Time { seconds: 12, nanos: 499_000_000 });
    }

    #[test]
    fn a_time_too_far_away_is_the_end_of_time() {
        assert_eq!(Time::default().plus_millis(u64::MAX).seconds, MAX_SECONDS);
    }

    #[test]
    fn the_time_since_a_later_time_is_nothing() {
        let later = Time { seconds: 10, nanos: 0 };
        assert_eq!(Time::default().millis_since(later), 0);
        assert_eq!(later.millis_since(Time { seconds: 8, nanos: 500_000_000 }), 1_500);
    }
}
