//! Following an instance: its events as they are committed, until it ends.
//!
//! Our scheduler pushes them. With schedulers of other makes the history is read again from time to time. Either way
//! each event is seen once, also when the connection breaks and is made again.

use std::time::Duration;

use durawasm_proto::v1;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use tonic::Streaming;

use crate::{Client, Error, ErrorKind, HistoryEvent, Instance, InstanceId, convert};

/// For how long to go on when the scheduler cannot be reached: it may be restarting.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);
/// The longest time between two readings of a history where it is not pushed.
const SLOWEST_POLL: Duration = Duration::from_secs(2);

/// What is new of an instance.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Update {
    /// The execution that the events belong to. Another one than before: the instance continued as new, and positions
    /// begin again.
    pub execution_id: String,
    /// The new events.
    pub events: Vec<HistoryEvent>,
    /// The instance after them.
    pub instance: Instance,
}

/// Follows one instance.
#[derive(Debug)]
pub struct Follower {
    client: Client,
    id: InstanceId,
    source: Source,
    /// The execution whose events have been seen up to `position`.
    execution_id: String,
    position: u64,
    last_contact: Instant,
}

#[derive(Debug)]
enum Source {
    /// Not connected.
    Closed,
    /// Pushed by the scheduler.
    Pushed(Box<Streaming<v1::FollowInstanceChunk>>),
    /// Read from time to time; the delay is the one before the next reading.
    Polled(Duration),
    Ended,
}

impl Follower {
    pub(crate) fn new(client: Client, id: InstanceId) -> Follower {
        Follower {
            client,
            id,
            source: Source::Closed,
            execution_id: String::new(),
            position: 0,
            last_contact: Instant::now(),
        }
    }

    /// Waits for what is new. None after the update in which the instance has ended.
    pub async fn next(&mut self) -> Result<Option<Update>, Error> {
        loop {
            let step = match &mut self.source {
                Source::Ended => return Ok(None),
                Source::Closed => self.open().await.map(|()| None),
                Source::Pushed(_) => self.pushed().await,
                Source::Polled(_) => self.poll().await,
            };
            match step {
                Ok(update) => {
                    self.last_contact = Instant::now();
                    let Some(update) = update else { continue };
                    if update.instance.status.is_terminal() {
                        self.source = Source::Ended;
                    }
                    return Ok(Some(update));
                }
                Err(error) if error.kind() == ErrorKind::Unavailable && self.last_contact.elapsed() < PATIENCE => {
                    if let Source::Pushed(_) = self.source {
                        self.source = Source::Closed;
                    }
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn open(&mut self) -> Result<(), Error> {
        let request = v1::FollowInstanceRequest { instance_id: self.id.to_string() };
        match self.client.services().durawasm.follow_instance(request).await {
            Ok(stream) => self.source = Source::Pushed(Box::new(stream.into_inner())),
            Err(status) => {
                let error = self.client.missing(status, &self.id).await;
                match error.kind() {
                    ErrorKind::Unsupported => self.source = Source::Polled(Duration::ZERO),
                    _ => return Err(error),
                }
            }
        }
        Ok(())
    }

    async fn pushed(&mut self) -> Result<Option<Update>, Error> {
        let Source::Pushed(stream) = &mut self.source else { return Ok(None) };
        match stream.message().await {
            Ok(Some(chunk)) => {
                let Some(state) = chunk.state else { return Ok(None) };
                let events = convert::events(chunk.events, chunk.first_position);
                Ok(self.unseen(chunk.execution_id, events, convert::instance(state)))
            }
            // The stream ended before the instance did: the scheduler shuts down.
            Ok(None) => {
                self.source = Source::Closed;
                sleep(PAUSE).await;
                Ok(None)
            }
            Err(status) => {
                let error = self.client.missing(status, &self.id).await;
                if error.kind() == ErrorKind::Unsupported {
                    self.source = Source::Polled(Duration::ZERO);
                    return Ok(None);
                }
                Err(error)
            }
        }
    }

    async fn poll(&mut self) -> Result<Option<Update>, Error> {
        let Source::Polled(delay) = self.source else { return Ok(None) };
        sleep(delay).await;
        let begun = Instant::now();
        // First the instance, then its history: if the instance has ended, the history is whole.
        let instance = self.client.get(&self.id, true).await?.ok_or_else(|| self.client.no_such_instance(&self.id))?;
        let events = self.client.history(&self.id).await?.all().await?;
        // A long history is read less often, so that following costs the scheduler little.
        let rest = (begun.elapsed() * 10).clamp(PAUSE, SLOWEST_POLL);
        self.source = Source::Polled(rest);
        let execution_id = instance.execution_id.clone().unwrap_or_default();
        Ok(self.unseen(execution_id, events, instance))
    }

    /// Drops the events that have been seen already.
    fn unseen(&mut self, execution_id: String, mut events: Vec<HistoryEvent>, instance: Instance) -> Option<Update> {
        if execution_id != self.execution_id {
            self.execution_id.clone_from(&execution_id);
            self.position = 0;
        }
        events.retain(|event| event.position >= self.position);
        if let Some(last) = events.last() {
            self.position = last.position + 1;
        }
        let news = !events.is_empty() || instance.status.is_terminal();
        news.then_some(Update { execution_id, events, instance })
    }
}
