//! Accounts that are entities, and orchestrators that use them in each way.

mod register;
mod vault;

use durawasm_guest::prelude::*;
use register::{Register, take_step};
use serde::{Deserialize, Serialize};
use vault::{Vault, move_money};

/// Money.
#[entity]
#[derive(Default, Serialize, Deserialize)]
struct Account {
    balance: i64,
}

#[entity]
impl Account {
    fn deposit(&mut self, amount: i64) -> Result<i64> {
        self.balance += amount;
        Ok(self.balance)
    }

    fn withdraw(&mut self, amount: i64) -> Result<i64> {
        let left = self.balance;
        // Rolled back if it is too much.
        self.balance -= amount;
        ensure!(self.balance >= 0, "Overdrawn"; "there are only {left}");
        Ok(self.balance)
    }

    fn balance(&self) -> Result<i64> {
        Ok(self.balance)
    }

    /// Sends everything to another account and closes this one.
    fn close(&mut self, ctx: &EntityContext, heir: String) -> Result<()> {
        ctx.signal(Account::id(heir)).deposit(self.balance)?;
        ctx.delete();
        Ok(())
    }

    /// Pays interest once, later.
    fn pay_later(&mut self, ctx: &EntityContext, millis: u64) -> Result<()> {
        let then = ctx.now() + Duration::from_millis(millis);
        ctx.signal_at(Account::id(ctx.key()), then).deposit(1)
    }

    /// Has an orchestration write down the balance, and returns that orchestration's id.
    fn report(&self, ctx: &EntityContext) -> Result<String> {
        ctx.start(write_down, self.balance)
    }

    fn panic(&mut self) -> Result<()> {
        self.balance = -1;
        panic!("as asked")
    }
}

/// A state of any size, to measure with.
#[entity]
#[derive(Default, Serialize, Deserialize)]
struct Ledger {
    changes: u64,
    lines: Vec<String>,
}

#[entity]
impl Ledger {
    fn fill(&mut self, lines: usize) -> Result<()> {
        self.lines = (0..lines).map(|line| format!("{line:0>97}")).collect();
        Ok(())
    }

    fn change(&mut self) -> Result<u64> {
        self.changes += 1;
        Ok(self.changes)
    }

    fn changes(&self) -> Result<u64> {
        Ok(self.changes)
    }
}

#[derive(Serialize, Deserialize)]
struct Transfer {
    from: String,
    to: String,
    amount: i64,
}

/// Moves money from one account to another, so that nobody sees it twice or not at all.
#[orchestrator]
async fn transfer(ctx: Context, order: Transfer) -> Result<bool> {
    let (from, to) = (Account::id(&order.from), Account::id(&order.to));
    let section = ctx.lock(&[from.clone(), to.clone()]).await?;
    if ctx.entity(from.clone()).balance().await? < order.amount {
        return Ok(false);
    }
    let (taken, given) = join((ctx.entity(from).withdraw(order.amount), ctx.entity(to).deposit(order.amount))).await;
    taken.and(given)?;
    section.release();
    Ok(true)
}

/// Calls, signals, and tells how a call failed and what it left.
#[orchestrator]
async fn use_account(ctx: Context, key: String) -> Result<(i64, String, String, i64)> {
    let account = Account::id(key);
    ctx.signal(account.clone()).deposit(10)?;
    let balance = ctx.entity(account.clone()).deposit(5).await?;
    let overdrawn = ctx.entity(account.clone()).withdraw(1_000).await.expect_err("there is not so much");
    let panicked = ctx.entity(account.clone()).panic().await.expect_err("it panics");
    let left = ctx.entity(account).balance().await?;
    Ok((balance, overdrawn.error_type().to_owned(), panicked.error_type().to_owned(), left))
}

/// Breaks the rules of a critical section, and handles the errors.
#[orchestrator]
async fn break_rules(ctx: Context, key: String) -> Result<Vec<String>> {
    let (mine, other) = (Account::id(key), Account::id("another one's"));
    let lock = ctx.lock(std::slice::from_ref(&mine));
    let early = ctx.entity(mine.clone()).balance().await.expect_err("is not locked yet");
    let section = lock.await?;
    let (first, second) = (ctx.entity(mine.clone()).balance(), ctx.entity(mine.clone()).balance());
    let errors = [
        early,
        second.await.expect_err("the first one is not answered"),
        ctx.entity(other.clone()).balance().await.expect_err("is not locked"),
        ctx.signal(mine.clone()).deposit(1).expect_err("is locked"),
        ctx.start_child(write_down, 1).await.expect_err("is in a section"),
        ctx.lock(&[other]).await.expect_err("is nested"),
    ];
    first.await?;
    let locked = ctx.is_locked(mine);
    drop(section);
    let types = errors.iter().map(|error| error.error_type().to_owned());
    Ok(types.chain([format!("{locked} {}", ctx.locked().len())]).collect())
}

/// Ends, in a way that is told, while it holds a lock.
#[orchestrator]
async fn end_locked(ctx: Context, (key, way): (String, String)) -> Result<i64> {
    let section = ctx.lock(&[Account::id(&key)]).await?;
    // Held until the end, and not given back by the guest.
    std::mem::forget(section);
    match way.as_str() {
        "return" => Ok(1),
        "fail" => bail!("Asked"; "as asked"),
        "again" => ctx.continue_as_new(&(key, "return")),
        _ => ctx.event("go on").await,
    }
}

/// Has no patience with a lock that somebody else holds, and does other things instead.
#[orchestrator]
async fn give_up(ctx: Context, (busy, other): (String, String)) -> Result<i64> {
    let patience = ctx.sleep(Duration::from_millis(20));
    let OneOf2::Second(()) = race((ctx.lock(&[Account::id(busy)]), patience)).await else {
        bail!("NotBusy"; "it was free")
    };
    let other = Account::id(other);
    ctx.entity(other.clone()).deposit(1).await?;
    let section = ctx.lock(std::slice::from_ref(&other)).await?;
    let balance = ctx.entity(other).deposit(1).await?;
    section.release();
    Ok(balance)
}

/// Deposits in a critical section, and fails because of what it has called within it, or behind it.
#[orchestrator]
async fn fail_around(ctx: Context, (key, place): (String, String)) -> Result<i64> {
    let account = Account::id(key);
    let section = ctx.lock(std::slice::from_ref(&account)).await?;
    let balance = ctx.entity(account).deposit(1).await?;
    let within = if place == "within" { ctx.call(no_luck, ()).await } else { Ok(()) };
    section.release();
    ctx.sleep(Duration::from_millis(1)).await;
    within?;
    ctx.call(no_luck, ()).await?;
    Ok(balance)
}

#[activity]
fn no_luck() -> Result<()> {
    bail!("Unlucky"; "as always")
}

/// Calls an entity of somebody else.
#[orchestrator]
async fn call_foreign(ctx: Context, (name, key, operation, input): (String, String, String, i64)) -> Result<i64> {
    let entity = EntityId::new(name, key);
    ctx.call_entity(entity, &operation, &input).await
}

/// Has an account start an orchestration, and returns that one's id.
#[orchestrator]
async fn ask_for_report(ctx: Context, key: String) -> Result<String> {
    ctx.entity(Account::id(key)).report().await
}

#[orchestrator]
async fn write_down(_ctx: Context, balance: i64) -> Result<i64> {
    Ok(balance)
}

durawasm_guest::component!(
    Account,
    Ledger,
    Register,
    Vault,
    move_money,
    take_step,
    transfer,
    use_account,
    break_rules,
    end_locked,
    give_up,
    fail_around,
    no_luck,
    call_foreign,
    ask_for_report,
    write_down
);
