//! Somebody else's SDK, from its package registry, beside our host: as a client and as a worker.

use std::path::Path;

use anyhow::{Result, ensure};
use durawasm_tests::cluster::{World, components};
use durawasm_tests::process::Process;

fn script(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(name).display().to_string()
}

fn python(world: &World, name: &str) -> Result<Process> {
    Process::start(
        &durawasm_tests::python(),
        &[script(name), world.scheduler.address().to_owned()],
        &[("PYTHONUNBUFFERED", "1")],
    )
}

#[tokio::test]
async fn the_python_sdk_is_a_client_of_wasm_orchestrators() -> Result<()> {
    let folder = components(&["hello_cities.wasm", "test_durability.wasm"])?;
    let world = World::start(folder.path()).await?;
    let mut client = python(&world, "sdk_client.py")?;
    let status = client.ended().await?;
    ensure!(status.success(), "the script failed:\n{}", client.tail());
    client.line("client ok").await?;
    Ok(())
}

#[tokio::test]
async fn a_wasm_orchestrator_calls_a_python_activity() -> Result<()> {
    let folder = components(&["test_durability.wasm"])?;
    let world = World::start(folder.path()).await?;
    let mut worker = python(&world, "sdk_worker.py")?;
    worker.line("worker ready").await?;
    let input = r#"{"name":"py_upper","input":"loud"}"#;
    assert_eq!(world.run("to-python", "call_foreign", Some(input)).await?, r#""LOUD""#);
    let id = world.begin("to-python-failing", "call_foreign", Some(r#"{"name":"py_fails","input":null}"#)).await?;
    let failed = world.ended(&id).await?;
    let failure = failed.failure.map(|f| f.to_string()).unwrap_or_default();
    ensure!(failure.contains("python says no"), "the Python failure reaches the caller: {failure}");
    Ok(())
}

#[tokio::test]
async fn a_python_orchestrator_calls_wasm_activities_and_children() -> Result<()> {
    let folder = components(&["hello_cities.wasm", "test_durability.wasm"])?;
    let world = World::start(folder.path()).await?;
    let mut worker = python(&world, "sdk_worker.py")?;
    worker.line("worker ready").await?;
    assert_eq!(world.run("from-python", "py_greets", Some(r#""Oslo""#)).await?, r#""HELLO OSLO!""#);
    assert_eq!(world.run("python-parent", "py_parent", None).await?, "5");
    let child_of_wasm = r#"{"name":"py_greets","input":"Bern"}"#;
    assert_eq!(world.run("wasm-parent", "start_foreign", Some(child_of_wasm)).await?, r#""HELLO BERN!""#);
    Ok(())
}

#[tokio::test]
async fn work_for_a_python_worker_waits_until_it_is_there() -> Result<()> {
    let folder = components(&["test_durability.wasm"])?;
    let world = World::start(folder.path()).await?;
    let id = world.begin("patient", "call_foreign", Some(r#"{"name":"py_upper","input":"late"}"#)).await?;
    let waits = durawasm_tests::cluster::eventually("it waits for the activity's worker", async || {
        let described = world.client.describe(&id, false).await?;
        Ok(described.and_then(|d| d.details).and_then(|d| d.waiting_for))
    })
    .await?;
    ensure!(waits.contains("activity `py_upper`"), "{waits}");
    let mut worker = python(&world, "sdk_worker.py")?;
    worker.line("worker ready").await?;
    assert_eq!(world.output(&id).await?, r#""LATE""#);
    Ok(())
}
