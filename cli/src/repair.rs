//! What going back in a history undoes, for people to see before it is done: the plan of `reset` and `fork`.

use std::{fmt, str::FromStr};

use durawasm_client::{Call, HistoryEvent, Turns};
use durawasm_errors::{Code, CodedError};

use crate::{
    arguments::InstanceArguments,
    console::{STRONG, styled},
    render::{self, Block, amount},
};

/// How many calls are named.
const CALLS_SHOWN: usize = 6;

/// A point of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// Before the turn of an event.
    Event(u64),
    /// After all events.
    End,
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Point, String> {
        match text {
            "end" => Ok(Point::End),
            number => number.parse().map(Point::Event).map_err(|_| {
                "an event is a number, as `durawasm history` shows it in the first column; or `end`".to_owned()
            }),
        }
    }
}

/// Going back to a point of an instance's history.
pub(crate) struct Rollback {
    instance: InstanceArguments,
    turns: Turns,
    /// The event before which to go on; behind the last one if nothing is undone.
    at: u64,
    /// How many events are kept.
    kept: u64,
}

impl Rollback {
    /// Refuses what cannot be done with this history.
    pub(crate) fn plan(
        instance: &InstanceArguments,
        history: &[HistoryEvent],
        point: Point,
    ) -> Result<Rollback, CodedError> {
        let turns = Turns::of(history);
        let id = instance.id()?;
        let events = turns.events();
        if events == 0 {
            return Err(CodedError::new(
                Code::Refused,
                format!("`{id}` has not begun yet: it has no history to go back in"),
            )
            .advise(format!("See what it waits for: {}", instance.command("status", ""))));
        }
        let ended =
            history.iter().any(|event| matches!(event.kind, durawasm_client::EventKind::ExecutionCompleted { .. }));
        let at = match point {
            Point::Event(event) => event,
            Point::End if ended => {
                return Err(CodedError::new(Code::Usage, format!("`{id}` has ended: its last turn must be undone"))
                    .advise(format!("Give its last event: --at {}", events - 1)));
            }
            Point::End => events,
        };
        let kept = match turns.start_of(at) {
            Some(kept) => kept,
            None if point == Point::End => events,
            None => {
                let message = format!("`{id}` has no event {at}: its history has the events 0 to {}", events - 1);
                return Err(CodedError::new(Code::Usage, message)
                    .advise(format!("See them with their numbers: {}", instance.command("history", ""))));
            }
        };
        Ok(Rollback { instance: instance.clone(), turns, at, kept })
    }

    /// The event before which to go on.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// How many events are kept.
    pub(crate) fn kept(&self) -> u64 {
        self.kept
    }

    /// What is undone, in a few words.
    pub(crate) fn undone(&self) -> impl fmt::Display {
        amount(self.turns.events() - self.kept, "event", "events")
    }

    /// Refuses results for what is no open call.
    pub(crate) fn check_results(&self, events: impl Iterator<Item = u64>) -> Result<(), CodedError> {
        let mut given: Vec<&Call> = Vec::new();
        for event in events {
            let invalid = |why: String| {
                Err(CodedError::new(Code::Usage, format!("event {event} can be given no result: {why}"))
                    .advise(format!("See the events with their numbers: {}", self.instance.command("history", ""))))
            };
            if event >= self.turns.events() {
                return invalid(format!("the history has the events 0 to {}", self.turns.events() - 1));
            }
            let Some(call) = self.turns.call(event) else {
                return invalid("it is neither the call of an activity or a child nor the answer to one".into());
            };
            let name = &call.name;
            if call.event >= self.kept {
                return invalid(format!("the call of {name} is in a turn that is undone, so it is made anew"));
            }
            if call.is_answered_before(self.kept) {
                return invalid(format!(
                    "{name} has answered in the part that is kept; choose an earlier event for --at"
                ));
            }
            if given.contains(&call) {
                return invalid(format!("{name} (event {}) has been given one", call.event));
            }
            given.push(call);
        }
        Ok(())
    }

    /// The plan, under what is done.
    pub(crate) fn text(&self, what: &str) -> String {
        let Rollback { turns, at, kept, .. } = self;
        let id = self.instance.shown();
        let mut block = Block::new(format!("{what} of {}", styled(STRONG, id)));
        let last = turns.events() - 1;
        let in_turns = |first: usize, last: usize| {
            if first == last { format!("turn {first}") } else { format!("turns {first} to {last}") }
        };
        match *kept {
            0 => block.line("keeps", "nothing but its input: it begins anew"),
            kept => {
                let until = turns.turn_of(kept - 1).unwrap_or(1);
                block.line("keeps", format!("{} ({})", span(0, kept - 1), in_turns(1, until)));
            }
        }
        if *kept <= last {
            let first = turns.turn_of(*kept).unwrap_or(1);
            block.line("undoes", format!("{} ({})", span(*kept, last), in_turns(first, turns.count().max(first))));
        }
        let again: Vec<&Call> = turns.repeated_from(*at).collect();
        if !again.is_empty() {
            let mut names: Vec<String> =
                again.iter().take(CALLS_SHOWN).map(|call| format!("{} (event {})", call.name, call.event)).collect();
            if let Some(more @ 1..) = again.len().checked_sub(CALLS_SHOWN) {
                names.push(format!("{more} more"));
            }
            block.line("calls again", render::visible(&names.join(", ")));
        }
        block.into_text()
    }
}

fn span(first: u64, last: u64) -> String {
    if first == last { format!("event {first}") } else { format!("events {first} to {last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_number_or_the_end() {
        assert_eq!("7".parse(), Ok(Point::Event(7)));
        assert_eq!("end".parse(), Ok(Point::End));
        for text in ["", "-1", "7.5", "#7", "last"] {
            assert!(text.parse::<Point>().is_err_and(|message| message.contains("history")), "{text}");
        }
    }
}
