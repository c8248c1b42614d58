//! The example of `docs/sandbox.md`, word for word: a test compares.

use durawasm_guest::prelude::*;
use wstd::http::{Body, Client, Request};

/// Tells the shop's partner that an order was shipped. Asked twice, the partner does it once: the request carries an Idempotency-Key.
#[activity]
pub fn tell_partner(order: String) -> Result<u16> {
    let told = wstd::runtime::block_on(async {
        let key = std::env::var("API_KEY")?;
        let request = Request::post("https://api.example.com/shipped").header("authorization", format!("Bearer {key}"));
        Client::new().send(request.body(Body::from(order))?).await
    });
    match told {
        Ok(response) => Ok(response.status().as_u16()),
        Err(error) => Err(Error::new("PartnerUnreachable", format!("{error:#}"))),
    }
}
