//! `durawasm deploy`: shows what a new version changes, then hands it to the scheduler, from where every host fetches it.

mod in_flight;
mod migration;
mod plan;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use durawasm_client::{Client, DeployedVersion, Deployments, Offer, WHOLE};
use durawasm_errors::{Code, CodedError, Context as _};
use durawasm_host::{
    abi::component::Definition,
    deployment::{Manifest, Purpose, Terms},
    registry::{LoadedComponent, Version},
    sandbox::SandboxLimits,
};
use serde::Serialize;

use crate::{
    arguments::ConnectionArguments,
    commands::{
        inspect::{self, PolicyArguments},
        versions::percent,
    },
    console::Console,
    render,
};
use in_flight::InFlight;
use migration::Migrated;
use plan::Plan;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The component's file.
    file: PathBuf,
    /// Its manifest. Without it the one beside the component: `shop.toml` for `shop.wasm`.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// New instances begin on it, those in flight stay on the version that they have. This is what is done if nothing else is said.
    #[arg(long, conflicts_with_all = ["canary", "inactive"])]
    pin: bool,
    /// New instances begin on it, and those in flight go on with it if all that they have done replays there.
    #[arg(long, conflicts_with_all = ["pin", "canary", "inactive"])]
    migrate: bool,
    /// Only this share of new instances begins on it: `5%`. Which, depends on their ids alone.
    #[arg(long, value_name = "SHARE", value_parser = share, conflicts_with = "inactive")]
    canary: Option<u32>,
    /// Nothing begins on it by itself: it is there for who asks for it.
    #[arg(long)]
    inactive: bool,
    /// Show the plan, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Deploy nothing, and end with exit code 1, unless the history of each instance in flight replays on the new code.
    #[arg(long)]
    require_replay: bool,
    /// Deploy it also if new instances begin on a newer version.
    #[arg(long)]
    allow_downgrade: bool,
    /// How long histories of instances in flight may be replayed. What is not reached is not looked at, and the plan says so.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "5s")]
    plan_time: Duration,
    /// How long the connected hosts may take until they can run it: instances begin on it only then. And how long --migrate may take.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "60s")]
    wait: Duration,
    #[command(flatten)]
    policy: PolicyArguments,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// How soon hosts are asked whether they can run it: at first…
const FIRST_GLANCE: Duration = Duration::from_millis(1);
/// …and at last.
const LAST_GLANCE: Duration = Duration::from_millis(20);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    plan: &'a Plan,
    in_flight: &'a InFlight,
    #[serde(skip_serializing_if = "Option::is_none")]
    migrated: Option<&'a Migrated>,
    /// None: nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    deployed: Option<&'a Deployments>,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    let shown = arguments.file.display().to_string();
    let manifest_path = arguments.manifest.clone().unwrap_or_else(|| arguments.file.with_extension("toml"));
    let manifest_text = match std::fs::read_to_string(&manifest_path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && arguments.manifest.is_none() => String::new(),
        Err(error) => {
            let message = format!("the manifest {} cannot be read", manifest_path.display());
            return Err(CodedError::new(Code::InvalidManifest, message).because(error));
        }
    };
    let manifest = Manifest::parse(&manifest_text)
        .coded(Code::InvalidManifest, || format!("the manifest {} cannot be used", manifest_path.display()))?;
    let bytes = std::fs::read(&arguments.file)
        .coded(Code::InvalidComponent, || format!("the component {shown} cannot be read"))?;
    // The bytes that are looked at are those that are deployed, whatever happens to the file meanwhile.
    let terms = Terms { policy: arguments.policy.read_or_unbounded()?, limits: SandboxLimits::default() };
    let component = inspect::load_bytes(bytes.clone(), shown.clone(), manifest.clone(), Purpose::Replaying).await?;
    let version = describe(&component, &bytes, manifest_text);

    let client = arguments.connection.connect().await?;
    let deployments = client.deployments().await?;
    let plan = Plan::new(&version, &manifest, &deployments, &terms).map_err(|refusal| {
        let message = format!("no host with that policy runs {shown}: {refusal}");
        CodedError::new(Code::BeyondPolicy, message).advise("Nothing was deployed.")
    })?;
    check_downgrade(&arguments, &plan)?;
    if !console.is_json() {
        console.note(plan.text());
    }
    let component = Arc::new(component);
    let mut in_flight = in_flight::look(&client, &component, arguments.plan_time, console).await?;
    if !console.is_json() {
        console.note(in_flight.text());
    }
    let refused = arguments.require_replay && !in_flight.all_continue();
    if arguments.dry_run || refused {
        if console.is_json() {
            console.data(&Report { plan: &plan, in_flight: &in_flight, migrated: None, deployed: None }, String::new);
        }
        console.note("nothing was deployed");
        return if refused { Err(diverges(&in_flight)) } else { Ok(()) };
    }
    let share = match arguments.canary {
        Some(share) => share,
        None if arguments.inactive => 0,
        None => WHOLE,
    };
    // First hosts fetch and compile it, and only then instances begin on it: so that none waits for that.
    let (mut deployed, already_there) = client.deploy(&version, bytes, 0, Some(deployments.revision)).await?;
    if share > 0 {
        wait_for_hosts(&client, &version, arguments.wait, console).await?;
        deployed = client.activate(&version.name, &version.version, share, Some(deployed.revision)).await?;
    }
    let movable = std::mem::take(&mut in_flight.movable);
    let migrated = match arguments.migrate {
        true => Some(migration::migrate(&client, &component, movable, arguments.wait).await?),
        false => None,
    };
    let report = Report { plan: &plan, in_flight: &in_flight, migrated: migrated.as_ref(), deployed: Some(&deployed) };
    console.data(&report, || {
        let what = if already_there { "was there already" } else { "is deployed" };
        format!("{} {} {what}: {}", version.name, version.version, begins(share, arguments.migrate))
    });
    if let Some(migrated) = &migrated {
        console.note(migrated.text());
    }
    let place = arguments.connection.repeated();
    console.next_step(
        "See who is on which version",
        format_args!("durawasm versions {}{place}", render::quoted(&version.name)),
    );
    if share > 0 && plan.replaces.is_some() {
        console.next_step("Go back", format_args!("durawasm rollback {}{place}", render::quoted(&version.name)));
    }
    Ok(())
}

/// Waits until the hosts that are connected can run a version.
async fn wait_for_hosts(
    client: &Client,
    version: &DeployedVersion,
    patience: Duration,
    console: &Console,
) -> Result<(), CodedError> {
    let DeployedVersion { name, version, .. } = version;
    let until = Instant::now() + patience;
    let mut glance = FIRST_GLANCE;
    loop {
        match client.hosts_of(name, version).await? {
            (_, 0) => {
                console.note("no host is connected: instances wait until one is");
                return Ok(());
            }
            (ready, all) if ready == all => return Ok(()),
            (0, all) if Instant::now() >= until => {
                let message = format!(
                    "none of {} could run {name} {version} within {}: it is kept, and nothing begins on it",
                    render::amount(all.into(), "host", "hosts"),
                    humantime::format_duration(patience)
                );
                return Err(CodedError::new(Code::DeploymentRefused, message).advise(
                    "The logs of the hosts say why: the operator's policy may not allow what it asks for. A large component takes its time to \
                     compile: --wait 5m. Deploy it again then.",
                ));
            }
            (ready, all) if Instant::now() >= until => {
                console.warn(format_args!("{ready} of {all} hosts can run {name} {version} by now"));
                return Ok(());
            }
            _ => {
                tokio::time::sleep(glance).await;
                glance = (glance * 2).min(LAST_GLANCE);
            }
        }
    }
}

fn begins(share: u32, migrate: bool) -> String {
    match share {
        WHOLE if migrate => "new instances begin on it, those in flight go on with it where they can".to_owned(),
        0 => "nothing begins on it by itself".to_owned(),
        WHOLE => "new instances begin on it, those in flight stay on the version that they have".to_owned(),
        share => format!("{} of new instances begin on it", percent(share)),
    }
}

fn describe(component: &LoadedComponent, bytes: &[u8], manifest: String) -> DeployedVersion {
    DeployedVersion {
        name: component.name().to_owned(),
        version: component.version().to_owned(),
        digest: component.digest().to_owned(),
        // Without an environment the digest is that of the bytes.
        content: Manifest::default().digest(bytes),
        bytes: bytes.len() as u64,
        manifest,
        orchestrators: offers(component.orchestrator_definitions()),
        activities: offers(component.activity_definitions()),
        entities: offers(component.entity_definitions()),
        deployed_at: None,
    }
}

fn offers(definitions: &[Definition]) -> Vec<Offer> {
    let offer = |definition: &Definition| Offer {
        name: definition.name.clone(),
        description: definition.description.clone(),
        input_schema: definition.input_schema.clone(),
        output_schema: definition.output_schema.clone(),
    };
    definitions.iter().map(offer).collect()
}

fn check_downgrade(arguments: &Arguments, plan: &Plan) -> Result<(), CodedError> {
    let Some(newer) = plan.default.as_deref().filter(|current| Version::new(current) > Version::new(&plan.version))
    else {
        return Ok(());
    };
    if arguments.allow_downgrade || arguments.inactive {
        return Ok(());
    }
    let message = format!("{} {} is older than {newer}, on which new instances begin", plan.component, plan.version);
    let back = format!("durawasm rollback {}{}", render::quoted(&plan.component), arguments.connection.repeated());
    Err(CodedError::new(Code::DeploymentRefused, message)
        .advise(format!("To go back to the version before: {back}. To deploy it all the same: --allow-downgrade.")))
}

fn diverges(in_flight: &InFlight) -> CodedError {
    let found = || in_flight.diverging.iter().chain(&in_flight.unreadable);
    let count = render::amount(found().count() as u64, "instance", "instances");
    let message = match found().next() {
        Some(first) => format!(
            "the new code does not do what {count} in flight have done; the first is `{}`: {}",
            first.instance, first.message
        ),
        None => {
            let count = render::amount(in_flight.not_checked, "instance", "instances");
            format!("{count} in flight could not be looked at in the time that there was: --plan-time gives more")
        }
    };
    CodedError::new(Code::ReplayDiverges, message).advise(
        "Without --require-replay it can be deployed all the same: instances in flight stay on the version that they have.",
    )
}

/// Reads `5%`, in parts of ten thousand.
fn share(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{}` is no share of instances; one looks like 5% or 0.5%", text.escape_debug());
    let number: f64 = text.trim().strip_suffix('%').ok_or_else(wrong)?.trim().parse().map_err(|_| wrong())?;
    let parts = (number * 100.0).round();
    // All of it is no canary.
    if !(1.0..f64::from(WHOLE)).contains(&parts) {
        return Err(format!("a canary has from 0.01% to 99.99% of the instances, not {}", text.escape_debug()));
    }
    Ok(parts as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_part_of_a_hundred() {
        assert_eq!(share("5%"), Ok(500));
        assert_eq!(share(" 0.25 % "), Ok(25));
        for text in ["5", "0%", "100%", "-1%", "%", "NaN%", "five%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
