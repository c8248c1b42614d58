//! What must hold when all is over.

use durawasm_scheduler::core::ids::{InstanceId, RunId};
use durawasm_scheduler::core::message::Input;
use durawasm_scheduler::core::record::Status;
use durawasm_scheduler::store::memory::RowKeys;
use durawasm_scheduler::store::{EntityFilter, InstanceFilter, InstanceOrder, PageSize, Store};

use crate::{OPENING, World};

const ALL: PageSize = PageSize { instances: 100_000, bytes: usize::MAX, inputs: true };

impl World {
    pub(crate) fn instances(&self) -> Vec<(InstanceId, Status)> {
        let page = self.store.list(&InstanceFilter::default(), InstanceOrder::Created, None, ALL).unwrap();
        page.instances.into_iter().map(|view| (view.record.id, view.record.status)).collect()
    }

    /// The executions on disk.
    pub(crate) fn runs(&self) -> Vec<RunId> {
        let page = self.store.list(&InstanceFilter::default(), InstanceOrder::Created, None, ALL).unwrap();
        page.instances.into_iter().map(|view| view.record.run).collect()
    }

    /// Nothing more happens. Who is still suspended goes on.
    pub(crate) fn judge(&mut self) {
        for (id, status) in self.instances() {
            if status == Status::Suspended {
                let request = self.request();
                self.input(Input::Resume(request, id, None));
            }
        }
        while let Some(((time, _), happening)) = self.agenda.pop_first() {
            self.now = time;
            self.happen(happening);
        }
        for (id, status) in self.instances() {
            assert!(status.is_terminal(), "{id} has not ended: {status:?}");
        }
        let all = EntityFilter { transient: true, ..EntityFilter::default() };
        let accounts = self.store.list_entities(&all, None, ALL).unwrap().entities;
        let mut total = 0;
        for account in &accounts {
            let record = &account.record;
            assert!(
                record.lock.is_none() && !record.is_active() && record.held_operations == 0,
                "left over: {record:?}"
            );
            let (balance, _) = account.state.as_deref().unwrap().split_once(':').unwrap();
            total += balance.parse::<u64>().unwrap();
        }
        assert_eq!((accounts.len(), total), (self.accounts.len(), OPENING * self.accounts.len() as u64));
        let pipeline = self.scheduler.as_ref().unwrap();
        for entity in pipeline.partition().resident_entities() {
            let stored = self.store.load_entity(&entity.record.id).unwrap().expect("memory and disk agree");
            assert_eq!((&entity.record, &entity.state), (&stored.record, &stored.state));
            assert!(entity.queue.is_empty() && stored.queue.is_empty());
        }
    }

    pub(crate) fn purge(&mut self) {
        let mut ids: Vec<InstanceId> = self.instances().into_iter().map(|(id, _)| id).collect();
        ids.extend(self.accounts.iter().map(|id| InstanceId::trusted(id)));
        let request = self.request();
        self.input(Input::Purge(request, ids));
        while let Some(((time, _), happening)) = self.agenda.pop_first() {
            self.now = time;
            self.happen(happening);
        }
        assert_eq!(self.store.rows(), RowKeys::default(), "nothing is left on the disk");
        let census = self.scheduler.as_ref().unwrap().partition().census();
        assert_eq!((census.entities, census.operations, census.timers, census.sent), (0, 0, 0, 0));
    }
}
