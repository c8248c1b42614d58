//! `durawasm list`: the instances of a task hub, as a table.

use std::{pin::pin, time::SystemTime};

use clap::{Args, value_parser};
use durawasm_client::{Instance, InstanceFilter, ParkedInstance};
use durawasm_errors::{Code, CodedError};
use futures::TryStreamExt as _;

use crate::{
    arguments::ConnectionArguments,
    console::{Console, DIM, styled},
    moment,
    render::{self, amount, visible},
    status::StatusWord,
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Only instances in this status. May be repeated, or a list: failed,terminated.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STATUS")]
    status: Vec<StatusWord>,
    /// Only instances whose id begins so.
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Only instances created at this time or later: 2027-01-31T08:00:00Z, or a while ago: 2h, 7d.
    #[arg(long, value_name = "TIME", value_parser = moment::ago)]
    created_after: Option<SystemTime>,
    /// Only instances created before this time.
    #[arg(long, value_name = "TIME", value_parser = moment::ago)]
    created_before: Option<SystemTime>,
    /// Only so many. Without it: all.
    #[arg(long, value_name = "COUNT", value_parser = value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Only instances that are parked: why, since when, and what to do.
    #[arg(long, conflicts_with_all = ["status", "prefix", "created_after", "created_before", "limit", "tags", "ids", "payloads"])]
    parked: bool,
    /// Also show their tags.
    #[arg(long)]
    tags: bool,
    /// Print only the ids, one a line.
    #[arg(long, conflicts_with_all = ["tags", "json"])]
    ids: bool,
    /// With --json: with their inputs and outputs.
    #[arg(long, requires = "json")]
    payloads: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    if arguments.parked {
        return parked(&arguments, console).await;
    }
    range(arguments.created_after, arguments.created_before)?;
    let filter = InstanceFilter {
        statuses: StatusWord::statuses(&arguments.status),
        prefix: arguments.prefix.clone(),
        created_from: arguments.created_after,
        created_before: arguments.created_before,
        payloads: arguments.payloads,
    };
    let client = arguments.connection.connect().await?;
    let limit = arguments.limit.unwrap_or(u64::MAX);
    let mut pages = pin!(client.list(filter));
    let mut table = None;
    let mut shown = 0;
    let mut more = false;
    while !more && let Some(page) = pages.try_next().await? {
        let table = table.get_or_insert_with(|| Table::fitting(&page, arguments.tags));
        for instance in &page {
            if shown == limit {
                more = true;
                break;
            }
            if shown == 0 && !arguments.ids {
                console.note(styled(DIM, table.header()));
            }
            console.data(instance, || if arguments.ids { instance.id.to_string() } else { table.row(instance) });
            shown += 1;
        }
    }
    match (shown, more) {
        (0, _) => console.note("there is no such instance"),
        (_, true) => console.note(format_args!("the first {}; there are more", amount(shown, "instance", "instances"))),
        (_, false) => console.note(amount(shown, "instance", "instances")),
    }
    if shown > 0 {
        let place = arguments.connection.repeated();
        console.next_step("See what one waits for", format_args!("durawasm status ID{place}"));
    }
    Ok(())
}

async fn parked(arguments: &Arguments, console: &Console) -> Result<(), CodedError> {
    let instances = arguments.connection.connect().await?.list_parked().await?;
    for instance in &instances {
        console.data(instance, || {
            let ParkedInstance { id, name, version, parked } = instance;
            let since = parked.since.map(|since| format!(" since {}", humantime::format_rfc3339_seconds(since)));
            format!(
                "{}  {} {}: {}{}, tried {}\n  {}\n  {} {}",
                visible(id.as_str()),
                visible(name),
                visible(version.as_deref().unwrap_or("(no version)")),
                parked.reason,
                since.unwrap_or_default(),
                amount(parked.attempts.into(), "time", "times"),
                visible(&parked.message),
                styled(DIM, "what to do:"),
                visible(&parked.advice),
            )
        });
    }
    match instances.len() {
        0 => console.note("no instance is parked"),
        count => console.note(format_args!("{} parked", amount(count as u64, "instance", "instances"))),
    }
    Ok(())
}

/// Refuses a range of times that nothing can lie in.
pub(crate) fn range(after: Option<SystemTime>, before: Option<SystemTime>) -> Result<(), CodedError> {
    match (after, before) {
        (Some(after), Some(before)) if after >= before => {
            let text = |time| humantime::format_rfc3339_seconds(time);
            let message = format!("nothing can be created after {} and before {}", text(after), text(before));
            Err(CodedError::new(Code::Usage, message)
                .advise("With whiles ago the larger one comes after: --created-after 7d --created-before 2h."))
        }
        _ => Ok(()),
    }
}

/// Columns whose widths follow from the first page. A longer text later on moves the rest of its row.
struct Table {
    id: usize,
    name: usize,
    version: usize,
    tags: bool,
}

impl Table {
    /// A few long ids shall not push the other columns of all rows out of sight.
    const WIDEST: usize = 40;

    fn fitting(page: &[Instance], tags: bool) -> Table {
        let width = |least: &str, text: fn(&Instance) -> &str| {
            let widths = page.iter().map(|instance| visible(text(instance)).chars().count());
            widths.filter(|width| *width <= Table::WIDEST).chain([least.len()]).max().unwrap_or(0)
        };
        Table {
            id: width("ID", |instance| instance.id.as_str()),
            name: width("NAME", |instance| &instance.name),
            version: width("VERSION", |instance| instance.version.as_deref().unwrap_or_default()),
            tags,
        }
    }

    fn header(&self) -> String {
        let Table { id, name, version, tags } = *self;
        let tags = if tags { "  TAGS" } else { "" };
        format!(
            "{:id$}  {:name$}  {:version$}  {:10}  {:20}  {:20}{tags}",
            "ID", "NAME", "VERSION", "STATUS", "CREATED", "UPDATED"
        )
    }

    fn row(&self, instance: &Instance) -> String {
        let time = |time: Option<SystemTime>| {
            time.map_or_else(|| "-".to_owned(), |time| humantime::format_rfc3339_seconds(time).to_string())
        };
        let status = styled(render::style(instance.status), format_args!("{:10}", instance.status));
        let mut row = format!(
            "{:id$}  {:name$}  {:version$}  {status}  {:20}  {:20}",
            visible(instance.id.as_str()),
            visible(&instance.name),
            visible(instance.version.as_deref().unwrap_or("-")),
            time(instance.created_at),
            time(instance.updated_at),
            id = self.id,
            name = self.name,
            version = self.version,
        );
        if self.tags {
            let tags: Vec<String> = instance.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
            row.push_str(&format!("  {}", visible(&tags.join(" "))));
        }
        row.truncate(row.trim_end().len());
        row
    }
}
