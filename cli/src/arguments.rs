//! The command line: its commands, and the options that commands share. Options of one command are in its module.

use clap::{Args, Parser, Subcommand};
use durawasm_client::{Client, Connection, DEFAULT_ADDRESS, DEFAULT_HUB, InstanceId};
use durawasm_errors::{Code, CodedError};

use crate::commands::{
    build, deploy, entity, errors, fork, history, host, hub, inspect, list, purge, query, raise_event, replay, reset,
    restart, scheduler, start, status, terminate, versions, wait,
};
use crate::render;

/// Durable orchestrations as WebAssembly components.
#[derive(Parser)]
#[command(name = "durawasm", version, propagate_version = false, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 ok, 1 the orchestration failed, 2 usage, 3 confirmation needed, 4 not found, \
                        5 network, 6 credentials, 7 timed out, 8 server.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

/// How a command speaks.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct OutputArguments {
    /// Print JSON, one document a line, instead of text for people.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Answer yes to every question.
    #[arg(long, short, global = true)]
    pub(crate) yes: bool,
    /// Never ask; end with exit code 3 where a confirmation is needed.
    #[arg(long, global = true)]
    pub(crate) non_interactive: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a scheduler.
    Scheduler(scheduler::Arguments),
    /// Run a host: it connects to a scheduler and runs the components of a folder.
    Host(Box<host::Arguments>),
    /// Compile a guest crate to a component.
    Build(build::Arguments),
    /// Show what a component offers.
    Inspect(inspect::Arguments),
    /// Deploy a component to the scheduler: shows what it changes, then every host runs it.
    Deploy(Box<deploy::Arguments>),
    /// List the versions that are deployed, with their instances in flight; or remove one.
    Versions(versions::Arguments),
    /// Let new instances begin on the version before the last deployment.
    Rollback(versions::RollbackArguments),
    /// Run a component over a history: does it do what happened?
    Replay(replay::Arguments),
    /// Run a component over a folder of exported histories.
    Test(replay::TestArguments),
    /// Start an orchestration.
    Start(start::Arguments),
    /// List instances.
    List(list::Arguments),
    /// Show an instance, and what it waits for.
    Status(status::Arguments),
    /// Wait until an instance has ended, and print its output.
    Wait(wait::Arguments),
    /// Show what has happened to an instance.
    History(history::Arguments),
    /// Send an external event to an instance.
    RaiseEvent(raise_event::Arguments),
    /// Ask an orchestrator a question that changes nothing.
    Query(query::Arguments),
    /// Hold an instance until it is resumed.
    Pause(ReasonedArguments),
    /// Let a paused instance go on.
    Resume(ReasonedArguments),
    /// End an instance.
    Terminate(terminate::Arguments),
    /// Let a failed instance try again what failed.
    Rewind(ReasonedArguments),
    /// Take an instance back to an earlier point of its history.
    Reset(reset::Arguments),
    /// Start a new instance from the beginning of another one's history.
    Fork(fork::Arguments),
    /// Start an instance again, with the input that it was started with.
    Restart(restart::Arguments),
    /// Remove instances that have ended.
    Purge(purge::Arguments),
    /// Look at entities, and signal them.
    Entity(entity::Arguments),
    /// Create or delete a task hub.
    Hub(hub::Arguments),
    /// Explain an error code, or list all.
    Errors(errors::Arguments),
}

/// Which scheduler a command talks to.
#[derive(Args, Clone, Debug)]
pub(crate) struct SchedulerArguments {
    /// The scheduler's address.
    #[arg(long, env = "DURAWASM_SCHEDULER", default_value = DEFAULT_ADDRESS, value_name = "URI")]
    pub(crate) scheduler: String,
    /// The bearer token that tells the scheduler who calls.
    #[arg(long, env = "DURAWASM_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
}

impl SchedulerArguments {
    pub(crate) async fn connect(&self, hub: &str) -> Result<Client, CodedError> {
        let connection = Connection::to(&self.scheduler).hub(hub).token(self.token.clone());
        Ok(Client::connect(connection).await?)
    }
}

/// Which scheduler and which of its task hubs a command is about.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConnectionArguments {
    #[command(flatten)]
    pub(crate) scheduler: SchedulerArguments,
    /// The task hub.
    #[arg(long, env = "DURAWASM_HUB", default_value = DEFAULT_HUB, value_name = "NAME")]
    pub(crate) hub: String,
}

impl ConnectionArguments {
    pub(crate) async fn connect(&self) -> Result<Client, CodedError> {
        self.scheduler.connect(&self.hub).await
    }

    /// The options that lead another command to the same place; empty where the defaults do.
    pub(crate) fn repeated(&self) -> String {
        let mut options = String::new();
        let chosen = |name: &str| std::env::var(name).ok();
        let address = &self.scheduler.scheduler;
        if *address != chosen("DURAWASM_SCHEDULER").unwrap_or_else(|| DEFAULT_ADDRESS.to_owned()) {
            options.push_str(&format!(" --scheduler {address}"));
        }
        if self.hub != chosen("DURAWASM_HUB").unwrap_or_else(|| DEFAULT_HUB.to_owned()) {
            options.push_str(&format!(" --hub {}", self.hub));
        }
        options
    }
}

/// The instance that a command is about, and where it is.
#[derive(Args, Clone, Debug)]
pub(crate) struct InstanceArguments {
    /// The instance's id.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
}

/// The instance that a command is about, and why.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReasonedArguments {
    #[command(flatten)]
    pub(crate) instance: InstanceArguments,
    /// Why, for people who look at its history.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

impl InstanceArguments {
    /// The id as it was given.
    pub(crate) fn shown(&self) -> &str {
        &self.id
    }

    /// The error if there is no such instance.
    pub(crate) fn not_found(&self) -> CodedError {
        let ConnectionArguments { scheduler, hub } = &self.connection;
        CodedError::new(
            Code::InstanceNotFound,
            format!("there is no instance `{}` in the task hub `{hub}` of {}", self.id, scheduler.scheduler),
        )
    }

    /// A command about the same instance, for people to type.
    pub(crate) fn command(&self, name: &str, options: &str) -> String {
        format!("durawasm {name} {}{options}{}", render::quoted(&self.id), self.connection.repeated())
    }

    pub(crate) fn id(&self) -> Result<InstanceId, CodedError> {
        Ok(InstanceId::new(&self.id)?)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
