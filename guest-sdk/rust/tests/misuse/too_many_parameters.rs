use durawasm_guest::prelude::*;

#[activity]
fn greet(first: String, last: String) -> Result<String> {
    Ok(first + &last)
}

#[orchestrator]
async fn both(ctx: Context, first: u32, last: u32) -> Result<u32> {
    Ok(first + last)
}

fn main() {}
