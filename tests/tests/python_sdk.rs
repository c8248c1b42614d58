//! The PyPI package `durabletask` as worker and as client of our scheduler, beside our host.
//!
//! One test a feature; what must hold is said in `tests/python/features`, in sentences.

use anyhow::{Result, ensure};
use durawasm_tests::cluster::{World, components, eventually};
use durawasm_tests::sdk::Sdk::Python;

#[tokio::test]
async fn python_activities_return_fail_and_fan_out() -> Result<()> {
    Python.proves("activities").await
}

#[tokio::test]
async fn python_retry_policies_try_activities_and_children_again() -> Result<()> {
    Python.proves("retries").await
}

#[tokio::test]
async fn python_parents_and_children_find_each_other() -> Result<()> {
    Python.proves("children").await
}

#[tokio::test]
async fn python_timers_fire_when_they_are_due() -> Result<()> {
    Python.proves("timers").await
}

#[tokio::test]
async fn python_events_are_kept_ordered_and_sent() -> Result<()> {
    Python.proves("events").await
}

#[tokio::test]
async fn python_orchestrations_continue_as_new() -> Result<()> {
    Python.proves("generations").await
}

#[tokio::test]
async fn python_entities_are_called_signaled_locked_and_queried() -> Result<()> {
    Python.proves("entities").await
}

#[tokio::test]
async fn python_clients_suspend_resume_and_terminate() -> Result<()> {
    Python.proves("lifecycle").await
}

#[tokio::test]
async fn python_clients_start_instances_and_wait_for_them() -> Result<()> {
    Python.proves("instances").await
}

#[tokio::test]
async fn python_clients_query_list_and_purge() -> Result<()> {
    Python.proves("queries").await
}

#[tokio::test]
async fn python_clients_rewind_and_restart() -> Result<()> {
    Python.proves("repair").await
}

#[tokio::test]
async fn python_histories_are_exact_exported_and_may_be_long_and_large() -> Result<()> {
    Python.proves("history").await
}

#[tokio::test]
async fn python_workers_get_the_versions_and_names_that_they_ask_for() -> Result<()> {
    Python.proves("versions").await
}

#[tokio::test]
async fn python_workers_may_stop_and_be_killed() -> Result<()> {
    Python.proves("workers").await
}

#[tokio::test]
async fn python_clients_and_workers_keep_large_payloads_in_a_store_of_their_own() -> Result<()> {
    Python.proves("payloads").await
}

#[tokio::test]
async fn pythons_asynchronous_client_does_all_that_the_other_does() -> Result<()> {
    Python.proves("asynchronous").await
}

#[tokio::test]
async fn who_waits_for_a_python_worker_says_so_until_it_is_there() -> Result<()> {
    let folder = components(&["test_durability.wasm"])?;
    let world = World::start(folder.path()).await?;
    let id = world.begin("patient", "call_foreign", Some(r#"{"name":"py_upper","input":"late"}"#)).await?;
    let waits = eventually("it waits for the activity's worker", async || {
        let described = world.client.describe(&id, false).await?;
        Ok(described.and_then(|d| d.details).and_then(|d| d.waiting_for))
    })
    .await?;
    ensure!(waits.contains("activity `py_upper`"), "{waits}");
    let mut worker = Python.start(world.scheduler.address(), &["upper"])?;
    worker.line("worker ready").await?;
    assert_eq!(world.output(&id).await?, r#""LATE""#);
    Ok(())
}
