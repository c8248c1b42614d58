use durawasm_guest::prelude::*;

#[activity(nmae = "Greet")]
fn greet(name: String) -> Result<String> {
    Ok(name)
}

#[activity(name = "")]
fn nameless(name: String) -> Result<String> {
    Ok(name)
}

fn main() {}
