//! What clients do to the bank.

use std::collections::BTreeMap;
use std::time::Duration;

use durawasm_scheduler::core::ids::InstanceId;
use durawasm_scheduler::core::message::{Input, SignalRequest, StartRequest};
use durawasm_scheduler::core::record::Status;
use rand::RngExt;

use crate::World;
use crate::orchestrator::Plan;

impl World {
    pub(crate) fn client(&mut self) {
        let lookers: Vec<InstanceId> =
            self.instances().into_iter().filter(|(id, _)| id.as_str().starts_with("look")).map(|(id, _)| id).collect();
        match self.rng.random_range(0..10) {
            0..4 => self.begin(true),
            4..6 => self.begin(false),
            6..9 => {
                let account = self.accounts[self.rng.random_range(0..self.accounts.len())].clone();
                let due = self.chance(30).then(|| Duration::from_micros(self.rng.random_range(1..100_000)));
                self.signal(&account, "touch", 0, due);
            }
            _ if lookers.is_empty() => {}
            _ => {
                // Only those that look: money that is on its way would be lost with its transfer.
                let id = lookers[self.rng.random_range(0..lookers.len())].clone();
                let request = self.request();
                let input = match self.rng.random_range(0..5) {
                    0 => Input::Terminate(request, id, None, false),
                    1 => Input::Suspend(request, id, None),
                    2 => Input::Resume(request, id, None),
                    3 => Input::ForceTerminate(request, vec![id], None),
                    _ => Input::Purge(request, vec![id]),
                };
                self.input(input);
            }
        }
    }

    fn begin(&mut self, moves: bool) {
        let mut accounts = self.accounts.clone();
        let count = if moves { 2 } else { self.rng.random_range(1..=accounts.len()) };
        for at in 0..count {
            let with = self.rng.random_range(at..accounts.len());
            accounts.swap(at, with);
        }
        accounts.truncate(count);
        self.names += 1;
        let plan = Plan {
            moves,
            accounts,
            amount: self.rng.random_range(1..60),
            ending: self.rng.random_range(0..4),
            generations: if self.chance(20) { self.rng.random_range(1..4) } else { 0 },
        };
        // Some take the place of another one.
        let number = if moves { self.names } else { self.rng.random_range(0..10) };
        let id = format!("{}{number}", if moves { "move" } else { "look" });
        let start = StartRequest {
            instance: InstanceId::trusted(&id),
            fresh: false,
            execution: None,
            name: "bank".into(),
            version: None,
            input: Some(plan.write()),
            scheduled_start: None,
            tags: BTreeMap::new(),
            trace: None,
            replaceable: Some(vec![
                Status::Running,
                Status::Pending,
                Status::Suspended,
                Status::Completed,
                Status::Failed,
                Status::Terminated,
            ]),
        };
        let request = self.request();
        self.input(Input::Start(request, Box::new(start)));
    }

    pub(crate) fn signal(&mut self, account: &str, operation: &str, amount: u64, due: Option<Duration>) {
        let signal = SignalRequest {
            entity: InstanceId::trusted(account),
            operation: operation.into(),
            input: Some(amount.to_string()),
            request_id: String::new(),
            due: due.map(|due| self.clock().after(due)),
        };
        let request = self.request();
        self.input(Input::Signal(request, Box::new(signal)));
    }
}
