//! The disk is full: the scheduler says so and ends, and what it has accepted is there when there is space again.

use anyhow::{Result, ensure};
use durawasm_client::{InstanceId, Payload, StartOptions};
use durawasm_tests::cluster::{Scheduler, SchedulerOptions, components, start_host};

#[tokio::test]
async fn a_full_disk_is_said_clearly_and_nothing_that_was_accepted_is_lost_once_there_is_space_again() -> Result<()> {
    let options = SchedulerOptions { file_limit: Some(4 << 20), ..Default::default() };
    let mut scheduler = Scheduler::start(options).await?;
    let client = scheduler.client().await?;
    let input = Payload::from_text(format!("\"{}\"", "x".repeat(100 << 10)));
    let mut accepted: Vec<InstanceId> = Vec::new();
    // Until it is full: four megabytes take forty such inputs.
    let refused = loop {
        ensure!(accepted.len() < 200, "the disk is never full");
        let id = InstanceId::new(format!("large-{}", accepted.len()))?;
        let options = StartOptions { id: Some(id), ..Default::default() };
        match client.start("hello_cities", Some(input.clone()), options).await {
            Ok(id) => accepted.push(id),
            Err(error) => break error,
        }
    };
    ensure!(accepted.len() > 10, "{} were accepted before {refused}", accepted.len());
    let status = scheduler.process.ended().await?;
    let said = scheduler.process.tail();
    println!("{} accepted; then: {refused}\n{said}", accepted.len());
    ensure!(!status.success(), "it ends with an error:\n{said}");
    ensure!(!said.contains("panicked"), "{said}");
    ensure!(said.contains("disk") || said.contains("space"), "it says that the disk is full:\n{said}");

    scheduler.set_file_limit(None);
    scheduler.restart().await?;
    let client = scheduler.client().await?;
    let folder = components(&["hello_cities.wasm"])?;
    let mut host = start_host(&scheduler.uri(), folder.path(), &[]).await?;
    for id in accepted {
        let instance = client
            .wait_for_completion(&id, &durawasm_client::Wait::at_most(std::time::Duration::from_secs(60)))
            .await?;
        ensure!(instance.input.as_ref() == Some(&input), "{id} has the input that it was started with");
        ensure!(
            instance.status == durawasm_client::Status::Completed,
            "{id} is {}: {:?}",
            instance.status,
            instance.failure
        );
    }
    ensure!(host.stop().await?.success(), "{}", host.tail());
    Ok(())
}
