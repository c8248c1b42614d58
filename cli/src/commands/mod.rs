//! The commands: one module each, with its options and its `run`.

pub(crate) mod build;
pub(crate) mod deploy;
pub(crate) mod entity;
pub(crate) mod errors;
pub(crate) mod fork;
pub(crate) mod history;
pub(crate) mod host;
pub(crate) mod hub;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod pause;
pub(crate) mod purge;
pub(crate) mod query;
pub(crate) mod raise_event;
pub(crate) mod replay;
pub(crate) mod reset;
pub(crate) mod restart;
pub(crate) mod resume;
pub(crate) mod rewind;
pub(crate) mod scheduler;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod terminate;
pub(crate) mod versions;
pub(crate) mod wait;

use durawasm_errors::CodedError;

use crate::{arguments::Command, console::Console};

pub(crate) async fn run(command: Command, console: &Console) -> Result<(), CodedError> {
    match command {
        Command::Scheduler(arguments) => scheduler::run(arguments, console).await,
        Command::Host(arguments) => host::run(*arguments, console).await,
        Command::Build(arguments) => build::run(arguments, console).await,
        Command::Inspect(arguments) => inspect::run(arguments, console).await,
        Command::Deploy(arguments) => deploy::run(*arguments, console).await,
        Command::Versions(arguments) => versions::run(arguments, console).await,
        Command::Rollback(arguments) => versions::roll_back(arguments, console).await,
        Command::Replay(arguments) => replay::run(arguments, console).await,
        Command::Test(arguments) => replay::test(arguments, console).await,
        Command::Start(arguments) => start::run(arguments, console).await,
        Command::Status(arguments) => status::run(arguments, console).await,
        Command::Wait(arguments) => wait::run(arguments, console).await,
        Command::History(arguments) => history::run(arguments, console).await,
        Command::RaiseEvent(arguments) => raise_event::run(arguments, console).await,
        Command::Terminate(arguments) => terminate::run(arguments, console).await,
        Command::List(arguments) => list::run(arguments, console).await,
        Command::Query(arguments) => query::run(arguments, console).await,
        Command::Pause(arguments) => pause::run(arguments, console).await,
        Command::Resume(arguments) => resume::run(arguments, console).await,
        Command::Rewind(arguments) => rewind::run(arguments, console).await,
        Command::Reset(arguments) => reset::run(arguments, console).await,
        Command::Fork(arguments) => fork::run(arguments, console).await,
        Command::Restart(arguments) => restart::run(arguments, console).await,
        Command::Purge(arguments) => purge::run(arguments, console).await,
        Command::Entity(arguments) => entity::run(arguments, console).await,
        Command::Hub(arguments) => hub::run(arguments, console).await,
        Command::Errors(arguments) => errors::run(arguments, console),
    }
}
