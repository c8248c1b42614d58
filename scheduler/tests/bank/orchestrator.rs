//! What the simulated orchestrators and entities do: pure functions of a history, and of a batch.

use durawasm_proto::durabletask as pb;
use pb::history_event::EventType;
use pb::operation_result::ResultType;
use pb::orchestrator_action::OrchestratorActionType as Kind;
use pb::send_entity_message_action::EntityMessageType as Message;

/// What an instance is to do, as its input says.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Whether it moves money, from the first account to the second; else it looks at all of them, twice.
    pub(crate) moves: bool,
    pub(crate) accounts: Vec<String>,
    pub(crate) amount: u64,
    /// How it ends.
    pub(crate) ending: u8,
    /// How often it continues as new.
    pub(crate) generations: u64,
}

impl Plan {
    pub(crate) fn write(&self) -> String {
        let Self { moves, accounts, amount, ending, generations } = self;
        format!("{moves};{};{amount};{ending};{generations}", accounts.join(","))
    }

    fn read(text: &str) -> Self {
        let parts: Vec<&str> = text.split(';').collect();
        Self {
            moves: parts[0] == "true",
            accounts: parts[1].split(',').map(str::to_owned).collect(),
            amount: parts[2].parse().expect("an amount"),
            ending: parts[3].parse().expect("an ending"),
            generations: parts[4].parse().expect("a number"),
        }
    }
}

fn action(id: i32, kind: Kind) -> pb::OrchestratorAction {
    pb::OrchestratorAction { id, orchestrator_action_type: Some(kind) }
}

fn to_entity(id: i32, message: Message) -> pb::OrchestratorAction {
    action(id, Kind::SendEntityMessage(pb::SendEntityMessageAction { entity_message_type: Some(message) }))
}

fn call(id: i32, account: &str, operation: &str, amount: u64) -> pb::OrchestratorAction {
    let called = pb::EntityOperationCalledEvent {
        request_id: id.to_string(),
        operation: operation.into(),
        input: Some(amount.to_string()),
        target_instance_id: Some(account.into()),
        ..Default::default()
    };
    to_entity(id, Message::EntityOperationCalled(called))
}

fn end(status: pb::OrchestrationStatus, result: Option<String>) -> pb::OrchestratorAction {
    let complete =
        pb::CompleteOrchestrationAction { orchestration_status: status.into(), result, ..Default::default() };
    action(1_000, Kind::CompleteOrchestration(complete))
}

/// What is known of an execution from its history.
struct Known<'h>(&'h [pb::HistoryEvent]);

impl Known<'_> {
    fn has(&self, wanted: impl Fn(&EventType) -> bool) -> bool {
        self.0.iter().filter_map(|e| e.event_type.as_ref()).any(wanted)
    }

    fn was_called(&self, id: i32) -> bool {
        self.has(|e| matches!(e, EventType::EntityOperationCalled(c) if c.request_id == id.to_string()))
    }

    /// The result of a call. It must have come once.
    fn result(&self, id: i32) -> Option<String> {
        let results: Vec<String> = self
            .0
            .iter()
            .filter_map(|e| match &e.event_type {
                Some(EventType::EntityOperationCompleted(c)) if c.request_id == id.to_string() => c.output.clone(),
                Some(EventType::EntityOperationFailed(f)) => panic!("no operation fails here: {f:?}"),
                _ => None,
            })
            .collect();
        assert!(results.len() <= 1, "call {id} was answered {} times", results.len());
        results.into_iter().next()
    }
}

/// The next actions of an orchestration whose history this is.
pub(crate) fn decide(history: &[pb::HistoryEvent]) -> Vec<pb::OrchestratorAction> {
    let known = Known(history);
    let started = history.iter().find_map(|e| match &e.event_type {
        Some(EventType::ExecutionStarted(started)) => started.input.clone(),
        _ => None,
    });
    let plan = Plan::read(&started.expect("every history begins"));
    if known.has(|e| matches!(e, EventType::ExecutionTerminated(_))) {
        return vec![end(pb::OrchestrationStatus::Terminated, None)];
    }
    let granted = history.iter().filter(|e| matches!(e.event_type, Some(EventType::EntityLockGranted(_)))).count();
    assert!(granted <= 1, "a request was granted {granted} times");
    if !known.has(|e| matches!(e, EventType::EntityLockRequested(_))) {
        let request = pb::EntityLockRequestedEvent {
            critical_section_id: "section".into(),
            lock_set: plan.accounts.clone(),
            ..Default::default()
        };
        return vec![to_entity(1, Message::EntityLockRequested(request))];
    }
    if granted == 0 {
        return Vec::new();
    }
    if plan.moves { transfer(&known, &plan) } else { look(&known, &plan) }
}

fn transfer(known: &Known<'_>, plan: &Plan) -> Vec<pb::OrchestratorAction> {
    let (from, to) = (&plan.accounts[0], &plan.accounts[1]);
    if !known.was_called(2) {
        return vec![call(2, from, "withdraw", plan.amount)];
    }
    let Some(withdrawn) = known.result(2) else { return Vec::new() };
    if withdrawn == "ok" {
        if !known.was_called(3) {
            return vec![call(3, to, "deposit", plan.amount)];
        }
        if known.result(3).is_none() {
            return Vec::new();
        }
    }
    leave(plan)
}

fn look(known: &Known<'_>, plan: &Plan) -> Vec<pb::OrchestratorAction> {
    for round in [10, 500] {
        let ids: Vec<i32> = (round..).take(plan.accounts.len()).collect();
        if !known.was_called(round) {
            return ids.iter().zip(&plan.accounts).map(|(id, account)| call(*id, account, "look", 0)).collect();
        }
        if ids.iter().any(|id| known.result(*id).is_none()) {
            return Vec::new();
        }
    }
    for (n, account) in (0..).zip(&plan.accounts) {
        assert_eq!(known.result(10 + n), known.result(500 + n), "somebody changed {account} while it was locked");
    }
    leave(plan)
}

/// Releases the locks, or forgets to, and ends.
fn leave(plan: &Plan) -> Vec<pb::OrchestratorAction> {
    let unlock = |(id, account): (i32, &String)| {
        let unlock = pb::EntityUnlockSentEvent {
            critical_section_id: "section".into(),
            target_instance_id: Some(account.clone()),
            ..Default::default()
        };
        to_entity(id, Message::EntityUnlockSent(unlock))
    };
    let mut actions: Vec<_> = (900..).zip(&plan.accounts).map(unlock).collect();
    if plan.generations > 0 {
        let next = Plan { generations: plan.generations - 1, ..plan.clone() };
        actions.truncate(usize::from(plan.ending));
        actions.push(end(pb::OrchestrationStatus::ContinuedAsNew, Some(next.write())));
        return actions;
    }
    match plan.ending {
        0 => actions.push(end(pb::OrchestrationStatus::Completed, None)),
        1 => actions = vec![end(pb::OrchestrationStatus::Completed, None)],
        2 => actions = vec![end(pb::OrchestrationStatus::Failed, None)],
        _ => actions.insert(0, end(pb::OrchestrationStatus::Completed, None)),
    }
    actions
}

/// What an account makes of a batch: its results, and its state afterwards. The state is the balance and how often it was touched.
pub(crate) fn run(state: Option<&str>, operations: &[&pb::HistoryEvent]) -> (Vec<pb::OperationResult>, Option<String>) {
    let parse = |text: &str| text.parse::<u64>().expect("a number");
    let mut account = state.map(|text| text.split_once(':').map(|(b, t)| (parse(b), parse(t))).expect("a state"));
    let mut results = Vec::new();
    for event in operations {
        let (operation, input) = match &event.event_type {
            Some(EventType::EntityOperationCalled(c)) => (c.operation.as_str(), c.input.as_deref()),
            Some(EventType::EntityOperationSignaled(s)) => (s.operation.as_str(), s.input.as_deref()),
            other => panic!("no operation: {other:?}"),
        };
        let amount = input.map_or(0, parse);
        let result = match (operation, &mut account) {
            ("open", account) => {
                account.get_or_insert((amount, 0));
                "ok".to_owned()
            }
            ("touch", Some((_, touched))) => {
                *touched += 1;
                "ok".to_owned()
            }
            ("withdraw", Some((balance, _))) if *balance >= amount => {
                *balance -= amount;
                "ok".to_owned()
            }
            ("withdraw", _) => "no".to_owned(),
            ("deposit", Some((balance, _))) => {
                *balance += amount;
                "ok".to_owned()
            }
            ("look", account) => format!("{account:?}"),
            other => panic!("accounts are opened first: {other:?}"),
        };
        let success = pb::OperationResultSuccess { result: Some(result), ..Default::default() };
        results.push(pb::OperationResult { result_type: Some(ResultType::Success(success)) });
    }
    (results, account.map(|(balance, touched)| format!("{balance}:{touched}")))
}
