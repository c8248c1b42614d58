//! Accounts that notice by themselves what must not happen to them, for a world where everything dies at random.

use durawasm_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// Money behind a door: what comes in while somebody else is inside is written down.
#[entity]
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Vault {
    balance: i64,
    /// The transfer that is inside, from its grant until its release.
    inside: Option<String>,
    /// What came in meanwhile, or came in twice.
    breaches: Vec<String>,
    /// What came from outside of any transfer.
    knocks: u64,
}

impl Vault {
    fn expect(&mut self, transfer: &str, what: &str) {
        if self.inside.as_deref() != Some(transfer) {
            self.breaches.push(format!("{transfer} {what} while {:?} is inside", self.inside));
        }
    }
}

#[entity]
impl Vault {
    fn enter(&mut self, transfer: String) -> Result<i64> {
        if let Some(other) = self.inside.replace(transfer.clone()) {
            self.breaches.push(format!("{transfer} enters while {other} is inside"));
        }
        Ok(self.balance)
    }

    fn change(&mut self, (transfer, amount): (String, i64)) -> Result<i64> {
        self.expect(&transfer, "changes the balance");
        // Rolled back if it is too much.
        self.balance += amount;
        ensure!(self.balance >= 0, "Overdrawn"; "it would be {}", self.balance);
        Ok(self.balance)
    }

    fn leave(&mut self, transfer: String) -> Result<i64> {
        self.expect(&transfer, "leaves");
        self.inside = None;
        Ok(self.balance)
    }

    fn open(&mut self, balance: i64) -> Result<()> {
        self.balance = balance;
        Ok(())
    }

    /// A signal of a third party.
    fn knock(&mut self) -> Result<()> {
        if let Some(inside) = &self.inside {
            self.breaches.push(format!("somebody knocks while {inside} is inside"));
        }
        self.knocks += 1;
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Move {
    transfer: String,
    from: String,
    to: String,
    amount: i64,
}

/// Moves money between two vaults in a critical section. Returns whether there was enough.
#[orchestrator]
pub(crate) async fn move_money(ctx: Context, order: Move) -> Result<bool> {
    let (from, to) = (Vault::id(&order.from), Vault::id(&order.to));
    let section = ctx.lock(&[from.clone(), to.clone()]).await?;
    try_join((
        ctx.entity(from.clone()).enter(order.transfer.clone()),
        ctx.entity(to.clone()).enter(order.transfer.clone()),
    ))
    .await?;
    let moved = match ctx.entity(from.clone()).change((order.transfer.clone(), -order.amount)).await {
        Ok(_) => {
            ctx.entity(to.clone()).change((order.transfer.clone(), order.amount)).await?;
            true
        }
        Err(error) if error.error_type() == "Overdrawn" => false,
        Err(error) => return Err(error),
    };
    try_join((ctx.entity(from).leave(order.transfer.clone()), ctx.entity(to).leave(order.transfer.clone()))).await?;
    section.release();
    Ok(moved)
}
