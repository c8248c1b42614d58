//! What the Rust SDK promises to orchestrators, on the real program: races, background work, generations, children, queries.

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{EventKind, HistoryEvent, InstanceId, Payload, StartOptions};
use durawasm_tests::cluster::{World, components, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;

async fn world() -> Result<(World, TempDir)> {
    let folder = components(&["test_durability.wasm"])?;
    Ok((World::start(folder.path()).await?, folder))
}

async fn history(world: &World, id: &InstanceId) -> Result<Vec<HistoryEvent>> {
    Ok(world.client.history(id).await?.all().await?)
}

async fn raise(world: &World, id: &InstanceId, event: &str, payload: &str) -> Result<()> {
    Ok(world.client.raise_event(id, event, Some(Payload::from_text(payload))).await?)
}

/// Waits until so many events of an instance's history are of a kind.
async fn events(world: &World, id: &InstanceId, count: usize, kind: fn(&EventKind) -> bool) -> Result<()> {
    eventually(&format!("{count} such events of {id}"), async || {
        let events = history(world, id).await?;
        Ok((events.iter().filter(|event| kind(&event.kind)).count() >= count).then_some(()))
    })
    .await
}

#[tokio::test]
async fn events_that_nobody_waited_for_go_over_to_the_next_generation_or_not_as_the_code_says() -> Result<()> {
    let (world, _folder) = world().await?;
    for (keep, carried) in [(true, "[1,2]"), (false, "[]")] {
        let id = world.begin(&format!("keep-{keep}"), "carry", Some(&json!({ "keep": keep }).to_string())).await?;
        for (event, payload) in [("item", "1"), ("Item", "2"), ("go", "null")] {
            raise(&world, &id, event, payload).await?;
        }
        assert_eq!(world.output(&id).await?, carried, "keep: {keep}");
        // Set by the first generation, and not replaced by the second.
        let status = world.ended(&id).await?.custom_status.context("a custom status")?;
        assert_eq!(status.as_str(), r#""first""#);
    }
    Ok(())
}

#[tokio::test]
async fn the_losers_of_a_race_end_without_being_noticed() -> Result<()> {
    let (mut world, _folder) = world().await?;
    let id = world.begin("children", "first_child", Some("[900,10,600]")).await?;
    events(&world, &id, 3, |kind| matches!(kind, EventKind::SubOrchestrationInstanceCompleted { .. })).await?;
    raise(&world, &id, "end", "null").await?;
    assert_eq!(world.output(&id).await?, "1");

    let id = world.begin("event-first", "first_of_four", Some("60000")).await?;
    raise(&world, &id, "number", "1").await?;
    raise(&world, &id, "number", "2").await?;
    assert_eq!(world.output(&id).await?, r#""event 1, then 2""#);

    let id = world.begin("timer-first", "first_of_four", Some("20")).await?;
    events(&world, &id, 1, |kind| matches!(kind, EventKind::TimerFired { .. })).await?;
    // What lost before the crash has lost after it.
    world.crash_and_restart_host().await?;
    raise(&world, &id, "number", "3").await?;
    assert_eq!(world.output(&id).await?, r#""timer, then 3""#);
    Ok(())
}

#[tokio::test]
async fn background_work_runs_and_is_tried_again_though_nobody_waits_for_it() -> Result<()> {
    let (world, _folder) = world().await?;
    let id = world.begin("busy", "background", None).await?;
    events(&world, &id, 3, |kind| matches!(kind, EventKind::TaskFailed { .. })).await?;
    raise(&world, &id, "end", "null").await?;
    assert_eq!(world.output(&id).await?, "null", "the failures are nobody's business");
    let slept: u64 = world.output(&InstanceId::new("busy-child")?).await?.parse()?;
    ensure!(slept >= 50, "{slept}");
    Ok(())
}

#[tokio::test]
async fn a_child_is_tried_again_under_its_id_by_a_policy_or_a_predicate() -> Result<()> {
    let (world, _folder) = world().await?;
    for predicate in ["false", "true"] {
        let id = world.begin(&format!("retries-{predicate}"), "child_retries", Some(predicate)).await?;
        assert_eq!(world.output(&id).await?, r#""Tripped""#);
        let children: Vec<String> = history(&world, &id)
            .await?
            .into_iter()
            .filter_map(|event| match event.kind {
                EventKind::SubOrchestrationInstanceCreated { instance_id, .. } => Some(instance_id.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(children, vec![format!("retries-{predicate}-child"); 3]);
    }
    Ok(())
}

#[tokio::test]
async fn a_child_sees_its_id_its_tags_its_input_and_its_parent() -> Result<()> {
    let (world, _folder) = world().await?;
    let seen: Value = serde_json::from_str(&world.run("tagger", "tagged_child", None).await?)?;
    assert_eq!((&seen["id"], &seen["parent"], &seen["input"]), (&json!("tagger-child"), &json!("tagger"), &json!(7)));
    assert_eq!(seen["tags"], json!([["colour", "red"], ["shape", "round"]]));
    let child = world.client.get(&InstanceId::new("tagger-child")?, false).await?.context("the child")?;
    assert_eq!(child.tags.get("shape").map(String::as_str), Some("round"));
    Ok(())
}

/// The answer to a query, or the type of the failure.
async fn ask(world: &World, id: &InstanceId, query: &str, input: Option<&str>) -> Result<String, String> {
    let answer = world.client.query(id, query, input.map(Payload::from_text)).await;
    match answer.map_err(|error| error.to_string())? {
        Ok(output) => Ok(output.map(|output| output.as_str().to_owned()).unwrap_or_default()),
        Err(failure) => Err(failure.error_type),
    }
}

#[tokio::test]
async fn queries_see_what_is_committed_and_change_nothing() -> Result<()> {
    let (mut world, _folder) = world().await?;
    let id = world.begin("queried", "queried", Some("3")).await?;
    raise(&world, &id, "add", "3").await?;
    raise(&world, &id, "add", "4").await?;
    eventually("both numbers have come", async || {
        Ok((ask(&world, &id, "sum", None).await.as_deref() == Ok("7")).then_some(()))
    })
    .await?;
    world.crash_and_restart_host().await?;
    let before = history(&world, &id).await?.len();
    let answers = [
        ("sum", None, Ok("7")),
        ("numbers", None, Ok("[3,4]")),
        ("above", Some("3"), Ok("1")),
        ("above", Some(r#""three""#), Err("InvalidPayload")),
        ("above", None, Err("InvalidPayload")),
        ("fails", None, Err("Unwilling")),
        ("acts", None, Err("QueryHasEffects")),
        ("panics", None, Err("Panic")),
        ("Sum", None, Err("UnknownQuery")),
        ("sum", None, Ok("7")),
    ];
    for (query, input, wanted) in answers {
        let answer = ask(&world, &id, query, input).await;
        assert_eq!(answer.as_deref().map_err(String::as_str), wanted, "{query} {input:?}");
    }
    ensure!(ask(&world, &id, "started", None).await.is_ok(), "a query that came with the first number");
    assert_eq!(history(&world, &id).await?.len(), before);
    raise(&world, &id, "add", "5").await?;
    assert_eq!(world.output(&id).await?, "12");
    assert_eq!(ask(&world, &id, "numbers", None).await.as_deref(), Ok("[3,4,5]"), "it has ended, and still answers");
    Ok(())
}

#[tokio::test]
async fn each_generation_answers_for_itself() -> Result<()> {
    let folder = components(&["eternal.wasm"])?;
    let world = World::start(folder.path()).await?;
    let id = world.begin("till", "till", Some(r#"{"entries_per_generation":2}"#)).await?;
    for (count, total) in [(1, "1"), (2, "3"), (3, "6"), (4, "10"), (5, "15")] {
        raise(&world, &id, "entry", &json!({ "sale": count }).to_string()).await?;
        eventually(&format!("a total of {total}"), async || {
            // A generation that has not begun has no answer yet.
            Ok((ask(&world, &id, "total", None).await.as_deref() == Ok(total)).then_some(()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn versions_are_kept_or_changed_as_the_code_says() -> Result<()> {
    let folder = components(&["test_version_one.wasm", "test_version_two.wasm"])?;
    let world = World::start(folder.path()).await?;
    let run = async |name: &str, version: &str, input: Value| -> Result<Value> {
        let options = StartOptions { version: Some(version.to_owned()), ..Default::default() };
        let id = world.client.start(name, Some(Payload::from_text(input.to_string())), options).await?;
        Ok(serde_json::from_str(&world.output(&id).await?)?)
    };
    let (one, two) = ("1.0.0", "2.0.0");
    assert_eq!(run("moves", one, json!({"to": "keep"})).await?, json!([one, one]));
    assert_eq!(run("moves", one, json!({"to": "newest"})).await?, json!([one, two]));
    assert_eq!(run("moves", one, json!({"to": two})).await?, json!([one, two]));
    assert_eq!(run("moves", two, json!({"to": one})).await?, json!([two, one]));
    // An activity is the component's own, a child is of the newest version, unless the call says otherwise.
    assert_eq!(run("asks", one, Value::Null).await?, json!([one, two]));
    assert_eq!(run("asks", one, json!(two)).await?, json!([two, two]));
    assert_eq!(run("asks", two, json!(one)).await?, json!([one, one]));
    Ok(())
}
