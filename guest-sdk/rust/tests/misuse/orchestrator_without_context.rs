use durawasm_guest::prelude::*;

#[orchestrator]
async fn greet(name: String) -> Result<String> {
    Ok(name)
}

#[orchestrator]
async fn nothing() -> Result<()> {
    Ok(())
}

fn main() {}
