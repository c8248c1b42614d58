//! Answers to questions: a few threads of their own, so that questions never hold up work.
//!
//! A question is answered exactly once, whatever happens. Nothing is kept: the history is fetched as it is committed, replayed on an
//! orchestrator that is thrown away, and no line that it logs is shown.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::TrySendError;
use durawasm_proto::{durabletask as wire, v1};
use tokio::sync::mpsc;
use tonic::{Code, Status};

use super::orchestrations::THREAD_STACK;
use crate::abi::{Failure, Outcome};
use crate::connection::Channel;
use crate::orchestration::{Question, convert};
use crate::registry::{LoadedComponent, RegistryHandle};
use crate::replay::{self, Recording, ReplayLimits};

/// Where the answer to a question goes. It leads nowhere once the stream that brought the question is gone.
pub(crate) type Replies = mpsc::UnboundedSender<v1::QueryAnswer>;

/// Where histories come from.
pub(crate) trait Histories: Send + 'static {
    /// The committed history of an execution. Blocks the thread.
    fn fetch(&self, instance_id: String, execution_id: Option<String>) -> Result<Vec<wire::HistoryEvent>, Status>;
}

/// The front of the threads.
pub(crate) struct Queries {
    queue: crossbeam_channel::Sender<(v1::Query, Replies)>,
}

/// Questions that may wait for a thread. More are refused, so that a flood of them takes no memory.
const MAX_WAITING: usize = 256;

const FETCH_DEADLINE: Duration = Duration::from_secs(30);

/// Histories as the scheduler streams them.
pub(crate) struct Streamed {
    pub(crate) channel: Channel,
    pub(crate) runtime: tokio::runtime::Handle,
}

impl Histories for Streamed {
    fn fetch(&self, instance_id: String, execution_id: Option<String>) -> Result<Vec<wire::HistoryEvent>, Status> {
        let fetching = self.channel.history(instance_id, execution_id, false);
        self.runtime.block_on(async {
            let late = |_| Status::deadline_exceeded("the scheduler did not send it within 30 s");
            tokio::time::timeout(FETCH_DEADLINE, fetching).await.map_err(late)?
        })
    }
}

impl Queries {
    /// Starts the threads. They end when the queue does.
    pub(crate) fn start(
        registry: RegistryHandle,
        threads: usize,
        histories: impl Fn() -> Box<dyn Histories>,
    ) -> std::io::Result<Self> {
        let (queue, questions) = crossbeam_channel::bounded::<(v1::Query, Replies)>(MAX_WAITING);
        for number in 0..threads.max(1) {
            let (questions, registry, histories) = (questions.clone(), registry.clone(), histories());
            std::thread::Builder::new().name(format!("queries-{number}")).stack_size(THREAD_STACK).spawn(
                move || {
                    for (query, replies) in questions {
                        // Whoever asked may be gone by now.
                        if !replies.is_closed() {
                            answer(query, &replies, |query| ask(&registry, &*histories, query));
                        }
                    }
                },
            )?;
        }
        Ok(Self { queue })
    }

    pub(super) fn take(&self, query: v1::Query, replies: Replies) {
        let (query, replies, message) = match self.queue.try_send((query, replies)) {
            Ok(()) => return,
            Err(TrySendError::Full((query, replies))) => {
                (query, replies, format!("{MAX_WAITING} questions wait on this host already: ask again later"))
            }
            Err(TrySendError::Disconnected((query, replies))) => (query, replies, "the host is ending".to_owned()),
        };
        answer(query, &replies, |_| Err(vec![failure("Busy", message)]));
    }
}

/// Sends the one answer to a question.
fn answer(query: v1::Query, replies: &Replies, ask: impl FnOnce(v1::Query) -> Outcome) {
    let (number, instance) = (query.number, query.instance_id.clone());
    let outcome = catch_unwind(AssertUnwindSafe(|| ask(query))).unwrap_or_else(|_| {
        tracing::error!(instance, "the host itself failed while it answered a question");
        Err(vec![failure("HostFailure", "the host itself failed; its log says more".to_owned())])
    });
    let (output, failure) = match outcome {
        Ok(output) => (output, None),
        Err(failures) => (None, convert::failure_details(failures)),
    };
    // Fails only if the stream is gone, and the question with it.
    let _ = replies.send(v1::QueryAnswer { number, output, failure });
}

fn ask(registry: &RegistryHandle, histories: &dyn Histories, query: v1::Query) -> Outcome {
    // The history may be long: it is not fetched for nothing.
    let version = query.version.as_deref().filter(|version| !version.is_empty());
    let component = component(registry, &query.orchestrator, version)?;
    let execution_id = Some(query.execution_id).filter(|id| !id.is_empty());
    let events = histories.fetch(query.instance_id.clone(), execution_id).map_err(|status| vec![unfetched(&status)])?;
    let recording = Recording { instance_id: query.instance_id, events };
    let limits = ReplayLimits::of(&component);
    replay::query(&component, recording, &Question { name: query.name, input: query.input }, &limits)
}

fn component(
    registry: &RegistryHandle,
    orchestrator: &str,
    version: Option<&str>,
) -> Result<Arc<LoadedComponent>, Vec<Failure>> {
    registry.current().orchestrator(orchestrator, version).component().cloned().ok_or_else(|| {
        let version = version.map(|version| format!(" in version {version}")).unwrap_or_default();
        let message = format!(
            "no component on this host has orchestrator `{orchestrator}`{version}: connect a host whose components have it"
        );
        vec![failure("NoVersion", message)]
    })
}

fn unfetched(status: &Status) -> Failure {
    match status.code() {
        Code::NotFound => failure(
            "HistoryGone",
            "the instance was purged, replaced, or has continued as new since the question was asked: ask again".into(),
        ),
        code => failure("HistoryUnavailable", format!("its history cannot be read ({code:?}): {}", status.message())),
    }
}

fn failure(error_type: &str, message: String) -> Failure {
    Failure { error_type: error_type.to_owned(), message, stack: None, retriable: true, properties: Vec::new() }
}

#[cfg(test)]
mod tests;
