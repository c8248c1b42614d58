//! The examples do what they show, on the real program, also where something goes wrong.

mod entities;
mod readme;

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{EventKind, HistoryEvent, InstanceId, Payload, Status};
use durawasm_tests::cluster::{World, components, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;

/// One example on a host.
async fn world(component: &str) -> Result<(World, TempDir)> {
    let folder = components(&[component])?;
    Ok((World::start(folder.path()).await?, folder))
}

async fn run(world: &World, id: &str, name: &str, input: Value) -> Result<Value> {
    let output = world.run(id, name, Some(&input.to_string())).await?;
    serde_json::from_str(&output).with_context(|| format!("{id} returned {output}"))
}

/// Runs an orchestration that has to fail, and returns the type of its failure.
async fn fails(world: &World, id: &str, name: &str, input: Value) -> Result<String> {
    let id = world.begin(id, name, Some(&input.to_string())).await?;
    let ended = world.ended(&id).await?;
    ensure!(ended.status == Status::Failed, "{id} is {}: {:?}", ended.status, ended.output);
    Ok(ended.failure.context("a failure")?.error_type)
}

async fn history(world: &World, id: &str) -> Result<Vec<HistoryEvent>> {
    Ok(world.client.history(&InstanceId::new(id)?).await?.all().await?)
}

/// The activities that an instance has called, in order.
async fn activities(world: &World, id: &str) -> Result<Vec<String>> {
    let called = |event: HistoryEvent| match event.kind {
        EventKind::TaskScheduled { name, .. } => Some(name),
        _ => None,
    };
    Ok(history(world, id).await?.into_iter().filter_map(called).collect())
}

async fn raise(world: &World, id: &InstanceId, event: &str, payload: Value) -> Result<()> {
    Ok(world.client.raise_event(id, event, Some(Payload::from_text(payload.to_string()))).await?)
}

/// Waits until an instance has this custom status.
async fn custom_status(world: &World, id: &InstanceId, wanted: &str) -> Result<()> {
    let wanted = json!(wanted).to_string();
    eventually(&format!("{id} says {wanted}"), async || {
        let instance = world.client.get(id, false).await?.context("it exists")?;
        Ok(instance.custom_status.is_some_and(|status| status.as_str() == wanted).then_some(()))
    })
    .await
}

#[tokio::test]
async fn what_the_readmes_show_is_what_happens() -> Result<()> {
    let world = World::start(&durawasm_tests::examples()).await?;
    for example in readme::examples()? {
        let commands = readme::run(&example, &world.scheduler.uri()).await?;
        ensure!(commands >= 2, "{} shows too little", example.display());
    }
    Ok(())
}

#[tokio::test]
async fn chaining_answers_one_failure_passes_on_the_others_and_cleans_up_after_all() -> Result<()> {
    let (world, _folder) = world("chaining.wasm").await?;
    let before = ["make_folder", "search_library"];
    let after = ["write_draft", "print", "remove_folder"];
    assert_eq!(run(&world, "known", "write_report", json!("tides")).await?, "*** The moon pulls. The sun helps. ***");
    assert_eq!(activities(&world, "known").await?, [before.as_slice(), &after].concat());
    let found = run(&world, "unknown", "write_report", json!("volcanoes")).await?;
    assert_eq!(found, "*** Much could be said about volcanoes. ***");
    assert_eq!(activities(&world, "unknown").await?, [before.as_slice(), &["ask_librarian"], &after].concat());
    assert_eq!(fails(&world, "personal", "write_report", json!("the librarian")).await?, "TooPersonal");
    assert_eq!(
        activities(&world, "personal").await?,
        [before.as_slice(), &["ask_librarian", "remove_folder"]].concat(),
        "the folder is removed though the chain broke"
    );
    assert_eq!(fails(&world, "nothing", "write_report", json!("")).await?, "NoTopic");
    assert_eq!(activities(&world, "nothing").await?, [before.as_slice(), &["remove_folder"]].concat());
    Ok(())
}

#[tokio::test]
async fn an_approval_goes_from_one_approver_to_the_next_and_survives_the_host() -> Result<()> {
    let (mut world, _folder) = world("approval.wasm").await?;
    let expense = |patience: u64| json!({"employee": "Ada", "amount": 2_000, "patience_millis": patience}).to_string();
    let id = world.begin("patient", "expense", Some(&expense(600_000))).await?;
    custom_status(&world, &id, "waiting for the manager").await?;
    world.crash_and_restart_host().await?;
    raise(&world, &id, "decision", json!({"maybe": 1})).await?;
    raise(&world, &id, "Decision", json!({"approved": false, "by": "Grace"})).await?;
    assert_eq!(world.output(&id).await?, r#"{"approved":false,"by":"Grace"}"#, "what is no decision is passed over");

    let id = world.begin("impatient", "expense", Some(&expense(1_500))).await?;
    custom_status(&world, &id, "waiting for the director").await?;
    raise(&world, &id, "decision", json!({"approved": true, "by": "Edsger"})).await?;
    assert_eq!(world.output(&id).await?, r#"{"approved":true,"by":"Edsger"}"#);

    let refused = json!({"approved": false, "by": null});
    let silent = json!({"employee": "Ada", "amount": 100, "patience_millis": 20});
    assert_eq!(run(&world, "silence", "expense", silent).await?, refused, "silence is a no");
    assert_eq!(activities(&world, "silence").await?, ["ask", "ask"]);
    let petty = run(&world, "petty", "expense", json!({"employee": "Ada", "amount": 99})).await?;
    assert_eq!(petty, json!({"approved": true, "by": null}));
    assert!(activities(&world, "petty").await?.is_empty(), "nobody is asked");
    Ok(())
}

#[tokio::test]
async fn a_monitor_looks_until_there_is_an_answer_or_no_patience() -> Result<()> {
    let (mut world, _folder) = world("monitor.wasm").await?;
    let film = |title: &str, render: u64, patience: u64| json!({"title": title, "render_millis": render, "poll_millis": 50, "patience_millis": patience});
    let id = world.begin("long", "render", Some(&film("Solaris", 2_000, 60_000).to_string())).await?;
    eventually("some looks", async || {
        let looks = activities(&world, id.as_str()).await?.len();
        Ok((looks > 2).then_some(()))
    })
    .await?;
    world.crash_and_restart_host().await?;
    let rendered: Value = serde_json::from_str(&world.output(&id).await?)?;
    let looks = activities(&world, "long").await?.len() as u64 - 1;
    assert_eq!(rendered, json!({"file": "Solaris.mp4", "looks": looks}));
    let events = history(&world, "long").await?;
    let timers = events.iter().filter(|event| matches!(event.kind, EventKind::TimerFired { .. })).count() as u64;
    assert_eq!(timers, looks - 1, "a durable timer between any two looks");

    assert_eq!(fails(&world, "too slow", "render", film("Heimat", 60_000, 100)).await?, "TooSlow");
    assert_eq!(fails(&world, "broken", "render", film("", 60_000, 60_000)).await?, "RenderFailed");
    assert_eq!(run(&world, "short", "render", film("Rhythmus 21", 0, 0)).await?["looks"], 1);
    Ok(())
}

#[tokio::test]
async fn an_order_waits_for_its_deliveries_and_not_for_its_invoice() -> Result<()> {
    let (world, _folder) = world("sub_orchestrations.wasm").await?;
    let parcel = |item: &str, city: &str| json!({"item": item, "city": city});
    let parcels = [parcel("lamp", "Oslo"), parcel("chair", "Atlantis"), parcel("vase", "Venice")];
    let fulfilment = run(&world, "order", "fulfil", json!({"customer": "Ada", "parcels": parcels})).await?;
    let expected = json!({
        "delivered": ["lamp went to Oslo by van", "vase went to Venice by boat"],
        "failed": ["nobody goes to Atlantis"],
    });
    assert_eq!(fulfilment, expected);
    for (number, city) in [(1, "Oslo"), (2, "Atlantis"), (3, "Venice")] {
        let id = InstanceId::new(format!("order/parcel-{number}"))?;
        let child = world.client.get(&id, false).await?.context("the delivery")?;
        assert_eq!(child.parent.map(|parent| parent.to_string()), Some("order".to_owned()));
        assert_eq!(child.tags.get("city").map(String::as_str), Some(city));
    }
    let started = |wanted: &'static str| {
        move |event: &&HistoryEvent| match &event.kind {
            EventKind::SubOrchestrationInstanceCreated { name, .. } => name == wanted,
            _ => false,
        }
    };
    let events = history(&world, "order").await?;
    assert_eq!(events.iter().filter(started("deliver")).count(), 3, "no carrier, no second try");
    assert_eq!(events.iter().filter(started("invoice")).count(), 1);
    assert_eq!(world.output(&InstanceId::new("order/invoice")?).await?, r#""sent to Ada""#);
    Ok(())
}

#[tokio::test]
async fn an_eternal_orchestration_loses_no_event_and_keeps_a_short_history() -> Result<()> {
    const ENTRIES: i64 = 230;
    let (mut world, _folder) = world("eternal.wasm").await?;
    let id = world.begin("till", "till", Some(r#"{"entries_per_generation": 10}"#)).await?;
    for amount in 1..=ENTRIES {
        raise(&world, &id, "entry", json!({"sale": amount})).await?;
        if amount == ENTRIES / 2 {
            world.crash_and_restart_host().await?;
        }
    }
    raise(&world, &id, "entry", json!("nonsense")).await?;
    raise(&world, &id, "entry", json!({"refund": 5})).await?;
    custom_status(&world, &id, "generation 23").await?;
    let events = history(&world, "till").await?;
    ensure!(events.len() < 40, "the history of one generation: {} events", events.len());
    raise(&world, &id, "entry", json!("close")).await?;
    let till: Value = serde_json::from_str(&world.output(&id).await?)?;
    let total = ENTRIES * (ENTRIES + 1) / 2 - 5;
    assert_eq!(till, json!({"total": total, "generation": 23, "entries_per_generation": 10}));
    Ok(())
}

#[tokio::test]
async fn a_payment_is_tried_again_for_as_long_as_that_can_help() -> Result<()> {
    let (world, _folder) = world("retry.wasm").await?;
    let payment = |card: &str, email: &str, outage: u64| json!({"card": card, "email": email, "amount": 3, "outage_millis": outage});
    // Tries come after 0, 100, 300, 700 and 1,200 milliseconds, or later.
    assert_eq!(run(&world, "short outage", "pay", payment("4711", "a@b", 250)).await?, "charged 3");
    let tries = activities(&world, "short outage").await?.len();
    ensure!(tries <= 3, "{tries} tries");

    assert_eq!(fails(&world, "declined", "pay", payment("0815", "a@b", 0)).await?, "CardDeclined");
    assert_eq!(activities(&world, "declined").await?, ["charge"]);

    let output = run(&world, "long outage", "pay", payment("4711", "a@b", 60_000)).await?;
    assert_eq!(output, "an invoice over 3 went to a@b");
    let called = activities(&world, "long outage").await?;
    assert_eq!(called.iter().filter(|name| *name == "charge").count(), 5, "{called:?}");
    ensure!(called.len() > 5, "then an invoice is sent: {called:?}");

    assert_eq!(fails(&world, "no mailbox", "pay", payment("4711", "nowhere", 60_000)).await?, "MailRefused");
    let called = activities(&world, "no mailbox").await?;
    assert_eq!(called.iter().filter(|name| *name == "send_invoice").count(), 1, "{called:?}");
    Ok(())
}

#[tokio::test]
async fn a_saga_undoes_what_was_done_last_first_until_it_is_undone() -> Result<()> {
    let (world, _folder) = world("saga.wasm").await?;
    let trip = |city: &str| json!({"traveller": "Ada", "city": city});
    let booked = run(&world, "north", "book_trip", trip("Oslo")).await?;
    assert_eq!(booked, json!({"flight": "flight-Oslo", "hotel": "hotel-Oslo", "car": "car-Oslo"}));

    let steps = async |id: &str, city: &str, error: &str| -> Result<Vec<String>> {
        assert_eq!(fails(&world, id, "book_trip", trip(city)).await?, error);
        let mut steps = activities(&world, id).await?;
        // The hotel may have been called several times.
        steps.dedup();
        Ok(steps)
    };
    assert_eq!(steps("nowhere", "Atlantis", "NoFlight").await?, ["book_flight"]);
    assert_eq!(steps("full", "Davos", "NoRoom").await?, ["book_flight", "book_hotel", "cancel_flight"]);
    assert_eq!(
        steps("south", "Venice", "NoCar").await?,
        ["book_flight", "book_hotel", "rent_car", "cancel_hotel", "cancel_flight"]
    );
    Ok(())
}
