//! The threads that run orchestrations, and what they do with items that cannot go on.
//!
//! Episodes are short and computing, so that they run on a few threads of their own and not on those of the network. An item whose
//! history has to be fetched leaves its thread and comes back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use durawasm_proto::{durabletask as wire, v1};
use parking_lot::Mutex;

use super::Owed;
use super::episode::{Episodes, Outcome};
use super::patience::{DEADLINE_TRIES, Patience};
use crate::connection::{Abandoned, Answer, Channel, oversized};
use crate::orchestration::{Fuel, Limit, Park, ParkReason};

/// One work item, and the duty to answer it.
pub(super) struct Item {
    request: wire::OrchestratorRequest,
    token: String,
    owed: Owed,
    /// Whether the past events were fetched.
    fetched: bool,
}

impl Item {
    pub(super) fn new(request: wire::OrchestratorRequest, token: String, owed: Owed) -> Self {
        Self { request, token, owed, fetched: false }
    }
}

/// The front of the threads.
pub(crate) struct Orchestrations {
    queue: crossbeam_channel::Sender<Item>,
}

struct Shared {
    episodes: Arc<Episodes>,
    channel: Channel,
    runtime: tokio::runtime::Handle,
    queue: crossbeam_channel::Sender<Item>,
    patience: Mutex<Patience>,
    /// Items that wait to be given back, on a scheduler that knows no parking.
    waiting: AtomicUsize,
    max_waiting: usize,
    /// Whether the scheduler knows parking.
    parks: Box<dyn Fn() -> bool + Send + Sync>,
}

/// Sync WebAssembly runs on the thread's own stack, beside what the host needs.
pub(super) const THREAD_STACK: usize = 4 << 20;

impl Orchestrations {
    /// Starts the threads. They end when the queue does.
    pub(crate) fn start(
        episodes: Arc<Episodes>,
        channel: Channel,
        threads: usize,
        max_in_flight: u32,
        parks: impl Fn() -> bool + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let (queue, items) = crossbeam_channel::unbounded();
        let shared = Arc::new(Shared {
            episodes,
            channel,
            runtime: tokio::runtime::Handle::current(),
            queue: queue.clone(),
            patience: Mutex::default(),
            waiting: AtomicUsize::new(0),
            max_waiting: (max_in_flight as usize / 4).max(1),
            parks: Box::new(parks),
        });
        for number in 0..threads.max(1) {
            let (shared, items) = (Arc::clone(&shared), items.clone());
            std::thread::Builder::new().name(format!("orchestrations-{number}")).stack_size(THREAD_STACK).spawn(
                move || {
                    for item in items {
                        shared.run(item);
                    }
                },
            )?;
        }
        Ok(Self { queue })
    }

    pub(super) fn take(&self, item: Item) {
        // Fails only if all threads are gone; the item then goes back when the stream ends.
        let _ = self.queue.send(item);
    }
}

fn too_large(bytes: usize, room: usize) -> Park {
    Park::new(
        ParkReason::Limit(Limit::Payload),
        format!("one decision of the orchestrator has {bytes} bytes; a message to this scheduler holds {room} bytes"),
        "carry fewer or smaller events over when continuing as new, and pass references to large data instead of the data",
    )
}

impl Shared {
    fn run(self: &Arc<Self>, item: Item) {
        let Item { request, token, owed, fetched } = item;
        let instance_id = request.instance_id.clone();
        let result = catch_unwind(AssertUnwindSafe(|| self.episodes.run(request, &token, fetched)));
        match result {
            Ok(Outcome::Answer(response, ..)) if let Some((bytes, room)) = oversized(&response, (self.parks)()) => {
                self.park(instance_id, too_large(bytes, room), String::new(), token, owed);
            }
            Ok(Outcome::Answer(response, fuel, logs)) => {
                self.patience.lock().went_on(&instance_id);
                let fuel = fuel.map(|Fuel { episode, execution }| v1::Fuel { episode, execution });
                owed.answer(Answer::Orchestration(Box::new(response), fuel), logs);
            }
            Ok(Outcome::NeedsHistory(request)) => self.fetch(request, token, owed),
            Ok(Outcome::Reject(why)) => {
                tracing::info!(instance = instance_id, "{why}; the work item goes back for another host");
                self.give_back(&instance_id, token, owed);
            }
            Ok(Outcome::Park(park, component)) => self.park(instance_id, park, component, token, owed),
            Err(_) => {
                tracing::error!(
                    instance = instance_id,
                    "the host itself failed while it ran an orchestration; the work item goes back"
                );
                self.give_back(&instance_id, token, owed);
            }
        }
    }

    fn fetch(self: &Arc<Self>, mut request: wire::OrchestratorRequest, token: String, owed: Owed) {
        let shared = Arc::clone(self);
        self.runtime.spawn(async move {
            match shared.channel.history(request.instance_id.clone(), request.execution_id.clone(), true).await {
                Ok(events) => {
                    request.past_events = events;
                    let _ = shared.queue.send(Item { request, token, owed, fetched: true });
                }
                Err(status) => {
                    let instance_id = request.instance_id;
                    tracing::warn!(
                        instance = instance_id,
                        code = ?status.code(),
                        "the history of an instance could not be fetched: {}; its work item goes back",
                        status.message()
                    );
                    shared.give_back(&instance_id, token, owed);
                }
            }
        });
    }

    fn park(self: &Arc<Self>, instance_id: String, park: Park, component: String, token: String, owed: Owed) {
        let (tries, delay) = self.patience.lock().failed(&instance_id);
        let retry = park.reason == ParkReason::Limit(Limit::Deadline) && tries < DEADLINE_TRIES;
        tracing::error!(
            instance = instance_id,
            component,
            reason = park.reason.word(),
            advice = park.advice,
            "{}: {}",
            if retry {
                "an orchestration cannot go on and is tried again"
            } else {
                "an orchestration cannot go on and is parked"
            },
            park.message
        );
        if !retry && (self.parks)() {
            let park = v1::Park {
                completion_token: token,
                reason: park.reason.word().to_owned(),
                message: park.message,
                component,
                advice: park.advice,
            };
            owed.answer(Answer::Park(park), None);
        } else {
            self.delayed(delay, token, owed);
        }
    }

    fn give_back(self: &Arc<Self>, instance_id: &str, token: String, owed: Owed) {
        let (_, delay) = self.patience.lock().failed(instance_id);
        self.delayed(delay, token, owed);
    }

    /// Gives an item back after a while. What waits holds a slot of this worker, so that only some may wait for long.
    fn delayed(self: &Arc<Self>, delay: Duration, token: String, owed: Owed) {
        let shared = Arc::clone(self);
        let crowded = self.waiting.fetch_add(1, Ordering::AcqRel) >= self.max_waiting;
        let delay = if crowded { delay.min(Duration::from_secs(1)) } else { delay };
        self.runtime.spawn(async move {
            tokio::time::sleep(delay).await;
            shared.waiting.fetch_sub(1, Ordering::AcqRel);
            owed.answer(Answer::Abandon(Abandoned::Orchestration, token), None);
        });
    }
}
