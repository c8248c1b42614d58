use durawasm_guest::prelude::*;

#[activity(name = "Greet")]
fn greet(name: String) -> Result<String> {
    Ok(name)
}

#[activity(name = "Greet")]
fn greet_again(name: String) -> Result<String> {
    Ok(name)
}

durawasm_guest::component!(greet, greet_again);

fn main() {}
