//! A service that is down is not helped by being called again and again, and neither are those who wait for it. So everybody asks a
//! circuit breaker first, which is an entity: it knows how often the service has failed lately, whoever it was that called.
//!
//! - *Closed*: everybody may call.
//! - *Open*, after some failures within a while: nobody may call. Its opening starts an orchestration that does something about it.
//! - *Half open*, after a pause: one may call, to find out. If that works the circuit is closed; if not, another pause begins.

use durawasm_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// What keeps people from calling a service that is down.
#[entity]
#[derive(Default, Serialize, Deserialize)]
struct Breaker {
    settings: Settings,
    /// When the service has failed lately, while the circuit is closed.
    failures: Vec<Timestamp>,
    /// The circuit is open, and until then nobody finds out whether the service is back.
    closed_for_all_until: Option<Timestamp>,
}

/// When to open and for how long.
#[derive(Serialize, Deserialize)]
struct Settings {
    /// So many failures…
    failures: usize,
    /// …within this time open the circuit.
    window_millis: u64,
    /// After this time one may try.
    pause_millis: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { failures: 3, window_millis: 60_000, pause_millis: 30_000 }
    }
}

/// What a breaker says to those who want to call.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Permission {
    /// Go ahead, and say how it went.
    Call,
    /// You are the one who finds out whether the service is back. Say how it went.
    Try,
    /// Not before this time.
    Wait(Timestamp),
}

#[entity]
impl Breaker {
    /// Sets when to open and for how long.
    fn configure(&mut self, settings: Settings) -> Result<()> {
        self.settings = settings;
        Ok(())
    }

    /// May I call?
    fn ask(&mut self, ctx: &EntityContext) -> Result<Permission> {
        Ok(match self.closed_for_all_until {
            None => Permission::Call,
            Some(time) if ctx.now() < time => Permission::Wait(time),
            Some(_) => {
                // The next one may try if this one is never heard of again.
                self.pause(ctx);
                Permission::Try
            }
        })
    }

    /// It worked.
    fn succeeded(&mut self) -> Result<()> {
        if self.closed_for_all_until.take().is_some() {
            self.failures.clear();
        }
        Ok(())
    }

    /// It failed.
    fn failed(&mut self, ctx: &EntityContext) -> Result<()> {
        if self.closed_for_all_until.is_some() {
            self.pause(ctx);
            return Ok(());
        }
        let window = Duration::from_millis(self.settings.window_millis);
        self.failures.push(ctx.now());
        self.failures.retain(|time| *time + window > ctx.now());
        if self.failures.len() >= self.settings.failures {
            self.failures.clear();
            self.pause(ctx);
            // Once for each outage: the operations of an entity run one at a time, and what this one does takes effect together.
            ctx.start(service_is_down, ctx.key())?;
        }
        Ok(())
    }

    /// Lets everybody call again, whatever has happened.
    fn close(&mut self) -> Result<()> {
        self.failures.clear();
        self.closed_for_all_until = None;
        Ok(())
    }
}

impl Breaker {
    fn pause(&mut self, ctx: &EntityContext) {
        self.closed_for_all_until = Some(ctx.now() + Duration::from_millis(self.settings.pause_millis));
    }
}

/// What is wanted of a service.
#[derive(Serialize, Deserialize)]
struct Order {
    service: String,
    article: String,
    /// Whether the service is down. In real life it would not say so.
    #[serde(default)]
    down: bool,
}

/// Has a service do something, unless it is known to be down.
#[orchestrator]
async fn buy(ctx: Context, order: Order) -> Result<String> {
    let breaker = Breaker::id(&order.service);
    if let Permission::Wait(_) = ctx.entity(breaker.clone()).ask().await? {
        bail!("CircuitOpen"; "{} is down, and nobody calls it for now", order.service);
    }
    let bought = ctx.call(call_service, &order).await;
    // Nobody waits for this, and still nobody who asks later is told what was true before.
    match &bought {
        Ok(_) => ctx.signal(breaker).succeeded()?,
        Err(_) => ctx.signal(breaker).failed()?,
    }
    bought
}

/// Does something about a service that is down.
#[orchestrator]
async fn service_is_down(ctx: Context, service: String) -> Result<String> {
    ctx.call(wake_somebody, service).await
}

/// The service.
#[activity]
fn call_service(order: Order) -> Result<String> {
    ensure!(!order.down, "ServiceDown"; "{} does not answer", order.service);
    Ok(format!("one {} from {}", order.article, order.service))
}

/// Somebody has to get up.
#[activity]
fn wake_somebody(service: String) -> Result<String> {
    Ok(format!("somebody looks after {service}"))
}

durawasm_guest::component!(Breaker, buy, service_is_down, call_service, wake_somebody);
