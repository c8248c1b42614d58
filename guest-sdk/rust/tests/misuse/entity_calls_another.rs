use durawasm_guest::prelude::*;

#[entity]
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Counter(i64);

#[entity]
impl Counter {
    fn add(&mut self, ctx: &EntityContext) -> Result<i64> {
        ctx.entity(Counter::id("b")).add().await
    }
}

fn main() {}
