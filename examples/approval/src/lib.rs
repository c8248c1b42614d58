//! People decide, and people take their time: an expense waits for its approval, but not for ever.

use durawasm_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// Below this nobody is asked.
const PETTY: u32 = 100;

/// What somebody wants to be paid for.
#[derive(Serialize, Deserialize)]
struct Expense {
    employee: String,
    amount: u32,
    /// How long each approver has: three days, if nothing is said.
    #[serde(default = "three_days")]
    patience_millis: u64,
}

fn three_days() -> u64 {
    3 * 24 * 60 * 60 * 1_000
}

/// The payload of the event `decision`.
#[derive(Deserialize)]
struct Decision {
    approved: bool,
    by: String,
}

/// How it ended.
#[derive(Serialize, Deserialize)]
struct Verdict {
    approved: bool,
    by: Option<String>,
}

/// Asks the manager, then the director, and takes silence for a no.
#[orchestrator]
async fn expense(ctx: Context, expense: Expense) -> Result<Verdict> {
    if expense.amount < PETTY {
        return Ok(Verdict { approved: true, by: None });
    }
    for approver in ["the manager", "the director"] {
        let question = format!("{approver}: may {} have {}?", expense.employee, expense.amount);
        ctx.call(ask, question).await?;
        ctx.set_custom_status(&format!("waiting for {approver}"))?;
        let patience = Duration::from_millis(expense.patience_millis);
        if let Ok(Decision { approved, by }) = ctx.timeout(patience, decision(&ctx)).await {
            return Ok(Verdict { approved, by: Some(by) });
        }
        log::info!("{approver} said nothing");
    }
    Ok(Verdict { approved: false, by: None })
}

/// Waits for an event that is a decision.
async fn decision(ctx: &Context) -> Decision {
    loop {
        match ctx.event("decision").await {
            Ok(decision) => return decision,
            // Anybody can send anything: what is no decision does not end the wait.
            Err(error) => log::warn!("not a decision: {error}"),
        }
    }
}

/// Tells somebody that there is something to decide.
#[activity]
fn ask(question: String) -> Result<()> {
    log::info!("{question}");
    Ok(())
}

durawasm_guest::component!(expense, ask);
