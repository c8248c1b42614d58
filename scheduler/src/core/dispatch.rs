//! Which worker gets which work item: queues by route, streams with capacity and filters.
//!
//! Work is pushed and never polled. An item either finds a stream with room at once or waits in the queue of its route (kind,
//! name, version); a stream that gets room takes from the routes that it accepts, in turn. So an item that nobody accepts
//! waits without standing in anybody's way, and no step looks at more than the routes and streams concerned.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::ids::{InstanceId, Position, RunId, StreamId};
use super::token::WorkKind;

/// What a worker must be able to run to take an item.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// The kind of work.
    pub kind: WorkKind,
    /// The orchestrator's, activity's or entity's name.
    pub name: Arc<str>,
    /// The version; empty for none.
    pub version: Arc<str>,
}

/// One piece of work that waits or runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// The next episode of an instance.
    Episode(InstanceId),
    /// An activity, by where it was called.
    Activity(InstanceId, RunId, Position),
    /// The next batch of an entity.
    Batch(InstanceId),
}

/// A name and the versions that go with it (none listed: any).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameFilter {
    /// The name.
    pub name: String,
    /// The versions; empty for any.
    pub versions: Vec<String>,
}

/// What a worker can run, per kind (indexed by [`WorkKind`]). Only what is listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(pub [Vec<NameFilter>; 3]);

impl Filters {
    fn accepts(&self, route: &Route) -> bool {
        self.0[route.kind as usize].iter().any(|f| {
            *f.name == *route.name && (f.versions.is_empty() || f.versions.iter().any(|v| **v == *route.version))
        })
    }
}

/// A connected worker's stream.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// Names the worker; the same after it reconnects.
    pub worker: Arc<str>,
    /// How many items of each kind it takes at once.
    pub limits: [usize; 3],
    /// What it can run; None: everything.
    pub filters: Option<Filters>,
    /// Whether it understands `durawasm.v1`: base properties, and past events left out.
    pub extended: bool,
    /// Whether it can fetch a long history by itself.
    pub history_streaming: bool,
    /// Whether it can be asked questions.
    pub answers: bool,
    /// The versions on which it begins orchestrations that have none, by name.
    pub defaults: Arc<HashMap<String, String>>,
}

/// The length at which a queue is looked through for the first time.
const FIRST_SWEEP: usize = 1_024;

/// How many routes there are at least before some are forgotten.
const FIRST_COLLECTION: usize = 4_096;

#[derive(Debug)]
struct Stream {
    info: StreamInfo,
    /// Items sent and not answered, by attempt.
    open: [HashMap<u64, Work>; 3],
    /// Routes that it accepts, per kind.
    routes: [Vec<RouteIndex>; 3],
    /// Where the next look at the routes begins, per kind: so that each has its turn.
    turn: [usize; 3],
}

type RouteIndex = usize;

#[derive(Debug)]
struct Queue {
    route: Route,
    waiting: VecDeque<(Ticket, Work)>,
    /// At this length it is looked through for tickets that stand for nothing any more: where nobody takes from a queue, nobody finds them.
    sweep_at: usize,
    /// Streams whose filters name this route.
    named: Vec<StreamId>,
    /// Streams without filters.
    unfiltered: Vec<StreamId>,
}

impl Queue {
    /// Who may take from it: workers that named the route before workers that take everything, because the SDKs fail what
    /// they have not registered.
    fn takers(&self) -> &[StreamId] {
        if self.named.is_empty() { &self.unfiltered } else { &self.named }
    }
}

/// Names one stay in a queue. What left the queue by another door leaves its ticket behind, which is then skipped.
pub type Ticket = u64;

/// Queues, streams, and who has what.
#[derive(Debug, Default)]
pub struct Dispatcher {
    routes: HashMap<Route, RouteIndex>,
    queues: Vec<Queue>,
    streams: HashMap<StreamId, Stream>,
    /// Which stream has an attempt.
    attempts: HashMap<u64, (StreamId, WorkKind)>,
    /// At this many routes those are forgotten on which nothing waits.
    collect_at: usize,
    /// Queues that have grown enough to be looked through.
    grown: Vec<RouteIndex>,
    /// Streams that got room, or a route, since they were last served.
    hungry: BTreeSet<(StreamId, WorkKind)>,
    next_ticket: Ticket,
}

impl Dispatcher {
    /// Takes a worker's stream in.
    pub fn connect(&mut self, id: StreamId, info: StreamInfo) {
        self.streams.insert(id, Stream { info, open: Default::default(), routes: Default::default(), turn: [0; 3] });
        for index in 0..self.queues.len() {
            self.introduce(id, index);
        }
        self.hungry.extend(WorkKind::ALL.map(|kind| (id, kind)));
    }

    /// Changes what a stream can run. What it has it keeps.
    pub fn change(&mut self, id: StreamId, info: StreamInfo) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.info = info;
        stream.routes = Default::default();
        stream.turn = [0; 3];
        self.withdraw(id);
        for index in 0..self.queues.len() {
            self.introduce(id, index);
        }
        self.hungry.extend(WorkKind::ALL.map(|kind| (id, kind)));
    }

    /// Gives a stream nothing more; what it has it may still answer.
    pub fn drain(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.info.limits = [0; 3];
            // It stands for nothing that it could run: new routes must not find it either.
            stream.info.filters = Some(Filters::default());
            self.withdraw(id);
        }
    }

    /// Lets a stream go and returns what it had not answered.
    pub fn disconnect(&mut self, id: StreamId) -> Vec<(u64, Work)> {
        let Some(stream) = self.streams.remove(&id) else { return Vec::new() };
        self.withdraw(id);
        let mut open: Vec<_> = stream.open.into_iter().flatten().collect();
        open.sort_unstable_by_key(|(attempt, _)| *attempt);
        for (attempt, _) in &open {
            self.attempts.remove(attempt);
        }
        open
    }

    /// Takes a stream out of all queues.
    fn withdraw(&mut self, id: StreamId) {
        for queue in &mut self.queues {
            let named_before = queue.named.len();
            queue.named.retain(|s| *s != id);
            queue.unfiltered.retain(|s| *s != id);
            if named_before > 0 && queue.named.is_empty() {
                // Workers without filters may take over.
                self.hungry.extend(queue.unfiltered.iter().map(|s| (*s, queue.route.kind)));
            }
        }
    }

    /// What is known of a stream.
    #[must_use]
    pub fn stream(&self, id: StreamId) -> Option<&StreamInfo> {
        self.streams.get(&id).map(|s| &s.info)
    }

    /// Whether some connected worker can run this.
    #[must_use]
    pub fn is_served(&self, route: &Route) -> bool {
        match self.routes.get(route) {
            Some(index) => !self.queues[*index].takers().is_empty(),
            None => self.streams.values().any(|s| s.info.filters.as_ref().is_none_or(|f| f.accepts(route))),
        }
    }

    /// How many hosts (workers that speak `durawasm.v1`) can run each of these, and how many there are.
    #[must_use]
    pub fn count_hosts(&self, routes: &[Route]) -> (Vec<usize>, usize) {
        // One that drains is on its way out.
        let hosts = || self.streams.values().filter(|stream| stream.info.answers && stream.info.limits != [0; 3]);
        let runs = |stream: &Stream, route: &Route| stream.info.filters.as_ref().is_none_or(|f| f.accepts(route));
        let counts = routes.iter().map(|route| hosts().filter(|stream| runs(stream, route)).count());
        (counts.collect(), hosts().count())
    }

    /// The stream to ask about something of this route: that of the preferred worker, else one after the other of those that can run it.
    /// Questions take no slot.
    #[must_use]
    pub fn respondent(&self, route: &Route, prefer: Option<&str>, turn: u64) -> Option<StreamId> {
        let runs = |s: &Stream| s.info.answers && s.info.filters.as_ref().is_none_or(|f| f.accepts(route));
        let mut able: Vec<_> = self.streams.iter().filter(|(_, stream)| runs(stream)).collect();
        if let Some((id, _)) = able.iter().find(|(_, stream)| prefer == Some(&*stream.info.worker)) {
            return Some(**id);
        }
        able.sort_unstable_by_key(|(id, _)| **id);
        let count = able.len() as u64;
        let index = turn.checked_rem(count).and_then(|index| usize::try_from(index).ok())?;
        able.get(index).map(|(id, _)| **id)
    }

    /// Puts work into the queue of its route and returns its ticket. [`Self::next`] hands it out.
    pub fn enqueue(&mut self, route: &Route, work: Work) -> Ticket {
        let index = self.route_index(route);
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        let queue = &mut self.queues[index];
        queue.waiting.push_back((ticket, work));
        if queue.waiting.len() == queue.sweep_at {
            self.grown.push(index);
        }
        let kind = queue.route.kind;
        for id in self.queues[index].takers() {
            if has_room(&self.streams[id], kind) {
                self.hungry.insert((*id, kind));
            }
        }
        ticket
    }

    /// The stream that should take this work now without queueing: the worker that has the instance warm, if it has room, else
    /// the one with the most room. `avoid` is taken only if there is no other.
    #[must_use]
    pub fn place(&mut self, route: &Route, prefer: Option<&str>, avoid: Option<StreamId>) -> Option<StreamId> {
        let index = self.route_index(route);
        let queue = &self.queues[index];
        if queue.waiting.front().is_some() {
            return None; // Others were here first.
        }
        let kind = route.kind;
        let mut best: Option<(bool, usize, StreamId)> = None;
        for id in queue.takers() {
            let stream = &self.streams[id];
            let room = stream.info.limits[kind as usize].saturating_sub(stream.open[kind as usize].len());
            if room == 0 {
                continue;
            }
            if prefer == Some(&*stream.info.worker) && avoid != Some(*id) {
                return Some(*id);
            }
            // Ids break ties, so that the choice does not depend on the order of a list.
            let candidate = (avoid != Some(*id), room, *id);
            if best.is_none_or(|b| candidate > b) {
                best = Some(candidate);
            }
        }
        best.map(|(_, _, id)| id)
    }

    /// Notes that a stream has been given work.
    pub fn occupy(&mut self, id: StreamId, kind: WorkKind, attempt: u64, work: Work) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.open[kind as usize].insert(attempt, work);
            self.attempts.insert(attempt, (id, kind));
        }
    }

    /// The work of an attempt that a stream has.
    #[must_use]
    pub fn work(&self, attempt: u64) -> Option<&Work> {
        let (id, kind) = self.attempts.get(&attempt)?;
        self.streams.get(id)?.open[*kind as usize].get(&attempt)
    }

    /// Notes that an attempt was answered, whatever the answer was worth: its stream has room again.
    pub fn release(&mut self, attempt: u64) {
        let Some((id, kind)) = self.attempts.remove(&attempt) else { return };
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.open[kind as usize].remove(&attempt);
            self.hungry.insert((id, kind));
        }
    }

    /// The next piece of waiting work for a stream with room. `is_current` says whether a ticket still stands for its work.
    pub fn next(&mut self, mut is_current: impl FnMut(&Work, Ticket) -> bool) -> Option<(StreamId, Work)> {
        for index in std::mem::take(&mut self.grown) {
            let queue = &mut self.queues[index];
            queue.waiting.retain(|(ticket, work)| is_current(work, *ticket));
            // Twice what is left, so that each entry pays for one look on average.
            queue.sweep_at = FIRST_SWEEP.max(2 * queue.waiting.len());
        }
        while let Some(&(id, kind)) = self.hungry.first() {
            if let Some(work) = self.take_for(id, kind, &mut is_current) {
                return Some((id, work));
            }
            self.hungry.remove(&(id, kind));
        }
        None
    }

    fn take_for(
        &mut self,
        id: StreamId,
        kind: WorkKind,
        is_current: &mut impl FnMut(&Work, Ticket) -> bool,
    ) -> Option<Work> {
        let stream = self.streams.get_mut(&id)?;
        if !has_room(stream, kind) {
            return None;
        }
        let routes = &stream.routes[kind as usize];
        for step in 0..routes.len() {
            let at = (stream.turn[kind as usize] + step) % routes.len();
            let queue = &mut self.queues[routes[at]];
            if !queue.takers().contains(&id) {
                continue;
            }
            while let Some((ticket, work)) = queue.waiting.pop_front() {
                if is_current(&work, ticket) {
                    stream.turn[kind as usize] = at + 1;
                    return Some(work);
                }
            }
        }
        None
    }

    /// Work that waits on routes that nobody serves.
    pub fn unserved(&self) -> impl Iterator<Item = &Work> {
        self.queues.iter().filter(|q| q.takers().is_empty()).flat_map(|q| q.waiting.iter().map(|(_, work)| work))
    }

    /// How many items workers have.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.attempts.len()
    }

    fn route_index(&mut self, route: &Route) -> RouteIndex {
        if let Some(index) = self.routes.get(route) {
            return *index;
        }
        if self.queues.len() >= self.collect_at.max(FIRST_COLLECTION) {
            self.collect_routes();
        }
        self.add_queue(Queue {
            route: route.clone(),
            waiting: VecDeque::new(),
            sweep_at: FIRST_SWEEP,
            named: Vec::new(),
            unfiltered: Vec::new(),
        })
    }

    fn add_queue(&mut self, queue: Queue) -> RouteIndex {
        let index = self.queues.len();
        self.routes.insert(queue.route.clone(), index);
        if queue.waiting.len() >= queue.sweep_at {
            self.grown.push(index);
        }
        self.queues.push(queue);
        let mut ids: Vec<StreamId> = self.streams.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            self.introduce(id, index);
        }
        index
    }

    /// Forgets routes on which nothing waits: names are chosen by clients, and there is no end of them.
    fn collect_routes(&mut self) {
        self.routes.clear();
        self.grown.clear();
        for stream in self.streams.values_mut() {
            stream.routes = Default::default();
            stream.turn = [0; 3];
        }
        for queue in std::mem::take(&mut self.queues) {
            if !queue.waiting.is_empty() {
                self.add_queue(Queue { named: Vec::new(), unfiltered: Vec::new(), ..queue });
            }
        }
        // Twice what is left, so that each route pays for one look on average.
        self.collect_at = 2 * self.queues.len();
    }

    /// Lets a stream take from a route if its filters allow.
    fn introduce(&mut self, id: StreamId, index: RouteIndex) {
        let queue = &mut self.queues[index];
        let Some(stream) = self.streams.get_mut(&id) else { return };
        match &stream.info.filters {
            None => queue.unfiltered.push(id),
            Some(filters) if filters.accepts(&queue.route) => queue.named.push(id),
            Some(_) => return,
        }
        stream.routes[queue.route.kind as usize].push(index);
    }
}

fn has_room(stream: &Stream, kind: WorkKind) -> bool {
    stream.open[kind as usize].len() < stream.info.limits[kind as usize]
}

#[cfg(test)]
mod tests;
