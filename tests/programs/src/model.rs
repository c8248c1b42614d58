//! The straight-line model: what a program must come to.
//!
//! It knows nothing of polling. It walks through the program; where the program waits, it takes what happened next from the
//! history until the wait is over. The rules that it states:
//! - An external event goes to the earliest waiter of its name (without regard to case) that is not cancelled, else into a
//!   buffer. A waiter for which an event is buffered gets it before anything else happens; several such waiters in the order
//!   of their issue.
//! - A race goes to what has happened; if that is more than one of its parts, to the first of those.
//! - What is dropped before it has happened is cancelled.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::program::{Observation, Program, Step, Wait};

/// Something that happened, and the time of the episode that brought it, in microseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct Happened {
    /// The episode's time.
    pub now: u64,
    /// What.
    pub what: Happening,
}

/// What can happen to a program from outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// The outcome of an activity, or of an entity's operation: its result, or its failure's type. Actions (activities and timers, but not waits for
    /// events) are counted from 0 in the order of their issue.
    Activity(u64, Result<Value, String>),
    /// A timer fired. Counted like activities.
    Timer(u64),
    /// An external event: name and payload.
    Event(String, Value),
}

/// What must have come of a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Everything that it issued, in order. The first has op-id 1.
    pub issued: Vec<Wait>,
    /// The op-ids that it cancelled, in order.
    pub cancelled: Vec<u64>,
    /// The custom status.
    pub status: Option<u32>,
    /// What it returned; none if it still waits.
    pub result: Option<Vec<Observation>>,
}

/// Walks through a program that began at `start` (microseconds since 1970), given what happened in the order of the history.
///
/// Random numbers and unique ids are not predicted: the prediction holds 0 and the empty text in their place, which
/// [`agrees`] takes for any value.
pub fn predict(program: &Program, start: u64, history: &[Happened]) -> Prediction {
    let mut walk = Walk {
        now: start,
        history: history.iter(),
        issued: Vec::new(),
        cancelled: Vec::new(),
        open: BTreeMap::new(),
        actions: Vec::new(),
        buffer: Vec::new(),
        slots: BTreeMap::new(),
        status: None,
        observed: Vec::new(),
    };
    let ended = walk.steps(&program.steps).is_ok();
    if ended {
        for (_, op) in std::mem::take(&mut walk.slots) {
            walk.cancel(op);
        }
    }
    let Walk { issued, cancelled, status, observed, .. } = walk;
    Prediction { issued, cancelled, status, result: ended.then_some(observed) }
}

/// Whether an observed result is the predicted one, whatever random numbers and unique ids it holds.
pub fn agrees(predicted: &[Observation], observed: &[Observation]) -> bool {
    predicted.len() == observed.len()
        && predicted.iter().zip(observed).all(|pair| match pair {
            (Observation::Random(_), Observation::Random(_)) | (Observation::Uuid(_), Observation::Uuid(_)) => true,
            (predicted, observed) => predicted == observed,
        })
}

/// The history has come to its end and the program still waits.
struct Waiting;

struct Walk<'a> {
    now: u64,
    history: std::slice::Iter<'a, Happened>,
    issued: Vec<Wait>,
    cancelled: Vec<u64>,
    /// Issued, not cancelled, and not yet taken: none until it happens.
    open: BTreeMap<u64, Option<Observation>>,
    /// The op-id of each action.
    actions: Vec<u64>,
    /// Events that nobody waited for.
    buffer: Vec<(String, Value)>,
    slots: BTreeMap<u8, u64>,
    status: Option<u32>,
    observed: Vec<Observation>,
}

impl Walk<'_> {
    fn steps(&mut self, steps: &[Step]) -> Result<(), Waiting> {
        for step in steps {
            self.step(step)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), Waiting> {
        let observation = match step {
            Step::Await(wait) => {
                let op = self.issue(wait);
                self.take(op)?
            }
            Step::Join(waits) => {
                let ops: Vec<_> = waits.iter().map(|wait| self.issue(wait)).collect();
                // What is joined is taken when all has happened; until then every part counts as waiting or done.
                while ops.iter().any(|op| self.open[op].is_none()) {
                    self.next()?;
                }
                Observation::Joined(ops.iter().filter_map(|op| self.open.remove(op).flatten()).collect())
            }
            Step::Race(waits) => {
                let ops: Vec<_> = waits.iter().map(|wait| self.issue(wait)).collect();
                let (index, outcome) = self.race(&ops)?;
                Observation::Won(index, Box::new(outcome))
            }
            Step::Timeout(millis, wait) => {
                let ops = [self.issue(wait), self.issue(&Wait::Timer(*millis))];
                match self.race(&ops)? {
                    (0, outcome) => outcome,
                    _ => Observation::TimedOut,
                }
            }
            Step::Begin(slot, wait) => {
                let op = self.issue(wait);
                if let Some(before) = self.slots.insert(*slot, op) {
                    self.cancel(before);
                }
                return Ok(());
            }
            Step::Finish(slot) => match self.slots.remove(slot) {
                Some(op) => self.take(op)?,
                None => return Ok(()),
            },
            Step::Abandon(slot) => {
                if let Some(op) = self.slots.remove(slot) {
                    self.cancel(op);
                }
                return Ok(());
            }
            Step::Repeat(times, steps) => return (0..*times).try_for_each(|_| self.steps(steps)),
            Step::Status(status) => {
                self.status = Some(*status);
                return Ok(());
            }
            Step::Now => Observation::Now(self.now),
            Step::Random => Observation::Random(0),
            Step::Uuid => Observation::Uuid(String::new()),
        };
        self.observed.push(observation);
        Ok(())
    }

    fn issue(&mut self, wait: &Wait) -> u64 {
        self.issued.push(wait.clone());
        let op = self.issued.len() as u64;
        if wait.is_action() {
            self.actions.push(op);
        }
        self.open.insert(op, None);
        op
    }

    /// Nobody waits for the op any more. What has happened to it is lost.
    fn cancel(&mut self, op: u64) {
        if let Some(None) = self.open.remove(&op) {
            self.cancelled.push(op);
        }
    }

    fn take(&mut self, op: u64) -> Result<Observation, Waiting> {
        loop {
            if let Some(outcome) = self.open.get_mut(&op).and_then(Option::take) {
                self.open.remove(&op);
                return Ok(outcome);
            }
            self.next()?;
        }
    }

    /// The first that has happened wins; the others are dropped, in order.
    fn race(&mut self, ops: &[u64]) -> Result<(usize, Observation), Waiting> {
        loop {
            let winner = ops.iter().position(|op| self.open[op].is_some());
            if let Some(index) = winner {
                let outcome = self.open.remove(&ops[index]).flatten();
                for op in ops {
                    self.cancel(*op);
                }
                return outcome.map(|outcome| (index, outcome)).ok_or(Waiting);
            }
            self.next()?;
        }
    }

    /// Lets the next thing happen: a buffered event that somebody waits for by now, else what the history says.
    fn next(&mut self) -> Result<(), Waiting> {
        for op in self.event_waiters() {
            let Wait::Event(name) = &self.issued[op as usize - 1] else { continue };
            if let Some(index) = self.buffer.iter().position(|(buffered, _)| buffered.eq_ignore_ascii_case(name)) {
                let (_, payload) = self.buffer.remove(index);
                self.open.insert(op, Some(Observation::Value(payload)));
                return Ok(());
            }
        }
        let Happened { now, what } = self.history.next().ok_or(Waiting)?;
        self.now = *now;
        match what {
            Happening::Activity(action, Ok(value)) => self.happen(*action, Observation::Value(value.clone())),
            Happening::Activity(action, Err(kind)) => self.happen(*action, Observation::Failed(kind.clone())),
            Happening::Timer(action) => self.happen(*action, Observation::Fired),
            Happening::Event(name, payload) => {
                let waits = |op: &u64| matches!(&self.issued[*op as usize - 1], Wait::Event(waited) if waited.eq_ignore_ascii_case(name));
                match self.event_waiters().into_iter().find(waits) {
                    Some(op) => {
                        self.open.insert(op, Some(Observation::Value(payload.clone())));
                    }
                    None => self.buffer.push((name.clone(), payload.clone())),
                }
            }
        }
        Ok(())
    }

    fn happen(&mut self, action: u64, outcome: Observation) {
        // An outcome of what was cancelled is ignored.
        if let Some(open) = self.actions.get(action as usize).and_then(|op| self.open.get_mut(op)) {
            *open = Some(outcome);
        }
    }

    /// The ops that still wait for an event, earliest first.
    fn event_waiters(&self) -> Vec<u64> {
        let waiting = self.open.iter().filter(|(_, outcome)| outcome.is_none()).map(|(op, _)| *op);
        waiting.filter(|op| matches!(self.issued[*op as usize - 1], Wait::Event(_))).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(name: &str) -> Wait {
        Wait::Event(name.to_owned())
    }

    fn at(now: u64, what: Happening) -> Happened {
        Happened { now, what }
    }

    #[test]
    fn a_program_waits_where_the_history_ends() {
        let program = Program { steps: vec![Step::Await(Wait::Echo(1)), Step::Await(Wait::Timer(5))] };
        let prediction = predict(&program, 1, &[at(2, Happening::Activity(0, Ok(json!(1))))]);
        assert_eq!(prediction.issued, [Wait::Echo(1), Wait::Timer(5)]);
        assert_eq!(prediction.result, None);
    }

    #[test]
    fn a_waiter_that_lost_its_race_does_not_eat_the_next_event() {
        let program =
            Program { steps: vec![Step::Race(vec![event("a"), Wait::Echo(1)]), Step::Await(event("A")), Step::Now] };
        let history =
            [at(2, Happening::Activity(0, Ok(json!(1)))), at(3, Happening::Event("a".to_owned(), json!("kept")))];
        let prediction = predict(&program, 1, &history);
        assert_eq!(prediction.cancelled, [1]);
        let won = Observation::Won(1, Box::new(Observation::Value(json!(1))));
        let expected = vec![won, Observation::Value(json!("kept")), Observation::Now(3)];
        assert_eq!(prediction.result, Some(expected));
    }

    #[test]
    fn an_event_that_came_early_is_kept() {
        let program = Program { steps: vec![Step::Await(Wait::Timer(1)), Step::Await(event("a"))] };
        let history = [at(2, Happening::Event("a".to_owned(), json!(7))), at(3, Happening::Timer(0))];
        let result = predict(&program, 1, &history).result;
        assert_eq!(result, Some(vec![Observation::Fired, Observation::Value(json!(7))]));
    }

    #[test]
    fn what_happened_while_nobody_looked_is_there_when_it_is_awaited() {
        let steps = vec![Step::Begin(0, Wait::Echo(1)), Step::Await(Wait::Echo(2)), Step::Finish(0)];
        let history = [at(2, Happening::Activity(0, Ok(json!(1)))), at(3, Happening::Activity(1, Ok(json!(2))))];
        let result = predict(&Program { steps }, 1, &history).result;
        assert_eq!(result, Some(vec![Observation::Value(json!(2)), Observation::Value(json!(1))]));
    }

    #[test]
    fn a_slot_that_is_filled_again_drops_what_it_held() {
        let steps = vec![Step::Begin(0, Wait::Timer(1)), Step::Begin(0, event("a")), Step::Status(4)];
        let prediction = predict(&Program { steps }, 1, &[]);
        assert_eq!(prediction.cancelled, [1, 2]);
        assert_eq!((prediction.status, prediction.result), (Some(4), Some(vec![])));
    }
}
