//! Many activities at the same time, then the sum of their results: fan-out and fan-in.

use durawasm_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// How far to fan out.
#[derive(Serialize, Deserialize)]
struct FanOut {
    /// How many activities.
    count: u64,
    /// How long each activity computes, in rounds of a small loop. None is the least that an activity can do.
    #[serde(default)]
    work: u64,
}

/// One of the activities.
#[derive(Serialize, Deserialize)]
struct Part {
    index: u64,
    work: u64,
}

/// Squares the numbers below `count` in parallel and returns the sum.
#[orchestrator]
async fn fan_out(ctx: Context, FanOut { count, work }: FanOut) -> Result<u64> {
    let squares = (0..count).map(|index| ctx.call(square, Part { index, work }));
    Ok(try_join_all(squares).await?.iter().sum())
}

/// Squares a number.
#[activity]
fn square(Part { index, work }: Part) -> Result<u64> {
    let noise = (0..work).fold(index, |noise, round| std::hint::black_box(noise.rotate_left(5) ^ round));
    std::hint::black_box(noise);
    Ok(index * index)
}

durawasm_guest::component!(fan_out, square);
