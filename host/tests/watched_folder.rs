//! A folder of components that changes while a host runs. The test says what time it is.

#![allow(clippy::unwrap_used, reason = "a test stops at what is wrong")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use durawasm_host::deployment::Terms;
use durawasm_host::registry::{FolderError, LoadCause, Loader, Notice, RegistryError, RegistryHandle, WatchedFolder};
use durawasm_host::sandbox::{CodeCache, Engines};
use durawasm_test_components::rewritten;
use support::guest;
use tokio::sync::mpsc;

struct Stand {
    place: tempfile::TempDir,
    folder: WatchedFolder,
    registry: RegistryHandle,
    notices: mpsc::UnboundedSender<Notice>,
    told: mpsc::UnboundedReceiver<Notice>,
    now: Instant,
}

fn loader() -> Arc<Loader> {
    Arc::new(Loader::new(Engines::new().unwrap(), CodeCache::none(), Terms::default()).unwrap())
}

impl Stand {
    /// A host that runs version 1.0.0 from `shop.wasm`.
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("components")).unwrap();
        std::fs::write(place.path().join("components/shop.wasm"), guest("version_one")).unwrap();
        let now = Instant::now();
        let (folder, registry, failures) =
            WatchedFolder::open(&place.path().join("components"), loader(), now).unwrap();
        assert!(failures.is_empty());
        let (notices, told) = mpsc::unbounded_channel();
        Self { place, folder, registry: RegistryHandle::new(registry), notices, told, now }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.place.path().join("components").join(file)
    }

    /// Puts a file there as a whole.
    fn put(&self, file: &str, bytes: &[u8]) {
        let partial = self.place.path().join("partial");
        std::fs::write(&partial, bytes).unwrap();
        std::fs::rename(partial, self.path(file)).unwrap();
    }

    /// Lets this time pass, in steps as the folder asks for them, and returns what was told.
    fn pass(&mut self, time: Duration) -> Vec<Notice> {
        let until = self.now + time;
        while self.now < until {
            self.now += self.folder.look(&self.registry, &self.notices, self.now);
        }
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }

    fn versions(&self) -> Vec<String> {
        let registry = self.registry.current();
        let mut versions: Vec<String> = registry.components().iter().map(|c| c.version().to_owned()).collect();
        versions.sort();
        versions
    }
}

const MOMENT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(5);

fn left_out(notices: &[Notice]) -> &LoadCause {
    match notices {
        [Notice::LeftOut(failure)] => &failure.cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_version_that_is_put_there_runs_beside_the_old_ones_which_stay_what_they_were() {
    let mut stand = Stand::new();
    let held = stand.registry.current();
    assert!(stand.pass(LONG).is_empty(), "nothing happens to what is not touched");
    stand.put("shop-2.wasm", &guest("version_two"));
    let told = stand.pass(MOMENT);
    assert!(matches!(&told[..], [Notice::Deployed { component, .. }] if component.version() == "2.0.0"), "{told:?}");
    assert_eq!(stand.versions(), ["1.0.0", "2.0.0"]);
    assert_eq!(held.components().len(), 1, "whoever holds the old registry goes on with it");
    let now = stand.registry.current();
    let route = |version| now.orchestrator("says", version).component().map(|component| component.version().to_owned());
    assert_eq!(route(Some("1.0.0")).as_deref(), Some("1.0.0"));
    assert_eq!((route(None).as_deref(), route(Some("3.0.0"))), (Some("2.0.0"), None));
    assert!(Arc::ptr_eq(&held.components()[0], now.component(held.components()[0].name(), "1.0.0").unwrap()));
}

#[test]
fn a_file_that_holds_a_new_version_leaves_the_old_one_running_and_says_so() {
    let mut stand = Stand::new();
    stand.put("shop.wasm", &rewritten(guest("version_one"), "1.0.0", "1.1.0"));
    let told = stand.pass(MOMENT);
    let [Notice::Deployed { component, .. }, Notice::FileGone { component: before, .. }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((component.version(), before.version()), ("1.1.0", "1.0.0"));
    assert_eq!(stand.versions(), ["1.0.0", "1.1.0"]);
    std::fs::remove_file(stand.path("shop.wasm")).unwrap();
    let told = stand.pass(MOMENT);
    assert!(matches!(&told[..], [Notice::FileGone { component, .. }] if component.version() == "1.1.0"), "{told:?}");
    assert_eq!(stand.versions(), ["1.0.0", "1.1.0"], "instances may need them");
}

#[test]
fn a_file_that_is_written_bit_by_bit_is_run_once_it_is_whole_and_never_before() {
    let mut stand = Stand::new();
    let whole = guest("version_two");
    let path = stand.path("slow.wasm");
    let pieces = 12;
    for piece in 1..pieces {
        // In place, with a pause in which the file looks as if it were done.
        std::fs::write(&path, &whole[..whole.len() * piece / pieces]).unwrap();
        let told = stand.pass(Duration::from_millis(300));
        assert!(told.is_empty(), "{piece}: {told:?}");
    }
    std::fs::write(&path, &whole).unwrap();
    let told = stand.pass(MOMENT);
    assert!(matches!(&told[..], [Notice::Deployed { component, .. }] if component.version() == "2.0.0"), "{told:?}");
}

#[test]
fn what_is_cut_short_for_good_is_told_once_and_runs_when_it_is_mended() {
    let mut stand = Stand::new();
    let whole = guest("version_two");
    stand.put("cut.wasm", &whole[..whole.len() / 2]);
    assert!(matches!(left_out(&stand.pass(LONG)), LoadCause::Component(_)));
    assert!(stand.pass(LONG).is_empty(), "once is enough");
    assert_eq!(stand.versions(), ["1.0.0"]);
    stand.put("cut.wasm", &whole);
    assert!(matches!(&stand.pass(MOMENT)[..], [Notice::Deployed { .. }]));
}

#[test]
fn the_same_version_with_another_content_is_refused_and_what_runs_is_untouched() {
    let mut stand = Stand::new();
    let before = Arc::clone(&stand.registry.current().components()[0]);
    let mut other = guest("version_one");
    // A custom section: another digest, and the same in everything else.
    other.extend_from_slice(b"\0\x05\x04note");
    stand.put("shop.wasm", &other);
    let told = stand.pass(MOMENT);
    let cause = left_out(&told);
    let LoadCause::Registry(RegistryError::ChangedContent { version, loaded, refused, .. }) = cause else {
        panic!("{cause}")
    };
    assert_eq!((version.as_str(), loaded.as_str()), ("1.0.0", before.digest()));
    assert_ne!(loaded, refused);
    assert!(cause.to_string().contains("give the new component a new version"), "{cause}");
    assert!(Arc::ptr_eq(&before, &stand.registry.current().components()[0]));
}

#[test]
fn an_environment_makes_another_content_and_a_limit_does_not() {
    let mut stand = Stand::new();
    let manifest = |text: &str| std::fs::write(stand.path("shop.toml"), text).unwrap();
    manifest("[environment]\nREGION = \"eu\"");
    let told = stand.pass(MOMENT);
    assert!(matches!(left_out(&told), LoadCause::Registry(RegistryError::ChangedContent { .. })));

    let manifest = |text: &str| std::fs::write(stand.path("shop.toml"), text).unwrap();
    manifest("[limits.orchestrator]\nmemory = \"8 MiB\"");
    let told = stand.pass(MOMENT);
    assert!(matches!(&told[..], [Notice::Regranted(component)] if component.version() == "1.0.0"), "{told:?}");
    let registry = stand.registry.current();
    let running = registry.orchestrator("says", Some("1.0.0")).component().unwrap();
    assert_eq!(running.limits().orchestrator.guest.memory, 8 << 20);
    assert!(Arc::ptr_eq(running, &registry.components()[0]));

    let manifest = |text: &str| std::fs::write(stand.path("shop.toml"), text).unwrap();
    manifest("[limits.orchestrator]\nmemori = \"8 MiB\"");
    let told = stand.pass(LONG);
    let said = left_out(&told).to_string();
    assert!(said.contains("shop.toml:2") && said.contains("memori"), "{said}");
    let manifest = |text: &str| std::fs::write(stand.path("shop.toml"), text).unwrap();
    manifest("[capabilities]\nclocks = true\n[capabilities.http]\nhosts = [\"example.com\"]");
    let told = stand.pass(LONG);
    assert!(left_out(&told).to_string().contains("policy"), "{told:?}");
    assert_eq!(stand.registry.current().components()[0].limits().orchestrator.guest.memory, 8 << 20);
}

#[test]
fn a_folder_that_vanishes_takes_nothing_with_it_and_is_watched_again_when_it_is_back() {
    let mut stand = Stand::new();
    let (folder, aside) = (stand.place.path().join("components"), stand.place.path().join("aside"));
    std::fs::rename(&folder, &aside).unwrap();
    let told = stand.pass(LONG);
    assert!(matches!(&told[..], [Notice::FolderLost { .. }]), "once: {told:?}");
    assert_eq!(stand.versions(), ["1.0.0"]);
    std::fs::copy(aside.join("shop.wasm"), aside.join("copy.wasm")).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    stand.put("shop-2.wasm", &guest("version_two"));
    let told = stand.pass(LONG);
    assert!(matches!(&told[..], [Notice::FolderBack(_), Notice::Deployed { .. }]), "{told:?}");
    assert_eq!(stand.versions(), ["1.0.0", "2.0.0"], "the same twice is the same as once");
}

#[test]
fn another_component_that_offers_the_same_in_the_same_version_is_refused() {
    let mut stand = Stand::new();
    // Its name and that of the package differ, its version does not.
    stand.put("shop-2.wasm", &rewritten(guest("version_two"), "2.0.0", "1.0.0"));
    let told = stand.pass(MOMENT);
    assert!(matches!(left_out(&told), LoadCause::Registry(RegistryError::Ambiguous { .. })), "{told:?}");
}

/// What the host's supply does when a version is undeployed.
fn undeploy(stand: &Stand, version: &str) {
    let mut registry = durawasm_host::registry::Registry::clone(&stand.registry.current());
    let name = registry.components()[0].name().to_owned();
    registry.remove(&name, version).unwrap();
    stand.registry.replace(registry);
}

#[test]
fn what_is_in_the_folder_is_run_although_the_same_was_undeployed_elsewhere() {
    let mut stand = Stand::new();
    assert!(stand.pass(MOMENT).is_empty());
    undeploy(&stand, "1.0.0");
    let told = stand.pass(MOMENT);
    assert!(matches!(&told[..], [Notice::Deployed { component, .. }] if component.version() == "1.0.0"), "{told:?}");
    assert_eq!(stand.versions(), ["1.0.0"]);
    assert!(stand.registry.current().orchestrator("says", None).component().is_some());
    assert!(stand.pass(LONG).is_empty(), "once");
    // What is not in the folder any more is not run again.
    std::fs::remove_file(stand.path("shop.wasm")).unwrap();
    assert!(matches!(&stand.pass(MOMENT)[..], [Notice::FileGone { .. }]));
    undeploy(&stand, "1.0.0");
    assert!(stand.pass(LONG).is_empty());
    assert!(stand.versions().is_empty());
}

#[test]
fn what_found_no_place_in_the_folder_is_run_when_what_stood_there_was_undeployed() {
    let mut stand = Stand::new();
    let mut other = guest("version_one");
    other.extend_from_slice(b"\0\x05\x04note");
    stand.put("shop.wasm", &other);
    assert!(matches!(left_out(&stand.pass(MOMENT)), LoadCause::Registry(RegistryError::ChangedContent { .. })));
    assert!(stand.pass(LONG).is_empty(), "told once");
    let before = stand.registry.current().components()[0].digest().to_owned();
    undeploy(&stand, "1.0.0");
    let told = stand.pass(MOMENT);
    let [Notice::Deployed { component, took }, Notice::FileGone { component: gone, .. }] = &told[..] else {
        panic!("{told:?}")
    };
    assert!(component.digest() != before && gone.digest() == before, "{told:?}");
    assert!(*took < LONG, "the time that it had no place does not count: {took:?}");
    assert_eq!(stand.versions(), ["1.0.0"]);
    assert!(stand.pass(LONG).is_empty());
}

#[test]
fn a_folder_with_nothing_to_run_is_refused_at_the_start() {
    let place = tempfile::tempdir().unwrap();
    let open = |path: &Path| WatchedFolder::open(path, loader(), Instant::now()).map(drop);
    assert!(matches!(open(&place.path().join("none")), Err(FolderError::Unreadable { .. })));
    assert!(matches!(open(place.path()), Err(FolderError::Empty { .. })));
    std::fs::write(place.path().join("a.wasm"), "no component").unwrap();
    assert!(matches!(open(place.path()), Err(FolderError::NothingUsable { .. })));
}
