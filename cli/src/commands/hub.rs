//! `durawasm hub`: creates and deletes task hubs.

use clap::{Args, Subcommand};
use durawasm_client::DEFAULT_HUB;
use durawasm_errors::CodedError;

use crate::{arguments::SchedulerArguments, console::Console, render};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Create a task hub. One that is there stays as it is.
    Create {
        /// The hub's name.
        name: String,
        /// Empty it if it is there: all its instances are lost.
        #[arg(long)]
        empty: bool,
        #[command(flatten)]
        scheduler: SchedulerArguments,
    },
    /// Delete a task hub with all its instances. (The hub `default` always exists: it is emptied.)
    Delete {
        /// The hub's name.
        name: String,
        #[command(flatten)]
        scheduler: SchedulerArguments,
    },
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    let name = match arguments.action {
        Action::Create { name, empty, scheduler } => {
            if empty {
                console.confirm(&format!("this removes all instances of the task hub `{name}`, if it is there"))?;
            }
            let client = scheduler.connect(&name).await?;
            if empty {
                client.recreate_hub().await?
            } else {
                client.create_hub().await?
            }
            console.note(format_args!("the task hub {name} is there{}", if empty { ", and empty" } else { "" }));
            let hub = render::quoted(&name);
            console.next_step("Start something in it", format_args!("durawasm start NAME --hub {hub}"));
            name
        }
        Action::Delete { name, scheduler } => {
            console.confirm(&format!("this deletes the task hub `{name}` with all its instances"))?;
            let client = scheduler.connect(&name).await?;
            client.delete_hub().await?;
            let what = if name == DEFAULT_HUB { "empty: this hub always exists" } else { "gone" };
            console.note(format_args!("the task hub {name} is {what}"));
            name
        }
    };
    if console.is_json() {
        console.data(&serde_json::json!({ "hub": name }), String::new);
    }
    Ok(())
}
