//! Our host as the worker of a scheduler that is not ours: the in-memory server of the Python package.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use durawasm_tests::cluster::{components, start_host};
use durawasm_tests::process::Process;

#[tokio::test]
async fn the_host_runs_everything_that_the_protocol_offers_for_another_scheduler() -> Result<()> {
    serves("foreign_backend.py", &["test_durability.wasm", "fan_out.wasm"]).await
}

#[tokio::test]
async fn entities_and_critical_sections_work_on_another_scheduler_and_with_its_own_sdk() -> Result<()> {
    serves("foreign_entities.py", &["test_bank.wasm"]).await
}

/// Runs a script with a scheduler of its own, and our host with these components as its worker.
async fn serves(script: &str, wanted: &[&str]) -> Result<()> {
    let folder = components(wanted)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script);
    let mut backend = Process::start(&durawasm_tests::python(), &[script], &[("PYTHONUNBUFFERED", "1")])?;
    let line = backend.line("listening on ").await?;
    let address = line.rsplit(' ').next().context("the line has an address")?.to_owned();
    let mut host = start_host(&format!("http://{address}"), folder.path(), &[]).await?;
    let status = backend.ended().await?;
    ensure!(status.success(), "the script failed:\n{}\nthe host said:\n{}", backend.tail(), host.tail());
    backend.line("backend ok").await?;
    ensure!(host.stop().await?.success(), "the host ends well:\n{}", host.tail());
    Ok(())
}
