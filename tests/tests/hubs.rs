//! Task hubs: worlds of their own, made, emptied and deleted while clients and hosts are connected.

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{Client, Connection, ErrorKind, InstanceId, StartOptions, Status, Wait};
use durawasm_proto::durabletask as pb;
use durawasm_tests::cluster::{Scheduler, SchedulerOptions, World, components, eventually, start_host};
use pb::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;

fn with_id(id: &str) -> Result<StartOptions> {
    Ok(StartOptions { id: Some(InstanceId::new(id)?), ..Default::default() })
}

#[tokio::test]
async fn the_same_id_in_two_hubs_is_two_instances() -> Result<()> {
    let folder = components(&["hello_cities.wasm"])?;
    let arguments = vec!["--hub".to_owned(), "other".to_owned()];
    let scheduler = Scheduler::start(SchedulerOptions { arguments, ..Default::default() }).await?;
    let _host = start_host(&scheduler.uri(), folder.path(), &["--hub", "other"]).await?;
    let default = scheduler.client().await?;
    let other = Client::connect(Connection::to(scheduler.uri()).hub("other")).await?;
    let id = default.start("hello_cities", None, with_id("twin")?).await?;
    other.start("hello_cities", None, with_id("twin")?).await?;
    let ended = other.wait_for_completion(&id, &Wait::default()).await?;
    assert_eq!(ended.status, Status::Completed);
    let waiting = default.get(&id, false).await?.context("it exists")?;
    assert_eq!(waiting.status, Status::Pending, "nobody works in the default hub");
    let missing = Client::connect(Connection::to(scheduler.uri()).hub("missing")).await?;
    match missing.start("hello_cities", None, with_id("x")?).await {
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::UnknownHub, "{error}")
        }
        Ok(id) => anyhow::bail!("{id} was accepted by a hub that is not there"),
    }
    Ok(())
}

#[tokio::test]
async fn a_hub_can_be_emptied_while_hosts_and_waiting_clients_are_connected() -> Result<()> {
    let folder = components(&["hello_cities.wasm", "test_durability.wasm"])?;
    let world = World::start(folder.path()).await?;
    let id = world.begin("gone", "forever", None).await?;
    eventually("it runs", async || {
        let seen = world.client.get(&id, false).await?.context("it exists")?;
        Ok((seen.status == Status::Running).then_some(()))
    })
    .await?;
    let mut waiter = TaskHubSidecarServiceClient::connect(world.scheduler.uri()).await?;
    let request = pb::GetInstanceRequest { instance_id: "gone".into(), get_inputs_and_outputs: false };
    let waiting = tokio::spawn(async move { waiter.wait_for_instance_completion(request).await });
    let mut admin = TaskHubSidecarServiceClient::connect(world.scheduler.uri()).await?;
    admin.create_task_hub(pb::CreateTaskHubRequest { recreate_if_exists: true }).await?;
    // The waiter is not left hanging.
    let woken = tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await??;
    ensure!(woken.is_err() || woken.is_ok_and(|r| !r.into_inner().exists), "it waits for what is gone");
    ensure!(world.client.get(&id, false).await?.is_none(), "the hub was not emptied");
    // The host finds its way into the new hub by itself.
    assert!(world.run("after", "hello_cities", None).await?.contains("Tokyo"));
    admin.delete_task_hub(pb::DeleteTaskHubRequest {}).await?;
    assert!(world.run("after", "hello_cities", None).await?.contains("Tokyo"), "the default hub always exists");
    Ok(())
}
