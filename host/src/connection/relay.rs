//! Streams of work items that another one has taken over from.
//!
//! The Durable Task protocol cannot change what a worker runs on the stream that it has. So a second stream is opened with the new filters,
//! and the first stays until all that came on it is answered: a scheduler may take a stream that ends for a worker that is lost, and give
//! its work to another one.

use std::collections::HashMap;

use durawasm_proto::durabletask as wire;
use tokio_stream::{StreamExt as _, StreamMap};
use tonic::Streaming;

/// The streams of one worker: the current one's number, those before it, and what is open on each.
#[derive(Default)]
pub(super) struct Relay {
    current: u64,
    former: StreamMap<u64, Streaming<wire::WorkItem>>,
    /// On which stream an item came that is not answered, by its token.
    open: HashMap<String, u64>,
    /// How many are open on each stream.
    counts: HashMap<u64, usize>,
}

impl Relay {
    /// An item came on the current stream.
    pub(super) fn took(&mut self, item: &wire::WorkItem) {
        self.took_on(self.current, item);
    }

    fn took_on(&mut self, stream: u64, item: &wire::WorkItem) {
        // What has no token wants no answer.
        if !item.completion_token.is_empty() && self.open.insert(item.completion_token.clone(), stream).is_none() {
            *self.counts.entry(stream).or_default() += 1;
        }
    }

    /// An item is answered, and the scheduler knows. A stream on which nothing is open any more ends, unless it is the current one.
    pub(super) fn answered(&mut self, token: &str) {
        let Some(stream) = self.open.remove(token) else { return };
        if let Some(count) = self.counts.get_mut(&stream) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&stream);
                self.former.remove(&stream);
            }
        }
    }

    /// Another stream takes the place of this one, which ends when nothing is open on it.
    pub(super) fn hand_over(&mut self, stream: Streaming<wire::WorkItem>) {
        if self.counts.contains_key(&self.current) {
            self.former.insert(self.current, stream);
        }
        self.current += 1;
    }

    /// What still comes on former streams. Pending if there is none.
    pub(super) async fn next(&mut self) -> wire::WorkItem {
        loop {
            match self.former.next().await {
                Some((stream, Ok(item))) => {
                    self.took_on(stream, &item);
                    return item;
                }
                // It has ended by itself. What is open on it is answered all the same: that needs no stream.
                Some((stream, Err(_))) => drop(self.former.remove(&stream)),
                None => std::future::pending().await,
            }
        }
    }

    /// All former streams end.
    pub(super) fn end(&mut self) {
        self.former.clear();
    }
}
