//! The first version of an orchestrator, which trips over what an activity returns.

use durawasm_guest::prelude::*;

/// Reserves a seat, asks for its price, and pays.
#[orchestrator]
async fn order(ctx: Context, seat: String) -> Result<String> {
    let number = ctx.call(reserve, seat).await?;
    let price = ctx.call(quote, number).await?;
    if price > 100 {
        bail!("TooDear"; "a price of {price} was not thought of");
    }
    let receipt = ctx.call(pay, price).await?;
    Ok(receipt)
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

/// Pays.
#[activity]
fn pay(price: u64) -> Result<String> {
    Ok(format!("paid {price}"))
}

durawasm_guest::component!(order, reserve, quote, pay);
