//! A folder of components, looked at again and again.
//!
//! What is put there is run, what is taken away goes on running: instances may need it. Nothing is asked of the file system but to read
//! the folder, so that it may be of any kind (a mounted one, a network's). A file counts once it has not changed for a moment;
//! a file that was renamed into its place counts as soon. A file that is no component is taken for one that is still being written,
//! for a while.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::component::LoadError;
use super::loader::{self, LoadCause, LoadFailure, Loader};
use super::{Added, LoadedComponent, Notice, Notices, Registry, RegistryError, RegistryHandle};
use crate::deployment::Manifest;

/// A folder from which nothing can be run.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be read.
    #[error("the components folder {path} cannot be read: {error}. Create it, or name another one with --components")]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// There is no component in it.
    #[error(
        "there is no component in {path}: it holds no *.wasm file. Build one with `durawasm build` and copy it there"
    )]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// No component in it can be run.
    #[error("none of the components in {path} can be run:\n{}", list(.failures))]
    NothingUsable {
        /// The folder.
        path: PathBuf,
        /// Why.
        failures: Vec<LoadFailure>,
    },
}

fn list(failures: &[LoadFailure]) -> String {
    failures.iter().map(|failure| format!("  {failure}")).collect::<Vec<_>>().join("\n")
}

/// How often the folder is looked at while nothing happens there.
const IDLE: Duration = Duration::from_millis(200);
/// How soon it is looked at again while something does.
const SOON: Duration = Duration::from_millis(20);
/// A file that has not changed for so long counts as written.
const SETTLED: Duration = Duration::from_millis(50);
/// A file that is no component may still be on its way for so long.
const PATIENCE: Duration = Duration::from_secs(2);

/// The components of a folder.
#[derive(Debug)]
pub struct WatchedFolder {
    path: PathBuf,
    loader: Arc<Loader>,
    files: HashMap<PathBuf, File>,
    /// Whether it could not be read when it was looked at last.
    lost: bool,
}

/// A component's file as it was seen last.
#[derive(Debug)]
struct File {
    mark: Mark,
    /// Since when it is like that.
    since: Instant,
    stage: Stage,
    /// The component that it held when it was last run.
    run: Option<Arc<LoadedComponent>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// It has changed a moment ago.
    Settling,
    /// It is no component. That may be because it is not written to its end.
    Doubtful,
    /// There is nothing more to do about it, unless what it held is not run any more.
    Done,
    /// This component leaves it no place. It is looked at again when that one is not run any more.
    Displaced { name: String, version: String },
}

impl Stage {
    /// What a file is that cannot be run.
    fn after(cause: &LoadCause) -> Self {
        match cause {
            LoadCause::Registry(RegistryError::ChangedContent { name, version, .. }) => {
                Self::Displaced { name: name.clone(), version: version.clone() }
            }
            LoadCause::Registry(RegistryError::Ambiguous { loaded, version, .. }) => {
                Self::Displaced { name: loaded.clone(), version: version.clone() }
            }
            _ => Self::Done,
        }
    }
}

/// What tells that a file is another one, or has changed: of the component, and of its manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark([Option<(u64, SystemTime, u64)>; 2]);

impl Mark {
    /// None: the file is gone.
    fn of(path: &Path) -> Option<Self> {
        let of = |path: &Path| {
            let file = std::fs::metadata(path).ok()?;
            Some((file.len(), file.modified().unwrap_or(SystemTime::UNIX_EPOCH), identity(&file)))
        };
        Some(Self([Some(of(path)?), of(&path.with_extension("toml"))]))
    }
}

#[cfg(unix)]
fn identity(file: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(file)
}

#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) -> u64 {
    0
}

impl WatchedFolder {
    /// Loads all components of a folder, in the order of their file names, each with the manifest beside it. What cannot be
    /// loaded is told and left out.
    ///
    /// # Errors
    /// If there is nothing to run.
    pub fn open(
        path: &Path,
        loader: Arc<Loader>,
        now: Instant,
    ) -> Result<(Self, Registry, Vec<LoadFailure>), FolderError> {
        let found = read(path).map_err(|error| FolderError::Unreadable { path: path.to_owned(), error })?;
        if found.is_empty() {
            return Err(FolderError::Empty { path: path.to_owned() });
        }
        let mut folder = Self { path: path.to_owned(), loader, files: HashMap::new(), lost: false };
        let mut registry = Registry::default();
        let mut failures = Vec::new();
        for (file, mark) in found {
            let mut add = || -> Result<Arc<LoadedComponent>, LoadCause> {
                let (bytes, manifest) = contents(&file)?;
                let component = Arc::new(folder.loader.load(&bytes, manifest)?);
                registry.add(Arc::clone(&component))?;
                Ok(component)
            };
            let (run, stage, failure) = match add() {
                Ok(component) => (Some(component), Stage::Done, None),
                Err(cause) => (None, Stage::after(&cause), Some(LoadFailure { path: file.clone(), cause })),
            };
            folder.files.insert(file, File { mark, since: now, stage, run });
            failures.extend(failure);
        }
        if registry.components().is_empty() {
            return Err(FolderError::NothingUsable { path: path.to_owned(), failures });
        }
        Ok((folder, registry, failures))
    }

    /// Looks at the folder, adds what is new to what runs, and says after how long to look again.
    pub fn look(&mut self, registry: &RegistryHandle, notices: &Notices, now: Instant) -> Duration {
        // Whoever reads the notices may have gone; the components are run all the same.
        let tell = |notice| drop(notices.send(notice));
        let found = match read(&self.path) {
            Ok(found) => found,
            Err(error) => {
                if !std::mem::replace(&mut self.lost, true) {
                    tell(Notice::FolderLost { path: self.path.clone(), error });
                }
                return IDLE;
            }
        };
        if std::mem::take(&mut self.lost) {
            tell(Notice::FolderBack(self.path.clone()));
        }
        self.files.retain(|path, file| {
            let there = found.iter().any(|(found, _)| found == path);
            if !there && let Some(component) = file.run.take() {
                tell(Notice::FileGone { path: path.clone(), component });
            }
            there
        });
        let mut again = IDLE;
        for (path, mark) in found {
            let file =
                self.files.entry(path.clone()).or_insert(File { mark, since: now, stage: Stage::Settling, run: None });
            if file.mark != mark {
                (file.mark, file.since, file.stage) = (mark, now, Stage::Settling);
            }
            let age = now.saturating_duration_since(file.since);
            let ripe = match &file.stage {
                Stage::Settling => age >= SETTLED,
                Stage::Doubtful => age >= PATIENCE,
                Stage::Done => {
                    file.run_again(&path, registry).into_iter().for_each(tell);
                    continue;
                }
                Stage::Displaced { name, version } => registry.current().component(name, version).is_none(),
            };
            if !ripe {
                again = if matches!(file.stage, Stage::Displaced { .. }) { again } else { SOON };
                continue;
            }
            let begun = Instant::now();
            // The moment that it took to settle is part of what it took; that it was displaced is not.
            let settled = if matches!(file.stage, Stage::Displaced { .. }) { Duration::ZERO } else { age };
            match load(&path, mark, &self.loader, registry) {
                // It changed while it was read.
                None => {
                    file.stage = Stage::Settling;
                    again = SOON;
                }
                Some(Err(cause)) if age < PATIENCE && may_be_unfinished(&cause) => {
                    file.stage = Stage::Doubtful;
                    again = SOON;
                }
                Some(Err(cause)) => {
                    file.stage = Stage::after(&cause);
                    tell(Notice::LeftOut(LoadFailure { path, cause }));
                }
                Some(Ok((added, component))) => {
                    file.stage = Stage::Done;
                    let before = file.run.replace(Arc::clone(&component));
                    match added {
                        Added::New => tell(Notice::Deployed {
                            component: Arc::clone(&component),
                            took: settled + begun.elapsed(),
                        }),
                        Added::Regranted => tell(Notice::Regranted(Arc::clone(&component))),
                        Added::AlreadyThere => {}
                    }
                    if let Some(before) = before.filter(|before| before.digest() != component.digest()) {
                        tell(Notice::FileGone { path, component: before });
                    }
                }
            }
        }
        again
    }

    /// Looks again and again, on a thread of its own, until the sender of `stop` is dropped.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(crate) fn watch(
        mut self,
        registry: RegistryHandle,
        notices: Notices,
        stop: crossbeam_channel::Receiver<()>,
    ) -> std::io::Result<()> {
        let run = move || {
            let mut again = IDLE;
            while stop.recv_timeout(again) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
                again = self.look(&registry, &notices, Instant::now());
            }
        };
        std::thread::Builder::new().name("components".to_owned()).spawn(run).map(drop)
    }
}

impl File {
    /// What the file holds is run for as long as it is there: also when the same component, brought by somebody else, was taken away.
    fn run_again(&mut self, path: &Path, registry: &RegistryHandle) -> Option<Notice> {
        let component = self.run.as_ref()?;
        let there = |there: &&Arc<LoadedComponent>| there.digest() == component.digest();
        if registry.current().component(component.name(), component.version()).filter(there).is_some() {
            return None;
        }
        match registry.add(Arc::clone(component)) {
            Ok(Added::New) => Some(Notice::Deployed { component: Arc::clone(component), took: Duration::ZERO }),
            // Somebody else was faster.
            Ok(Added::AlreadyThere | Added::Regranted) => None,
            Err(error) => {
                let cause = LoadCause::Registry(error);
                self.stage = Stage::after(&cause);
                Some(Notice::LeftOut(LoadFailure { path: path.to_owned(), cause }))
            }
        }
    }
}

/// The components' files in a folder, by name.
fn read(folder: &Path) -> std::io::Result<Vec<(PathBuf, Mark)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm")
            && let Some(mark) = Mark::of(&path)
        {
            files.push((path, mark));
        }
    }
    files.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(files)
}

fn contents(file: &Path) -> Result<(Vec<u8>, Manifest), LoadCause> {
    Ok((std::fs::read(file)?, Manifest::beside(file)?))
}

type Loaded = Result<(Added, Arc<LoadedComponent>), LoadCause>;

/// What becomes of a file. None: it changed while it was read.
fn load(path: &Path, mark: Mark, loader: &Loader, registry: &RegistryHandle) -> Option<Loaded> {
    let read = contents(path);
    if Mark::of(path) != Some(mark) {
        return None;
    }
    let add = || -> Loaded {
        let (bytes, manifest) = read?;
        if let Some(there) = loader::there(&registry.current(), &bytes, &manifest) {
            return Ok((Added::AlreadyThere, there));
        }
        Ok(loader::deploy(registry, loader.load_aside(&bytes, manifest)?)?)
    };
    Some(add())
}

/// Whether a file that cannot be run may be the beginning of one that can.
fn may_be_unfinished(cause: &LoadCause) -> bool {
    match cause {
        LoadCause::Manifest(_) | LoadCause::Component(LoadError::Contract(_)) => true,
        // A file that may not be read yet, or is being replaced.
        LoadCause::Unreadable(_) => true,
        LoadCause::Component(_) | LoadCause::Engine(_) | LoadCause::Announced(_) | LoadCause::Registry(_) => false,
    }
}
