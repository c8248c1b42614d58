//! The npm package `@microsoft/durabletask-js` as worker and as client of our scheduler, beside our host.
//!
//! One test a feature; what must hold is said in `tests/js/features`, in sentences.

use anyhow::Result;
use durawasm_tests::sdk::Sdk::JavaScript;

#[tokio::test]
async fn the_javascript_sdk_runs_activities() -> Result<()> {
    JavaScript.proves("activities").await
}
