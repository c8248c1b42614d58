//! A till that is never switched off: it takes entries for ever. So that its history does not grow for ever too, it begins anew after
//! some entries, with what it knows as the input of its next generation.

use std::cell::Cell;
use std::rc::Rc;

use durawasm_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// All that a generation has to know.
#[derive(Clone, Serialize, Deserialize)]
struct Till {
    #[serde(default)]
    total: i64,
    /// How many generations there were before.
    #[serde(default)]
    generation: u32,
    /// After how many entries a new generation begins.
    #[serde(default = "a_hundred")]
    entries_per_generation: u32,
}

fn a_hundred() -> u32 {
    100
}

/// The payload of the event `entry`: `{"sale": 5}`, `{"refund": 2}` or `"close"`. They are one event, so that they keep their order.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Entry {
    Sale(i64),
    Refund(i64),
    Close,
}

/// Adds up entries until the till is closed.
#[orchestrator]
async fn till(ctx: Context, mut till: Till) -> Result<Till> {
    // A new generation knows nothing but its input, and makes its queries again.
    ctx.set_custom_status(&format!("generation {}", till.generation))?;
    let total = Rc::new(Cell::new(till.total));
    let shown = Rc::clone(&total);
    ctx.on_query("total", move |()| Ok(shown.get()));

    for _ in 0..till.entries_per_generation {
        match ctx.event("entry").await {
            Ok(Entry::Sale(amount)) => till.total += amount,
            Ok(Entry::Refund(amount)) => till.total -= amount,
            Ok(Entry::Close) => return Ok(till),
            Err(error) => log::warn!("an entry was left out: {error}"),
        }
        total.set(till.total);
    }
    till.generation += 1;
    // Entries that come meanwhile are kept, and go over to the next generation.
    ctx.call(file_report, &till).await?;
    ctx.continue_as_new(&till)
}

/// Files the total of a generation.
#[activity]
fn file_report(till: Till) -> Result<()> {
    log::info!("after {} generations there is {} in the till", till.generation, till.total);
    Ok(())
}

durawasm_guest::component!(till, file_report);
