//! Electricity meters send what they measure, each measurement a signal: nobody waits for anything. A meter adds up what is its own,
//! and passes on sums to its street, so that the street hears of a hundred measurements at a time and not of each.

use durawasm_guest::Start;
use durawasm_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// Some measurements, added up. Sums can be added up again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Summary {
    count: u64,
    total_watts: u64,
    most_watts: u64,
}

impl Summary {
    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.total_watts += other.total_watts;
        self.most_watts = self.most_watts.max(other.most_watts);
    }
}

/// A meter. Its key is `STREET/NUMBER`.
#[entity]
#[derive(Default, Serialize, Deserialize)]
struct Meter {
    all: Summary,
    /// What its street has not heard of yet.
    news: Summary,
}

/// So many measurements are passed on at once…
const NEWS: u64 = 100;
/// …or fewer when the first of them is so old.
const NEWS_AGE: Duration = Duration::from_millis(500);
/// More than a house may use.
const TOO_MUCH: u64 = 20_000;

#[entity]
impl Meter {
    /// A measurement.
    fn measured(&mut self, ctx: &EntityContext, watts: u64) -> Result<()> {
        let one = Summary { count: 1, total_watts: watts, most_watts: watts };
        self.all.add(&one);
        self.news.add(&one);
        if self.news.count >= NEWS {
            self.pass_on(ctx)?;
        } else if self.news.count == 1 {
            ctx.signal_at(Meter::id(ctx.key()), ctx.now() + NEWS_AGE).report()?;
        }
        if watts > TOO_MUCH {
            // Under an id of its own, so that there is one alarm for a meter and not one for each measurement.
            let alarm = Start::default().id(format!("alarm/{}", ctx.key()));
            ctx.start_with(alarm_about, ctx.key(), alarm)?;
        }
        Ok(())
    }

    /// Tells the street what it has not heard of.
    fn report(&mut self, ctx: &EntityContext) -> Result<()> {
        if self.news.count > 0 { self.pass_on(ctx) } else { Ok(()) }
    }

    /// All that was measured.
    fn summary(&self) -> Result<Summary> {
        Ok(self.all.clone())
    }
}

impl Meter {
    fn pass_on(&mut self, ctx: &EntityContext) -> Result<()> {
        let Some((street, _)) = ctx.key().split_once('/') else { bail!("NoStreet"; "`{}` is in no street", ctx.key()) };
        ctx.signal(Street::id(street)).add(std::mem::take(&mut self.news))
    }
}

/// All meters of a street.
#[entity]
#[derive(Default, Serialize, Deserialize)]
struct Street {
    all: Summary,
    /// How often a meter has reported.
    reports: u64,
}

#[entity]
impl Street {
    /// News of a meter.
    fn add(&mut self, news: Summary) -> Result<()> {
        self.all.add(&news);
        self.reports += 1;
        Ok(())
    }

    /// All that was measured, and in how many reports it came.
    fn summary(&self) -> Result<(Summary, u64)> {
        Ok((self.all.clone(), self.reports))
    }
}

/// A house that uses more than a house may use.
#[orchestrator]
async fn alarm_about(ctx: Context, meter: String) -> Result<String> {
    ctx.call(send_technician, meter).await
}

/// Somebody has a look.
#[activity]
fn send_technician(meter: String) -> Result<String> {
    Ok(format!("somebody is on the way to {meter}"))
}

durawasm_guest::component!(Meter, Street, alarm_about, send_technician);
