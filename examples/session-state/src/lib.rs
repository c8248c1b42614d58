//! What a visitor has put into a basket, kept for as long as the visitor comes by. A session that nobody touches for a while deletes
//! itself.

use std::collections::BTreeMap;

use durawasm_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// A visit to a shop.
#[entity]
#[derive(Serialize, Deserialize)]
struct Session {
    /// How many of each article are in the basket.
    basket: BTreeMap<String, u32>,
    /// When something was done last. None: nothing was.
    touched: Option<Timestamp>,
    /// How long to keep what nobody touches.
    patience_millis: u64,
}

impl Default for Session {
    fn default() -> Self {
        Self { basket: BTreeMap::new(), touched: None, patience_millis: 30 * 60 * 1_000 }
    }
}

/// Some of an article.
#[derive(Serialize, Deserialize)]
struct Item {
    article: String,
    #[serde(default = "one")]
    amount: u32,
}

fn one() -> u32 {
    1
}

#[entity]
impl Session {
    /// Sets how long to keep it when nobody touches it.
    fn keep(&mut self, ctx: &EntityContext, millis: u64) -> Result<()> {
        self.patience_millis = millis;
        self.touched = None;
        self.touch(ctx)
    }

    /// Puts something into the basket, and returns how many articles are in it.
    fn put(&mut self, ctx: &EntityContext, item: Item) -> Result<u32> {
        ensure!(item.amount > 0, "NoAmount"; "how many of {}?", item.article);
        *self.basket.entry(item.article).or_default() += item.amount;
        self.touch(ctx)?;
        Ok(self.basket.values().sum())
    }

    /// What is in the basket.
    fn basket(&self) -> Result<BTreeMap<String, u32>> {
        Ok(self.basket.clone())
    }

    /// Deletes the session if nobody has touched it for long enough.
    fn expire(&mut self, ctx: &EntityContext) -> Result<()> {
        match self.expires() {
            Some(time) if ctx.now() < time => ctx.signal_at(Session::id(ctx.key()), time).expire(),
            _ => {
                ctx.delete();
                Ok(())
            }
        }
    }
}

impl Session {
    /// Somebody is there. The first touch sends the session a signal for the time when it may be too old; that one sends the next, so
    /// that there is one at a time, however often the session is touched.
    fn touch(&mut self, ctx: &EntityContext) -> Result<()> {
        let first = self.touched.replace(ctx.now()).is_none();
        match self.expires() {
            Some(time) if first => ctx.signal_at(Session::id(ctx.key()), time).expire(),
            _ => Ok(()),
        }
    }

    fn expires(&self) -> Option<Timestamp> {
        Some(self.touched? + Duration::from_millis(self.patience_millis))
    }
}

/// What was bought.
#[derive(Serialize, Deserialize)]
struct Purchase {
    articles: BTreeMap<String, u32>,
    payment: String,
}

/// Buys what is in the basket of a session, which ends with it.
#[orchestrator]
async fn check_out(ctx: Context, visitor: String) -> Result<Purchase> {
    let session = Session::id(&visitor);
    // Nothing is put into the basket while it is being paid for, however long that takes.
    let section = ctx.lock([session.clone()]).await?;
    let articles = ctx.entity(session.clone()).basket().await?;
    ensure!(!articles.is_empty(), "EmptyBasket"; "{visitor} has nothing to pay for");
    let payment = ctx.call(take_payment, (visitor, articles.values().sum())).await?;
    ctx.entity(session).delete().await?;
    section.release();
    Ok(Purchase { articles, payment })
}

/// Takes money.
#[activity]
fn take_payment((visitor, articles): (String, u32)) -> Result<String> {
    ensure!(visitor != "pauper", "NoMoney"; "{visitor} cannot pay for {articles} articles");
    Ok(format!("paid for {articles}"))
}

durawasm_guest::component!(Session, check_out, take_payment);
