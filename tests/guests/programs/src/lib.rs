//! Interprets the random programs of `tests/programs` with the SDK.

use std::collections::BTreeMap;
use std::pin::Pin;

use durawasm_guest::prelude::*;
use durawasm_guest::{rand::Rng, serde_json::Value};
use durawasm_test_programs::{Observation, Program, Step, Wait};

/// Something that waits, and is a part of a join, a race or a slot.
type Waiting = Pin<Box<dyn Future<Output = Observation>>>;

/// Runs a program and returns what it observed.
#[orchestrator]
async fn program(ctx: Context, program: Program) -> Result<Vec<Observation>> {
    let mut interpreter = Interpreter { ctx, slots: BTreeMap::new(), observed: Vec::new() };
    interpreter.steps(&program.steps).await?;
    Ok(interpreter.observed)
}

/// Returns its input.
#[activity]
fn echo(value: i64) -> Result<i64> {
    Ok(value)
}

/// Fails with the type `Failed`.
#[activity]
fn fail(value: i64) -> Result<i64> {
    bail!("Failed"; "asked to fail with {value}")
}

durawasm_guest::component!(program, echo, fail);

#[cfg(test)]
mod tests;

struct Interpreter {
    ctx: Context,
    slots: BTreeMap<u8, Waiting>,
    observed: Vec<Observation>,
}

impl Interpreter {
    /// Boxed because steps repeat steps.
    fn steps<'a>(&'a mut self, steps: &'a [Step]) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>> {
        Box::pin(async move {
            for step in steps {
                if let Some(observation) = self.step(step).await? {
                    self.observed.push(observation);
                }
            }
            Ok(())
        })
    }

    async fn step(&mut self, step: &Step) -> Result<Option<Observation>> {
        let observation = match step {
            Step::Await(wait) => self.issue(wait).await,
            Step::Join(waits) => {
                let waiting: Vec<_> = waits.iter().map(|wait| self.issue(wait)).collect();
                Observation::Joined(join_all(waiting).await)
            }
            Step::Race(waits) => {
                let waiting: Vec<_> = waits.iter().map(|wait| self.issue(wait)).collect();
                let (index, observation) = race_all(waiting).await;
                Observation::Won(index, Box::new(observation))
            }
            Step::Timeout(millis, wait) => {
                let waiting = self.issue(wait);
                let outcome = self.ctx.timeout(Duration::from_millis(*millis), waiting).await;
                outcome.unwrap_or(Observation::TimedOut)
            }
            Step::Begin(slot, wait) => {
                let waiting = self.issue(wait);
                self.slots.insert(*slot, waiting);
                return Ok(None);
            }
            Step::Finish(slot) => match self.slots.remove(slot) {
                Some(waiting) => waiting.await,
                None => return Ok(None),
            },
            Step::Abandon(slot) => {
                self.slots.remove(slot);
                return Ok(None);
            }
            Step::Repeat(times, steps) => {
                for _ in 0..*times {
                    self.steps(steps).await?;
                }
                return Ok(None);
            }
            Step::Status(status) => {
                self.ctx.set_custom_status(status)?;
                return Ok(None);
            }
            Step::Now => Observation::Now(micros(self.ctx.now())),
            Step::Random => Observation::Random(self.ctx.random().next_u64()),
            Step::Uuid => Observation::Uuid(self.ctx.new_uuid().to_string()),
        };
        Ok(Some(observation))
    }

    /// Issues at once, as the awaitables of the SDK do.
    fn issue(&self, wait: &Wait) -> Waiting {
        fn observe(outcome: Result<Value>) -> Observation {
            outcome.map_or_else(|error| Observation::Failed(error.error_type().to_owned()), Observation::Value)
        }
        match wait {
            Wait::Echo(value) => {
                let call = self.ctx.call(echo, *value);
                Box::pin(async { observe(call.await.map(Value::from)) })
            }
            Wait::Fail(value) => {
                let call = self.ctx.call(fail, *value);
                Box::pin(async { observe(call.await.map(Value::from)) })
            }
            Wait::Entity(value) => {
                let call = self.ctx.call_entity::<i64>(EntityId::new("Echo", "a"), "echo", value);
                Box::pin(async { observe(call.await.map(Value::from)) })
            }
            Wait::Timer(millis) => {
                let timer = self.ctx.sleep(Duration::from_millis(*millis));
                Box::pin(async {
                    timer.await;
                    Observation::Fired
                })
            }
            Wait::Event(name) => {
                let event = self.ctx.event(name);
                Box::pin(async { observe(event.await) })
            }
        }
    }
}

fn micros(time: Timestamp) -> u64 {
    time.unix_seconds() * 1_000_000 + u64::from(time.subsec_nanos() / 1_000)
}
