//! The npm package `@microsoft/durabletask-js` as worker and as client of our scheduler, beside our host.
//!
//! One test a feature; what must hold is said in `tests/js/features`, in sentences.

use anyhow::Result;
use durawasm_tests::sdk::Sdk::JavaScript;

#[tokio::test]
async fn javascript_activities_return_fail_and_fan_out() -> Result<()> {
    JavaScript.proves("activities").await
}

#[tokio::test]
async fn javascript_retry_policies_and_handlers_try_activities_and_children_again() -> Result<()> {
    JavaScript.proves("retries").await
}

#[tokio::test]
async fn javascript_parents_and_children_find_each_other() -> Result<()> {
    JavaScript.proves("children").await
}

#[tokio::test]
async fn javascript_timers_fire_when_they_are_due() -> Result<()> {
    JavaScript.proves("timers").await
}

#[tokio::test]
async fn javascript_events_are_kept_ordered_and_sent() -> Result<()> {
    JavaScript.proves("events").await
}

#[tokio::test]
async fn javascript_orchestrations_continue_as_new() -> Result<()> {
    JavaScript.proves("generations").await
}

#[tokio::test]
async fn javascript_clients_suspend_resume_and_terminate() -> Result<()> {
    JavaScript.proves("lifecycle").await
}

#[tokio::test]
async fn javascript_clients_start_instances_and_wait_for_them() -> Result<()> {
    JavaScript.proves("instances").await
}

#[tokio::test]
async fn javascript_clients_query_list_and_purge() -> Result<()> {
    JavaScript.proves("queries").await
}

#[tokio::test]
async fn javascript_clients_rewind_and_restart() -> Result<()> {
    JavaScript.proves("repair").await
}

#[tokio::test]
async fn javascript_histories_are_exact_and_may_be_long_and_large() -> Result<()> {
    JavaScript.proves("history").await
}

#[tokio::test]
async fn javascript_workers_get_the_versions_and_names_that_they_ask_for() -> Result<()> {
    JavaScript.proves("versions").await
}

#[tokio::test]
async fn javascript_workers_may_stop_and_be_killed() -> Result<()> {
    JavaScript.proves("workers").await
}

#[tokio::test]
async fn javascript_entities_are_called_signalled_locked_and_queried() -> Result<()> {
    JavaScript.proves("entities").await
}
