use durawasm_guest::prelude::*;

#[orchestrator]
fn greet(ctx: Context) -> Result<()> {
    Ok(())
}

fn main() {}
