//! Simulated clients: each operation is tried until it is answered, and may lead to further ones.

use durawasm_proto::durabletask::history_event::EventType;
use durawasm_scheduler::core::ids::{InstanceId, Position, RequestId};
use durawasm_scheduler::core::message::{ForkRequest, Input, Refusal, Repair, Reply, ResetRequest, StartRequest};
use durawasm_scheduler::core::record::{Status, StoredEvent};
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::store::Store;
use durawasm_scheduler::store::memory::MemoryStore;

use crate::audit::Audit;
use crate::chance::Chance;
use crate::plan::{ancestor, answer};
use crate::spec::{Kind, Spec};

/// An instance that a client starts.
pub(crate) struct Root {
    pub(crate) id: InstanceId,
    pub(crate) spec: Spec,
    /// Somebody may terminate it.
    pub(crate) killable: bool,
    /// As long as the storm lasts, each worker dies that has it in its hands.
    poison: bool,
    scheduled: Option<i64>,
}

/// What a client does.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Start,
    /// Starts it once more under the same id, whatever the old one's status.
    Replace,
    /// Starts something under an id that others use too, if what is there has one of these statuses.
    Reuse(Spec, Vec<Status>),
    Raise(String),
    /// Raises the event with this number, when the one before it was answered.
    RaiseNext(u64),
    Terminate(bool),
    Suspend,
    Resume,
    Describe,
    /// Asks the orchestrator something.
    Ask,
    /// Ends it without a worker.
    Force,
    /// Forgets these, as far as they have ended.
    Purge(Vec<InstanceId>),
    /// Mends what was broken and rewinds it, until it has completed.
    Mend,
    /// Lets it go on from some turn of its history.
    Reset,
    /// Starts it anew: as itself, or as another instance.
    Restart(Option<InstanceId>),
    /// Starts another instance with the beginning of its history.
    Fork(InstanceId),
    /// Waits until it has begun or ended.
    Await {
        start: bool,
    },
}

/// Whom an operation is about.
#[derive(Clone, Debug)]
enum Target {
    Root(usize),
    /// An instance that may be there or not.
    Other(InstanceId),
}

/// One operation.
pub(crate) struct Operation {
    target: Target,
    pub(crate) deed: Deed,
    tries: u32,
    done: bool,
    /// Operations to begin after this one, each with a delay.
    pub(crate) then: Vec<(i64, usize)>,
}

/// All that clients will do, and to what.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) roots: Vec<Root>,
    pub(crate) operations: Vec<Operation>,
    /// Roots of which nothing is broken any longer.
    mended: Vec<InstanceId>,
    /// Operations that nothing goes before, each with its time.
    pub(crate) first: Vec<(i64, usize)>,
}

const LIVE: [Status; 3] = [Status::Running, Status::Pending, Status::Suspended];
const ENDED: [Status; 4] = [Status::Completed, Status::Failed, Status::Terminated, Status::Canceled];

impl Script {
    pub(crate) fn new(chance: &mut Chance) -> Self {
        let mut script = Self::default();
        for n in 0..usize::try_from(chance.between(1, 5)).expect("small") {
            script.add_root(n, chance);
        }
        for n in 0..2 {
            script.share(&InstanceId::trusted(&format!("shared{n}")), chance);
        }
        script
    }

    fn push(&mut self, target: &Target, deed: Deed, then: Vec<(i64, usize)>) -> usize {
        self.operations.push(Operation { target: target.clone(), deed, tries: 0, done: false, then });
        self.operations.len() - 1
    }

    /// One more operation, whenever the caller sends it.
    pub(crate) fn add(&mut self, id: InstanceId, deed: Deed) -> usize {
        self.push(&Target::Other(id), deed, Vec::new())
    }

    fn add_root(&mut self, n: usize, chance: &mut Chance) {
        let kind = match chance.between(0, 19) {
            0..=2 => Kind::Leaf,
            3..=6 => Kind::Quiet,
            7..=9 => Kind::Fragile,
            _ => Kind::Root,
        };
        let mut spec = Spec::new(kind, chance.number() >> 1, chance.between(0, 2));
        if kind == Kind::Root && chance.percent(30) {
            spec.ordered = chance.between(1, 6);
        }
        let killable = chance.percent(20) && kind != Kind::Fragile;
        let target = Target::Root(n);
        let at = chance.span(100_000);
        let before = self.operations.iter().position(|o| match o.target {
            Target::Root(root) => root + 1 == n && matches!(o.deed, Deed::Start),
            Target::Other(_) => false,
        });
        let start = self.push(&target, Deed::Start, Vec::new());
        let sends = kind == Kind::Root && !killable && chance.percent(40);
        match (before, self.roots.last_mut()) {
            (Some(before), Some(peer)) if sends && peer.spec.kind == Kind::Root => {
                // It must be there before somebody sends something to it.
                spec.peer = Some(peer.id.to_string());
                peer.spec.has_sender = true;
                self.operations[before].then.push((at, start));
            }
            _ => self.first.push((at, start)),
        }
        let mut then = Vec::new();
        if kind == Kind::Leaf {
            for _ in 0..chance.between(0, 2) {
                then.push((chance.span(200_000), self.push(&target, Deed::Replace, Vec::new())));
            }
        }
        for name in spec.awaited() {
            then.push((chance.span(200_000), self.push(&target, Deed::Raise(name), Vec::new())));
        }
        let mut next = None;
        for number in (1..=spec.ordered).rev() {
            let wait = chance.span(40_000);
            let raise = self.push(&target, Deed::RaiseNext(number), next.into_iter().collect());
            next = Some((wait, raise));
        }
        then.extend(next);
        if killable {
            let deed = if chance.percent(30) { Deed::Force } else { Deed::Terminate(chance.percent(60)) };
            then.push((chance.span(200_000), self.push(&target, deed, Vec::new())));
        } else {
            then.extend(self.repairs(n, &spec, chance));
        }
        let suspended = chance.percent(30) && kind != Kind::Leaf;
        if suspended {
            let resume = self.push(&target, Deed::Resume, Vec::new());
            let suspend = self.push(&target, Deed::Suspend, vec![(chance.span(100_000), resume)]);
            then.push((chance.span(200_000), suspend));
        }
        if chance.percent(30) {
            then.push((chance.span(200_000), self.push(&target, Deed::Describe, Vec::new())));
        }
        if chance.percent(20) {
            then.push((chance.span(200_000), self.push(&target, Deed::Ask, Vec::new())));
        }
        for start in [true, false] {
            if chance.percent(40) {
                then.push((chance.span(200_000), self.push(&target, Deed::Await { start }, Vec::new())));
            }
        }
        self.operations[start].then.extend(then);
        let scheduled = chance.percent(15).then(|| chance.span(200_000));
        let id = InstanceId::parse(&format!("root{n}")).expect("an id");
        // Who suspends, resumes or terminates it wants it tried at once.
        let poison = chance.percent(10) && !killable && !suspended;
        self.roots.push(Root { id, spec, killable, poison, scheduled });
    }

    /// What clients do to go through a history again.
    fn repairs(&mut self, n: usize, spec: &Spec, chance: &mut Chance) -> Vec<(i64, usize)> {
        let target = Target::Root(n);
        let mut all = Vec::new();
        if spec.kind == Kind::Fragile {
            all.push((chance.span(20_000), self.push(&target, Deed::Mend, Vec::new())));
            return all;
        }
        // A child whose answer is undone is started again; what it was told meanwhile is not said again.
        let resets = if spec.knows_children_by_id() { 0 } else { chance.pick(&[0, 0, 1, 2]) };
        for _ in 0..resets {
            // It may go on from where it was suspended.
            let resume = self.push(&target, Deed::Resume, Vec::new());
            let reset = self.push(&target, Deed::Reset, vec![(chance.span(1_000), resume)]);
            all.push((chance.span(200_000), reset));
        }
        if spec.kind == Kind::Root {
            return all;
        }
        if chance.percent(30) {
            let new = chance.percent(50).then(|| InstanceId::trusted(&format!("again{n}")));
            all.push((chance.span(300_000), self.push(&target, Deed::Restart(new), Vec::new())));
        }
        if spec.kind == Kind::Quiet && chance.percent(60) && !spec.minds_ids() {
            let new = InstanceId::trusted(&format!("fork{n}"));
            // What was held begins so.
            let resume = self.push(&Target::Other(new.clone()), Deed::Resume, Vec::new());
            let fork = self.push(&target, Deed::Fork(new), vec![(chance.span(1_000), resume)]);
            all.push((chance.span(200_000), fork));
        }
        all
    }

    /// What clients do with an id that orchestrators use for children too.
    fn share(&mut self, id: &InstanceId, chance: &mut Chance) {
        let target = Target::Other(id.clone());
        for _ in 0..chance.between(0, 3) {
            let deed = match chance.between(0, 8) {
                6 => Deed::Force,
                7 => Deed::Purge(vec![id.clone()]),
                8 => Deed::Restart(None),
                0 => Deed::Terminate(chance.percent(50)),
                1 => Deed::Raise("unheard".into()),
                2 => Deed::Await { start: chance.percent(50) },
                _ => {
                    let policy = chance.pick(&[&[][..], &ENDED[..], &ENDED[..1], &[LIVE[0], LIVE[1], ENDED[2]][..]]);
                    Deed::Reuse(Spec::new(Kind::Leaf, chance.number() >> 1, 0), policy.to_vec())
                }
            };
            let at = chance.span(300_000);
            let operation = self.push(&target, deed, Vec::new());
            self.first.push((at, operation));
        }
        if chance.percent(20) {
            let resume = self.push(&target, Deed::Resume, Vec::new());
            let suspend = self.push(&target, Deed::Suspend, vec![(chance.span(100_000), resume)]);
            let at = chance.span(300_000);
            self.first.push((at, suspend));
        }
    }

    /// Whether workers die of it.
    pub(crate) fn is_poison(&self, id: &InstanceId) -> bool {
        self.roots.iter().any(|root| root.poison && root.id == *id)
    }

    /// The instance that an operation is about.
    pub(crate) fn target(&self, operation: usize) -> &InstanceId {
        match &self.operations[operation].target {
            Target::Root(root) => &self.roots[*root].id,
            Target::Other(id) => id,
        }
    }

    /// Whether what was broken of a root, and of its descendants, is whole again.
    pub(crate) fn is_mended(&self, id: &InstanceId) -> bool {
        let root = ancestor(id.as_str());
        self.mended.iter().any(|mended| mended.as_str() == root)
    }

    /// Whether a client may let it begin again or go on, so that what was said of it is true no longer.
    fn is_renewed(&self, id: &InstanceId) -> bool {
        let renews = |o: &Operation| {
            matches!(o.deed, Deed::Reset | Deed::Mend | Deed::Restart(None) | Deed::Replace | Deed::Reuse(..))
        };
        (0..self.operations.len()).any(|at| renews(&self.operations[at]) && self.target(at) == id)
    }

    /// The call of an operation, as it is sent now.
    pub(crate) fn call(
        &mut self,
        operation: usize,
        request: RequestId,
        now: Timestamp,
        audit: &Audit,
        chance: &mut Chance,
    ) -> Input {
        let id = self.target(operation).clone();
        let Operation { target, deed, tries, .. } = &mut self.operations[operation];
        let root = match target {
            Target::Root(root) => Some(&self.roots[*root]),
            Target::Other(_) => None,
        };
        *tries += 1;
        let start = |spec: &Spec, wait: Option<i64>, replaceable: Option<&[Status]>| {
            let start = StartRequest {
                instance: id.clone(),
                fresh: false,
                execution: None,
                name: spec.name().into(),
                version: spec.version(),
                input: Some(spec.to_string()),
                scheduled_start: wait.map(|wait| Timestamp::from_micros(now.as_micros() + wait)),
                tags: spec.tags(),
                trace: None,
                replaceable: replaceable.map(<[Status]>::to_vec),
            };
            Input::Start(request, Box::new(start))
        };
        match deed {
            Deed::Start => {
                let root = root.expect("it is a root");
                start(&root.spec, root.scheduled, None)
            }
            Deed::Replace => {
                let root = root.expect("it is a root");
                start(&root.spec, root.scheduled, Some(&[&LIVE[..], &ENDED[..]].concat()))
            }
            Deed::Reuse(spec, policy) => start(spec, None, Some(policy)),
            Deed::Raise(name) => {
                // Each try has a payload of its own, so that each can be told from the others.
                Input::Raise(request, id.clone(), name.clone(), Some(format!("{id}.{name}.{tries}")))
            }
            Deed::RaiseNext(number) => {
                let payload = format!("{id}.{number}.{tries}");
                Input::Raise(request, id.clone(), "ordered".into(), Some(payload))
            }
            Deed::Terminate(recurse) => Input::Terminate(request, id, Some("told to".into()), *recurse),
            Deed::Suspend => Input::Suspend(request, id, None),
            Deed::Resume => Input::Resume(request, id, None),
            Deed::Describe => Input::Describe(request, id),
            Deed::Force => Input::ForceTerminate(request, vec![id], Some("told to".into())),
            Deed::Purge(ids) => Input::Purge(request, ids.clone()),
            // It failed while it was held, and goes on as it was.
            Deed::Mend if audit.find(&id).is_some_and(|r| r.status == Status::Suspended) => {
                Input::Resume(request, id, None)
            }
            Deed::Mend => {
                self.mended.push(id.clone());
                Input::Repair(request, Box::new(Repair::Rewind(id, None)))
            }
            Deed::Reset => {
                let length = audit.find(&id).map_or(0, |r| r.history_len);
                let at = chance.between(0, length + 1);
                let execution = named(&id, audit, chance.percent(50));
                let reset = ResetRequest { instance: id, execution, at, reason: Some("a test".into()) };
                Input::Repair(request, Box::new(Repair::Reset(reset)))
            }
            Deed::Restart(new) => Input::Repair(request, Box::new(Repair::Restart(id, new.clone()))),
            Deed::Fork(new) => {
                let history = audit.find(&id).map_or(&[][..], |r| audit.history(r.run));
                let at = chance.between(0, history.len() as u64);
                // Positions mean something else in another execution.
                let execution = named(&id, audit, chance.percent(50));
                let foresees = execution.is_some() && chance.percent(80);
                let results = if foresees { foresee(history, at) } else { Vec::new() };
                let (source, instance) = (id, new.clone());
                let fork = ForkRequest { source, execution, at, instance, version: None, results };
                Input::Repair(request, Box::new(Repair::Fork(fork)))
            }
            Deed::Ask => Input::Ask(request, id, "why".into(), None),
            Deed::Await { .. } => unreachable!("who waits does not call the core"),
        }
    }

    /// An answer has come: whether it is one that this operation may get.
    pub(crate) fn answered(&mut self, operation: usize, answer: &Result<Reply, Refusal>) {
        let operation = &mut self.operations[operation];
        operation.done = true;
        let optional = matches!(operation.target, Target::Other(_));
        let again = operation.tries > 1;
        let fine = match (answer, &operation.deed) {
            (Ok(Reply::Started(_)), Deed::Start | Deed::Replace | Deed::Reuse(..)) => true,
            (Err(Refusal::AlreadyExists(..)), Deed::Start | Deed::Fork(_) | Deed::Restart(Some(_))) => again,
            (Err(Refusal::AlreadyExists(_, status)), Deed::Reuse(_, policy)) => {
                !policy.iter().any(|s| s.to_wire().as_str_name() == *status)
            }
            (Ok(Reply::Described(Some(_))), Deed::Describe) => true,
            (Ok(Reply::NotTerminated(ids)), Deed::Force) => ids.len() <= 1,
            (Ok(Reply::Purged(count)), Deed::Purge(ids)) => *count as usize <= ids.len(),
            (Ok(Reply::Repaired(..) | Reply::Done) | Err(Refusal::Precondition(_)), Deed::Mend) => true,
            (Ok(Reply::Repaired(..)), Deed::Reset | Deed::Fork(_)) => true,
            // The history has grown, or is another one by now.
            (Err(Refusal::Invalid(_) | Refusal::Precondition(_)), Deed::Reset | Deed::Fork(_)) => true,
            (Ok(Reply::Started(_)), Deed::Restart(_)) => true,
            (Err(Refusal::Precondition(_)), Deed::Restart(None)) => true,
            (Err(Refusal::NotFound(_)), Deed::Restart(None)) => optional,
            (Ok(Reply::Answered(_)) | Err(Refusal::Precondition(_) | Refusal::Unserved(_)), Deed::Ask) => true,
            (Err(Refusal::NotFound(_)), Deed::Raise(_) | Deed::Terminate(_) | Deed::Suspend | Deed::Resume) => optional,
            (
                Ok(Reply::Done),
                Deed::Raise(_)
                | Deed::RaiseNext(_)
                | Deed::Terminate(_)
                | Deed::Suspend
                | Deed::Resume
                | Deed::Await { .. },
            ) => true,
            _ => false,
        };
        assert!(fine, "{:?} of {:?} was answered with {answer:?}", operation.deed, operation.target);
    }

    /// An answer leaves the scheduler: what it says is true by then.
    pub(crate) fn seen_at(&self, operation: usize, answer: &Result<Reply, Refusal>, audit: &Audit) {
        let id = self.target(operation);
        let Operation { target, deed, .. } = &self.operations[operation];
        if let (Target::Root(_), Deed::Suspend, Ok(Reply::Done)) = (target, deed, answer)
            && !self.is_renewed(id)
        {
            let status = audit.find(id).map(|r| r.status);
            let held = status.is_some_and(|s| s == Status::Suspended || s.is_terminal());
            assert!(held, "{id} was suspended, and it is {status:?}");
        }
        // What others use too may have been purged with the same batch.
        if let (Target::Root(_), Ok(Reply::Started(_))) = (target, answer) {
            assert!(audit.find(id).is_some(), "{id} was accepted, and is not on disk");
        }
    }

    /// Nothing happens any more: all that was asked for is answered, and every root has its result.
    pub(crate) fn finish(&self, store: &MemoryStore) {
        for (at, operation) in self.operations.iter().enumerate() {
            assert!(operation.done, "{:?} of {} was never answered", operation.deed, self.target(at));
        }
        for root in &self.roots {
            let view = store.view(&root.id, true).expect("the store reads");
            let view = view.unwrap_or_else(|| panic!("{} was accepted and is gone", root.id));
            let result = match view.completed.and_then(|e| e.event.event_type) {
                Some(EventType::ExecutionCompleted(c)) => c.result.unwrap_or_default(),
                other => panic!("{} never ended: {:?}, {other:?}", root.id, view.record),
            };
            if root.killable && view.record.status == Status::Terminated {
                assert_eq!(result, "told to", "{}", root.id);
                continue;
            }
            assert_eq!(view.record.status, Status::Completed, "{}: {result}", root.id);
            let (digest, seen) = result.split_once('|').unwrap_or((&result, ""));
            assert_eq!(digest, root.spec.seen(), "{} ended with another result than the model", root.id);
            // What orchestrators send is sent again when they are reset.
            let sent = |p: &str| p.ends_with(".peer") || p.contains(".self");
            let mut seen: Vec<&str> = seen.split(',').filter(|p| !p.is_empty() && !sent(p)).collect();
            let all = seen.len();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), all, "{}: an event was delivered twice: {seen:?}", root.id);
        }
    }
}

/// The execution that a client means, if it says so.
fn named(id: &InstanceId, audit: &Audit, names: bool) -> Option<String> {
    audit.find(id).filter(|_| names).map(|r| r.execution.as_str().to_owned())
}

/// Results for the first activity that is called before a place in a history: the one that it will have returned.
fn foresee(history: &[StoredEvent], at: Position) -> Vec<(Position, Option<String>)> {
    let before = usize::try_from(at).unwrap_or(usize::MAX).min(history.len());
    let calls = (0..).zip(&history[..before]).filter_map(|(position, stored)| match &stored.event.event_type {
        Some(EventType::TaskScheduled(task)) => Some((position, task.input.clone()?)),
        _ => None,
    });
    let last: Option<(Position, String)> = calls.last();
    let foreseen = last.filter(|(_, call)| call.ends_with(".0") && !call.contains("toomuch"));
    foreseen.map(|(position, call)| (position, Some(answer(&call)))).into_iter().collect()
}
