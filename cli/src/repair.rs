//! What going back in a history undoes, for people to see before it is done: the plan of `reset` and `fork`.

use std::str::FromStr;

use durawasm_client::{Call, Client, EventKind, HistoryEvent, Turns};
use durawasm_errors::{Code, CodedError};

use crate::{
    arguments::InstanceArguments,
    console::{STRONG, styled},
    render::{self, Block, amount},
};

/// How many calls or events are named.
const SHOWN: usize = 6;
/// The title of a plan to reset; other plans leave the instance alone.
pub(crate) const RESET: &str = "reset";

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
    execution: Option<String>,
    turns: Turns,
    /// The event before which to go on; behind the last one if nothing is undone.
    at: u64,
    /// How many events are kept.
    kept: u64,
    /// The calls that are given a result.
    given: Vec<u64>,
    /// The external events that are undone: their names, with their numbers.
    raised: Vec<String>,
}

impl Rollback {
    /// Refuses what cannot be done with this history, which is that of the given execution.
    pub(crate) fn plan(
        instance: &InstanceArguments,
        execution: Option<String>,
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
        let ended = history.iter().any(|event| matches!(event.kind, EventKind::ExecutionCompleted { .. }));
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
        let raised = history.iter().filter(|event| event.position >= kept).filter_map(|event| match &event.kind {
            EventKind::EventRaised { name, .. } => Some(numbered(name, event.position)),
            _ => None,
        });
        let raised = raised.collect();
        Ok(Rollback { instance: instance.clone(), execution, turns, at, kept, given: Vec::new(), raised })
    }

    /// Refuses to go on if the events are numbered anew by now: the instance has continued as new, or was itself taken back,
    /// while somebody read the plan.
    pub(crate) async fn check_execution(&self, client: &Client) -> Result<(), CodedError> {
        let id = self.instance.id()?;
        let now = client.get(&id, false).await?.ok_or_else(|| self.instance.not_found())?.execution_id;
        if now == self.execution {
            return Ok(());
        }
        let message = format!("`{id}` has begun another execution meanwhile, with events of its own; nothing was done");
        Err(CodedError::new(Code::Refused, message)
            .advise(format!("See them with their numbers: {}", self.instance.command("history", ""))))
    }

    /// The execution that the events are numbered in.
    pub(crate) fn execution(&self) -> Option<String> {
        self.execution.clone()
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
    pub(crate) fn undone(&self) -> String {
        amount(self.turns.events() - self.kept, "event", "events")
    }

    /// Takes note of calls that are given a result, by their own event or that of an answer. Refuses what is no open call.
    pub(crate) fn with_results(mut self, events: impl Iterator<Item = u64>) -> Result<Rollback, CodedError> {
        let mut given = Vec::new();
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
            if given.contains(&call.event) {
                return invalid(format!("{name} (event {}) is given one already", call.event));
            }
            given.push(call.event);
        }
        self.given = given;
        Ok(self)
    }

    /// The plan, under what is done.
    pub(crate) fn text(&self, what: &str) -> String {
        let Rollback { turns, at, kept, given, .. } = self;
        let mut block = Block::new(format!("{what} of {}", styled(STRONG, render::visible(self.instance.shown()))));
        let last = turns.events() - 1;
        if let Some(before) = kept.checked_sub(1) {
            let turns = span("turn", 1, turns.turn_of(before).unwrap_or(1) as u64);
            block.line("keeps", format!("{} ({turns})", span("event", 0, before)));
        } else {
            block.line("keeps", "its input: it begins anew");
        }
        if *kept <= last {
            let turn = |event| turns.turn_of(event).unwrap_or(1) as u64;
            let turns = span("turn", turn(*kept), turn(last));
            block.line("undoes", format!("{} ({turns})", span("event", *kept, last)));
        }
        let calls = |which: &dyn Fn(&Call) -> bool| -> Vec<String> {
            turns.calls().iter().filter(|call| which(call)).map(|call| numbered(&call.name, call.event)).collect()
        };
        let is_given = |call: &Call| given.contains(&call.event);
        let is_known = |call: &Call| {
            call.event < *kept && call.is_answered_before(*at) && !call.is_answered_before(*kept) && !is_given(call)
        };
        let children = turns.calls().iter().filter(|call| call.event >= *kept).filter_map(|call| call.child.as_ref());
        let lists = [
            // What came in the undone turn, but before the event.
            ("still has", calls(&is_known)),
            ("is given", calls(&is_given)),
            ("calls again", calls(&|call| turns.is_repeated_from(call, *at) && !is_given(call))),
            ("gets again", self.raised.clone()),
        ];
        for (title, names) in lists {
            if !names.is_empty() {
                block.line(title, few(names));
            }
        }
        let children: Vec<String> = children.map(ToString::to_string).collect();
        if what == RESET && !children.is_empty() {
            block.line("terminates", few(children));
        }
        block.into_text()
    }
}

fn numbered(name: &str, event: u64) -> String {
    format!("{name} (event {event})")
}

/// The first few names.
fn few(mut names: Vec<String>) -> String {
    if let Some(more @ 1..) = names.len().checked_sub(SHOWN) {
        names.truncate(SHOWN);
        names.push(format!("{more} more"));
    }
    render::visible(&names.join(", "))
}

/// `turn 1`, `turns 1 and 2`, `turns 1 to 3`.
fn span(what: &str, first: u64, last: u64) -> String {
    match last.saturating_sub(first) {
        0 => format!("{what} {first}"),
        1 => format!("{what}s {first} and {last}"),
        _ => format!("{what}s {first} to {last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_well() {
        assert_eq!(span("turn", 1, 1), "turn 1");
        assert_eq!(span("turn", 1, 2), "turns 1 and 2");
        assert_eq!(span("turn", 1, 3), "turns 1 to 3");
    }

    #[test]
    fn a_point_is_a_number_or_the_end() {
        assert_eq!("7".parse(), Ok(Point::Event(7)));
        assert_eq!("end".parse(), Ok(Point::End));
        for text in ["", "-1", "7.5", "#7", "last"] {
            assert!(text.parse::<Point>().is_err_and(|message| message.contains("history")), "{text}");
        }
    }
}
