//! `durawasm purge`: removes instances that have ended, by their ids or by a filter.

use std::{
    collections::BTreeSet,
    pin::pin,
    time::{Duration, SystemTime},
};

use clap::Args;
use durawasm_client::{Client, InstanceFilter, InstanceId, PurgeFilter, Purged, Status};
use durawasm_errors::{Code, CodedError};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::{
    arguments::ConnectionArguments, commands::list, console::Console, moment, render::amount, status::StatusWord,
};

/// How far instances are counted before a question is asked: further on the exact number says little.
const COUNTED: u64 = 10_000;
/// How long one call may take, so that there is a word about how it goes.
const CALL: Duration = Duration::from_secs(5);
/// How many calls in a row may purge nothing and still not be complete.
const IDLE_CALLS: u32 = 5;
/// How many instances are asked for at a time.
const AT_A_TIME: usize = 16;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The ids of the instances.
    #[arg(value_name = "ID", conflicts_with_all = ["status", "created_after", "created_before"])]
    ids: Vec<String>,
    /// Those that ended so: completed, failed, terminated, canceled, or `ended` for any. May be repeated, or a list.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STATUS")]
    status: Vec<StatusWord>,
    /// Those created at this time or later: 2027-01-31T08:00:00Z, or a while ago: 2h, 7d.
    #[arg(long, value_name = "TIME", value_parser = moment::ago)]
    created_after: Option<SystemTime>,
    /// Those created before this time.
    #[arg(long, value_name = "TIME", value_parser = moment::ago)]
    created_before: Option<SystemTime>,
    /// Also the orchestrations that they started, and theirs.
    #[arg(long)]
    recursive: bool,
    /// Print how many it would be, and do nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    let purged = if arguments.ids.is_empty() {
        let filter = filter(&arguments)?;
        let client = arguments.connection.connect().await?;
        by_filter(&arguments, &client, filter, console).await?
    } else {
        let ids: BTreeSet<InstanceId> = arguments.ids.iter().map(InstanceId::new).collect::<Result<_, _>>()?;
        let client = arguments.connection.connect().await?;
        by_ids(&arguments, &client, ids.into_iter().collect(), console).await?
    };
    let Some(purged) = purged else { return Ok(()) };
    if console.is_json() {
        console.data(&serde_json::json!({ "purged": purged }), String::new);
    }
    console.note(format_args!("{} purged", amount(purged, "instance", "instances")));
    Ok(())
}

async fn by_ids(
    arguments: &Arguments,
    client: &Client,
    ids: Vec<InstanceId>,
    console: &Console,
) -> Result<Option<u64>, CodedError> {
    // Whoever names instances wants all of them purged or to hear why not, before anything is done.
    let states: Vec<(&InstanceId, Option<Status>)> = stream::iter(&ids)
        .map(async |id| Ok((id, client.get(id, false).await?.map(|instance| instance.status))))
        .buffered(AT_A_TIME)
        .try_collect()
        .await
        .map_err(|error: durawasm_client::Error| CodedError::from(error))?;
    if let Some((id, _)) = states.iter().find(|(_, status)| status.is_none()) {
        let ConnectionArguments { scheduler, hub } = &arguments.connection;
        let message = format!("there is no instance `{id}` in the task hub `{hub}` of {}", scheduler.scheduler);
        return Err(CodedError::new(Code::InstanceNotFound, message));
    }
    let open = states.iter().find_map(|(id, status)| status.filter(|status| !status.is_terminal()).map(|s| (id, s)));
    if let Some((id, status)) = open {
        let shown = crate::render::quoted(id.as_str());
        return Err(CodedError::new(Code::Refused, format!("`{id}` is {status}: only what has ended can be purged"))
            .advise(format!("End it first: durawasm terminate {shown}{}", arguments.connection.repeated())));
    }
    let count = ids.len() as u64;
    if arguments.dry_run {
        plan(count, console);
        return Ok(None);
    }
    let children = if arguments.recursive { " and all that they started" } else { "" };
    console.confirm(&format!("this purges {}{children}", amount(count, "instance", "instances")))?;
    let purged = client.purge(&ids, arguments.recursive).await?;
    if purged.count < count {
        console.warn("some were gone or running again by then");
    }
    Ok(Some(purged.count))
}

async fn by_filter(
    arguments: &Arguments,
    client: &Client,
    filter: PurgeFilter,
    console: &Console,
) -> Result<Option<u64>, CodedError> {
    if arguments.dry_run {
        plan(count(client, &filter, u64::MAX).await?, console);
        return Ok(None);
    }
    if !console.is_confirmed() {
        let found = count(client, &filter, COUNTED).await?;
        if found == 0 {
            return Ok(Some(0));
        }
        let more = if found < COUNTED { "" } else { "more than " };
        let children = if arguments.recursive { ", and all that they started" } else { "" };
        console
            .confirm(&format!("this purges {more}{} that ended{children}", amount(found, "instance", "instances")))?;
    }
    let (mut total, mut idle) = (0, 0);
    loop {
        let Purged { count, complete } = client.purge_matching(&filter, arguments.recursive).await?;
        total += count;
        if complete {
            return Ok(Some(total));
        }
        idle = if count == 0 { idle + 1 } else { 0 };
        if idle == IDLE_CALLS {
            let message = format!("the scheduler gets no further: {} purged", amount(total, "instance", "instances"));
            return Err(CodedError::new(Code::SchedulerError, message)
                .advise("Purge a part of them: with a shorter time between --created-after and --created-before."));
        }
        console.note(format_args!("{} purged so far", amount(total, "instance", "instances")));
    }
}

/// The filter that the options describe. One that says nothing is refused: it would be everything.
fn filter(arguments: &Arguments) -> Result<PurgeFilter, CodedError> {
    let Arguments { created_after, created_before, .. } = *arguments;
    if arguments.status.is_empty() && created_after.is_none() && created_before.is_none() {
        return Err(CodedError::new(Code::Usage, "it is not said what to purge").advise(
            "Name ids, or say which: --status failed, --created-before 30d. All that has ended is --status ended.",
        ));
    }
    list::range(created_after, created_before)?;
    let statuses = StatusWord::statuses(&arguments.status);
    if let Some(status) = statuses.iter().find(|status| !status.is_terminal()) {
        return Err(CodedError::new(Code::Usage, format!("what is {status} cannot be purged, only what has ended"))
            .advise("Terminate instances first that are no longer wanted: durawasm terminate ID"));
    }
    let statuses = if statuses.is_empty() { StatusWord::statuses(&[StatusWord::Ended]) } else { statuses };
    Ok(PurgeFilter { statuses, created_from: created_after, created_before, timeout: Some(CALL) })
}

async fn count(client: &Client, filter: &PurgeFilter, limit: u64) -> Result<u64, CodedError> {
    let filter = InstanceFilter {
        statuses: filter.statuses.clone(),
        created_from: filter.created_from,
        created_before: filter.created_before,
        ..InstanceFilter::default()
    };
    let mut pages = pin!(client.list(filter));
    let mut found = 0;
    while found < limit
        && let Some(page) = pages.try_next().await?
    {
        found += page.len() as u64;
    }
    Ok(found.min(limit))
}

fn plan(count: u64, console: &Console) {
    console.data(&serde_json::json!({ "matching": count }), || {
        format!("{} would be purged", amount(count, "instance", "instances"))
    });
    console.note("nothing was done");
}
