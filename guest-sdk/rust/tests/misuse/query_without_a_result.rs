use durawasm_guest::prelude::*;

#[orchestrator]
async fn count(ctx: Context) -> Result<()> {
    ctx.on_query("count", |()| 5);
    Ok(())
}

fn main() {}
