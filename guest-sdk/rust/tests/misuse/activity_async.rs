use durawasm_guest::prelude::*;

#[activity]
async fn greet(name: String) -> Result<String> {
    Ok(name)
}

fn main() {}
