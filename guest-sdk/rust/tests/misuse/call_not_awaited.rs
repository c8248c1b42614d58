#![deny(unused_must_use)]

use durawasm_guest::prelude::*;

#[activity]
fn greet(name: String) -> Result<String> {
    Ok(name)
}

#[orchestrator]
async fn greet_all(ctx: Context) -> Result<()> {
    ctx.call(greet, "Tokyo");
    ctx.sleep(Duration::from_secs(1));
    Ok(())
}

fn main() {}
