use durawasm_guest::prelude::*;

#[orchestrator]
async fn count(ctx: Context, numbers: Vec<u32>) -> Result<usize> {
    ctx.on_query("count", || Ok(numbers.len()));
    Ok(numbers.len())
}

fn main() {}
