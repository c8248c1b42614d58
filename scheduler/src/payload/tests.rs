use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::folder::Folder;
use super::*;
use crate::core::batch::Batch;
use crate::core::ids::{InstanceId, InstanceKey, RequestId};
use crate::core::payload::Reference;
use crate::payload::collector::Fate;
use crate::store::Store;
use crate::store::memory::MemoryStore;

const LIMIT: usize = 1 << 20;

fn store(folder: &tempfile::TempDir) -> PayloadStore {
    let options = PayloadOptions { threshold: 100, linger: Duration::ZERO, ..PayloadOptions::default() };
    PayloadStore::new(HubKey(7), &options, LIMIT, Arc::new(Folder::new(&folder.path().join("payloads"))))
}

fn raise(text: &str) -> Input {
    Input::Raise(RequestId(1), InstanceId::trusted("i"), "e".into(), Some(text.into()))
}

fn payload(input: &Input) -> &str {
    let Input::Raise(_, _, _, Some(text)) = input else { panic!("{input:?}") };
    text
}

async fn take_in(store: &PayloadStore, text: &str) -> (String, Pins) {
    let mut input = raise(text);
    let pins = store.take_in(&mut input).await.expect("it is stored");
    (payload(&input).to_owned(), pins)
}

fn files(folder: &tempfile::TempDir) -> Vec<std::path::PathBuf> {
    let entries = |path: &std::path::Path| {
        let entries = std::fs::read_dir(path).map(|all| all.map(|e| e.expect("an entry").path()).collect::<Vec<_>>());
        entries.unwrap_or_default()
    };
    entries(&folder.path().join("payloads")).iter().flat_map(|shard| entries(shard)).collect()
}

/// A store with a row that refers to a text, or none.
fn rows(reference: Option<&str>) -> Arc<dyn Store> {
    let store = MemoryStore::new();
    let mut batch = Batch::default();
    batch.put_state(InstanceKey(1), reference.map(Into::into));
    store.commit(&batch).expect("memory takes it");
    Arc::new(store)
}

#[tokio::test]
async fn a_text_above_the_threshold_is_kept_elsewhere_and_comes_back_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(&folder);
    for (text, kept) in
        [("x".repeat(101), true), ("🦀".repeat(200), true), ("x".repeat(100), false), (String::new(), false)]
    {
        let (taken, pins) = take_in(&store, &text).await;
        assert_eq!((taken != text, !pins.is_empty()), (kept, kept), "{} bytes", text.len());
        let mut resolved = taken;
        store.resolve(&mut resolved).await.expect("it is there");
        assert_eq!(resolved, text);
    }
    assert_eq!(files(&folder).len(), 2);
}

#[tokio::test]
async fn a_text_over_the_limit_is_left_for_the_core_to_refuse() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "x".repeat(LIMIT + 1);
    assert_eq!(take_in(&store(&folder), &text).await.0, text);
    assert!(files(&folder).is_empty());
}

#[tokio::test]
async fn a_users_text_that_looks_like_a_reference_comes_back_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(&folder);
    let (genuine, _pins) = take_in(&store, &"secret".repeat(100)).await;
    let other_hub = Reference { key: HubKey(8), ..Reference::parse(&genuine).expect("it is one") }.to_string();
    for forged in [genuine.clone(), other_hub.clone(), MARK.to_owned(), format!("{MARK}x")] {
        let (taken, _pins) = take_in(&store, &forged).await;
        assert_ne!(taken, forged, "nothing that begins so reaches the core");
        let mut resolved = taken;
        store.resolve(&mut resolved).await.expect("it is there");
        assert_eq!(resolved, forged);
    }
    // One that an older version has stored, before there were references.
    let mut old = other_hub.clone();
    store.resolve(&mut old).await.expect("it is no reference of this hub");
    assert_eq!(old, other_hub);
}

#[tokio::test]
async fn each_text_of_a_message_keeps_its_place_empty_ones_too() {
    use durawasm_proto::durabletask as pb;
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(&folder);
    let texts = [
        Some(String::new()),
        None,
        Some("a".repeat(200)),
        Some("small".into()),
        Some("b".repeat(300)),
        Some(String::new()),
    ];
    let actions = texts.iter().map(|input| pb::OrchestratorAction {
        id: 1,
        orchestrator_action_type: Some(pb::orchestrator_action::OrchestratorActionType::ScheduleTask(
            pb::ScheduleTaskAction { input: input.clone(), ..Default::default() },
        )),
    });
    let response = pb::OrchestratorResponse { actions: actions.collect(), ..Default::default() };
    let token = crate::core::token::Token {
        hub: "h".into(),
        kind: crate::core::token::WorkKind::Orchestration,
        incarnation: crate::core::ids::Incarnation(1),
        instance: InstanceId::trusted("i"),
        run: crate::core::ids::RunId(1),
        position: 0,
        attempt: 1,
    };
    let mut input = Input::CompleteEpisode(RequestId(1), token, Box::new(response), None);
    let pins = store.take_in(&mut input).await.expect("it is stored");
    assert_eq!(pins.0.len(), 2);
    let mut found = Vec::new();
    texts::of_input(&mut input, &mut |text| found.push(text.clone()));
    for text in &mut found {
        store.resolve(text).await.expect("it is there");
    }
    assert_eq!(found, texts.into_iter().flatten().collect::<Vec<_>>());
}

#[tokio::test]
async fn the_same_text_is_kept_once_and_a_damaged_copy_is_made_good_by_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(&folder);
    let text = "the same ".repeat(100);
    let (reference, pins) = take_in(&store, &text).await;
    let (again, _) = take_in(&store, &text).await;
    assert_eq!(reference, again);
    drop(pins);
    let files = files(&folder);
    assert_eq!(files.len(), 1);
    std::fs::write(&files[0], "something else").expect("it is written");
    take_in(&store, &text).await;
    let mut resolved = reference;
    store.resolve(&mut resolved).await.expect("it is whole again");
    assert_eq!(resolved, text);
}

#[tokio::test]
async fn a_payload_that_is_gone_cut_off_or_changed_in_any_bit_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(&folder);
    let (reference, _pins) = take_in(&store, &"text of some length ".repeat(20)).await;
    let hash = Reference::parse(&reference).expect("it is one").hash;
    let file = files(&folder).remove(0);
    let bytes = std::fs::read(&file).expect("it is there");
    let mut variants: Vec<Vec<u8>> = (0..bytes.len()).map(|length| bytes[..length].to_vec()).collect();
    variants.extend((0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    }));
    let mut unchanged = 0;
    for variant in variants {
        std::fs::write(&file, &variant).expect("it is written");
        let mut text = reference.clone();
        match store.resolve(&mut text).await {
            // Some bits of a frame's header say nothing of the text.
            Ok(()) => {
                assert_eq!(text, "text of some length ".repeat(20));
                unchanged += 1;
            }
            Err(error) => {
                assert!(matches!(error, PayloadError::Damaged { .. }), "{error}");
                let error = error.to_string();
                assert!(error.contains(&hash.to_string()) && error.contains("400 bytes"), "{error}");
            }
        }
    }
    assert!(unchanged < 16, "{unchanged}");
    std::fs::remove_file(&file).expect("it is removed");
    let error = store.resolve(&mut reference.clone()).await.expect_err("it is missing");
    assert!(matches!(error, PayloadError::Missing { .. }), "{error}");
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}

#[tokio::test]
async fn what_is_pinned_or_referred_to_is_not_collected_and_what_is_neither_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(&folder);
    let (reference, pins) = take_in(&store, &"x".repeat(500)).await;
    let hash = Reference::parse(&reference).expect("it is one").hash;
    assert_eq!(store.collect(hash, &rows(None)).await, Ok(Fate::Kept), "it is pinned");
    drop(pins);
    assert_eq!(store.collect(hash, &rows(Some(&reference))).await, Ok(Fate::Kept), "it is referred to");
    assert_eq!(files(&folder).len(), 1);
    assert_eq!(store.collect(hash, &rows(None)).await, Ok(Fate::Deleted));
    assert!(files(&folder).is_empty());
    assert!(store.shared.slots.lock().is_empty(), "nothing is kept of what is gone");
}

#[tokio::test]
async fn a_file_that_was_not_written_to_its_end_is_collected() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(&folder);
    let (reference, pins) = take_in(&store, &"x".repeat(500)).await;
    drop(pins);
    let file = files(&folder).remove(0);
    std::fs::rename(&file, file.with_extension("new")).expect("it is renamed");
    let hash = Reference::parse(&reference).expect("it is one").hash;
    assert_eq!(store.backend.list().await.expect("it is read"), [hash]);
    assert_eq!(store.collect(hash, &rows(None)).await, Ok(Fate::Deleted));
    assert!(files(&folder).is_empty());
}

/// Whoever gets a reference finds its text for as long as he holds the pin, however often others let the same text go and it is collected.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_text_that_is_wanted_again_while_it_is_collected_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(&folder);
    let nobody = rows(None);
    let hashes: Vec<Hash> = {
        let mut all = BTreeSet::new();
        for n in 0..3 {
            all.insert(Reference::parse(&take_in(&store, &format!("{n}").repeat(300)).await.0).expect("one").hash);
        }
        all.into_iter().collect()
    };
    let done = Arc::new(AtomicBool::new(false));
    let collecting = {
        let (store, nobody, hashes, done) = (store.clone(), Arc::clone(&nobody), hashes.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let mut deleted = 0;
            loop {
                for hash in &hashes {
                    if store.collect(*hash, &nobody).await.expect("it can be") == Fate::Deleted {
                        deleted += 1;
                    }
                }
                if done.load(Ordering::Relaxed) {
                    return deleted;
                }
                tokio::task::yield_now().await;
            }
        })
    };
    let users = (0..4).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 0..60 {
                let text = format!("{}", (n + round) % 3).repeat(300);
                let (reference, _pins) = take_in(&store, &text).await;
                let mut resolved = reference;
                store.resolve(&mut resolved).await.expect("it is there as long as it is pinned");
                assert_eq!(resolved, text);
            }
        })
    });
    for user in users.collect::<Vec<_>>() {
        user.await.expect("no text was missing");
    }
    done.store(true, Ordering::Relaxed);
    assert!(collecting.await.expect("it collects to the end") > 0, "something was collected");
    assert!(store.shared.slots.lock().is_empty(), "nobody holds anything");
    for hash in hashes {
        store.collect(hash, &nobody).await.expect("it can be");
    }
    assert!(files(&folder).is_empty());
}

/// Lets texts be written only when so many are being written at the same time.
struct Together {
    texts: memory::Memory,
    barrier: tokio::sync::Barrier,
}

#[tonic::async_trait]
impl Backend for Together {
    async fn put(&self, hash: Hash, packed: Vec<u8>) -> io::Result<()> {
        self.barrier.wait().await;
        self.texts.put(hash, packed).await
    }

    async fn settle(&self, hash: Hash) -> io::Result<()> {
        self.texts.settle(hash).await
    }

    async fn get(&self, hash: Hash) -> io::Result<Option<Vec<u8>>> {
        self.texts.get(hash).await
    }

    async fn delete(&self, hash: Hash) -> io::Result<()> {
        self.texts.delete(hash).await
    }

    async fn list(&self) -> io::Result<Vec<Hash>> {
        self.texts.list().await
    }

    async fn clear(&self) -> io::Result<()> {
        self.texts.clear().await
    }

    fn place(&self, hash: Hash) -> String {
        self.texts.place(hash)
    }
}

fn together(count: usize) -> PayloadStore {
    let options = PayloadOptions { threshold: 100, linger: Duration::ZERO, ..PayloadOptions::default() };
    let backend = Together { texts: memory::Memory::default(), barrier: tokio::sync::Barrier::new(count) };
    PayloadStore::new(HubKey(7), &options, LIMIT, Arc::new(backend))
}

#[tokio::test]
async fn the_texts_of_a_message_are_written_side_by_side() {
    let store = together(3);
    let results = ["a", "b", "c"].map(|text| (0, Some(text.repeat(200)))).to_vec();
    let fork = crate::core::message::ForkRequest {
        source: InstanceId::trusted("i"),
        execution: None,
        at: 1,
        instance: InstanceId::trusted("j"),
        version: None,
        results,
    };
    let mut input = Input::Repair(RequestId(1), Box::new(crate::core::message::Repair::Fork(fork)));
    let taken = tokio::time::timeout(Duration::from_secs(30), store.take_in(&mut input)).await;
    let _pins = taken.expect("one does not wait for the other").expect("it is stored");
    let Input::Repair(_, repair) = input else { panic!("it is what it was") };
    let crate::core::message::Repair::Fork(fork) = *repair else { panic!("it is what it was") };
    for ((_, reference), text) in fork.results.into_iter().zip(["a", "b", "c"]) {
        let mut resolved = reference.expect("it has one");
        store.resolve(&mut resolved).await.expect("it is there");
        assert_eq!(resolved, text.repeat(200));
    }
}

#[tokio::test]
async fn who_waits_for_a_text_that_others_write_is_in_nobodys_way() {
    let store = together(2);
    // More than may be busy at a time, and all want the same: one writes, and waits at the barrier.
    let same: Vec<_> = (0..2 * AT_A_TIME)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { take_in(&store, &"same".repeat(100)).await })
        })
        .collect();
    while store.shared.slots.lock().values().map(|(holds, _)| *holds).sum::<usize>() < same.len() {
        tokio::task::yield_now().await;
    }
    let other = tokio::time::timeout(Duration::from_secs(30), take_in(&store, &"other".repeat(100))).await;
    other.expect("there is room for another one");
    for one in same {
        one.await.expect("it is stored");
    }
}

#[tokio::test]
async fn folders_that_an_earlier_process_made_are_made_durable_again_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("payloads");
    let [text, later] = ["x".repeat(200), "y".repeat(200)];
    for text in [&text, &later] {
        std::fs::create_dir_all(root.join(&Hash::of(text.as_bytes()).to_string()[..2])).expect("made");
    }
    let store = store(&folder);
    let _pins = take_in(&store, &text).await;
    let synced = crate::store::durable::witness::take(folder.path());
    let shard = root.join(&Hash::of(text.as_bytes()).to_string()[..2]);
    assert_eq!(synced, [folder.path().to_owned(), root, shard]);
}
