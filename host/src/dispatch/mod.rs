//! From work items to answers: which runner an item goes to, and what becomes of it if nobody can run it.

mod activities;
mod effects;
mod entities;
mod episode;
mod orchestrations;
mod patience;
mod queries;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use durawasm_proto::durabletask::WorkItem;
use durawasm_proto::durabletask::work_item::Request;
use durawasm_proto::v1;
use tokio::sync::mpsc;

use crate::connection::{Answer, GuestLogs, Intake, Outgoing};

pub(crate) use activities::Activities;
pub(crate) use entities::Entities;
pub(crate) use episode::Episodes;
pub use episode::Warmth;
pub(crate) use orchestrations::Orchestrations;
pub(crate) use queries::{Queries, Streamed};

/// Takes work items and sees to it that each is answered.
pub(crate) struct Dispatcher {
    pub(crate) orchestrations: Orchestrations,
    pub(crate) activities: Arc<Activities>,
    pub(crate) entities: Arc<Entities>,
    pub(crate) queries: Queries,
    pub(crate) outbox: Outbox,
}

impl Intake for Dispatcher {
    fn take(&self, item: WorkItem) {
        let token = item.completion_token;
        match item.request {
            Some(Request::OrchestratorRequest(request)) => {
                self.orchestrations.take(orchestrations::Item::new(request, token, self.outbox.begin()));
            }
            Some(Request::ActivityRequest(request)) => self.activities.take(request, token, self.outbox.begin()),
            Some(Request::EntityRequest(request)) => self.entities.take(request.into(), token, self.outbox.begin()),
            Some(Request::EntityRequestV2(request)) => self.entities.take(request.into(), token, self.outbox.begin()),
            Some(Request::HealthPing(_)) | None => {}
        }
    }

    fn ask(&self, query: v1::Query, replies: mpsc::UnboundedSender<v1::QueryAnswer>) {
        self.queries.take(query, replies);
    }

    fn busy(&self) -> usize {
        self.outbox.busy()
    }
}

/// Where answers go, and how many are still owed.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    answers: mpsc::UnboundedSender<Outgoing>,
    owed: Arc<AtomicUsize>,
}

impl Outbox {
    pub(crate) fn new(answers: mpsc::UnboundedSender<Outgoing>) -> Self {
        Self { answers, owed: Arc::default() }
    }

    /// One more answer is owed.
    fn begin(&self) -> Owed {
        self.owed.fetch_add(1, Ordering::AcqRel);
        Owed { outbox: self.clone() }
    }

    pub(crate) fn busy(&self) -> usize {
        self.owed.load(Ordering::Acquire)
    }
}

/// The duty to answer one item. It ends when it is dropped, so that it ends whatever happens.
#[derive(Debug)]
pub(crate) struct Owed {
    outbox: Outbox,
}

impl Owed {
    fn answer(self, answer: Answer, logs: Option<GuestLogs>) {
        // Fails only when the host has ended, and then the item goes back by itself.
        let _ = self.outbox.answers.send(Outgoing { answer, logs });
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.outbox.owed.fetch_sub(1, Ordering::AcqRel);
    }
}
