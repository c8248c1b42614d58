use durawasm_guest::prelude::*;

#[entity]
fn counter(ctx: &EntityContext) -> Result<i64> {
    ctx.input()
}

fn main() {}
