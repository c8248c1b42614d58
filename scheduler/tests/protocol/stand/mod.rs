//! The test stand: our real scheduler on a port of this machine, clients and workers that say exactly what a test tells them to,
//! and histories as text.

mod actions;
mod client;
mod deployments;
mod history;
mod host;
mod server;
pub(crate) mod virtual_hub;
mod worker;

use std::time::Duration;

pub(crate) use actions::*;
pub(crate) use client::Client;
pub(crate) use deployments::{ALL, component, content, deploy, fetch, remove, upload};
pub(crate) use history::{brief, brief_event, micros};
pub(crate) use host::{Host, started};
pub(crate) use server::Server;
pub(crate) use worker::{Batch, Call, Episode, Item, Worker};

pub(crate) use durawasm_proto::durabletask as pb;
pub(crate) use pb::OrchestrationStatus as Status;
pub(crate) use pb::history_event::EventType;
pub(crate) use tonic::Code;

/// Nothing that a test waits for takes this long, also on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A scheduler, a client of it, and a worker that is connected. The scheduler ends when it is dropped.
pub(crate) async fn stand() -> (Server, Client, Worker) {
    let server = Server::start().await;
    let client = server.client();
    let worker = Worker::connect(&client).await;
    (server, client, worker)
}

/// Waits for something that must happen.
pub(crate) async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, happens).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// The codes that SDKs take for a failure of the transport and try again: never for an answer that is late or makes no sense.
pub(crate) const RETRIED: [Code; 4] = [Code::Unknown, Code::Internal, Code::Unavailable, Code::DeadlineExceeded];

/// Asserts that a call was refused with this code, and with a text for people.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, tonic::Status>, code: Code) {
    let status = answer.expect_err("the call is refused");
    assert_eq!(status.code(), code, "{status:?}");
    assert!(!status.message().is_empty(), "a refusal says why");
}
