//! Simulated clients: each operation is tried until it is answered, and may lead to further ones.

use durawasm_scheduler::core::ids::{InstanceId, RequestId};
use durawasm_scheduler::core::message::{Input, Refusal, Reply, StartRequest};
use durawasm_scheduler::core::record::Status;
use durawasm_scheduler::core::time::Timestamp;

use crate::chance::Chance;
use crate::plan::{Kind, Spec};

/// An instance that a client starts.
pub(crate) struct Root {
    pub(crate) id: InstanceId,
    pub(crate) spec: Spec,
    /// Somebody may terminate it.
    pub(crate) killable: bool,
    scheduled: Option<i64>,
}

/// What a client does.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Start,
    /// Starts it once more under the same id, whatever the old one's status.
    Replace,
    Raise(String),
    Terminate(bool),
    Suspend,
    Resume,
    Describe,
}

/// One operation.
pub(crate) struct Operation {
    pub(crate) root: usize,
    pub(crate) deed: Deed,
    pub(crate) tries: u32,
    pub(crate) done: bool,
    /// Operations to begin after this one, each with a delay.
    pub(crate) then: Vec<(i64, usize)>,
}

/// All that clients will do, and to what.
pub(crate) struct Script {
    pub(crate) roots: Vec<Root>,
    pub(crate) operations: Vec<Operation>,
    /// Operations that nothing goes before, each with its time.
    pub(crate) first: Vec<(i64, usize)>,
}

impl Script {
    pub(crate) fn new(chance: &mut Chance) -> Self {
        let mut script = Self { roots: Vec::new(), operations: Vec::new(), first: Vec::new() };
        for n in 0..usize::try_from(chance.between(1, 5)).expect("small") {
            script.add_root(n, chance);
        }
        script
    }

    fn add_root(&mut self, n: usize, chance: &mut Chance) {
        let kind = if chance.percent(15) { Kind::Leaf } else { Kind::Root };
        let mut spec = Spec::new(kind, chance.number() >> 1, chance.between(0, 2));
        let killable = chance.percent(20);
        let start = self.operations.len();
        let at = chance.span(100_000);
        let before = self.operations.iter().position(|o| o.root + 1 == n && matches!(o.deed, Deed::Start));
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
        let push = |operations: &mut Vec<Operation>, deed: Deed, then: Vec<(i64, usize)>| {
            operations.push(Operation { root: n, deed, tries: 0, done: false, then });
            operations.len() - 1
        };
        push(&mut self.operations, Deed::Start, Vec::new());
        if kind == Kind::Leaf {
            for _ in 0..chance.between(0, 2) {
                then.push((chance.span(200_000), push(&mut self.operations, Deed::Replace, Vec::new())));
            }
        }
        for name in spec.awaited() {
            then.push((chance.span(200_000), push(&mut self.operations, Deed::Raise(name), Vec::new())));
        }
        if killable {
            let deed = Deed::Terminate(chance.percent(60));
            then.push((chance.span(200_000), push(&mut self.operations, deed, Vec::new())));
        }
        if chance.percent(30) && kind != Kind::Leaf {
            let resume = push(&mut self.operations, Deed::Resume, Vec::new());
            let suspend = push(&mut self.operations, Deed::Suspend, vec![(chance.span(100_000), resume)]);
            then.push((chance.span(200_000), suspend));
        }
        if chance.percent(30) {
            then.push((chance.span(200_000), push(&mut self.operations, Deed::Describe, Vec::new())));
        }
        self.operations[start].then = then;
        let scheduled = chance.percent(15).then(|| chance.span(200_000));
        let id = InstanceId::parse(&format!("root{n}")).expect("an id");
        self.roots.push(Root { id, spec, killable, scheduled });
    }

    /// The call of an operation, as it is sent now.
    pub(crate) fn call(&mut self, operation: usize, request: RequestId, now: Timestamp) -> Input {
        let Operation { root, deed, tries, .. } = &mut self.operations[operation];
        let root = &self.roots[*root];
        let id = root.id.clone();
        *tries += 1;
        match deed {
            Deed::Start | Deed::Replace => {
                let all = [Status::Running, Status::Completed, Status::Failed, Status::Terminated, Status::Pending];
                let first = matches!(deed, Deed::Start);
                let start = StartRequest {
                    instance: id,
                    fresh: false,
                    execution: None,
                    name: "plan".into(),
                    version: None,
                    input: Some(root.spec.to_string()),
                    scheduled_start: root.scheduled.map(|wait| Timestamp::from_micros(now.as_micros() + wait)),
                    tags: Default::default(),
                    trace: None,
                    replaceable: if first { None } else { Some(all.into()) },
                };
                Input::Start(request, Box::new(start))
            }
            Deed::Raise(name) => {
                // Each try has a payload of its own, so that each can be told from the others.
                Input::Raise(request, id, name.clone(), Some(format!("{}.{name}.{tries}", root.id)))
            }
            Deed::Terminate(recurse) => Input::Terminate(request, id, Some("told to".into()), *recurse),
            Deed::Suspend => Input::Suspend(request, id, None),
            Deed::Resume => Input::Resume(request, id, None),
            Deed::Describe => Input::Describe(request, id),
        }
    }

    /// An answer has come: whether it is one that this operation may get.
    pub(crate) fn answered(&mut self, operation: usize, answer: &Result<Reply, Refusal>) {
        let operation = &mut self.operations[operation];
        operation.done = true;
        let fine = match (answer, &operation.deed) {
            (Ok(Reply::Started(_)), Deed::Start | Deed::Replace) => true,
            (Err(Refusal::AlreadyExists(..)), Deed::Start) => operation.tries > 1,
            (Ok(Reply::Described(Some(_))), Deed::Describe) => true,
            (Ok(Reply::Done), Deed::Raise(_) | Deed::Terminate(_) | Deed::Suspend | Deed::Resume) => true,
            _ => false,
        };
        assert!(fine, "{:?} of root{} was answered with {answer:?}", operation.deed, operation.root);
    }
}
