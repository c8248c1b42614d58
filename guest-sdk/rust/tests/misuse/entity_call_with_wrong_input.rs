use durawasm_guest::prelude::*;

#[entity]
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Counter(i64);

#[entity]
impl Counter {
    fn add(&mut self, amount: i64) -> Result<i64> {
        self.0 += amount;
        Ok(self.0)
    }
}

#[orchestrator]
async fn run(ctx: Context) -> Result<i64> {
    ctx.entity(Counter::id("a")).add("two").await
}

fn main() {}
