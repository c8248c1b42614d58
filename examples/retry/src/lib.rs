//! What fails now may work later: a payment is tried again with growing waits, unless trying again cannot help. When the tries are
//! used up there is another way.

use std::time::SystemTime;

use durawasm_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// What is to be paid by whom.
#[derive(Serialize, Deserialize)]
struct Payment {
    card: String,
    email: String,
    amount: u32,
    /// For how long the bank is not there, from now on.
    #[serde(default)]
    outage_millis: u64,
}

/// One try to charge a card.
#[derive(Serialize, Deserialize)]
struct Charge {
    card: String,
    amount: u32,
    bank_is_back: Timestamp,
}

/// A mail. A cautious mail server turns strangers away for a while.
#[derive(Serialize, Deserialize)]
struct Invoice {
    email: String,
    amount: u32,
    known_from: Timestamp,
}

/// Charges a card; if the bank does not answer, it sends an invoice instead.
#[orchestrator]
async fn pay(ctx: Context, payment: Payment) -> Result<String> {
    let Payment { card, email, amount, outage_millis } = payment;
    let bank_is_back = ctx.now() + Duration::from_millis(outage_millis);

    // The waits: 0.1, 0.2, 0.4, 0.5 seconds. They are durable, like every other timer.
    let patient = Retry::attempts(5)
        .first(Duration::from_millis(100))
        .backoff(2.0)
        .max_interval(Duration::from_millis(500))
        .timeout(Duration::from_secs(60))
        .not_on("CardDeclined");
    match ctx.call(charge, Charge { card, amount, bank_is_back }).retry(patient).await {
        Err(error) if error.error_type() == "BankUnreachable" => {}
        charged_or_declined => return charged_or_declined,
    }

    // What is worth another try can be asked of your own code, too.
    let known_from = ctx.now() + Duration::from_millis(250);
    ctx.call(send_invoice, Invoice { email, amount, known_from })
        .retry(Retry::attempts(10).first(Duration::from_millis(100)).backoff(1.0))
        .retry_if(|error| error.property::<u32>("smtp_status").is_some_and(|status| status < 500))
        .await
}

/// Charges a card.
#[activity]
fn charge(Charge { card, amount, bank_is_back }: Charge) -> Result<String> {
    ensure!(now() >= bank_is_back, "BankUnreachable"; "the bank does not answer");
    ensure!(!card.starts_with('0'), "CardDeclined"; "the bank does not like the card {card}");
    Ok(format!("charged {amount}"))
}

/// Mails an invoice.
#[activity]
fn send_invoice(Invoice { email, amount, known_from }: Invoice) -> Result<String> {
    let refused = |status: u32, why: &str| Error::new("MailRefused", why).with_property("smtp_status", &status);
    if !email.contains('@') {
        return Err(refused(550, "there is no such mailbox"));
    }
    if now() < known_from {
        return Err(refused(450, "come back later"));
    }
    Ok(format!("an invoice over {amount} went to {email}"))
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

durawasm_guest::component!(pay, charge, send_invoice);
