//! `durawasm versions`: what is deployed in a task hub, with the instances in flight of each version; and `durawasm rollback`.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use durawasm_client::{DeployedVersion, Deployments, ErrorKind, VersionDefault, VersionUsage};
use durawasm_errors::{Code, CodedError};
use serde::Serialize;

use crate::{
    arguments::ConnectionArguments,
    console::{Console, DIM, GOOD, STRONG, WARN, styled},
    render::{self, amount},
};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// Only this component.
    #[arg(value_name = "COMPONENT")]
    name: Option<String>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Subcommand)]
enum Action {
    /// Forget a version that nothing needs.
    Remove(RemoveArguments),
    /// Wait until no instance in flight has a version, then forget it.
    Drain(DrainArguments),
}

#[derive(Args)]
struct DrainArguments {
    /// The component.
    #[arg(value_name = "COMPONENT")]
    name: String,
    /// The version.
    version: String,
    /// Only wait.
    #[arg(long)]
    keep: bool,
    /// How long to wait; without it as long as it takes.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Args)]
struct RemoveArguments {
    /// The component.
    #[arg(value_name = "COMPONENT")]
    name: String,
    /// The version.
    version: String,
    /// Also if instances in flight have it: they wait until it is deployed again.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Args)]
pub(crate) struct RollbackArguments {
    /// The component.
    #[arg(value_name = "COMPONENT")]
    name: String,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// A version, and who needs it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    #[serde(flatten)]
    version: &'a DeployedVersion,
    /// The orchestrators that begin on it.
    default_of: Vec<&'a str>,
    /// The orchestrators of which a share begins on it.
    canary_of: Vec<&'a str>,
    in_flight: Vec<&'a VersionUsage>,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    match arguments.action {
        Some(Action::Remove(arguments)) => return remove(arguments, console).await,
        Some(Action::Drain(arguments)) => return drain(arguments, console).await,
        None => {}
    }
    let client = arguments.connection.connect().await?;
    let (deployments, usage) = client.deployments_in_use().await?;
    let shown = |version: &&DeployedVersion| arguments.name.as_ref().is_none_or(|name| version.name == *name);
    let rows: Vec<Row<'_>> =
        deployments.versions.iter().filter(shown).map(|version| row(version, &deployments, &usage)).collect();
    if rows.is_empty() {
        console.note("nothing is deployed in this hub; what hosts run from their folders is not listed here");
    }
    for row in &rows {
        console.data(row, || text(row, &deployments));
    }
    if let Some(name) = &arguments.name
        && rows.is_empty()
    {
        console.note(format_args!("there is no component `{}`", name.escape_debug()));
    }
    if rows.iter().any(|row| row.in_flight.iter().any(|used| used.parked > 0)) {
        console
            .next_step("See what is parked", format_args!("durawasm list --parked{}", arguments.connection.repeated()));
    }
    Ok(())
}

impl Row<'_> {
    /// How many instances in flight have it.
    fn used(&self) -> u64 {
        self.in_flight.iter().map(|used| used.pending + used.running + used.suspended).sum()
    }
}

fn row<'a>(version: &'a DeployedVersion, deployments: &'a Deployments, usage: &'a [VersionUsage]) -> Row<'a> {
    let has = |name: &str| version.orchestrators.iter().any(|offer| offer.name == name);
    let defaults = deployments.defaults.iter().filter(|default| has(&default.name));
    let on_canary = |default: &&VersionDefault| default.canary.as_ref().is_some_and(|(v, _)| *v == version.version);
    Row {
        version,
        default_of: defaults.clone().filter(|d| d.version == version.version).map(|d| d.name.as_str()).collect(),
        canary_of: defaults.filter(on_canary).map(|default| default.name.as_str()).collect(),
        in_flight: usage
            .iter()
            .filter(|used| used.version.as_deref() == Some(&version.version) && has(&used.orchestrator))
            .collect(),
    }
}

fn text(row: &Row<'_>, deployments: &Deployments) -> String {
    let version = row.version;
    let mut text = format!("{} {}", styled(STRONG, &version.name), version.version);
    if !row.default_of.is_empty() {
        text.push_str(&format!("  {}", styled(GOOD, "default")));
    }
    if let Some(name) = row.canary_of.first() {
        let share = deployments.defaults.iter().find(|default| default.name == *name);
        let share = share.and_then(|default| default.canary.as_ref()).map_or(0, |(_, share)| *share);
        text.push_str(&format!("  {}", styled(WARN, format_args!("canary {}", percent(share)))));
    }
    let digest = version.digest.get(..12).unwrap_or(&version.digest);
    text.push_str(&format!("  {}", styled(DIM, format_args!("{digest}, {} bytes", version.bytes))));
    for used in &row.in_flight {
        let counts = [(used.pending, "pending"), (used.running, "running"), (used.suspended, "suspended")];
        let counts: Vec<String> =
            counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        text.push_str(&format!("\n  {}: {}", used.orchestrator, counts.join(", ")));
        if used.parked > 0 {
            text.push_str(&format!(" ({})", styled(WARN, format_args!("{} parked", used.parked))));
        }
    }
    if row.in_flight.is_empty() {
        text.push_str(&format!("\n  {}", styled(DIM, "no instance in flight")));
    }
    text
}

/// `5%`, `0.25%`.
pub(super) fn percent(share: u32) -> String {
    format!("{}%", f64::from(share) / 100.0)
}

async fn remove(arguments: RemoveArguments, console: &Console) -> Result<(), CodedError> {
    let RemoveArguments { name, version, force, connection } = arguments;
    let client = connection.connect().await?;
    if force {
        let (deployments, usage) = client.deployments_in_use().await?;
        let there = deployments.versions.iter().find(|there| there.name == name && there.version == version);
        let used = there.map_or(0, |there| row(there, &deployments, &usage).used());
        if used > 0 {
            let instances = amount(used, "instance", "instances");
            console.confirm(&format!("this removes a version that {instances} in flight have: they will be parked"))?;
        }
    }
    let left = client.remove_version(&name, &version, force).await?;
    console.data(&left, || format!("{name} {version} is removed"));
    Ok(())
}

/// How often the hub is asked while a version drains, and how often there is a word about it.
const GLANCE: Duration = Duration::from_millis(500);
const PROGRESS: Duration = Duration::from_secs(5);

async fn drain(arguments: DrainArguments, console: &Console) -> Result<(), CodedError> {
    let DrainArguments { name, version, keep, timeout, connection } = arguments;
    let client = connection.connect().await?;
    let (begun, mut told) = (Instant::now(), None::<Instant>);
    loop {
        let (deployments, usage) = client.deployments_in_use().await?;
        let Some(there) = deployments.versions.iter().find(|there| there.name == name && there.version == version)
        else {
            return Err(CodedError::new(Code::VersionNotFound, format!("{name} {version} is not deployed"))
                .advise(format!("See what is: durawasm versions{}", connection.repeated())));
        };
        let row = row(there, &deployments, &usage);
        if let Some(orchestrator) = row.default_of.iter().chain(&row.canary_of).next() {
            let message = format!("{name} {version} never drains: new instances of `{orchestrator}` begin on it");
            return Err(CodedError::new(Code::DeploymentRefused, message)
                .advise("Deploy another version, or roll back, and drain it then."));
        }
        let used = row.used();
        if used == 0 {
            if keep {
                console.data(&deployments, || format!("no instance in flight has {name} {version}"));
                return Ok(());
            }
            match client.remove_version(&name, &version, false).await {
                Ok(left) => {
                    console.data(&left, || format!("nothing in flight needed {name} {version}: it is removed"));
                    return Ok(());
                }
                // An activity or an entity needs it still, or an instance that was started on it in this moment.
                Err(error) if error.kind() == ErrorKind::DeploymentRefused => {}
                Err(error) => return Err(error.into()),
            }
        }
        let left = match used {
            0 => "an activity or an entity".to_owned(),
            used => amount(used, "instance", "instances"),
        };
        if timeout.is_some_and(|timeout| begun.elapsed() >= timeout) {
            let after = humantime::format_duration(timeout.unwrap_or_default());
            let message = format!("after {after} {left} in flight: {name} {version} is still needed");
            return Err(CodedError::new(Code::WaitTimedOut, message).advise(format!(
                "See them: durawasm versions {}{}. `durawasm deploy FILE --migrate` moves those that a newer version takes.",
                render::quoted(&name),
                connection.repeated()
            )));
        }
        if told.is_none_or(|told| told.elapsed() > PROGRESS) {
            told = Some(Instant::now());
            console.note(format_args!("{left} in flight on {name} {version}"));
        }
        tokio::time::sleep(GLANCE).await;
    }
}

pub(crate) async fn roll_back(arguments: RollbackArguments, console: &Console) -> Result<(), CodedError> {
    let RollbackArguments { name, connection } = arguments;
    let client = connection.connect().await?;
    let before = client.deployments().await?;
    let after = client.roll_back(&name, Some(before.revision)).await?;
    console.data(&after, || {
        let changed = after.defaults.iter().filter(|default| !before.defaults.contains(default));
        let lines = changed.map(|default| format!("{} begins on {}", default.name, default.version));
        lines.collect::<Vec<_>>().join("\n")
    });
    console.note("instances that have begun stay on the version that they have");
    console.next_step(
        "See who is on which",
        format_args!("durawasm versions {}{}", render::quoted(&name), connection.repeated()),
    );
    Ok(())
}
