//! Files of every released format stay readable, and files of a newer one are refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use durawasm_proto::durabletask as pb;
use durawasm_proto::durabletask::history_event::EventType;
use durawasm_scheduler::core::batch::Batch;
use durawasm_scheduler::core::entity::{CallSite, CriticalSection, EntityLock, EntityRecord, QueueEntry};
use durawasm_scheduler::core::ids::{ExecutionId, Incarnation, InstanceId, InstanceKey, RunId};
use durawasm_scheduler::core::payload::{Hash, HubKey, Reference};
use durawasm_scheduler::core::record::{
    InboxEntry, InstanceRecord, ParentLink, Parked, Status, StoredEvent, TimerRecord, TurnId,
};
use durawasm_scheduler::core::time::Timestamp;
use durawasm_scheduler::store::sqlite::{SqliteOptions, SqliteStore};
use durawasm_scheduler::store::{InstanceFilter, InstanceOrder, PageSize, Store, StoreError};
use rusqlite::{Connection, OpenFlags};

fn golden(format: i64) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/store_golden/format-{format}.db"))
}

fn event(micros: i64, event_type: EventType, answers: Option<u64>) -> StoredEvent {
    let timestamp = Some(Timestamp::from_micros(micros).into());
    StoredEvent { event: pb::HistoryEvent { event_id: -1, timestamp, event_type: Some(event_type) }, answers }
}

fn executed() -> Vec<StoredEvent> {
    let started = pb::ExecutionStartedEvent {
        name: "order".into(),
        version: Some("1.2.0".into()),
        input: Some("{\"sku\":\"🦀\"}".into()),
        tags: [("team".to_owned(), "shop".to_owned())].into(),
        ..Default::default()
    };
    let failed = pb::TaskFailureDetails {
        error_type: "OutOfStock".into(),
        error_message: "none left".into(),
        stack_trace: Some(String::new()),
        ..Default::default()
    };
    vec![
        event(1_000_001, EventType::OrchestratorStarted(pb::OrchestratorStartedEvent {}), None),
        event(1_000_000, EventType::ExecutionStarted(started.into()), None),
        event(
            1_000_001,
            EventType::TaskScheduled(pb::TaskScheduledEvent { name: "pay".into(), ..Default::default() }),
            None,
        ),
        event(
            2_000_000,
            EventType::TaskFailed(pb::TaskFailedEvent { task_scheduled_id: 1, failure_details: Some(failed) }),
            Some(2),
        ),
    ]
}

/// A running instance with a value in every field.
fn running() -> InstanceRecord {
    InstanceRecord {
        key: InstanceKey((1 << 32) + 1),
        id: InstanceId::trusted("order 'one'"),
        run: RunId((1 << 32) + 2),
        execution: ExecutionId::new("0123456789abcdef0123456789abcdef"),
        name: "order".into(),
        version: Some("1.2.0".into()),
        status: Status::Suspended,
        created_at: Timestamp::from_micros(1_000_000),
        updated_at: Timestamp::from_micros(2_000_000),
        completed_at: None,
        scheduled_start: Some(Timestamp::from_micros(-1)),
        custom_status: Some("{\"step\":2}".into()),
        inherited_status: false,
        parent: Some(ParentLink {
            instance: InstanceId::trusted("parent"),
            run: RunId(7),
            position: 3,
            info: pb::ParentInstanceInfo {
                task_scheduled_id: 4,
                name: Some("cart".into()),
                version: None,
                orchestration_instance: Some(pb::OrchestrationInstance {
                    instance_id: "parent".into(),
                    execution_id: Some("e".into()),
                }),
            },
        }),
        tags: BTreeMap::from([("team".into(), "shop".into())]),
        trace: Some(pb::OrchestrationTraceContext::default()),
        caller_trace: None,
        history_len: 4,
        history_bytes: 321,
        last_episode_at: Timestamp::from_micros(2_000_000),
        base: Some(TurnId { incarnation: Incarnation(1), attempt: 5 }),
        inbox_next: 2,
        inbox_len: 1,
        open_activities: 1,
        open_children: 0,
        parked: Some(Parked {
            reason: "no-such-version".into(),
            message: "1.2.0 is not deployed".into(),
            component: "shop 1.2.0".into(),
            advice: "deploy it".into(),
            since: Timestamp::from_micros(3_000_000),
            attempts: 2,
        }),
        // Came after the golden files: what they say of it is nothing.
        fuel: None,
        section: None,
    }
}

fn inbox() -> InboxEntry {
    let raised = pb::EventRaisedEvent { name: "Paid".into(), input: Some(String::new()) };
    InboxEntry { seq: 1, stored: event(4_000_000, EventType::EventRaised(raised), None) }
}

fn timer() -> TimerRecord {
    let instance = running().id;
    TimerRecord {
        run: running().run,
        position: TimerRecord::START,
        due: Timestamp::from_micros(9),
        timer_id: -1,
        instance,
    }
}

fn check(store: &SqliteStore) {
    let recovered = store.recover().expect("it recovers");
    assert_eq!(recovered.timers, [timer()]);
    let [active] = &recovered.active[..] else { panic!("one instance is active") };
    assert_eq!(active.record, running());
    assert_eq!(active.inbox, [inbox()]);
    assert_eq!(active.history, executed());
    let view = store.view(&running().id, true).expect("it can be viewed").expect("it is there");
    assert_eq!(view.started, Some(executed()[1].clone()));
}

/// A child that has failed, with what format 2 added: the trace of whoever started it.
fn failed_child() -> InstanceRecord {
    let parent = ParentLink { instance: running().id, ..running().parent.expect("it has one") };
    let trace = pb::TraceContext {
        trace_parent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
        ..Default::default()
    };
    InstanceRecord {
        key: InstanceKey((1 << 32) + 3),
        id: InstanceId::trusted("order 'one':0001"),
        run: RunId((1 << 32) + 4),
        status: Status::Failed,
        completed_at: Some(Timestamp::from_micros(5_000_000)),
        parent: Some(parent),
        caller_trace: Some(trace.into()),
        history_len: 2,
        inbox_len: 0,
        open_activities: 0,
        parked: None,
        ..running()
    }
}

/// What format 3 added: an instance that has locked an entity, which somebody else has called and which is to hear more later.
fn locking() -> InstanceRecord {
    InstanceRecord {
        key: InstanceKey((1 << 32) + 5),
        id: InstanceId::trusted("transfer"),
        run: RunId((1 << 32) + 6),
        parent: None,
        history_len: 0,
        inbox_len: 0,
        open_activities: 0,
        parked: None,
        section: Some(Box::new(CriticalSection {
            id: "section".into(),
            entities: vec![locked().id, InstanceId::trusted("@account@b")],
            granted: true,
        })),
        ..running()
    }
}

fn locked() -> EntityRecord {
    EntityRecord {
        key: InstanceKey((1 << 32) + 7),
        id: InstanceId::trusted("@account@A"),
        created_at: Timestamp::from_micros(6_000_000),
        modified_at: Timestamp::from_micros(7_000_000),
        has_state: true,
        queue_next: 9,
        queued_operations: 1,
        queued_requests: 1,
        held_operations: 1,
        lock: Some(Box::new(EntityLock {
            holder: InstanceId::trusted("transfer"),
            run: RunId((1 << 32) + 6),
            section: "section".into(),
        })),
    }
}

fn queue() -> Vec<QueueEntry> {
    let called = pb::EntityOperationCalledEvent {
        request_id: "00000000-0000-0000-0000-000000000001".into(),
        operation: "add".into(),
        input: Some("5".into()),
        parent_instance_id: Some("order 'one'".into()),
        ..Default::default()
    };
    let request = pb::EntityLockRequestedEvent {
        critical_section_id: "other".into(),
        lock_set: vec![locked().id.as_str().into()],
        ..Default::default()
    };
    let signaled = pb::EntityOperationSignaledEvent { operation: "close".into(), ..Default::default() };
    let entry = |seq, event_type, caller| QueueEntry { seq, event: event(6_500_000, event_type, None).event, caller };
    vec![
        entry(6, EventType::EntityOperationCalled(called), Some(CallSite { run: running().run, position: 4 })),
        entry(7, EventType::EntityLockRequested(request), Some(CallSite { run: running().run, position: 5 })),
        entry(QueueEntry::HELD + 8, EventType::EntityOperationSignaled(signaled), None),
    ]
}

fn check_entities(store: &SqliteStore) {
    let loaded = store.load(&locking().id).expect("it loads").expect("it is there");
    assert_eq!(loaded.record, locking());
    let [active] = &store.recover().expect("it recovers").entities[..] else { panic!("one entity is active") };
    let loaded = store.load_entity(&locked().id).expect("it loads").expect("it is there");
    for entity in [active, &loaded] {
        assert_eq!((&entity.record, &entity.queue), (&locked(), &queue()));
        assert_eq!(entity.state.as_deref(), Some("{\"balance\":\"🦀\"}"));
    }
}

fn failed() -> Vec<StoredEvent> {
    let failed = pb::ExecutionCompletedEvent {
        orchestration_status: pb::OrchestrationStatus::Failed.into(),
        failure_details: Some(pb::TaskFailureDetails { error_type: "Declined".into(), ..Default::default() }),
        ..Default::default()
    };
    vec![executed()[1].clone(), event(5_000_000, EventType::ExecutionCompleted(failed), None)]
}

fn check_listings(store: &SqliteStore, expected: &[InstanceRecord]) {
    let size = PageSize { instances: 10, bytes: usize::MAX, inputs: true };
    let all = store.list(&InstanceFilter::default(), InstanceOrder::Created, None, size).expect("they are listed");
    assert_eq!(all.instances.iter().map(|view| view.record.clone()).collect::<Vec<_>>(), expected);
    for record in expected {
        let parent = &record.parent.as_ref().expect("all have one").instance;
        let children = store.children(parent, None, 10).expect("they are found");
        assert_eq!(children.iter().collect::<Vec<_>>(), [&record.id]);
    }
}

/// A copy of a golden file, in a folder of its own.
fn copy_of(format: i64) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    fs::copy(golden(format), &path).expect("it is copied");
    (folder, path)
}

/// Tables and indexes, as a file describes them, with the columns of each.
fn schema(path: &Path) -> Vec<(String, Vec<String>)> {
    let file = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("any SQLite tool reads it");
    let all = |sql: &str| -> Vec<String> {
        let mut statement = file.prepare(sql).expect("it is understood");
        let texts = statement.query_map([], |row| row.get(0)).expect("it is read");
        texts.collect::<Result<_, _>>().expect("all are texts")
    };
    let columns = |name: &String| {
        all(&format!("SELECT concat_ws(' ', name, type, \"notnull\", dflt_value, pk) FROM pragma_table_info('{name}')"))
            .into_iter()
            .chain(all(&format!(
                "SELECT sql FROM sqlite_schema WHERE name = '{name}' AND type = 'index' AND sql IS NOT NULL"
            )))
            .collect()
    };
    let names = all("SELECT name FROM sqlite_schema ORDER BY name");
    names.into_iter().map(|name| (name.clone(), columns(&name))).collect()
}

#[test]
fn files_of_format_1_are_brought_to_format_4() {
    let (folder, path) = copy_of(1);
    for _ in 0..2 {
        let store = SqliteStore::open(&path, SqliteOptions::default()).expect("it opens");
        check(&store);
        check_listings(&store, &[running()]);
    }
    let new = folder.path().join("new.db");
    drop(SqliteStore::create(&new, SqliteOptions::default()).expect("it is made"));
    assert_eq!(schema(&path), schema(&new));
}

#[test]
fn files_of_format_2_are_brought_to_format_4() {
    let (folder, path) = copy_of(2);
    for _ in 0..2 {
        let store = SqliteStore::open(&path, SqliteOptions::default()).expect("it opens");
        check(&store);
        check_listings(&store, &[running(), failed_child()]);
        let view = store.view(&failed_child().id, true).expect("it can be viewed").expect("it is there");
        assert_eq!((view.started, view.completed), (Some(failed()[0].clone()), Some(failed()[1].clone())));
        assert!(store.load_entity(&locked().id).expect("it can be read").is_none());
    }
    let new = folder.path().join("new.db");
    drop(SqliteStore::create(&new, SqliteOptions::default()).expect("it is made"));
    assert_eq!(schema(&path), schema(&new));
}

#[test]
fn files_of_format_3_are_brought_to_format_4() {
    let (folder, path) = copy_of(3);
    let mut keys = Vec::new();
    for opening in 0..3 {
        let store = SqliteStore::open(&path, SqliteOptions::default()).expect("it opens");
        keys.push(store.payload_key());
        assert!(!store.is_payload_referenced(PAYLOAD).expect("it can be read"));
        if opening == 2 {
            break;
        }
        check(&store);
        check_entities(&store);
    }
    assert!(keys[0] != HubKey(0) && keys.iter().all(|key| *key == keys[0]), "a key is made once: {keys:?}");
    let new = folder.path().join("new.db");
    drop(SqliteStore::create(&new, SqliteOptions::default()).expect("it is made"));
    assert_eq!(schema(&path), schema(&new));
}

/// What format 4 added: an instance whose custom status is kept elsewhere.
fn referring() -> InstanceRecord {
    let reference = Reference { key: HubKey(1), hash: PAYLOAD, length: 70_000 };
    InstanceRecord {
        key: InstanceKey((1 << 32) + 9),
        id: InstanceId::trusted("report"),
        run: RunId((1 << 32) + 10),
        custom_status: Some(reference.to_string()),
        section: None,
        ..locking()
    }
}

const PAYLOAD: Hash = Hash([0xab; 32]);

fn check_references(store: &SqliteStore) {
    let loaded = store.load(&referring().id).expect("it loads").expect("it is there");
    assert_eq!(loaded.record, referring());
    assert!(store.is_payload_referenced(PAYLOAD).expect("it can be read"));
    assert_ne!(store.payload_key(), HubKey(0));
}

#[test]
fn files_of_format_4_are_read() {
    let (_folder, path) = copy_of(4);
    let store = SqliteStore::open(&path, SqliteOptions::default()).expect("it opens");
    check(&store);
    check_entities(&store);
    check_references(&store);
}

#[test]
fn a_file_of_an_older_format_with_a_damaged_row_is_refused_and_stays_as_it_is() {
    let (folder, path) = copy_of(1);
    // Makes the store's file access known to SQLite.
    drop(SqliteStore::create(&folder.path().join("other.db"), SqliteOptions::default()).expect("it is made"));
    let file = Connection::open_with_flags_and_vfs(&path, OpenFlags::default(), c"durawasm").expect("it opens");
    file.execute("UPDATE instances SET record = x'0123456789'", []).expect("it is written");
    file.close().expect("it closes");
    let before = schema(&path);

    let error = SqliteStore::open(&path, SqliteOptions::default()).expect_err("it is refused");
    let text = error.to_string();
    assert!(matches!(error, StoreError::Corrupt(_)), "{text}");
    assert!(text.contains("cannot be brought there from format 1"), "{text}");
    assert!(text.contains("the row of instance 4294967297") && text.contains("hub.db"), "{text}");
    assert_eq!(schema(&path), before);
    let again = SqliteStore::open(&path, SqliteOptions::default()).expect_err("it is still of format 1");
    assert_eq!(again.to_string(), text);
}

/// With `DURAWASM_WRITE_GOLDEN=1` the file that this writes is kept as the golden one of its format: once, when a format is new. A released
/// one is never written again.
#[test]
fn what_is_written_today_reads_as_the_golden_file_of_its_format_does() {
    let keep = std::env::var_os("DURAWASM_WRITE_GOLDEN").is_some();
    let folder = tempfile::tempdir().expect("a folder");
    let path = if keep { golden(4) } else { folder.path().join("hub.db") };
    assert!(!path.exists(), "{} is there already, and is frozen", path.display());
    let store = SqliteStore::create(&path, SqliteOptions::default()).expect("it is made");
    let mut batch = Batch::default();
    batch.put_instance(&running());
    batch.put_inbox(running().key, inbox());
    batch.put_timer(timer());
    batch.append(running().run, 0, executed()[..3].to_vec());
    batch.append(running().run, 3, executed()[3..].to_vec());
    batch.put_instance(&failed_child());
    batch.append(failed_child().run, 0, failed());
    batch.put_instance(&locking());
    batch.put_entity(&locked());
    batch.put_state(locked().key, Some("{\"balance\":\"🦀\"}".into()));
    for entry in queue() {
        batch.put_queue(locked().key, entry.into());
    }
    batch.put_instance(&referring());
    store.commit(&batch).expect("it is taken");
    check(&store);
    check_entities(&store);
    check_references(&store);
    drop(store);
    if keep {
        fs::remove_file(format!("{}.lock", path.display())).expect("it is removed");
    }
}

#[test]
fn a_file_of_a_newer_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    drop(SqliteStore::create(&path, SqliteOptions::default()).expect("it is made"));
    // Through the store's own file access, so that the page gets its checksum.
    let newer = Connection::open_with_flags_and_vfs(&path, OpenFlags::default(), c"durawasm").expect("it opens");
    newer.pragma_update(None, "user_version", 99).expect("it is set");
    newer.close().expect("it closes");
    let before = fs::read(&path).expect("it is read");

    let error = SqliteStore::open(&path, SqliteOptions::default()).expect_err("it is refused");
    assert!(matches!(error, StoreError::NewerFormat { found: 99, known: 4 }), "{error}");
    assert_eq!(fs::read(&path).expect("it is read"), before);
}

#[test]
fn what_another_tool_writes_into_the_file_is_found() {
    let (_folder, path) = copy_of(2);
    let tool = Connection::open(&path).expect("any SQLite tool reads it");
    let count: i64 = tool.query_row("SELECT count(*) FROM history", [], |row| row.get(0)).expect("it is read");
    assert_eq!(count, 3);
    tool.execute("UPDATE instances SET status = 1", []).expect("it is written");
    tool.close().expect("it closes");
    let store = SqliteStore::open(&path, SqliteOptions::default());
    let error = store.and_then(|store| store.view(&running().id, false).map(|_| ())).expect_err("it is found");
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
}
