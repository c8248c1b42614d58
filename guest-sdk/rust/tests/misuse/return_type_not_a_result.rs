use durawasm_guest::prelude::*;

#[activity]
fn greet(name: String) -> String {
    name
}

#[orchestrator]
async fn silent(ctx: Context) {
}

fn main() {}
