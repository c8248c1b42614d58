//! Streams of work items that another one has taken over from.
//!
//! The Durable Task protocol cannot change what a worker runs on the stream that it has. So a second stream is opened with the new filters,
//! and the first stays until all that came on it is answered: a scheduler may take a stream that ends for a worker that is lost, and give
//! its work to another one. Nor does it end at once then: more may be on its way. A scheduler goes on sending on all of them, and may keep
//! a stream busy for ever; so there are never more than a few.

use std::collections::HashMap;
use std::time::Duration;

use durawasm_proto::durabletask as wire;
use tokio::time::Instant;
use tokio_stream::{Stream, StreamExt as _, StreamMap};
use tonic::{Status, Streaming};

/// A former stream ends when nothing has been open on it for so long: what the scheduler had sent by the hand-over has arrived by then.
const LINGER: Duration = Duration::from_secs(1);
/// How many former streams there may be. If there were more, the one with the least open ends: the scheduler gives its work out again.
const FORMERS: usize = 3;

/// The streams of one worker: the current one's number, those before it, and what is open on each.
pub(super) struct Relay<S = Streaming<wire::WorkItem>> {
    current: u64,
    former: StreamMap<u64, S>,
    /// Since when nothing is open on a former stream.
    idle: HashMap<u64, Instant>,
    /// On which stream an item came that is not answered, by its token.
    open: HashMap<String, u64>,
    /// How many are open on each stream.
    counts: HashMap<u64, usize>,
    linger: Duration,
}

impl<S> Default for Relay<S> {
    fn default() -> Self {
        Self {
            current: 0,
            former: StreamMap::new(),
            idle: HashMap::new(),
            open: HashMap::new(),
            counts: HashMap::new(),
            linger: LINGER,
        }
    }
}

impl<S: Stream<Item = Result<wire::WorkItem, Status>> + Unpin> Relay<S> {
    /// An item came on the current stream.
    pub(super) fn took(&mut self, item: &wire::WorkItem) {
        self.took_on(self.current, item);
    }

    fn took_on(&mut self, stream: u64, item: &wire::WorkItem) {
        // What has no token wants no answer.
        if item.completion_token.is_empty() {
            return;
        }
        match self.open.insert(item.completion_token.clone(), stream) {
            Some(before) if before == stream => return,
            // The scheduler has given it out again.
            Some(before) => self.closed(before),
            None => {}
        }
        *self.counts.entry(stream).or_default() += 1;
        self.idle.remove(&stream);
    }

    /// An item is answered, and the scheduler knows.
    pub(super) fn answered(&mut self, token: &str) {
        if let Some(stream) = self.open.remove(token) {
            self.closed(stream);
        }
    }

    /// One item less is open on a stream.
    fn closed(&mut self, stream: u64) {
        let Some(count) = self.counts.get_mut(&stream) else { return };
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&stream);
            if self.former.contains_key(&stream) {
                self.idle.insert(stream, Instant::now());
            }
        }
    }

    /// Another stream takes the place of this one, which ends when nothing has been open on it for a while.
    pub(super) fn hand_over(&mut self, stream: S) {
        if self.former.len() == FORMERS {
            let open = |stream: &u64| (self.counts.get(stream).copied().unwrap_or_default(), *stream);
            if let Some(least) = self.former.keys().copied().min_by_key(open) {
                self.remove(least);
            }
        }
        self.former.insert(self.current, stream);
        if !self.counts.contains_key(&self.current) {
            self.idle.insert(self.current, Instant::now());
        }
        self.current += 1;
    }

    /// What still comes on former streams. Pending if there is none. Nothing is lost if this is dropped before it is ready.
    pub(super) async fn next(&mut self) -> wire::WorkItem {
        loop {
            let linger = self.linger;
            let ends = self.idle.iter().map(|(stream, since)| (*since + linger, *stream)).min();
            tokio::select! {
                // What has arrived counts before the time that has passed.
                biased;
                Some((stream, item)) = self.former.next() => match item {
                    Ok(item) => {
                        self.took_on(stream, &item);
                        return item;
                    }
                    // It has broken. What is open on it is answered all the same: that needs no stream.
                    Err(_) => self.remove(stream),
                },
                stream = end_of(ends) => self.remove(stream),
            }
        }
    }

    fn remove(&mut self, stream: u64) {
        self.former.remove(&stream);
        self.idle.remove(&stream);
    }

    /// All former streams end.
    pub(super) fn end(&mut self) {
        self.former.clear();
        self.idle.clear();
    }
}

/// Waits for the first end of a stream.
async fn end_of(first: Option<(Instant, u64)>) -> u64 {
    match first {
        Some((at, stream)) => {
            tokio::time::sleep_until(at).await;
            stream
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::ReceiverStream;

    use super::*;

    type Items = ReceiverStream<Result<wire::WorkItem, Status>>;
    type Sender = mpsc::Sender<Result<wire::WorkItem, Status>>;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn item(token: &str) -> wire::WorkItem {
        wire::WorkItem { request: None, completion_token: token.to_owned() }
    }

    fn relay() -> Relay<Items> {
        Relay { linger: HOUR, ..Relay::default() }
    }

    fn hand_over(relay: &mut Relay<Items>) -> Sender {
        let (sender, stream) = mpsc::channel(8);
        relay.hand_over(ReceiverStream::new(stream));
        sender
    }

    async fn send(sender: &Sender, token: &str) {
        sender.send(Ok(item(token))).await.expect("it is open");
    }

    /// What is there to take at once.
    fn taken(relay: &mut Relay<Items>) -> Vec<String> {
        std::iter::from_fn(|| relay.next().now_or_never()).map(|item| item.completion_token).collect()
    }

    /// The time that a stream stays is over: it ends.
    async fn ends(relay: &mut Relay<Items>, sender: &Sender) {
        relay.linger = Duration::ZERO;
        let ended = async {
            tokio::select! {
                item = relay.next() => panic!("{item:?}"),
                () = sender.closed() => {}
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ended).await.expect("nothing is open on it");
        relay.linger = HOUR;
    }

    /// The time that a stream stays is over, and it does not end.
    async fn stays(relay: &mut Relay<Items>, sender: &Sender) {
        relay.linger = Duration::ZERO;
        let over = tokio::time::timeout(Duration::from_millis(20), relay.next()).await;
        assert!(over.is_err() && !sender.is_closed(), "{over:?}");
        relay.linger = HOUR;
    }

    #[tokio::test]
    async fn a_stream_with_nothing_open_stays_for_what_is_on_its_way() {
        let mut relay = relay();
        let former = hand_over(&mut relay);
        assert!(taken(&mut relay).is_empty() && !former.is_closed());
        send(&former, "late").await;
        assert_eq!(taken(&mut relay), ["late"]);
        stays(&mut relay, &former).await;
        relay.answered("late");
        assert!(taken(&mut relay).is_empty() && !former.is_closed(), "more may be on its way");
        ends(&mut relay, &former).await;
    }

    #[tokio::test]
    async fn what_has_arrived_is_taken_although_the_time_is_over() {
        let mut relay = relay();
        let former = hand_over(&mut relay);
        for token in ["one", "two"] {
            send(&former, token).await;
        }
        relay.linger = Duration::ZERO;
        assert_eq!(taken(&mut relay), ["one", "two"]);
        stays(&mut relay, &former).await;
    }

    #[tokio::test]
    async fn an_item_that_comes_again_on_another_stream_is_open_there_alone() {
        let mut relay = relay();
        relay.took(&item("moved"));
        let former = hand_over(&mut relay);
        stays(&mut relay, &former).await;
        relay.took(&item("moved"));
        ends(&mut relay, &former).await;
        let second = hand_over(&mut relay);
        stays(&mut relay, &second).await;
        relay.answered("moved");
        ends(&mut relay, &second).await;
        assert!(relay.counts.is_empty() && relay.open.is_empty() && relay.idle.is_empty());
    }

    #[tokio::test]
    async fn the_stream_with_the_least_open_ends_when_there_are_too_many() {
        let mut relay = relay();
        let mut formers = Vec::new();
        for stream in 0..=FORMERS {
            for open in 0..=(FORMERS - stream) {
                relay.took(&item(&format!("{stream} {open}")));
            }
            formers.push(hand_over(&mut relay));
            assert!(relay.former.len() <= FORMERS);
        }
        let open: Vec<bool> = formers.iter().map(|former| !former.is_closed()).collect();
        // Of the first three, the third had the least; the fourth came after.
        assert_eq!(open, [true, true, false, true]);
        for token in ["2 0", "2 1"] {
            relay.answered(token);
        }
        assert!(!relay.counts.contains_key(&2), "what is open on a stream that has ended is answered like all else");
        assert!(relay.idle.is_empty());
    }

    #[tokio::test]
    async fn a_stream_that_breaks_is_forgotten() {
        let mut relay = relay();
        relay.took(&item("open"));
        let former = hand_over(&mut relay);
        former.send(Err(Status::unavailable("broken"))).await.expect("it is open");
        assert!(taken(&mut relay).is_empty() && former.is_closed());
        relay.answered("open");
        assert!(relay.counts.is_empty() && relay.idle.is_empty());
    }
}
