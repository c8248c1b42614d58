//! Reads all of a store file and compares it with what was written.

use std::collections::BTreeSet;
use std::path::Path;

use durawasm_scheduler::core::ids::InstanceId;
use durawasm_scheduler::store::sqlite::{SqliteOptions, SqliteStore};
use durawasm_scheduler::store::{InstanceFilter, InstanceOrder, PageSize, Store, StoreError};

use super::World;

/// What reading everything led to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading {
    /// All is as it was written.
    Exact,
    /// Damage was found and said.
    Refused,
}

/// Goes on if it holds, else says what is not as it was written.
fn expect(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("what was read is not what was written: {what}")) }
}

/// Reads everything. An error says what is not as it was written, although nobody said that it is damaged.
pub fn read_everything(path: &Path, world: &World) -> Result<Reading, String> {
    let store = match SqliteStore::open(path, SqliteOptions::default()) {
        Ok(store) => store,
        Err(error) => return refused(&error),
    };
    let mut reading = Reading::Exact;
    let mut note = |error: StoreError| -> Result<(), String> {
        reading = refused(&error)?;
        Ok(())
    };
    match store.recover() {
        Ok(recovered) => {
            let active = world.instances.values().filter(|e| e.record.is_active()).count();
            expect(recovered.active.len() == active, "how many instances are active")?;
            for loaded in recovered.active {
                let expected = world.instances.get(&loaded.record.id);
                expect(expected.is_some_and(|e| e.record == loaded.record), "an active instance")?;
            }
            expect(recovered.timers == world.timers.values().cloned().collect::<Vec<_>>(), "timers")?;
        }
        Err(error) => note(error)?,
    }
    // Through all indexes. What is left out would be damage that was not found.
    for order in [InstanceOrder::Created, InstanceOrder::Completed] {
        let size = PageSize { instances: usize::MAX, bytes: usize::MAX, inputs: false };
        match store.list(&InstanceFilter::default(), order, None, size) {
            Ok(page) => {
                let all = world.instances.values().map(|e| &e.record).filter(|record| !record.id.is_entity());
                let listed = all.filter(|r| order == InstanceOrder::Created || r.completed_at.is_some()).count();
                expect(page.instances.len() == listed, "how many instances are listed")?;
                for view in page.instances {
                    let expected = world.instances.get(&view.record.id);
                    expect(expected.is_some_and(|e| e.record == view.record), "a listed instance")?;
                }
            }
            Err(error) => note(error)?,
        }
    }
    let parents = world.instances.values().filter_map(|e| e.record.parent.as_ref()).map(|link| &link.instance);
    for parent in parents.collect::<BTreeSet<_>>() {
        match store.children(parent, None, usize::MAX) {
            Ok(children) => {
                let links =
                    |id: &InstanceId| world.instances.get(id)?.record.parent.as_ref().map(|link| &link.instance);
                expect(children.iter().all(|child| links(child) == Some(parent)), "a child")?;
                let all = world.instances.keys().filter(|id| links(id) == Some(parent)).count();
                expect(children.len() == all, "how many children there are")?;
            }
            Err(error) => note(error)?,
        }
    }
    for expected in world.instances.values() {
        match store.load(&expected.record.id) {
            Ok(loaded) => {
                let same = loaded
                    .as_ref()
                    .is_some_and(|loaded| loaded.record == expected.record && loaded.inbox == expected.inbox);
                let found = loaded.map(|loaded| (loaded.record, loaded.inbox));
                expect(
                    same,
                    &format!("an instance: {found:?} instead of {:?}, {:?}", expected.record, expected.inbox),
                )?;
            }
            Err(error) => note(error)?,
        }
        match store.view(&expected.record.id, true) {
            Ok(view) => expect(view.is_some_and(|view| view.record == expected.record), "a view of an instance")?,
            Err(error) => note(error)?,
        }
        match store.history(expected.record.run, 0, usize::MAX) {
            Ok(history) => expect(history == expected.history, "a history")?,
            Err(error) => note(error)?,
        }
    }
    Ok(reading)
}

/// Checks that an error says of the right file that it is damaged, and what to do.
pub fn refused(error: &StoreError) -> Result<Reading, String> {
    let text = error.to_string();
    let said =
        matches!(error, StoreError::Corrupt(_)) && text.contains("hub.db") && text.contains("go back to a backup");
    if said {
        Ok(Reading::Refused)
    } else {
        Err(format!("the error does not say what is damaged and what to do: {text}"))
    }
}
