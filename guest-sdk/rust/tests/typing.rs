//! What user code may write: it compiles, and means what it says.

use std::cell::Cell;
use std::rc::Rc;

use durawasm_guest::__private::{Offered, describe};
use durawasm_guest::prelude::*;
use durawasm_guest::{Activity, Orchestrator};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(durawasm_guest::schemars::JsonSchema),
    schemars(crate = "durawasm_guest::schemars")
)]
struct Order {
    item: String,
    #[serde(default)]
    count: u32,
}

/// An error of the user's own.
#[derive(Debug)]
struct OutOfStock;

impl std::fmt::Display for OutOfStock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("out of stock")
    }
}

impl std::error::Error for OutOfStock {}

#[activity]
fn double(number: u64) -> Result<u64> {
    Ok(number * 2)
}

#[activity]
fn total(numbers: Vec<u32>) -> Result<u32> {
    Ok(numbers.iter().sum())
}

#[activity(name = "ShipOrder")]
pub(crate) fn ship(Order { item, .. }: Order) -> Result<String, OutOfStock> {
    if item.is_empty() { Err(OutOfStock) } else { Ok(item) }
}

#[activity]
fn who_called(ctx: durawasm_guest::ActivityContext, suffix: String) -> Result<String> {
    Ok(format!("{}{suffix}", ctx.instance_id()))
}

#[activity]
fn nothing() -> Result<()> {
    Ok(())
}

/// Calls with every kind of input that is accepted.
#[orchestrator]
async fn every_kind(ctx: Context, orders: Vec<Order>) -> Result<u64> {
    // A literal takes the activity's type, and a variable may have the activity's name.
    let double_once = ctx.call(double, 21).await?;
    let total = ctx.call(total, [1, 2].as_slice()).await?;
    ctx.call(self::total, vec![1, 2]).await?;
    for order in &orders {
        ctx.call(ship, order).retry(Retry::attempts(2)).await?;
    }
    let name = String::from("name");
    ctx.call(who_called, &name).await?;
    ctx.call(who_called, "name").await?;
    ctx.call(who_called, name).await?;
    ctx.call(nothing, ()).await?;
    let sum: u64 = ctx.start_child(every_kind, &orders).id("child").version("1").await?;
    if sum > 10 {
        return ctx.continue_as_new(&orders);
    }
    let chosen: u32 = ctx.random().random_range(1..=6);
    Ok(double_once + u64::from(total) + u64::from(chosen))
}

/// Answers queries of every shape.
#[orchestrator]
async fn queried(ctx: Context, orders: Vec<Order>) -> Result<()> {
    let left = Rc::new(Cell::new(orders.len()));
    ctx.on_query("left", {
        let left = Rc::clone(&left);
        move |()| Ok(left.get())
    });
    ctx.on_query("ordered", {
        let orders = orders.clone();
        move |item: String| Ok(orders.iter().find(|order| order.item == item).cloned())
    });
    ctx.on_query("parsed", |text: String| Ok(text.parse::<u32>()?));
    ctx.on_query("optional", |limit: Option<u32>| Ok(limit.unwrap_or(10)));
    ctx.on_query("never", |()| -> Result<()> { bail!("Never"; "not even once") });
    for order in &orders {
        ctx.call(ship, order).await?;
        left.set(left.get() - 1);
    }
    Ok(())
}

durawasm_guest::component!(every_kind, queried, double, total, ship, who_called, nothing);

#[test]
fn names_come_from_functions_or_from_the_option() {
    assert_eq!(<every_kind as Orchestrator>::NAME, "every_kind");
    assert_eq!(<double as Activity>::NAME, "double");
    assert_eq!(<ship as Activity>::NAME, "ShipOrder");
    const { assert!(<ship as Activity>::TAKES_INPUT && !<nothing as Activity>::TAKES_INPUT) };
}

#[test]
fn a_component_describes_what_it_offers() {
    let info = describe("shop", "1.2.3", &[<every_kind as Offered>::OFFER, <ship as Offered>::OFFER]);
    assert_eq!((info.name.as_str(), info.version.as_str()), ("shop", "1.2.3"));
    let [orchestrator] = info.orchestrators.as_slice() else { panic!("{info:?}") };
    assert_eq!(orchestrator.description.as_deref(), Some("Calls with every kind of input that is accepted."));
    let [activity] = info.activities.as_slice() else { panic!("{info:?}") };
    assert_eq!((activity.name.as_str(), activity.description.as_deref()), ("ShipOrder", None));
    let schema = activity.input_schema.as_deref();
    assert_eq!(schema.is_some_and(|schema| schema.contains("\"item\"")), cfg!(feature = "schema"), "{schema:?}");
}
