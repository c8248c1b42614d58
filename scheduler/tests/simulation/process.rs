//! The scheduler and its disk: inputs in, batches and effects out, and crashes at every point between.

use durawasm_proto::durabletask as pb;
use durawasm_scheduler::core::batch::Batch;
use durawasm_scheduler::core::events;
use durawasm_scheduler::core::ids::{Incarnation, InstanceId, Position, RequestId, RunId, StreamId};
use durawasm_scheduler::core::message::{Change, Effect, EpisodeItem, Input, Refusal, Reply};
use durawasm_scheduler::core::partition::{Identity, Partition};
use durawasm_scheduler::core::pipeline::Pipeline;
use durawasm_scheduler::core::record::{LoadedInstance, Status, TimerRecord};
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::store::Store;
use durawasm_scheduler::store::committed::Committed;

use crate::sabotage::Sabotage;
use crate::server::{Server, Waiter};
use crate::worker::{Part, Past};
use crate::world::{Caller, EPOCH, Happening, World};

impl World {
    pub(crate) fn start(&mut self) {
        if self.stormy() && self.chance.percent(50) {
            // Somebody set the clock meanwhile.
            self.set_clock();
        }
        let mut recovered = self.store.recover().expect("the store recovers");
        match self.sabotage {
            Some(Sabotage::SameIncarnation) => recovered.incarnation = Incarnation(1),
            Some(Sabotage::HalfRecovery) => _ = recovered.active.pop(),
            _ => {}
        }
        let identity = Identity { hub: "sim".into(), incarnation: recovered.incarnation, salt: 7 };
        let now = self.clock();
        let partition = Partition::recover(
            identity,
            self.limits.clone(),
            now,
            recovered.active,
            recovered.entities,
            recovered.timers,
        );
        self.counter += 1;
        self.server = Some(Server::new(Pipeline::new(partition), Incarnation(self.counter)));
        self.input(None, Input::Tick);
    }

    pub(crate) fn set_clock(&mut self) {
        self.skew = self.chance.span(100_000) - self.chance.span(100_000);
    }

    pub(crate) fn is_current(&self, life: Incarnation) -> bool {
        self.server.as_ref().is_some_and(|s| s.life == life)
    }

    pub(crate) fn crash(&mut self) {
        let Some(server) = self.server.take() else { return };
        if let Some((_, batch)) = self.writing.take()
            && !std::mem::take(&mut self.on_disk)
            && self.chance.percent(50)
        {
            // It was on its way and has reached the disk, although nobody will hear of it.
            self.commit(batch);
        }
        self.audit.check();
        self.audit.compare(&self.store);
        self.audit.compare_rows(&self.store);
        for caller in server.callers() {
            let wait = self.chance.span(2_000);
            self.after(wait, Happening::Return(caller, None));
        }
        for worker in 0..self.workers.len() {
            if self.workers[worker].stream.take().is_some() {
                let wait = self.chance.span(20_000);
                self.after(wait, Happening::Connect(worker));
            }
        }
        let wait = self.chance.span(50_000);
        self.after(wait, Happening::Start);
    }

    /// Hands an input in, and soon lets out what comes of it.
    pub(crate) fn input(&mut self, caller: Option<(RequestId, Caller)>, input: Input) {
        let mut now = self.clock();
        self.audit.clock = self.audit.clock.max(now);
        if self.sabotage == Some(Sabotage::FastClock) {
            now = Timestamp::from_micros(now.as_micros() + 50_000);
        }
        let Some(server) = &mut self.server else { return };
        server.handle(caller, input, now, &Committed::new(&self.store));
        if self.chance.percent(70) {
            self.pump();
        } else {
            let life = server.life;
            let wait = self.chance.span(100);
            self.after(wait, Happening::Pump(life));
        }
    }

    pub(crate) fn pump(&mut self) {
        let Some(server) = &mut self.server else { return };
        let life = server.life;
        let mut effects = server.pipeline.flush();
        if let Some((seq, batch)) = server.pipeline.take_batch() {
            self.on_disk = false;
            if self.sabotage == Some(Sabotage::EarlyRelease) {
                effects.extend(server.pipeline.committed(seq));
                self.release(effects);
                self.commit(batch);
                return;
            }
            self.writing = Some((seq, batch));
            let wait = self.chance.span(1_000);
            self.after(wait, Happening::Written(life));
        }
        if let Some(at) = self.server.as_ref().and_then(|s| s.pipeline.next_wakeup()) {
            let at = at.as_micros() - EPOCH - self.skew;
            // Never a microsecond early, sometimes late.
            let late = if self.chance.percent(10) { self.chance.span(5_000) } else { 0 };
            let at = at.max(self.now + 1) + late;
            let server = self.server.as_mut().expect("it runs");
            if server.wants_tick(at, self.now) {
                self.at(at, Happening::Tick(life));
            }
        }
        self.release(effects);
    }

    /// The batch has reached the disk; or the disk has failed, which is the end of the process.
    pub(crate) fn written(&mut self) {
        let stormy = self.stormy();
        if stormy && self.chance.percent(1) {
            return self.crash();
        }
        let Some((seq, batch)) = self.writing.take() else { return };
        self.commit(batch);
        self.writing = Some((seq, Batch::default()));
        self.on_disk = true;
        if stormy && self.chance.percent(1) {
            return self.crash();
        }
        let life = self.server.as_ref().map(|s| s.life).expect("it runs");
        let wait = self.chance.span(200);
        self.after(wait, Happening::Synced(life));
    }

    fn commit(&mut self, mut batch: Batch) {
        if self.sabotage == Some(Sabotage::LostBatch) && self.chance.percent(5) {
            return self.audit.apply(&batch);
        }
        if let Some(sabotage) = self.sabotage {
            sabotage.batch(&mut batch, &mut self.chance);
        }
        self.store.commit(&batch).expect("a store in memory takes everything that makes sense");
        self.audit.apply(&batch);
    }

    pub(crate) fn synced(&mut self) {
        let Some((seq, _)) = self.writing.take() else { return };
        self.on_disk = false;
        let Some(server) = &mut self.server else { return };
        server.applied = seq;
        let effects = server.pipeline.committed(seq);
        self.release(effects);
        self.pump();
        if self.chance.percent(2) {
            self.compare_with_recovery();
        }
    }

    /// Memory holds what a recovery from the disk would find, whenever nothing is on its way there.
    pub(crate) fn compare_with_recovery(&self) {
        let Some(server) = self.server.as_ref().filter(|s| s.pipeline.is_quiet()) else { return };
        let recovered = self.store.snapshot().recover().expect("the store recovers");
        let (instances, timers) = server.pipeline.partition().contents();
        let mut resident = std::collections::HashSet::new();
        for instance in instances {
            let id = &instance.record.id;
            resident.insert(id.clone());
            let found =
                self.store.load(id).expect("the store reads").unwrap_or_else(|| panic!("{id} is in memory only"));
            assert_eq!(instance.record, found.record, "{id}: memory and disk differ");
            let mut other = durawasm_scheduler::core::instance::Instance::new(found.record, found.inbox);
            other.derive_open(&found.history);
            assert!(instance.inbox == other.inbox, "{id}: memory and disk hold different inboxes");
            let activities =
                (instance.activities.keys().collect::<Vec<_>>(), other.activities.keys().collect::<Vec<_>>());
            assert_eq!(activities.0, activities.1, "{id}: memory and disk disagree on open activities");
            assert_eq!(instance.children, other.children, "{id}: memory and disk disagree on open children");
        }
        let starts_later = |run| recovered.timers.iter().any(|t| t.run == run && t.position == TimerRecord::START);
        for LoadedInstance { record, .. } in &recovered.active {
            let held = record.status == Status::Suspended || starts_later(record.run);
            let rests = held && record.open_activities == 0;
            assert!(rests || resident.contains(&record.id), "{} has work, and is not in memory", record.id);
        }
        let mut timers: Vec<_> = timers.collect();
        timers.sort_unstable_by_key(|t| (t.run, t.position));
        assert_eq!(timers, recovered.timers, "memory and disk hold different timers");
    }

    fn release(&mut self, mut effects: Vec<Effect>) {
        if let Some(sabotage) = self.sabotage {
            sabotage.effects(&mut effects);
        }
        let over = effects.iter().filter_map(|e| match e {
            Effect::Changed(id, Change::Over(_)) => Some(id.clone()),
            _ => None,
        });
        let over: Vec<InstanceId> = over.collect();
        for effect in effects {
            match effect {
                // It came and went with one batch.
                Effect::Changed(id, Change::Progress) if over.contains(&id) && self.audit.find(&id).is_none() => {}
                Effect::Reply(request, answer) => self.reply(request, answer),
                Effect::SendEpisode(stream, item) => self.send_episode(stream, item),
                Effect::SendActivity(stream, token, request, _) => {
                    self.audit.token(token.to_string());
                    self.audit.activity_sent(token.run, token.position, &request);
                    let Some(server) = &mut self.server else { return };
                    let version = self.audit.of_run(token.run).map(|r| r.version.clone().unwrap_or_default());
                    let version = request.version.clone().or(version);
                    server.sent(stream, &token, version.as_deref().map(|v| (request.name.as_str(), v)));
                    if let Some(worker) = self.workers.iter().position(|w| w.stream == Some(stream)) {
                        let wait = self.chance.span(500);
                        self.after(wait, Happening::Activity(worker, stream, token, request));
                    }
                }
                Effect::SendBatch(stream, item) => panic!("nobody here runs entities: {stream:?} {item:?}"),
                Effect::Changed(id, change) => self.changed(&id, change),
                Effect::SendQuestion(stream, question) => self.question(stream, &question),
                Effect::Warn(text) => panic!("an unexpected warning: {text}"),
            }
        }
    }

    fn reply(&mut self, request: RequestId, answer: Result<Reply, Refusal>) {
        let server = self.server.as_mut().expect("it runs");
        let (caller, cause) = server.answered(request);
        assert!(
            cause <= server.applied,
            "the answer {answer:?} was given when batch {:?} was on disk; it waits for {cause:?}",
            server.applied
        );
        if let Caller::Client(operation) = caller {
            self.script.seen_at(operation, &answer, &self.audit);
        }
        let lost = self.stormy() && self.chance.percent(5);
        let wait = self.chance.span(if lost { 20_000 } else { 500 });
        self.after(wait, Happening::Return(caller, (!lost).then_some(answer)));
    }

    /// An instance changed, and that is on disk: who waits for it looks again.
    fn changed(&mut self, id: &InstanceId, change: Change) {
        let found = self.audit.find(id).map(|r| (r.key, r.status));
        assert!(found.is_some() || matches!(change, Change::Over(_)), "{id}: a change was told before it was on disk");
        let Some(server) = &mut self.server else { return };
        let begun = found.is_none_or(|(_, status)| status != Status::Pending);
        // Another one may have the id by now; or this is still about the one before.
        let over = |key| {
            matches!(change, Change::Over(_)) && found.is_none_or(|(now, status)| now != key || status.is_terminal())
        };
        let concerned = |w: &mut Waiter| w.id == *id && if w.start { begun } else { over(w.key) };
        let woken: Vec<Waiter> = server.waiters.extract_if(.., concerned).collect();
        for waiter in woken {
            let wait = self.chance.span(500);
            self.after(wait, Happening::Return(waiter.caller, Some(Ok(Reply::Done))));
        }
    }

    fn send_episode(&mut self, stream: StreamId, item: Box<EpisodeItem>) {
        self.audit.token(item.token.to_string());
        let past = self.read(item.run, item.past);
        let void = past.len() as u64 != item.past;
        if void {
            // Only an item that is void by now may lack its past: its execution is gone.
            let gone = self.audit.of_run(item.run).is_none();
            assert!(gone && past.is_empty(), "{}: an episode was sent before its past was on disk", item.token);
        }
        if let Some(old) = self.latest.insert(item.run, item.token.clone())
            && self.stormy()
            && self.chance.percent(10)
        {
            let wait = self.chance.span(2_000);
            self.after(wait, Happening::Stale(old));
        }
        let server = self.server.as_mut().expect("it runs");
        let route = self.audit.of_run(item.run).map(|r| (r.name.as_str(), r.version.as_deref().unwrap_or("")));
        server.sent(stream, &item.token, route);
        if self.script.is_poison(&item.token.instance) && self.now < self.storm_ends {
            server.poisonous(item.run, item.past);
        }
        let Some(worker) = self.workers.iter().position(|w| w.stream == Some(stream)) else { return };
        if void {
            // The service cannot send what it cannot read: it gives the item back, so that the stream has room again.
            let life = self.workers[worker].life;
            return self.after(0, Happening::Answer(worker, life, item.token, vec![Part::Abandon(None)]));
        }
        let past = match self.read_for(worker, &item) {
            _ if item.warm && item.past > 0 => Past::LeftOut,
            Some(past) if !self.workers[worker].streaming || past.len() <= 5 => Past::Here(past),
            _ => Past::ToFetch,
        };
        let wait = self.chance.span(500);
        self.after(wait, Happening::Episode(worker, stream, item, past));
    }

    /// The first events of an execution, as far as they are on disk, as the worker is to see them.
    pub(crate) fn read_for(&self, worker: usize, item: &EpisodeItem) -> Option<Vec<pb::HistoryEvent>> {
        let mut past = self.read(item.run, item.past);
        let whole = past.len() as u64 == item.past;
        if !self.workers[worker].extended {
            past.retain(|e| !events::is_annotation(e));
        }
        whole.then_some(past)
    }

    fn read(&self, run: RunId, count: Position) -> Vec<pb::HistoryEvent> {
        let mut past = Vec::new();
        while (past.len() as u64) < count {
            let page = self.store.history(run, past.len() as u64, 1 << 20).expect("the store reads");
            if page.is_empty() {
                break;
            }
            past.extend(page.into_iter().map(|e| e.event));
        }
        past.truncate(usize::try_from(count).expect("short"));
        past
    }
}
