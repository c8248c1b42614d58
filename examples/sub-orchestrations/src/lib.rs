//! An orchestration of orchestrations: an order starts a delivery for each of its parcels, at the same time, and an invoice that
//! it does not wait for.

use durawasm_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// What a customer wants, and where.
#[derive(Serialize, Deserialize)]
struct Order {
    customer: String,
    parcels: Vec<Parcel>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Parcel {
    item: String,
    city: String,
}

/// What became of an order.
#[derive(Default, Serialize, Deserialize)]
struct Fulfilment {
    delivered: Vec<String>,
    /// Why the others were not.
    failed: Vec<String>,
}

/// Delivers all parcels of an order that can be delivered.
#[orchestrator]
async fn fulfil(ctx: Context, order: Order) -> Result<Fulfilment> {
    // Each delivery is an instance of its own, with its own history. It has an id that people can find it by, and a tag.
    let deliveries = order.parcels.iter().enumerate().map(|(number, parcel)| {
        let id = format!("{}/parcel-{}", ctx.instance_id(), number + 1);
        ctx.start_child(deliver, parcel).id(id).tag("city", &parcel.city).retry(Retry::attempts(2).not_on("NoCarrier"))
    });
    // `join_all` and not `try_join_all`: a parcel that is lost keeps no other one from its way.
    let mut fulfilment = Fulfilment::default();
    for delivery in join_all(deliveries).await {
        match delivery {
            Ok(receipt) => fulfilment.delivered.push(receipt),
            Err(error) => fulfilment.failed.push(error.to_string()),
        }
    }
    // By name, as for an orchestration of another component or in another language. It runs on when this one has ended.
    let id = format!("{}/invoice", ctx.instance_id());
    ctx.start_child_named::<()>("invoice", &order.customer).id(id).forget();
    Ok(fulfilment)
}

/// Delivers one parcel.
#[orchestrator]
async fn deliver(ctx: Context, parcel: Parcel) -> Result<String> {
    let carrier = ctx.call(find_carrier, &parcel.city).await?;
    ctx.call(hand_over, (carrier, parcel)).await
}

/// Sends an invoice after a while, so that the parcels are there first.
#[orchestrator]
async fn invoice(ctx: Context, customer: String) -> Result<String> {
    ctx.sleep(Duration::from_millis(200)).await;
    ctx.call(mail_invoice, customer).await
}

/// Who goes to a city.
#[activity]
fn find_carrier(city: String) -> Result<String> {
    match city.as_str() {
        "Atlantis" => bail!("NoCarrier"; "nobody goes to {city}"),
        "Venice" => Ok("boat".to_owned()),
        _ => Ok("van".to_owned()),
    }
}

/// Gives a parcel to a carrier.
#[activity]
fn hand_over((carrier, parcel): (String, Parcel)) -> Result<String> {
    Ok(format!("{} went to {} by {carrier}", parcel.item, parcel.city))
}

/// Sends an invoice.
#[activity]
fn mail_invoice(customer: String) -> Result<String> {
    log::info!("an invoice for {customer}");
    Ok(format!("sent to {customer}"))
}

durawasm_guest::component!(fulfil, deliver, invoice, find_carrier, hand_over, mail_invoice);
