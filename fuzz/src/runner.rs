//! Feeds a target, watches it, and keeps what fails.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::{mutation, panics};

/// Something to fuzz.
pub trait Target {
    /// Its name, also that of its folder in the corpus.
    fn name(&self) -> &'static str;
    /// Inputs to begin with, beside those in the corpus.
    fn known(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }
    /// Runs one input. Whatever the bytes are, this must return, and not panic; an error says which rule was broken.
    fn run(&mut self, input: &[u8]) -> Result<(), String>;
    /// The longest input.
    fn longest(&self) -> usize {
        8 << 10
    }
    /// How long one input may take, on a busy machine too.
    fn patience(&self) -> Duration {
        Duration::from_secs(20)
    }
}

/// How long to run a target.
#[derive(Clone, Debug)]
pub struct Plan {
    /// All inputs follow from it.
    pub seed: u64,
    /// At most so many inputs.
    pub inputs: u64,
    /// At most about so long.
    pub time: Duration,
    /// Where failing inputs are kept.
    pub failures: PathBuf,
}

/// What was run.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Inputs.
    pub inputs: u64,
    /// In this time.
    pub time: Duration,
}

/// An input that broke a rule.
#[derive(Debug)]
pub struct Failed {
    /// Where it is kept.
    pub file: PathBuf,
    /// What happened.
    pub why: String,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (target, file) = (self.file.parent().and_then(Path::file_name).unwrap_or_default(), self.file.display());
        write!(
            f,
            "{}\nRun it again with: cargo build --release --workspace --bin durawasm-fuzz && target/release/durawasm-fuzz replay {} {file}",
            self.why,
            target.display()
        )
    }
}

impl std::error::Error for Failed {}

/// More resident memory than before an input by so much is a failure.
const MEMORY: usize = 1 << 30;

/// Feeds a target until the plan is fulfilled or something fails.
///
/// # Errors
/// The first input that failed. One that hangs, or takes all memory, ends the process after it was kept.
pub fn run(target: &mut dyn Target, plan: &Plan) -> Result<Report, Failed> {
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    let began = Instant::now();
    let mut known = corpus(target.name());
    let mut inputs = 0;
    // What is known as it is, and then what becomes of it.
    let saved = known.clone();
    known.extend(target.known());
    let first = saved.into_iter().chain(target.known());
    let watch = Watch::start(target, plan);
    for input in first {
        one(target, plan, &watch, &input)?;
        inputs += 1;
    }
    while inputs < plan.inputs && began.elapsed() < plan.time {
        let input = mutation::input(&mut rng, &known, target.longest());
        one(target, plan, &watch, &input)?;
        inputs += 1;
    }
    Ok(Report { inputs, time: began.elapsed() })
}

/// Runs the input in a file.
///
/// # Errors
/// If the file cannot be read, or the input fails.
pub fn replay(target: &mut dyn Target, file: &Path) -> Result<(), Failed> {
    let failed = |why| Failed { file: file.to_owned(), why };
    let input = fs::read(file).map_err(|error| failed(format!("{} cannot be read: {error}", file.display())))?;
    panics::watch();
    attempt(target, &input).map_err(failed)
}

fn one(target: &mut dyn Target, plan: &Plan, watch: &Watch, input: &[u8]) -> Result<(), Failed> {
    watch.begin(input);
    let outcome = attempt(target, input);
    watch.end();
    outcome.map_err(|why| Failed { file: keep(plan, target.name(), input), why })
}

fn attempt(target: &mut dyn Target, input: &[u8]) -> Result<(), String> {
    let before = panics::count();
    let outcome = catch_unwind(AssertUnwindSafe(|| target.run(input)));
    match outcome {
        Ok(Ok(())) if panics::count() > before => Err("a thread panicked".to_owned()),
        Ok(outcome) => outcome,
        Err(panic) => {
            let text =
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("it panicked: {}", text.unwrap_or("without a text")))
        }
    }
}

/// Keeps an input, under a name that follows from its bytes.
fn keep(plan: &Plan, target: &str, input: &[u8]) -> PathBuf {
    let hash = input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let folder = plan.failures.join(target);
    let file = folder.join(format!("{hash:016x}"));
    if let Err(error) = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, input)) {
        eprintln!("the failing input cannot be kept in {}: {error}", file.display());
    }
    file
}

/// The inputs of interest that the repository holds for a target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort_unstable();
    files.iter().filter_map(|file| fs::read(file).ok()).collect()
}

/// A thread that ends the process if an input takes too long or too much memory: nothing else can stop it then.
struct Watch {
    current: Arc<Mutex<Option<Current>>>,
}

struct Current {
    input: Vec<u8>,
    began: Instant,
    resident: usize,
}

impl Watch {
    fn start(target: &dyn Target, plan: &Plan) -> Self {
        panics::watch();
        let current = Arc::new(Mutex::new(None::<Current>));
        let (watched, name, patience, plan) =
            (Arc::downgrade(&current), target.name(), target.patience(), plan.clone());
        std::thread::spawn(move || {
            while let Some(current) = watched.upgrade() {
                if let Some(Current { input, began, resident: before }) =
                    &*current.lock().unwrap_or_else(PoisonError::into_inner)
                {
                    let why = if began.elapsed() > patience {
                        format!("it took more than {patience:?}")
                    } else if resident() > before + MEMORY {
                        format!("it took more than {} MiB", MEMORY >> 20)
                    } else {
                        String::new()
                    };
                    if !why.is_empty() {
                        let failed = Failed { file: keep(&plan, name, input), why };
                        eprintln!("{name}, seed {}: {failed}", plan.seed);
                        std::process::exit(101);
                    }
                }
                drop(current);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { current }
    }

    fn begin(&self, input: &[u8]) {
        let current = Current { input: input.to_vec(), began: Instant::now(), resident: resident() };
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(current);
    }

    fn end(&self) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Resident memory of this process, in bytes; 0 where that cannot be known.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").ok();
    let pages: Option<usize> = pages.and_then(|text| text.split(' ').nth(1)?.parse().ok());
    pages.unwrap_or(0) * 4_096
}
