//! The orchestrator of `repair-broken`, with its calls in another order: its histories do not replay.

use durawasm_guest::prelude::*;

/// Asks for the price first.
#[orchestrator]
async fn order(ctx: Context, seat: String) -> Result<String> {
    let price = ctx.call(quote, seat.len() as u64).await?;
    ctx.call(reserve, seat).await?;
    Ok(format!("would pay {price}"))
}

/// Reserves a seat.
#[activity]
fn reserve(seat: String) -> Result<u64> {
    Ok(seat.len() as u64)
}

/// The price of a seat.
#[activity]
fn quote(number: u64) -> Result<u64> {
    Ok(number * 100)
}

durawasm_guest::component!(order, reserve, quote);
