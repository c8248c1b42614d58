//! `durawasm scheduler`: runs a scheduler until it is asked to end.

use std::{
    net::{SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
};

use clap::Args;
use durawasm_errors::{Code, CodedError};
use durawasm_scheduler::{
    Options, Scheduler, SchedulerError,
    core::partition::Limits,
    hub::Fatal,
    payload::{PayloadOptions, Place},
    store::StoreError,
};

use crate::{
    console::Console,
    logging::{self, LogArguments},
    signals,
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Where to listen. With port 0 the system chooses a port; the address is printed on standard output.
    #[arg(long, env = "DURAWASM_LISTEN", default_value = "127.0.0.1:8080", value_name = "HOST:PORT", value_parser = address)]
    listen: SocketAddr,
    /// The folder in which everything is kept. It is made if it is not there.
    #[arg(long, env = "DURAWASM_DATA", value_name = "DIR", required_unless_present = "in_memory")]
    data: Option<PathBuf>,
    /// Keep everything in memory: it is gone when the scheduler ends.
    #[arg(long, conflicts_with = "data")]
    in_memory: bool,
    /// A task hub to have beside `default`. May be repeated.
    #[arg(long = "hub", value_name = "NAME")]
    hubs: Vec<String>,
    /// For development: task hubs come into being on first use.
    #[arg(long)]
    dev: bool,
    /// The largest payload, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().payload_bytes, value_parser = payload_limit)]
    payload_limit: usize,
    /// A payload of more bytes than this is kept in the payload store instead of the task hub's file.
    #[arg(long, value_name = "BYTES", default_value_t = PayloadOptions::default().threshold)]
    payload_threshold: usize,
    /// Where large payloads are kept: a folder, or a URL like s3://BUCKET/PREFIX. Without it, in a folder beside each task hub's file.
    #[arg(long, env = "DURAWASM_PAYLOAD_STORE", value_name = "PLACE", conflicts_with = "in_memory")]
    payload_store: Option<Place>,
    /// For tests: the disk fails after so many commits.
    #[arg(long, hide = true, value_name = "COMMITS")]
    fail_after: Option<u64>,
    #[command(flatten)]
    log: LogArguments,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    logging::begin(&arguments.log)?;
    let shutdown = signals::shutdown()?;
    let options = Options {
        listen: arguments.listen,
        data: arguments.data,
        hubs: arguments.hubs,
        dev: arguments.dev,
        limits: Limits { payload_bytes: arguments.payload_limit, ..Limits::default() },
        payloads: PayloadOptions {
            threshold: arguments.payload_threshold,
            place: arguments.payload_store.unwrap_or_default(),
            ..PayloadOptions::default()
        },
        fail_after: arguments.fail_after,
    };
    let data = options.data.clone();
    let scheduler = Scheduler::build(options).await.map_err(|error| cannot_start(error, data.as_deref()))?;
    let address = scheduler.local_addr();
    match &data {
        Some(data) => {
            tracing::info!(%address, data = %data.display(), hubs = ?scheduler.hubs(), "the scheduler is ready")
        }
        None => {
            tracing::warn!(%address, hubs = ?scheduler.hubs(), "the scheduler is ready; it keeps everything in memory only")
        }
    }
    console.data(&serde_json::json!({ "listening": address.to_string() }), || format!("listening on {address}"));
    scheduler.run(shutdown).await.map_err(stopped)?;
    tracing::info!("the scheduler has ended in order");
    Ok(())
}

fn payload_limit(text: &str) -> Result<usize, String> {
    let most = Limits::MOST_PAYLOAD_BYTES;
    match text.parse() {
        Ok(bytes) if bytes <= most => Ok(bytes),
        Ok(_) => {
            Err(format!("at most {most} ({} MiB): a message must have room for more than one payload", most >> 20))
        }
        Err(error) => Err(format!("{error}: give a number of bytes")),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    match text.to_socket_addrs().map(|mut addresses| addresses.next()) {
        Ok(Some(address)) => Ok(address),
        Ok(None) => Err("the name has no address".to_owned()),
        Err(error) => Err(format!("{error}; an address looks like 127.0.0.1:8080")),
    }
}

fn cannot_start(error: SchedulerError, data: Option<&std::path::Path>) -> CodedError {
    let code = match &error {
        SchedulerError::Listen(..) => Code::CannotListen,
        SchedulerError::Store(store) | SchedulerError::HubFailed(_, Fatal::Store(store)) => {
            store_code(store, Code::DataFolderUnusable)
        }
        SchedulerError::HubFailed(_, Fatal::Panic(_)) | SchedulerError::Transport(_) => Code::SystemRefused,
    };
    let place = data.map(|data| format!(" (data folder {})", data.display())).unwrap_or_default();
    CodedError::new(code, format!("the scheduler cannot start{place}: {error}"))
}

fn stopped(error: SchedulerError) -> CodedError {
    let code = match &error {
        SchedulerError::Listen(..) => Code::CannotListen,
        SchedulerError::Store(store) | SchedulerError::HubFailed(_, Fatal::Store(store)) => {
            store_code(store, Code::StoreWriteFailed)
        }
        SchedulerError::HubFailed(_, Fatal::Panic(_)) | SchedulerError::Transport(_) => Code::SystemRefused,
    };
    CodedError::new(code, error.to_string())
}

/// The code of a store's error. An error of the disk means another thing at the start than later: `disk`.
fn store_code(error: &StoreError, disk: Code) -> Code {
    match error {
        StoreError::Corrupt(_) => Code::StoreCorrupt,
        StoreError::NewerFormat { .. } => Code::StoreTooNew,
        StoreError::Locked(_) => Code::StoreLocked,
        StoreError::InvalidName(_) | StoreError::NameTaken { .. } => Code::Usage,
        StoreError::Io(_) => disk,
    }
}
