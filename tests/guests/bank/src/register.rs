//! A register whose operations each say which one they were, so that what many clients saw can be checked.

use durawasm_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// A number.
#[entity]
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Register {
    value: i64,
    /// How many operations there have been.
    operations: u64,
}

/// What to do with it.
#[derive(Serialize, Deserialize)]
pub(crate) enum Step {
    Read,
    Add(i64),
    /// Writes the second number if it holds the first one.
    Swap(i64, i64),
}

#[entity]
impl Register {
    /// Takes a step. Returns which operation it was, the first being 1, and the value that it found.
    fn step(&mut self, step: Step) -> Result<(u64, i64)> {
        let found = self.value;
        self.operations += 1;
        match step {
            Step::Read => {}
            Step::Add(number) => self.value += number,
            Step::Swap(expected, new) if expected == found => self.value = new,
            Step::Swap(..) => {}
        }
        Ok((self.operations, found))
    }
}

/// Takes a step with a register and returns what it returned.
#[orchestrator]
pub(crate) async fn take_step(ctx: Context, (key, step): (String, Step)) -> Result<(u64, i64)> {
    ctx.entity(Register::id(key)).step(step).await
}
