use durawasm_guest::prelude::*;

#[activity]
fn greet(ctx: Context, name: String) -> Result<String> {
    Ok(name)
}

fn main() {}
