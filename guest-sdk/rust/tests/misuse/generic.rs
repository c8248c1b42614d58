use durawasm_guest::prelude::*;

#[activity]
fn greet<T: ToString>(name: T) -> Result<String> {
    Ok(name.to_string())
}

#[orchestrator]
async fn lent<'a>(ctx: Context, name: std::borrow::Cow<'a, str>) -> Result<()> {
    Ok(())
}

fn main() {}
