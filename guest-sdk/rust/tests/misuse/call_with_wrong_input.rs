use durawasm_guest::prelude::*;

#[activity]
fn greet(name: String) -> Result<String> {
    Ok(name)
}

#[orchestrator]
async fn greet_all(ctx: Context) -> Result<()> {
    ctx.call(greet, 5).await?;
    Ok(())
}

fn main() {}
