use durawasm_guest::prelude::*;

#[orchestrator]
async fn child(_ctx: Context, input: u32) -> Result<u32> {
    Ok(input)
}

#[orchestrator]
async fn parent(ctx: Context) -> Result<u32> {
    ctx.call(child, 1).await
}

fn main() {}
