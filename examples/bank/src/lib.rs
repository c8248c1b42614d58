//! Money moves from one account to another in two steps, and nobody may see the moment between them, nor get between them. So both
//! accounts are locked first. However many transfers there are, and whatever is killed while they run, the sum never changes.

use durawasm_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// Somebody's money.
#[entity]
#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: u64,
}

#[entity]
impl Account {
    /// Adds money.
    fn deposit(&mut self, amount: u64) -> Result<u64> {
        let Some(balance) = self.balance.checked_add(amount) else { bail!("TooRich"; "there is not so much money") };
        self.balance = balance;
        Ok(balance)
    }

    /// Takes money away, if there is enough.
    fn withdraw(&mut self, amount: u64) -> Result<u64> {
        let left = self.balance.checked_sub(amount);
        let Some(left) = left else { bail!("InsufficientFunds"; "there are only {}", self.balance) };
        self.balance = left;
        Ok(left)
    }

    /// How much there is.
    fn balance(&self) -> Result<u64> {
        Ok(self.balance)
    }
}

/// From whom to whom.
#[derive(Serialize, Deserialize)]
struct Transfer {
    from: String,
    to: String,
    amount: u64,
}

/// What is on both accounts after a transfer.
#[derive(Serialize, Deserialize)]
struct Balances {
    from: u64,
    to: u64,
}

/// Moves money.
#[orchestrator]
async fn transfer_money(ctx: Context, order: Transfer) -> Result<Balances> {
    ensure!(order.from != order.to, "SameAccount"; "it is {}'s money already", order.to);
    let (from, to) = (Account::id(&order.from), Account::id(&order.to));
    // Everybody locks in the same order, whatever order is written here, so that nobody waits in a circle.
    let section = ctx.lock([from.clone(), to.clone()]).await?;
    // If there is not enough this ends here, and the locks with it.
    let left = ctx.entity(from.clone()).withdraw(order.amount).await?;
    let balances = match ctx.entity(to).deposit(order.amount).await {
        Ok(to) => Balances { from: left, to },
        Err(error) => {
            // A failed operation has changed nothing, but the one before it has.
            ctx.entity(from).deposit(order.amount).await?;
            return Err(error);
        }
    };
    section.release();
    Ok(balances)
}

/// How much money there is on some accounts, all at the same moment.
#[orchestrator]
async fn count_money(ctx: Context, accounts: Vec<String>) -> Result<u64> {
    let section = ctx.lock(accounts.iter().map(Account::id)).await?;
    let balances = try_join_all(accounts.iter().map(|account| ctx.entity(Account::id(account)).balance())).await?;
    section.release();
    Ok(balances.into_iter().sum())
}

durawasm_guest::component!(Account, transfer_money, count_money);
