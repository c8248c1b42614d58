//! The scheduler process as the world sees it: a pipeline, the calls that wait for an answer, and what each stream has in hand.

use std::collections::HashMap;

use durawasm_scheduler::core::dispatch::{Filters, StreamInfo};
use durawasm_scheduler::core::ids::{BatchSeq, Incarnation, InstanceId, InstanceKey, RequestId, RunId, StreamId};
use durawasm_scheduler::core::message::Input;
use durawasm_scheduler::core::partition::Lookup;
use durawasm_scheduler::core::pipeline::Pipeline;
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::core::token::{Token, WorkKind};

use crate::world::Caller;

/// A stream that a worker holds.
#[derive(Default)]
struct Stream {
    limits: [usize; 3],
    filters: Option<Filters>,
    /// Items in its hands, by token.
    hand: HashMap<String, (WorkKind, RunId)>,
}

/// Somebody who waits until an instance has begun or ended.
pub(crate) struct Waiter {
    pub(crate) caller: Caller,
    pub(crate) id: InstanceId,
    /// The instance that had the id when the wait began.
    pub(crate) key: InstanceKey,
    /// Until it has begun only.
    pub(crate) start: bool,
}

pub(crate) struct Server {
    pub(crate) pipeline: Pipeline,
    /// Numbers the process.
    pub(crate) life: Incarnation,
    /// The last batch that is on disk, and of which the process knows.
    pub(crate) applied: BatchSeq,
    pub(crate) waiters: Vec<Waiter>,
    streams: HashMap<StreamId, Stream>,
    /// Who waits, and for which batch at least.
    waiting: HashMap<RequestId, (Caller, BatchSeq)>,
    tick: Option<i64>,
    /// The latest time that this process has seen.
    clock: Timestamp,
    /// How often, and first when, an episode was sent that did not become history since.
    futile: HashMap<RunId, (u64, u32, Timestamp)>,
}

impl Server {
    pub(crate) fn new(pipeline: Pipeline, life: Incarnation) -> Self {
        Self {
            pipeline,
            life,
            applied: BatchSeq(0),
            waiters: Vec::new(),
            streams: HashMap::new(),
            waiting: HashMap::new(),
            tick: None,
            clock: Timestamp::MIN,
            futile: HashMap::new(),
        }
    }

    pub(crate) fn handle(
        &mut self,
        caller: Option<(RequestId, Caller)>,
        input: Input,
        now: Timestamp,
        lookup: &dyn Lookup,
    ) {
        self.clock = self.clock.max(now);
        match &input {
            // Also with the first part of an answer: if it is void by now, the stream has room from here on.
            Input::CompleteEpisode(_, token, _, _)
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
        for stream in self.streams.values_mut() {
            stream.hand.remove(&token);
        }
    }

    pub(crate) fn add_stream(&mut self, stream: StreamId, info: &StreamInfo) {
        let (limits, filters) = (info.limits, info.filters.clone());
        self.streams.insert(stream, Stream { limits, filters, hand: HashMap::new() });
    }

    /// An item leaves for a stream. The route is known if the instance is still there.
    pub(crate) fn sent(&mut self, stream: StreamId, token: &Token, route: Option<(&str, &str)>) {
        if token.kind == WorkKind::Orchestration {
            let twin = self.streams.values().flat_map(|s| s.hand.iter());
            let twin = twin.filter(|(_, item)| **item == (token.kind, token.run)).map(|(token, _)| token).next();
            assert_eq!(twin, None, "two episodes of one execution are in flight; the other is {token}");
        }
        let Some(Stream { limits, filters, hand }) = self.streams.get_mut(&stream) else { return };
        hand.insert(token.to_string(), (token.kind, token.run));
        let open = hand.values().filter(|(kind, _)| *kind == token.kind).count();
        assert!(open <= limits[token.kind as usize], "{stream:?} has {open} items, more than it takes");
        if let (Some(filters), Some((name, version))) = (filters, route) {
            let fits = filters.0[token.kind as usize]
                .iter()
                .any(|f| f.name == name && (f.versions.is_empty() || f.versions.iter().any(|v| v == version)));
            assert!(fits, "{stream:?} got {name} {version:?}, which it cannot run");
        }
    }

    /// An episode is sent whose worker will die of it: it comes again at growing intervals.
    pub(crate) fn poisonous(&mut self, run: RunId, past: u64) {
        let now = self.clock;
        let (before, times, since) = self.futile.entry(run).or_insert((past, 0, now));
        if *before != past {
            (*before, *times, *since) = (past, 0, now);
        }
        *times += 1;
        // Twice at once, then after 400 ms, 800 ms, and so on; see the scheduler's back-off.
        let waits: u64 =
            (3..*times).map(|returns| 100_000 << (returns - 1).min(16)).map(|w: u64| w.min(30_000_000)).sum();
        let waited = now.as_micros() - since.as_micros();
        let enough = u64::try_from(waited).is_ok_and(|waited| waited >= waits);
        assert!(enough, "a poisonous item was sent {times} times within {waited} microseconds");
    }

    pub(crate) fn forget_stream(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    /// An answer leaves: whose it is, and the batch that it rests on.
    pub(crate) fn answered(&mut self, request: RequestId) -> (Caller, BatchSeq) {
        self.waiting.remove(&request).expect("each call is answered once")
    }

    /// All who hear nothing because the process died.
    pub(crate) fn callers(self) -> Vec<Caller> {
        let mut all: Vec<_> = self.waiting.into_iter().collect();
        all.sort_unstable_by_key(|(request, _)| *request);
        let calls = all.into_iter().map(|(_, (caller, _))| caller);
        calls.chain(self.waiters.into_iter().map(|w| w.caller)).collect()
    }

    /// Whether an alarm must be set for this time, because none is set that comes before.
    pub(crate) fn wants_tick(&mut self, at: i64, now: i64) -> bool {
        if self.tick.is_some_and(|set| set > now && set <= at) {
            return false;
        }
        self.tick = Some(at);
        true
    }

    /// Everything is over: the process must hold nothing any more, but for instances that wait.
    pub(crate) fn at_rest(&self) {
        assert!(self.waiting.is_empty(), "calls were never answered: {:?}", self.waiting);
        let held: Vec<_> = self.streams.values().flat_map(|s| s.hand.keys()).collect();
        assert!(held.is_empty(), "items are still with workers: {held:?}");
        assert!(self.pipeline.is_quiet(), "effects or writes are left");
        let mut census = self.pipeline.partition().census();
        census.instances = 0;
        assert!(census.is_empty(), "the partition does not come to rest: {census:?}");
    }
}
