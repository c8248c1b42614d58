//! Entities while hosts and scheduler are killed at random: money that moves between accounts in critical sections, and a register that many
//! clients use at once. `DURAWASM_BANK_SEED=N` repeats a run; `DURAWASM_BANK_KILLS=N` kills more often, as `cargo xtask soak --only
//! kills` does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use durawasm_client::{
    CleanOptions, Client, Entity, EntityFilter, EntityId, ErrorKind, InstanceId, Payload, StartOptions, Status, Wait,
};
use durawasm_tests::cluster::{Scheduler, SchedulerOptions, components, eventually, start_host};
use durawasm_tests::process::Process;
use futures::TryStreamExt as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long a client keeps trying while nobody answers.
const PATIENCE: Duration = Duration::from_secs(120);
const VAULTS: usize = 100;
const OPENING: i64 = 1_000;
const TRANSFERS: usize = 1_000;
/// Signals of third parties to vaults.
const KNOCKS: usize = 500;
const STEPS: usize = 600;
const CLIENTS: usize = 24;

fn number(variable: &str, otherwise: u64) -> Result<u64> {
    match std::env::var(variable) {
        Ok(text) => text.parse().with_context(|| format!("{variable} is `{text}`: expected a number")),
        Err(_) => Ok(otherwise),
    }
}

/// A generator whose seed is printed, so that a failed run can be repeated (as far as processes can).
fn chance() -> Result<StdRng> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
    let seed = number("DURAWASM_BANK_SEED", u64::try_from(now)?)?;
    eprintln!("DURAWASM_BANK_SEED={seed}");
    Ok(StdRng::seed_from_u64(seed))
}

/// Does something again for as long as the scheduler is away.
async fn persist<T, F>(mut ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T, durawasm_client::Error>>,
{
    let begin = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.kind() == ErrorKind::Unavailable && begin.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Runs an orchestration, whatever happens to the scheduler meanwhile, and returns its output.
async fn run(client: &Client, id: &str, name: &str, input: &Value) -> Result<Value> {
    let id = &InstanceId::new(id)?;
    persist(move || async move {
        let options = StartOptions { id: Some(id.clone()), ..Default::default() };
        match client.start(name, Some(Payload::from_text(input.to_string())), options).await {
            // The attempt before this one had succeeded, and nobody was there to say so.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    })
    .await?;
    let wait = &Wait::at_most(PATIENCE);
    let ended = persist(move || client.wait_for_completion(id, wait)).await?;
    ensure!(ended.status == Status::Completed, "{id} is {}: {:?}", ended.status, ended.failure);
    Ok(serde_json::from_str(ended.output.context("an output")?.as_str())?)
}

/// A scheduler and two hosts, to be killed.
struct Victims {
    scheduler: Scheduler,
    hosts: Vec<Process>,
    folder: tempfile::TempDir,
    rng: StdRng,
}

impl Victims {
    async fn start(rng: StdRng) -> Result<Self> {
        let folder = components(&["test_bank.wasm"])?;
        let scheduler = Scheduler::start(SchedulerOptions::default()).await?;
        let mut hosts = Vec::new();
        for _ in 0..2 {
            hosts.push(Self::host(&scheduler, folder.path()).await?);
        }
        Ok(Self { scheduler, hosts, folder, rng })
    }

    async fn host(scheduler: &Scheduler, folder: &Path) -> Result<Process> {
        start_host(&scheduler.uri(), folder, &[]).await
    }

    /// Kills one of them at each of so many moments, spread at random over the work, whose progress is told.
    async fn kill(&mut self, kills: u64, work: u64, mut progress: watch::Receiver<u64>) -> Result<()> {
        let mut moments: Vec<u64> = (0..kills).map(|_| self.rng.random_range(0..work * 9 / 10)).collect();
        moments.sort_unstable();
        let mut done = Vec::new();
        for moment in moments {
            done.push(*progress.wait_for(|done| *done >= moment).await.context("the work has ended before its time")?);
            match self.rng.random_range(0..4) {
                0 => self.scheduler.crash_and_restart().await?,
                other => {
                    let host = &mut self.hosts[usize::from(other == 1)];
                    host.kill().await?;
                    *host = Self::host(&self.scheduler, self.folder.path()).await?;
                }
            }
        }
        // The work goes on while one of them comes back, and might be over before its time comes to be killed.
        let amid = done.iter().filter(|done| **done < work).count();
        eprintln!("killed after {done:?} of {work}");
        ensure!(amid as u64 > kills / 2, "only {amid} of {kills} kills hit the work: {done:?} of {work}");
        Ok(())
    }
}

/// The states of all entities of a name, by key.
async fn states(client: &Client, name: &str) -> Result<BTreeMap<String, Value>> {
    let filter = EntityFilter { prefix: Some(format!("@{name}@")), states: true, ..Default::default() };
    let entities: Vec<Entity> = client.list_entities(filter).try_concat().await?;
    let mut states = BTreeMap::new();
    for entity in entities {
        let id: EntityId = entity.id.parse()?;
        let state = entity.state.with_context(|| format!("{id} has a state"))?;
        states.insert(id.key().to_owned(), serde_json::from_str(state.as_str())?);
    }
    Ok(states)
}

#[tokio::test]
async fn money_is_neither_made_nor_lost_and_no_lock_is_left_while_hosts_and_scheduler_are_killed() -> Result<()> {
    let mut rng = chance()?;
    let mut victims = Victims::start(StdRng::from_rng(&mut rng)).await?;
    let client = victims.scheduler.client().await?;
    let vault = |number: usize| EntityId::new("vault", format!("v{number}"));
    for number in 0..VAULTS {
        client.signal_entity(&vault(number)?, "open", Some(Payload::json(&OPENING)?), None).await?;
    }

    let (done, progress) = watch::channel(0_u64);
    let mut transfers = JoinSet::new();
    let mut orders = Vec::new();
    for order in 0..TRANSFERS {
        let from = rng.random_range(0..VAULTS);
        let to = (from + rng.random_range(1..VAULTS)) % VAULTS;
        // Now and then more than there can be.
        let amount = rng.random_range(1..if order % 10 == 0 { 5_000 } else { 300 });
        orders.push((from, to, amount));
        let (client, done) = (client.clone(), done.clone());
        transfers.spawn(async move {
            let id = format!("transfer-{order}");
            let input = json!({ "transfer": id, "from": format!("v{from}"), "to": format!("v{to}"), "amount": amount });
            let moved = run(&client, &id, "move_money", &input).await?;
            done.send_modify(|done| *done += 1);
            anyhow::Ok((order, moved == json!(true)))
        });
    }
    let attempts = Arc::new(AtomicU64::new(0));
    let mut knocks = JoinSet::new();
    for lane in 0..4 {
        let (client, attempts) = (client.clone(), Arc::clone(&attempts));
        knocks.spawn(async move {
            for number in (lane..KNOCKS).step_by(4) {
                let (client, id) = (&client, &vault(number % VAULTS)?);
                persist(|| {
                    attempts.fetch_add(1, Ordering::Relaxed);
                    client.signal_entity(id, "knock", None, None)
                })
                .await?;
            }
            anyhow::Ok(())
        });
    }
    let kills = number("DURAWASM_BANK_KILLS", 8)?;
    // Who works tells how far it is; when all have ended, nobody does.
    drop(done);
    victims.kill(kills, TRANSFERS as u64, progress).await?;
    while let Some(lane) = knocks.join_next().await {
        lane??;
    }
    let mut expected = vec![OPENING; VAULTS];
    let mut moved = 0;
    while let Some(transfer) = transfers.join_next().await {
        let (order, done) = transfer??;
        let (from, to, amount) = orders[order];
        if done {
            expected[from] -= amount;
            expected[to] += amount;
            moved += 1;
        }
    }
    ensure!(moved > TRANSFERS / 2 && moved < TRANSFERS, "{moved} of {TRANSFERS} transfers moved money");

    // Signals have no end to wait for: the last of them may still be on its way.
    let vaults = eventually("all that was accepted has run", async || {
        let states = states(&client, "vault").await?;
        let knocked: u64 = states.values().filter_map(|state| state["knocks"].as_u64()).sum();
        Ok((knocked >= KNOCKS as u64).then_some(states))
    })
    .await?;
    ensure!(vaults.len() == VAULTS, "{} vaults", vaults.len());
    let total: i64 = vaults.values().filter_map(|state| state["balance"].as_i64()).sum();
    ensure!(total == OPENING * i64::try_from(VAULTS)?, "the total is {total}");
    for (number, balance) in expected.iter().enumerate() {
        let state = &vaults[&format!("v{number}")];
        ensure!(state["balance"] == json!(balance), "v{number} should have {balance}: {state}");
        ensure!(state["breaches"] == json!([]) && state["inside"].is_null(), "v{number}: {state}");
    }
    let knocked: u64 = vaults.values().filter_map(|state| state["knocks"].as_u64()).sum();
    let attempts = attempts.load(Ordering::Relaxed);
    ensure!(knocked <= attempts, "{knocked} knocks were heard of {attempts} that were sent");

    let everything = EntityFilter { transient: true, ..Default::default() };
    let entities: Vec<Entity> = client.list_entities(everything).try_concat().await?;
    let held: Vec<_> = entities.iter().filter(|entity| entity.locked_by.is_some() || entity.backlog > 0).collect();
    ensure!(held.is_empty(), "locks or operations are left: {held:?}");
    let cleaned = client.clean_entities(CleanOptions { empty: true, orphaned_locks: true }).await?;
    ensure!(cleaned.empty_entities == 0 && cleaned.orphaned_locks == 0, "there was something to clean: {cleaned:?}");
    Ok(())
}

/// What a client did with the register, and what it saw of it.
#[derive(Debug)]
struct Seen {
    step: Value,
    /// When the client began, and when it had the answer.
    begun: Instant,
    ended: Instant,
    /// Which operation it was, by the register's own count.
    place: u64,
    found: i64,
}

/// Whether a history of one register is linearizable (Herlihy and Wing, 1990). The register's own count is the witness: in its order,
/// each operation must have found what those before it had left, and whatever had ended before another one began must come before it.
fn check_linearizable(history: &mut [Seen]) -> Result<()> {
    history.sort_by_key(|seen| seen.place);
    let mut value = 0;
    // The latest beginning of those that come before, in the register's order.
    let mut latest: Option<(Instant, u64)> = None;
    for (index, seen) in history.iter().enumerate() {
        ensure!(seen.place == index as u64 + 1, "operation {} was lost, or ran twice: {seen:?}", index + 1);
        ensure!(seen.found == value, "operation {} found {} in place of {value}: {seen:?}", seen.place, seen.found);
        if let Some((begun, place)) = latest {
            ensure!(begun <= seen.ended, "operation {place} began after {} had ended, and ran before it", seen.place);
        }
        if latest.is_none_or(|(begun, _)| begun < seen.begun) {
            latest = Some((seen.begun, seen.place));
        }
        match &seen.step {
            Value::String(_) => {}
            step if step["Add"].is_i64() => value += step["Add"].as_i64().context("a number")?,
            step => {
                let (expected, new) = (step["Swap"][0].as_i64(), step["Swap"][1].as_i64());
                if expected == Some(value) {
                    value = new.context("a number")?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn the_check_notices_what_is_not_linearizable() -> Result<()> {
    let begin = Instant::now();
    let seen = |step: Value, begun: u64, ended: u64, place: u64, found: i64| Seen {
        step,
        begun: begin + Duration::from_secs(begun),
        ended: begin + Duration::from_secs(ended),
        place,
        found,
    };
    let add = || json!({ "Add": 1 });
    check_linearizable(&mut [seen(add(), 0, 3, 2, 0), seen(json!("Read"), 1, 2, 1, 0)])?;
    let histories = [
        // The read that began after the addition had ended ran before it.
        vec![seen(add(), 0, 1, 2, 0), seen(json!("Read"), 2, 3, 1, 0)],
        // It does not see what came before it.
        vec![seen(add(), 0, 1, 1, 0), seen(json!("Read"), 2, 3, 2, 0)],
        // An operation ran that nobody asked for.
        vec![seen(add(), 0, 1, 1, 0), seen(json!("Read"), 2, 3, 3, 1)],
        // Two had the same place.
        vec![seen(json!("Read"), 0, 1, 1, 0), seen(json!("Read"), 2, 3, 1, 0)],
        // A swap was carried out although the value was another one.
        vec![seen(json!({ "Swap": [5, 6] }), 0, 1, 1, 0), seen(json!("Read"), 0, 1, 2, 6)],
    ];
    for mut history in histories {
        if check_linearizable(&mut history).is_ok() {
            bail!("taken for linearizable: {history:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_operations_of_one_entity_are_linearizable_while_hosts_and_scheduler_are_killed() -> Result<()> {
    let mut rng = chance()?;
    let mut victims = Victims::start(StdRng::from_rng(&mut rng)).await?;
    let (done, progress) = watch::channel(0_u64);
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        // Each has a connection of its own, as clients in different places would.
        let (client, done) = (victims.scheduler.client().await?, done.clone());
        let mut rng = StdRng::from_rng(&mut rng);
        clients.spawn(async move {
            let mut history: Vec<Seen> = Vec::new();
            for turn in 0..STEPS / CLIENTS {
                let found = history.last().map_or(0, |seen| seen.found);
                let step = match rng.random_range(0..4) {
                    0 => json!("Read"),
                    1 => json!({ "Swap": [found, rng.random_range(0..1_000)] }),
                    _ => json!({ "Add": rng.random_range(-10..100) }),
                };
                let begun = Instant::now();
                let answer =
                    run(&client, &format!("client-{number}-{turn}"), "take_step", &json!(["shared", step])).await?;
                let (place, found): (u64, i64) = serde_json::from_value(answer)?;
                history.push(Seen { step, begun, ended: Instant::now(), place, found });
                done.send_modify(|done| *done += 1);
            }
            anyhow::Ok(history)
        });
    }
    let kills = number("DURAWASM_BANK_KILLS", 6)?;
    drop(done);
    victims.kill(kills, (STEPS / CLIENTS * CLIENTS) as u64, progress).await?;
    let mut history = Vec::new();
    while let Some(client) = clients.join_next().await {
        history.extend(client??);
    }
    ensure!(history.len() == STEPS / CLIENTS * CLIENTS, "{} operations", history.len());
    check_linearizable(&mut history)
}
