//! The examples with entities, with much going on at the same time and hosts that die.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{EntityCall, EntityFilter, EntityId, Status};
use durawasm_tests::cluster::{World, eventually};
use futures::TryStreamExt as _;
use serde_json::{Value, json};

use super::{activities, fails, run, world};

fn id(name: &str, key: &str) -> Result<EntityId> {
    Ok(EntityId::new(name, key)?)
}

/// Calls an entity from outside.
async fn call(world: &World, entity: &EntityId, operation: &str, input: Value) -> Result<Value> {
    let input = durawasm_client::Payload::from_text(input.to_string());
    let options = EntityCall { timeout: Some(Duration::from_secs(30)), ..EntityCall::default() };
    let answer = world.client.call_entity(entity, operation, Some(input), &options).await?;
    let output = answer.map_err(|failure| anyhow::anyhow!("{operation} of {entity} failed: {failure}"))?;
    Ok(serde_json::from_str(output.context("a result")?.as_str())?)
}

async fn signal(world: &World, entity: &EntityId, operation: &str, input: Value) -> Result<()> {
    let input = durawasm_client::Payload::from_text(input.to_string());
    Ok(world.client.signal_entity(entity, operation, Some(input), None).await?)
}

/// The entities of a name that clients see.
async fn listed(world: &World, name: &str) -> Result<Vec<durawasm_client::Entity>> {
    let filter = EntityFilter { prefix: Some(format!("@{name}@")), transient: true, ..EntityFilter::default() };
    let pages: Vec<_> = world.client.list_entities(filter).try_collect().await?;
    Ok(pages.into_iter().flatten().collect())
}

#[tokio::test]
async fn a_counter_counts_everybody_once_while_its_host_dies() -> Result<()> {
    let (mut world, _folder) = world("counter.wasm").await?;
    let visits = id("Counter", "visits")?;
    let callers = (0..40).map(|number| {
        let (client, visits) = (world.client.clone(), visits.clone());
        tokio::spawn(async move {
            let one = durawasm_client::Payload::from_text("1".to_owned());
            let options = EntityCall { request_id: format!("visit-{number}"), ..EntityCall::default() };
            client.call_entity(&visits, "add", Some(one), &options).await
        })
    });
    let callers: Vec<_> = callers.collect();
    world.crash_and_restart_host().await?;
    let mut counts = Vec::new();
    for caller in callers {
        let count = caller.await??.map_err(|failure| anyhow::anyhow!("{failure}"))?.context("a count")?;
        counts.push(count.as_str().parse::<u32>()?);
    }
    counts.sort_unstable();
    assert_eq!(counts, (1..=40).collect::<Vec<_>>(), "each hears another number");
    assert_eq!(run(&world, "letters", "count_letters", json!(["otto", "toto"])).await?, json!(4));
    assert_eq!(call(&world, &id("counter", "o")?, "get", json!(null)).await?, json!(4));
    assert_eq!(call(&world, &id("counter", "texts")?, "get", json!(null)).await?, json!(1));
    call(&world, &visits, "reset", json!(null)).await?;
    assert_eq!(call(&world, &visits, "get", json!(null)).await?, json!(0));
    Ok(())
}

#[tokio::test]
async fn a_session_is_kept_for_as_long_as_somebody_comes_and_is_not_changed_while_it_is_paid() -> Result<()> {
    let (mut world, _folder) = world("session_state.wasm").await?;
    let ada = id("session", "ada")?;
    call(&world, &ada, "put", json!({"article": "lamp"})).await?;
    world.crash_and_restart_host().await?;
    assert_eq!(call(&world, &ada, "put", json!({"article": "lamp", "amount": 2})).await?, json!(3));
    let purchase = json!({"articles": {"lamp": 3}, "payment": "paid for 3"});
    assert_eq!(run(&world, "ada pays", "check_out", json!("ada")).await?, purchase);
    assert_eq!(fails(&world, "ada pays again", "check_out", json!("ada")).await?, "EmptyBasket");

    let pauper = id("session", "pauper")?;
    call(&world, &pauper, "put", json!({"article": "ship"})).await?;
    assert_eq!(fails(&world, "pauper pays", "check_out", json!("pauper")).await?, "NoMoney");
    assert_eq!(call(&world, &pauper, "basket", json!(null)).await?, json!({"ship": 1}), "and it is not locked");

    // One that is touched all the time outlives its patience by far; then it goes by itself.
    let busy = id("session", "busy")?;
    call(&world, &busy, "keep", json!(1_500)).await?;
    for touched in 1..=8 {
        assert_eq!(call(&world, &busy, "put", json!({"article": "pen"})).await?, json!(touched));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    eventually("the session has gone", async || {
        Ok(world.client.get_entity(&busy, false).await?.is_none().then_some(()))
    })
    .await?;
    assert_eq!(call(&world, &pauper, "basket", json!(null)).await?, json!({"ship": 1}), "the others stay");
    Ok(())
}

#[tokio::test]
async fn a_circuit_opens_after_some_failures_lets_one_try_and_closes_when_that_works() -> Result<()> {
    let (mut world, _folder) = world("circuit_breaker.wasm").await?;
    let breaker = id("breaker", "florist")?;
    let order = |down: bool| json!({"service": "florist", "article": "rose", "down": down});
    let settings = |pause: u64| json!({"failures": 3, "window_millis": 3_600_000, "pause_millis": pause});
    signal(&world, &breaker, "configure", settings(3_600_000)).await?;
    assert_eq!(run(&world, "fine", "buy", order(false)).await?, "one rose from florist");
    for number in 1..=3 {
        assert_eq!(fails(&world, &format!("down {number}"), "buy", order(true)).await?, "ServiceDown");
    }
    world.crash_and_restart_host().await?;
    for number in 4..=6 {
        let id = format!("down {number}");
        assert_eq!(fails(&world, &id, "buy", order(true)).await?, "CircuitOpen");
        ensure!(activities(&world, &id).await?.is_empty(), "the service is left alone");
    }
    // Somebody was woken, once.
    let woken = async || -> Result<usize> {
        let filter = durawasm_client::InstanceFilter::default();
        let pages: Vec<_> = world.client.list(filter).try_collect::<Vec<_>>().await?;
        let instances = pages.into_iter().flatten();
        Ok(instances.filter(|i| i.name == "service_is_down" && i.status == Status::Completed).count())
    };
    eventually("somebody was woken", async || Ok((woken().await? == 1).then_some(()))).await?;

    // The pause is over: of all who ask at the same time one may try.
    signal(&world, &breaker, "close", json!(null)).await?;
    signal(&world, &breaker, "configure", settings(400)).await?;
    for number in 7..=9 {
        assert_eq!(fails(&world, &format!("down {number}"), "buy", order(true)).await?, "ServiceDown");
    }
    signal(&world, &breaker, "configure", settings(3_600_000)).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut asked = Vec::new();
    for _ in 0..5 {
        asked.push(call(&world, &breaker, "ask", json!(null)).await?);
    }
    assert_eq!(asked[0], "Try");
    ensure!(asked[1..].iter().all(|answer| answer["Wait"].is_string()), "{asked:?}");
    signal(&world, &breaker, "succeeded", json!(null)).await?;
    assert_eq!(call(&world, &breaker, "ask", json!(null)).await?, "Call");
    assert_eq!(run(&world, "fine again", "buy", order(false)).await?, "one rose from florist");
    ensure!(woken().await? <= 2, "once for each outage");
    Ok(())
}

#[tokio::test]
async fn money_is_neither_made_nor_lost_and_every_audit_sees_all_of_it() -> Result<()> {
    const ACCOUNTS: usize = 5;
    let (mut world, _folder) = world("bank.wasm").await?;
    let names: Vec<String> = (0..ACCOUNTS).map(|number| format!("account-{number}")).collect();
    for name in &names {
        assert_eq!(call(&world, &id("account", name)?, "deposit", json!(100)).await?, json!(100));
    }
    let (mut transfers, mut audits) = (Vec::new(), Vec::new());
    for number in 0..40 {
        let (from, to) = (&names[number % ACCOUNTS], &names[(number * 3 + 1) % ACCOUNTS]);
        let order = json!({"from": from, "to": to, "amount": number * 5});
        transfers.push(world.begin(&format!("transfer-{number}"), "transfer_money", Some(&order.to_string())).await?);
        if number % 8 == 0 {
            let all = json!(names).to_string();
            audits.push(world.begin(&format!("audit-{number}"), "count_money", Some(&all)).await?);
        }
        if number == 20 {
            world.crash_and_restart_host().await?;
        }
    }
    for audit in audits {
        assert_eq!(world.output(&audit).await?, "500", "{audit}");
    }
    let mut failures = std::collections::BTreeSet::new();
    for transfer in transfers {
        let ended = world.ended(&transfer).await?;
        failures.extend(ended.failure.map(|failure| failure.error_type));
    }
    let expected = ["InsufficientFunds", "SameAccount"].map(str::to_owned);
    assert_eq!(failures, expected.into_iter().collect(), "and nothing else goes wrong");
    assert_eq!(run(&world, "last audit", "count_money", json!(names)).await?, json!(500));
    let locked: Vec<_> = listed(&world, "account").await?.into_iter().filter(|e| e.locked_by.is_some()).collect();
    ensure!(locked.is_empty(), "nobody holds a lock: {locked:?}");

    let (rich, poor) = (id("account", "rich")?, id("account", "poor")?);
    call(&world, &rich, "deposit", json!(u64::MAX)).await?;
    call(&world, &poor, "deposit", json!(10)).await?;
    let order = json!({"from": "poor", "to": "rich", "amount": 10});
    assert_eq!(fails(&world, "too much", "transfer_money", order).await?, "TooRich");
    assert_eq!(call(&world, &poor, "balance", json!(null)).await?, json!(10), "what was taken is given back");
    Ok(())
}

#[tokio::test]
async fn every_measurement_reaches_its_street_once_and_an_alarm_is_given_once() -> Result<()> {
    const METERS: u64 = 4;
    const MEASUREMENTS: u64 = 130;
    let (mut world, _folder) = world("aggregator.wasm").await?;
    for number in 1..=MEASUREMENTS {
        let sent = (0..METERS).map(|meter| {
            let client = world.client.clone();
            async move {
                let meter = EntityId::new("meter", format!("elm/{meter}"))?;
                let watts = durawasm_client::Payload::from_text(number.to_string());
                Ok::<_, anyhow::Error>(client.signal_entity(&meter, "measured", Some(watts), None).await?)
            }
        });
        futures::future::try_join_all(sent).await?;
        if number == MEASUREMENTS / 2 {
            world.crash_and_restart_host().await?;
        }
    }
    let street = id("street", "elm")?;
    let total = METERS * MEASUREMENTS * (MEASUREMENTS + 1) / 2;
    let expected = json!({"count": METERS * MEASUREMENTS, "total_watts": total, "most_watts": MEASUREMENTS});
    let reports = eventually("all has arrived", async || {
        let summary = call(&world, &street, "summary", json!(null)).await?;
        Ok((summary[0] == expected).then(|| summary[1].as_u64()))
    })
    .await?;
    ensure!(reports.is_some_and(|reports| reports < METERS * MEASUREMENTS / 2), "it hears sums: {reports:?}");

    let house = id("meter", "elm/7")?;
    for _ in 0..3 {
        call(&world, &house, "measured", json!(30_000)).await?;
    }
    let alarm = durawasm_client::InstanceId::new("alarm/elm/7")?;
    assert_eq!(world.output(&alarm).await?, r#""somebody is on the way to elm/7""#);
    assert_eq!(activities(&world, "alarm/elm/7").await?, ["send_technician"]);
    Ok(())
}
