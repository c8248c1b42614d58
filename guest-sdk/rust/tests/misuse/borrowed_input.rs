use durawasm_guest::prelude::*;

#[activity]
fn greet(name: &str) -> Result<String> {
    Ok(name.to_owned())
}

#[activity]
fn sum(numbers: &[u32]) -> Result<u32> {
    Ok(numbers.iter().sum())
}

#[activity]
fn inside(names: Vec<&str>) -> Result<()> {
    Ok(())
}

#[activity]
fn anything(name: impl ToString) -> Result<()> {
    Ok(())
}

fn main() {}
