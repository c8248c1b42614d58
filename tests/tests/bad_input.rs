//! Bad input: each gets a clear error that says what to do, and nothing that was accepted is lost.

use std::io::{Seek as _, SeekFrom, Write as _};

use anyhow::{Context as _, Result, ensure};
use durawasm_client::{Error, ErrorKind, Payload, StartOptions, Status};
use durawasm_tests::cluster::{Scheduler, SchedulerOptions, World, components, eventually, start_host};
use durawasm_tests::command::Shell;
use durawasm_tests::process::Process;

async fn cli(arguments: &[&str]) -> Result<(i32, String)> {
    let mut process = Process::start(&durawasm_tests::program(), arguments, &[("NO_COLOR", "1")])?;
    let status = process.ended().await?;
    Ok((status.code().unwrap_or(-1), process.output.all().join("\n")))
}

#[tokio::test]
async fn a_port_in_use_is_said() -> Result<()> {
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let other = tempfile::tempdir()?;
    let data = other.path().display().to_string();
    let (code, said) = cli(&["scheduler", "--listen", scheduler.address(), "--data", &data]).await?;
    ensure!(code != 0 && said.contains("DW") && said.contains(scheduler.address()), "{code}: {said}");
    Ok(())
}

#[tokio::test]
async fn two_schedulers_on_one_data_folder_are_refused() -> Result<()> {
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let data = scheduler.data().display().to_string();
    let (code, said) = cli(&["scheduler", "--listen", "127.0.0.1:0", "--data", &data]).await?;
    ensure!(code != 0 && said.contains("in use") && said.contains("DW"), "{code}: {said}");
    scheduler.client().await?.hello().await?;
    Ok(())
}

#[tokio::test]
async fn a_damaged_store_is_found_and_never_served_as_data() -> Result<()> {
    let folder = components(&["hello_cities.wasm"])?;
    let mut world = World::start(folder.path()).await?;
    for number in 0..50 {
        world.run(&format!("before-{number}"), "hello_cities", None).await?;
    }
    world.host.kill().await?;
    world.scheduler.process.stop().await?;
    let file = std::fs::read_dir(world.scheduler.data())?
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.is_file())
        .max_by_key(|p| p.metadata().map(|m| m.len()).unwrap_or(0))
        .context("a store file")?;
    let length = file.metadata()?.len();
    // Damage all of the file's second half: whatever is read from there must be found out.
    let mut opened = std::fs::OpenOptions::new().write(true).open(&file)?;
    for offset in (length / 2..length).step_by(512) {
        opened.seek(SeekFrom::Start(offset))?;
        opened.write_all(&[0xA5])?;
    }
    drop(opened);
    let data = world.scheduler.data().display().to_string();
    let mut process =
        Process::start(&durawasm_tests::program(), &["scheduler", "--listen", "127.0.0.1:0", "--data", &data], &[])?;
    match process.line("listening on ").await {
        // It may start, if nothing that is active is damaged; then reads are right or refused.
        Ok(line) => {
            let address = line.split_whitespace().last().context("an address")?.to_owned();
            let client =
                durawasm_client::Client::connect(durawasm_client::Connection::to(format!("http://{address}"))).await?;
            let mut refused = 0;
            for number in 0..50 {
                let id = durawasm_client::InstanceId::new(format!("before-{number}"))?;
                match client.get(&id, true).await {
                    Ok(Some(instance)) => ensure!(
                        instance.status == Status::Completed
                            && instance.output.as_ref().is_some_and(|o| o.as_str().contains("Hello Seattle!")),
                        "{instance:?}"
                    ),
                    Ok(None) => anyhow::bail!("{id} was accepted, and now it is said not to be there"),
                    Err(_) => refused += 1,
                }
            }
            ensure!(refused > 0, "the damage was not noticed");
        }
        Err(error) => {
            let said = error.to_string();
            ensure!(said.contains("damaged") && said.contains("DW"), "{said}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn invalid_json_and_invalid_ids_are_refused_before_anything_is_sent() -> Result<()> {
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let uri = scheduler.uri();
    let (code, said) = cli(&["start", "x", "--input", "{oops", "--scheduler", &uri]).await?;
    ensure!(code == 2 && said.contains("JSON") && said.contains("DW"), "{code}: {said}");
    let long = "x".repeat(1_025);
    let (code, said) = cli(&["start", "x", "--id", &long, "--scheduler", &uri]).await?;
    ensure!(code == 2 && said.contains("1024") || said.contains("1,024"), "{code}: {said}");
    let (code, said) = cli(&["status", "not-there", "--scheduler", &uri]).await?;
    ensure!(code == 4 && said.contains("not-there"), "{code}: {said}");
    let (code, said) = cli(&["status", "x", "--scheduler", "http://127.0.0.1:1"]).await?;
    ensure!(code == 5 && said.contains("127.0.0.1:1"), "{code}: {said}");
    Ok(())
}

#[tokio::test]
async fn payloads_over_the_limit_are_refused_with_a_hint() -> Result<()> {
    let folder = components(&["test_durability.wasm"])?;
    let world = World::start(folder.path()).await?;
    let large = Payload::from_text(format!("\"{}\"", "x".repeat(1 << 20)));
    let refused: Error = match world.client.start("forever", Some(large.clone()), StartOptions::default()).await {
        Err(error) => error,
        Ok(id) => anyhow::bail!("{id} was accepted"),
    };
    ensure!(refused.to_string().contains("limit"), "{refused}");
    let id = world.begin("eater", "forever", None).await?;
    let refused = world.client.raise_event(&id, "never", Some(large)).await;
    ensure!(refused.is_err(), "the event was accepted");
    Ok(())
}

#[tokio::test]
async fn an_id_that_is_taken_is_refused() -> Result<()> {
    let folder = components(&["hello_cities.wasm"])?;
    let world = World::start(folder.path()).await?;
    world.run("taken", "hello_cities", None).await?;
    let options = StartOptions { id: Some(durawasm_client::InstanceId::new("taken")?), ..Default::default() };
    match world.client.start("hello_cities", None, options).await {
        Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}"),
        Ok(id) => anyhow::bail!("{id} was accepted twice"),
    }
    Ok(())
}

#[tokio::test]
async fn components_that_break_the_contract_are_left_out_with_a_reason() -> Result<()> {
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let folder = components(&[
        "hello_cities.wasm",
        "test_wrong_version.wasm",
        "test_not_a_workflow.wasm",
        "test_describe_traps.wasm",
    ])?;
    std::fs::write(folder.path().join("text.wasm"), b"this is no component")?;
    let host = start_host(&scheduler.uri(), folder.path(), &[]).await?;
    let said = host.output.all().join("\n");
    for file in ["test_wrong_version.wasm", "test_not_a_workflow.wasm", "test_describe_traps.wasm", "text.wasm"] {
        ensure!(said.contains(file), "{file} is not named:\n{said}");
    }
    let client = scheduler.client().await?;
    let id = client.start("hello_cities", None, StartOptions::default()).await?;
    let ended = client.wait_for_completion(&id, &durawasm_client::Wait::default()).await?;
    assert_eq!(ended.status, Status::Completed);
    Ok(())
}

#[tokio::test]
async fn a_folder_with_nothing_usable_stops_the_host() -> Result<()> {
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    let folder = components(&["test_not_a_workflow.wasm"])?;
    let path = folder.path().display().to_string();
    let (code, said) = cli(&["host", "--scheduler", &scheduler.uri(), "--components", &path]).await?;
    ensure!(code != 0 && said.contains("test_not_a_workflow.wasm") && said.contains("DW"), "{code}: {said}");
    Ok(())
}

/// Starts a hostile orchestrator and says how it stands: ended with a failure, or parked for a reason.
async fn verdict(world: &World, name: &str) -> Result<String> {
    let id = world.begin(&format!("hostile-{name}"), name, None).await?;
    eventually(&format!("a verdict on {name}"), async || {
        let described = world.client.describe(&id, false).await?.context("it exists")?;
        if let Some(parked) = described.details.and_then(|d| d.parked) {
            return Ok(Some(format!("parked: {}: {}", parked.reason, parked.message)));
        }
        if described.instance.status.is_terminal() {
            let failure = described.instance.failure.map(|f| f.to_string()).unwrap_or_default();
            return Ok(Some(format!("{}: {failure}", described.instance.status)));
        }
        Ok(None)
    })
    .await
}

/// Cases of the component `hostile`, and how each has to end.
const HOSTILE: [(&str, &str); 14] = [
    ("panics", "failed"),
    ("traps", "failed"),
    ("reads out of bounds", "failed"),
    ("loops for ever", "parked: deadline"),
    ("allocates without end", "parked: memory"),
    ("repeats an op id", "parked: contract"),
    ("cancels an unknown op", "parked: contract"),
    ("completes twice", "parked: contract"),
    ("goes on after complete", "parked: contract"),
    ("calls with a long input", "parked: "),
    ("completes with a long output", "parked: "),
    ("sets a long custom status", "parked: "),
    ("later repeats an op id", "parked: contract"),
    ("later panics", "failed"),
];

#[tokio::test]
async fn hostile_orchestrators_fail_or_park_and_hurt_nobody() -> Result<()> {
    let folder = components(&["hello_cities.wasm", "test_hostile.wasm"])?;
    let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
    // So much fuel that the deadline comes first.
    let limits = [
        "--orchestrator-deadline=1s",
        "--orchestrator-fuel=1000000000000",
        "--orchestrator-memory=16",
        "--payload-limit=1048576",
    ];
    let host = start_host(&scheduler.uri(), folder.path(), &limits).await?;
    let client = scheduler.client().await?;
    let mut world = World { scheduler, host, client, components: folder.path().into() };
    for (name, want) in HOSTILE {
        let verdict = verdict(&world, name).await?;
        ensure!(verdict.starts_with(want), "{name}: wanted {want}, got {verdict}");
    }
    assert!(world.run("neighbour", "hello_cities", None).await?.contains("Tokyo"));
    let parked = Shell::at(&world.scheduler).succeeds(&["list", "--parked"]).await?;
    ensure!(parked.shows("hostile-repeats an op id") && parked.shows("contract"), "{parked:?}");
    // What is parked can be ended.
    for (name, _) in HOSTILE {
        let id = durawasm_client::InstanceId::new(format!("hostile-{name}"))?;
        world.client.terminate(&id, None, false).await?;
        let ended = world.ended(&id).await?;
        ensure!(ended.status.is_terminal(), "{name}: {}", ended.status);
    }
    ensure!(world.host.stop().await?.success(), "the host did not end in order:\n{}", world.host.tail());
    Ok(())
}

#[tokio::test]
async fn a_failing_disk_ends_the_scheduler_and_loses_nothing_that_it_acknowledged() -> Result<()> {
    let folder = components(&["hello_cities.wasm"])?;
    let arguments = vec!["--fail-after".to_owned(), "60".to_owned()];
    let mut scheduler = Scheduler::start(SchedulerOptions { arguments, ..Default::default() }).await?;
    let _host = start_host(&scheduler.uri(), folder.path(), &[]).await?;
    let client = scheduler.client().await?;
    let mut accepted = Vec::new();
    for number in 0..1_000 {
        let options = StartOptions {
            id: Some(durawasm_client::InstanceId::new(format!("under-failure-{number}"))?),
            ..Default::default()
        };
        match client.start("hello_cities", None, options).await {
            Ok(id) => accepted.push(id),
            Err(_) => break,
        }
    }
    let status = scheduler.process.ended().await?;
    let said = scheduler.process.tail();
    ensure!(!status.success() && said.contains("DW") && said.contains("store"), "{status}: {said}");
    ensure!(!accepted.is_empty() && accepted.len() < 1_000, "it failed under load: {}", accepted.len());
    scheduler.set_arguments(Vec::new());
    scheduler.restart().await?;
    for id in accepted {
        let wait = durawasm_client::Wait::at_most(std::time::Duration::from_secs(30));
        let ended = client.wait_for_completion(&id, &wait).await?;
        assert_eq!(ended.status, Status::Completed, "{id}");
    }
    Ok(())
}
