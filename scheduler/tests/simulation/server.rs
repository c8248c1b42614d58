//! The scheduler process as the world sees it: a pipeline, the calls that wait for an answer, and what each stream has in hand.

use std::collections::HashMap;

use durawasm_scheduler::core::ids::{BatchSeq, Incarnation, RequestId, RunId, StreamId};
use durawasm_scheduler::core::message::Input;
use durawasm_scheduler::core::partition::Lookup;
use durawasm_scheduler::core::pipeline::Pipeline;
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::core::token::{Token, WorkKind};

use crate::world::Caller;

/// Items in the hands of a stream, by token.
type Hand = HashMap<String, (WorkKind, RunId)>;

pub(crate) struct Server {
    pub(crate) pipeline: Pipeline,
    /// Numbers the process.
    pub(crate) life: Incarnation,
    /// The last batch that is on disk, and of which the process knows.
    pub(crate) applied: BatchSeq,
    pub(crate) streams: HashMap<StreamId, ([usize; 3], Hand)>,
    /// Who waits, and for which batch at least.
    waiting: HashMap<RequestId, (Caller, BatchSeq)>,
    tick: Option<i64>,
}

impl Server {
    pub(crate) fn new(pipeline: Pipeline, life: Incarnation) -> Self {
        Self { pipeline, life, applied: BatchSeq(0), streams: HashMap::new(), waiting: HashMap::new(), tick: None }
    }

    pub(crate) fn handle(
        &mut self,
        caller: Option<(RequestId, Caller)>,
        input: Input,
        now: Timestamp,
        lookup: &dyn Lookup,
    ) {
        match &input {
            // Also with the first part of an answer: if it is void by now, the stream has room from here on.
            Input::CompleteEpisode(_, token, _)
            | Input::CompleteActivity(_, token, _)
            | Input::Abandon(_, token, _) => {
                self.out_of_hand(token);
            }
            _ => {}
        }
        self.pipeline.handle(input, now, lookup);
        if let Some((request, caller)) = caller {
            // What the answer rests on is at the latest in the batch that is being filled now.
            let partition = self.pipeline.partition();
            let current = partition.current_batch();
            let cause = if partition.has_nothing_to_write() { BatchSeq(current.0 - 1) } else { current };
            self.waiting.insert(request, (caller, cause));
        }
    }

    fn out_of_hand(&mut self, token: &Token) {
        let token = token.to_string();
        for (_, hand) in self.streams.values_mut() {
            hand.remove(&token);
        }
    }

    /// An item leaves for a stream.
    pub(crate) fn sent(&mut self, stream: StreamId, token: &Token) {
        if token.kind == WorkKind::Orchestration {
            let twin = self.streams.values().flat_map(|(_, hand)| hand.iter());
            let twin = twin.filter(|(_, item)| **item == (token.kind, token.run)).map(|(token, _)| token).next();
            assert_eq!(twin, None, "two episodes of one execution are in flight; the other is {token}");
        }
        let Some((limits, hand)) = self.streams.get_mut(&stream) else { return };
        hand.insert(token.to_string(), (token.kind, token.run));
        let open = hand.values().filter(|(kind, _)| *kind == token.kind).count();
        assert!(open <= limits[token.kind as usize], "{stream:?} has {open} items, more than it takes");
    }

    pub(crate) fn forget_stream(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    /// An answer leaves: whose it is, and the batch that it rests on.
    pub(crate) fn answered(&mut self, request: RequestId) -> (Caller, BatchSeq) {
        self.waiting.remove(&request).expect("each call is answered once")
    }

    pub(crate) fn callers(self) -> Vec<Caller> {
        let mut all: Vec<_> = self.waiting.into_iter().collect();
        all.sort_unstable_by_key(|(request, _)| *request);
        all.into_iter().map(|(_, (caller, _))| caller).collect()
    }

    /// Whether an alarm must be set for this time, because none is set that comes before.
    pub(crate) fn wants_tick(&mut self, at: i64, now: i64) -> bool {
        if self.tick.is_some_and(|set| set > now && set <= at) {
            return false;
        }
        self.tick = Some(at);
        true
    }

    /// Everything is over: the process must hold nothing any more.
    pub(crate) fn at_rest(&self) {
        assert!(self.waiting.is_empty(), "calls were never answered: {:?}", self.waiting);
        let held: Vec<_> = self.streams.values().flat_map(|(_, hand)| hand.keys()).collect();
        assert!(held.is_empty(), "items are still with workers: {held:?}");
        assert!(self.pipeline.is_quiet(), "effects or writes are left");
        let census = self.pipeline.partition().census();
        assert!(census.is_empty(), "the partition does not come to rest: {census:?}");
    }
}
