//! Greets five cities, one after the other: the smallest durable orchestration that waits.

use durawasm_guest::prelude::*;

const CITIES: [&str; 5] = ["Tokyo", "Hyderabad", "London", "São Paulo", "Seattle"];

/// Greets five cities, one after the other.
#[orchestrator]
async fn hello_cities(ctx: Context) -> Result<Vec<String>> {
    let mut greetings = Vec::new();
    for city in CITIES {
        greetings.push(ctx.call(say_hello, city).await?);
    }
    Ok(greetings)
}

/// Greets one city.
#[activity]
fn say_hello(city: String) -> Result<String> {
    ensure!(!city.is_empty(), "NoCity"; "there is no city to greet");
    log::info!("greeting {city}");
    Ok(format!("Hello {city}!"))
}

durawasm_guest::component!(hello_cities, say_hello);
