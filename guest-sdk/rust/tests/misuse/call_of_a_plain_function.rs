use durawasm_guest::prelude::*;

fn greet(name: String) -> Result<String> {
    Ok(name)
}

#[orchestrator]
async fn greet_all(ctx: Context) -> Result<()> {
    ctx.call(greet, "Tokyo").await?;
    Ok(())
}

fn main() {}
