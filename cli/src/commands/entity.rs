//! `durawasm entity`: looks at entities, signals and calls them, and cleans up after them.

use std::{
    pin::pin,
    time::{Duration, SystemTime},
};

use clap::{Args, Subcommand, value_parser};
use durawasm_client::{CleanOptions, Entity, EntityCall, EntityFilter, EntityId, Failure, Payload};
use durawasm_errors::{Code, CodedError};
use futures::TryStreamExt as _;

use crate::{
    arguments::ConnectionArguments,
    console::{Console, DIM, STRONG, styled},
    input, moment,
    render::{self, amount, visible},
};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: EntityCommand,
}

#[derive(Subcommand)]
enum EntityCommand {
    /// Show an entity and its state.
    Get(GetArguments),
    /// List entities.
    List(ListArguments),
    /// Run an operation on an entity, without waiting for it.
    Signal(SignalArguments),
    /// Run an operation on an entity, and wait for its result.
    Call(CallArguments),
    /// Remove empty entities, and locks of orchestrations that do not run any more.
    Clean(CleanArguments),
}

#[derive(Args)]
struct GetArguments {
    /// The entity: @NAME@KEY.
    #[arg(value_name = "ENTITY")]
    entity: EntityId,
    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Args)]
struct ListArguments {
    /// Only entities of this name.
    #[arg(long, value_name = "NAME", conflicts_with = "prefix")]
    name: Option<String>,
    /// Only entities whose id begins so: @counter@a.
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Only entities that changed at this time or later: 2027-01-31T08:00:00Z, or a while ago: 2h, 7d.
    #[arg(long, value_name = "TIME", value_parser = moment::ago)]
    modified_after: Option<SystemTime>,
    /// Only entities that changed before this time.
    #[arg(long, value_name = "TIME", value_parser = moment::ago)]
    modified_before: Option<SystemTime>,
    /// Also entities without state, if they are locked or operations wait for them.
    #[arg(long)]
    transient: bool,
    /// With their states.
    #[arg(long)]
    states: bool,
    /// Only so many. Without it: all.
    #[arg(long, value_name = "COUNT", value_parser = value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// Which operation of which entity, with what.
#[derive(Args)]
struct OperationArguments {
    /// The entity: @NAME@KEY. It need not exist yet.
    #[arg(value_name = "ENTITY")]
    entity: EntityId,
    /// The operation.
    #[arg(value_name = "OPERATION")]
    operation: String,
    /// The operation's input: JSON, @FILE, or - for standard input.
    #[arg(value_name = "JSON", allow_hyphen_values = true)]
    input: Option<String>,
    /// Send the input as it is, even if it is not JSON.
    #[arg(long, requires = "input")]
    raw_input: bool,
}

impl OperationArguments {
    /// The operation's input.
    fn payload(&self) -> Result<Option<Payload>, CodedError> {
        self.input.as_deref().map(|text| input::payload(text, self.raw_input)).transpose()
    }
}

#[derive(Args)]
struct SignalArguments {
    #[command(flatten)]
    operation: OperationArguments,
    /// Not before this time: 2027-01-31T08:00:00Z, or a while from now: 90s, 2h.
    #[arg(long, value_name = "TIME", value_parser = moment::from_now)]
    at: Option<SystemTime>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Args)]
struct CallArguments {
    #[command(flatten)]
    operation: OperationArguments,
    /// Wait this long at most (30s, 10m). Without it: until it has run. The operation stays in the queue when the time is up.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// Names the call: the operation runs once, however often it is called with the same id until its result has been received, and for ten
    /// minutes at most. Without it: a new one.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Args)]
struct CleanArguments {
    /// Leave empty entities alone.
    #[arg(long)]
    keep_empty: bool,
    /// Leave locks alone.
    #[arg(long, conflicts_with = "keep_empty")]
    keep_locks: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    match arguments.command {
        EntityCommand::Get(arguments) => get(arguments, console).await,
        EntityCommand::List(arguments) => list(arguments, console).await,
        EntityCommand::Signal(arguments) => signal(arguments, console).await,
        EntityCommand::Call(arguments) => call(arguments, console).await,
        EntityCommand::Clean(arguments) => clean(arguments, console).await,
    }
}

async fn get(arguments: GetArguments, console: &Console) -> Result<(), CodedError> {
    show(&arguments.entity, &arguments.connection, console).await
}

/// Shows an entity: its state, how many operations wait for it, and who has locked it.
pub(crate) async fn show(id: &EntityId, connection: &ConnectionArguments, console: &Console) -> Result<(), CodedError> {
    let client = connection.connect().await?;
    let Some(entity) = client.get_entity(id, true).await? else {
        let (hub, address) = (&connection.hub, &connection.scheduler.scheduler);
        let message = format!("there is no entity `{id}` in the task hub `{hub}` of {address}");
        return Err(CodedError::new(Code::InstanceNotFound, message).advise(
            "An entity exists from its first operation on, until its state is deleted. `durawasm entity list` shows those that there are.",
        ));
    };
    console.data(&entity, || described(&entity));
    let place = connection.repeated();
    console
        .next_step("Signal it", format_args!("durawasm entity signal {} OPERATION{place}", render::quoted(&entity.id)));
    Ok(())
}

fn described(entity: &Entity) -> String {
    let mut lines = vec![styled(STRONG, visible(&entity.id))];
    lines.push(format!("  changed   {}", time(entity.modified_at)));
    lines.push(format!("  waiting   {}", amount(entity.backlog, "operation", "operations")));
    if let Some(holder) = &entity.locked_by {
        lines.push(format!("  locked by {}", visible(holder.as_str())));
    }
    let state = entity.state.as_ref().map_or_else(|| styled(DIM, "none"), |state| visible(state.as_str()));
    lines.push(format!("  state     {state}"));
    lines.join("\n")
}

fn time(time: Option<SystemTime>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| humantime::format_rfc3339_seconds(time).to_string())
}

async fn list(arguments: ListArguments, console: &Console) -> Result<(), CodedError> {
    super::list::range(arguments.modified_after, arguments.modified_before)?;
    let filter = EntityFilter {
        // The scheduler keeps names in lower case.
        prefix: arguments.name.map(|name| format!("@{}@", name.to_lowercase())).or(arguments.prefix),
        modified_from: arguments.modified_after,
        modified_before: arguments.modified_before,
        states: arguments.states,
        transient: arguments.transient,
    };
    let client = arguments.connection.connect().await?;
    let limit = arguments.limit.unwrap_or(u64::MAX);
    let mut pages = pin!(client.list_entities(filter));
    let (mut shown, mut more) = (0, false);
    while !more && let Some(page) = pages.try_next().await? {
        for entity in &page {
            if shown == limit {
                more = true;
                break;
            }
            if shown == 0 {
                console.note(styled(DIM, format_args!("{:20}  {:>7}  ENTITY", "CHANGED", "WAITING")));
            }
            console.data(entity, || row(entity));
            shown += 1;
        }
    }
    match (shown, more) {
        (0, _) => console.note("there is no such entity"),
        (_, true) => console.note(format_args!("the first {}; there are more", amount(shown, "entity", "entities"))),
        (_, false) => console.note(amount(shown, "entity", "entities")),
    }
    Ok(())
}

fn row(entity: &Entity) -> String {
    let mut row = format!("{:20}  {:>7}  {}", time(entity.modified_at), entity.backlog, visible(&entity.id));
    if let Some(holder) = &entity.locked_by {
        row.push_str(&format!("  (locked by {})", visible(holder.as_str())));
    }
    if let Some(state) = &entity.state {
        row.push_str(&format!("  {}", visible(state.as_str())));
    }
    row
}

async fn signal(arguments: SignalArguments, console: &Console) -> Result<(), CodedError> {
    let SignalArguments { operation, at, connection } = arguments;
    let input = operation.payload()?;
    let OperationArguments { entity, operation, .. } = operation;
    let client = connection.connect().await?;
    client.signal_entity(&entity, &operation, input, at).await?;
    if console.is_json() {
        console.data(&serde_json::json!({ "id": entity, "operation": operation }), String::new);
    }
    console.note(format_args!("operation `{operation}` sent to {entity}"));
    let (id, place) = (render::quoted(&entity.to_string()).to_string(), connection.repeated());
    console.next_step("See what it did", format_args!("durawasm entity get {id}{place}"));
    Ok(())
}

async fn call(arguments: CallArguments, console: &Console) -> Result<(), CodedError> {
    let CallArguments { operation, timeout, request_id, connection } = arguments;
    let input = operation.payload()?;
    let OperationArguments { entity, operation, .. } = operation;
    let mut options = EntityCall { timeout, ..EntityCall::default() };
    options.request_id = request_id.unwrap_or(options.request_id);
    let client = connection.connect().await?;
    match client.call_entity(&entity, &operation, input, &options).await? {
        Ok(output) => {
            console.data(&output, || output.as_ref().map_or("null", |output| output.as_str()).to_owned());
            Ok(())
        }
        Err(failure) => Err(failed(&entity, &operation, &failure)),
    }
}

fn failed(entity: &EntityId, operation: &str, failure: &Failure) -> CodedError {
    let error =
        CodedError::new(Code::OperationFailed, format!("the operation `{operation}` of `{entity}` failed: {failure}"));
    let causes: Vec<String> = failure.chain().skip(1).map(ToString::to_string).collect();
    if causes.is_empty() { error } else { error.because(causes.join("\n  caused by: ")) }
}

async fn clean(arguments: CleanArguments, console: &Console) -> Result<(), CodedError> {
    let client = arguments.connection.connect().await?;
    let options = CleanOptions { empty: !arguments.keep_empty, orphaned_locks: !arguments.keep_locks };
    let cleaned = client.clean_entities(options).await?;
    console.data(&cleaned, || {
        let entities = amount(cleaned.empty_entities, "empty entity", "empty entities");
        format!("{entities} removed, {} released", amount(cleaned.orphaned_locks, "orphaned lock", "orphaned locks"))
    });
    Ok(())
}
