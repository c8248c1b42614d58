//! The way to the scheduler and back.
//!
//! Work items come in over one stream and answers go out, in one of two forms: the batched stream of `durawasm.v1`, or, with a
//! scheduler that does not know it, the Durable Task protocol itself. Answers are queued while there is no connection.

mod answer;
mod backoff;
mod channel;
mod filters;
mod log_rate;
mod relay;
mod session;
mod silence;
mod standard;
mod supply;
mod unacknowledged;

pub(crate) use answer::{Abandoned, Answer, GuestLogs, Outgoing, oversized};
pub(crate) use channel::Channel;
pub use channel::ChannelError;
pub(crate) use supply::Supply;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use durawasm_proto::durabletask::WorkItem;
use durawasm_proto::v1;
use tokio::sync::{mpsc, watch};
use tonic::Code;

use crate::registry::RegistryHandle;
use backoff::Backoff;
use unacknowledged::Unacknowledged;

/// Where work items go.
pub(crate) trait Intake: Send + Sync + 'static {
    /// Takes an item. Must not block.
    fn take(&self, item: WorkItem);
    /// Takes a question, and answers it once. Must not block.
    fn ask(&self, query: v1::Query, replies: mpsc::UnboundedSender<v1::QueryAnswer>);
    /// How many items are being worked on.
    fn busy(&self) -> usize;
}

/// What a connection attempt needs.
pub(crate) struct Connection<I> {
    pub(crate) channel: Channel,
    pub(crate) registry: RegistryHandle,
    pub(crate) intake: Arc<I>,
    pub(crate) answers: mpsc::UnboundedReceiver<Outgoing>,
    pub(crate) limits: WorkLimits,
    /// True once no more work shall be taken.
    pub(crate) draining: watch::Receiver<bool>,
    pub(crate) connected: Arc<AtomicBool>,
    /// Whether the scheduler knows parking: set when it speaks `durawasm.v1`.
    pub(crate) parks: Arc<AtomicBool>,
}

/// How much work may be in flight at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WorkLimits {
    pub(crate) orchestrations: u32,
    pub(crate) activities: u32,
    pub(crate) entities: u32,
}

/// Why a stream ended.
enum Ended {
    /// All is done that had to be done.
    Drained,
    /// It broke, or could not be opened.
    Broken(tonic::Status),
}

impl<I: Intake> Connection<I> {
    /// Connects, and connects again for ever, until there is no more work and no more is wanted.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut unanswered = Unacknowledged::default();
        let mut batched = true;
        let mut told = None;
        loop {
            let ended = if batched {
                session::run(&mut self, &mut unanswered, &mut backoff).await
            } else {
                standard::run(&mut self, &mut unanswered, &mut backoff).await
            };
            let was_connected = self.connected.swap(false, Ordering::Relaxed);
            let status = match ended {
                Ended::Drained => return,
                Ended::Broken(status) => status,
            };
            if batched && status.code() == Code::Unimplemented {
                batched = false;
                continue;
            }
            // What comes up next may be a newer scheduler.
            batched = true;
            if *self.draining.borrow() && self.is_done(&unanswered) {
                return;
            }
            // Once per change of state, not once per try.
            if was_connected || told != Some(status.code()) {
                tracing::warn!(
                    scheduler = self.channel.uri(),
                    code = ?status.code(),
                    "{}: {}; trying again until it is there",
                    if was_connected { "the connection to the scheduler is lost" } else { "the scheduler cannot be reached" },
                    channel::explain(&status),
                );
                told = Some(status.code());
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }

    /// Whether nothing is worked on and every answer has arrived that still counts. Asked in the order in which an answer
    /// travels, so that none is overlooked on its way.
    fn is_done(&self, unanswered: &Unacknowledged) -> bool {
        self.intake.busy() == 0 && self.answers.is_empty() && unanswered.is_empty()
    }

    fn now_connected(&self, form: &str, backoff: &mut Backoff) {
        backoff.reset();
        self.connected.store(true, Ordering::Relaxed);
        tracing::info!(scheduler = self.channel.uri(), form, "connected to the scheduler");
    }
}
